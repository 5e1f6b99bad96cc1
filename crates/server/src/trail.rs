//! Writing the trail: who did what from where.
//!
//! What changes something is written with it, in its transaction. What is only read, used or refused is folded: for each person, session
//! or key, address and hour one entry when it is seen first, and one that counts the rest when the hour is over. So nobody fills the
//! disk by asking, and nobody waits for a write. See decision 24.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::trail::{Action, Actor, Subject};
use directpay_store::feed::Numbered;
use directpay_store::trail::{self, Entry};
use directpay_store::{Db, StoreError, Tx};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::api::request_id;
use crate::clock::{self, Clock};
use crate::metrics::{Metrics, count};

/// What is folded is counted for so long.
const HOUR_US: i64 = 3_600 * SECOND_US;
/// Different things that signed-in people do and are folded in an hour; what comes on top is counted together.
const FOLDS_MAX: usize = 5_000;
/// The same for one person: nobody takes the room of all others.
const FOLDS_OF_ONE_MAX: usize = 250;
/// The same for all who are not signed in, together: they take no room of those who are.
const FOLDS_OF_NOBODY_MAX: usize = 1_000;
/// Of each whom it concerns together, where there is no room for more; and what comes on top of that is counted by action alone.
const CROWDS_MAX: usize = 2_000;
/// Between two looks at what was seen first, and at whether the hour is over.
const PAUSE: Duration = Duration::from_secs(1);
/// Entries of one transaction.
const BATCH_MAX: usize = 500;

/// An entry that is being put together.
#[derive(Debug, Clone)]
pub struct Deed {
    action: Action,
    actor: Option<Actor>,
    subject: Option<Subject>,
    person: Option<UserId>,
    details: Option<Value>,
}

/// Something that was done.
pub fn done(action: Action) -> Deed {
    Deed { action, actor: None, subject: None, person: None, details: None }
}

impl Deed {
    /// To this.
    pub fn to(self, subject: impl Into<Subject>) -> Deed {
        Deed { subject: Some(subject.into()), ..self }
    }

    /// By somebody else than the request says.
    pub fn by(self, actor: Actor) -> Deed {
        Deed { actor: Some(actor), ..self }
    }

    /// Concerning this person, where that is not whoever acts.
    pub fn about(self, person: UserId) -> Deed {
        Deed { person: Some(person), ..self }
    }

    /// With more to say; nothing secret.
    pub fn with(self, details: Value) -> Deed {
        Deed { details: Some(details), ..self }
    }

    fn into_entry(self) -> Entry {
        let Deed { action, actor, subject, person, details } = self;
        let actor = actor.unwrap_or_else(request_id::actor);
        let mut entry = Entry::new(clock::new_id(), Clock::default().process_us(), actor, action);
        entry.request_id = request();
        entry.address = request_id::address().map(|address| address.to_string());
        entry.user_agent = request_id::user_agent();
        entry.details = details.map(|details| details.to_string());
        if let Some(subject) = subject {
            entry = entry.to(subject);
        }
        match person {
            Some(person) => entry.about(person),
            None => entry,
        }
    }

    /// Writes it with what it tells of: it is kept or gone with that.
    pub async fn record(self, tx: &mut Tx) -> Result<(), StoreError> {
        trail::write(tx, &[self.into_entry()]).await
    }
}

/// The request that this task works on, if it does.
fn request() -> Option<String> {
    Some(request_id::current()).filter(|id| !id.is_empty())
}

/// Writes that a command was run, before it hands out anything.
pub async fn command(db: &Db, action: Action, subject: Option<Subject>) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let deed = Deed { subject, ..done(action).by(Actor::Command) };
    deed.record(&mut tx).await?;
    tx.commit().await
}

/// Gives positions to all entries that are committed, where no worker may be running that does.
pub async fn file_all(db: &Db) -> Result<(), StoreError> {
    while trail::number(db).await? == Numbered::ABatch {}
    Ok(())
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fold {
    /// What was done or tried.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// Whom it concerns.
    pub person: Option<UserId>,
    /// To what, where that matters.
    pub subject: Option<Subject>,
    /// By which request, where that matters.
    pub route: Option<Route>,
    /// Why, where it was refused and the answer does not say it.
    pub reason: Option<&'static str>,
    address: Option<IpAddr>,
    hour: i64,
    /// It is what others are counted under.
    is_crowd: bool,
}

/// What was asked for, and what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// With which method.
    pub method: Method,
    /// The path, without the ids in it.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

/// How often something was seen.
#[derive(Debug, Clone)]
struct Seen {
    /// Since the last entry.
    times: i64,
    first_us: i64,
    last_us: i64,
    /// An entry says that it was seen.
    is_told: bool,
    user_agent: Option<String>,
    request_id: Option<String>,
}

/// What is folded by this process. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Folds(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Hour>,
    stop: Notify,
}

