//! Who may reach what: every operation of the API document × nobody, strangers, and the right party.
//!
//! The operations come from the document, so that a new endpoint cannot be forgotten: one that this table does not know
//! fails the test.

mod roles;

use std::collections::HashMap;

use directpay_domain::api_key::{Scope, Scopes};
use directpay_domain::id::{AuthorizationId, OAuthClientId};
use directpay_server::clock;
use directpay_store::oauth::authorizations::{self, NewAuthorization};
use reqwest::Method;
use serde_json::{Value, json};

use crate::document::{Operation, document, operations};
use crate::harness::{
    Answer, Home, PASSWORD, TestApp, Visitor, account, address, event_types, on_both, terms, with, without,
};

/// How strangers are kept away from one operation.
pub(crate) enum Strangers {
    /// It concerns nobody but the caller: each gets the own.
    SeeTheirOwn,
    /// It is everybody's, and says nothing of anybody.
    SeeTheSame,
    /// It lists what the caller may see, which is nothing.
    SeeNothing,
    /// For them it is not there.
    FindNothing,
    /// The bodies name things that are not there for them; another role may not even try.
    AreRefused { landlord: u16, renter: u16 },
}
use Strangers::{AreRefused, FindNothing, SeeNothing, SeeTheSame, SeeTheirOwn};

/// One operation, filled in with the things of one home.
pub(crate) struct Attempt {
    path: String,
    body: Value,
    /// Who may, and is answered so.
    pub(crate) right: Right,
    pub(crate) status: u16,
    strangers: Strangers,
}

#[derive(Clone, Copy)]
pub(crate) enum Right {
    Landlord,
    Renter,
    Admin,
}

