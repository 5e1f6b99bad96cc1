//! What a lease's receivable went through, line by line, in words that its parties understand.
//!
//! A line is one journal entry that touches the receivable: it is made from the event that caused the entry and from nothing
//! else. A charge counts from the day on which it was due, however late it was posted; everything else counts from the day on
//! which it happened where the property lies. So what a lease owed on a past day can change as long as charges of that day
//! are still to be posted.

use std::collections::HashMap;

use jiff::civil::Date;
use uuid::Uuid;

use crate::calendar::day_before;
use crate::charge::{ChargeKind, CreditKind};
use crate::id::{ChargeId, PaymentId};
use crate::lease_event::{LeaseChange, LeaseEvent, PostedCharge};
use crate::names::names;
use crate::payment::{Change, Event, Kind, Reason};
use crate::time::Instant;

/// Whose history an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// A lease's.
    Lease,
    /// A payment's.
    Payment,
}

names!(Stream { Lease = "LEASE", Payment = "PAYMENT" });

/// The event that caused a journal entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Of the lease itself.
    Lease(Box<LeaseEvent>),
    /// Of one of its payments, and which way that moves money.
    Payment(Kind, Box<Event>),
}

/// A journal entry that touches the receivable of a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What caused it.
    pub fact: Fact,
    /// By how many minor units it debits the receivable; less than zero where it credits it.
    pub amount_minor: i64,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The day from which it counts.
    pub date: Date,
    /// When it was recorded, in business time.
    pub occurred_at: Instant,
    /// In plain words.
    pub description: String,
    /// Whose event caused it.
    pub stream: Stream,
    /// Which lease or payment that is.
    pub stream_id: Uuid,
    /// Which of its events.
    pub sequence: i64,
    /// The charge that it is about, if it is about one.
    pub charge_id: Option<ChargeId>,
    /// The payment that it is about, if it is about one.
    pub payment_id: Option<PaymentId>,
    /// How much more is owed, in minor units; less than zero where less is.
    pub amount_minor: i64,
    /// What is owed after it, in minor units; less than zero where the renters are ahead.
    pub balance_minor: i64,
}

/// The lines of a lease's entries, in the order of their dates and with running balances.
///
/// `date_of` says which day it is at a moment where the property lies.
pub fn lines(entries: &[Entry], date_of: impl Fn(Instant) -> Date) -> Vec<Line> {
    let names = ChargeNames::of(entries);
    let mut lines: Vec<Line> = entries.iter().map(|entry| entry.line(&names, &date_of)).collect();
    lines.sort_by_key(|line| (line.date, line.occurred_at, line.stream_id, line.sequence));
    let mut balance_minor: i64 = 0;
    for line in &mut lines {
        balance_minor = balance_minor.saturating_add(line.amount_minor);
        line.balance_minor = balance_minor;
    }
    lines
}

/// What is owed when `as_of` is over, in minor units: nothing before the first line.
pub fn balance_on(lines: &[Line], as_of: Date) -> i64 {
    let through = lines.partition_point(|line| line.date <= as_of);
    lines[..through].last().map_or(0, |line| line.balance_minor)
}

/// What a lease went through on some days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The first day; `None` from the beginning.
    pub from: Option<Date>,
    /// The last day; `None` to the end.
    pub to: Option<Date>,
    /// What was owed before the first day, in minor units.
    pub opening_minor: i64,
    /// In the order of their dates.
    pub lines: Vec<Line>,
    /// What was owed after the last day, in minor units.
    pub closing_minor: i64,
}

impl Statement {
    /// What of all `lines` of a lease lies between two days, both included.
    pub fn of(lines: Vec<Line>, from: Option<Date>, to: Option<Date>) -> Statement {
        let opening_minor = from.map_or(0, |from| balance_on(&lines, day_before(from)));
        let wanted = |line: &Line| from.is_none_or(|from| from <= line.date) && to.is_none_or(|to| line.date <= to);
        let lines: Vec<Line> = lines.into_iter().filter(wanted).collect();
        let closing_minor = lines.last().map_or(opening_minor, |line| line.balance_minor);
        Statement { from, to, opening_minor, lines, closing_minor }
    }

