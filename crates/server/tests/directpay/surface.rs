//! What holds for every path: headers, trailing slashes, methods, request ids, the documentation's page.

use reqwest::Method;
use serde_json::{Value, json};

use crate::document::{document, operations, without_parameters};
use crate::harness::{Answer, GET, POST, TestApp, on_sqlite, with};

#[test]
fn every_path_works_with_and_without_its_trailing_slash() {
    on_sqlite(async |app| {
        for operation in operations(&document()) {
            let path = without_parameters(&operation.path);
            let bare = path.strip_suffix('/').unwrap_or(&path);
            let statuses = [app.call(operation.method.clone(), bare).send().await.status, {
                app.call(operation.method.clone(), &format!("{bare}/")).send().await.status
            }];
            assert_eq!(statuses[0], statuses[1], "{path}");
            assert!(!matches!(statuses[0], 404 | 405), "{path}: {statuses:?}");
        }
    });
}

#[test]
fn another_method_on_a_known_path_is_a_405_that_names_the_methods() {
    on_sqlite(async |app| {
        let operations = operations(&document());
        for operation in &operations {
            let path = without_parameters(&operation.path);
            for form in [path.clone(), format!("{}/", path.trim_end_matches('/'))] {
                // No path knows it.
                let refusal = app.call(Method::TRACE, &form).send().await.refuses(405, "method_not_allowed");
                let allow = refusal.header("allow").unwrap_or_else(|| panic!("no Allow on {form}"));
                let of_path = operations.iter().filter(|other| other.path == operation.path);
                for method in of_path.map(|other| other.method.as_str()) {
                    assert!(allow.split(',').any(|one| one.trim() == method), "{form}: {allow} lacks {method}");
                }
                assert_careful(&refusal);
            }
        }
    });
}

#[test]
fn an_unknown_path_is_a_404_problem() {
    on_sqlite(async |app| {
        for path in
            ["/", "/api", "/api/v1", "/api/v1/", "/api/v1/tenants", "/api/v1/users/me/more", "/api/v2/users/me", "/%ff"]
        {
            for method in [GET, POST, Method::DELETE] {
                assert_careful(&app.call(method, path).send().await.refuses(404, "not_found"));
            }
        }
    });
}

#[test]
fn every_answer_carries_a_request_id_and_headers_that_keep_browsers_careful() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        for answer in [
            renter.get("/api/v1/users/me").await.must(200),
            app.call(GET, "/api/v1/users/me").send().await.must(401),
            app.call(GET, "/health").send().await.must(200),
            app.call(POST, "/api/v1/users/").body("text/plain", "x").send().await.must(415),
            app.token_by_password("nobody@example.com", "x").await.must(400),
        ] {
            assert_careful(&answer);
            assert!(!answer.header("x-request-id").unwrap().is_empty());
        }
    });
}

fn assert_careful(answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} on {}", answer.line);
    }
}

#[test]
fn a_sound_request_id_is_echoed_and_any_other_replaced() {
    on_sqlite(async |app| {
        let longest = "a".repeat(128);
        for sound in ["x", "abc-1.2_3:Z", longest.as_str()] {
            let answer = app.call(GET, "/health").header("X-Request-Id", sound).send().await;
            assert_eq!(answer.header("x-request-id"), Some(sound));
            let refusal = app.call(GET, "/api/v1/users/me").header("X-Request-Id", sound).send().await;
            assert_eq!(refusal.refuses(401, "unauthorized")["request_id"], sound);
        }
        let too_long = "a".repeat(129);
        let mut seen = Vec::new();
        for unsound in [&b""[..], b"a b", b"a/b", b"\xc3\xa4", b"<script>", too_long.as_bytes()] {
            let answer = app.call(GET, "/health").header("X-Request-Id", unsound).send().await;
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
            assert!(!seen.contains(&id));
            seen.push(id);
        }
    });
}

#[test]
fn a_body_over_one_mebibyte_is_refused_and_one_below_is_read() {
    on_sqlite(async |app| {
        let long = |length: usize| vec![b' '; length];
        let send = async |path: &str, kind: &str, body: Vec<u8>| app.call(POST, path).body(kind, body).send().await;
        let form = "application/x-www-form-urlencoded";
        send("/api/v1/users/", "application/json", long(1024 * 1024)).await.refuses(400, "malformed_json");
        send("/api/v1/users/", "application/json", long(1024 * 1024 + 1)).await.refuses(413, "too_large");
        send("/api/v1/auth/token", form, long(1024 * 1024 + 1)).await.refuses(413, "too_large");
    });
}

#[test]
fn enum_values_are_read_in_any_case_and_answered_in_upper_case() {
    on_sqlite(async |app| {
        let home = app.home().await;
        for (at, rail) in ["wire", "Same_Day_Ach", "STANDARD_ach", "iNsTaNt"].iter().enumerate() {
            let body = with(&home.rent("1.00"), "rail", json!(rail));
            assert_eq!(home.renter.pay(&format!("k{at}"), &body).await.must(201)["rail"], rail.to_uppercase());
        }
        let both = with(&home.rent("1.00"), "payment_rail_type", json!("WIRE"));
        home.renter.pay("both", &both).await.refuses_fields(&[("rail", "duplicate")]);
    });
}

#[test]
fn the_documentation_is_a_page_that_works_offline() {
    on_sqlite(async |app| {
        let page = follow(app, "/docs").await;
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'self'"));
        let assets: Vec<_> = page.text.split(['"', '\'']).filter(|part| is_asset(part)).collect();
        assert!(3 <= assets.len(), "{assets:?}");
        for asset in assets {
            assert!(!asset.contains("//"), "{asset} comes from elsewhere");
            app.call(GET, &format!("/docs/{}", asset.trim_start_matches("./"))).send().await.must(200);
        }
        let initializer = app.call(GET, "/docs/swagger-initializer.js").send().await.must(200);
        assert!(initializer.text.contains("/openapi.json"), "{}", initializer.text);
    });
}

fn is_asset(part: &str) -> bool {
    [".js", ".css", ".png"].iter().any(|ending| part.ends_with(ending))
}

async fn follow(app: &TestApp, path: &str) -> Answer {
    let mut answer = app.call(GET, path).send().await;
    while let (300..400, Some(next)) = (answer.status, answer.header("location").map(str::to_owned)) {
        answer = app.call(GET, &next).send().await;
    }
    answer.must(200)
}

#[test]
fn the_document_is_served_with_and_without_a_slash() {
    on_sqlite(async |app| {
        for path in ["/openapi.json", "/openapi.json/"] {
            let served: Value = app.call(GET, path).send().await.must(200).body;
            assert_eq!(served, document(), "{path}");
        }
    });
}

#[test]
fn a_server_whose_worker_is_stuck_is_up_but_not_ready() {
    on_sqlite(async |app| {
        app.running.app.pulse.begin("stuck", 0, 0);
        app.call(GET, "/health").send().await.must(200);
        let refusal = app.call(GET, "/ready").send().await.refuses(503, "unavailable");
        assert_eq!(refusal.header("retry-after"), Some("1"));
        app.forgive();
    });
}