/// How an operation is tried; none for an operation that nobody has to sign in for.
pub(crate) fn attempt(operation: &Operation, home: &Home<'_>, things: &Things) -> Option<Attempt> {
    let (landlord, renter) = (home.landlord.id.as_str(), home.renter.id.as_str());
    let (lease, property, payment) = (home.lease.as_str(), home.property.as_str(), things.payment.as_str());
    let account_id = things.spare_account.as_str();
    let none = Value::Null;
    let refused = |landlord, renter| AreRefused { landlord, renter };
    let (parameter, body, right, status, strangers) = match operation.id.as_str() {
        "create_user" | "create_token" | "revoke_token" | "read_health" | "read_readiness" => return None,
        "read_json_web_keys" => return None,
        "request_password_reset" | "confirm_password_reset" | "confirm_email" => return None,
        "create_oauth_token" | "revoke_oauth_token" | "introspect_oauth_token" | "read_authorization_server" => {
            return None;
        }
        "update_me" => ("", json!({"phone": "+1 555 010 2030"}), Right::Renter, 200, SeeTheirOwn),
        "change_password" => {
            let body = json!({"current_password": PASSWORD, "new_password": PASSWORD});
            ("", body, Right::Renter, 200, SeeTheirOwn)
        }
        "change_email" => {
            let body = json!({"email": "matrix@example.com", "password": PASSWORD});
            ("", body, Right::Renter, 202, SeeTheirOwn)
        }
        "send_email_verification" => ("", none, Right::Renter, 409, refused(409, 409)),
        "read_second_factor" => ("", none, Right::Renter, 200, SeeTheirOwn),
        "begin_second_factor" => ("", json!({"password": PASSWORD}), Right::Renter, 201, SeeTheirOwn),
        "confirm_second_factor" => ("", json!({"code": "no code"}), Right::Renter, 422, refused(422, 422)),
        "disable_second_factor" | "renew_recovery_codes" => {
            let body = json!({"password": PASSWORD, "code": "123456"});
            ("", body, Right::Renter, 409, refused(409, 409))
        }
        "remove_second_factor" => (renter, none, Right::Admin, 409, refused(403, 403)),
        "create_api_key" => {
            let body = json!({"name": "Matrix", "scopes": ["users:read"]});
            ("", body, Right::Renter, 201, SeeTheirOwn)
        }
        "list_api_keys" => ("", none, Right::Renter, 200, SeeNothing),
        "read_api_key" => (things.key.as_str(), none, Right::Renter, 200, FindNothing),
        "revoke_api_key" => (things.key.as_str(), none, Right::Admin, 200, FindNothing),
        "read_me" => ("", none, Right::Renter, 200, SeeTheirOwn),
        "read_user" => (landlord, none, Right::Renter, 200, FindNothing),
        "list_users" => ("LANDLORD", none, Right::Renter, 200, SeeNothing),
        "create_bank_account" => ("", account("777777"), Right::Renter, 201, SeeTheirOwn),
        "list_bank_accounts" => (renter, none, Right::Renter, 200, FindNothing),
        "set_primary_bank_account" | "activate_bank_account" => (account_id, none, Right::Renter, 200, FindNothing),
        "deactivate_bank_account" => (things.superfluous_account.as_str(), none, Right::Renter, 200, FindNothing),
        "create_property" => ("", address(), Right::Landlord, 201, refused(201, 403)),
        "read_property" => (property, none, Right::Landlord, 200, FindNothing),
        "list_properties" => (landlord, none, Right::Landlord, 200, FindNothing),
        "create_lease" => ("", terms(&things.empty_property, renter), Right::Landlord, 201, refused(422, 403)),
        "list_leases" | "list_payments" => ("", none, Right::Renter, 200, SeeNothing),
        "read_lease" | "read_schedule" | "list_payments_of_lease" => (lease, none, Right::Renter, 200, FindNothing),
        "read_balance" | "read_statement" | "list_charges" => (lease, none, Right::Renter, 200, FindNothing),
        "list_leases_of_renter" => (renter, none, Right::Landlord, 200, FindNothing),
        "list_leases_of_property" => (property, none, Right::Renter, 200, FindNothing),
        "terminate_lease" => {
            (things.open_ended.as_str(), json!({"end_date": "2026-03-01"}), Right::Landlord, 200, FindNothing)
        }
        "initiate_payment" => {
            let rent = with(&home.rent("1.00"), "idempotency_key", json!("matrix"));
            ("", rent, Right::Renter, 201, refused(422, 422))
        }
        "read_payment" | "read_history" => (payment, none, Right::Landlord, 200, FindNothing),
        "cancel_payment" => (payment, none, Right::Renter, 409, FindNothing),
        "retry_payment" => (payment, none, Right::Renter, 409, FindNothing),
        "read_clock" => ("", none, Right::Renter, 200, SeeTheSame),
        "advance_clock" => ("", json!({"seconds": 1}), Right::Admin, 200, refused(403, 403)),
        "read_lease_history" | "list_extras" | "read_late_fees" => (lease, none, Right::Renter, 200, FindNothing),
        "sign_mandate" => {
            let body = json!({"cap": "1", "idempotency_key": "matrix-mandate"});
            (things.unsigned.as_str(), body, Right::Renter, 201, FindNothing)
        }
        "list_mandates" => (lease, none, Right::Landlord, 200, FindNothing),
        "pause_mandate" | "resume_mandate" => (things.mandate.as_str(), none, Right::Renter, 200, FindNothing),
        "revoke_mandate" => (things.mandate.as_str(), none, Right::Renter, 200, FindNothing),
        "skip_draw" => (things.mandate.as_str(), json!({"due_date": "2090-01-01"}), Right::Renter, 422, FindNothing),
        "read_shares" => (lease, none, Right::Renter, 200, FindNothing),
        "set_shares" => (lease, json!({"shares": []}), Right::Landlord, 200, FindNothing),
        "read_quote" => (things.asked_quote.as_str(), none, Right::Renter, 200, FindNothing),
        "create_charge" => {
            let body = json!({"description": "Key", "amount": "1", "idempotency_key": "matrix-charge"});
            (lease, body, Right::Landlord, 201, FindNothing)
        }
        "grant_credit" => {
            let body = json!({"kind": "CONCESSION", "amount": "1", "reason": "x", "idempotency_key": "matrix-credit"});
            (lease, body, Right::Landlord, 201, FindNothing)
        }
        "add_extra" => {
            let body = json!({"description": "Pet", "amount": "1", "start_date": "2090-01-01", "idempotency_key": "matrix-extra"});
            (lease, body, Right::Landlord, 201, FindNothing)
        }
        "read_deposit" => (lease, none, Right::Renter, 200, FindNothing),
        // Whether or not this lease has ended by today: nothing was ever charged as a deposit.
        "return_deposit" => (lease, json!({"idempotency_key": "matrix-deposit"}), Right::Landlord, 409, FindNothing),
        "void_charge" => (
            things.charge.as_str(),
            json!({"reason": "x", "idempotency_key": "void"}),
            Right::Landlord,
            200,
            FindNothing,
        ),
        "end_extra" => (things.extra.as_str(), json!({"end_date": "2091-01-01"}), Right::Landlord, 200, FindNothing),
        "change_rent" => {
            let body = json!({"rent_amount": "1", "effective_date": "2090-01-01", "idempotency_key": "matrix-rent"});
            (lease, body, Right::Landlord, 200, FindNothing)
        }
        "set_payment_policy" => (lease, json!({"policy": "ANY", "reason": "x"}), Right::Landlord, 200, FindNothing),
        "set_charge_notice" => (lease, json!({"charge_notice_days": 30}), Right::Landlord, 200, FindNothing),
        "set_late_fees" => (lease, json!({"kind": "NONE"}), Right::Landlord, 200, FindNothing),
        "read_events" => ("", none, Right::Renter, 200, SeeNothing),
        "list_audit_entries" => ("", none, Right::Renter, 200, SeeTheirOwn),
        // It does not end: the rest is told in `feed`.
        "listen_to_events" => ("?after=x", none, Right::Renter, 400, refused(400, 400)),
        "read_rent_roll" | "read_arrears" | "read_payments_report" => {
            (things.of_landlord.as_str(), none, Right::Landlord, 200, refused(404, 403))
        }
        "read_month" => (things.month_of_landlord.as_str(), none, Right::Admin, 200, refused(404, 403)),
        "read_income" => (things.year_of_landlord.as_str(), none, Right::Landlord, 200, refused(404, 403)),
        "explain_rent_roll" | "explain_arrears" | "explain_month" | "explain_income" => {
            (things.number.as_str(), none, Right::Landlord, 200, refused(404, 403))
        }
        "create_webhook" => ("", json!({"url": "https://127.0.0.1:9/"}), Right::Renter, 201, SeeTheirOwn),
        "list_webhooks" => ("", none, Right::Renter, 200, SeeNothing),
        "read_webhook" | "pause_webhook" | "resume_webhook" | "rotate_webhook_secret" | "list_deliveries" => {
            (things.webhook.as_str(), none, Right::Renter, 200, FindNothing)
        }
        "update_webhook" => (things.webhook.as_str(), json!({"description": "x"}), Right::Renter, 200, FindNothing),
        "delete_webhook" => (things.superfluous_webhook.as_str(), none, Right::Renter, 204, FindNothing),
        "test_webhook" => (things.webhook.as_str(), none, Right::Renter, 201, FindNothing),
        "resend_range" => (things.webhook.as_str(), json!({"after": 0, "through": 9}), Right::Renter, 200, FindNothing),
        "read_delivery" | "resend_delivery" => (things.delivery.as_str(), none, Right::Renter, 200, FindNothing),
        "create_oauth_client" => ("", program(), Right::Renter, 201, SeeTheirOwn),
        "list_oauth_clients" | "list_authorizations" => ("", none, Right::Renter, 200, SeeNothing),
        "read_oauth_client" | "rotate_oauth_client_secret" => {
            (things.client.as_str(), none, Right::Renter, 200, FindNothing)
        }
        "update_oauth_client" => (things.client.as_str(), json!({"name": "x"}), Right::Renter, 200, FindNothing),
        "delete_oauth_client" => (things.superfluous_client.as_str(), none, Right::Admin, 204, FindNothing),
        "revoke_authorization" => (things.authorization.as_str(), none, Right::Renter, 204, FindNothing),
        unknown => panic!("the operation {unknown} is new: say here who may use it"),
    };
    // Several parameters stand behind each other, and so does a query behind the last.
    let (parameter, query) = parameter.split_once('?').map_or((parameter, None), |(ids, query)| (ids, Some(query)));
    let mut parameters = parameter.split(' ');
    let path = operation
        .path
        .split('/')
        .map(|part| if part.starts_with('{') { parameters.next().unwrap_or_default() } else { part });
    let mut path = path.collect::<Vec<_>>().join("/");
    path.extend(query.map(|query| format!("?{query}")));
    Some(Attempt { path, body, right, status, strangers })
}

