//! Programs are registered, changed and deleted; people put them out.

use reqwest::Method;
use serde_json::{Value, json};

use super::browser::Browser;
use super::{AUTHORIZATIONS, CALLBACK, CLIENTS, Program, confidential, register};
use crate::harness::{PASSWORD, PATCH, Visitor, assert_id, assert_time, keys, on_both, with};

async fn change(who: &Visitor<'_>, program: &Program<'_>, body: &Value) -> crate::harness::Answer {
    who.call(PATCH, &format!("{CLIENTS}{}", program.id)).json(body).send().await
}

async fn delete(who: &Visitor<'_>, path: &str) -> crate::harness::Answer {
    who.call(Method::DELETE, path).send().await
}

#[test]
fn a_program_is_registered_and_its_secret_is_shown_once() {
    on_both(async |app| {
        let developer = app.sign_up("RENTER").await;
        let made = developer.post(CLIENTS, &confidential()).await.must(201);
        let path = format!("{CLIENTS}{}", made.id());
        assert_eq!(made.header("location"), Some(path.as_str()));
        assert_id(&made["id"]);
        assert_time(&made["created_at"]);
        let secret = made.text_of("client_secret");
        assert!(secret.starts_with("dp_cs_") && secret.ends_with(&made.text_of("secret_last4")));
        let seen = developer.get(&path).await.must(200);
        assert_eq!(keys(&seen.body), "created_at grants id kind name redirect_uris scopes secret_last4 user_id");
        assert_eq!((&seen["user_id"], &seen["redirect_uris"]), (&json!(developer.id), &json!([CALLBACK])));
        assert_eq!(developer.get(CLIENTS).await.must(200).rows(), std::slice::from_ref(&seen.body));
        assert!(!app.contents().await["oauth_clients"].contains(&secret));
        let public = json!({"name": "Pocket", "kind": "public", "scopes": ["leases:read"],
                            "redirect_uris": ["http://127.0.0.1/cb"]});
        let public = developer.post(CLIENTS, &public).await.must(201);
        assert_eq!((&public["client_secret"], &public["secret_last4"]), (&Value::Null, &Value::Null));
        assert_eq!(public["grants"], json!(["authorization_code", "refresh_token"]));
        let rotate = format!("{CLIENTS}{}/rotate-secret", public.id());
        developer.post(&rotate, &Value::Null).await.refuses(409, "oauth_client_has_no_secret");
        let changed = json!({"redirect_uris": [], "grants": ["client_credentials"]});
        let program = Program { app, id: public.id(), secret: String::new() };
        change(&developer, &program, &changed).await.refuses_fields(&[("grants", "unfit")]);
        change(&developer, &program, &json!({"redirect_uris": []}))
            .await
            .refuses_fields(&[("redirect_uris", "required")]);
    });
}

