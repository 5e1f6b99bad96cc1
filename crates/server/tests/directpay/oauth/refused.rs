//! What nobody gets: each way in which a request, a code or a token can be wrong.

use directpay_domain::time::SECOND_US;
use serde_json::json;

use super::browser::Browser;
use super::{
    AUTHORIZATIONS, CALLBACK, CLIENTS, Program, VERIFIER, answer_of, answer_on, challenge, confidential, register,
};
use crate::harness::{Answer, GET, POST, TestApp, Visitor, on_both, with};

type Parameters = Vec<(String, String)>;

/// The same parameters with another value of one.
fn set(parameters: &Parameters, name: &str, value: &str) -> Parameters {
    let other = |(key, old): &(String, String)| (key.clone(), if key == name { value.to_owned() } else { old.clone() });
    parameters.iter().map(other).collect()
}

fn drop(parameters: &Parameters, name: &str) -> Parameters {
    parameters.iter().filter(|(key, _)| key != name).cloned().collect()
}

fn twice(parameters: &Parameters, name: &str) -> Parameters {
    let again = parameters.iter().find(|(key, _)| key == name).unwrap().clone();
    parameters.iter().cloned().chain([again]).collect()
}

#[test]
fn a_request_whose_answer_could_go_astray_is_told_to_the_person_alone() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        let good = program.parameters();
        let long = "x".repeat(9000);
        for browser in [Browser::new(app), Browser::of(&renter).await] {
            for parameters in [
                drop(&good, "client_id"),
                set(&good, "client_id", "01890000-0000-7000-8000-000000000000"),
                set(&good, "client_id", "ledger"),
                twice(&good, "client_id"),
                drop(&good, "redirect_uri"),
                twice(&good, "redirect_uri"),
                set(&good, "redirect_uri", &format!("{CALLBACK}/")),
                set(&good, "redirect_uri", "https://ledger.example.com/callback"),
                set(&good, "redirect_uri", "https://ledger.example.com/callback/?from=directpay"),
                set(&good, "redirect_uri", "http://ledger.example.com/callback?from=directpay"),
                set(&good, "redirect_uri", "https://LEDGER.example.com/callback?from=directpay"),
                set(&good, "redirect_uri", "https://evil.example/"),
                set(&good, "redirect_uri", "javascript:alert(1)"),
                set(&good, "state", &long),
            ] {
                let page = browser.get(&Program::path(&parameters)).await.must(400);
                assert_eq!(page.header("location"), None, "{parameters:?}");
                assert!(!page.text.contains("Go back to the program"), "{}", page.text);
            }
        }
    });
}

#[test]
fn a_request_that_is_wrong_otherwise_is_told_to_the_program() {
    on_both(async |app| {
        let (renter, developer) = (app.sign_up("RENTER").await, app.sign_up("LANDLORD").await);
        let program = register(&developer, &confidential()).await;
        let good = program.parameters();
        let browser = Browser::of(&renter).await;
        for (parameters, error) in [
            (drop(&good, "response_type"), "invalid_request"),
            (set(&good, "response_type", "token"), "unsupported_response_type"),
            (set(&good, "response_type", "code token"), "unsupported_response_type"),
            (twice(&good, "response_type"), "invalid_request"),
            (drop(&good, "code_challenge"), "invalid_request"),
            (drop(&good, "code_challenge_method"), "invalid_request"),
            (set(&good, "code_challenge_method", "plain"), "invalid_request"),
            (set(&good, "code_challenge_method", "s256"), "invalid_request"),
            (set(&good, "code_challenge", VERIFIER), "invalid_request"),
            (set(&good, "code_challenge", &challenge()[1..]), "invalid_request"),
            (twice(&good, "code_challenge"), "invalid_request"),
            (drop(&good, "scope"), "invalid_scope"),
            (set(&good, "scope", ""), "invalid_scope"),
            (set(&good, "scope", "leases:read everything"), "invalid_scope"),
            (set(&good, "scope", "leases:read leases:read"), "invalid_scope"),
            (set(&good, "scope", "leases:read leases:write"), "invalid_scope"),
            (twice(&good, "scope"), "invalid_request"),
            ([good.clone(), vec![("response_mode".into(), "fragment".into())]].concat(), "invalid_request"),
        ] {
            let told = answer_on(&browser.get(&Program::path(&parameters)).await, CALLBACK);
            assert_eq!(told["error"], error, "{parameters:?}: {told}");
            assert_eq!(told["state"], "of & the <program>");
            assert_eq!(told["iss"], crate::harness::PUBLIC_URL);
            assert!(told["error_description"].is_string() && told["code"].is_null());
            // The same for whoever is not signed in.
            let page = app.call(GET, &Program::path(&parameters)).send().await;
            assert_eq!(answer_on(&page, CALLBACK), told);
        }
        let page = browser.get(&Program::path(&twice(&good, "state"))).await;
        assert_eq!(answer_on(&page, CALLBACK)["error"], "invalid_request");

        let machine = with(&confidential(), "grants", json!(["client_credentials"]));
        let machine = register(&developer, &machine).await;
        let page = browser.get(&machine.asks()).await;
        assert_eq!(answer_on(&page, CALLBACK)["error"], "unauthorized_client");
        // The person may refuse as well.
        let consent = browser.get(&program.asks()).await.must(200);
        for decision in ["refuse", "", "Allow"] {
            let sent = browser.submit(&consent, 1, &[("decision", decision)]).await.must(303);
            assert_eq!(answer_of(&sent, CALLBACK)["error"], "access_denied");
        }
    });
}

