//! A text under a key: XChaCha20-Poly1305, a random nonce before it, all in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::clock::{self, NoRandomness};

const NONCE_BYTES: usize = 24;

/// Seals `plain` so that it opens for whoever names the same `bound_to`.
pub(super) fn seal(cipher: &XChaCha20Poly1305, bound_to: &[u8], plain: &[u8]) -> Result<String, NoRandomness> {
    let nonce = clock::random_bytes::<NONCE_BYTES>()?;
    let payload = Payload { msg: plain, aad: bound_to };
    // It fails for what is longer than 256 GiB only.
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| NoRandomness)?;
    Ok(BASE64.encode([nonce.as_slice(), &sealed].concat()))
}

/// What was sealed; nothing if it was changed, or belongs elsewhere, or under another key.
pub(super) fn open(cipher: &XChaCha20Poly1305, bound_to: &[u8], sealed: &str) -> Option<Vec<u8>> {
    let record = BASE64.decode(sealed).ok()?;
    let (nonce, sealed) = record.split_at_checked(NONCE_BYTES)?;
    let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).ok()?;
    cipher.decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: bound_to }).ok()
}
