//! A proof: the events of a payment as they are stored, and all that anybody needs to see that they are in a signed log.

use std::fmt::Write;

use anyhow::{Context, bail, ensure};
use directpay_domain::chain::Link;
use directpay_domain::digest::Digest;
use directpay_domain::id::PaymentId;
use directpay_domain::merkle;
use directpay_store::log_tree::{Log, ProvenEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoints::{self, Statement, Verifier};

/// Which form this is.
const FORM: &str = "directpay-proof-1";

/// See the module; its form is described in docs/audit.md.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proof {
    form: String,
    payment_id: PaymentId,
    events: Vec<Event>,
    /// The signed text.
    checkpoint: String,
    /// The public key that goes with it. Whoever checks compares it with the one that they know.
    key: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    stream_id: Uuid,
    sequence: i64,
    stream: String,
    event_type: String,
    /// In microseconds since 1970.
    occurred_at: i64,
    /// The event, byte for byte.
    body: String,
    hash: Digest,
    /// In the log, from 1; none while it waits for one.
    position: Option<i64>,
    /// From the leaf up; none where the checkpoint does not count it yet.
    inclusion: Option<Vec<Digest>>,
}

/// What a proof shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Of which payment.
    pub(super) payment_id: PaymentId,
    /// How many events are under the checkpoint.
    pub(super) proven: usize,
    /// And how many follow on them that it does not count yet.
    pub(super) newer: usize,
    /// The checkpoint.
    pub(super) statement: Statement,
}

impl Proof {
    /// Puts together what the database has.
    pub(super) fn new(payment_id: PaymentId, events: Vec<ProvenEvent>, checkpoint: String, key: &Verifier) -> Proof {
        let event = |event: ProvenEvent| Event {
            stream_id: event.stream_id,
            sequence: event.sequence,
            stream: event.stream,
            event_type: event.event_type,
            occurred_at: event.occurred_at,
            body: event.body,
            hash: event.hash,
            position: event.position,
            inclusion: event.inclusion,
        };
        let events = events.into_iter().map(event).collect();
        Proof { form: FORM.into(), payment_id, events, checkpoint, key: key.text_for(Log::Events) }
    }

    /// Reads one that somebody brings.
    pub(super) fn parse(text: &str) -> anyhow::Result<Proof> {
        let proof: Proof = serde_json::from_str(text).context("it is not a proof")?;
        ensure!(proof.form == FORM, "it is a proof of another form: {}", proof.form);
        Ok(proof)
    }

    /// As a file.
    pub(super) fn to_text(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The key that it brings along.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Checks all of it: the chain from the first event, each event's place in the tree, and the signature under its root. Without
    /// `trusted` keys that which the proof brings along is believed.
    pub(super) fn check(&self, trusted: &[Verifier]) -> anyhow::Result<Shown> {
        let own = [self.key.parse::<Verifier>().context("its key")?];
        let keys = if trusted.is_empty() { &own } else { trusted };
        let statement = checkpoints::open(&self.checkpoint, keys).context("its checkpoint")?;
        ensure!(statement.log == Log::Events, "its checkpoint is one of another log");
        ensure!(!self.events.is_empty(), "it has no events");
        let (mut before, mut proven) = (Digest::ZERO, 0);
        for (event, expected) in self.events.iter().zip(1..) {
            let mut name = String::new();
            write!(name, "event {} of payment {}", event.sequence, self.payment_id)?;
            ensure!(event.stream_id == self.payment_id.0, "{name} is of something else");
            ensure!(event.sequence == expected, "{name} stands where event {expected} should");
            before = event.link().hash(before);
            ensure!(event.hash == before, "{name} was changed, or does not follow on the event before it");
            proven += usize::from(event.is_under(statement).with_context(|| name.clone())?);
            ensure!(
                i64::try_from(proven)? == expected || event.inclusion.is_none(),
                "{name} is proven, and one before it is not"
            );
        }
        let newer = self.events.len() - proven;
        Ok(Shown { payment_id: self.payment_id, proven, newer, statement })
    }
}

impl Event {
    fn link(&self) -> Link<'_> {
        Link {
            stream_id: self.stream_id,
            sequence: self.sequence,
            stream: &self.stream,
            event_type: &self.event_type,
            occurred_at: self.occurred_at,
            body: &self.body,
        }
    }

    /// Whether it is in the tree, by its path; it need not be if it is newer.
    fn is_under(&self, statement: Statement) -> anyhow::Result<bool> {
        let size = u64::try_from(statement.size)?;
        match (&self.inclusion, self.position) {
            (Some(path), Some(position)) => {
                let index = u64::try_from(position)?.checked_sub(1).context("positions begin with 1")?;
                let leaf = merkle::leaf(&self.hash.0);
                ensure!(
                    merkle::is_included(leaf, index, size, statement.root, path),
                    "it is not in the log at position {position}"
                );
                Ok(true)
            }
            (None, position) if position.is_none_or(|position| statement.size < position) => Ok(false),
            (None, _) => bail!("the checkpoint counts it, and nothing proves that"),
            (Some(_), None) => bail!("it has a path and no position"),
        }
    }
}
