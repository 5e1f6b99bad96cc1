//! What is counted where it happens.

use std::future::Future;
use std::time::Duration;

use directpay_domain::rail::Rail;
use directpay_domain::webhook::Outcome;
use metrics::{Counter, Histogram};

use super::Registry;
use crate::autopay;
use crate::bank::{BankOutcome, BankSilent, Receipt, Sighting};
use crate::clock::Stopwatch;
use crate::daily_pass;

/// The handles of a process.
pub struct Recorded {
    /// The group commit of new payments.
    pub intake: Intake,
    /// Payments that a submit worker took up together.
    pub submit_payments: Histogram,
    /// Notices of the bank that were recorded together.
    pub settle_payments: Histogram,
    /// What the bank says.
    pub bank: Bank,
    /// The beginning of days.
    pub daily_pass: DailyPass,
    /// The looks after mandates.
    pub autopay: Autopay,
    /// What is sent to webhooks.
    pub webhooks: Webhooks,
    /// What becomes of mail.
    pub mail: Mail,
    /// What becomes of folded entries of the trail.
    pub trail: Trail,
}

impl Recorded {
    pub(super) fn new(registry: &Registry) -> Recorded {
        let batch = |worker| {
            let help = "Payments that a worker took up in one transaction.";
            registry.histogram("directpay_worker_batch_payments", help, &[("worker", worker)])
        };
        Recorded {
            intake: Intake::new(registry),
            submit_payments: batch("submit"),
            settle_payments: batch("settle"),
            bank: Bank::new(registry),
            daily_pass: DailyPass::new(registry),
            autopay: Autopay::new(registry),
            webhooks: Webhooks::new(registry),
            mail: Mail::new(registry),
            trail: Trail::new(registry),
        }
    }
}

/// The group commit of new payments.
pub struct Intake {
    /// Requests in one transaction.
    pub batch_payments: Histogram,
    /// How long its transaction took.
    pub batch_seconds: Histogram,
    /// Batches that the database refused.
    pub failed_batches: Counter,
    /// Requests that found the queue full.
    pub shed: Counter,
}

impl Intake {
    fn new(registry: &Registry) -> Intake {
        Intake {
            batch_payments: registry.histogram(
                "directpay_intake_batch_payments",
                "Requests for payments in one transaction of the group commit.",
                &[],
            ),
            batch_seconds: registry.histogram(
                "directpay_intake_batch_duration_seconds",
                "How long a transaction of the group commit took, its flush to the disk included.",
                &[],
            ),
            failed_batches: registry.counter(
                "directpay_intake_failed_batches_total",
                "Transactions of the group commit that the database refused.",
                &[],
            ),
            shed: registry.counter(
                "directpay_intake_shed_total",
                "Requests for payments that were sent away with 503 because the queue was full.",
                &[],
            ),
        }
    }
}

/// How the rounds of a worker end.
pub struct Rounds {
    /// There was work.
    pub worked: Counter,
    /// There was none.
    pub idle: Counter,
    /// It failed.
    pub failed: Counter,
    /// It panicked.
    pub panicked: Counter,
}

impl Rounds {
    /// Of the worker `name`.
    pub fn of(registry: &Registry, name: &str) -> Rounds {
        let ended = |outcome| {
            let help = "Rounds of the workers by how they ended: worked, idle, failed or panicked.";
            registry.counter("directpay_worker_rounds_total", help, &[("worker", name), ("outcome", outcome)])
        };
        Rounds { worked: ended("worked"), idle: ended("idle"), failed: ended("failed"), panicked: ended("panicked") }
    }
}

/// One kind of question to the bank.
pub struct Call {
    seconds: Histogram,
    unanswered: Counter,
}

impl Call {
    fn new(registry: &Registry, name: &'static str) -> Call {
        let labels = [("call", name)];
        Call {
            seconds: registry.histogram(
                "directpay_bank_call_duration_seconds",
                "How long the bank took to answer a call: submit, inquire or collect.",
                &labels,
            ),
            unanswered: registry.counter(
                "directpay_bank_calls_unanswered_total",
                "Calls that the bank did not answer.",
                &labels,
            ),
        }
    }

