//! A landlord, a renter, their accounts, a property and a lease, and the words to tell stories about them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use directpay_domain::bank_account::AccountType;
use directpay_domain::charge::ChargeNotice;
use directpay_domain::id::{BankAccountId, EventId, LeaseId, PaymentId, PropertyId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::lease::{DueDay, FirstPeriod, LastPeriod, LeaseTerms, Proration};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Actor, Circumstances, Command, Event, NewEvent, Payment, Reason, Status};
use directpay_domain::policy::PolicySpan;
use directpay_domain::property::{ZoneName, day_begins};
use directpay_domain::rail::DelayScale;
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::bank_accounts::{BankAccount, NewBankAccount, SealedNumber};
use directpay_store::bank_book::{self, Instruction, Plan, State, Told};
use directpay_store::lease_ledger::Passed;
use directpay_store::leases::Lease;
use directpay_store::payments::{Fresh, Initiated, Instructed, Outcome, Recorded};
use directpay_store::properties::Property;
use directpay_store::users::{NewUser, RenterOfLease, User};
use directpay_store::{Db, StoreError, Tx, bank_accounts, events, leases, payments, properties, users};
use jiff::civil::{Date, date};
use uuid::Uuid;

pub(crate) struct World {
    pub(crate) db: Db,
    ids: AtomicU64,
    now_us: AtomicI64,
}

/// Everybody and everything that a payment needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct House {
    pub(crate) landlord: UserId,
    pub(crate) renter: UserId,
    pub(crate) landlords_account: BankAccountId,
    pub(crate) renters_account: BankAccountId,
    pub(crate) property: PropertyId,
    pub(crate) lease: LeaseId,
}

