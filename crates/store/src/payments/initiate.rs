//! The first door: new payments, a batch in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use directpay_domain::digest::Digest;
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::money::Currency;
use directpay_domain::payment::initiate::{Acceptance, AccountStanding, FieldError, Initiation, LeaseParties};
use directpay_domain::payment::{AccountSnapshot, Circumstances, Event, NewEvent, Payment, Refundable};
use directpay_domain::policy::Policy;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::refunds::{self, Refunded};
use super::{HeldPayment, PaymentRow, Stored};
use crate::db::Tx;
use crate::error::StoreError;
use crate::events::{self, EventRow};
use crate::sql::{Sql, sql};
use crate::{policies, work};

/// A request to pay with what the server adds to it.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// What is asked.
    pub initiation: Initiation,
    /// The id of the payment, should it come to be.
    pub payment_id: PaymentId,
    /// Id, time and origin of its first event.
    pub event: NewEvent,
    /// Time and scale for the estimates.
    pub at: Circumstances,
}

/// A payment that a request led to.
#[derive(Debug, Clone)]
pub struct Initiated {
    /// As it stands.
    pub payment: Arc<HeldPayment>,
    /// The request had been made before; nothing was created.
    pub replayed: bool,
}

/// What became of one request of a batch.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// There is a payment.
    Initiated(Initiated),
    /// The key names another request's payment; nothing was created.
    KeyReused(PaymentId),
    /// The request breaks these rules; nothing was created and the key is free.
    Refused(Vec<FieldError>),
}

type Key = (UserId, IdempotencyKey);

/// Judges a batch of requests and writes the payments that come of them, with their first events and their work.
///
/// The outcomes stand in the order of the requests. One refusal spoils no neighbour. The unique constraint on
/// (initiator, key) is the referee between processes: who loses the race is answered with the winner's payment.
pub async fn initiate(tx: &mut Tx, batch: &[Fresh]) -> Result<Vec<Outcome>, StoreError> {
    let mut refusals = HashMap::new();
    let (judged, refunded) = judge(tx, batch, &mut refusals).await?;
    let (judged, lost) = insert(tx, judged).await?;
    let ours = judged.into_iter().filter(|payment| !lost.contains(&payment.terms.id));
    let ours: HashMap<Key, Arc<HeldPayment>> = ours.map(|payment| (key_of(&payment), Arc::new(payment))).collect();
    promise(tx, &ours, &refunded).await?;
    let others: Vec<&Fresh> = batch.iter().filter(|fresh| !ours.contains_key(&key(fresh))).collect();
    let before = under_keys(tx, &others).await?;
    let outcome = |fresh: &Fresh| {
        let (key, refusal) = (key(fresh), refusals.remove(&fresh.payment_id));
        // Who has asked before is answered as before, even if the same request would be refused by now.
        match (before.get(&key).or_else(|| ours.get(&key).filter(|_| refusal.is_none())), refusal) {
            (Some(payment), _) => Ok(answer(fresh, payment)),
            (None, Some(errors)) => Ok(Outcome::Refused(errors)),
            // Inserted, known before or refused: nothing else can be.
            (None, None) => Err(sqlx::Error::RowNotFound.into()),
        }
    };
    batch.iter().map(outcome).collect()
}

fn key(fresh: &Fresh) -> Key {
    (fresh.initiation.initiated_by, fresh.initiation.idempotency_key.clone())
}

fn key_of(payment: &Payment) -> Key {
    (payment.terms.initiated_by, payment.terms.idempotency_key.clone())
}

/// The answer to a request whose key has made `payment`, be it this very request's.
fn answer(fresh: &Fresh, payment: &Arc<HeldPayment>) -> Outcome {
    if fresh.initiation.is_repeated_by(payment) {
        let replayed = payment.terms.id != fresh.payment_id;
        Outcome::Initiated(Initiated { payment: Arc::clone(payment), replayed })
    } else {
        Outcome::KeyReused(payment.terms.id)
    }
}

