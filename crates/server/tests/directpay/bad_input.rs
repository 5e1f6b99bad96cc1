//! Bad input of every kind: each has its status, code and field, none is a 5xx, and none leaves a trace.

mod account;
mod api_keys;
mod charges;
mod clock;
mod oauth;
mod refunds;
mod reports;
mod statements;
mod webhooks;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, GET, Home, PASSWORD, PATCH, POST, TestApp, Visitor, account, address, on_both, terms, with, without,
};

/// Who sends it.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Nobody,
    Landlord,
    Renter,
}
use Who::{Landlord, Nobody, Renter};

/// What is sent.
enum Sent {
    Nothing,
    Json(Value),
    Raw(&'static str, Vec<u8>),
}
use Sent::{Json, Nothing, Raw};

/// One bad request and what it is told: status, code, and each field with its own code.
struct Case {
    who: Who,
    method: Method,
    path: String,
    sent: Sent,
    status: u16,
    code: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

#[derive(Default)]
struct Cases(Vec<Case>);

const NOTHING_ELSE: &str = "01890000-0000-7000-8000-000000000000";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

impl Cases {
    fn add(&mut self, who: Who, method: Method, path: &str, sent: Sent, status: u16, code: &'static str) -> &mut Case {
        self.0.push(Case { who, method, path: path.to_owned(), sent, status, code, fields: Vec::new() });
        self.0.last_mut().unwrap()
    }

    /// A body whose broken fields are named.
    fn invalid(&mut self, who: Who, path: &str, body: Value, fields: &[(&'static str, &'static str)]) {
        self.add(who, POST, path, Json(body), 422, "invalid").fields = fields.to_vec();
    }

    fn query(&mut self, who: Who, path: &str, field: &'static str, code: &'static str) {
        self.add(who, GET, path, Nothing, 400, "invalid_query").fields = vec![(field, code)];
    }