pub(crate) fn usd(cents: i64) -> Amount {
    Amount::from_minor(cents, Currency::USD).unwrap()
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub(crate) fn reason(code: &str) -> Reason {
    Reason::new(code, format!("{code} in words"))
}

pub(crate) fn terms(starts_on: Date, ends_on: Option<Date>) -> LeaseTerms {
    LeaseTerms {
        starts_on,
        ends_on,
        rent: usd(150_000),
        rent_changes: Vec::new(),
        due_day: DueDay::parse(1).unwrap(),
        first_period: FirstPeriod::Prorate,
        last_period: LastPeriod::Prorate,
        proration: Proration::Actual,
    }
}

/// A daily pass has gone through this day.
pub(crate) fn passed(on: Date) -> Passed {
    let zone = ZoneName::parse("America/Chicago").unwrap();
    Passed { on, next_at: day_begins(&zone, on.tomorrow().unwrap()) }
}

/// Rent in full, by the default rail, everything else omitted.
pub(crate) fn rent(house: &House, key_text: &str) -> Initiation {
    Initiation {
        initiated_by: house.renter,
        idempotency_key: key(key_text),
        lease_id: house.lease,
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

pub(crate) fn refund(house: &House, key_text: &str) -> Initiation {
    Initiation { initiated_by: house.landlord, ..rent(house, key_text) }
}

impl World {
    pub(crate) fn new(db: Db) -> World {
        let start = Instant::parse("2026-03-01T12:00:00Z").unwrap();
        World { db, ids: AtomicU64::new(1), now_us: AtomicI64::new(start.micros()) }
    }

    /// Ascending, so that newer things have higher ids; the high bit is set in every second one, as it is in half of all ids.
    pub(crate) fn id(&self) -> Uuid {
        let number = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        Uuid::from_u128(number << 80 | number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & ((1 << 80) - 1))
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(self.now_us.load(Ordering::Relaxed)).unwrap()
    }

    pub(crate) fn wait_us(&self, micros: i64) {
        self.now_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Runs what belongs together in one transaction and keeps it.
    pub(crate) async fn keep<T, E: std::fmt::Debug>(&self, work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>) -> T {
        let mut tx = self.db.begin().await.unwrap();
        let value = work(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        value
    }

    /// Runs what must fail, and gives back why.
    pub(crate) async fn fail<T: std::fmt::Debug, E>(&self, work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>) -> E {
        let mut tx = self.db.begin().await.unwrap();
        let Err(error) = work(&mut tx).await else { panic!("this should have failed") };
        error
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let (count,): (i64,) = self.keep(async |tx| tx.fetch_one(sql, ()).await).await;
        count
    }

    pub(crate) async fn execute(&self, sql: &'static str) -> u64 {
        self.keep(async |tx| tx.execute(sql, ()).await).await
    }

    pub(crate) fn person(&self, role: Role, email: &str) -> User {
        User {
            id: UserId(self.id()),
            email: email.into(),
            full_name: format!("{email} in full"),
            phone: None,
            role,
            created_at: self.now(),
        }
    }

    pub(crate) async fn joins(&self, role: Role) -> UserId {
        let number = self.ids.load(Ordering::Relaxed);
        let email = format!("{}-{number}@example.com", role.name().to_lowercase());
        let user = self.person(role, &email);
        self.keep(async |tx| users::insert(tx, new_user(&user, &email)).await).await;
        user.id
    }

    pub(crate) fn account(&self, owner: UserId) -> BankAccount {
        let id = self.id();
        BankAccount {
            id: BankAccountId(id),
            user_id: owner,
            token: format!("ba_{id}"),
            bank_name: "First Bank".into(),
            account_type: AccountType::Checking,
            account_holder_name: "Ada Lovelace".into(),
            routing_number: "021000021".into(),
            last4: format!("{:04}", self.ids.load(Ordering::Relaxed) % 10_000),
            is_primary: false,
            is_active: true,
            closed_by: None,
            created_at: self.now(),
        }
    }

    pub(crate) async fn links(&self, owner: UserId) -> BankAccountId {
        let account = self.account(owner);
        self.keep(async |tx| {
            let is_primary = !bank_accounts::has_primary(tx, owner).await?;
            let account = BankAccount { is_primary, ..account.clone() };
            insert_account(tx, &account, &account.token).await
        })
        .await;
        account.id
    }

    pub(crate) async fn builds(&self, landlord: UserId) -> PropertyId {
        let property = self.property(landlord);
        self.keep(async |tx| properties::insert(tx, &property).await).await;
        property.id
    }

    pub(crate) fn property(&self, landlord: UserId) -> Property {
        Property {
            id: PropertyId(self.id()),
            landlord_id: landlord,
            name: Some("The Old Mill".into()),
            address: "12 Main St.".into(),
            unit: None,
            city: "Springfield".into(),
            state: "IL".into(),
            zip_code: "62701".into(),
            time_zone: "America/Chicago".into(),
            created_at: self.now(),
        }
    }

    pub(crate) fn lease(&self, property: PropertyId, landlord: UserId, renters: &[UserId], terms: LeaseTerms) -> Lease {
        let id = LeaseId(self.id());
        let renters = renters
            .iter()
            .map(|renter| RenterOfLease { lease_id: id.0, id: renter.0, full_name: String::new() })
            .collect();
        Lease {
            id,
            property_id: property,
            landlord_id: landlord,
            renters,
            shares: Vec::new(),
            terms,
            payee_account_id: None,
            policy: PolicySpan::default(),
            charge_notice: ChargeNotice::default(),
            terminated_at: None,
            created_at: self.now(),
        }
    }

    /// A lease from 2026 on a property of its own.
    pub(crate) async fn lets(&self, landlord: UserId, renters: &[UserId]) -> LeaseId {
        let property = self.builds(landlord).await;
        let lease = self.lease(property, landlord, renters, terms(date(2026, 1, 1), None));
        self.keep(async |tx| leases::insert(tx, &lease, passed(date(2026, 1, 1))).await).await;
        lease.id
    }

    pub(crate) async fn house(&self) -> House {
        let (landlord, renter) = (self.joins(Role::Landlord).await, self.joins(Role::Renter).await);
        let (landlords_account, renters_account) = (self.links(landlord).await, self.links(renter).await);
        let property = self.builds(landlord).await;
        let lease = self.lease(property, landlord, &[renter], terms(date(2026, 1, 1), None));
        self.keep(async |tx| leases::insert(tx, &lease, passed(date(2026, 1, 1))).await).await;
        House { landlord, renter, landlords_account, renters_account, property, lease: lease.id }
    }

    pub(crate) fn circumstances(&self) -> Circumstances {
        Circumstances { now: self.now(), scale: DelayScale::AT_ONCE, jitter: 0 }
    }

    pub(crate) fn new_event(&self) -> NewEvent {
        NewEvent { id: EventId(self.id()), occurred_at: self.now(), actor: Actor::system("contract"), request_id: None }
    }

    pub(crate) fn fresh(&self, initiation: Initiation) -> Fresh {
        Fresh { initiation, payment_id: PaymentId(self.id()), event: self.new_event(), at: self.circumstances() }
    }

    pub(crate) async fn initiates(&self, batch: &[Initiation]) -> Vec<Outcome> {
        let batch: Vec<_> = batch.iter().map(|initiation| self.fresh(initiation.clone())).collect();
        self.keep(async |tx| payments::initiate(tx, &batch).await).await
    }

    /// Pays what must be accepted as new.
    pub(crate) async fn pays(&self, initiation: Initiation) -> PaymentId {
        let outcomes = self.initiates(&[initiation]).await;
        let initiated = initiated(&outcomes[0]);
        assert!(!initiated.replayed);
        initiated.payment.terms.id
    }

    pub(crate) fn instructed(&self, payment_id: PaymentId, command: Command) -> Instructed {
        let events = [self.new_event(), self.new_event()];
        Instructed { payment_id, command, events, at: self.circumstances() }
    }

    pub(crate) async fn tries(&self, commands: Vec<(PaymentId, Command)>) -> Vec<Recorded> {
        let batch: Vec<_> = commands.into_iter().map(|(id, command)| self.instructed(id, command)).collect();
        self.keep(async |tx| payments::record(tx, &batch).await).await
    }

    /// Does what must be allowed, and gives back the payment as it is then.
    pub(crate) async fn does(&self, id: PaymentId, command: Command) -> Payment {
        now(self.tries(vec![(id, command)]).await.remove(0))
    }

    /// Hands a payment over: the intent is recorded, the bank takes the instruction and will do as planned.
    pub(crate) async fn hands_over(&self, id: PaymentId, plan: Plan) -> Payment {
        let payment = self.does(id, Command::Submit).await;
        let taken = bank_book::accept(&self.db, &[instruction(&payment, plan)]).await.unwrap();
        assert_eq!(taken, [payment.reference()]);
        payment
    }

    /// The bank does what is due and we record what it tells, with the place up to which we know.
    pub(crate) async fn the_bank_works(&self) {
        bank_book::advance(&self.db, self.now(), 1_000).await.unwrap();
        let from = self.keep(async |tx| bank_book::cursor(tx, bank_book::CONNECTION).await).await;
        let told = bank_book::told_since(&self.db, from, 1_000).await.unwrap();
        let Some(last) = told.last() else { return };
        let batch: Vec<_> = told.iter().map(|told| self.instructed(told.reference.payment_id, command(told))).collect();
        self.keep(async |tx| {
            payments::record(tx, &batch).await?;
            assert!(bank_book::move_cursor(tx, bank_book::CONNECTION, from, last.position).await?);
            Ok::<_, StoreError>(())
        })
        .await;
    }

    pub(crate) async fn find(&self, id: PaymentId) -> Payment {
        self.keep(async |tx| payments::find(tx, id).await).await.unwrap()
    }

    pub(crate) async fn history(&self, id: PaymentId) -> Vec<Event> {
        self.keep(async |tx| events::history(tx, id).await).await
    }

    /// The projection is the fold of the history, whatever happened.
    pub(crate) async fn assert_is_fold(&self, id: PaymentId, status: Status) {
        let payment = self.find(id).await;
        assert_eq!(payment.status, status);
        assert_eq!(Payment::fold(&self.history(id).await), Ok(payment));
    }
}

pub(crate) fn instruction(payment: &Payment, plan: Plan) -> Instruction {
    Instruction {
        reference: payment.reference(),
        rail: payment.terms.rail,
        amount: payment.terms.amount,
        payer: format!("token of {}", payment.terms.payer.last4),
        payee: format!("token of {}", payment.terms.payee.last4),
        accepted_at: payment.processing_at.unwrap_or(payment.terms.initiated_at),
        plan,
    }
}

fn command(told: &Told) -> Command {
    let attempt = told.reference.attempt;
    match (told.state, told.reason.clone()) {
        (State::Settled, None) => Command::Settle { attempt },
        (State::Refused, Some(reason)) => Command::Refuse { attempt, reason },
        (State::Returned, Some(reason)) => Command::Return { attempt, reason },
        (State::Accepted | State::Settled | State::Refused | State::Returned, _) => panic!("{told:?}"),
    }
}

pub(crate) fn new_user<'a>(user: &'a User, email_key: &'a str) -> NewUser<'a> {
    NewUser { user, email_key, password_hash: "$argon2id$" }
}

pub(crate) fn sealed() -> SealedNumber {
    SealedNumber { sealed_number: "c2VhbGVk".into(), key_id: "k1".into() }
}

pub(crate) async fn insert_account(tx: &mut Tx, account: &BankAccount, fingerprint: &str) -> Result<(), StoreError> {
    bank_accounts::insert(tx, NewBankAccount { account, sealed: &sealed(), fingerprint }).await
}

pub(crate) fn initiated(outcome: &Outcome) -> &Initiated {
    match outcome {
        Outcome::Initiated(initiated) => initiated,
        Outcome::KeyReused(_) | Outcome::Refused(_) => panic!("{outcome:?}"),
    }
}

pub(crate) fn now(recorded: Recorded) -> Payment {
    match recorded {
        Recorded::Now(payment) => *payment,
        Recorded::Rejected(_) | Recorded::Unknown => panic!("{recorded:?}"),
    }
}
