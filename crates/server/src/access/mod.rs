//! Who is calling: passwords, tokens, and the throttle on guessing.

pub mod passwords;
pub mod sign_in;
pub mod throttle;
pub mod tokens;
