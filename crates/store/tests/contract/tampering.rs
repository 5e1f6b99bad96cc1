//! A thousand ways to change what happened, each found by the check of the log, and its place named.

use std::collections::BTreeSet;

use directpay_domain::chain::Link;
use directpay_domain::charge::ChargeKind;
use directpay_domain::digest::Digest;
use directpay_domain::payment::Command;
use directpay_store::feed::{self, Numbered};
use directpay_store::log_tree::{self, Due, Grown, Log};
use directpay_store::{Db, PoolSize, audit_log};
use jiff::civil::date;
use rusqlite::Connection;
use uuid::Uuid;

use crate::audit::next;
use crate::harness::on_postgres;
use crate::world::{World, rent};

/// An event as it was written.
#[derive(Debug, Clone)]
struct Event {
    position: i64,
    stream_id: Uuid,
    sequence: i64,
    stream: String,
    event_type: String,
    occurred_at: i64,
    body: String,
}

impl Event {
    fn hash(&self, before: Digest) -> Digest {
        let Event { stream_id, sequence, stream, event_type, occurred_at, body, .. } = self;
        let (stream_id, sequence, occurred_at) = (*stream_id, *sequence, *occurred_at);
        Link { stream_id, sequence, stream, event_type, occurred_at, body }.hash(before)
    }
}

/// What somebody does, and where it may be found.
#[derive(Debug)]
struct Tampering {
    what: &'static str,
    statements: Vec<String>,
    positions: BTreeSet<i64>,
}

/// Some houses whose renters pay, each now and then with a checkpoint: three hundred events, more than a tile has.
async fn some_log(world: &World) {
    let mut houses = Vec::new();
    for _ in 0..6 {
        houses.push(world.house().await);
    }
    let mut month = 0;
    while count(world).await < 300 {
        month += 1;
        for house in &houses {
            world.makes(house.lease, ChargeKind::Rent, date(2026, 1 + month % 12, 1), 150_000).await;
            let paid = world.pays(rent(house, &format!("{month}-paid"))).await;
            world.does(paid, Command::Submit).await;
            world.does(paid, Command::Settle { attempt: 1 }).await;
            let not = world.pays(rent(house, &format!("{month}-not"))).await;
            world.does(not, Command::Cancel(None)).await;
        }
        sign(world, 1).await;
    }
    // The newest few are under no checkpoint yet.
    world.pays(rent(&houses[0], "newest")).await;
    number(world).await;
}

async fn count(world: &World) -> i64 {
    world.count("SELECT COUNT(*) FROM events").await
}

async fn number(world: &World) {
    while feed::number(&world.db).await.unwrap() == Numbered::ABatch {}
}

async fn sign(world: &World, every_events: i64) -> Grown {
    number(world).await;
    let due = Due { now_us: 0, every_us: i64::MAX, every_events };
    log_tree::grow(&world.db, Log::Events, due, |size, root| Ok::<_, ()>(format!("{size} {root}")))
        .await
        .unwrap()
        .unwrap()
}

async fn events(world: &World) -> Vec<Event> {
    let sql = match world.db {
        Db::Sqlite(_) => {
            "SELECT position, stream_id, sequence, stream, event_type, occurred_at, body FROM events ORDER BY position"
        }
        Db::Postgres(_) => {
            "SELECT f.position, e.stream_id, e.sequence, e.stream, e.event_type, e.occurred_at, e.body
             FROM feed f JOIN events e ON e.stream_id = f.stream_id AND e.sequence = f.sequence ORDER BY f.position"
        }
    };
    type Row = (i64, Uuid, i64, String, String, i64, String);
    let rows: Vec<Row> = world.keep(async |tx| tx.fetch_all(sql, ()).await).await;
    let event = |(position, stream_id, sequence, stream, event_type, occurred_at, body): Row| Event {
        position,
        stream_id,
        sequence,
        stream,
        event_type,
        occurred_at,
        body,
    };
    rows.into_iter().map(event).collect()
}

/// Somebody with all rights on the database and without the key.
struct Intruder<'w> {
    world: &'w World,
    events: Vec<Event>,
    luck: u64,
}

