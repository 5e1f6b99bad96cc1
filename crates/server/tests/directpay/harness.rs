//! See the helper.
