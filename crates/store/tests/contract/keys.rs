//! What stands under which key, and who knows which.

use std::time::Duration;

use directpay_domain::user::Role;
use directpay_store::bank_accounts::{self, NewBankAccount, SealedNumber};
use directpay_store::key_holders::{self, KeyHolder};
use directpay_store::mail::{self, NewMail};
use directpay_store::sealed::{self, Column, Replacement, SealedRow};
use directpay_store::{SealedText, StoreError, Tx, second_factors};
use uuid::Uuid;

use crate::harness::{on_both_engines, on_postgres};
use crate::world::World;

async fn stands(world: &World, key_id: &str) -> i64 {
    world.keep(async |tx| sealed::count(tx, key_id).await).await
}

async fn held(world: &World, column: Column, key_id: &str, after: Uuid, limit: i64) -> Vec<SealedRow> {
    world.keep(async |tx| sealed::hold(tx, column, key_id, after, limit).await).await
}

/// Writes a mail under a key.
async fn writes(tx: &mut Tx, id: Uuid, key_id: &str) -> Result<(), StoreError> {
    let letter = SealedText { sealed: format!("letter {id}"), key_id: key_id.to_owned() };
    mail::insert(tx, NewMail { id, letter: &letter, now_us: 1, expires_us: 1000 }).await
}

fn replacement(row: &SealedRow, key_id: &str) -> Replacement {
    Replacement {
        id: row.id,
        before: row.sealed.clone(),
        sealed: format!("{} anew", row.sealed),
        key_id: key_id.into(),
    }
}

#[test]
fn texts_get_from_one_key_to_another_and_nothing_that_changed_meanwhile_is_lost() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let accounts = [world.links(owner).await, world.links(owner).await, world.links(owner).await];
        let secret = SealedText { sealed: "secret".into(), key_id: "k2".into() };
        world.keep(async |tx| second_factors::begin(tx, owner, &secret).await).await;
        let letter = world.id();
        world.keep(async |tx| writes(tx, letter, "k1").await).await;
        assert_eq!(world.keep(async |tx| sealed::all_key_ids(tx).await).await, ["k1", "k2"]);
        assert_eq!(world.keep(async |tx| sealed::key_ids(tx, Column::Mail).await).await, ["k1"]);
        assert_eq!((stands(world, "k1").await, stands(world, "k2").await, stands(world, "k3").await), (4, 1, 0));

        let page = held(world, Column::BankAccounts, "k1", Uuid::nil(), 2).await;
        assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [accounts[0].0, accounts[1].0]);
        let rest = held(world, Column::BankAccounts, "k1", page[1].id, 2).await;
        assert_eq!(rest.len(), 1);
        let mut rows: Vec<_> = page.iter().map(|row| replacement(row, "k3")).collect();
        // Of one something else stands there by now.
        rows[1].before = "something else".into();
        assert_eq!(world.keep(async |tx| sealed::replace(tx, Column::BankAccounts, &rows).await).await, 1);
        assert_eq!(world.keep(async |tx| sealed::replace(tx, Column::BankAccounts, &rows).await).await, 0);
        assert_eq!((stands(world, "k1").await, stands(world, "k3").await), (3, 1));
        let anew = held(world, Column::BankAccounts, "k3", Uuid::nil(), 9).await;
        assert_eq!((anew[0].id, anew[0].sealed.as_str()), (accounts[0].0, "c2VhbGVk anew"));
        for column in [Column::SecondFactors, Column::Mail] {
            let rows = held(world, column, if column == Column::Mail { "k1" } else { "k2" }, Uuid::nil(), 9).await;
            let rows: Vec<_> = rows.iter().map(|row| replacement(row, "k3")).collect();
            assert_eq!(world.keep(async |tx| sealed::replace(tx, column, &rows).await).await, 1);
        }
        assert_eq!(world.keep(async |tx| sealed::key_ids(tx, Column::SecondFactors).await).await, ["k3"]);
    });
}