impl Intruder<'_> {
    fn draws(&mut self, below: usize) -> usize {
        usize::try_from(next(&mut self.luck, u64::try_from(below).unwrap())).unwrap()
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.world.db, Db::Sqlite(_))
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.is_sqlite() { format!("X'{hex}'") } else { format!("'\\x{hex}'::bytea") }
    }

    fn id(&self, id: Uuid) -> String {
        if self.is_sqlite() { self.bytes(id.as_bytes()) } else { format!("'{id}'::uuid") }
    }

    /// The row of an event, in a `WHERE`.
    fn row(&self, event: &Event) -> String {
        format!("stream_id = {} AND sequence = {}", self.id(event.stream_id), event.sequence)
    }

    /// The table with its positions.
    fn places(&self) -> &'static str {
        if self.is_sqlite() { "events" } else { "feed" }
    }

    fn tampers(&mut self) -> Tampering {
        let drawn = self.draws(self.events.len());
        let one = self.events[drawn].clone();
        let row = self.row(&one);
        let drawn = self.draws(self.events.len() - 1);
        let other = self.events.iter().filter(|event| event.position != one.position).nth(drawn).unwrap().clone();
        let (by, kind) = (self.draws(1_000), self.draws(16));
        let flip = |what, change: String| Tampering {
            what,
            statements: vec![format!("UPDATE events SET {change} WHERE {row}")],
            positions: [one.position].into(),
        };
        match kind {
            0 => flip("stream_id", "stream_id = (SELECT id FROM users LIMIT 1)".into()),
            1 => flip("sequence", format!("sequence = sequence + 100 + {by}")),
            2 => flip("stream", "stream = CASE stream WHEN 'PAYMENT' THEN 'LEASE' ELSE 'PAYMENT' END".into()),
            3 => flip(
                "event_type",
                "event_type = CASE event_type WHEN 'payment_failed' THEN 'draw_made' ELSE 'payment_failed' END".into(),
            ),
            4 => flip("occurred_at", format!("occurred_at = occurred_at + 1 + {by}")),
            5 => {
                let at = format!("length(body) * {by} / 1000");
                flip("body", format!("body = substr(body, 1, {at}) || '~' || substr(body, {at} + 2)"))
            }
            6 => {
                let mut bytes = one.hash(self.hash_before(&one));
                bytes.0[by % 32] ^= 1 << (by % 8);
                let change = format!("hash = {}", self.bytes(&bytes.0));
                flip("hash", change)
            }
            7 => {
                let to = self.events.len() + 1 + by;
                let statement = format!("UPDATE {} SET position = {to} WHERE {row}", self.places());
                Tampering { what: "position", statements: vec![statement], positions: [one.position].into() }
            }
            8 => self.deletes(&one),
            9 => self.swaps_bodies(&one, &other),
            10 => self.swaps_positions(&one, &other),
            11 => self.swaps_within_a_history(&one),
            12 => self.cuts(1 + by % 20, false),
            13 => self.cuts(1 + by % 20, true),
            14 => self.inserts(&one),
            _ => self.forges(&one),
        }
    }

    fn hash_before(&self, event: &Event) -> Digest {
        self.history(event.stream_id)
            .filter(|earlier| earlier.sequence < event.sequence)
            .fold(Digest::ZERO, |before, earlier| earlier.hash(before))
    }

    fn history(&self, stream_id: Uuid) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.stream_id == stream_id)
    }

    fn deletes(&self, one: &Event) -> Tampering {
        let statements = vec![format!("DELETE FROM events WHERE {}", self.row(one))];
        Tampering { what: "delete", statements, positions: [one.position].into() }
    }

    fn swaps_bodies(&self, one: &Event, other: &Event) -> Tampering {
        let set = |event: &Event, from: &Event| {
            let body = from.body.replace('\'', "''");
            format!("UPDATE events SET body = '{body}' WHERE {}", self.row(event))
        };
        let statements = vec![set(one, other), set(other, one)];
        Tampering { what: "swapped bodies", statements, positions: [one.position, other.position].into() }
    }

    fn swaps_positions(&self, one: &Event, other: &Event) -> Tampering {
        let moves =
            |event: &Event, to: i64| format!("UPDATE {} SET position = {to} WHERE {}", self.places(), self.row(event));
        let statements = vec![moves(one, 1_000_000), moves(other, one.position), moves(one, other.position)];
        Tampering { what: "swapped positions", statements, positions: [one.position, other.position].into() }
    }

    fn swaps_within_a_history(&self, one: &Event) -> Tampering {
        let Some(other) = self.history(one.stream_id).find(|event| event.sequence != one.sequence) else {
            return self.deletes(one);
        };
        let of = format!("stream_id = {}", self.id(one.stream_id));
        let renumber =
            |from: i64, to: i64| format!("UPDATE events SET sequence = {to} WHERE {of} AND sequence = {from}");
        let (a, b) = (one.sequence, other.sequence);
        let statements = vec![renumber(a, 9_999), renumber(b, a), renumber(9_999, b)];
        Tampering { what: "swapped in a history", statements, positions: [one.position, other.position].into() }
    }

    /// The last events, or as many of them as a checkpoint knows of; `well`: and what else would show it.
    fn cuts(&self, count: usize, well: bool) -> Tampering {
        // The newest one is under no checkpoint: cut well by itself it was never there.
        let cut = &self.events[self.events.len() - count - usize::from(well)..];
        let mut statements = Vec::new();
        for event in cut {
            statements.push(format!("DELETE FROM events WHERE {}", self.row(event)));
            if !self.is_sqlite() {
                statements.push(format!("DELETE FROM feed WHERE {}", self.row(event)));
            }
            if well {
                let id = self.id(event.stream_id);
                for (table, key) in [("payments", "id"), ("lease_accounts", "lease_id")] {
                    let last =
                        "FROM events e WHERE e.stream_id = $id ORDER BY e.sequence DESC LIMIT 1".replace("$id", &id);
                    statements.push(format!(
                        "UPDATE {table} SET version = (SELECT e.sequence {last}), head = (SELECT e.hash {last})
                         WHERE {key} = {id} AND EXISTS (SELECT 1 {last})"
                    ));
                }
            }
        }
        Tampering { what: "cut", statements, positions: cut.iter().map(|event| event.position).collect() }
    }

    /// An event that follows on the last one of a history as it should, but never happened.
    fn inserts(&self, one: &Event) -> Tampering {
        let last = self.history(one.stream_id).last().unwrap();
        let before = last.hash(self.hash_before(last));
        let position = i64::try_from(self.events.len()).unwrap() + 1;
        let new = Event { position, sequence: last.sequence + 1, ..last.clone() };
        let Event { stream, event_type, occurred_at, body, sequence, .. } = &new;
        let (id, hash, body) = (self.id(new.stream_id), self.bytes(&new.hash(before).0), body.replace('\'', "''"));
        let columns = "stream_id, sequence, stream, event_type, occurred_at, body, hash";
        let mut statements = vec![format!(
            "INSERT INTO events ({columns})
             VALUES ({id}, {sequence}, '{stream}', '{event_type}', {occurred_at}, '{body}', {hash})"
        )];
        if !self.is_sqlite() {
            statements.push(format!(
                "INSERT INTO feed (position, stream_id, sequence) VALUES ({position}, {id}, {sequence})"
            ));
        }
        Tampering { what: "insert", statements, positions: [position].into() }
    }

    /// Another event in place of one, with all hashes of its history made anew: nothing shows it but the tree.
    fn forges(&self, one: &Event) -> Tampering {
        // What is under no checkpoint yet can be written anew by whoever may write at all.
        let one = if one.position == i64::try_from(self.events.len()).unwrap() { &self.events[0] } else { one };
        let mut head = self.hash_before(one);
        let mut statements = Vec::new();
        for event in self.history(one.stream_id).filter(|event| one.sequence <= event.sequence) {
            let is_it = event.sequence == one.sequence;
            let body = if is_it { event.body.replacen("00", "99", 1) } else { event.body.clone() };
            let event = Event { body, occurred_at: event.occurred_at + i64::from(is_it), ..event.clone() };
            head = event.hash(head);
            statements.push(format!(
                "UPDATE events SET body = '{}', occurred_at = {}, hash = {} WHERE {}",
                event.body.replace('\'', "''"),
                event.occurred_at,
                self.bytes(&head.0),
                self.row(&event)
            ));
        }
        let (id, head) = (self.id(one.stream_id), self.bytes(&head.0));
        statements.push(format!("UPDATE payments SET head = {head} WHERE id = {id}"));
        statements.push(format!("UPDATE lease_accounts SET head = {head} WHERE lease_id = {id}"));
        Tampering { what: "forge", statements, positions: [one.position].into() }
    }

    /// The sentences of the check, each with the positions that it names, or with that of the event that it names.
    async fn found(&self) -> Vec<(String, BTreeSet<i64>)> {
        let audit = audit_log(&self.world.db, &[], |_, _| None, |_, _| {}).await.unwrap();
        let sentences = audit.checks.into_iter().flat_map(|check| check.described);
        sentences.map(|sentence| (sentence.clone(), self.named(&sentence))).collect()
    }

    fn named(&self, sentence: &str) -> BTreeSet<i64> {
        let words: Vec<_> = sentence.split([' ', ',', ':']).filter(|word| !word.is_empty()).collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse::<i64>().ok());
        let mut named = BTreeSet::new();
        for (place, word) in words.iter().enumerate() {
            match (*word, number(place + 1), number(place + 3)) {
                ("position", Some(position), _) => named.extend([position]),
                ("positions", Some(from), Some(to)) => named.extend(from..=to),
                _ => {}
            }
        }
        if named.is_empty() {
            let stream = words.iter().find_map(|word| Uuid::parse_str(word).ok()).unwrap();
            let sequence = words.iter().position(|word| *word == "event").and_then(|place| number(place + 1)).unwrap();
            let event = self.history(stream).find(|event| event.sequence == sequence);
            // One that was added stands at the end of the log.
            named.insert(event.map_or(i64::try_from(self.events.len()).unwrap() + 1, |event| event.position));
        }
        named
    }

    /// One of the sentences names a place where it happened; and none accuses what nobody touched.
    fn judges(&self, tampering: &Tampering, found: &[(String, BTreeSet<i64>)]) {
        let at = &tampering.positions;
        let is_named = found.iter().any(|(_, named)| !named.is_disjoint(at));
        assert!(is_named, "not found: {tampering:#?}\n{found:#?}");
        let touched = |event: &&Event| at.contains(&event.position);
        let streams: BTreeSet<_> = self.events.iter().filter(touched).map(|event| event.stream_id).collect();
        let near = self.events.iter().filter(|event| streams.contains(&event.stream_id)).map(|event| event.position);
        let beyond = i64::try_from(self.events.len()).unwrap() + 1;
        let near: BTreeSet<_> = near.chain(at.iter().copied()).chain(beyond..beyond + 1_001).collect();
        for (sentence, named) in found {
            assert!(!named.is_disjoint(&near), "{sentence}\nis said after {tampering:#?}");
        }
    }
}

