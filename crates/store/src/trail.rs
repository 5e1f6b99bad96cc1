//! The trail: who did what from where, append-only and chained.
//!
//! An entry is written in the transaction of what it tells of. On SQLite there is one writer, and it is filed at once. On PostgreSQL
//! several write: what is committed waits, and one process at a time gives it its position and its hash, as events are numbered
//! (decision 17).

use directpay_domain::digest::Digest;
use directpay_domain::id::UserId;
use directpay_domain::trail::{Action, Actor, Link, Subject};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Tx};
use crate::error::{Page, StoreError};
use crate::feed::{self, Numbered};
use crate::hashes::Hash;
use crate::sql::{Sql, sql};

/// Entries that are filed in one transaction.
const FILED_MAX: i64 = 500;
/// Any number that nobody else uses in this database.
const LOCK: i64 = 0x7472_6169_6c00;

/// An entry as it is stored, without its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Entry {
    /// Which entry.
    pub id: Uuid,
    /// When it was done, or the last of several times, in process time.
    pub occurred_at: i64,
    /// When it was done first.
    pub since: i64,
    /// How often.
    pub times: i64,
    /// Of which kind whoever acted is.
    pub actor: String,
    /// The person who acted.
    pub actor_id: Option<Uuid>,
    /// What was shown to prove it.
    pub credential: Option<String>,
    /// Which one.
    pub credential_id: Option<Uuid>,
    /// Whom it concerns, and who may read it.
    pub person_id: Option<Uuid>,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: Option<String>,
    /// Which one.
    pub subject_id: Option<Uuid>,
    /// The network address from which.
    pub address: Option<String>,
    /// What the program there says of itself.
    pub user_agent: Option<String>,
    /// By which request.
    pub request_id: Option<String>,
    /// JSON.
    pub details: Option<String>,
}

impl Entry {
    /// An entry that says no more than this.
    pub fn new(id: Uuid, at_us: i64, actor: Actor, action: Action) -> Entry {
        let credential = actor.credential();
        Entry {
            id,
            occurred_at: at_us,
            since: at_us,
            times: 1,
            actor: actor.name().to_owned(),
            actor_id: actor.user_id().map(|id| id.0),
            credential: credential.map(|credential| credential.name().to_owned()),
            credential_id: credential.map(|credential| credential.id()),
            person_id: actor.user_id().map(|id| id.0),
            action: action.name().to_owned(),
            subject: None,
            subject_id: None,
            address: None,
            user_agent: None,
            request_id: None,
            details: None,
        }
    }

    /// The same, done to something.
    pub fn to(self, subject: Subject) -> Entry {
        Entry { subject: Some(subject.kind.name().to_owned()), subject_id: Some(subject.id), ..self }
    }

    /// The same, where it concerns somebody else than whoever acts.
    pub fn about(self, person: UserId) -> Entry {
        Entry { person_id: Some(person.0), ..self }
    }

    /// The hash that it has behind one with the hash `before`.
    pub fn hash(&self, before: Digest) -> Digest {
        let Entry { id, occurred_at, since, times, .. } = self;
        Link {
            id: *id,
            occurred_at: *occurred_at,
            since: *since,
            times: *times,
            ids: [self.actor_id, self.credential_id, self.person_id, self.subject_id],
            texts: [
                Some(&self.actor),
                self.credential.as_deref(),
                Some(&self.action),
                self.subject.as_deref(),
                self.address.as_deref(),
                self.user_agent.as_deref(),
                self.request_id.as_deref(),
                self.details.as_deref(),
            ],
        }
        .hash(before)
    }
}

/// An entry in its place.
#[derive(Serialize)]
struct Filed<'e> {
    position: i64,
    id: Uuid,
    occurred_at: i64,
    since: i64,
    times: i64,
    actor: &'e str,
    actor_id: Option<Uuid>,
    credential: Option<&'e str>,
    credential_id: Option<Uuid>,
    person_id: Option<Uuid>,
    action: &'e str,
    subject: Option<&'e str>,
    subject_id: Option<Uuid>,
    address: Option<&'e str>,
    user_agent: Option<&'e str>,
    request_id: Option<&'e str>,
    details: Option<&'e str>,
    hash: Hash,
}