/// A program of somebody's own.
fn program() -> Value {
    json!({"name": "Matrix", "kind": "CONFIDENTIAL", "scopes": Scope::for_programs().map(Scope::name).collect::<Vec<_>>(),
           "grants": ["client_credentials"]})
}

/// More things of the home, for operations that change something.
pub(crate) struct Things {
    payment: String,
    spare_account: String,
    superfluous_account: String,
    empty_property: String,
    open_ended: String,
    /// The lease and a charge of it, as a path has them.
    charge: String,
    /// The lease and an extra of it.
    extra: String,
    /// The lease and the query of a quote.
    asked_quote: String,
    /// A lease that goes on, without a mandate.
    unsigned: String,
    /// Another one and a mandate on it.
    mandate: String,
    /// A key of the renter's.
    key: String,
    /// Webhooks of the renter's where nobody listens; of the first, what is sent to it as well.
    webhook: String,
    superfluous_webhook: String,
    delivery: String,
    /// Programs of the renter's, and the renter's word that the first may act.
    client: String,
    superfluous_client: String,
    authorization: String,
    /// Queries of reports.
    of_landlord: String,
    month_of_landlord: String,
    year_of_landlord: String,
    /// The query for what any number of any report is made of.
    number: String,
}

impl Things {
    pub(crate) async fn of(home: &Home<'_>) -> Things {
        let property = home.landlord.add_property().await.id();
        let open_ended = without(&terms(&property, &home.renter.id), "end_date");
        let of_lease = |rest: &str| format!("/api/v1/leases/{}/{rest}", home.lease);
        let key = json!({"description": "Key", "amount": "1", "idempotency_key": "key"});
        let charge = home.landlord.post(&of_lease("charges"), &key).await.must(201).id();
        let pet = json!({"description": "Pet", "amount": "1", "start_date": "2090-01-01", "idempotency_key": "pet"});
        let extra = home.landlord.post(&of_lease("extras"), &pet).await.must(201).id();
        let goes_on = async || {
            let property = home.landlord.add_property().await.id();
            let terms = without(&terms(&property, &home.renter.id), "end_date");
            home.landlord.post("/api/v1/leases/", &terms).await.must(201).id()
        };
        let (unsigned, signed) = (goes_on().await, goes_on().await);
        let path = format!("/api/v1/leases/{signed}/autopay");
        let hook = async || {
            let body = json!({"url": "https://127.0.0.1:9/", "event_types": ["lease_terminated"]});
            home.renter.post("/api/v1/webhooks/", &body).await.must(201).id()
        };
        let (webhook, superfluous_webhook) = (hook().await, hook().await);
        let test = format!("/api/v1/webhooks/{webhook}/test");
        let delivery = home.renter.post(&test, &Value::Null).await.must(201).id();
        let client = async || home.renter.post("/api/v1/oauth/clients/", &program()).await.must(201).id();
        let (client, superfluous_client) = (client().await, client().await);
        let authorization = authorize(home, client.parse().unwrap()).await;
        let mandate = json!({"cap": "1", "idempotency_key": "mandate"});
        let mandate = home.renter.post(&path, &mandate).await.must(201).id();
        Things {
            key: home.renter.make_key(&["users:read"]).await.id(),
            delivery: format!("{webhook} {delivery}"),
            client,
            superfluous_client,
            authorization,
            webhook,
            superfluous_webhook,
            unsigned,
            mandate: format!("{signed} {mandate}"),
            charge: format!("{} {charge}", home.lease),
            extra: format!("{} {extra}", home.lease),
            asked_quote: format!("{}?amount=1", home.lease),
            of_landlord: format!("?landlord_id={}", home.landlord.id),
            month_of_landlord: format!("?landlord_id={}&month=2026-02", home.landlord.id),
            year_of_landlord: format!("?landlord_id={}&year=2026", home.landlord.id),
            number: format!("?lease_id={}&property_id={}&column=OPEN&month=2026-02", home.lease, home.property),
            payment: home.paid("paid").await.id(),
            superfluous_account: home.renter.link_account("999999").await.id(),
            spare_account: home.renter.link_account("888888").await.id(),
            empty_property: home.landlord.add_property().await.id(),
            open_ended: home.landlord.post("/api/v1/leases/", &open_ended).await.must(201).id(),
        }
    }
}

