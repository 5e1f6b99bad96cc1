//! A SHA-256 hash, and how it is written.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;

/// Thirty-two bytes; written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What stands before the first event of a history.
    pub const ZERO: Digest = Digest([0; 32]);

    /// The hash that these bytes are.
    pub fn from_bytes(bytes: &[u8]) -> Result<Digest, Invalid> {
        bytes.try_into().map(Digest).map_err(|_| Invalid::new("invalid_digest", "is not 32 bytes"))
    }

    /// In lower-case hexadecimal, behind `prefix`.
    pub fn hex_after(&self, prefix: &str) -> String {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut text = String::with_capacity(prefix.len() + 64);
        text.push_str(prefix);
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(digits.filter_map(|digit| DIGITS.get(usize::from(digit)).copied().map(char::from)));
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex_after(""))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Digest, Invalid> {
        let invalid = || Invalid::new("invalid_digest", "is not 64 hexadecimal digits");
        let digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        let digits = digits.collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
        let (pairs, odd) = digits.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(invalid());
        }
        let bytes: Vec<_> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Digest::from_bytes(&bytes).map_err(|_| invalid())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex_after(""))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"64 hexadecimal digits"))
    }
}
