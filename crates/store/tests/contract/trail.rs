//! Who did what from where: kept with what it tells of, in one chain, and whatever is done to it is found.

use std::collections::BTreeSet;

use directpay_domain::digest::Digest;
use directpay_domain::id::UserId;
use directpay_domain::trail::{Action, Actor, Credential, Subject};
use directpay_store::feed::Numbered;
use directpay_store::log_tree::{self, Due, Grown, Log};
use directpay_store::trail::{self, Entry, Filter, Placed};
use directpay_store::{Db, Page, Tx, audit_log};
use uuid::Uuid;

use crate::audit::next;
use crate::harness::on_both_engines;
use crate::world::World;

/// A moment at which ids are drawn; the number tells entries apart.
const NOW_US: i64 = 1_800_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

/// The id of an entry that was written in this second.
fn id_at(second: i64) -> Uuid {
    let millis = u128::try_from((NOW_US + second * SECOND_US) / 1_000).unwrap();
    Uuid::from_u128(millis << 80 | 7)
}

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn entry(second: i64, actor: Actor, action: Action) -> Entry {
    Entry::new(id_at(second), NOW_US + second * SECOND_US, actor, action)
}

fn of_user(number: u128) -> Actor {
    Actor::User {
        id: user(number),
        is_admin: false,
        credential: Some(Credential::Session(Uuid::from_u128(number + 100))),
    }
}

async fn write(world: &World, entries: &[Entry]) {
    world.keep(async |tx| trail::write(tx, entries).await).await;
}

async fn number(world: &World) {
    while trail::number(&world.db).await.unwrap() == Numbered::ABatch {}
}

async fn all(world: &World) -> Vec<Placed> {
    trail::page(&mut world.db.begin_read().await.unwrap(), 0, 10_000).await.unwrap()
}

async fn seconds(world: &World, filter: Filter, limit: i64) -> Vec<i64> {
    let page = Page { before: Uuid::max(), limit };
    let found = world.keep(async |tx| trail::list(tx, filter, page).await).await;
    found.iter().map(|entry| (entry.occurred_at - NOW_US) / SECOND_US).collect()
}

