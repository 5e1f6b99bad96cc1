//! Pays rent in bulk, straight through the store: the same rows in the same batches as the service writes, without HTTP and
//! without anybody to sign in.
//!
//! `cargo xtask seed-data` fills a database with it, and `cargo xtask bench` takes its rate for the floor that the database
//! sets. The last line on standard output says in JSON what was done and how long it took.

#![expect(clippy::disallowed_methods, reason = "it tells its own time")]
#![expect(clippy::print_stdout, reason = "its last line is for programs")]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant as Stopwatch};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use directpay_domain::bank_account::AccountType;
use directpay_domain::calendar::add_months;
use directpay_domain::charge::ChargeNotice;
use directpay_domain::id::{BankAccountId, ChargeId, EventId, LeaseId, PaymentId, PropertyId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::lease::{DueDay, FirstPeriod, LastPeriod, LeaseTerms, Proration};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Actor, Circumstances, Command, NewEvent, Status};
use directpay_domain::policy::PolicySpan;
use directpay_domain::property::{ZoneName, day_begins, local_date};
use directpay_domain::rail::DelayScale;
use directpay_domain::schedule;
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::bank_accounts::{BankAccount, NewBankAccount, SealedNumber};
use directpay_store::bank_book::{self, Instruction, Plan};
use directpay_store::lease_ledger::{LeaseLedger, Passed};
use directpay_store::leases::Lease;
use directpay_store::payments::{self, Fresh, Held, HeldPayment, Initiated, Instructed, Outcome};
use directpay_store::properties::Property;
use directpay_store::users::{NewUser, RenterOfLease, User};
use directpay_store::work::Claim;
use directpay_store::{Db, PoolSize, Schema, Tx, bank_accounts, charges, leases, properties, users, work};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::civil::{Date, date};
use uuid::Uuid;

/// Fills a database with settled payments.
#[derive(Debug, Parser)]
struct Arguments {
    /// sqlite://FILE or postgres://…; the schema is brought up to date.
    #[arg(long)]
    database: String,
    /// How many payments.
    #[arg(long)]
    payments: usize,
    /// Payments in one transaction.
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// How many renters pay, each on a lease of its own.
    #[arg(long, default_value_t = 200)]
    tenancies: usize,
    /// How many of them have one landlord.
    #[arg(long, default_value_t = 10)]
    tenancies_each: usize,
    /// Over how many months, the last ones, the payments are spread; without it, all are made now.
    #[arg(long)]
    months: Option<u16>,
}

/// As the service's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tenancies that are written at once.
const TENANCIES_BATCH: usize = 100;
const ZONE: &str = "America/Chicago";
const CONNECTIONS: PoolSize = PoolSize(4);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let sizes = [arguments.batch, arguments.tenancies, arguments.tenancies_each];
    ensure!(!sizes.contains(&0), "a batch and a town need somebody in them");
    let db = open(&arguments.database).await?;
    let town = Town::new(&arguments)?;
    let tenancies = town.settle_in(&db).await?;
    let mut bulk = Bulk { db: db.clone(), claimant: Uuid::now_v7(), now: now() };
    let progress = progress(arguments.payments)?;
    let started = Stopwatch::now();
    let (mut done, mut accepting) = (0, Duration::ZERO);
    while done < arguments.payments {
        let count = arguments.batch.min(arguments.payments - done);
        let payers = tenancies.iter().cycle().skip(done % tenancies.len()).take(count);
        bulk.now = town.moment(done, arguments.payments);
        let begun = Stopwatch::now();
        let accepted = bulk.accept(payers).await?;
        accepting += begun.elapsed();
        bulk.settle(accepted).await?;
        done += count;
        progress.set_position(done.try_into()?);
    }
    progress.finish();
    let (elapsed_us, accepted_us) = (started.elapsed().as_micros(), accepting.as_micros());
    db.close().await;
    println!(r#"{{"payments":{done},"elapsed_us":{elapsed_us},"accepted_us":{accepted_us}}}"#);
    Ok(())
}

