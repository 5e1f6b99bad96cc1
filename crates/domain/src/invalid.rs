//! Why a value from outside was not accepted.

use std::borrow::Cow;

/// One broken rule of one value: a stable code for programs and a sentence for people.
///
/// The sentence never repeats the value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// Stable and documented, such as `too_long`.
    pub code: &'static str,
    /// A sentence without a full stop at its start or a value in it.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// A broken rule under its stable `code`.
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Invalid {
        Invalid { code, detail: detail.into() }
    }
}
