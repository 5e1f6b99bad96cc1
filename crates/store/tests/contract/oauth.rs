//! Programs of others, what people let them do, their tokens, and sessions of browsers. Times are process time.

use directpay_domain::api_key::Scopes;
use directpay_domain::id::{AuthorizationId, OAuthClientId, UserId};
use directpay_domain::oauth::{ClientKind, Grants, RedirectUris};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::access::{self, NewFamily};
use directpay_store::oauth::authorizations::{self, NewAuthorization, NewCode};
use directpay_store::oauth::clients::{self, Client};
use directpay_store::oauth::tokens::{self, NewAccessToken};
use directpay_store::{Page, browser_sessions};
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::World;

fn scopes(names: &[&str]) -> Scopes {
    Scopes::parse(names).unwrap()
}

/// Registers a program with the secret `secret`.
async fn registers(world: &World, owner: UserId) -> Client {
    let client = Client {
        id: OAuthClientId(world.id()),
        user_id: owner,
        name: "Rent Ledger".into(),
        kind: ClientKind::Confidential,
        secret_last4: Some("aB3x".into()),
        scopes: scopes(&["leases:read", "payments:write"]),
        grants: Grants::parse(&["authorization_code", "refresh_token", "client_credentials"]).unwrap(),
        redirect_uris: RedirectUris::parse(&["https://a.example/", "http://127.0.0.1/cb"]).unwrap(),
        created_at: Instant::from_micros(10).unwrap(),
    };
    world.keep(async |tx| clients::insert(tx, &client, Some("secret")).await).await;
    client
}

/// A person lets a program act from 20 until 100.
async fn lets_in(world: &World, client: &Client, user_id: UserId) -> AuthorizationId {
    let id = AuthorizationId(world.id());
    let scopes = scopes(&["leases:read"]);
    let new = NewAuthorization { id, client_id: client.id, user_id, scopes: &scopes, now_us: 20, expires_us: 100 };
    world.keep(async |tx| authorizations::insert(tx, new).await).await;
    id
}

/// Issues an access token from 20 until 60.
async fn issues(world: &World, client: &Client, user_id: UserId, of: Option<AuthorizationId>, token_hash: &str) {
    let new = NewAccessToken {
        token_hash,
        client_id: client.id,
        user_id,
        authorization_id: of,
        scopes: &scopes(&["leases:read"]),
        now_us: 20,
        expires_us: 60,
    };
    world.keep(async |tx| tokens::insert_access(tx, new).await).await;
}

async fn is_good(world: &World, token_hash: &str, now_us: i64) -> bool {
    world.keep(async |tx| tokens::find_access(tx, token_hash, now_us).await).await.is_some()
}

#[test]
fn a_program_is_kept_as_registered_and_changed_by_its_owner() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Landlord).await;
        let (first, second) = (registers(world, owner).await, registers(world, owner).await);
        let other = registers(world, world.joins(Role::Renter).await).await;
        assert_eq!(world.keep(async |tx| clients::find(tx, first.id).await).await, Some(first.clone()));
        assert_eq!(world.keep(async |tx| clients::count(tx, owner).await).await, 2);
        let list = world.keep(async |tx| clients::list(tx, owner, Page::first(9)).await).await;
        assert_eq!(list, [second.clone(), first.clone()]);

        let changed = Client {
            name: "Other".into(),
            scopes: scopes(&["events:read"]),
            redirect_uris: RedirectUris::parse::<&str>(&[]).unwrap(),
            grants: Grants::parse(&["client_credentials"]).unwrap(),
            ..first.clone()
        };
        world.keep(async |tx| clients::update(tx, &changed).await).await;
        assert_eq!(world.keep(async |tx| clients::hold(tx, first.id).await).await, Some(changed));

        let has = async |hash: &str| world.keep(async |tx| clients::has_secret(tx, first.id, hash).await).await;
        assert!(has("secret").await && !has("other").await && !has("").await);
        issues(world, &first, owner, None, "own").await;
        world.keep(async |tx| clients::rotate(tx, first.id, "other", "zzzz").await).await;
        assert!(!has("secret").await && has("other").await);
        assert!(!is_good(world, "own", 30).await);

        world.keep(async |tx| clients::delete(tx, first.id, 40).await).await;
        assert_eq!(world.keep(async |tx| clients::find(tx, first.id).await).await, None);
        assert_eq!(world.keep(async |tx| clients::count(tx, owner).await).await, 1);
        world.fail(async |tx| clients::delete(tx, first.id, 50).await).await;
        world.fail(async |tx| clients::update(tx, &first).await).await;
        assert_eq!(world.keep(async |tx| clients::find(tx, other.id).await).await, Some(other));
    });
}

