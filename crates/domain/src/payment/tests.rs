//! What holds for every payment. The parts share one lease, its people and their accounts.

mod forms;
mod initiation;
mod random;
mod refunds;
mod retries;
mod small;
mod table;

use std::collections::HashMap;

use uuid::Uuid;

use super::initiate::{Acceptance, AccountStanding, Initiation, LeaseParties};
use super::*;
use crate::id::EventId;
use crate::ledger;
use crate::money::Currency;
use crate::rail::DelayScale;

const RENTER: UserId = UserId(Uuid::from_u128(0xA1));
const FLATMATE: UserId = UserId(Uuid::from_u128(0xA2));
const LANDLORD: UserId = UserId(Uuid::from_u128(0xB1));
const STRANGER: UserId = UserId(Uuid::from_u128(0xC1));
const LEASE: LeaseId = LeaseId(Uuid::from_u128(0xD1));
const PAYMENT: PaymentId = PaymentId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0123_4567_89AB));
/// Rent that was paid before: see [`rent_paid`].
const RENT_PAID: PaymentId = PaymentId(Uuid::from_u128(0xF1));
const RENTERS_ACCOUNT: BankAccountId = BankAccountId(Uuid::from_u128(0xE1));
const FLATMATES_ACCOUNT: BankAccountId = BankAccountId(Uuid::from_u128(0xE2));
const LANDLORDS_ACCOUNT: BankAccountId = BankAccountId(Uuid::from_u128(0xE3));

fn start() -> Instant {
    Instant::parse("2026-03-01T12:00:00Z").unwrap()
}