#[test]
fn entries_stand_in_one_chain_as_they_were_written() {
    on_both_engines(async |world| {
        let full = Entry {
            since: NOW_US - 5,
            times: 9,
            address: Some("203.0.113.9".into()),
            user_agent: Some("a \"quoted\" agent".into()),
            request_id: Some("request-1".into()),
            details: Some(r#"{"a":"ü"}"#.into()),
            ..entry(0, of_user(1), Action::ApiKeyCreated)
        };
        let full = full.to(Subject::mandate(Uuid::from_u128(3))).about(user(2));
        let bare = entry(1, Actor::Nobody, Action::SignInRefused);
        write(world, &[full.clone(), bare.clone()]).await;
        write(world, &[entry(2, Actor::Command, Action::TrailExported)]).await;
        number(world).await;

        let placed = all(world).await;
        assert_eq!(placed.iter().map(|placed| placed.position).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((&placed[0].entry, &placed[1].entry), (&full, &bare));
        let mut before = Digest::ZERO;
        for Placed { entry, hash, .. } in &placed {
            before = entry.hash(before);
            assert_eq!(*hash, Some(before));
        }
    });
}

#[test]
fn a_change_that_is_not_kept_leaves_no_entry_and_no_hole() {
    on_both_engines(async |world| {
        write(world, &[entry(0, of_user(1), Action::PasswordChanged)]).await;
        let mut tx = world.db.begin().await.unwrap();
        trail::write(&mut tx, &[entry(1, of_user(1), Action::ApiKeyCreated)]).await.unwrap();
        drop(tx);
        write(world, &[entry(2, of_user(1), Action::ApiKeyRevoked)]).await;
        number(world).await;

        let placed = all(world).await;
        let actions: Vec<_> = placed.iter().map(|placed| (placed.position, placed.entry.action.as_str())).collect();
        assert_eq!(actions, [(1, "password.changed"), (2, "api_key.revoked")]);
    });
}

#[test]
fn writers_that_commit_late_leave_no_hole() {
    on_both_engines(async |world| {
        if matches!(world.db, Db::Sqlite(_)) {
            return;
        }
        let mut late = world.db.begin().await.unwrap();
        trail::write(&mut late, &[entry(0, of_user(1), Action::LeaseCreated)]).await.unwrap();
        write(world, &[entry(1, of_user(2), Action::LeaseCreated)]).await;
        number(world).await;
        assert_eq!(all(world).await.len(), 1);
        late.commit().await.unwrap();
        assert_eq!(trail::waiting(&mut world.db.begin_read().await.unwrap()).await.unwrap(), 1);
        number(world).await;
        let placed = all(world).await;
        assert_eq!(placed.iter().map(|placed| placed.position).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(placed[1].entry.actor_id, Some(user(1).0));
    });
}

#[test]
fn entries_are_found_by_whom_what_and_when() {
    on_both_engines(async |world| {
        let account = Uuid::from_u128(50);
        let of_account = Subject { kind: directpay_domain::trail::SubjectKind::BankAccount, id: account };
        let entries = [
            entry(0, of_user(1), Action::BankAccountLinked).to(of_account),
            entry(1, of_user(2), Action::PasswordChanged),
            entry(2, of_user(9), Action::SecondFactorRemoved).about(user(1)),
            entry(3, Actor::Nobody, Action::SignInRefused),
            entry(4, of_user(1), Action::PasswordChanged),
        ];
        write(world, &entries).await;
        number(world).await;

        let all = Filter::default();
        assert_eq!(seconds(world, all, 9).await, [4, 3, 2, 1, 0]);
        assert_eq!(seconds(world, all, 2).await, [4, 3]);
        assert_eq!(seconds(world, Filter { person: Some(user(1)), ..all }, 9).await, [4, 2, 0]);
        assert_eq!(seconds(world, Filter { actor: Some(user(9)), ..all }, 9).await, [2]);
        assert_eq!(seconds(world, Filter { credential: Some(Uuid::from_u128(101)), ..all }, 9).await, [4, 0]);
        assert_eq!(seconds(world, Filter { subject: Some(account), ..all }, 9).await, [0]);
        let foreign = Filter { subject: Some(account), person: Some(user(2)), ..all };
        assert_eq!(seconds(world, foreign, 9).await, [] as [i64; 0]);
        let changed = Filter { action: Some(Action::PasswordChanged), ..all };
        assert_eq!(seconds(world, changed, 9).await, [4, 1]);
        assert_eq!(seconds(world, Filter { person: Some(user(1)), ..changed }, 9).await, [4]);
        let at = |second: i64| Some(NOW_US + second * SECOND_US);
        assert_eq!(seconds(world, Filter { from_us: at(1), until_us: at(4), ..all }, 9).await, [3, 2, 1]);
        let before = Page { before: id_at(3), limit: 9 };
        let found = world.keep(async |tx| trail::list(tx, all, before).await).await;
        assert_eq!(found.len(), 3);
    });
}

#[test]
fn nobody_changes_an_entry() {
    on_both_engines(async |world| {
        write(world, &[entry(0, of_user(1), Action::PasswordChanged)]).await;
        number(world).await;
        for statement in ["UPDATE trail SET times = 2", "DELETE FROM trail"] {
            world.fail(async |tx: &mut Tx| tx.execute(statement, ()).await).await;
        }
    });
}

async fn sign(world: &World) -> Grown {
    number(world).await;
    let due = Due { now_us: 0, every_us: i64::MAX, every_events: 1 };
    log_tree::grow(&world.db, Log::Trail, due, |size, root| Ok::<_, ()>(format!("{size} {root}")))
        .await
        .unwrap()
        .unwrap()
}

/// What the check of the logs says, with the positions of the trail that it names.
async fn found(world: &World) -> Vec<(String, BTreeSet<i64>)> {
    let audit = audit_log(&world.db, &[], |_, _| None, |_, _| {}).await.unwrap();
    let sentences = audit.checks.into_iter().flat_map(|check| check.described);
    sentences.map(|sentence| (sentence.clone(), named(&sentence))).collect()
}

fn named(sentence: &str) -> BTreeSet<i64> {
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
    named
}

/// What somebody with all rights on the database and without the key does to an entry, or to all from it on.
fn tamperings(placed: &[Placed], at: usize) -> Vec<(&'static str, Vec<String>)> {
    let position = placed[at].position;
    let other = placed[(at + 7) % placed.len()].position;
    let set = |what: &str| vec![format!("UPDATE trail SET {what} WHERE position = {position}")];
    let last = placed.len();
    vec![
        ("who", set("actor_id = subject_id")),
        ("for whom", set("person_id = NULL")),
        ("by what", set("credential_id = actor_id")),
        ("what", set("action = 'lease.created'")),
        ("to what", set("subject = 'LEASE'")),
        ("when", set("occurred_at = occurred_at + 1")),
        ("since when", set("since = since - 1")),
        ("how often", set("times = times + 1")),
        ("from where", set("address = '198.51.100.1'")),
        ("with what", set("user_agent = NULL")),
        ("by which request", set("request_id = 'other'")),
        ("details", set("details = '{}'")),
        ("hash", set("hash = (SELECT hash FROM trail WHERE position = 1) ")),
        ("delete", vec![format!("DELETE FROM trail WHERE position = {position}")]),
        (
            "swap",
            vec![
                format!("UPDATE trail SET position = 1000000 WHERE position = {position}"),
                format!("UPDATE trail SET position = {position} WHERE position = {other}"),
                format!("UPDATE trail SET position = {other} WHERE position = 1000000"),
            ],
        ),
        ("cut", vec![format!("DELETE FROM trail WHERE {} < position", last - 9)]),
    ]
}

#[test]
fn whatever_is_done_to_the_trail_is_found_and_its_place_named() {
    on_both_engines(async |world| {
        for batch in 0..30 {
            let entries: Vec<_> = (0..10).map(|one| some_entry(batch * 10 + one)).collect();
            write(world, &entries).await;
            if batch % 10 == 9 {
                assert!(matches!(sign(world).await, Grown::To(_)));
            }
        }
        let placed = all(world).await;
        assert_eq!((placed.len(), found(world).await), (300, Vec::new()));
        let unlock: &[&'static str] = match world.db {
            Db::Sqlite(_) => &["DROP TRIGGER trail_no_update", "DROP TRIGGER trail_no_delete"],
            Db::Postgres(_) => &["DROP TRIGGER trail_append_only ON trail"],
        };
        for statement in unlock {
            world.execute(statement).await;
        }
        world.execute("CREATE TABLE kept_trail AS SELECT * FROM trail").await;
        let mut luck = 3;
        for _ in 0..4 {
            let at = usize::try_from(next(&mut luck, 280)).unwrap() + 1;
            for (what, statements) in tamperings(&placed, at) {
                for statement in statements {
                    world.execute(Box::leak(statement.into_boxed_str())).await;
                }
                let found = found(world).await;
                let place = if what == "cut" { 300 } else { placed[at].position };
                assert!(found.iter().any(|(_, named)| named.contains(&place)), "{what} at {place}: {found:#?}");
                world.execute("DELETE FROM trail").await;
                world.execute("INSERT INTO trail SELECT * FROM kept_trail").await;
            }
        }
        assert_eq!(found(world).await, []);

        // With all hashes behind it made anew nothing shows it but the tree; and nobody signs what goes on from there.
        for statement in forge(world, &placed, 40) {
            world.execute(Box::leak(statement.into_boxed_str())).await;
        }
        let found = found(world).await;
        assert!(found.iter().any(|(_, named)| named.contains(&41)), "{found:#?}");
        assert!(found.iter().all(|(sentence, _)| sentence.contains("positions")), "{found:#?}");
        write(world, &[some_entry(301)]).await;
        assert!(matches!(sign(world).await, Grown::Changed(_)));
    });
}

fn some_entry(number: i64) -> Entry {
    let actor = of_user(u128::try_from(number % 5).unwrap());
    let subject = Subject::mandate(Uuid::from_u128(u128::try_from(1_000 + number).unwrap()));
    Entry {
        address: Some(format!("203.0.113.{}", number % 200)),
        user_agent: Some("agent".into()),
        request_id: Some(format!("request-{number}")),
        details: Some(format!("{{\"number\":{number}}}")),
        ..entry(number, actor, Action::MandateSigned).to(subject)
    }
}

fn forge(world: &World, placed: &[Placed], at: usize) -> Vec<String> {
    let bytes = |hash: Digest| match world.db {
        Db::Sqlite(_) => format!("X'{hash}'"),
        Db::Postgres(_) => format!("'\\x{hash}'::bytea"),
    };
    let mut before = placed[at - 1].hash.unwrap();
    let mut statements = Vec::new();
    for (place, Placed { position, entry, .. }) in placed.iter().enumerate().skip(at) {
        let address = if place == at { Some("198.51.100.1".into()) } else { entry.address.clone() };
        let entry = Entry { address, ..entry.clone() };
        before = entry.hash(before);
        let address = entry.address.as_deref().unwrap();
        let hash = bytes(before);
        statements.push(format!("UPDATE trail SET address = '{address}', hash = {hash} WHERE position = {position}"));
    }
    statements
}