#[test]
fn a_token_ends_with_its_time_its_authorization_its_program_and_its_scopes() {
    on_both_engines(async |world| {
        let (owner, person) = (world.joins(Role::Landlord).await, world.joins(Role::Renter).await);
        let client = registers(world, owner).await;
        let authorization = lets_in(world, &client, person).await;
        issues(world, &client, person, Some(authorization), "theirs").await;
        issues(world, &client, owner, None, "own").await;
        let found = world.keep(async |tx| tokens::find_access(tx, "theirs", 59).await).await.unwrap();
        assert_eq!((found.client_id, found.owner_id, found.user_id), (client.id, owner, person));
        assert_eq!((found.role, found.issued_us, found.expires_us), (Role::Renter, 20, 60));
        assert_eq!(found.scopes, scopes(&["leases:read"]));
        assert!(!is_good(world, "theirs", 60).await && !is_good(world, "none", 30).await);

        let others = Client { scopes: scopes(&["events:read"]), ..client.clone() };
        world.keep(async |tx| clients::update(tx, &others).await).await;
        assert!(!is_good(world, "own", 30).await);
        world.keep(async |tx| clients::update(tx, &client).await).await;
        assert!(is_good(world, "own", 30).await);
        assert_eq!(world.keep(async |tx| clients::count_own(tx, owner).await).await, 1);
        let asking = Client { grants: Grants::parse(&["authorization_code"]).unwrap(), ..client.clone() };
        world.keep(async |tx| clients::update(tx, &asking).await).await;
        assert!(!is_good(world, "own", 30).await && is_good(world, "theirs", 30).await);
        assert_eq!(world.keep(async |tx| clients::count_own(tx, owner).await).await, 0);
        world.keep(async |tx| clients::update(tx, &client).await).await;
        issues(world, &client, owner, None, "own again").await;

        let list = async |now_us| {
            let page = Page::first(9);
            world.keep(async |tx| authorizations::list(tx, person, now_us, page).await).await
        };
        let shown = list(99).await.pop().unwrap();
        assert_eq!((shown.id, shown.client_name.as_str(), shown.user_id), (authorization, "Rent Ledger", person));
        assert!(list(100).await.is_empty());
        world.keep(async |tx| authorizations::revoke(tx, authorization, 30).await).await;
        assert!(
            list(30).await.is_empty() && !is_good(world, "theirs", 30).await && is_good(world, "own again", 30).await
        );
        assert_eq!(world.keep(async |tx| authorizations::count(tx, person, 30).await).await, 0);

        let again = lets_in(world, &client, person).await;
        issues(world, &client, person, Some(again), "again").await;
        assert_eq!(world.keep(async |tx| authorizations::count(tx, person, 30).await).await, 1);
        world.keep(async |tx| tokens::remove_access(tx, "again", OAuthClientId(Uuid::nil())).await).await;
        assert!(is_good(world, "again", 30).await);
        world.keep(async |tx| clients::delete(tx, client.id, 40).await).await;
        assert!(!is_good(world, "again", 30).await && !is_good(world, "own again", 30).await);
        assert_eq!(world.keep(async |tx| authorizations::find(tx, again, 30).await).await, None);
    });
}