fn usd(cents: i64) -> Amount {
    Amount::from_minor(cents, Currency::USD).unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn reason(code: &str) -> Reason {
    Reason::new(code, "as the bank put it")
}

fn lease() -> LeaseParties {
    LeaseParties {
        id: LEASE,
        landlord_id: LANDLORD,
        renter_ids: vec![RENTER],
        currency: Currency::USD,
        payee_account_id: None,
        acceptance: Acceptance::Any,
    }
}

/// Rent of 1500.00 that the renter paid by wire and that can be refunded.
fn rent_paid() -> Refundable {
    Refundable {
        id: RENT_PAID,
        lease_id: LEASE,
        kind: Kind::Rent,
        status: Status::Completed,
        rail: Rail::Wire,
        payer_id: RENTER,
        payer_account_id: RENTERS_ACCOUNT,
        settled: usd(150_000),
        for_deposits_minor: 0,
        promised_minor: 0,
    }
}

fn account(owner_id: UserId, account_id: BankAccountId, last4: &str) -> AccountStanding {
    AccountStanding {
        owner_id,
        snapshot: AccountSnapshot { account_id, last4: last4.into(), bank_name: "First Bank".into() },
        is_active: true,
        is_primary: true,
        closed_by: None,
    }
}

fn accounts() -> Vec<AccountStanding> {
    vec![
        account(RENTER, RENTERS_ACCOUNT, "6789"),
        account(FLATMATE, FLATMATES_ACCOUNT, "1111"),
        account(LANDLORD, LANDLORDS_ACCOUNT, "4321"),
    ]
}

/// Rent, by the default rail, with everything omitted that may be.
fn initiation() -> Initiation {
    Initiation {
        initiated_by: RENTER,
        idempotency_key: key("march-rent"),
        lease_id: LEASE,
        amount: usd(150_000),
        rail: None,
        payer_account_id: None,
        payee_account_id: None,
        payee_id: None,
        refund_of: None,
        currency: None,
        metadata: None,
    }
}

fn at(now: Instant) -> Circumstances {
    Circumstances { now, scale: DelayScale::AS_IT_IS, jitter: 0 }
}

fn new_event(number: u128, occurred_at: Instant) -> NewEvent {
    NewEvent { id: EventId(Uuid::from_u128(number)), occurred_at, actor: Actor::system("test"), request_id: None }
}

/// A payment with the history that led to it.
struct Life {
    payment: Payment,
    events: Vec<Event>,
    at: Circumstances,
}

impl Life {
    fn of(initiation: &Initiation) -> Life {
        let at = at(start());
        let new = NewEvent { actor: Actor::user(initiation.initiated_by), ..new_event(1, at.now) };
        let (payment, event) =
            initiation.decide(PAYMENT, Some(&lease()), Some(&rent_paid()), &accounts(), at, new).unwrap();
        Life { payment, events: vec![event], at }
    }

    fn by(rail: Rail) -> Life {
        Life::of(&Initiation { rail: Some(rail), ..initiation() })
    }

    /// The shortest way to `status`, by an R10 where a reason is needed.
    fn to(status: Status) -> Life {
        let mut life = Life::by(Rail::StandardAch);
        let refused = Command::Refuse { attempt: 1, reason: reason("R10") };
        let returned = Command::Return { attempt: 1, reason: reason("R10") };
        let settled = Command::Settle { attempt: 1 };
        let way = match status {
            Status::Pending => vec![],
            Status::Processing => vec![Command::Submit],
            Status::Completed => vec![Command::Submit, settled],
            Status::Failed => vec![Command::Submit, refused],
            Status::Returned => vec![Command::Submit, settled, returned],
            Status::Cancelled => vec![Command::Cancel(None)],
        };
        for command in way {
            life.does(&command);
        }
        assert_eq!(life.payment.status, status);
        life
    }

    /// Decides and records; says which facts came of it, none if the history said so already.
    fn tries(&mut self, command: &Command) -> Result<Vec<EventType>, Rejection> {
        let facts = match self.payment.decide(command, self.at)? {
            Decision::AlreadyRecorded => Vec::new(),
            Decision::Record(facts) => facts,
        };
        let types = facts.iter().map(|(change, _)| change.event_type()).collect();
        for (change, reason) in facts {
            let new = new_event(u128::try_from(self.payment.version + 1).unwrap(), self.at.now);
            self.events.push(Event::next(&mut self.payment, change, reason, new));
        }
        Ok(types)
    }

    /// Does what must be allowed.
    fn does(&mut self, command: &Command) -> Vec<EventType> {
        self.tries(command).unwrap()
    }

    fn waits(&mut self, micros: i64) {
        self.at.now = self.at.now.plus_micros(micros);
    }

    fn attempt(&self) -> i64 {
        self.payment.attempt
    }

    fn submit(&mut self) {
        self.does(&Command::Submit);
    }

    fn settle(&mut self) {
        self.does(&Command::Settle { attempt: self.attempt() });
    }

    fn refuse(&mut self, code: &str) -> Vec<EventType> {
        self.does(&Command::Refuse { attempt: self.attempt(), reason: reason(code) })
    }

    fn return_for(&mut self, code: &str) -> Vec<EventType> {
        self.does(&Command::Return { attempt: self.attempt(), reason: reason(code) })
    }

    fn not_now(&mut self) -> Vec<EventType> {
        self.does(&Command::NotNow { attempt: self.attempt(), reason: reason(Reason::BANK_UNAVAILABLE) })
    }

    /// Hands over and is put off until the budget is spent.
    fn exhausts_retries(&mut self) {
        while self.payment.status == Status::Pending {
            self.submit();
            self.not_now();
        }
        assert_eq!(self.payment.status, Status::Failed);
    }

    fn last_change(&self) -> &Change {
        &self.events.last().unwrap().change
    }

    /// What all postings so far add up to in each account: debits less credits, in minor units.
    fn balances(&self) -> HashMap<ledger::Account, i64> {
        let (first, others) = self.events.split_first().unwrap();
        let mut payment = Payment::fold(std::slice::from_ref(first)).unwrap();
        let mut balances = HashMap::new();
        for event in others {
            for posting in payment.postings(&event.change) {
                *balances.entry(posting.debit).or_default() += posting.amount.minor();
                *balances.entry(posting.credit).or_default() -= posting.amount.minor();
            }
            payment.evolve(event);
        }
        balances
    }
}