async fn open(url: &str) -> Result<Db> {
    let db = match url.strip_prefix("sqlite://") {
        Some(file) => Db::open_sqlite(&PathBuf::from(file), CONNECTIONS).await?,
        None => Db::open_postgres(url, CONNECTIONS).await?,
    };
    match db.schema().await? {
        Schema::Current => {}
        Schema::Old => db.migrate().await?,
        Schema::Newer => bail!("the database was made by a newer DirectPay"),
    }
    Ok(db)
}

fn progress(payments: usize) -> Result<ProgressBar> {
    // Nobody looks at a bar in a file.
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = "payments {bar:40} {human_pos}/{human_len} {per_sec} {eta}";
    Ok(ProgressBar::with_draw_target(Some(payments.try_into()?), target)
        .with_style(ProgressStyle::with_template(style)?))
}

/// Somebody who pays, on which lease.
struct Tenancy {
    renter: UserId,
    lease: LeaseId,
}

/// Who lives where since when.
struct Town {
    tenancies: usize,
    tenancies_each: usize,
    /// The first day of the leases.
    since: Date,
    /// When the first payments are made.
    first: Instant,
    /// The leases' days are up to date.
    passed: Passed,
}

impl Town {
    fn new(arguments: &Arguments) -> Result<Town> {
        let Arguments { tenancies, tenancies_each, months, .. } = *arguments;
        let zone = ZoneName::parse(ZONE)?;
        let on = local_date(&zone, now().timestamp());
        let passed = Passed { on, next_at: day_begins(&zone, on.tomorrow()?) };
        let (since, first) = match months {
            None => (date(2026, 1, 1), now()),
            Some(months) => {
                let since = add_months(on.first_of_month(), -i32::from(months));
                (since, day_begins(&zone, since))
            }
        };
        Ok(Town { tenancies, tenancies_each, since, first, passed })
    }

    /// The people, their accounts, homes and leases.
    async fn settle_in(&self, db: &Db) -> Result<Vec<Tenancy>> {
        let mut tenancies = Vec::with_capacity(self.tenancies);
        let mut landlord = None;
        while tenancies.len() < self.tenancies {
            let mut tx = db.begin().await?;
            for _ in 0..TENANCIES_BATCH.min(self.tenancies - tenancies.len()) {
                let landlord = match landlord.filter(|_| tenancies.len() % self.tenancies_each != 0) {
                    Some(landlord) => landlord,
                    None => *landlord.insert(join(&mut tx, Role::Landlord).await?),
                };
                tenancies.push(self.move_in(&mut tx, landlord).await?);
            }
            tx.commit().await?;
        }
        Ok(tenancies)
    }

    async fn move_in(&self, tx: &mut Tx, landlord: UserId) -> Result<Tenancy> {
        let renter = join(tx, Role::Renter).await?;
        let lease = lease(landlord, renter, property(tx, landlord).await?, self.since)?;
        leases::insert(tx, &lease, self.passed).await?;
        let scheduled = schedule::schedule(&lease.terms, last_day());
        charges::reconcile(tx, lease.id, &scheduled, |_| None, || ChargeId(Uuid::now_v7())).await?;
        let mut ledger = LeaseLedger::open(tx, [lease.id]).await?;
        for charge in charges::list_due(tx, lease.id, self.passed.on).await? {
            ledger.post(&charge, event(Actor::system("bulk"), now()))?;
        }
        ledger.write(tx).await?;
        Ok(Tenancy { renter, lease: lease.id })
    }

    /// When the payment after `done` of `all` is made.
    fn moment(&self, done: usize, all: usize) -> Instant {
        let (first, last) = (self.first.micros(), now().micros());
        let share = |numerator: usize| i128::try_from(numerator).unwrap_or(i128::MAX);
        let passed = i128::from(last - first) * share(done) / share(all);
        self.first.plus_micros(i64::try_from(passed).unwrap_or_default())
    }
}

