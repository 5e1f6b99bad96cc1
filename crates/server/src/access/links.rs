//! Links in mails: a random token that only the mail has; kept is its hash.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::clock::{self, NoRandomness};
use crate::secrets::sha256_hex;

/// A fresh token and by what it is recognized.
pub struct Drawn {
    /// For the mail and nothing else.
    pub token: String,
    /// For the database.
    pub token_hash: String,
}

/// Draws a token of 256 bits.
pub fn draw() -> Result<Drawn, NoRandomness> {
    let token = BASE64URL.encode(clock::random_bytes::<32>()?);
    Ok(Drawn { token_hash: hash(&token), token })
}

/// By what a token is recognized.
pub fn hash(token: &str) -> String {
    sha256_hex(token)
}