    /// Asks, and takes the time.
    pub async fn time<T>(&self, asking: impl Future<Output = Result<T, BankSilent>>) -> Result<T, BankSilent> {
        let asked = Stopwatch::start();
        let answer = asking.await;
        self.seconds.record(asked.elapsed());
        if answer.is_err() {
            self.unanswered.increment(1);
        }
        answer
    }
}

/// What the bank says, by rail.
pub struct Bank {
    /// Instructions are handed over.
    pub submit: Call,
    /// They are asked for by reference.
    pub inquire: Call,
    /// What the bank tells is collected.
    pub collect: Call,
    receipts: [[Counter; 5]; Rail::ALL.len()],
    sightings: [[Counter; 3]; Rail::ALL.len()],
    notices: [[Counter; 3]; Rail::ALL.len()],
}

/// A counter for each rail and outcome, in their orders.
fn by_outcome<const N: usize>(
    registry: &Registry,
    name: &'static str,
    help: &'static str,
    outcomes: [&str; N],
) -> [[Counter; N]; Rail::ALL.len()] {
    let of = |rail: Rail, outcome| registry.counter(name, help, &[("rail", rail.name()), ("outcome", outcome)]);
    Rail::ALL.map(|rail| outcomes.map(|outcome| of(rail, outcome)))
}

fn count<const N: usize>(counters: &[[Counter; N]; Rail::ALL.len()], rail: Rail, outcome: usize) {
    if let Some(counter) = counters.get(rail as usize).and_then(|of_rail| of_rail.get(outcome)) {
        counter.increment(1);
    }
}

impl Bank {
    fn new(registry: &Registry) -> Bank {
        Bank {
            submit: Call::new(registry, "submit"),
            inquire: Call::new(registry, "inquire"),
            collect: Call::new(registry, "collect"),
            receipts: by_outcome(
                registry,
                "directpay_bank_receipts_total",
                "What the bank said to instructions that were handed to it.",
                ["accepted", "settled", "already_seen", "not_now", "unknown"],
            ),
            sightings: by_outcome(
                registry,
                "directpay_bank_sightings_total",
                "What the bank said when it was asked for instructions by reference.",
                ["seen", "settled", "never_seen"],
            ),
            notices: by_outcome(
                registry,
                "directpay_bank_notices_total",
                "What the bank told later of instructions, and was recorded.",
                ["settled", "refused", "returned"],
            ),
        }
    }

    /// The bank gave a receipt.
    pub fn receipt(&self, rail: Rail, receipt: &Receipt) {
        let outcome = match receipt {
            Receipt::Accepted => 0,
            Receipt::Settled => 1,
            Receipt::AlreadySeen => 2,
            Receipt::NotNow(_) => 3,
            Receipt::Unknown => 4,
        };
        count(&self.receipts, rail, outcome);
    }

    /// The bank was asked for an instruction.
    pub fn sighting(&self, rail: Rail, sighting: Sighting) {
        let outcome = match sighting {
            Sighting::Seen => 0,
            Sighting::Settled => 1,
            Sighting::NeverSeen => 2,
        };
        count(&self.sightings, rail, outcome);
    }

    /// The bank told what became of an instruction.
    pub fn notice(&self, rail: Rail, outcome: &BankOutcome) {
        let outcome = match outcome {
            BankOutcome::Settled => 0,
            BankOutcome::Refused(_) => 1,
            BankOutcome::Returned(_) => 2,
        };
        count(&self.notices, rail, outcome);
    }
}

/// What happens when days begin.
pub struct DailyPass {
    seconds: Histogram,
    leases: Counter,
    charges: Counter,
    late_fees: Counter,
    put_off: Counter,
}

impl DailyPass {
    fn new(registry: &Registry) -> DailyPass {
        let counter = |name, help| registry.counter(name, help, &[]);
        DailyPass {
            seconds: registry.histogram(
                "directpay_daily_pass_duration_seconds",
                "How long it took to go through the leases for which a day had begun.",
                &[],
            ),
            leases: counter("directpay_daily_pass_leases_total", "Leases for which a day has begun."),
            charges: counter("directpay_daily_pass_charges_total", "Charges that fell due."),
            late_fees: counter("directpay_daily_pass_late_fees_total", "Late fees that were made."),
            put_off: counter("directpay_daily_pass_put_off_total", "Leases that could not be read and were put off."),
        }
    }