#[test]
fn a_code_is_good_once_for_its_program_address_and_verifier() {
    on_both(async |app| {
        let (renter, developer) = (app.sign_up("RENTER").await, app.sign_up("LANDLORD").await);
        let program = register(&developer, &confidential()).await;
        let other = register(&developer, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let code = program.let_in(&browser).await;
        let good = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let but = |name: &str, value| good.map(|(key, old)| (key, if key == name { value } else { old }));
        let without = |name: &str| good.into_iter().filter(|(key, _)| *key != name).collect::<Vec<_>>();
        let wrong_verifier = VERIFIER.replace('a', "b");
        for (fields, error) in [
            (without("grant_type"), "invalid_request"),
            (without("code"), "invalid_request"),
            (without("redirect_uri"), "invalid_request"),
            (without("code_verifier"), "invalid_request"),
            ([good.to_vec(), vec![("code", "twice")]].concat(), "invalid_request"),
            (but("grant_type", "password").to_vec(), "unsupported_grant_type"),
            (but("grant_type", "implicit").to_vec(), "unsupported_grant_type"),
            (but("code", &code[1..]).to_vec(), "invalid_grant"),
            (but("code", "").to_vec(), "invalid_grant"),
            (but("redirect_uri", "https://ledger.example.com/callback").to_vec(), "invalid_grant"),
            (but("code_verifier", &wrong_verifier).to_vec(), "invalid_grant"),
            (but("code_verifier", &challenge()).to_vec(), "invalid_grant"),
            (but("code_verifier", &VERIFIER[..42]).to_vec(), "invalid_grant"),
        ] {
            program.token(&fields).await.refuses_as_oauth(400, error);
        }
        other.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        let tokens = program.exchange(&code).await.must(200);
        assert_eq!(tokens.header("cache-control"), Some("no-store"));
        assert_eq!(tokens["scope"], "leases:read payments:write");
        let acting = program.acts(&tokens);
        acting.get("/api/v1/leases/").await.must(200);
        // Another program that has come by the code ends nothing.
        other.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        acting.get("/api/v1/leases/").await.must(200);
        program.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        acting.get("/api/v1/leases/").await.refuses(401, "invalid_token");
        program.refresh(&tokens.text_of("refresh_token")).await.refuses_as_oauth(400, "invalid_grant");
        assert!(renter.get(AUTHORIZATIONS).await.must(200).rows().is_empty());
        app.mails(&renter.email, "A program was stopped", 1).await;
    });
}

/// Moves back the end of all codes, or of all refresh tokens.
async fn expire(app: &TestApp, sql: &'static str) {
    let mut tx = app.db().begin().await.unwrap();
    tx.execute(sql, (app.clock.process_us() - SECOND_US,)).await.unwrap();
    tx.commit().await.unwrap();
}

#[test]
fn codes_and_tokens_run_out() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let code = program.let_in(&browser).await;
        expire(app, "UPDATE oauth_codes SET expires_at = $1").await;
        program.exchange(&code).await.refuses_as_oauth(400, "invalid_grant");
        let tokens = program.exchange(&program.let_in(&browser).await).await.must(200);
        expire(app, "UPDATE oauth_access_tokens SET expires_at = $1").await;
        program.acts(&tokens).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        let tokens = program.refresh(&tokens.text_of("refresh_token")).await.must(200);
        program.acts(&tokens).get("/api/v1/leases/").await.must(200);
        expire(app, "UPDATE oauth_refresh_tokens SET expires_at = $1").await;
        program.refresh(&tokens.text_of("refresh_token")).await.refuses_as_oauth(400, "invalid_grant");
        expire(app, "UPDATE browser_sessions SET expires_at = $1").await;
        assert!(browser.get("/programs").await.must(200).text.contains("name=\"password\""));
    });
}

