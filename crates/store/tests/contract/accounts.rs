//! Mail on its way, links in mails, second factors. Times are process time.

use directpay_domain::id::UserId;
use directpay_domain::user::Role;
use directpay_store::access::{self, NewFamily};
use directpay_store::mail::{self, NewMail, Taken};
use directpay_store::mail_links::{self, NewLink, Purpose};
use directpay_store::{SealedText, second_factors, users};
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::{World, new_user};

fn sealed(text: &str) -> SealedText {
    SealedText { sealed: text.to_owned(), key_id: "enc-1".to_owned() }
}

/// Writes a mail at `now_us`, which is of use until 1000.
async fn writes(world: &World, now_us: i64) -> Uuid {
    let (id, letter) = (world.id(), sealed("a letter"));
    world.keep(async |tx| mail::insert(tx, NewMail { id, letter: &letter, now_us, expires_us: 1000 }).await).await;
    id
}

async fn takes(world: &World, now_us: i64) -> Option<Taken> {
    world.keep(async |tx| mail::take(tx, now_us, now_us + 100).await).await
}

#[test]
fn a_mail_is_taken_by_one_and_falls_free_when_that_one_is_silent() {
    on_both_engines(async |world| {
        let (first, second) = (writes(world, 1).await, writes(world, 2).await);
        assert!(!world.keep(async |tx| mail::is_due(tx, 0).await).await);
        assert_eq!(world.keep(async |tx| mail::waiting_since(tx).await).await, Some(1));
        assert!(world.keep(async |tx| mail::is_due(tx, 1).await).await);
        let taken = takes(world, 10).await.unwrap();
        assert_eq!((taken.id, taken.tries, taken.created_us, taken.expires_us), (first, 1, 1, 1000));
        assert_eq!(taken.letter, sealed("a letter"));
        assert_eq!(takes(world, 10).await.unwrap().id, second);
        assert!(takes(world, 109).await.is_none());

        // The first one is silent for too long, and speaks for the mail no more.
        let again = takes(world, 110).await.unwrap();
        assert_eq!((again.id, again.tries), (first, 2));
        world.keep(async |tx| mail::put_off(tx, &taken, 0).await).await;
        world.keep(async |tx| mail::finish(tx, &taken).await).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM outgoing_mail WHERE due_at = 210").await, 1);

        world.keep(async |tx| mail::put_off(tx, &again, 500).await).await;
        world.keep(async |tx| mail::finish(tx, &again).await).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM outgoing_mail").await, 1);
    });
}

async fn links(world: &World, user_id: Option<UserId>, token_hash: &str, email: Option<&str>, now_us: i64) {
    let purpose = if email.is_some() { Purpose::Email } else { Purpose::PasswordReset };
    let new = NewLink { token_hash, purpose, user_id, email, now_us, expires_us: now_us + 100 };
    world.keep(async |tx| mail_links::insert(tx, new).await).await;
}

async fn finds(world: &World, token_hash: &str, purpose: Purpose, now_us: i64) -> Option<Option<String>> {
    let found = world.keep(async |tx| mail_links::find(tx, token_hash, purpose, now_us).await).await;
    found.map(|link| link.email)
}

#[test]
fn a_link_is_good_once_for_one_purpose_and_for_a_while() {
    on_both_engines(async |world| {
        let user = world.joins(Role::Renter).await;
        links(world, Some(user), "reset", None, 10).await;
        links(world, Some(user), "email", Some("ada@example.com"), 20).await;
        links(world, None, "nobody", None, 10).await;
        let spend = async |hash, now| world.keep(async |tx| mail_links::spend(tx, hash, now).await).await;
        assert_eq!(finds(world, "email", Purpose::Email, 119).await, Some(Some("ada@example.com".into())));
        assert_eq!(finds(world, "email", Purpose::Email, 120).await, None);
        assert_eq!(finds(world, "email", Purpose::PasswordReset, 50).await, None);
        assert_eq!(finds(world, "nobody", Purpose::PasswordReset, 50).await, None);
        assert_eq!(finds(world, "reset", Purpose::PasswordReset, 109).await, Some(None));
        assert!(!spend("reset", 110).await, "it has expired");
        assert!(spend("reset", 109).await);
        assert!(!spend("reset", 109).await, "it was used");
        assert_eq!(finds(world, "reset", Purpose::PasswordReset, 50).await, None);
    });
}