/// Notes what new refunds promise back of the payments that they name.
async fn promise(tx: &mut Tx, ours: &HashMap<Key, Arc<HeldPayment>>, refunded: &Refunded) -> Result<(), StoreError> {
    let mut promised: BTreeMap<PaymentId, i64> = BTreeMap::new();
    for terms in ours.values().map(|payment| &payment.terms) {
        if let Some(of) = terms.refund_of {
            *promised.entry(of).or_default() += terms.amount.minor();
        }
    }
    refunds::close_unused(tx, refunded, &promised).await?;
    refunds::promise(tx, promised).await
}

/// Judges requests as if their keys were new. Of two with one key in the batch the first that passes makes the payment.
async fn judge(
    tx: &mut Tx,
    batch: &[Fresh],
    refusals: &mut HashMap<PaymentId, Vec<FieldError>>,
) -> Result<(Vec<(Payment, Event)>, Refunded), StoreError> {
    let leases = leases(tx, batch).await?;
    let mut refunded = refunded(tx, batch, &leases).await?;
    let accounts = accounts(tx, batch, &leases, &refunded).await?;
    let mut judged: Vec<(Payment, Event)> = Vec::with_capacity(batch.len());
    let mut taken = repeated_refunds(tx, batch).await?;
    for fresh in batch {
        if taken.contains(&key(fresh)) {
            continue;
        }
        let lease = leases.get(&fresh.initiation.lease_id);
        let original = fresh.initiation.refund_of.and_then(|id| refunded.payments.get_mut(&id));
        match fresh.initiation.decide(
            fresh.payment_id,
            lease,
            original.as_deref(),
            &accounts.of(fresh, lease, original.as_deref()),
            fresh.at,
            fresh.event.clone(),
        ) {
            Ok(first) => {
                taken.insert(key(fresh));
                if let Some(original) = original {
                    original.promised_minor += fresh.initiation.amount.minor();
                }
                judged.push(first);
            }
            Err(errors) => {
                refusals.insert(fresh.payment_id, errors);
            }
        }
    }
    // One order for all writers, or two of them could wait for each other.
    judged.sort_by(|(one, _), (other, _)| {
        let (one, other) = (&one.terms, &other.terms);
        (one.initiated_by, &one.idempotency_key).cmp(&(other.initiated_by, &other.idempotency_key))
    });
    Ok((judged, refunded))
}

/// The payments that refunds of the batch name. What is promised of those that they may refund is held.
async fn refunded(
    tx: &mut Tx,
    batch: &[Fresh],
    leases: &HashMap<LeaseId, LeaseParties>,
) -> Result<Refunded, StoreError> {
    let asked: HashSet<_> = batch.iter().filter_map(|fresh| may_refund(&fresh.initiation, leases)).collect();
    let named = batch.iter().filter_map(|fresh| fresh.initiation.refund_of);
    refunds::hold(tx, named, |payment| payment.objection().is_none() && asked.contains(&(payment.id, payment.lease_id)))
        .await
}

/// The payment and the lease of a refund, if it is the landlord who asks.
fn may_refund(initiation: &Initiation, leases: &HashMap<LeaseId, LeaseParties>) -> Option<(PaymentId, LeaseId)> {
    let lease = leases.get(&initiation.lease_id)?;
    let by_landlord = lease.landlord_id == initiation.initiated_by;
    initiation.refund_of.filter(|_| by_landlord).map(|of| (of, lease.id))
}

/// The keys of refunds that were accepted before: they promise nothing a second time, so that no neighbour is refused for want
/// of what they would take.
async fn repeated_refunds(tx: &mut Tx, batch: &[Fresh]) -> Result<HashSet<Key>, StoreError> {
    let refunds: Vec<_> = batch.iter().filter(|fresh| fresh.initiation.refund_of.is_some()).collect();
    Ok(under_keys(tx, &refunds).await?.into_keys().collect())
}