/// What was seen of late, and how many places each has of it.
#[derive(Debug, Default)]
struct Hour {
    folds: HashMap<Fold, Seen>,
    /// Of each who acts; nobody is one of them.
    of: HashMap<Option<UserId>, usize>,
    crowds: usize,
}

impl Hour {
    /// Finds a place for something: its own, or one that it shares.
    fn admit(&mut self, fold: Fold) -> Fold {
        if self.folds.contains_key(&fold) {
            return fold;
        }
        let who = fold.actor.user_id();
        let own = self.of.get(&who).copied().unwrap_or(0);
        let nobody = self.of.get(&None).copied().unwrap_or(0);
        let has_room = match who {
            None => own < FOLDS_OF_NOBODY_MAX,
            Some(_) => own < FOLDS_OF_ONE_MAX && self.of.values().sum::<usize>() - nobody < FOLDS_MAX,
        };
        if has_room {
            *self.of.entry(who).or_default() += 1;
            return fold;
        }
        let crowd = fold.into_crowd();
        if self.folds.contains_key(&crowd) {
            return crowd;
        }
        if self.crowds < CROWDS_MAX {
            self.crowds += 1;
            return crowd;
        }
        crowd.into_faceless()
    }

    /// Forgets what is over.
    fn retain(&mut self, is_kept: impl Fn(&Fold) -> bool) {
        self.folds.retain(|fold, _| is_kept(fold));
        self.of.clear();
        for fold in self.folds.keys().filter(|fold| !fold.is_crowd) {
            *self.of.entry(fold.actor.user_id()).or_default() += 1;
        }
        self.crowds = self.folds.keys().filter(|fold| fold.is_crowd).count();
    }
}

impl Folds {
    /// Counts something that this request tried, concerning a person if one is known, and why it was refused if it was.
    pub fn note(&self, action: Action, person: Option<UserId>, reason: Option<&'static str>) {
        let fold = Fold::new(action, request_id::actor());
        self.fold(Fold { person: person.or(fold.person), reason, ..fold });
    }

    /// Counts something that was done or tried.
    pub fn fold(&self, fold: Fold) {
        let now_us = Clock::default().process_us();
        let fold = Fold { hour: now_us / HOUR_US, address: request_id::address(), ..fold };
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fold = seen.admit(fold);
        let is_crowd = fold.is_crowd;
        let seen = seen.folds.entry(fold).or_insert_with(|| Seen {
            times: 0,
            first_us: now_us,
            last_us: now_us,
            is_told: false,
            user_agent: request_id::user_agent().filter(|_| !is_crowd),
            request_id: request().filter(|_| !is_crowd),
        });
        if seen.times == 0 {
            seen.first_us = now_us;
        }
        seen.times += 1;
        seen.last_us = now_us;
    }

    /// What is to be written at `now_us`: what was not told yet, and of hours that are over what was counted since. `all`: whatever was
    /// counted.
    fn take(&self, now_us: i64, all: bool) -> Vec<Entry> {
        let hour = now_us / HOUR_US;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::new();
        for (fold, seen) in &mut seen.folds {
            let is_over = all || fold.hour < hour;
            if 0 < seen.times && (is_over || !seen.is_told) {
                entries.push(fold.entry(seen));
                (seen.times, seen.is_told) = (0, true);
            }
        }
        seen.retain(|fold| !all && hour <= fold.hour);
        entries
    }

    /// Writes what was folded, until it is stopped.
    pub fn keep(&self, db: &Db, metrics: &Metrics) -> JoinHandle<()> {
        let (folds, db, metrics) = (self.clone(), db.clone(), metrics.clone());
        tokio::spawn(async move {
            loop {
                let stopped = tokio::time::timeout(PAUSE, folds.0.stop.notified()).await.is_ok();
                folds.flush(&db, &metrics, stopped).await;
                if stopped {
                    return;
                }
            }
        })
    }

    /// What was counted is written, and nothing after it.
    pub fn stop(&self) {
        self.0.stop.notify_one();
    }

    /// A batch that cannot be written is lost: it would only grow.
    async fn flush(&self, db: &Db, metrics: &Metrics, all: bool) {
        let entries = self.take(Clock::default().process_us(), all);
        for batch in entries.chunks(BATCH_MAX) {
            let written = async {
                let mut tx = db.begin().await?;
                trail::write(&mut tx, batch).await?;
                tx.commit().await
            };
            let count = u64::from(count(batch.len()));
            if let Err(error) = written.await {
                metrics.trail.lost.increment(count);
                tracing::error!(error = &error as &dyn std::error::Error, count, "entries of the trail are lost");
            } else {
                metrics.trail.written.increment(count);
            }
        }
    }
}

impl Fold {
    /// What says no more than this, from where this request comes.
    pub fn new(action: Action, actor: Actor) -> Fold {
        let person = actor.user_id();
        let (subject, route, reason, address) = (None, None, None, None);
        Fold { action, actor, person, subject, route, reason, address, hour: 0, is_crowd: false }
    }