async fn join(tx: &mut Tx, role: Role) -> Result<UserId> {
    let id = Uuid::now_v7();
    let email = format!("{id}@bulk.example.com");
    let user = User {
        id: UserId(id),
        email: email.clone(),
        full_name: format!("{} in bulk", role.name()),
        phone: None,
        role,
        created_at: now(),
    };
    // No password hashes to this: nobody signs in as a person in bulk.
    users::insert(tx, NewUser { user: &user, email_key: &email, password_hash: "!" }).await?;
    let account = BankAccount {
        id: BankAccountId(Uuid::now_v7()),
        user_id: user.id,
        token: format!("ba_{id}"),
        bank_name: "First Bank".into(),
        account_type: AccountType::Checking,
        account_holder_name: user.full_name.clone(),
        routing_number: "021000021".into(),
        last4: "0001".into(),
        is_primary: true,
        is_active: true,
        closed_by: None,
        created_at: now(),
    };
    // Never opened: what was paid in bulk is settled already.
    let sealed = SealedNumber { sealed_number: String::new(), key_id: "bulk".into() };
    let fingerprint = account.token.clone();
    bank_accounts::insert(tx, NewBankAccount { account: &account, sealed: &sealed, fingerprint: &fingerprint }).await?;
    Ok(user.id)
}

async fn property(tx: &mut Tx, landlord_id: UserId) -> Result<PropertyId> {
    let property = Property {
        id: PropertyId(Uuid::now_v7()),
        landlord_id,
        name: None,
        address: "12 Main St.".into(),
        unit: None,
        city: "Springfield".into(),
        state: "IL".into(),
        zip_code: "62701".into(),
        time_zone: ZONE.into(),
        created_at: now(),
    };
    properties::insert(tx, &property).await?;
    Ok(property.id)
}

fn last_day() -> Date {
    date(2027, 12, 31)
}

fn rent() -> Result<Amount> {
    Ok(Amount::from_minor(150_000, Currency::USD)?)
}

fn lease(landlord_id: UserId, renter: UserId, property_id: PropertyId, starts_on: Date) -> Result<Lease> {
    let id = LeaseId(Uuid::now_v7());
    Ok(Lease {
        id,
        property_id,
        landlord_id,
        renters: vec![RenterOfLease { lease_id: id.0, id: renter.0, full_name: String::new() }],
        shares: Vec::new(),
        terms: LeaseTerms {
            starts_on,
            ends_on: Some(last_day()),
            rent: rent()?,
            rent_changes: Vec::new(),
            due_day: DueDay::parse(1)?,
            first_period: FirstPeriod::Prorate,
            last_period: LastPeriod::Prorate,
            proration: Proration::Actual,
        },
        payee_account_id: None,
        policy: PolicySpan::default(),
        charge_notice: ChargeNotice::default(),
        terminated_at: None,
        created_at: now(),
    })
}

fn now() -> Instant {
    Instant::from(jiff::Timestamp::now())
}

fn at(now: Instant) -> Circumstances {
    Circumstances { now, scale: DelayScale::AT_ONCE, jitter: 0 }
}

fn event(actor: Actor, now: Instant) -> NewEvent {
    NewEvent { id: EventId(Uuid::now_v7()), occurred_at: now, actor, request_id: None }
}

fn instructed(payment_id: PaymentId, command: Command, now: Instant) -> Instructed {
    let first = event(Actor::system("bulk"), now);
    let second = NewEvent { id: EventId(Uuid::now_v7()), ..first.clone() };
    Instructed { payment_id, command, events: [first, second], at: at(now) }
}

/// What the service does, step by step, with the same transactions.
struct Bulk {
    db: Db,
    claimant: Uuid,
    /// When it happens.
    now: Instant,
}

