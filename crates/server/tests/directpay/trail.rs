//! The trail: every operation that changes something leaves an entry, what is tried is counted, and nobody reads of others.

use std::collections::BTreeSet;

use directpay_domain::time::SECOND_US;
use directpay_server::access::totp;
use directpay_store::feed::Numbered;
use reqwest::Method;
use serde_json::{Value, json};

use crate::authorization::{Right, Things, attempt, send};
use crate::document::{document, operations};
use crate::harness::{
    Answer, GET, PASSWORD, POST, Visitor, WITHOUT_WORKERS, assert_id, assert_time, from_base32, keys, on_both,
    on_both_with, terms, token_in, until, without,
};

const PATH: &str = "/api/v1/audit";

/// What an operation that may change something leaves.
#[derive(Debug, PartialEq, Eq)]
enum Leaves {
    /// An entry with this action.
    Entry(&'static str),
    /// The payment's event is the record of it.
    ItsEvent,
    /// An entry, in another story than that of the document.
    Elsewhere,
}
use Leaves::{Elsewhere, Entry, ItsEvent};

/// None for an operation that nobody has thought of.
fn leaves(operation_id: &str) -> Option<Leaves> {
    Some(match operation_id {
        "initiate_payment" => ItsEvent,
        // Open to anybody, or refused in the story of the document: they need more than a home.
        "create_user" | "create_token" | "revoke_token" => Elsewhere,
        "request_password_reset" | "confirm_password_reset" | "confirm_email" | "send_email_verification" => Elsewhere,
        "confirm_second_factor" | "disable_second_factor" | "renew_recovery_codes" | "remove_second_factor" => {
            Elsewhere
        }
        "cancel_payment" | "retry_payment" | "return_deposit" | "skip_draw" => Elsewhere,
        // It is active in the story of the document: nothing changes.
        "activate_bank_account" => Elsewhere,
        "update_me" => Entry("profile.changed"),
        "change_password" => Entry("password.changed"),
        "change_email" => Entry("email_change.asked"),
        "begin_second_factor" => Entry("second_factor.begun"),
        "create_api_key" => Entry("api_key.created"),
        "revoke_api_key" => Entry("api_key.revoked"),
        "create_bank_account" => Entry("bank_account.linked"),
        "set_primary_bank_account" => Entry("bank_account.made_primary"),
        "deactivate_bank_account" => Entry("bank_account.deactivated"),
        "create_property" => Entry("property.created"),
        "create_lease" => Entry("lease.created"),
        "terminate_lease" => Entry("lease.terminated"),
        "set_shares" => Entry("lease.shares_changed"),
        "create_charge" => Entry("lease.charge_created"),
        "void_charge" => Entry("lease.charge_voided"),
        "grant_credit" => Entry("lease.credit_granted"),
        "add_extra" => Entry("lease.extra_added"),
        "end_extra" => Entry("lease.extra_ended"),
        "change_rent" => Entry("lease.rent_changed"),
        "set_payment_policy" => Entry("lease.policy_changed"),
        "set_charge_notice" => Entry("lease.charge_notice_changed"),
        "set_late_fees" => Entry("lease.late_fees_changed"),
        "sign_mandate" => Entry("mandate.signed"),
        "pause_mandate" => Entry("mandate.paused"),
        "resume_mandate" => Entry("mandate.resumed"),
        "revoke_mandate" => Entry("mandate.revoked"),
        "create_webhook" => Entry("webhook.created"),
        "update_webhook" => Entry("webhook.changed"),
        "delete_webhook" => Entry("webhook.deleted"),
        "pause_webhook" => Entry("webhook.paused"),
        "resume_webhook" => Entry("webhook.resumed"),
        "rotate_webhook_secret" => Entry("webhook.secret_rotated"),
        "test_webhook" => Entry("webhook.tested"),
        "resend_delivery" => Entry("webhook.resent"),
        // Nothing has ended there that could be sent again.
        "resend_range" => Elsewhere,
        "advance_clock" => Entry("clock.advanced"),
        "create_oauth_client" => Entry("oauth_client.created"),
        "update_oauth_client" => Entry("oauth_client.changed"),
        "rotate_oauth_client_secret" => Entry("oauth_client.secret_rotated"),
        "delete_oauth_client" => Entry("oauth_client.deleted"),
        // By a program's own word, in the stories of OAuth.
        "create_oauth_token" | "revoke_oauth_token" | "introspect_oauth_token" | "revoke_authorization" => Elsewhere,
        _ => return None,
    })
}

/// The entries that a person finds, newest first.
async fn read(who: &Visitor<'_>, query: &str) -> Vec<Value> {
    who.get(&format!("{PATH}?limit=100&{query}")).await.must(200).rows().to_vec()
}

/// The same, once there are so many: on PostgreSQL they have their positions a moment later, and what is folded is written then.
async fn find(who: &Visitor<'_>, query: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} entries of {query}"), async || count <= read(who, query).await.len()).await;
    let found = read(who, query).await;
    assert_eq!(found.len(), count, "{query}: {found:#?}");
    found
}

/// The one entry with an action that a request left.
async fn left_by(who: &Visitor<'_>, action: &str, answer: &Answer) -> Value {
    let request_id = answer.header("x-request-id").unwrap().to_owned();
    let query = format!("action={action}");
    let of_request = async || {
        let mut found = read(who, &query).await;
        found.retain(|entry| entry["request_id"] == request_id);
        found
    };
    until(&format!("{} leaves {action}", answer.line), async || !of_request().await.is_empty()).await;
    let found = of_request().await;
    assert_eq!(found.len(), 1, "{}: {found:#?}", answer.line);
    found[0].clone()
}

#[test]
fn every_operation_that_changes_something_leaves_an_entry_of_who_and_from_where() {
    on_both(async |app| {
        let home = app.home().await;
        let things = Things::of(&home).await;
        let admin = app.admin().await;
        let mut left = 0;
        for operation in operations(&document()).iter().filter(|operation| operation.method != GET) {
            let id = &operation.id;
            let leaves =
                leaves(id).unwrap_or_else(|| panic!("the operation {id} is new: say what it leaves in the trail"));
            let Entry(action) = leaves else { continue };
            let attempt = attempt(operation, &home, &things).unwrap();
            let right = match attempt.right {
                Right::Landlord => &home.landlord,
                Right::Renter => &home.renter,
                Right::Admin => &admin,
            };
            let answer = send(app, Some(right), &operation.method, &attempt).await.must(attempt.status);
            let entry = left_by(&admin, action, &answer).await;
            let kind = if matches!(attempt.right, Right::Admin) { "ADMIN" } else { "USER" };
            assert_eq!((&entry["actor"]["type"], &entry["actor"]["id"]), (&json!(kind), &json!(right.id)), "{id}");
            assert_eq!(entry["actor"]["credential"]["type"], "SESSION", "{id}");
            assert_eq!((&entry["address"], &entry["outcome"]), (&json!("127.0.0.1"), &json!("DONE")), "{id}");
            left += 1;
        }
        assert!(35 <= left, "{left}");
        // It was entered, given a charge and an extra, and then ten of these were about it.
        find(&admin, &format!("subject_id={}", home.lease), 13).await;
    });
}

#[test]
fn an_entry_says_who_what_and_from_where_and_its_person_reads_it() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let made = renter.call(POST, "/api/v1/api-keys/").header("User-Agent", "book\u{a0}keeper/1");
        let made = made.json(&json!({"name": "Books", "scopes": ["users:read"]})).send().await.must(201);
        let entry = left_by(&renter, "api_key.created", &made).await;
        assert_eq!(
            keys(&entry),
            "action actor address details id occurred_at outcome person_id request_id since subject times user_agent"
        );
        assert_id(&entry["id"]);
        assert_time(&entry["occurred_at"]);
        assert_eq!(entry["subject"], json!({"type": "API_KEY", "id": made.id()}));
        assert_eq!((&entry["person_id"], &entry["times"]), (&json!(renter.id), &json!(1)));
        assert_eq!(entry["user_agent"], "bookkeeper/1");
        assert_eq!(entry["details"], json!({"scopes": "users:read"}));
        let signed_in = find(&renter, "action=sign_in.succeeded", 1).await;
        assert_eq!(signed_in[0]["subject"]["id"], entry["actor"]["credential"]["id"]);
        find(&renter, "action=user.created", 1).await;

