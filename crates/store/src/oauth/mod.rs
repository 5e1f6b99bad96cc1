//! Programs of others that act for people who let them: who they are, who let them, and by what tokens they act.
//!
//! All times are process time, in microseconds. Secrets, codes and tokens are kept as keyed hashes only.

pub mod authorizations;
pub mod clients;
pub mod tokens;
