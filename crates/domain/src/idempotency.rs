//! The caller's own name for a request, so that it can be sent twice and done once.

use std::fmt;

use crate::invalid::Invalid;

/// 1 to 255 visible ASCII characters, case-sensitive; names one payment per initiating user, for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key, in characters.
    pub const LENGTH_MAX: usize = 255;

    /// Reads a key as it stands in a body or a database.
    pub fn parse(text: &str) -> Result<IdempotencyKey, Invalid> {
        let fits = (1..=IdempotencyKey::LENGTH_MAX).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Invalid::new("idempotency_key_invalid", "must be 1 to 255 visible ASCII characters"));
        }
        Ok(IdempotencyKey(text.to_owned()))
    }

    /// Reads the header `Idempotency-Key`, bare or as a quoted string (RFC 9651, section 3.3.3); both name the same key.
    pub fn from_header(text: &str) -> Result<IdempotencyKey, Invalid> {
        let text = text.trim_matches([' ', '\t']);
        match text.strip_prefix('"') {
            None => IdempotencyKey::parse(text),
            Some(rest) => IdempotencyKey::parse(&unquoted(rest)?),
        }
    }

    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands between the quotes; `rest` begins behind the first.
fn unquoted(rest: &str) -> Result<String, Invalid> {
    let malformed = || Invalid::new("idempotency_key_invalid", "its quotes do not match");
    let mut key = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or_else(malformed)? {
            '"' => break,
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                Some(_) | None => return Err(malformed()),
            },
            plain => key.push(plain),
        }
    }
    if characters.next().is_some() { Err(malformed()) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quoted_and_the_bare_header_name_the_same_key() {
        let bare = IdempotencyKey::from_header("rent-2026-03").unwrap();
        assert_eq!(IdempotencyKey::from_header("\"rent-2026-03\""), Ok(bare.clone()));
        assert_eq!(IdempotencyKey::from_header("  \"rent-2026-03\" "), Ok(bare));
        assert_eq!(IdempotencyKey::from_header(r#""a\"b""#), IdempotencyKey::parse("a\"b"));
    }

    #[test]
    fn keys_differ_by_case() {
        assert_ne!(IdempotencyKey::parse("a"), IdempotencyKey::parse("A"));
    }

    #[test]
    fn what_is_not_1_to_255_visible_ascii_characters_is_no_key() {
        for bad in ["", " ", "a b", "ä", "a\n", "a\0", &"k".repeat(256), "\"open", "\"\"", "\"a\"b", "\"a\\n\""] {
            let refusal = IdempotencyKey::from_header(bad).unwrap_err();
            assert_eq!(refusal.code, "idempotency_key_invalid", "{bad:?}");
        }
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_ok());
    }
}