/// The renter lets a program act.
async fn authorize(home: &Home<'_>, client_id: OAuthClientId) -> String {
    let (app, id) = (home.renter.app, AuthorizationId(clock::new_id()));
    let (user_id, now_us) = (home.renter.id.parse().unwrap(), app.clock.process_us());
    let scopes = &Scopes::parse(&["users:read"]).unwrap();
    let new = NewAuthorization { id, client_id, user_id, scopes, now_us, expires_us: now_us + 3_600_000_000 };
    let mut tx = app.db().begin().await.unwrap();
    authorizations::insert(&mut tx, new).await.unwrap();
    tx.commit().await.unwrap();
    id.to_string()
}

#[test]
fn an_unrelated_person_reaches_nothing_by_any_operation_of_the_document() {
    on_both(async |app| {
        let home = app.home().await;
        let things = Things::of(&home).await;
        // Strangers have a home of their own, so that an empty answer is not empty for want of anything.
        let strangers = [app.sign_up("LANDLORD").await, app.sign_up("RENTER").await];
        let admin = app.admin().await;
        let secrets = secrets(&home, &things);
        let mut tried = 0;
        for operation in operations(&document()) {
            let Some(attempt) = attempt(&operation, &home, &things) else {
                assert!(operation.is_open, "{} must be open or be tried", operation.id);
                continue;
            };
            assert!(!operation.is_open, "{} is open to anybody", operation.id);
            let nobody = send(app, None, &operation.method, &attempt).await.refuses(401, "unauthorized");
            assert_reveals_nothing(&nobody, &secrets);
            for stranger in &strangers {
                let answer = send(app, Some(stranger), &operation.method, &attempt).await;
                assert_kept_away(&answer, stranger, &attempt, &secrets);
            }
            let right = match attempt.right {
                Right::Landlord => &home.landlord,
                Right::Renter => &home.renter,
                Right::Admin => &admin,
            };
            send(app, Some(right), &operation.method, &attempt).await.must(attempt.status);
            tried += 1;
        }
        assert!(25 <= tried, "{tried}");
        let history = home.landlord.history(&things.payment).await;
        assert_eq!(event_types(&history), ["initiated", "processing", "completed"]);
    });
}