/// Writes payments, first events and work; gives the payments back, and which of them another writer's payment kept out.
async fn insert(
    tx: &mut Tx,
    judged: Vec<(Payment, Event)>,
) -> Result<(Vec<HeldPayment>, HashSet<PaymentId>), StoreError> {
    const INSERT: Sql = sql!(
        insert(payments: id uuid, lease_id uuid, landlord_id uuid, kind text, refund_of uuid, initiated_by uuid,
               payee_id uuid, payer_account_id uuid, payee_account_id uuid, amount bigint, currency text, rail text,
               idempotency_key text, metadata jsonb, omitted bigint, status text, version bigint, attempt bigint,
               transient_retries bigint, representments bigint, initiated_at bigint, estimated_settlement_at bigint,
               head bytea),
        "ON CONFLICT (initiated_by, idempotency_key) DO NOTHING",
        returning(id)
    );
    if judged.is_empty() {
        return Ok((Vec::new(), HashSet::new()));
    }
    let (mut payments, mut events, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    for (payment, event) in judged {
        let mut head = Digest::ZERO;
        firsts.push(EventRow::of_payment(&event, &mut head)?);
        payments.push(HeldPayment { payment, head });
        events.push(event);
    }
    let rows: Vec<_> = payments.iter().map(PaymentRow::from).collect();
    let inserted: HashSet<Uuid> = tx.insert_new(INSERT, &rows, |row| row.id).await?;
    let is_ours = |payment: &&HeldPayment| inserted.contains(&payment.terms.id.0);
    let ours = || payments.iter().zip(&events).filter(|(payment, _)| is_ours(payment));
    let due = ours().filter_map(|(payment, event)| {
        let work = payment.next_work(&event.change, event.occurred_at)?;
        Some(work::Due::new(payment, work, None))
    });
    let due: Vec<_> = due.collect();
    firsts.retain(|row| inserted.contains(&row.stream_id()));
    events::append(tx, &firsts).await?;
    work::schedule(tx, &due).await?;
    tx.announce_work().await?;
    ours().for_each(|(payment, event)| tx.note(&event.change, payment.terms.rail));
    let lost = payments.iter().filter(|payment| !is_ours(payment)).map(|payment| payment.terms.id).collect();
    Ok((payments, lost))
}

/// The payments that exist already under the batch's keys.
async fn under_keys(tx: &mut Tx, batch: &[&Fresh]) -> Result<HashMap<Key, Arc<HeldPayment>>, StoreError> {
    #[derive(Serialize)]
    struct KeyRow<'a> {
        initiator: UserId,
        key: &'a IdempotencyKey,
    }
    const FIND: Sql = sql!(
        "SELECT",
        payment_columns,
        "FROM",
        each(initiator uuid, key text),
        "payments p",
        payment_accounts,
        "WHERE p.initiated_by =",
        field(initiator),
        "AND p.idempotency_key =",
        field(key)
    );
    let keys: Vec<_> = batch
        .iter()
        .map(|fresh| KeyRow { initiator: fresh.initiation.initiated_by, key: &fresh.initiation.idempotency_key })
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<Stored> = tx.fetch_each(FIND, &keys, ()).await?;
    let payments = found.into_iter().map(Stored::into_held);
    payments.map(|payment| payment.map(|payment| (key_of(&payment), Arc::new(payment)))).collect()
}

#[derive(Deserialize, FromRow)]
struct PartyRow {
    id: Uuid,
    landlord_id: Uuid,
    currency: String,
    payee_account_id: Option<Uuid>,
    policy: String,
    renter_id: Uuid,
}

/// The leases that the batch names, with everybody on them.
async fn leases(tx: &mut Tx, batch: &[Fresh]) -> Result<HashMap<LeaseId, LeaseParties>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT l.id, l.landlord_id, l.currency, l.payee_account_id, l.policy, lr.renter_id FROM",
        each(id uuid),
        "leases l JOIN lease_renters lr ON lr.lease_id = l.id WHERE l.id =",
        field(id)
    );
    let ids = distinct(batch.iter().map(|fresh| fresh.initiation.lease_id.0));
    let rows: Vec<PartyRow> = tx.fetch_each(FIND, &ids, ()).await?;
    let mut leases: HashMap<LeaseId, LeaseParties> = HashMap::new();
    let choosy = rows.iter().filter(|row| row.policy != Policy::Any.name()).map(|row| LeaseId(row.id));
    let choosy: Vec<_> = choosy.collect();
    let restricted = match batch.first() {
        Some(fresh) if !choosy.is_empty() => policies::restricted(tx, choosy.into_iter(), fresh.at.now).await?,
        Some(_) | None => HashMap::new(),
    };
    for row in rows {
        let currency = Currency::parse(&row.currency).map_err(StoreError::damaged("currency"))?;
        let lease = leases.entry(LeaseId(row.id)).or_insert_with(|| LeaseParties {
            id: LeaseId(row.id),
            landlord_id: UserId(row.landlord_id),
            renter_ids: Vec::new(),
            currency,
            payee_account_id: row.payee_account_id.map(BankAccountId),
            acceptance: restricted.get(&LeaseId(row.id)).copied().unwrap_or(Acceptance::Any),
        });
        lease.renter_ids.push(UserId(row.renter_id));
    }
    Ok(leases)
}

