//! The chain of a history: each event's hash covers its own stored form and the hash of the event before it.
//!
//! Whoever changes, removes, inserts or moves an event has to change the hashes of all that follow it in its history, and
//! with them the leaves of the log's tree, whose root others keep (`merkle`).

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::digest::Digest;

/// No other thing that is hashed begins with it.
const TAG: &[u8] = b"directpay event 1\n";

/// An event as it is stored: every column of its row.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Whose history it is in.
    pub stream_id: Uuid,
    /// Its number there, from 1.
    pub sequence: i64,
    /// Which kind of history that is.
    pub stream: &'a str,
    /// What happened.
    pub event_type: &'a str,
    /// When, in microseconds.
    pub occurred_at: i64,
    /// The event, byte for byte.
    pub body: &'a str,
}

impl Link<'_> {
    /// The event's hash, behind an event with the hash `before`; behind [`Digest::ZERO`] if it is the first.
    ///
    /// Numbers are eight bytes, the highest first; each text stands behind its length in bytes.
    pub fn hash(&self, before: Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update(TAG);
        hash.update(before.0);
        hash.update(self.stream_id.as_bytes());
        hash.update(self.sequence.to_be_bytes());
        hash.update(self.occurred_at.to_be_bytes());
        for text in [self.stream, self.event_type, self.body] {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Digest(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn link<'a>() -> Link<'a> {
        Link {
            stream_id: Uuid::from_u128(7),
            sequence: 2,
            stream: "PAYMENT",
            event_type: "payment_completed",
            occurred_at: 1_700_000_000_000_000,
            body: r#"{"a":"ü"}"#,
        }
    }

    /// Computed by other means, so that the form is never changed by accident: an independent checker would not follow.
    #[test]
    fn the_form_that_is_hashed_is_fixed() {
        let hash = link().hash(Digest([1; 32]));
        assert_eq!(hash.to_string(), "2d65634a6032d0d49942a4c6a56a9101fa5f5d9b173d19114bb1df6ddd77c195");
    }

    #[test]
    fn every_field_counts_and_so_does_where_it_ends() {
        let mut seen = BTreeSet::new();
        let others = [
            link(),
            Link { stream_id: Uuid::from_u128(8), ..link() },
            Link { sequence: 3, ..link() },
            Link { stream: "LEASE", ..link() },
            Link { event_type: "payment_failed", ..link() },
            Link { occurred_at: -1, ..link() },
            Link { body: "{}", ..link() },
            Link { stream: "PAYMENTp", event_type: "ayment_completed", ..link() },
        ];
        for other in others {
            assert!(seen.insert(other.hash(Digest::ZERO)), "{other:?}");
        }
        assert!(seen.insert(link().hash(Digest([1; 32]))));
    }
}