impl<'e> Filed<'e> {
    fn new(entry: &'e Entry, position: i64, hash: Digest) -> Filed<'e> {
        Filed {
            position,
            id: entry.id,
            occurred_at: entry.occurred_at,
            since: entry.since,
            times: entry.times,
            actor: &entry.actor,
            actor_id: entry.actor_id,
            credential: entry.credential.as_deref(),
            credential_id: entry.credential_id,
            person_id: entry.person_id,
            action: &entry.action,
            subject: entry.subject.as_deref(),
            subject_id: entry.subject_id,
            address: entry.address.as_deref(),
            user_agent: entry.user_agent.as_deref(),
            request_id: entry.request_id.as_deref(),
            details: entry.details.as_deref(),
            hash: Hash::of(hash),
        }
    }
}

/// Writes entries, to be kept with what they tell of.
pub async fn write(tx: &mut Tx, entries: &[Entry]) -> Result<(), StoreError> {
    const WAIT: Sql = sql!(insert(trail_waiting: id uuid, occurred_at bigint, since bigint, times bigint, actor text,
        actor_id uuid, credential text, credential_id uuid, person_id uuid, action text, subject text, subject_id uuid,
        address text, user_agent text, request_id text, details text));
    if tx.is_shared() {
        tx.execute_each(WAIT, entries, ()).await?;
        return Ok(());
    }
    file(tx, entries).await
}

/// Gives entries the next positions. Nobody else does so at the same time.
async fn file(tx: &mut Tx, entries: &[Entry]) -> Result<(), StoreError> {
    const LAST: &str = "SELECT position, hash FROM trail ORDER BY position DESC LIMIT 1";
    const FILE: Sql = sql!(insert(trail: position bigint, id uuid, occurred_at bigint, since bigint, times bigint,
        actor text, actor_id uuid, credential text, credential_id uuid, person_id uuid, action text, subject text,
        subject_id uuid, address text, user_agent text, request_id text, details text, hash bytea));
    let last: Option<(i64, Hash)> = tx.fetch_optional(LAST, ()).await?;
    let (mut position, mut before) = last.map_or((0, Digest::ZERO), |(position, hash)| (position, hash.digest()));
    let filed = entries.iter().map(|entry| {
        position += 1;
        before = entry.hash(before);
        Filed::new(entry, position, before)
    });
    tx.execute_each(FILE, &filed.collect::<Vec<_>>(), ()).await?;
    Ok(())
}

/// Files what is committed and waits, a batch in one transaction, on PostgreSQL; elsewhere nothing waits.
///
/// One process does it at a time; what it does is there as a whole or not at all.
pub async fn number(db: &Db) -> Result<Numbered, StoreError> {
    const TAKE: &str = "
        WITH taken AS MATERIALIZED (
            DELETE FROM trail_waiting WHERE number IN (SELECT number FROM trail_waiting ORDER BY number LIMIT $1)
            RETURNING *)
        SELECT id, occurred_at, since, times, actor, actor_id, credential, credential_id, person_id, action, subject,
            subject_id, address, user_agent, request_id, details
        FROM taken ORDER BY number";
    if !db.is_shared() || waiting(&mut db.begin_read().await?).await? == 0 {
        return Ok(Numbered::All);
    }
    let mut tx = db.begin().await?;
    if !feed::is_alone(&mut tx, LOCK).await? {
        return Ok(Numbered::All);
    }
    let taken: Vec<Entry> = tx.fetch_all(TAKE, (FILED_MAX,)).await?;
    file(&mut tx, &taken).await?;
    tx.commit().await?;
    let is_full = i64::try_from(taken.len()).is_ok_and(|count| count == FILED_MAX);
    Ok(if is_full { Numbered::ABatch } else { Numbered::All })
}

/// How many entries wait for their positions, counted up to a batch.
pub async fn waiting(tx: &mut Tx) -> Result<i64, StoreError> {
    const WAITING: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM trail_waiting LIMIT $1) AS w";
    if !tx.is_shared() {
        return Ok(0);
    }
    let (waiting,): (i64,) = tx.fetch_one(WAITING, (FILED_MAX,)).await?;
    Ok(waiting)
}

/// The last position that was given; 0 before the first.
pub(crate) async fn head(tx: &mut Tx) -> Result<i64, StoreError> {
    let (head,): (i64,) = tx.fetch_one("SELECT COALESCE(MAX(position), 0) FROM trail", ()).await?;
    Ok(head)
}