#[test]
fn a_refresh_token_gives_no_more_than_was_agreed_to() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let tokens = program.exchange(&program.let_in(&browser).await).await.must(200);
        let refresh = async |token: &Answer, scope: &str| {
            let token = token.text_of("refresh_token");
            program.token(&[("grant_type", "refresh_token"), ("refresh_token", &token), ("scope", scope)]).await
        };
        for scope in ["leases:read payments:write payments:read", "payments:read", "", "all"] {
            refresh(&tokens, scope).await.refuses_as_oauth(400, "invalid_scope");
        }
        let narrow = refresh(&tokens, "leases:read").await.must(200);
        assert_eq!(narrow["scope"], "leases:read");
        program.acts(&narrow).post("/api/v1/payments/", &json!({})).await.refuses(403, "insufficient_scope");
        // What is narrow once is wide again the next time, as the person agreed to.
        let wide = program.refresh(&narrow.text_of("refresh_token")).await.must(200);
        assert_eq!(wide["scope"], "leases:read payments:write");
        // Another program's token is none, and that ends nothing.
        let other = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        other.refresh(&wide.text_of("refresh_token")).await.refuses_as_oauth(400, "invalid_grant");
        program.refresh(&wide.text_of("refresh_token")).await.must(200);
    });
}

#[test]
fn of_many_who_use_a_code_or_a_refresh_token_at_once_one_gets_something() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        let browser = Browser::of(&renter).await;
        let code = program.let_in(&browser).await;
        let answers = futures_util::future::join_all((0..6).map(|_| program.exchange(&code))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        let tokens = program.exchange(&program.let_in(&browser).await).await.must(200).text_of("refresh_token");
        let answers = futures_util::future::join_all((0..6).map(|_| program.refresh(&tokens))).await;
        let lucky: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(lucky.len(), 1);
        // And that is over as well: one of them was a thief.
        program.acts(lucky[0]).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        assert!(renter.get(AUTHORIZATIONS).await.must(200).rows().is_empty());
    });
}

#[test]
fn a_program_proves_who_it_is() {
    on_both(async |app| {
        let developer = app.sign_up("LANDLORD").await;
        let program = register(&developer, &confidential()).await;
        let public = json!({"name": "Pocket", "kind": "PUBLIC", "scopes": ["leases:read"],
                            "redirect_uris": ["http://127.0.0.1/cb"]});
        let public = register(&developer, &public).await;
        assert_eq!(public.secret, "");
        let by_form = async |path: &str, fields: &[(&str, &str)]| app.call(POST, path).form(fields).send().await;
        let (id, secret) = (program.id.as_str(), program.secret.as_str());
        let machine = ("grant_type", "client_credentials");
        by_form("/oauth/token", &[machine, ("client_id", id), ("client_secret", secret)]).await.must(200);
        let other = register(&developer, &confidential()).await.secret;
        for fields in [
            vec![machine],
            vec![machine, ("client_id", id)],
            vec![machine, ("client_secret", secret)],
            vec![machine, ("client_id", id), ("client_secret", "")],
            vec![machine, ("client_id", id), ("client_secret", &secret[..secret.len() - 1])],
            vec![machine, ("client_id", id), ("client_secret", &other)],
            vec![machine, ("client_id", "01890000-0000-7000-8000-000000000000"), ("client_secret", secret)],
            vec![machine, ("client_id", &public.id), ("client_secret", secret)],
        ] {
            for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
                let fields = [fields.clone(), vec![("token", "x")]].concat();
                by_form(path, &fields).await.refuses_as_oauth(401, "invalid_client");
            }
        }
        let both = [machine, ("client_secret", secret)];
        program.token(&both).await.refuses_as_oauth(400, "invalid_request");
        let fields = [machine, ("client_id", &public.id)];
        by_form("/oauth/token", &fields).await.refuses_as_oauth(400, "unauthorized_client");
        // Who has no secret looks at nothing.
        let fields = [("token", "x"), ("client_id", &public.id)];
        by_form("/oauth/introspect", &fields).await.refuses_as_oauth(401, "invalid_client");
        by_form("/oauth/revoke", &fields).await.must(200);
        // A secret that was exchanged is none any more, nor are the tokens that it got.
        let token = program.token(&[machine]).await.must(200);
        let rotated = developer.post(&format!("{CLIENTS}{id}/rotate-secret"), &json!(null)).await.must(200);
        program.token(&[machine]).await.refuses_as_oauth(401, "invalid_client");
        program.acts(&token).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        let program = Program { app, id: program.id, secret: rotated.text_of("client_secret") };
        program.token(&[machine]).await.must(200);
    });
}