#[test]
fn a_key_does_what_its_owner_may_within_its_scope_and_nothing_else() {
    on_both(async |app| {
        let mut keys = Vec::new();
        held_to_scopes(app, "closed_to_api_keys", &Scope::ALL, async |owner, scopes| {
            let key = owner.make_key(scopes).await;
            let acting = owner.with_key(&key);
            // A person has a few at a time; the first two are the strangers', who come again.
            keys.push((owner.token.clone(), key.id()));
            if 15 < keys.len() {
                for (token, id) in keys.drain(2..14) {
                    let path = format!("/api/v1/api-keys/{id}/revoke");
                    app.call(crate::harness::POST, &path).bearer(&token).send().await.must(200);
                }
            }
            acting
        })
        .await;
    });
}

#[test]
fn a_program_of_somebody_elses_is_held_to_its_scopes_as_a_key_is() {
    on_both(async |app| {
        let mut clients: HashMap<String, (String, String)> = HashMap::new();
        let scopes: Vec<_> = Scope::for_programs().collect();
        held_to_scopes(app, "closed_to_oauth", &scopes, async |owner, scopes| {
            if !clients.contains_key(&owner.id) {
                let made = owner.post("/api/v1/oauth/clients/", &program()).await.must(201);
                clients.insert(owner.id.clone(), (made.id(), made.text_of("client_secret")));
            }
            let (id, secret) = &clients[&owner.id];
            let scope = scopes.join(" ");
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", id.as_str()),
                ("client_secret", secret.as_str()),
                ("scope", scope.as_str()),
            ];
            let tokens = app.call(crate::harness::POST, "/oauth/token").form(&form).send().await.must(200);
            let (id, email) = (owner.id.clone(), owner.email.clone());
            Visitor { app, id, email, token: tokens.text_of("access_token"), refresh_token: String::new() }
        })
        .await;
    });
}