        // What the key did, and what it was refused.
        let program = renter.with_key(&made);
        program.get("/api/v1/users/me").await.must(200);
        for _ in 0..3 {
            program.get("/api/v1/payments/").await.refuses(403, "insufficient_scope");
        }
        let of_key = format!("credential_id={}", made.id());
        let refused = find(&renter, &format!("{of_key}&action=access.refused"), 1).await;
        assert_eq!(refused[0]["outcome"], "REFUSED");
        assert_eq!(refused[0]["details"], json!({"method": "GET", "path": "/api/v1/payments/", "status": 403}));
        find(&renter, &format!("{of_key}&action=access.used"), 1).await;
        let path = format!("/api/v1/api-keys/{}/revoke", made.id());
        renter.post(&path, &Value::Null).await.must(200);
        renter.post(&path, &Value::Null).await.must(200);
        find(&renter, "action=api_key.revoked", 1).await;
        program.get("/api/v1/users/me").await.refuses(401, "api_key_revoked");
        let refused = find(&renter, &format!("{of_key}&action=access.refused"), 2).await;
        assert_eq!(refused[0]["details"]["status"], 401);
    });
}

#[test]
fn nobody_reads_of_others_and_administrators_read_all() {
    on_both(async |app| {
        let home = app.home().await;
        let (landlord, renter) = (&home.landlord, &home.renter);
        let admin = app.admin().await;
        let stranger = app.sign_up("RENTER").await;
        for query in [
            format!("person_id={}", renter.id),
            format!("actor_id={}", renter.id),
            format!("subject_id={}", home.lease),
            format!("subject_id={}", home.renter_account),
        ] {
            until("the trail is there", async || !read(&admin, &query).await.is_empty()).await;
            assert_eq!(read(&stranger, &query).await, [] as [Value; 0], "{query}");
        }
        let of = async |who: &Visitor<'_>| {
            let entries = read(who, "").await;
            entries
                .iter()
                .map(|entry| entry["person_id"].as_str().unwrap_or_default().to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(of(landlord).await, BTreeSet::from([landlord.id.clone()]));
        assert_eq!(of(renter).await, BTreeSet::from([renter.id.clone()]));
        // What the landlord does to the lease is in its history, and not in the renter's trail.
        assert_eq!(read(renter, &format!("subject_id={}", home.lease)).await.len(), 0);
        assert!(of(&admin).await.len() > 3);
        app.call(GET, PATH).send().await.refuses(401, "unauthorized");
        let key = renter.make_key(&["users:read"]).await;
        renter.with_key(&key).get(PATH).await.refuses(403, "closed_to_api_keys");

        // An administrator's address is none of a person's business; that it was an administrator is.
        admin.post(&format!("/api/v1/api-keys/{}/revoke", key.id()), &Value::Null).await.must(200);
        let seen = find(renter, "action=api_key.revoked", 1).await;
        assert_eq!((&seen[0]["actor"]["id"], &seen[0]["address"]), (&json!(admin.id), &Value::Null));
        assert_eq!((&seen[0]["actor"]["credential"], &seen[0]["user_agent"]), (&Value::Null, &Value::Null));
        assert_eq!(find(&admin, "action=api_key.revoked", 1).await[0]["address"], "127.0.0.1");
        // Who looked at what: once or ten times.
        for _ in 0..3 {
            landlord.get(&format!("/api/v1/leases/{}/statement", home.lease)).await.must(200);
            admin.get(&format!("/api/v1/reports/rent-roll?landlord_id={}", landlord.id)).await.must(200);
        }
        find(&admin, &format!("action=report.read&subject_id={}", home.lease), 1).await;
        let looked = find(&admin, &format!("action=report.read&subject_id={}", landlord.id), 1).await;
        assert_eq!(looked[0]["actor"]["id"], json!(admin.id));
        for (query, field) in [
            ("person_id=x", "person_id"),
            ("action=lease.sold", "action"),
            ("from=yesterday", "from"),
            ("until=2026-01-01", "until"),
            ("limit=0", "limit"),
        ] {
            let refused = renter.get(&format!("{PATH}?{query}")).await.refuses(400, "invalid_query");
            assert_eq!(refused["errors"][0]["field"], field);
        }
    });
}

#[test]
fn failed_sign_ins_are_folded_and_say_nothing_of_what_was_typed() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let admin = app.admin().await;
        for number in 0..6 {
            app.token_by_password(&renter.email, &format!("wrong horse battery {number}")).await.must(400);
            app.token_by_password("nobody-typed-this@example.com", "wrong horse battery staple").await.must(400);
        }
        let total = async |query: &str| {
            let found = read(&admin, query).await;
            (found.len(), found.iter().map(|entry| entry["times"].as_i64().unwrap()).sum::<i64>())
        };
        // One when it is first seen for each of both; the rest is counted when the hour is over, or the server stops.
        until("both are seen", async || 2 <= total("action=sign_in.refused").await.0).await;
        let found = read(&renter, "action=sign_in.refused").await;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((&found[0]["actor"]["type"], &found[0]["address"]), (&json!("NOBODY"), &json!("127.0.0.1")));
        let (entries, times) = total("action=sign_in.refused").await;
        assert!(entries <= 4 && 2 <= times, "{entries} {times}");
        let all = read(&admin, "").await;
        assert!(!format!("{all:?}").contains("nobody-typed-this"));
        let unknown = all.iter().find(|entry| entry["action"] == "sign_in.refused" && entry["person_id"].is_null());
        assert!(unknown.is_some(), "{all:#?}");
        // A thousand looks at what is somebody else's are no more than an entry.
        let nothing = "/api/v1/payments/01890000-0000-7000-8000-000000000000";
        for _ in 0..50 {
            renter.get(nothing).await.refuses(404, "not_found");
        }
        let refused = find(&renter, "action=access.refused", 1).await;
        assert_eq!(refused[0]["details"]["path"], "/api/v1/payments/{payment_id}");
    });
}

