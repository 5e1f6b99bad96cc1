//! OAuth 2.0: programs of others, the people who let them act, and the endpoints that programs talk to.

pub mod authorizations;
pub mod clients;
pub mod endpoints;