    /// By how much its lines make the debt grow, and by how much they make it less, in minor units.
    pub fn turnover(&self) -> Turnover {
        let sum = |total: i64, line: &Line| total.saturating_add(line.amount_minor);
        Turnover {
            charged_minor: self.lines.iter().filter(|line| 0 < line.amount_minor).fold(0, sum),
            credited_minor: self.lines.iter().filter(|line| line.amount_minor < 0).fold(0, sum).saturating_neg(),
        }
    }
}

/// What the lines of a statement come to, in minor units, neither less than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turnover {
    /// Charges, and payments that came back.
    pub charged_minor: i64,
    /// Payments, credits, and charges that were taken back.
    pub credited_minor: i64,
}

/// What posted charges are for; a void or a waiver names only the charge.
struct ChargeNames(HashMap<ChargeId, String>);

impl ChargeNames {
    fn of(entries: &[Entry]) -> ChargeNames {
        let named = entries.iter().filter_map(|entry| match &entry.fact {
            Fact::Lease(event) => match &event.change {
                LeaseChange::ChargePosted(posted) => Some((posted.charge_id, name_of(posted))),
                LeaseChange::ChargeVoided { .. }
                | LeaseChange::CreditGranted { .. }
                | LeaseChange::DepositReleased(_)
                | LeaseChange::Entered { .. }
                | LeaseChange::Terminated { .. }
                | LeaseChange::RentChanged { .. }
                | LeaseChange::SharesChanged(_)
                | LeaseChange::MandateChanged { .. }
                | LeaseChange::DrawAnnounced { .. }
                | LeaseChange::DrawMade { .. }
                | LeaseChange::DrawMissed(_)
                | LeaseChange::DrawFailed { .. }
                | LeaseChange::ExtraAdded { .. }
                | LeaseChange::ExtraEnded { .. }
                | LeaseChange::PolicyChanged(_)
                | LeaseChange::LateFeeRuleChanged { .. }
                | LeaseChange::ChargeNoticeChanged(_)
                | LeaseChange::ChargeAdded(_) => None,
            },
            Fact::Payment(..) => None,
        });
        ChargeNames(named.collect())
    }

    fn get(&self, id: ChargeId) -> Option<&str> {
        self.0.get(&id).map(String::as_str)
    }
}

impl Entry {
    fn line(&self, names: &ChargeNames, date_of: impl Fn(Instant) -> Date) -> Line {
        let Entry { fact, amount_minor } = self;
        let line = |stream, stream_id, sequence, occurred_at| Line {
            date: date_of(occurred_at),
            occurred_at,
            description: String::new(),
            stream,
            stream_id,
            sequence,
            charge_id: None,
            payment_id: None,
            amount_minor: *amount_minor,
            balance_minor: 0,
        };
        match fact {
            Fact::Lease(event) => {
                let line = line(Stream::Lease, event.lease_id.0, event.sequence, event.occurred_at);
                of_lease(line, event, names)
            }
            Fact::Payment(kind, event) => Line {
                description: payment_in_words(*kind, event),
                payment_id: Some(event.payment_id),
                ..line(Stream::Payment, event.payment_id.0, event.sequence, event.occurred_at)
            },
        }
    }
}

fn of_lease(line: Line, event: &LeaseEvent, names: &ChargeNames) -> Line {
    let reason = event.reason.as_ref();
    match &event.change {
        LeaseChange::ChargePosted(posted) => {
            Line { date: posted.due_date, description: name_of(posted), charge_id: Some(posted.charge_id), ..line }
        }
        LeaseChange::ChargeVoided { charge_id, kind, .. } => {
            let what = names.get(*charge_id).unwrap_or_else(|| kind_in_words(*kind));
            let description = with_reason(format!("Voided: {what}"), reason);
            Line { description, charge_id: Some(*charge_id), ..line }
        }
        LeaseChange::CreditGranted { kind, charge_id, .. } => {
            let description = credit_in_words(*kind, charge_id.and_then(|id| names.get(id)), reason);
            Line { description, charge_id: *charge_id, ..line }
        }
        LeaseChange::DepositReleased(_) => Line { description: "Deposit released".to_owned(), ..line },
        // None of these moves money; should one ever, its name says more than nothing.
        LeaseChange::Entered { .. }
        | LeaseChange::Terminated { .. }
        | LeaseChange::RentChanged { .. }
        | LeaseChange::SharesChanged(_)
        | LeaseChange::MandateChanged { .. }
        | LeaseChange::DrawAnnounced { .. }
        | LeaseChange::DrawMade { .. }
        | LeaseChange::DrawMissed(_)
        | LeaseChange::DrawFailed { .. }
        | LeaseChange::ExtraAdded { .. }
        | LeaseChange::ExtraEnded { .. }
        | LeaseChange::PolicyChanged(_)
        | LeaseChange::LateFeeRuleChanged { .. }
        | LeaseChange::ChargeNoticeChanged(_)
        | LeaseChange::ChargeAdded(_) => Line { description: event.change.event_type().name().to_owned(), ..line },
    }
}