#[test]
fn what_people_do_about_their_accounts_is_told() {
    on_both(async |app| {
        let (renter, admin) = (app.sign_up("RENTER").await, app.admin().await);
        const FACTOR: &str = "/api/v1/users/me/second-factor";
        let turn_on = async || {
            let begun = renter.post(FACTOR, &json!({"password": PASSWORD})).await.must(201);
            let secret = from_base32(&begun.text_of("secret"));
            let code = totp::code_at(&secret, app.clock.process_us() / SECOND_US);
            let on = renter.post(&format!("{FACTOR}/confirm"), &json!({"code": code})).await.must(200);
            let codes = on["recovery_codes"].as_array().unwrap().clone();
            (on, codes)
        };
        let both = |code: &Value| json!({"password": PASSWORD, "code": code});
        let (on, codes) = turn_on().await;
        left_by(&renter, "second_factor.turned_on", &on).await;
        let renewed = renter.post(&format!("{FACTOR}/recovery-codes"), &both(&codes[0])).await.must(200);
        left_by(&renter, "recovery_codes.renewed", &renewed).await;
        let off = renter.post(&format!("{FACTOR}/disable"), &both(&renewed["recovery_codes"][1])).await.must(200);
        left_by(&renter, "second_factor.turned_off", &off).await;
        turn_on().await;
        let removed = admin.post(&format!("/api/v1/users/{}/second-factor/remove", renter.id), &Value::Null).await;
        let entry = left_by(&renter, "second_factor.removed", &removed.must(200)).await;
        assert_eq!(entry["actor"]["id"], json!(admin.id));

        // A link to a new password, and one to a new address.
        let asked = app.call(POST, "/api/v1/auth/password-reset").json(&json!({"email": renter.email}));
        asked.send().await.must(202);
        find(&renter, "action=password_reset.asked", 1).await;
        let mail = app.mails(&renter.email, "Set a new password", 1).await;
        let change = json!({"token": token_in(&mail[0]), "new_password": "another horse battery staple"});
        let changed = app.call(POST, "/api/v1/auth/password-reset/confirm").json(&change).send().await.must(200);
        let entry = left_by(&renter, "password_reset.used", &changed).await;
        assert_eq!((&entry["actor"]["type"], &entry["person_id"]), (&json!("NOBODY"), &json!(renter.id)));

        let body = json!({"email": "another@example.com", "password": "another horse battery staple"});
        let session = app.token_by_password(&renter.email, "another horse battery staple").await.must(200);
        let asked = app.call(POST, "/api/v1/users/me/email").bearer(&session.text_of("access_token")).json(&body);
        asked.send().await.must(202);
        let mail = app.mails("another@example.com", "Confirm your e-mail address", 1).await;
        let token = json!({"token": token_in(&mail[0])});
        let confirmed = app.call(POST, "/api/v1/auth/email/confirm").json(&token).send().await.must(200);
        let entry = left_by(&renter, "email.confirmed", &confirmed).await;
        assert_eq!((&entry["actor"]["type"], &entry["person_id"]), (&json!("NOBODY"), &json!(renter.id)));
        let session = app.token_by_password("another@example.com", "another horse battery staple").await.must(200);

        // Sessions.
        let old = session.text_of("refresh_token");
        let next = app.token_by_refresh(&old).await.must(200);
        let stolen = app.token_by_refresh(&old).await.must(400);
        let entry = left_by(&renter, "session.reused", &stolen).await;
        assert_eq!((&entry["outcome"], &entry["actor"]["type"]), (&json!("REFUSED"), &json!("NOBODY")));
        let ends = async |session: &Answer| {
            let form = [("token", session["access_token"].as_str().unwrap())];
            app.call(POST, "/api/v1/auth/revoke").form(&form).send().await.must(200)
        };
        // It is over already, and so it is the second time.
        ends(&next).await;
        let session = app.token_by_password("another@example.com", "another horse battery staple").await.must(200);
        let ended = ends(&session).await;
        left_by(&renter, "session.ended", &ended).await;
        ends(&session).await;
        assert_eq!(read(&renter, "action=session.ended").await.len(), 1);
    });
}