#[test]
fn a_webhook_has_two_texts_until_it_is_deleted() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Landlord).await;
        let insert = "INSERT INTO webhooks (id, user_id, url, description, event_types, status, begins_after, sealed_secret,
                key_id, public_key, previous_sealed_secret, previous_key_id, previous_public_key, previous_until, created_at)
             VALUES ($1, $2, '', '', '', 'ENABLED', 0, 'now', 'k2', '', 'before', 'k1', '', 9, 0)";
        let id = world.id();
        world.keep(async |tx| tx.execute(insert, (id, owner.0)).await).await;
        assert_eq!(world.keep(async |tx| sealed::all_key_ids(tx).await).await, ["k1", "k2"]);
        let before = held(world, Column::WebhooksBefore, "k1", Uuid::nil(), 9).await;
        let rows = [replacement(&before[0], "k2")];
        assert_eq!(world.keep(async |tx| sealed::replace(tx, Column::WebhooksBefore, &rows).await).await, 1);
        assert_eq!(stands(world, "k2").await, 2);
        assert!(world.keep(async |tx| sealed::retire(tx, "k1", 1).await).await);
        let late = "UPDATE webhooks SET previous_key_id = 'k1' WHERE id = $1";
        world.fail(async |tx| tx.execute(late, (id,)).await).await;
        let id = directpay_domain::id::WebhookId(id);
        world.keep(async |tx| directpay_store::webhooks::delete(tx, id, 1).await).await;
        assert_eq!(stands(world, "k2").await, 0);
        assert!(world.keep(async |tx| sealed::all_key_ids(tx).await).await.is_empty());
    });
}

#[test]
fn under_a_retired_key_nothing_stands_and_nothing_can_be_written() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let account = world.links(owner).await;
        assert!(!world.keep(async |tx| sealed::retire(tx, "k1", 1).await).await, "an account stands under it");
        assert!(!world.keep(async |tx| sealed::is_retired(tx, "k1").await).await);
        let row = held(world, Column::BankAccounts, "k1", Uuid::nil(), 9).await;
        let rows = [replacement(&row[0], "k2")];
        world.keep(async |tx| sealed::replace(tx, Column::BankAccounts, &rows).await).await;
        for _ in 0..2 {
            assert!(world.keep(async |tx| sealed::retire(tx, "k1", 1).await).await, "and again");
        }
        assert!(world.keep(async |tx| sealed::is_retired(tx, "k1").await).await);

        // Whoever has not heard of it is refused, in each of the tables.
        let id = world.id();
        world.fail(async |tx| writes(tx, id, "k1").await).await;
        let old = SealedNumber { sealed_number: "x".into(), key_id: "k1".into() };
        let other = world.account(owner);
        let new = NewBankAccount { account: &other, sealed: &old, fingerprint: "f" };
        world.fail(async |tx| bank_accounts::insert(tx, new).await).await;
        let secret = SealedText { sealed: "secret".into(), key_id: "k1".into() };
        world.fail(async |tx| second_factors::begin(tx, owner, &secret).await).await;
        let back =
            [Replacement { id: account.0, before: rows[0].sealed.clone(), sealed: "x".into(), key_id: "k1".into() }];
        world.fail(async |tx| sealed::replace(tx, Column::BankAccounts, &back).await).await;
        world.fail(async |tx| tx.execute("DELETE FROM retired_keys", ()).await).await;
        world.fail(async |tx| tx.execute("UPDATE retired_keys SET id = 'k9'", ()).await).await;
        assert_eq!(stands(world, "k1").await, 0);
    });
}

#[test]
fn a_late_writer_is_waited_for_and_what_it_wrote_is_found() {
    on_postgres(async |world| {
        let id = world.id();
        let mut late = world.db.begin().await.unwrap();
        writes(&mut late, id, "k1").await.unwrap();
        let busy = world.fail(async |tx| sealed::retire(tx, "k1", 1).await).await;
        assert!(busy.is_passing(), "{busy:?}");
        let (ended, free) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                late.commit().await
            },
            world.keep(async |tx| sealed::retire(tx, "k1", 1).await),
        );
        ended.unwrap();
        assert!(!free, "what was committed while it waited is seen");

        // Others hold rows: they are left out, and nobody waits.
        let mut holding = world.db.begin().await.unwrap();
        let rows = sealed::hold(&mut holding, Column::Mail, "k1", Uuid::nil(), 9).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert!(held(world, Column::Mail, "k1", Uuid::nil(), 9).await.is_empty());
        // Who only refers to such a row does not wait either.
        let refer = "SELECT id FROM outgoing_mail WHERE id = $1 FOR KEY SHARE NOWAIT";
        let _referred: (Uuid,) = world.keep(async |tx| tx.fetch_one(refer, (id,)).await).await;
        drop(holding);

        // Who began before a key was retired, and writes after it, is refused.
        let mut early = world.db.begin().await.unwrap();
        let _snapshot: (i64,) = early.fetch_one("SELECT COUNT(*) FROM users", ()).await.unwrap();
        assert!(world.keep(async |tx| sealed::retire(tx, "k0", 1).await).await);
        writes(&mut early, world.id(), "k0").await.unwrap_err();
    });
}

