//! Bank accounts: one primary account, each linked once, and what deactivating and linking anew do to that.

use reqwest::Client;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{TestApp, Visitor, account, on_both, with};

const PATH: &str = "/api/v1/bank-accounts/";

/// The last four digits of the person's accounts, oldest first, the primary one in brackets and inactive ones crossed out.
async fn standing(who: &Visitor<'_>) -> String {
    let list = who.get(&format!("{PATH}user/{}", who.id)).await.must(200);
    let shown = list.rows().iter().rev().map(|row| {
        let last4 = row["last4"].as_str().unwrap();
        match (row["is_primary"] == true, row["is_active"] == true) {
            (true, true) => format!("[{last4}]"),
            (false, true) => last4.to_owned(),
            (false, false) => format!("-{last4}-"),
            (true, false) => panic!("a deactivated account is primary: {row}"),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

async fn change(who: &Visitor<'_>, id: &str, action: &str) -> crate::harness::Answer {
    who.patch(&format!("{PATH}{id}/{action}")).await
}

#[test]
fn exactly_one_account_is_primary_while_any_is_active() {
    on_both(async |app| {
        let bob = app.sign_up("RENTER").await;
        let first = bob.link_account("1111").await.id();
        let second = bob.link_account("2222").await.id();
        let wants = with(&account("3333"), "is_primary", json!(true));
        let third = bob.post(PATH, &wants).await.must(201).id();
        assert_eq!(standing(&bob).await, "1111 2222 [3333]");
        for (id, action, after) in [
            (&second, "set-primary", "1111 [2222] 3333"),
            (&second, "set-primary", "1111 [2222] 3333"),
            (&third, "deactivate", "1111 [2222] -3333-"),
            (&second, "deactivate", "[1111] -2222- -3333-"),
            (&first, "deactivate", "-1111- -2222- -3333-"),
            (&third, "activate", "-1111- -2222- [3333]"),
            (&first, "activate", "1111 -2222- [3333]"),
        ] {
            change(&bob, id, action).await.must(200);
            assert_eq!(standing(&bob).await, after, "{action}");
        }
        for (id, action, code) in [(&second, "set-primary", "inactive")] {
            change(&bob, id, action).await.refuses(409, code);
        }
    });
}

#[test]
fn the_same_account_is_linked_once_while_its_link_is_active() {
    on_both(async |app| {
        let (bob, carol) = (app.sign_up("RENTER").await, app.sign_up("RENTER").await);
        let old = bob.link_account("000100200300").await.id();
        bob.post(PATH, &account("000100200300")).await.refuses(409, "already_linked");
        // Another person's, another bank's and a number with other zeros are other accounts.
        carol.link_account("000100200300").await;
        bob.post(PATH, &with(&account("000100200300"), "routing_number", json!("011401533"))).await.must(201);
        bob.link_account("100200300").await;
        change(&bob, &old, "deactivate").await.must(200);
        let new = bob.link_account("000100200300").await;
        assert_ne!(new.id(), old);
        change(&bob, &old, "activate").await.refuses(409, "already_linked");
        change(&bob, &new.id(), "deactivate").await.must(200);
        change(&bob, &old, "activate").await.must(200);
        carol.patch(&format!("{PATH}{old}/deactivate")).await.refuses(404, "not_found");
    });
}

#[test]
fn what_is_linked_at_the_same_instant_is_linked_once_and_one_is_primary() {
    on_both(async |app| {
        let bob = app.sign_up("RENTER").await;
        let mut statuses = at_once(app, &bob, &["5551"; 6]).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);
        let carol = app.sign_up("RENTER").await;
        assert_eq!(at_once(app, &carol, &["6001", "6002", "6003", "6004", "6005"]).await, [201; 5]);
        assert_eq!(standing(&carol).await.matches('[').count(), 1);
    });
}

async fn at_once(app: &TestApp, who: &Visitor<'_>, numbers: &[&str]) -> Vec<u16> {
    let mut links = JoinSet::new();
    for number in numbers {
        let request = Client::builder().no_proxy().build().unwrap().post(app.address(PATH)).bearer_auth(&who.token);
        let request = request.json(&account(number));
        links.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    links.join_all().await
}
