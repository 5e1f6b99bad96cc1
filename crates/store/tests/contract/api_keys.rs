//! Keys by which programs act for people. Times are process time.

use directpay_domain::api_key::Scopes;
use directpay_domain::id::{ApiKeyId, UserId};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::Page;
use directpay_store::api_keys::{self, ApiKey, Presented};
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::World;

fn at(micros: i64) -> Instant {
    Instant::from_micros(micros).unwrap()
}

/// Makes a key at 10, which is good until `expires_us`.
async fn makes(world: &World, owner: UserId, key_hash: &str, expires_us: Option<i64>) -> ApiKey {
    let key = ApiKey {
        id: ApiKeyId(world.id()),
        user_id: owner,
        name: "Accounting".into(),
        last4: "aB3x".into(),
        scopes: Scopes::parse(&["payments:read", "leases:write"]).unwrap(),
        created_at: at(10),
        expires_at: expires_us.map(at),
        last_used_at: None,
        revoked_at: None,
    };
    world.keep(async |tx| api_keys::insert(tx, &key, key_hash).await).await;
    key
}

async fn find(world: &World, id: ApiKeyId) -> Option<ApiKey> {
    world.keep(async |tx| api_keys::find(tx, id).await).await
}

async fn presented(world: &World, key_hash: &str) -> Option<Presented> {
    world.keep(async |tx| api_keys::find_presented(tx, key_hash).await).await
}

#[test]
fn a_key_is_kept_as_made_and_known_by_its_hash() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Landlord).await;
        let key = makes(world, owner, "hash", Some(99)).await;

        assert_eq!(find(world, key.id).await, Some(key.clone()));
        assert_eq!(find(world, ApiKeyId(Uuid::nil())).await, None);
        let known = presented(world, "hash").await.unwrap();
        assert_eq!((known.id, known.user_id, known.role), (key.id, owner, Role::Landlord));
        assert_eq!((known.scopes, known.expires_us, known.last_used_us), (key.scopes, Some(99), None));
        assert!(!known.is_revoked);
        assert!(presented(world, "hash ").await.is_none() && presented(world, "").await.is_none());
    });
}

#[test]
fn two_keys_never_share_a_hash() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let key = makes(world, owner, "hash", None).await;
        let same = ApiKey { id: ApiKeyId(world.id()), ..key };

        world.fail(async |tx| api_keys::insert(tx, &same, "hash").await).await;
    });
}

#[test]
fn a_revoked_key_stays_revoked_since_the_first_time() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let (key, other) = (makes(world, owner, "h1", None).await, makes(world, owner, "h2", None).await);
        for now_us in [50, 60] {
            world.keep(async |tx| api_keys::revoke(tx, key.id, now_us).await).await;
        }

        assert_eq!(find(world, key.id).await.unwrap().revoked_at, Some(at(50)));
        assert!(presented(world, "h1").await.unwrap().is_revoked);
        assert!(!presented(world, "h2").await.unwrap().is_revoked);
        for sql in [
            "UPDATE api_keys SET revoked_at = NULL WHERE revoked_at = 50",
            "UPDATE api_keys SET scopes = 'payments:write'",
            "UPDATE api_keys SET expires_at = 1000",
            "UPDATE api_keys SET key_hash = 'mine' WHERE key_hash = 'h2'",
            "DELETE FROM api_keys",
        ] {
            world.fail(async |tx| tx.execute(sql, ()).await).await;
        }
        assert_eq!(find(world, other.id).await, Some(other));
    });
}

#[test]
fn keys_that_can_be_used_are_counted_and_all_are_listed() {
    on_both_engines(async |world| {
        let (owner, stranger) = (world.joins(Role::Landlord).await, world.joins(Role::Landlord).await);
        let mut made = Vec::new();
        for (hash, expires_us) in [("h1", None), ("h2", Some(99)), ("h3", Some(40)), ("h4", None)] {
            made.push(makes(world, owner, hash, expires_us).await.id);
        }
        makes(world, stranger, "h5", None).await;
        world.keep(async |tx| api_keys::revoke(tx, made[3], 20).await).await;

        let usable = async |now_us| world.keep(async |tx| api_keys::count_usable(tx, owner, now_us).await).await;
        assert_eq!((usable(39).await, usable(40).await, usable(99).await), (3, 2, 1));
        made.reverse();
        let list = async |page| -> Vec<ApiKeyId> {
            let found = world.keep(async |tx| api_keys::list(tx, owner, page).await).await;
            found.iter().map(|key| key.id).collect()
        };
        assert_eq!(list(Page::first(9)).await, made);
        assert_eq!(list(Page { before: made[1].0, limit: 1 }).await, made[2..3]);
    });
}

#[test]
fn a_use_is_noted_again_only_after_a_while() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let key = makes(world, owner, "hash", None).await;
        let note = async |now_us, before_us| {
            world.keep(async |tx| api_keys::note_use(tx, key.id, now_us, before_us).await).await
        };

        assert!(note(100, 40).await);
        assert!(!note(159, 99).await);
        assert_eq!(presented(world, "hash").await.unwrap().last_used_us, Some(100));
        assert!(note(160, 100).await);
        assert_eq!(find(world, key.id).await.unwrap().last_used_at, Some(at(160)));
    });
}