/// Keeps what there is, and lets anybody change it.
const KEPT: [&str; 3] = ["events", "payments", "lease_accounts"];

fn restored(table: &str) -> String {
    format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table};")
}

#[test]
fn a_thousand_tamperings_are_found_and_their_places_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tampered.db");
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let db = Db::open_sqlite(&file, PoolSize(1)).await.unwrap();
        db.migrate().await.unwrap();
        let world = World::new(db);
        some_log(&world).await;
        let mut intruder = Intruder { world: &world, events: events(&world).await, luck: 7 };
        assert_eq!(intruder.found().await, []);

        let hand = Connection::open(&file).unwrap();
        hand.execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF;",
        )
        .unwrap();
        let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
        let mut statement = hand.prepare(triggers).unwrap();
        let names: Vec<String> = statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for name in names {
            hand.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        for table in KEPT {
            hand.execute_batch(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).unwrap();
        }
        let mut kinds = BTreeSet::new();
        for _ in 0..1_000 {
            let tampering = intruder.tampers();
            kinds.insert(tampering.what);
            hand.execute_batch(&format!("BEGIN; {}; COMMIT;", tampering.statements.join("; "))).unwrap();
            intruder.judges(&tampering, &intruder.found().await);
            let all = KEPT.map(restored).concat();
            hand.execute_batch(&format!("BEGIN; {all} COMMIT;")).unwrap();
        }
        assert_eq!(kinds.len(), 15, "{kinds:?}");
        assert_eq!(intruder.found().await, []);
        // Nobody signs anything that goes on from a changed past.
        let forged = intruder.forges(&intruder.events[290].clone());
        hand.execute_batch(&forged.statements.join("; ")).unwrap();
        assert!(matches!(sign(&world, 1).await, Grown::Changed(_)));
        world.db.close().await;
    });
}