    /// Where there are too many: who, whom it concerns, and how often.
    fn into_crowd(self) -> Fold {
        Fold { person: self.person, hour: self.hour, is_crowd: true, ..Fold::new(self.action, self.actor.unproven()) }
    }

    /// Where there are too many of these: how often, and no more.
    fn into_faceless(self) -> Fold {
        Fold { hour: self.hour, is_crowd: true, ..Fold::new(self.action, Actor::Nobody) }
    }

    fn entry(&self, seen: &Seen) -> Entry {
        let Seen { times, first_us, last_us, user_agent, request_id, .. } = seen.clone();
        let entry = Entry::new(clock::new_id(), last_us, self.actor, self.action);
        let details = match (&self.route, self.reason) {
            (Some(Route { method, path, status }), _) => {
                Some(json!({"method": method.as_str(), "path": path, "status": status}))
            }
            (None, Some(reason)) => Some(json!({"reason": reason})),
            (None, None) => self.is_crowd.then(|| json!({"crowd": true})),
        };
        let details = details.map(|details| details.to_string());
        let entry = match self.subject {
            Some(subject) => entry.to(subject),
            None => entry,
        };
        Entry {
            since: first_us.min(last_us),
            times,
            person_id: self.person.map(|id| id.0),
            address: self.address.map(|address| address.to_string()),
            user_agent,
            request_id,
            details,
            ..entry
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u128) -> Actor {
        Actor::User { id: UserId(uuid::Uuid::from_u128(number)), is_admin: false, credential: None }
    }

    #[test]
    fn what_comes_often_is_told_when_it_is_first_seen_and_once_more() {
        let folds = Folds::default();
        for _ in 0..3 {
            folds.fold(Fold::new(Action::AccessUsed, user(1)));
        }
        let now_us = Clock::default().process_us();
        let told = folds.take(now_us, false);
        assert_eq!(told.iter().map(|entry| entry.times).collect::<Vec<_>>(), [3]);
        for _ in 0..4 {
            folds.fold(Fold::new(Action::AccessUsed, user(1)));
        }
        // The fourth may belong to the next hour, if it has begun just now.
        let told = [folds.take(now_us, false), folds.take(now_us + HOUR_US, false)].concat();
        assert_eq!(told.iter().map(|entry| entry.times).sum::<i64>(), 4);
        assert_eq!(folds.take(now_us + 9 * HOUR_US, true), []);
    }

    fn refused(number: u128, path: usize) -> Fold {
        let route = Some(Route { method: Method::GET, path: format!("/{path}"), status: 404 });
        Fold { route, ..Fold::new(Action::AccessRefused, user(number)) }
    }

    fn times(entries: &[Entry]) -> i64 {
        entries.iter().map(|entry| entry.times).sum()
    }

    #[test]
    fn what_is_too_much_is_counted_together() {
        let folds = Folds::default();
        let now_us = Clock::default().process_us();
        for path in 0..2_000 {
            folds.fold(refused(9_999, path));
        }
        // One takes no room of another, and it is told who the crowd is.
        folds.fold(refused(1, 1));
        let told = folds.take(now_us, true);
        assert_eq!((told.len(), times(&told)), (FOLDS_OF_ONE_MAX + 2, 2_001));
        let crowd = told.iter().find(|entry| entry.details.as_deref() == Some(r#"{"crowd":true}"#)).unwrap();
        assert_eq!((crowd.times, crowd.person_id), (1_750, Some(uuid::Uuid::from_u128(9_999))));

        for number in 0..9_000 {
            folds.fold(refused(number, 1));
        }
        let told = folds.take(now_us, true);
        assert_eq!((told.len(), times(&told)), (FOLDS_MAX + CROWDS_MAX + 1, 9_000));
    }

    #[test]
    fn whoever_is_not_signed_in_takes_no_room_of_those_who_are_and_hides_no_victim() {
        let folds = Folds::default();
        let now_us = Clock::default().process_us();
        let tried = |person: Option<u128>| {
            let person = person.map(|number| UserId(uuid::Uuid::from_u128(number)));
            Fold { person, ..Fold::new(Action::SignInRefused, Actor::Nobody) }
        };
        for number in 0..3_000 {
            folds.fold(tried(Some(number)));
        }
        folds.fold(tried(Some(99_999)));
        folds.fold(Fold::new(Action::AccessUsed, user(1)));
        let told = folds.take(now_us, true);
        assert_eq!(times(&told), 3_002);
        assert!(told.iter().any(|entry| entry.action == "access.used" && entry.details.is_none()));
        assert!(told.iter().filter(|entry| entry.person_id.is_none()).all(|entry| entry.times == 1));
        assert!(told.iter().any(|entry| entry.person_id == Some(uuid::Uuid::from_u128(2_500))));
    }
}
