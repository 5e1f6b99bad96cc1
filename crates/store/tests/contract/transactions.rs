//! What a transaction is: all or nothing, also when a statement fails or nobody waits for it any more.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use directpay_domain::user::Role;
use directpay_store::{Schema, users};

use crate::harness::{on_both_engines, on_postgres};
use crate::world::new_user;

#[test]
fn the_schema_is_current_after_migrating_and_migrating_again_does_nothing() {
    on_both_engines(async |world| {
        assert_eq!(world.db.schema().await.unwrap(), Schema::Current);
        world.db.migrate().await.unwrap();
        assert_eq!(world.db.schema().await.unwrap(), Schema::Current);
    });
}

#[test]
fn a_database_of_another_age_is_known_as_such() {
    on_both_engines(async |world| {
        world.execute("DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)").await;
        assert_eq!(world.db.schema().await.unwrap(), Schema::Old);
        world.execute("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 3").await;
        assert_eq!(world.db.schema().await.unwrap(), Schema::Newer);
        world.execute("DROP TABLE _sqlx_migrations").await;
        assert_eq!(world.db.schema().await.unwrap(), Schema::Old);
    });
}

#[test]
fn what_is_not_committed_is_not_there() {
    on_both_engines(async |world| {
        let user = world.person(Role::Renter, "ada@example.com");
        let mut tx = world.db.begin().await.unwrap();
        users::insert(&mut tx, new_user(&user, "ada@example.com")).await.unwrap();
        drop(tx);

        assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 0);
    });
}

#[test]
fn a_transaction_in_which_a_statement_failed_cannot_be_committed() {
    on_both_engines(async |world| {
        let user = world.person(Role::Renter, "ada@example.com");
        let mut tx = world.db.begin().await.unwrap();
        users::insert(&mut tx, new_user(&user, "ada@example.com")).await.unwrap();
        users::insert(&mut tx, new_user(&user, "ada@example.com")).await.unwrap_err();

        assert!(tx.commit().await.is_err());

        assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 0);
    });
}

#[test]
fn a_row_that_should_be_there_and_is_not_fails_the_transaction_too() {
    on_both_engines(async |world| {
        let mut tx = world.db.begin().await.unwrap();
        let missing: sqlx::Result<(String,)> = tx.fetch_one("SELECT email FROM users", ()).await;
        assert!(missing.is_err());
        assert!(tx.commit().await.is_err());
    });
}

#[test]
fn a_statement_that_nobody_waits_for_any_more_fails_the_transaction() {
    on_postgres(async |world| {
        let mut tx = world.db.begin().await.unwrap();
        let slow = tx.execute("SELECT pg_sleep(0.3)", ());
        tokio::time::timeout(Duration::from_millis(50), slow).await.unwrap_err();

        assert!(tx.commit().await.is_err());
    });
}

/// Polls once and drops: a caller that went away while the answer was on its way.
fn abandon(future: impl Future) {
    // SQLite may be so quick that it is done: then the answer is dropped instead of the question.
    let _: Poll<_> = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn a_dropped_begin_leaves_no_transaction_open() {
    on_both_engines(async |world| {
        for _ in 0..20 {
            abandon(world.db.begin());
        }
        // Everything that follows is kept: no connection in the pool is stuck in a transaction of nobody.
        for number in 0..20 {
            let email = format!("{number}@example.com");
            let user = world.person(Role::Renter, &email);
            world.keep(async |tx| users::insert(tx, new_user(&user, &email)).await).await;
            assert_eq!(world.count("SELECT COUNT(*) FROM users").await, number + 1);
        }
    });
    on_postgres(async |world| {
        for _ in 0..20 {
            abandon(world.db.begin());
        }
        for _ in 0..100 {
            const OPEN: &str = "SELECT COUNT(*) FROM pg_stat_activity
                                WHERE datname = current_database() AND state = 'idle in transaction'";
            if world.count(OPEN).await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("a transaction of nobody stays open");
    });
}

#[test]
fn a_transaction_dropped_in_the_middle_of_a_statement_rolls_back() {
    on_both_engines(async |world| {
        for number in 0..10_u32 {
            let email = format!("{number}@example.com");
            let user = world.person(Role::Renter, &email);
            let mut tx = world.db.begin().await.unwrap();
            users::insert(&mut tx, new_user(&user, &email)).await.unwrap();
            abandon(tx.execute("UPDATE users SET full_name = full_name", ()));
        }
        assert_eq!(world.count("SELECT COUNT(*) FROM users").await, 0);
    });
}

#[test]
fn a_reading_transaction_sees_one_moment_and_cannot_write() {
    on_both_engines(async |world| {
        let mut reading = world.db.begin_read().await.unwrap();
        let (before,): (i64,) = reading.fetch_one("SELECT COUNT(*) FROM users", ()).await.unwrap();
        world.joins(Role::Renter).await;
        let (after,): (i64,) = reading.fetch_one("SELECT COUNT(*) FROM users", ()).await.unwrap();
        assert_eq!((before, after), (0, 0));
        assert!(reading.execute("DELETE FROM users", ()).await.is_err());
    });
}

#[test]
fn only_postgresql_is_shared_with_other_processes() {
    on_both_engines(async |world| {
        assert_eq!(world.db.is_shared(), matches!(world.db, directpay_store::Db::Postgres(_)));
    });
}