#[test]
fn processes_say_which_keys_they_know_until_they_are_silent_or_leave() {
    on_both_engines(async |world| {
        let holder = |place: &str, known: &[&str], used: &[&str]| KeyHolder {
            process: world.id(),
            place: place.into(),
            known: known.iter().map(|name| (*name).to_owned()).collect(),
            used: used.iter().map(|name| (*name).to_owned()).collect(),
        };
        let (one, other) = (holder("here", &["k1", "k2"], &["k1"]), holder("there", &["k1"], &[]));
        world.keep(async |tx| key_holders::report(tx, &one, 10).await).await;
        world.keep(async |tx| key_holders::report(tx, &other, 20).await).await;
        let seen = async |since_us| world.keep(async |tx| key_holders::seen_since(tx, since_us).await).await;
        assert_eq!(seen(10).await, [one.clone(), other.clone()]);
        assert_eq!(seen(11).await, std::slice::from_ref(&other));
        let changed = KeyHolder { used: vec!["k2".into()], ..one.clone() };
        world.keep(async |tx| key_holders::report(tx, &changed, 30).await).await;
        assert_eq!(seen(30).await, [changed]);
        world.keep(async |tx| key_holders::leave(tx, one.process).await).await;
        assert_eq!(seen(0).await, [other]);
        let last_use = async |key_id| world.keep(async |tx| key_holders::last_use(tx, key_id).await).await;
        assert_eq!((last_use("k1").await, last_use("k2").await, last_use("k3").await), (Some(10), Some(30), None));
        world.keep(async |tx| key_holders::forget(tx, 20).await).await;
        assert_eq!(seen(0).await.len(), 1);
        world.keep(async |tx| key_holders::forget_all(tx).await).await;
        assert!(seen(0).await.is_empty());
    });
}

#[test]
fn every_column_that_names_a_key_is_counted_guarded_and_locked() {
    on_both_engines(async |world| {
        let (columns, triggers) = if world.db.is_shared() {
            (
                "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns
                 WHERE table_schema = current_schema() AND column_name LIKE '%key\\_id' ",
                "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
            )
        } else {
            (
                "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND c.name LIKE '%key\\_id' ESCAPE '\\'",
                "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%IN (SELECT id FROM retired_keys)%'",
            )
        };
        let mut found: Vec<(String, String)> = world.keep(async |tx| tx.fetch_all(columns, ()).await).await;
        found.sort();
        let mut known: Vec<_> = Column::ALL.map(Column::key_column).to_vec();
        known.sort_unstable();
        let found_names: Vec<_> = found.iter().map(|(table, column)| (table.as_str(), column.as_str())).collect();
        assert_eq!(found_names, known);

        let triggers: Vec<(String,)> = world.keep(async |tx| tx.fetch_all(triggers, ()).await).await;
        let is_guarded = |parts: &[String]| triggers.iter().any(|(text,)| parts.iter().all(|part| text.contains(part)));
        for (table, column) in known {
            let wanted = if world.db.is_shared() {
                let function = "EXECUTE FUNCTION refuse_retired".to_owned();
                vec![vec![
                    format!("BEFORE INSERT OR UPDATE OF {column} ON "),
                    format!("{table} FOR EACH ROW"),
                    function,
                ]]
            } else {
                let names = format!("NEW.{column} IN");
                let events = [format!("BEFORE INSERT ON {table}"), format!("BEFORE UPDATE OF {column} ON {table}")];
                events.map(|event| vec![event, names.clone()]).to_vec()
            };
            assert!(wanted.iter().all(|parts| is_guarded(parts)), "{table}.{column}");
        }
        if world.db.is_shared() {
            let mut tx = world.db.begin().await.unwrap();
            assert!(sealed::retire(&mut tx, "k0", 1).await.unwrap());
            let locks = "SELECT DISTINCT CAST(c.relname AS TEXT) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                 WHERE l.pid = pg_backend_pid() AND l.mode = 'ShareLock' ORDER BY 1";
            let locked: Vec<(String,)> = tx.fetch_all(locks, ()).await.unwrap();
            let mut tables: Vec<_> = Column::ALL.map(|column| column.key_column().0).to_vec();
            tables.sort_unstable();
            tables.dedup();
            assert_eq!(locked.iter().map(|(table,)| table.as_str()).collect::<Vec<_>>(), tables);
        }
    });
}