    fn raw(
        &mut self,
        who: Who,
        path: &str,
        body: &str,
        status: u16,
        code: &'static str,
        fields: &[(&'static str, &'static str)],
    ) {
        self.add(who, POST, path, Raw(JSON, body.into()), status, code).fields = fields.to_vec();
    }
}

#[test]
fn bad_input_is_refused_with_its_reason_and_leaves_no_trace() {
    on_both(async |app| {
        let home = app.home().await;
        let paid = home.paid("paid").await.id();
        let mut cases = Cases::default();
        bodies(&mut cases);
        people(&mut cases, &home);
        accounts(&mut cases, &home);
        properties(&mut cases);
        leases(&mut cases, &home);
        charges::charges(&mut cases, &home);
        charges::rules(&mut cases, &home);
        payments(&mut cases, &home, &paid);
        refunds::refunds(&mut cases, &home, &paid);
        refunds::deposits(&mut cases, &home);
        queries(&mut cases, &home, &paid);
        statements::add(&mut cases, &home);
        reports::add(&mut cases, &home);
        paths(&mut cases);
        tokens(&mut cases);
        clock::add(&mut cases);
        api_keys::add(&mut cases);
        webhooks::add(&mut cases);
        oauth::add(&mut cases);
        account::add(&mut cases, &home);
        println!("{} kinds of bad input", cases.0.len());
        assert!(60 <= cases.0.len());
        app.come_to_rest().await;
        let mut before = app.contents_but_the_trail().await;
        let mut wrong = Vec::new();
        for case in &cases.0 {
            let answer = send(app, &home, case).await;
            wrong.extend(judge(case, &answer));
            let after = app.contents_but_the_trail().await;
            if before != after {
                wrong.push(format!("{} leaves a trace", case.told()));
            }
            before = after;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

impl Case {
    fn told(&self) -> String {
        let body = match &self.sent {
            Nothing => String::new(),
            Json(body) => body.to_string(),
            Raw(_, body) => String::from_utf8_lossy(body).into_owned(),
        };
        format!("{} {} {}", self.method, self.path, body.chars().take(300).collect::<String>())
    }
}

/// What is not as the table says.
fn judge(case: &Case, answer: &Answer) -> Option<String> {
    let wrong = format!("{} -> {} {}", case.told(), answer.status, answer.text);
    let as_told = match case.code.strip_prefix("oauth:") {
        Some(error) => answer["error"] == error && answer["error_description"].is_string(),
        None => answer["code"] == case.code && answer.fields() == case.fields,
    };
    if answer.status != case.status || !as_told {
        return Some(wrong);
    }
    if !case.code.starts_with("oauth:") {
        answer.clone().refuses(case.status, case.code);
    }
    None
}

async fn send(app: &TestApp, home: &Home<'_>, case: &Case) -> Answer {
    let as_visitor = |visitor: &Visitor<'_>| visitor.token.clone();
    let mut call = app.call(case.method.clone(), &case.path);
    call = match case.who {
        Nobody => call,
        Landlord => call.bearer(&as_visitor(&home.landlord)),
        Renter => call.bearer(&as_visitor(&home.renter)),
    };
    let takes_a_key = ["/api/v1/payments/", "/charges", "/credits", "/extras", "/deposit-return"];
    if takes_a_key.iter().any(|part| case.path.contains(part)) && case.method == POST {
        call = call.header("Idempotency-Key", "a-key-of-its-own");
    }
    match &case.sent {
        Nothing => call,
        Json(body) => call.json(body),
        Raw(kind, body) => call.body(kind, body.clone()),
    }
    .send()
    .await
}

/// What is no JSON object at all.
fn bodies(cases: &mut Cases) {
    let users = "/api/v1/users/";
    for body in ["", " ", "{", "{\"email\":", "nonsense", "[]", "[1]", "null", "true", "\"text\"", "12", "{'a': 1}"] {
        cases.raw(Nobody, users, body, 400, "malformed_json", &[]);
    }
    // A list in the order of the fields is no object either.
    cases.raw(
        Landlord,
        "/api/v1/properties/",
        r#"[null, "1 A St", null, "Albany", "NY", "12207", null]"#,
        400,
        "malformed_json",
        &[],
    );
    let good = address().to_string();
    for rest in ["x", "{}", ","] {
        cases.raw(Landlord, "/api/v1/properties/", &format!("{good}{rest}"), 400, "malformed_json", &[]);
    }
    let deep = format!(
        "{{\"lease_id\": \"x\", \"amount\": 1, \"metadata\": {{\"a\": {}1{}}}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    cases.raw(Renter, "/api/v1/payments/", &deep, 400, "malformed_json", &[]);
    cases.add(Nobody, POST, users, Raw(JSON, b"{\"email\": \"\xff\xfe\"}".to_vec()), 400, "malformed_json");
    cases.add(Nobody, POST, users, Raw(JSON, vec![b' '; 1024 * 1024 + 1]), 413, "too_large");
    cases.add(Nobody, POST, users, Raw("text/plain", b"{}".to_vec()), 415, "unsupported_media_type");
    cases.add(Nobody, POST, users, Raw(FORM, b"email=a".to_vec()), 415, "unsupported_media_type");
    cases.add(Nobody, POST, users, Nothing, 415, "unsupported_media_type");
}

fn people(cases: &mut Cases, home: &Home<'_>) {
    let path = "/api/v1/users/";
    let good = json!({"email": "new@example.com", "password": PASSWORD, "full_name": "New", "role": "RENTER"});
    let long_mail = format!("{}@example.com", "a".repeat(250));
    for (field, value, code) in [
        ("email", json!("nobody"), "malformed"),
        ("email", json!("a b@example.com"), "malformed"),
        ("email", json!("a@localhost"), "malformed"),
        ("email", json!(""), "required"),
        ("email", json!(long_mail), "too_long"),
        ("email", json!("a\u{0}@example.com"), "malformed"),
        ("email", json!(7), "wrong_type"),
        ("email", Value::Null, "wrong_type"),
        ("password", json!("fourteen chars"), "too_short"),
        ("password", json!("x".repeat(129)), "too_long"),
        ("password", json!("passwordpassword"), "too_common"),
        ("password", json!("with a \u{7} bell in it"), "control_character"),
        ("password", json!(123_456_789_012_345_i64), "wrong_type"),
        ("full_name", json!("   "), "required"),
        ("full_name", json!("n".repeat(201)), "too_long"),
        ("full_name", json!("a\nb"), "control_character"),
        ("role", json!("ADMIN"), "unknown"),
        ("role", json!("TENANT"), "unknown"),
        ("phone", json!("call me"), "malformed"),
        ("phone", json!("123"), "too_short"),
        ("phone", json!("1".repeat(16)), "too_long"),
        ("admin", json!(true), "unknown_field"),
    ] {
        cases.invalid(Nobody, path, with(&good, field, value), &[(field, code)]);
    }
    for field in ["email", "password", "full_name", "role"] {
        cases.invalid(Nobody, path, without(&good, field), &[(field, "required")]);
    }
    let all_at_once = json!({"email": "x", "password": "y", "full_name": "", "role": "z", "phone": "-"});
    let codes = [
        ("email", "malformed"),
        ("password", "too_short"),
        ("full_name", "required"),
        ("role", "unknown"),
        ("phone", "required"),
    ];
    cases.invalid(Nobody, path, all_at_once, &codes);
    let twice = r#"{"email": "a@example.com", "email": "b@example.com"}"#;
    cases.raw(Nobody, path, twice, 422, "invalid", &[("email", "duplicate")]);
    let taken = with(&good, "email", json!(home.renter.email.to_uppercase()));
    cases.add(Nobody, POST, path, Json(taken), 409, "email_taken");
}

fn accounts(cases: &mut Cases, home: &Home<'_>) {
    let path = "/api/v1/bank-accounts/";
    let good = account("900000000001");
    for (field, value, code) in [
        ("routing_number", json!("021000022"), "bad_check_digit"),
        ("routing_number", json!("02100002"), "malformed"),
        ("routing_number", json!("0210 0002"), "malformed"),
        ("routing_number", json!("000000000"), "unknown"),
        ("routing_number", json!(21_000_021), "wrong_type"),
        ("account_number", json!("123"), "too_short"),
        ("account_number", json!("1".repeat(18)), "too_long"),
        ("account_number", json!("12-34"), "malformed"),
        ("account_number", json!(""), "required"),
        ("account_number", json!(900_000_000_001_i64), "wrong_type"),
        ("account_type", json!("CURRENT"), "unknown"),
        ("bank_name", json!("\u{202e}knaB"), "control_character"),
        ("account_holder_name", json!(""), "required"),
        ("is_primary", json!("yes"), "wrong_type"),
        ("iban", json!("DE"), "unknown_field"),
    ] {
        cases.invalid(Renter, path, with(&good, field, value), &[(field, code)]);
    }
    cases.add(Renter, POST, path, Json(account(crate::harness::GOOD_ACCOUNT)), 409, "already_linked");
    for id in [&home.landlord_account, NOTHING_ELSE, "7"] {
        for action in ["set-primary", "activate", "deactivate"] {
            cases.add(Renter, PATCH, &format!("/api/v1/bank-accounts/{id}/{action}"), Nothing, 404, "not_found");
        }
    }
}

fn properties(cases: &mut Cases) {
    let path = "/api/v1/properties/";
    for (field, value, code) in [
        ("state", json!("ZZ"), "unknown"),
        ("state", json!("New York"), "unknown"),
        ("zip_code", json!("1234"), "malformed"),
        ("zip_code", json!("12345-678"), "malformed"),
        ("zip_code", json!(12207), "wrong_type"),
        ("address", json!("\t"), "required"),
        ("city", json!("c".repeat(201)), "too_long"),
        ("unit", json!(""), "required"),
        ("time_zone", json!("Mars/Olympus"), "unknown"),
        ("landlord_id", json!(NOTHING_ELSE), "unknown_field"),
    ] {
        cases.invalid(Landlord, path, with(&address(), field, value), &[(field, code)]);
    }
    cases.add(Renter, POST, path, Json(address()), 403, "forbidden");
}

fn leases(cases: &mut Cases, home: &Home<'_>) {
    let path = "/api/v1/leases/";
    let good = terms(&home.property, &home.renter.id);
    for (field, value, code) in [
        ("property_id", json!(NOTHING_ELSE), "not_found"),
        ("property_id", json!("house"), "malformed"),
        ("renter_id", json!(NOTHING_ELSE), "not_found"),
        ("renter_id", json!(home.landlord.id), "not_found"),
        ("renter_id", json!(5), "wrong_type"),
        ("payee_account_id", json!(home.renter_account), "not_found"),
        ("rent_amount", json!("0"), "not_positive"),
        ("rent_amount", json!("100000000.00"), "too_large"),
        ("rent_amount", json!("1.005"), "too_precise"),
        ("rent_amount", json!("ten"), "malformed"),
        ("rent_amount", json!([1]), "wrong_type"),
        ("rent_amount", Value::Null, "wrong_type"),
        ("payment_due_day", json!(0), "out_of_range"),
        ("payment_due_day", json!(32), "out_of_range"),
        ("payment_due_day", json!("1"), "wrong_type"),
        ("payment_due_day", json!(1.5), "wrong_type"),
        ("start_date", json!("2026-02-30"), "malformed"),
        ("start_date", json!("17.01.2026"), "malformed"),
        ("start_date", json!("0001-01-01"), "out_of_range"),
        ("end_date", json!("2026-01-16"), "before_start"),
        ("end_date", json!("9999-12-31"), "out_of_range"),
        ("currency", json!("EUR"), "currency_not_carried"),
        ("currency", json!("XXQ"), "unknown"),
        ("first_period", json!("SOME"), "unknown"),
        ("last_period", json!("NONE"), "unknown"),
        ("proration", json!("MONTHLY"), "unknown"),
        ("charge_notice_days", json!(91), "out_of_range"),
        ("deposit", json!("1"), "unknown_field"),
    ] {
        cases.invalid(Landlord, path, with(&good, field, value), &[(field, code)]);
    }
    cases.invalid(Landlord, path, without(&good, "renter_id"), &[("renter_id", "required")]);
    cases.invalid(Landlord, path, with(&good, "renter_ids", json!([home.renter.id])), &[("renter_ids", "ambiguous")]);
    let two = with(&without(&good, "renter_id"), "renter_ids", json!([home.renter.id, NOTHING_ELSE]));
    cases.invalid(Landlord, path, two, &[("renter_ids", "not_found")]);
    let wrong = with(&without(&good, "renter_id"), "renter_ids", json!([7]));
    cases.invalid(Landlord, path, wrong, &[("renter_ids[0]", "wrong_type")]);
    cases.add(Landlord, POST, path, Json(good.clone()), 409, "leases_overlap");
    cases.add(Renter, POST, path, Json(good), 403, "forbidden");
    let end = |id: &str| format!("/api/v1/leases/{id}/terminate");
    cases.invalid(Landlord, &end(&home.lease), json!({"end_date": "soon"}), &[("end_date", "malformed")]);
    cases.invalid(Landlord, &end(&home.lease), json!({}), &[("end_date", "required")]);
    cases.raw(Landlord, &end(&home.lease), r#"["2026-03-01"]"#, 400, "malformed_json", &[]);
    cases.add(Landlord, POST, &end(NOTHING_ELSE), Json(json!({"end_date": "2026-03-01"})), 404, "not_found");
    cases.add(Renter, POST, &end(&home.lease), Json(json!({"end_date": "2026-03-01"})), 403, "forbidden");
}

fn payments(cases: &mut Cases, home: &Home<'_>, paid: &str) {
    let path = "/api/v1/payments/";
    let good = home.rent("1.00");
    for (field, value, code) in [
        ("lease_id", json!(NOTHING_ELSE), "not_found"),
        ("lease_id", json!("x"), "malformed"),
        ("lease_id", json!("\u{0}"), "malformed"),
        ("lease_id", Value::Null, "wrong_type"),
        ("amount", json!("1.234"), "too_precise"),
        ("amount", json!("NaN"), "malformed"),
        ("amount", json!("1e3"), "malformed"),
        ("amount", json!("-1.00"), "not_positive"),
        ("amount", json!("+1.00"), "malformed"),
        ("amount", json!(" 1.00"), "malformed"),
        ("amount", json!("1,00"), "malformed"),
        ("amount", json!(""), "malformed"),
        ("amount", json!("0.00"), "not_positive"),
        ("amount", json!(0), "not_positive"),
        ("amount", json!(-5), "not_positive"),
        ("amount", json!(1.005), "too_precise"),
        ("amount", json!("99999999999999999999"), "too_large"),
        ("amount", json!("10000000.01"), "over_rail_limit"),
        ("amount", json!(true), "wrong_type"),
        ("amount", Value::Null, "wrong_type"),
        ("rail", json!("PIGEON"), "unknown"),
        ("rail", json!(1), "wrong_type"),
        ("payer_account_id", json!(home.landlord_account), "not_found"),
        ("payer_account_id", json!(NOTHING_ELSE), "not_found"),
        ("payee_account_id", json!(home.renter_account), "not_found"),
        ("payee_account_id", json!("mine"), "malformed"),
        ("currency", json!("EUR"), "differs_from_lease"),
        ("currency", json!("DOLLAR"), "unknown"),
        ("metadata", json!("text"), "wrong_type"),
        ("metadata", json!([1]), "wrong_type"),
        ("metadata", json!({"a": "x".repeat(4096)}), "too_long"),
        ("metadata", json!({"a": "\u{0}"}), "malformed"),
        ("metadata", json!({"a": (0..32).fold(json!(1), |inner, _| json!([inner]))}), "too_deep"),
        ("metadata", Value::Object((0..51).map(|n| (n.to_string(), json!(n))).collect()), "too_many_keys"),
        ("idempotency_key", json!(5), "wrong_type"),
        ("status", json!("COMPLETED"), "unknown_field"),
    ] {
        cases.invalid(Renter, path, with(&good, field, value), &[(field, code)]);
    }
    for (rail, amount) in [("SAME_DAY_ACH", "1000000.01"), ("STANDARD_ACH", "100000000.00"), ("WIRE", "10000000000.00")]
    {
        let body = with(&home.rent(amount), "rail", json!(rail));
        cases.invalid(Renter, path, body, &[("amount", "over_rail_limit")]);
    }
    let twice = |inner: &str| format!("{{\"lease_id\": \"{}\", \"amount\": \"1.00\", {inner}}}", home.lease);
    cases.raw(Renter, path, &twice(r#""amount": "2.00""#), 422, "invalid", &[("amount", "duplicate")]);
    cases.raw(Renter, path, &twice(r#""metadata": {"a": 1, "a": 1}"#), 422, "invalid", &[("metadata", "duplicate")]);
    cases.raw(
        Renter,
        path,
        &twice(r#""metadata": {"a": {"b": 1, "b": 1}}"#),
        422,
        "invalid",
        &[("metadata.a", "duplicate")],
    );
    let exponent = format!("{{\"lease_id\": \"{}\", \"amount\": 1e3}}", home.lease);
    cases.raw(Renter, path, &exponent, 422, "invalid", &[("amount", "malformed")]);
    let all_at_once = with(&with(&with(&good, "amount", json!("x")), "rail", json!("y")), "currency", json!("z"));
    cases.invalid(Renter, path, all_at_once, &[("currency", "unknown"), ("amount", "malformed"), ("rail", "unknown")]);
    for action in ["cancel", "retry"] {
        cases.add(Renter, POST, &format!("/api/v1/payments/{paid}/{action}"), Nothing, 409, "wrong_status");
        cases.add(Landlord, POST, &format!("/api/v1/payments/{paid}/{action}"), Nothing, 403, "forbidden");
        cases.add(Renter, POST, &format!("/api/v1/payments/{NOTHING_ELSE}/{action}"), Nothing, 404, "not_found");
    }
}

fn queries(cases: &mut Cases, home: &Home<'_>, paid: &str) {
    let of_lease = format!("/api/v1/payments/lease/{}", home.lease);
    for list in ["/api/v1/payments/", "/api/v1/leases/", &of_lease] {
        for limit in ["0", "101", "-1", "x", "", "1.5", "99999999999999999999"] {
            cases.query(Renter, &format!("{list}?limit={limit}"), "limit", "out_of_range");
        }
        for cursor in ["x", "", "AAAA", "%00"] {
            cases.query(Renter, &format!("{list}?cursor={cursor}"), "cursor", "malformed");
        }
        cases.query(Renter, &format!("{list}?limit=1&limit=2"), "query", "malformed");
    }
    cases.query(Renter, &format!("{of_lease}?status=PAID"), "status", "unknown");
    cases.query(Renter, &format!("{of_lease}?rail=PIGEON"), "rail", "unknown");
    cases.query(Renter, "/api/v1/payments/?idempotency_key=", "idempotency_key", "idempotency_key_invalid");
    cases.query(Renter, "/api/v1/payments/?idempotency_key=a%20b", "idempotency_key", "idempotency_key_invalid");
    cases.query(Landlord, "/api/v1/users/role/RENTER?email=nobody", "email", "malformed");
    for at in ["yesterday", "2026-03-01", "2026-03-01T12:00:00", "", "99999-01-01T00:00:00Z"] {
        cases.query(Renter, &format!("/api/v1/payments/{paid}/history?at={at}"), "at", "malformed");
    }
}

fn paths(cases: &mut Cases) {
    for path in [
        "/api/v1/users/7",
        "/api/v1/users/%00",
        "/api/v1/users/%ff",
        "/api/v1/users/role/TENANT",
        "/api/v1/bank-accounts/user/x",
        "/api/v1/properties/../users/me",
        "/api/v1/properties/landlord/x",
        "/api/v1/leases/x/schedule",
        "/api/v1/leases/x/charges",
        "/api/v1/leases/renter/x",
        "/api/v1/leases/property/x",
        "/api/v1/payments/lease/x",
        "/api/v1/payments/x/history",
        &format!("/api/v1/payments/{NOTHING_ELSE}"),
        &format!("/api/v1/leases/{NOTHING_ELSE}"),
        &format!("/api/v1/payments/{}", "a".repeat(5000)),
    ] {
        // A client resolves `..` by itself.
        if !path.contains("..") {
            cases.add(Renter, GET, path, Nothing, 404, "not_found");
        }
    }
}

fn tokens(cases: &mut Cases) {
    let (token, revoke) = ("/api/v1/auth/token", "/api/v1/auth/revoke");
    for (path, form, error) in [
        (token, "", "oauth:invalid_request"),
        (token, "grant_type=password", "oauth:invalid_request"),
        (token, "grant_type=password&username=a%40example.com", "oauth:invalid_request"),
        (token, "grant_type=refresh_token", "oauth:invalid_request"),
        (token, "grant_type=client_credentials", "oauth:unsupported_grant_type"),
        (token, "grant_type=password&grant_type=password", "oauth:invalid_request"),
        (token, "grant_type=password&username=a%40example.com&password=x", "oauth:invalid_grant"),
        (token, "grant_type=password&username=%00&password=%00", "oauth:invalid_grant"),
        (token, "grant_type=password&username=%ff&password=%ff", "oauth:invalid_grant"),
        (token, "grant_type=refresh_token&refresh_token=made-up", "oauth:invalid_grant"),
        (token, "grant_type=refresh_token&refresh_token=%00", "oauth:invalid_grant"),
        (revoke, "", "oauth:invalid_request"),
        (revoke, "token=a&token=b", "oauth:invalid_request"),
    ] {
        cases.add(Nobody, POST, path, Raw(FORM, form.into()), 400, error);
    }
    cases.add(Nobody, POST, token, Json(json!({"grant_type": "password"})), 415, "unsupported_media_type");
}