#[test]
fn tamperings_are_found_where_positions_are_given_afterwards() {
    on_postgres(async |world| {
        some_log(world).await;
        let mut intruder = Intruder { world, events: events(world).await, luck: 11 };
        assert_eq!(intruder.found().await, []);
        for statement in [
            "DROP TRIGGER events_append_only ON events",
            "DROP TRIGGER events_wait_for_feed ON events",
            "DROP TRIGGER feed_append_only ON feed",
            "DROP TRIGGER payments_never_go ON payments",
            "ALTER TABLE events DROP CONSTRAINT events_type, DROP CONSTRAINT events_lease_type",
            "ALTER TABLE postings DROP CONSTRAINT postings_event",
            "ALTER TABLE allocations DROP CONSTRAINT allocations_event",
            "ALTER TABLE deposit_returns DROP CONSTRAINT deposit_returns_event",
            "CREATE TABLE kept_events AS SELECT * FROM events",
            "CREATE TABLE kept_feed AS SELECT * FROM feed",
            "CREATE TABLE kept_heads AS SELECT id, version, head FROM payments
             UNION ALL SELECT lease_id, version, head FROM lease_accounts",
        ] {
            world.execute(statement).await;
        }
        for _ in 0..100 {
            let tampering = intruder.tampers();
            for statement in &tampering.statements {
                world.execute(for_ever(statement)).await;
            }
            intruder.judges(&tampering, &intruder.found().await);
            for statement in [
                "DELETE FROM events",
                "INSERT INTO events SELECT * FROM kept_events",
                "DELETE FROM feed",
                "INSERT INTO feed SELECT * FROM kept_feed",
                "UPDATE payments p SET version = k.version, head = k.head FROM kept_heads k WHERE k.id = p.id",
                "UPDATE lease_accounts a SET version = k.version, head = k.head FROM kept_heads k WHERE k.id = a.lease_id",
            ] {
                world.execute(statement).await;
            }
        }
        assert_eq!(intruder.found().await, []);
    });
}

fn for_ever(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