    /// A pass is over that took since `began`.
    pub fn passed(&self, began: Stopwatch, tally: daily_pass::Tally) {
        self.seconds.record(began.elapsed());
        for (counter, count) in [
            (&self.leases, tally.leases),
            (&self.charges, tally.charges),
            (&self.late_fees, tally.fees),
            (&self.put_off, tally.put_off),
        ] {
            counter.increment(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
}

/// What is done for mandates.
pub struct Autopay {
    seconds: Histogram,
    mandates: Counter,
    draws: Counter,
}

impl Autopay {
    fn new(registry: &Registry) -> Autopay {
        Autopay {
            seconds: registry.histogram(
                "directpay_autopay_duration_seconds",
                "How long it took to look after the mandates whose time had come.",
                &[],
            ),
            mandates: registry.counter("directpay_autopay_mandates_total", "Mandates that were looked after.", &[]),
            draws: registry.counter("directpay_autopay_draws_total", "Payments that were drawn by mandates.", &[]),
        }
    }

    /// A look is over that took since `began`.
    pub fn looked(&self, began: Stopwatch, tally: autopay::Tally) {
        self.seconds.record(began.elapsed());
        self.mandates.increment(u64::try_from(tally.mandates).unwrap_or(u64::MAX));
        self.draws.increment(u64::try_from(tally.drawn).unwrap_or(u64::MAX));
    }
}

/// What is sent to webhooks.
pub struct Webhooks {
    seconds: Histogram,
    attempts: [Counter; Outcome::ALL.len()],
    /// Deliveries that were tried often enough.
    pub given_up: Counter,
    /// Webhooks that were disabled.
    pub disabled: Counter,
}

impl Webhooks {
    fn new(registry: &Registry) -> Webhooks {
        let attempts = |outcome: Outcome| {
            let help =
                "Attempts to deliver to a webhook by outcome: DELIVERED, REFUSED, TIMED_OUT, UNREACHABLE or FORBIDDEN.";
            registry.counter("directpay_webhook_attempts_total", help, &[("outcome", outcome.name())])
        };
        Webhooks {
            seconds: registry.histogram(
                "directpay_webhook_attempt_duration_seconds",
                "How long attempts to deliver to a webhook took.",
                &[],
            ),
            attempts: Outcome::ALL.map(attempts),
            given_up: registry.counter(
                "directpay_webhook_given_up_total",
                "Deliveries to webhooks that were tried often enough.",
                &[],
            ),
            disabled: registry.counter(
                "directpay_webhooks_disabled_total",
                "Webhooks that were disabled because they are gone or have failed for days.",
                &[],
            ),
        }
    }

    /// An attempt is over.
    pub fn attempted(&self, outcome: Outcome, took: Duration) {
        self.seconds.record(took);
        if let Some(counter) = self.attempts.get(outcome as usize) {
            counter.increment(1);
        }
    }
}

/// What becomes of mail.
pub struct Mail {
    /// The mail server has it, or it is a file.
    pub sent: Counter,
    /// It is tried again.
    pub put_off: Counter,
    /// It was refused, or its time is over.
    pub given_up: Counter,
}

impl Mail {
    fn new(registry: &Registry) -> Mail {
        let ended = |outcome| {
            let help = "Tries to send a mail by how they ended: sent, put_off or given_up.";
            registry.counter("directpay_mail_tries_total", help, &[("outcome", outcome)])
        };
        Mail { sent: ended("sent"), put_off: ended("put_off"), given_up: ended("given_up") }
    }
}

/// What becomes of folded entries of the trail.
pub struct Trail {
    /// They stand in it.
    pub written: Counter,
    /// The database did not take them.
    pub lost: Counter,
}

impl Trail {
    fn new(registry: &Registry) -> Trail {
        let ended = |outcome| {
            let help =
                "Folded entries of the trail (what was used, read or refused) by what became of them: written or lost.";
            registry.counter("directpay_trail_folded_total", help, &[("outcome", outcome)])
        };
        Trail { written: ended("written"), lost: ended("lost") }
    }
}