#[derive(Deserialize, FromRow)]
struct StandingRow {
    id: Uuid,
    user_id: Uuid,
    last4: String,
    bank_name: String,
    is_active: bool,
    is_primary: bool,
    closed_by: Option<String>,
}

/// The accounts that a batch may use.
struct Accounts {
    by_id: HashMap<BankAccountId, AccountStanding>,
    primary_of: HashMap<UserId, BankAccountId>,
}

impl Accounts {
    /// Those that matter for one request.
    fn of(&self, fresh: &Fresh, lease: Option<&LeaseParties>, refunded: Option<&Refundable>) -> Vec<AccountStanding> {
        let named = [
            fresh.initiation.payer_account_id,
            fresh.initiation.payee_account_id,
            lease.and_then(|lease| lease.payee_account_id),
            refunded.map(|payment| payment.payer_account_id),
        ];
        let people = lease.into_iter().flat_map(|lease| lease.renter_ids.iter().chain([&lease.landlord_id]));
        let primaries = people.filter_map(|person| self.primary_of.get(person).copied());
        named.into_iter().flatten().chain(primaries).filter_map(|id| self.by_id.get(&id).cloned()).collect()
    }
}

async fn accounts(
    tx: &mut Tx,
    batch: &[Fresh],
    leases: &HashMap<LeaseId, LeaseParties>,
    refunded: &Refunded,
) -> Result<Accounts, StoreError> {
    const NAMED: Sql = sql!(
        "SELECT b.id, b.user_id, b.last4, b.bank_name, b.is_active, b.is_primary, b.closed_by FROM",
        each(id uuid),
        "bank_accounts b WHERE b.id =",
        field(id)
    );
    const PRIMARY: Sql = sql!(
        "SELECT b.id, b.user_id, b.last4, b.bank_name, b.is_active, b.is_primary, b.closed_by FROM",
        each(id uuid),
        "bank_accounts b WHERE b.is_primary AND b.user_id =",
        field(id)
    );
    let asked = batch.iter().flat_map(|f| [f.initiation.payer_account_id, f.initiation.payee_account_id]);
    let receiving = leases.values().map(|lease| lease.payee_account_id);
    let came_from = refunded.payments.values().map(|payment| Some(payment.payer_account_id));
    let named = distinct(asked.chain(receiving).chain(came_from).flatten().map(|id| id.0));
    let people = leases.values().flat_map(|lease| lease.renter_ids.iter().chain([&lease.landlord_id]));
    let people = distinct(people.map(|id| id.0));
    let mut rows: Vec<StandingRow> = tx.fetch_each(PRIMARY, &people, ()).await?;
    if !named.is_empty() {
        rows.extend(tx.fetch_each::<_, StandingRow>(NAMED, &named, ()).await?);
    }
    let mut accounts = Accounts { by_id: HashMap::new(), primary_of: HashMap::new() };
    for row in rows {
        let id = BankAccountId(row.id);
        if row.is_primary {
            accounts.primary_of.insert(UserId(row.user_id), id);
        }
        let snapshot = AccountSnapshot { account_id: id, last4: row.last4, bank_name: row.bank_name };
        let standing = AccountStanding {
            owner_id: UserId(row.user_id),
            snapshot,
            is_active: row.is_active,
            is_primary: row.is_primary,
            closed_by: row.closed_by,
        };
        accounts.by_id.insert(id, standing);
    }
    Ok(accounts)
}

/// One row of a set of ids.
#[derive(Serialize)]
pub(crate) struct IdRow {
    id: Uuid,
}

pub(crate) fn distinct(ids: impl Iterator<Item = Uuid>) -> Vec<IdRow> {
    let ids: BTreeSet<Uuid> = ids.collect();
    ids.into_iter().map(|id| IdRow { id }).collect()
}