impl Bulk {
    /// As the intake.
    async fn accept(&self, payers: impl Iterator<Item = &Tenancy>) -> Result<Held> {
        let batch = payers.map(|tenancy| fresh(tenancy, self.now)).collect::<Result<Vec<_>>>()?;
        let mut tx = self.db.begin().await?;
        let outcomes = payments::initiate(&mut tx, &batch).await?;
        tx.commit().await?;
        outcomes.into_iter().map(accepted).collect()
    }

    /// As the submit worker and the bank.
    async fn settle(&self, accepted: Held) -> Result<()> {
        let (count, mut held) = (accepted.len(), accepted);
        let instructions = self.submit(&mut held).await?;
        ensure!(instructions.len() == count, "{} of {count} were due", instructions.len());
        let taken = bank_book::accept(&self.db, &instructions).await?;
        ensure!(taken.len() == count, "the bank took {} of {count}", taken.len());
        let settle = |attempt| Command::Settle { attempt };
        let commands: Vec<_> = taken.iter().map(|r| instructed(r.payment_id, settle(r.attempt), self.now)).collect();
        let ids: Vec<_> = held.keys().copied().collect();
        let mut tx = self.db.begin().await?;
        let mut held = payments::hold_remembered(&mut tx, &ids, held).await?;
        payments::record_held(&mut tx, &mut held, commands, None).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn submit(&self, held: &mut Held) -> Result<Vec<Instruction>> {
        let now_us = now().micros();
        let claim = Claim { by: self.claimant, until_us: now_us + 60_000_000 };
        let mut tx = self.db.begin().await?;
        let taken = work::take(&mut tx, now(), now_us, i64::try_from(held.len())?).await?;
        let accounts: Vec<_> =
            held.values().flat_map(|p| [p.terms.payer.account_id, p.terms.payee.account_id]).collect();
        work::sealed_accounts(&mut tx, &accounts).await?;
        let commands: Vec<_> = taken.iter().map(|one| instructed(one.payment_id, Command::Submit, self.now)).collect();
        payments::record_held(&mut tx, held, commands, Some(claim)).await?;
        tx.commit().await?;
        taken.iter().map(|one| instruction(held.get(&one.payment_id))).collect()
    }
}

fn accepted(outcome: Outcome) -> Result<(PaymentId, HeldPayment)> {
    match outcome {
        Outcome::Initiated(Initiated { ref payment, replayed: false }) => {
            Ok((payment.terms.id, HeldPayment::clone(payment)))
        }
        Outcome::Initiated(_) | Outcome::KeyReused(_) | Outcome::Refused(_) => {
            bail!("a payment was not accepted: {outcome:?}")
        }
    }
}

fn fresh(tenancy: &Tenancy, now: Instant) -> Result<Fresh> {
    let initiation = Initiation {
        initiated_by: tenancy.renter,
        // In no order, as callers' keys are.
        idempotency_key: IdempotencyKey::parse(&format!("{:032x}", Uuid::now_v7().as_u128().reverse_bits()))?,
        lease_id: tenancy.lease,
        amount: rent()?,
        rail: None,
        payer_account_id: None,
        payee_account_id: None,
        payee_id: None,
        refund_of: None,
        currency: None,
        metadata: None,
    };
    let payment_id = PaymentId(Uuid::now_v7());
    Ok(Fresh { initiation, payment_id, event: event(Actor::user(tenancy.renter), now), at: at(now) })
}

fn instruction(payment: Option<&HeldPayment>) -> Result<Instruction> {
    let payment = payment.context("a worker runs on this database; stop it first")?;
    ensure!(payment.status == Status::Processing, "a payment was not handed over: {payment:?}");
    let terms = &payment.terms;
    Ok(Instruction {
        reference: payment.reference(),
        rail: terms.rail,
        amount: terms.amount,
        payer: format!("ba_{}", terms.payer.account_id),
        payee: format!("ba_{}", terms.payee.account_id),
        accepted_at: now(),
        plan: Plan::SettleAtOnce,
    })
}
