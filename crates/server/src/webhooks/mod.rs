//! Webhooks: where they may be, how they are signed, and how one is sent.

pub mod addresses;
pub mod courier;
pub mod signing;