fn name_of(posted: &PostedCharge) -> String {
    let described = posted.description.as_deref().unwrap_or_else(|| kind_in_words(posted.kind));
    match posted.kind {
        ChargeKind::Rent | ChargeKind::Extra => {
            format!("{described} {}", days(posted.period_start, posted.period_end))
        }
        ChargeKind::Deposit if posted.description.is_some() => format!("Deposit: {described}"),
        ChargeKind::Deposit | ChargeKind::OneOff | ChargeKind::LateFee | ChargeKind::Payout => described.to_owned(),
    }
}

fn kind_in_words(kind: ChargeKind) -> &'static str {
    match kind {
        ChargeKind::Rent => "Rent",
        ChargeKind::Extra => "Extra",
        ChargeKind::OneOff => "Charge",
        ChargeKind::Deposit => "Deposit",
        ChargeKind::LateFee => "Late fee",
        ChargeKind::Payout => "Money paid out",
    }
}

fn credit_in_words(kind: CreditKind, charge: Option<&str>, reason: Option<&Reason>) -> String {
    let kind = match kind {
        CreditKind::Concession => "Concession",
        CreditKind::Waiver => "Waiver",
        CreditKind::WriteOff => "Write-off",
        CreditKind::Correction => "Correction",
    };
    match (charge, reason) {
        (Some(charge), reason) => with_reason(format!("{kind}: {charge}"), reason),
        (None, Some(reason)) => format!("{kind}: {}", reason.text),
        (None, None) => kind.to_owned(),
    }
}

fn with_reason(what: String, reason: Option<&Reason>) -> String {
    match reason {
        Some(reason) => format!("{what} ({})", reason.text),
        None => what,
    }
}

fn payment_in_words(kind: Kind, event: &Event) -> String {
    let noun = match kind {
        Kind::Rent => "Payment",
        Kind::Refund => "Refund",
    };
    let told = |what: &str| match &event.reason {
        // Our own words for the codes that we know: what a bank writes is for the history.
        Some(reason) => {
            let text = reason.return_code().map_or(reason.text.as_str(), |known| known.title);
            format!("{noun} {what} ({} {text})", reason.code)
        }
        None => format!("{noun} {what}"),
    };
    match &event.change {
        Change::Processing { .. } => format!("{noun} by {}", event.metadata.rail),
        Change::Failed => told("failed"),
        Change::RetryScheduled { .. } => told("did not go through and will be tried again"),
        Change::Returned => told("returned"),
        Change::Initiated(_) | Change::RetryRequested { .. } | Change::Completed | Change::Cancelled => {
            format!("{noun}: {}", event.change.event_type())
        }
    }
}

/// `1 March to 31 March 2026`; the year stands twice only where there are two.
pub fn days(first: Date, last: Date) -> String {
    let day = |date: Date| format!("{} {}", date.day(), month(date));
    if first == last {
        format!("{} {}", day(first), first.year())
    } else if first.year() == last.year() {
        format!("{} to {} {}", day(first), day(last), last.year())
    } else {
        format!("{} {} to {} {}", day(first), first.year(), day(last), last.year())
    }
}

fn month(date: Date) -> &'static str {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    usize::try_from(date.month() - 1).ok().and_then(|place| MONTHS.get(place)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