/// Goes through all operations with what `program` gives a person's program for these scopes.
async fn held_to_scopes<'a>(
    app: &'a TestApp,
    closed_code: &str,
    all: &[Scope],
    mut program: impl AsyncFnMut(&Visitor<'a>, &[&str]) -> Visitor<'a>,
) {
    let home = app.home().await;
    let things = Things::of(&home).await;
    let all: Vec<_> = all.iter().map(|scope| scope.name()).collect();
    let strangers = [app.sign_up("LANDLORD").await, app.sign_up("RENTER").await];
    let strangers = [program(&strangers[0], &all).await, program(&strangers[1], &all).await];
    let secrets = secrets(&home, &things);
    let (mut opened, mut closed, mut kept) = (0, 0, 0);
    for operation in operations(&document()) {
        let Some(attempt) = attempt(&operation, &home, &things) else { continue };
        let owner = match attempt.right {
            // Administrators have no programs; what they may read of reports is the landlord's.
            Right::Landlord | Right::Admin => &home.landlord,
            Right::Renter => &home.renter,
        };
        let scope = operation.scope();
        let others: Vec<_> = all.iter().copied().filter(|name| Some(*name) != scope.as_deref()).collect();
        let without = program(owner, &others).await;
        let refusal = send(app, Some(&without), &operation.method, &attempt).await;
        assert_reveals_nothing(&refusal, &secrets);
        let Some(scope) = scope else {
            refusal.refuses(403, closed_code);
            closed += 1;
            continue;
        };
        if !all.contains(&scope.as_str()) {
            refusal.refuses(403, closed_code);
            kept += 1;
            continue;
        }
        assert!(refusal.refuses(403, "insufficient_scope").text_of("detail").ends_with(&scope));
        for stranger in &strangers {
            let answer = send(app, Some(stranger), &operation.method, &attempt).await;
            assert_kept_away(&answer, stranger, &attempt, &secrets);
        }
        let with = program(owner, &[scope.as_str()]).await;
        send(app, Some(&with), &operation.method, &attempt).await.must(attempt.status);
        opened += 1;
    }
    assert!(45 <= opened + kept && closed == 24, "{opened} {kept} {closed}");
    assert_eq!(kept == 0, all.len() == Scope::ALL.len(), "{kept}");
}

pub(crate) async fn send(app: &TestApp, who: Option<&Visitor<'_>>, method: &Method, attempt: &Attempt) -> Answer {
    let mut call = app.call(method.clone(), &attempt.path);
    if let Some(visitor) = who {
        call = call.bearer(&visitor.token);
    }
    if attempt.body.is_null() { call } else { call.json(&attempt.body) }.send().await
}

fn assert_kept_away(answer: &Answer, stranger: &Visitor<'_>, attempt: &Attempt, secrets: &[String]) {
    let status = answer.status;
    let is_landlord = stranger.email.starts_with("landlord");
    let context = format!("{} to a stranger: {status} {}", answer.line, answer.text);
    match &attempt.strangers {
        SeeTheirOwn => assert!(matches!(status, 200..=202) && answer.text.contains(&stranger.id), "{context}"),
        SeeTheSame => assert_eq!(status, 200, "{context}"),
        SeeNothing => assert!(status == 200 && answer.rows().is_empty(), "{context}"),
        FindNothing => {
            answer.clone().refuses(404, "not_found");
        }
        AreRefused { landlord, renter } => {
            assert_eq!(status, if is_landlord { *landlord } else { *renter }, "{context}");
            if status == 422 {
                assert!(answer.fields().iter().any(|(_, code)| matches!(*code, "not_found" | "wrong")), "{context}");
            }
        }
    }
    assert_reveals_nothing(answer, secrets);
}

/// What a stranger must never read, although a body of the stranger's own may name the ids.
fn secrets(home: &Home<'_>, things: &Things) -> Vec<String> {
    [
        home.landlord.id.as_str(),
        home.renter.id.as_str(),
        home.landlord.email.as_str(),
        home.renter.email.as_str(),
        home.lease.as_str(),
        home.property.as_str(),
        home.renter_account.as_str(),
        home.landlord_account.as_str(),
        things.payment.as_str(),
        "1500.00",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn assert_reveals_nothing(answer: &Answer, secrets: &[String]) {
    for secret in secrets {
        assert!(!answer.text.contains(secret), "{} reveals {secret}: {}", answer.line, answer.text);
    }
}
