//! The name of one attempt at the bank.

use std::fmt;
use std::str::FromStr;

use crate::id::PaymentId;
use crate::invalid::Invalid;

/// Payment and attempt: the bank refuses a second instruction under a reference that it has seen.
///
/// Derived, never drawn: whoever asks again after a crash asks under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Whose attempt.
    pub payment_id: PaymentId,
    /// Which one, from 1.
    pub attempt: i64,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.payment_id.0.simple(), self.attempt)
    }
}

impl FromStr for Reference {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Reference, Invalid> {
        let malformed = || Invalid::new("malformed", "is not a reference of ours");
        let (payment, attempt) = text.split_once('-').ok_or_else(malformed)?;
        let payment_id = payment.parse().map_err(|_| malformed())?;
        let attempt = attempt.parse().ok().filter(|n| 0 < *n).ok_or_else(malformed)?;
        let reference = Reference { payment_id, attempt };
        // One attempt has one name: what is written otherwise is not ours.
        if reference.to_string() == text { Ok(reference) } else { Err(malformed()) }
    }
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