#[test]
fn codes_and_refresh_tokens_are_used_once_and_kept_until_they_are_old() {
    on_both_engines(async |world| {
        let (owner, person) = (world.joins(Role::Landlord).await, world.joins(Role::Renter).await);
        let client = registers(world, owner).await;
        let authorization = lets_in(world, &client, person).await;
        let new = NewCode {
            code_hash: "code",
            authorization_id: authorization,
            client_id: client.id,
            user_id: person,
            session_id: world.id(),
            redirect_uri: "https://a.example/",
            challenge: "challenge",
            scopes: &client.scopes,
            expires_us: 80,
        };
        world.keep(async |tx| authorizations::insert_code(tx, new).await).await;
        let code = async || world.keep(async |tx| authorizations::hold_code(tx, "code").await).await;
        let fresh = code().await.unwrap();
        assert_eq!((fresh.client_id, fresh.user_id, fresh.expires_us), (client.id, person, 80));
        assert_eq!((fresh.redirect_uri.as_str(), fresh.challenge.as_str()), ("https://a.example/", "challenge"));
        assert!(!fresh.is_used);
        world.keep(async |tx| authorizations::use_code(tx, "code", 30).await).await;
        assert!(code().await.unwrap().is_used);

        world.keep(async |tx| tokens::insert_refresh(tx, "refresh", authorization, 30, 300).await).await;
        let refresh = async || world.keep(async |tx| tokens::hold_refresh(tx, "refresh").await).await;
        let fresh = refresh().await.unwrap();
        assert_eq!((fresh.client_id, fresh.owner_id, fresh.user_id), (client.id, owner, person));
        assert!(fresh.is_good(299) && !fresh.is_good(300));
        // The authorization lives as long as its token.
        let found = world.keep(async |tx| authorizations::find(tx, authorization, 299).await).await.unwrap();
        assert_eq!(found.expires_at.micros(), 300);
        world.keep(async |tx| tokens::use_refresh(tx, "refresh", 40).await).await;
        assert!(refresh().await.unwrap().is_used);
        world.keep(async |tx| authorizations::revoke(tx, authorization, 50).await).await;
        assert!(refresh().await.unwrap().is_revoked);

        issues(world, &client, person, Some(authorization), "access").await;
        let remove = async |before_us| world.keep(async |tx| tokens::remove_expired(tx, before_us, 10).await).await;
        assert_eq!(remove(59).await, 0);
        assert_eq!(remove(80).await, 2);
        assert!(code().await.is_none() && refresh().await.is_some());
        assert_eq!(remove(300).await, 2);
        assert!(refresh().await.is_none());
    });
}

#[test]
fn a_cookie_is_good_until_its_time_or_its_sign_in_ends() {
    on_both_engines(async |world| {
        let person = world.joins(Role::Landlord).await;
        let family = world.id();
        let new = NewFamily { id: family, user_id: person, address_key: "here", now_us: 10, expires_us: 100 };
        world.keep(async |tx| access::insert_family(tx, new).await).await;
        world.keep(async |tx| browser_sessions::insert(tx, "cookie", family, 100).await).await;
        let find =
            async |hash: &str, now_us| world.keep(async |tx| browser_sessions::find(tx, hash, now_us).await).await;
        let found = find("cookie", 99).await.unwrap();
        assert_eq!((found.family, found.user_id, found.role), (family, person, Role::Landlord));
        assert!(find("cookie", 100).await.is_none() && find("other", 50).await.is_none());
        world.keep(async |tx| access::revoke_others(tx, person, None, 50).await).await;
        assert!(find("cookie", 60).await.is_none());
        let remove = async |now_us| world.keep(async |tx| browser_sessions::remove_expired(tx, now_us, 10).await).await;
        assert_eq!((remove(99).await, remove(100).await), (0, 1));
    });
}