#[test]
fn tokens_are_told_about_to_programs_of_the_same_owner_only() {
    on_both(async |app| {
        let (renter, developer) = (app.sign_up("RENTER").await, app.sign_up("LANDLORD").await);
        let program = register(&developer, &confidential()).await;
        let sibling = register(&developer, &confidential()).await;
        let stranger = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        let tokens = program.exchange(&program.let_in(&Browser::of(&renter).await).await).await.must(200);
        let (access, refresh) = (tokens.text_of("access_token"), tokens.text_of("refresh_token"));
        let ask = async |who: &Program<'_>, path: &str, token: &str| {
            let form = [("token", token), ("client_id", who.id.as_str()), ("client_secret", who.secret.as_str())];
            app.call(POST, path).form(&form).send().await.must(200)
        };
        for (token, kind) in [(&access, json!("Bearer")), (&refresh, json!(null))] {
            for who in [&program, &sibling] {
                let known = ask(who, "/oauth/introspect", token).await;
                assert_eq!((&known["active"], &known["token_type"]), (&json!(true), &kind));
                assert_eq!((&known["sub"], &known["client_id"]), (&json!(renter.id), &json!(program.id)));
                assert_eq!(known["scope"], "leases:read payments:write");
                assert!(known["exp"].as_i64().unwrap() > known["iat"].as_i64().unwrap());
            }
            let nothing = ask(&stranger, "/oauth/introspect", token).await;
            assert_eq!(nothing.body, json!({"active": false}));
            ask(&stranger, "/oauth/revoke", token).await;
            ask(&sibling, "/oauth/revoke", token).await;
        }
        for none in ["", "dp_at_x", &developer.token, &developer.refresh_token] {
            assert_eq!(ask(&program, "/oauth/introspect", none).await.body, json!({"active": false}));
            ask(&program, "/oauth/revoke", none).await;
        }
        program.acts(&tokens).get("/api/v1/leases/").await.must(200);
        ask(&program, "/oauth/revoke", &access).await;
        program.acts(&tokens).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        let tokens = program.refresh(&refresh).await.must(200);
        ask(&program, "/oauth/revoke", &tokens.text_of("refresh_token")).await;
        program.acts(&tokens).get("/api/v1/leases/").await.refuses(401, "invalid_token");
        assert!(renter.get(AUTHORIZATIONS).await.must(200).rows().is_empty());
    });
}

#[test]
fn secrets_of_one_kind_are_none_of_another() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let program = register(&app.sign_up("LANDLORD").await, &confidential()).await;
        let tokens = program.exchange(&program.let_in(&Browser::of(&renter).await).await).await.must(200);
        let refresh = tokens.text_of("refresh_token");
        let as_bearer = |token: &str| Visitor {
            app,
            id: String::new(),
            email: String::new(),
            token: token.to_owned(),
            refresh_token: String::new(),
        };
        as_bearer(&refresh).get("/api/v1/leases/").await.refuses(401, "api_key_malformed");
        as_bearer(&program.secret).get("/api/v1/leases/").await.refuses(401, "api_key_malformed");
        as_bearer("dp_at_").get("/api/v1/leases/").await.refuses(401, "invalid_token");
        app.token_by_refresh(&refresh).await.must(400);
        program.refresh(&renter.refresh_token).await.refuses_as_oauth(400, "invalid_grant");
        program.refresh(&tokens.text_of("access_token")).await.refuses_as_oauth(400, "invalid_grant");
        program.exchange(&refresh).await.refuses_as_oauth(400, "invalid_grant");
        let challenge = app.call(GET, "/api/v1/leases/").bearer("dp_at_x").send().await;
        assert_eq!(challenge.header("www-authenticate"), Some("Bearer realm=\"directpay\", error=\"invalid_token\""));
    });
}