#[test]
fn the_links_of_a_person_are_counted_ended_together_and_forgotten() {
    on_both_engines(async |world| {
        let (user, other) = (world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        for (hash, at) in [("a", 10), ("b", 20), ("c", 30)] {
            links(world, Some(user), hash, None, at).await;
        }
        links(world, Some(user), "e", Some("ada@example.com"), 30).await;
        links(world, Some(other), "o", None, 30).await;
        let count = async |since| {
            world.keep(async |tx| mail_links::count_since(tx, user, Purpose::PasswordReset, since).await).await
        };
        world.keep(async |tx| mail_links::spend(tx, "b", 25).await).await;
        assert_eq!((count(9).await, count(10).await, count(30).await), (3, 2, 0));
        world.keep(async |tx| mail_links::void(tx, user, Purpose::PasswordReset).await).await;
        assert_eq!(count(9).await, 3);
        assert_eq!(finds(world, "c", Purpose::PasswordReset, 40).await, None);
        assert_eq!(finds(world, "o", Purpose::PasswordReset, 40).await, Some(None));
        assert!(finds(world, "e", Purpose::Email, 40).await.is_some());
        let remove = async || world.keep(async |tx| mail_links::remove_old(tx, 20, 1).await).await;
        assert_eq!((remove().await, remove().await, remove().await), (1, 1, 0));
        assert_eq!(count(0).await, 1);
    });
}

#[test]
fn a_second_factor_is_begun_confirmed_used_and_taken_away() {
    on_both_engines(async |world| {
        let user = world.joins(Role::Renter).await;
        let begin = async |secret: &str| {
            let secret = sealed(secret);
            world.keep(async |tx| second_factors::begin(tx, user, &secret).await).await
        };
        let is_on = async || world.keep(async |tx| second_factors::is_on(tx, user).await).await;
        let any = async || world.keep(async |tx| second_factors::any(tx).await).await;
        let hold = async || world.keep(async |tx| second_factors::hold(tx, user).await).await;
        assert!(!any().await && hold().await.is_none());
        assert!(begin("one").await && begin("two").await);
        assert!(any().await && !is_on().await);
        assert_eq!(hold().await.unwrap().secret, sealed("two"));
        world.keep(async |tx| second_factors::confirm(tx, user, 5).await).await;
        assert!(is_on().await && !begin("three").await);

        let step = async |step| world.keep(async |tx| second_factors::use_step(tx, user, step).await).await;
        assert!(step(7).await && !step(7).await && !step(6).await && step(8).await);
        assert_eq!(hold().await.unwrap().last_step, 8);

        let replace = async |codes: &[&str]| {
            let codes: Vec<_> = codes.iter().map(|code| (*code).to_owned()).collect();
            world.keep(async |tx| second_factors::replace_codes(tx, user, &codes).await).await;
        };
        let code = async |code| world.keep(async |tx| second_factors::use_code(tx, user, code).await).await;
        replace(&["a", "b"]).await;
        replace(&["b", "c", "d"]).await;
        assert!(!code("a").await && code("b").await && !code("b").await);
        assert_eq!(world.keep(async |tx| second_factors::count_codes(tx, user).await).await, 2);

        let remove = async || world.keep(async |tx| second_factors::remove(tx, user).await).await;
        assert!(remove().await && !remove().await && !is_on().await);
        assert_eq!(world.count("SELECT COUNT(*) FROM recovery_codes").await, 0);
        assert!(begin("one").await && !remove().await, "one that was only begun was not on");
    });
}

#[test]
fn a_person_gets_another_password_profile_and_address() {
    on_both_engines(async |world| {
        let user = world.person(Role::Renter, "ada@example.com");
        world.keep(async |tx| users::insert(tx, new_user(&user, "ada@example.com")).await).await;
        let other = world.joins(Role::Renter).await;
        let is_verified = async || world.keep(async |tx| users::is_email_verified(tx, user.id).await).await;
        world.keep(async |tx| users::set_password(tx, user.id, "another").await).await;
        world.keep(async |tx| users::set_profile(tx, user.id, "Ada", Some("+15550100100")).await).await;
        assert!(!is_verified().await);
        world.keep(async |tx| users::verify_email(tx, user.id, 5).await).await;
        world.keep(async |tx| users::verify_email(tx, user.id, 6).await).await;
        assert!(is_verified().await);
        assert_eq!(world.count("SELECT COUNT(*) FROM users WHERE email_verified_at = 5").await, 1);
        world.keep(async |tx| users::set_email(tx, user.id, "Ada@x.org", "ada@x.org", 7).await).await;
        let found = world.keep(async |tx| users::find_by_address(tx, "ada@x.org").await).await.unwrap();
        assert_eq!(
            (found.id, found.full_name.as_str(), found.phone.as_deref()),
            (user.id, "Ada", Some("+15550100100"))
        );
        assert_eq!(found.email, "Ada@x.org");
        let credentials = world.keep(async |tx| users::credentials(tx, "ada@x.org").await).await.unwrap();
        assert_eq!(credentials.password_hash, "another");
        assert!(world.keep(async |tx| users::find_by_address(tx, "ada@example.com").await).await.is_none());
        let error = world.fail(async |tx| users::set_email(tx, other, "ADA@x.org", "ada@x.org", 8).await).await;
        assert!(error.breaks("users_email"));
    });
}

#[test]
fn all_sessions_of_a_person_end_but_the_one_that_is_kept() {
    on_both_engines(async |world| {
        let (user, other) = (world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let mut families = Vec::new();
        for user_id in [user, user, other] {
            let id = world.id();
            let new = NewFamily { id, user_id, address_key: "home", now_us: 0, expires_us: 100 };
            world.keep(async |tx| access::insert_family(tx, new).await).await;
            families.push(id);
        }
        let live = async |at: usize, now| world.keep(async |tx| access::is_live(tx, families[at], now).await).await;
        assert!(live(0, 99).await && !live(0, 100).await);
        world.keep(async |tx| access::revoke_others(tx, user, Some(families[0]), 10).await).await;
        assert!(live(0, 20).await && !live(1, 20).await && live(2, 20).await);
        world.keep(async |tx| access::revoke_others(tx, user, None, 20).await).await;
        assert!(!live(0, 20).await && live(2, 20).await);
    });
}
