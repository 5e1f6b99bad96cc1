//! What came back, over all connections.

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::http::Answer;

/// The longest time that is told from a longer one: two minutes.
const LATENCY_MAX_US: u64 = 120_000_000;

/// How many requests had which end, and when.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// New payments.
    pub(crate) accepted: u64,
    pub(crate) replayed: u64,
    /// Sent away with a 503 that says when to come again.
    pub(crate) refused: u64,
    /// Due, but never sent: too many others were still waiting for a connection. Open loop only.
    pub(crate) unsent: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed_us: u64,
    /// What the generator itself took of the processor.
    pub(crate) processor_us: u64,
    /// How long it took until a payment was accepted or found accepted. Refusals are not in it.
    pub(crate) latency: Latency,
    /// How long it took to read a history; nothing if none was read.
    pub(crate) reading: Option<Latency>,
}

/// How long answers took, from when their requests were due.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

/// Whether a request is the first with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fresh,
    /// Repeats a request that was accepted.
    Replay,
    /// Repeats a request that was refused.
    Retry,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Replayed,
    Refused,
}

/// The tally while it grows.
pub(super) struct Book {
    tally: Tally,
    latencies_us: Histogram<u64>,
    reading_us: Histogram<u64>,
}

impl Book {
    pub(super) fn new() -> Result<Book> {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_US, 3);
        Ok(Book { tally: Tally::default(), latencies_us: histogram()?, reading_us: histogram()? })
    }

    pub(super) fn enter(&mut self, verdict: Verdict, latency_us: u64) {
        match verdict {
            Verdict::Accepted => self.tally.accepted += 1,
            Verdict::Replayed => self.tally.replayed += 1,
            Verdict::Refused => self.tally.refused += 1,
        }
        if verdict != Verdict::Refused {
            self.latencies_us.saturating_record(latency_us);
        }
    }

    pub(super) fn enter_unsent(&mut self, count: u64) {
        self.tally.unsent += count;
    }

    pub(super) fn enter_read(&mut self, latency_us: u64) {
        self.reading_us.saturating_record(latency_us);
    }

    pub(super) fn accepted(&self) -> u64 {
        self.tally.accepted
    }

    pub(super) fn tally(&self) -> Tally {
        let reading = (!self.reading_us.is_empty()).then(|| Latency::of(&self.reading_us));
        Tally { latency: Latency::of(&self.latencies_us), reading, ..self.tally.clone() }
    }
}

impl Latency {
    fn of(times_us: &Histogram<u64>) -> Latency {
        let at = |quantile| times_us.value_at_quantile(quantile);
        Latency { p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: times_us.max() }
    }
}

/// Anything but what must come back is an error: a rate of wrong answers is not a rate.
pub(super) fn judge(kind: Kind, answer: &Answer) -> Result<Verdict> {
    match (answer.status, kind) {
        (201, Kind::Fresh | Kind::Retry) => Ok(Verdict::Accepted),
        (200, Kind::Replay) => Ok(Verdict::Replayed),
        (503, _) => {
            ensure!(answer.retry_after, "a refusal without `Retry-After`");
            Ok(Verdict::Refused)
        }
        (status, kind) => bail!("status {status} for a {kind:?} request"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Book, Kind, Verdict, judge};

    fn answer(status: u16, retry_after: bool) -> Answer {
        Answer { status, retry_after, ..Answer::default() }
    }

    #[test]
    fn a_second_payment_for_a_replay_is_wrong() {
        assert_eq!(judge(Kind::Replay, &answer(200, false)).unwrap(), Verdict::Replayed);
        assert!(judge(Kind::Replay, &answer(201, false)).is_err());
        assert!(judge(Kind::Fresh, &answer(200, false)).is_err());
        assert_eq!(judge(Kind::Retry, &answer(201, false)).unwrap(), Verdict::Accepted);
    }

    #[test]
    fn a_refusal_must_say_when_to_come_again() {
        assert_eq!(judge(Kind::Fresh, &answer(503, true)).unwrap(), Verdict::Refused);
        assert!(judge(Kind::Fresh, &answer(503, false)).is_err());
        assert!(judge(Kind::Fresh, &answer(500, true)).is_err());
    }

    #[test]
    fn the_time_of_a_refusal_does_not_count() {
        let mut book = Book::new().unwrap();
        book.enter(Verdict::Accepted, 2000);
        book.enter(Verdict::Refused, 1);
        let tally = book.tally();
        assert_eq!((tally.accepted, tally.refused, tally.latency.p50_us), (1, 1, 2000));
    }

    #[test]
    fn reads_are_told_apart_from_payments() {
        let mut book = Book::new().unwrap();
        book.enter(Verdict::Accepted, 2000);
        assert_eq!(book.tally().reading, None);
        book.enter_read(500);
        let tally = book.tally();
        assert_eq!((tally.accepted, tally.latency.max_us), (1, 2000));
        assert_eq!(tally.reading.map(|reading| reading.p50_us), Some(500));
    }
}
