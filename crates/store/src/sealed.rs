//! What is kept so that only the secrets file opens it.

/// A text under a key of the secrets file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedText {
    /// Nonce and text, in base64.
    pub sealed: String,
    /// Under which key.
    pub key_id: String,
}