#[test]
fn a_refused_change_leaves_no_entry_and_a_repeated_one_no_second() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let number = async || {
            while directpay_store::trail::number(app.db()).await.unwrap() == Numbered::ABatch {}
        };
        let id = home.renter.pay("k", &home.rent("1.00")).await.must(201).id();
        let cancel = format!("/api/v1/payments/{id}/cancel");
        home.renter.post(&cancel, &Value::Null).await.must(200);
        home.renter.post(&cancel, &Value::Null).await.refuses(409, "wrong_status");
        let of_account = |what: &str| format!("/api/v1/bank-accounts/{}/{what}", home.renter_account);
        for what in ["deactivate", "deactivate", "activate", "activate"] {
            home.renter.patch(&of_account(what)).await.must(200);
        }
        let extra = json!({"description": "Pet", "amount": "1", "start_date": "2090-01-01", "idempotency_key": "pet"});
        let path = format!("/api/v1/leases/{}/extras", home.lease);
        home.landlord.post(&path, &extra).await.must(201);
        home.landlord.post(&path, &extra).await.must(200);
        home.landlord.call(Method::POST, "/api/v1/leases/").json(&json!({})).send().await.must(422);
        let property = home.landlord.add_property().await.id();
        let terms = without(&terms(&property, &home.renter.id), "end_date");
        let lease = home.landlord.post("/api/v1/leases/", &terms).await.must(201).id();
        let autopay = format!("/api/v1/leases/{lease}/autopay");
        let mandate = home.renter.post(&autopay, &json!({"cap": "1", "idempotency_key": "m"})).await.must(201).id();
        let schedule = home.renter.get(&format!("/api/v1/leases/{lease}/schedule")).await.must(200);
        let skip = json!({"due_date": schedule.rows().last().unwrap()["due_date"]});
        for _ in 0..2 {
            home.renter.post(&format!("{autopay}/{mandate}/skip"), &skip).await.must(200);
        }
        number().await;
        assert_eq!(read(&home.renter, "action=mandate.draw_skipped").await.len(), 1);
        assert_eq!(read(&home.renter, &format!("subject_id={id}")).await.len(), 1);
        let of_account = read(&home.renter, &format!("subject_id={}", home.renter_account)).await;
        let actions: Vec<_> = of_account.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["bank_account.activated", "bank_account.deactivated", "bank_account.linked"]);
        assert_eq!(read(&home.landlord, "action=lease.extra_added").await.len(), 1);
        assert_eq!(read(&home.landlord, "action=lease.created").await.len(), 2);
    });
}
