//! Who is calling: passwords, tokens, API keys, and the throttle on guessing.

pub mod api_keys;
pub mod browser;
pub mod links;
pub mod passwords;
pub mod second_factor;
pub mod sign_in;
pub mod throttle;
pub mod tokens;
pub mod totp;