/// Which entries are looked for: those of which all is true that is said here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Whom they concern.
    pub person: Option<UserId>,
    /// Who acted.
    pub actor: Option<UserId>,
    /// By which session or key.
    pub credential: Option<Uuid>,
    /// To what it was done.
    pub subject: Option<Uuid>,
    /// What was done.
    pub action: Option<Action>,
    /// Not before this moment.
    pub from_us: Option<i64>,
    /// Before this moment.
    pub until_us: Option<i64>,
}

/// Ids begin with the milliseconds at which they were drawn.
fn first_id_at(at_us: i64) -> Uuid {
    Uuid::from_u128(u128::try_from(at_us / 1_000).unwrap_or(0) << 80)
}

/// An id may be drawn so long before the time of its entry is looked up, with room to spare.
const DRAWN_BEFORE_US: i64 = 60_000_000;
/// What was folded is written this long after it happened, at most, with room to spare.
const FOLDED_MAX_US: i64 = 7_200_000_000;

macro_rules! listed {
    ($by:literal) => {
        concat!(
            "SELECT id, occurred_at, since, times, actor, actor_id, credential, credential_id, person_id, action, subject,
                 subject_id, address, user_agent, request_id, details
             FROM trail WHERE ",
            $by,
            " id < $1 AND $3 <= id AND $4 <= occurred_at AND occurred_at < $5 AND (person_id = $6 OR $6 IS NULL)
             AND (actor_id = $7 OR $7 IS NULL) AND (credential_id = $8 OR $8 IS NULL) AND (subject_id = $9 OR $9 IS NULL)
             AND (action = $10 OR $10 IS NULL) ORDER BY id DESC LIMIT $2"
        )
    };
}

/// Entries, newest first. They are looked for along the index of what there is likely least of, and compared with the rest of
/// the filter.
pub async fn list(tx: &mut Tx, filter: Filter, page: Page) -> Result<Vec<Entry>, StoreError> {
    let Filter { person, actor, credential, subject, action, from_us, until_us } = filter;
    let statement = match (subject, credential, person, actor, action) {
        (Some(_), ..) => listed!("subject_id = $9 AND"),
        (None, Some(_), ..) => listed!("credential_id = $8 AND"),
        (None, None, Some(_), ..) => listed!("person_id = $6 AND"),
        (None, None, None, Some(_), _) => listed!("actor_id = $7 AND"),
        (None, None, None, None, Some(_)) => listed!("action = $10 AND"),
        (None, None, None, None, None) => listed!(""),
    };
    let (from_us, until_us) = (from_us.unwrap_or(0), until_us.unwrap_or(i64::MAX));
    let before = page.before.min(first_id_at(until_us.saturating_add(FOLDED_MAX_US)));
    let binds = (
        before,
        page.limit,
        first_id_at(from_us.saturating_sub(DRAWN_BEFORE_US)),
        from_us,
        until_us,
        person.map(|id| id.0),
        actor.map(|id| id.0),
        credential,
        subject,
        action.map(Action::name),
    );
    Ok(tx.fetch_all(statement, binds).await?)
}

/// An entry with its place and the hash that stands beside it, if it is one.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Where it stands.
    pub position: i64,
    /// What it says.
    pub entry: Entry,
    /// Of itself and the entry before it.
    pub hash: Option<Digest>,
}

/// Up to `limit` entries behind a position, in their order. The transaction sees one moment.
pub async fn page(tx: &mut Tx, after: i64, limit: i64) -> Result<Vec<Placed>, StoreError> {
    const PLACES: &str = "SELECT position, hash FROM trail WHERE $1 < position ORDER BY position LIMIT $2";
    const ENTRIES: &str = "
        SELECT id, occurred_at, since, times, actor, actor_id, credential, credential_id, person_id, action, subject,
            subject_id, address, user_agent, request_id, details
        FROM trail WHERE $1 < position ORDER BY position LIMIT $2";
    let places: Vec<(i64, Option<Hash>)> = tx.fetch_all(PLACES, (after, limit)).await?;
    let entries: Vec<Entry> = tx.fetch_all(ENTRIES, (after, limit)).await?;
    let placed = places.into_iter().zip(entries);
    let placed = placed.map(|((position, hash), entry)| Placed { position, entry, hash: hash.and_then(|hash| hash.0) });
    Ok(placed.collect())
}
