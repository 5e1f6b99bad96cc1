//! Sign-ins: refresh tokens, known addresses, counters of failures. Times are process time.

use std::time::Duration;

use directpay_domain::id::UserId;
use directpay_domain::user::Role;
use directpay_store::access::{self, NewFamily, RefreshToken};
use directpay_store::users;
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::{World, new_user};

/// Signs in at 0; the token is good until 100.
async fn signs_in(world: &World, user: UserId, token: &str) -> Uuid {
    let id = world.id();
    world
        .keep(async |tx| {
            let new = NewFamily { id, user_id: user, address_key: "home", now_us: 0, expires_us: 100 };
            access::insert_family(tx, new).await?;
            access::insert_token(tx, token, id, 0, 100).await
        })
        .await;
    id
}

async fn find(world: &World, token: &str, now_us: i64) -> Option<RefreshToken> {
    world.keep(async |tx| access::find_token(tx, token, now_us).await).await
}

#[test]
fn a_refresh_token_is_good_once_and_until_it_expires() {
    on_both_engines(async |world| {
        let user = world.joins(Role::Landlord).await;
        let family = signs_in(world, user, "t1").await;
        let token = find(world, "t1", 99).await.unwrap();
        assert_eq!((token.family, token.user_id, token.role), (family, user, Role::Landlord));
        assert!(token.is_valid && !token.is_reused);
        assert!(!find(world, "t1", 100).await.unwrap().is_valid);
        assert!(find(world, "unknown", 0).await.is_none());

        world
            .keep(async |tx| {
                access::use_token(tx, "t1", 50).await?;
                access::insert_token(tx, "t2", family, 50, 150).await
            })
            .await;

        let used = find(world, "t1", 60).await.unwrap();
        assert!(!used.is_valid && used.is_reused);
        let next = find(world, "t2", 149).await.unwrap();
        assert!(next.is_valid && next.family == family);
    });
}

#[test]
fn the_end_of_a_family_ends_all_its_tokens_and_no_other() {
    on_both_engines(async |world| {
        let user = world.joins(Role::Renter).await;
        let family = signs_in(world, user, "t1").await;
        signs_in(world, user, "u1").await;
        world
            .keep(async |tx| {
                access::use_token(tx, "t1", 10).await?;
                access::insert_token(tx, "t2", family, 10, 110).await?;
                access::revoke_family(tx, family, 20).await?;
                access::revoke_family(tx, family, 30).await
            })
            .await;

        // A reuse after the end is no news.
        let old = find(world, "t1", 40).await.unwrap();
        assert!(!old.is_valid && !old.is_reused);
        assert!(!find(world, "t2", 40).await.unwrap().is_valid);
        assert!(find(world, "u1", 40).await.unwrap().is_valid);
        assert_eq!(world.count("SELECT COUNT(*) FROM refresh_families WHERE revoked_at = 20").await, 1);
    });
}

#[test]
fn an_address_is_known_while_somebody_is_signed_in_from_it() {
    on_both_engines(async |world| {
        let user = world.person(Role::Renter, "ada@example.com");
        world.keep(async |tx| users::insert(tx, new_user(&user, "ada@example.com")).await).await;
        let family = signs_in(world, user.id, "t1").await;
        let knows = async |email, address, now| {
            world.keep(async |tx| access::is_known_address(tx, email, address, now).await).await
        };
        assert!(knows("ada@example.com", "home", 99).await);
        assert!(!knows("ada@example.com", "home", 100).await);
        assert!(!knows("ada@example.com", "elsewhere", 50).await);
        assert!(!knows("bob@example.com", "home", 50).await);
        // A further token prolongs the family, an earlier end does not shorten it.
        world.keep(async |tx| access::insert_token(tx, "t2", family, 50, 150).await).await;
        world.keep(async |tx| access::insert_token(tx, "t3", family, 50, 60).await).await;
        assert!(knows("ada@example.com", "home", 149).await);
        world.keep(async |tx| access::revoke_family(tx, family, 60).await).await;
        assert!(!knows("ada@example.com", "home", 61).await);
    });
}

#[test]
fn failures_are_counted_in_a_row_and_begin_anew_after_a_while() {
    on_both_engines(async |world| {
        let fail = async |now, since| {
            world.keep(async |tx| access::count_failure(tx, "ada", now, since).await).await;
        };
        let counted = async |since| {
            let found = world.keep(async |tx| access::failures(tx, "ada", since).await).await;
            found.map(|found| (found.failures, found.last_failed_at))
        };
        let hold = async || world.keep(async |tx| access::hold_failures(tx, "ada").await).await;
        assert_eq!(counted(0).await, None);
        hold().await;
        assert_eq!(counted(0).await, None, "holding is no failure");
        fail(10, 0).await;
        fail(20, 0).await;
        hold().await;
        assert_eq!(counted(0).await, Some((2, 20)));
        assert_eq!(counted(19).await, Some((2, 20)));
        assert_eq!(counted(20).await, None);
        fail(100, 20).await;
        assert_eq!(counted(0).await, Some((1, 100)));
        world.keep(async |tx| access::count_failure(tx, "bob", 100, 0).await).await;
        world.keep(async |tx| access::clear_failures(tx, "ada").await).await;
        assert_eq!(counted(0).await, None);
        assert_eq!(world.count("SELECT COUNT(*) FROM sign_in_failures").await, 1);
    });
}

#[test]
fn two_take_their_failures_back_at_the_same_time() {
    on_both_engines(async |world| {
        for now in [10, 20] {
            world.keep(async |tx| access::count_failure(tx, "ada", now, 0).await).await;
        }
        let mut first = world.db.begin().await.unwrap();
        access::forgive_failure(&mut first, "ada").await.unwrap();
        let ends = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            first.commit().await.unwrap();
        };
        tokio::join!(world.keep(async |tx| access::forgive_failure(tx, "ada").await), ends);
        assert_eq!(world.count("SELECT COUNT(*) FROM sign_in_failures").await, 0);
    });
}

#[test]
fn what_has_expired_is_removed_a_few_at_a_time_with_its_tokens() {
    on_both_engines(async |world| {
        let user = world.joins(Role::Renter).await;
        for token in ["t1", "t2", "t3"] {
            signs_in(world, user, token).await;
            world.keep(async |tx| access::count_failure(tx, token, 10, 0).await).await;
        }
        let last = signs_in(world, user, "t4").await;
        world.keep(async |tx| access::insert_token(tx, "t5", last, 50, 150).await).await;
        world.keep(async |tx| access::count_failure(tx, "recent", 11, 0).await).await;
        let remove = async || world.keep(async |tx| access::remove_expired(tx, 100, 10, 2).await).await;

        // Two tokens, two families, two counts at most; families take what is left of their tokens with them.
        assert_eq!(remove().await, 6);
        assert!(0 < remove().await);
        assert_eq!(remove().await, 0);

        // The last family goes on with its newer token; the older one is worthless.
        assert_eq!(world.count("SELECT COUNT(*) FROM refresh_families").await, 1);
        assert_eq!(world.count("SELECT COUNT(*) FROM refresh_tokens").await, 1);
        assert_eq!(world.count("SELECT COUNT(*) FROM sign_in_failures").await, 1);
    });
}