#[test]
fn what_a_program_loses_it_has_lost_at_once() {
    on_both(async |app| {
        let (renter, developer) = (app.sign_up("RENTER").await, app.sign_up("LANDLORD").await);
        let program = register(&developer, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let tokens = program.exchange(&program.let_in(&browser).await).await.must(200);
        let acting = program.acts(&tokens);
        let code = program.let_in(&browser).await;
        let changed = change(&developer, &program, &json!({"scopes": ["payments:write"], "name": "Other"})).await;
        assert_eq!(changed.must(200)["name"], "Other");
        acting.get("/api/v1/leases/").await.refuses(403, "insufficient_scope");
        acting.post("/api/v1/payments/", &json!({})).await.must(422);
        assert_eq!(program.exchange(&code).await.must(200)["scope"], "payments:write");
        let tokens = program.refresh(&tokens.text_of("refresh_token")).await.must(200);
        assert_eq!(tokens["scope"], "payments:write");
        // A redirect URI or a grant, too; what goes without them goes on.
        change(&developer, &program, &json!({"scopes": ["leases:read", "payments:write"]})).await.must(200);
        let code = program.let_in(&browser).await;
        change(&developer, &program, &json!({"redirect_uris": ["https://other.example.com/"]})).await.must(200);
        program.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        change(&developer, &program, &json!({"redirect_uris": [CALLBACK]})).await.must(200);
        let code = program.let_in(&browser).await;
        let own = program.token(&[("grant_type", "client_credentials")]).await.must(200);
        let grants = confidential()["grants"].clone();
        change(&developer, &program, &json!({"grants": ["client_credentials"]})).await.must(200);
        program.exchange(&code).await.refuses_as_oauth(400, "unauthorized_client");
        program.refresh(&tokens.text_of("refresh_token")).await.refuses_as_oauth(400, "unauthorized_client");
        program.acts(&own).post("/api/v1/payments/", &json!({})).await.must(422);
        change(&developer, &program, &json!({"grants": ["authorization_code"]})).await.must(200);
        program.acts(&own).post("/api/v1/payments/", &json!({})).await.refuses(401, "invalid_token");
        change(&developer, &program, &json!({"grants": grants})).await.must(200);
        change(&developer, &program, &json!({"scopes": ["events:read"]})).await.must(200);
        program.acts(&tokens).get("/api/v1/events").await.refuses(401, "invalid_token");
        program.refresh(&tokens.text_of("refresh_token")).await.refuses_as_oauth(400, "invalid_grant");

        // A program that is deleted can do nothing, and asks nobody any more.
        change(&developer, &program, &confidential()).await.refuses_fields(&[("kind", "unknown_field")]);
        change(&developer, &program, &json!({"scopes": ["leases:read", "payments:write"]})).await.must(200);
        let code = program.let_in(&browser).await;
        let tokens = program.exchange(&program.let_in(&browser).await).await.must(200);
        let own = program.token(&[("grant_type", "client_credentials")]).await.must(200);
        let path = format!("{CLIENTS}{}", program.id);
        delete(&renter, &path).await.refuses(404, "not_found");
        delete(&developer, &path).await.must(204);
        delete(&developer, &path).await.refuses(404, "not_found");
        developer.get(&path).await.refuses(404, "not_found");
        for tokens in [&tokens, &own] {
            program.acts(tokens).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        }
        program.exchange(&code).await.refuses_as_oauth(401, "invalid_client");
        browser.get(&program.asks()).await.must(400);
        assert!(renter.get(AUTHORIZATIONS).await.must(200).rows().is_empty());
    });
}

#[test]
fn people_put_programs_out() {
    on_both(async |app| {
        let (renter, developer) = (app.sign_up("RENTER").await, app.sign_up("LANDLORD").await);
        let stranger = app.sign_up("RENTER").await;
        let program = register(&developer, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let first = program.exchange(&program.let_in(&browser).await).await.must(200);
        let second = program.exchange(&program.let_in(&browser).await).await.must(200);
        let list = renter.get(AUTHORIZATIONS).await.must(200);
        assert_eq!(list.rows().len(), 2);
        let row = &list.rows()[1];
        assert_eq!(keys(row), "client_id client_name created_at expires_at id owner_name scopes user_id");
        assert_eq!((&row["client_id"], &row["client_name"]), (&json!(program.id), &json!("Rent Ledger")));
        assert_eq!((&row["owner_name"], &row["user_id"]), (&json!("Person 1"), &json!(renter.id)));
        let path = format!("{AUTHORIZATIONS}{}", row["id"].as_str().unwrap());
        for other in [&stranger, &developer] {
            assert!(other.get(AUTHORIZATIONS).await.must(200).rows().is_empty());
            delete(other, &path).await.refuses(404, "not_found");
        }
        delete(&renter, &path).await.must(204);
        delete(&renter, &path).await.refuses(404, "not_found");
        program.acts(&first).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        program.acts(&second).get("/api/v1/leases/").await.must(200);
        program.refresh(&first.text_of("refresh_token")).await.refuses_as_oauth(400, "invalid_grant");
        // The other one on the page.
        let page = browser.get("/programs").await.must(200);
        assert_eq!(page.text.matches("Rent Ledger</h2>").count(), 1);
        browser.submit(&page, 1, &[]).await.must(303);
        program.acts(&second).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        assert!(browser.get("/programs").await.must(200).text.contains("No program acts for you."));
    });
}

#[test]
fn a_new_password_ends_browsers_and_codes_and_leaves_programs() {
    on_both(async |app| {
        let (renter, developer) = (app.sign_up("RENTER").await, app.sign_up("LANDLORD").await);
        let program = register(&developer, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let tokens = program.exchange(&program.let_in(&browser).await).await.must(200);
        let code = program.let_in(&browser).await;
        let consent = browser.get(&program.asks()).await.must(200);
        let body = json!({"current_password": PASSWORD, "new_password": "another horse battery staple"});
        renter.post("/api/v1/users/me/password", &body).await.must(200);

        program.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        // Who sends the form now has to sign in first.
        let page = browser.submit(&consent, 1, &[("decision", "allow")]).await.must(200);
        assert!(page.text.contains("name=\"password\""));
        assert!(browser.get("/programs").await.must(200).text.contains("name=\"password\""));
        // As API keys do, programs go on paying the rent; the person is told to look through them.
        program.acts(&tokens).get("/api/v1/leases/").await.must(200);
        let mails = app.mails(&renter.email, "Your password was changed", 1).await;
        assert!(mails[0].contains("Look through them (1 now):"), "{}", mails[0]);
    });
}

#[test]
fn no_program_acts_for_administrators() {
    on_both(async |app| {
        let (admin, developer) = (app.admin().await, app.sign_up("LANDLORD").await);
        let program = register(&developer, &confidential()).await;
        let browser = Browser::of(&admin).await;
        assert!(browser.get(&program.asks()).await.must(403).text.contains("no program acts for administrators"));
        admin.post(CLIENTS, &confidential()).await.refuses_fields(&[("grants", "unfit")]);
        let body = with(&confidential(), "grants", json!(["authorization_code"]));
        register(&admin, &body).await;
        // They can end what others have registered.
        admin.get(&format!("{CLIENTS}{}", program.id)).await.must(200);
        delete(&admin, &format!("{CLIENTS}{}", program.id)).await.must(204);
    });
}

#[test]
fn there_is_a_bound() {
    on_both(async |app| {
        let developer = app.sign_up("LANDLORD").await;
        for _ in 0..19 {
            register(&developer, &confidential()).await;
        }
        let program = register(&developer, &confidential()).await;
        developer.post(CLIENTS, &confidential()).await.refuses(409, "too_many_oauth_clients");
        delete(&developer, &format!("{CLIENTS}{}", program.id)).await.must(204);
        register(&developer, &confidential()).await;
    });
}

#[test]
fn the_owner_is_told_of_programs_that_act_by_a_secret_alone() {
    on_both(async |app| {
        const SUBJECT: &str = "A program acts for you by a secret";
        let developer = app.sign_up("LANDLORD").await;
        let asking = with(&confidential(), "grants", json!(["authorization_code"]));
        let asking = register(&developer, &asking).await;
        let rotate = |program: &Program<'_>| format!("{CLIENTS}{}/rotate-secret", program.id);
        developer.post(&rotate(&asking), &Value::Null).await.must(200);
        let program = register(&developer, &confidential()).await;
        let mails = app.mails(&developer.email, SUBJECT, 1).await;
        assert!(mails[0].contains(&program.id) && mails[0].contains("payments:write"), "{}", mails[0]);
        developer.post(&rotate(&program), &Value::Null).await.must(200);
        app.mails(&developer.email, SUBJECT, 2).await;
        change(&developer, &asking, &json!({"grants": ["client_credentials"]})).await.must(200);
        app.mails(&developer.email, SUBJECT, 3).await;
        // What it loses, or is called, is no news; what it may do besides is.
        change(&developer, &asking, &json!({"scopes": ["leases:read"], "name": "Other"})).await.must(200);
        change(&developer, &asking, &json!({"scopes": ["leases:read", "payments:write"]})).await.must(200);
        app.mails(&developer.email, SUBJECT, 4).await;
        let page = Browser::of(&developer).await.get("/programs").await.must(200);
        assert!(page.text.contains(&program.id) && page.text.contains(&asking.id), "{}", page.text);
        let body = json!({"current_password": PASSWORD, "new_password": "another horse battery staple"});
        developer.post("/api/v1/users/me/password", &body).await.must(200);
        let mails = app.mails(&developer.email, "Your password was changed", 1).await;
        assert!(mails[0].contains("Look through them (2 now):"), "{}", mails[0]);
    });
}
