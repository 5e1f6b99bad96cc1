//! Name, phone, address: changed by the person, and an address only by whoever reads its mail.

use serde_json::{Value, json};

use crate::harness::{
    AT_ONCE, Answer, GET, MailServer, PASSWORD, PATCH, POST, Setting, TestApp, Visitor, on_both, on_both_with, token_in,
};

const ME: &str = "/api/v1/users/me";
const EMAIL: &str = "/api/v1/users/me/email";
const AGAIN: &str = "/api/v1/users/me/email/verification";
const LINK: &str = "Confirm your e-mail address";

async fn confirm(app: &TestApp, token: &str) -> Answer {
    app.call(POST, "/api/v1/auth/email/confirm").json(&json!({"token": token})).send().await
}

#[test]
fn a_profile_changes_in_what_is_named_and_nothing_else() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let change = async |body: Value| renter.call(PATCH, ME).json(&body).send().await.must(200);
        let before = renter.get(ME).await.must(200);
        assert_eq!(change(json!({})).await.body, before.body);
        assert_eq!(change(json!({"phone": "+1 (555) 010-0100"})).await["phone"], "+15550100100");
        let named = change(json!({"full_name": " Rosa Renter "})).await;
        assert_eq!((&named["full_name"], &named["phone"]), (&json!("Rosa Renter"), &json!("+15550100100")));
        assert_eq!(change(json!({"phone": null})).await["phone"], Value::Null);
        assert_eq!(renter.get(ME).await.must(200)["full_name"], "Rosa Renter");
    });
}

#[test]
fn an_address_changes_when_its_link_is_opened_and_the_old_one_is_told() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let new = "Rosa@Example.org";
        let asked = renter.post(EMAIL, &json!({"email": new, "password": PASSWORD})).await.must(202);
        assert_eq!(asked["email"], renter.email);
        let token = token_in(&app.mails(new, LINK, 1).await[0]);
        assert_eq!(renter.get(ME).await.must(200)["email"], renter.email);
        app.token_by_password(new, PASSWORD).await.must(400);
        app.call(POST, "/api/v1/auth/password-reset").json(&json!({"email": renter.email})).send().await.must(202);
        let reset = token_in(&app.mails(&renter.email, "Set a new password", 1).await[0]);

        confirm(app, &token).await.must(200);

        assert_eq!(renter.get(ME).await.must(200)["email"], new);
        app.token_by_password("rosa@example.org", PASSWORD).await.must(200);
        app.token_by_password(&renter.email, PASSWORD).await.must(400);
        app.mails(&renter.email, "Your e-mail address was changed", 1).await;
        confirm(app, &token).await.refuses_fields(&[("token", "not_good")]);
        // Nor does a link that went to the old address set the password of the new one.
        let body = json!({"token": reset, "new_password": "seven purple bicycles"});
        let refused = app.call(POST, "/api/v1/auth/password-reset/confirm").json(&body).send().await;
        refused.refuses_fields(&[("token", "not_good")]);
    });
}

#[test]
fn the_last_address_named_counts_and_a_mistyped_one_can_take_nothing() {
    on_both(async |app| {
        let (renter, other) = (app.sign_up("RENTER").await, app.sign_up("RENTER").await);
        let change = async |email: &str| renter.post(EMAIL, &json!({"email": email, "password": PASSWORD})).await;
        change("mistyped@example.org").await.must(202);
        let mistyped = token_in(&app.mails("mistyped@example.org", LINK, 1).await[0]);
        change("meant@example.org").await.must(202);
        confirm(app, &mistyped).await.refuses_fields(&[("token", "not_good")]);
        let meant = token_in(&app.mails("meant@example.org", LINK, 1).await[0]);
        // Somebody else takes it in the meantime.
        let mut tx = app.db().begin().await.unwrap();
        let id = other.id.parse::<uuid::Uuid>().unwrap();
        directpay_store::users::set_email(&mut tx, id.into(), "meant@example.org", "meant@example.org", 1)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        confirm(app, &meant).await.refuses(409, "email_taken");
        change("meant@example.org").await.refuses(409, "email_taken");
        change("third@example.org").await.must(202);
        // Nobody has us write to whole lists of addresses.
        change("fourth@example.org").await.refuses(429, "too_many_requests");
    });
}

async fn found(landlord: &Visitor<'_>, renter: &Visitor<'_>) -> usize {
    let path = format!("/api/v1/users/role/RENTER?email={}", renter.email);
    landlord.get(&path).await.must(200).rows().len()
}

#[test]
fn where_mail_is_sent_people_are_found_by_an_address_that_they_have_confirmed() {
    let server = MailServer::start();
    let setting = Setting { mail_server: Some(server.address), ..AT_ONCE };
    on_both_with(setting, async |app| {
        let before = server.mails().len();
        let (landlord, renter) = (app.sign_up("LANDLORD").await, app.sign_up("RENTER").await);
        assert_eq!(found(&landlord, &renter).await, 0);
        let since = async |count| {
            let so_many = server.mails()[..before].iter().filter(|mail| mail.contains(&renter.email)).count();
            server.wait_for(&renter.email, so_many + count).await.split_off(so_many)
        };
        let first = token_in(&since(1).await[0]);
        renter.call(POST, AGAIN).send().await.must(202);
        let second = token_in(&since(2).await[1]);
        confirm(app, &first).await.refuses_fields(&[("token", "not_good")]);
        assert_eq!(found(&landlord, &renter).await, 0);
        confirm(app, &second).await.must(200);
        assert_eq!(found(&landlord, &renter).await, 1);
        renter.call(POST, AGAIN).send().await.refuses(409, "email_verified");
        // Nobody is told of a change that was none.
        app.come_to_rest().await;
        assert_eq!(since(2).await.len(), 2);
        for _ in 0..2 {
            landlord.call(POST, AGAIN).send().await.must(202);
        }
        let refusal = landlord.call(POST, AGAIN).send().await.refuses(429, "too_many_requests");
        assert_eq!(refusal.header("retry-after"), Some("600"));
    });
}

#[test]
fn whoever_reads_the_mail_with_a_link_to_a_new_password_has_confirmed_the_address() {
    let server = MailServer::start();
    let setting = Setting { mail_server: Some(server.address), ..AT_ONCE };
    on_both_with(setting, async |app| {
        let landlord = app.sign_up("LANDLORD").await;
        let email = format!("reads-{}@example.com", app.clock.process_us());
        let body = json!({"email": email, "password": PASSWORD, "full_name": "R", "role": "RENTER"});
        let user = app.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
        let renter = app.sign_in(&email, PASSWORD, user.id()).await;
        app.call(POST, "/api/v1/auth/password-reset").json(&json!({"email": email})).send().await.must(202);
        let mails = server.wait_for(&email, 2).await;
        let reset = mails.iter().find(|mail| mail.contains("/reset#token=")).unwrap();
        assert_eq!(found(&landlord, &renter).await, 0);
        let body = json!({"token": token_in(reset), "new_password": "seven purple bicycles"});
        app.call(POST, "/api/v1/auth/password-reset/confirm").json(&body).send().await.must(200);
        assert_eq!(found(&landlord, &renter).await, 1);
        app.call(GET, ME).bearer(&renter.token).send().await.must(200);
    });
}
