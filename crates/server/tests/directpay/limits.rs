//! How much each may ask for, and what is said about it.

use std::num::NonZeroU32;

use directpay_server::config::LimitArgs;
use serde_json::json;

use crate::harness::{AT_ONCE, Answer, GET, PASSWORD, POST, Setting, on_both_with, on_sqlite};

const ME: &str = "/api/v1/users/me";
const RENT_ROLL: &str = "/api/v1/reports/rent-roll";

const fn few(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// One request more in fifteen seconds, or less often: stories end before that.
const LIMITED: Setting = Setting {
    limits: LimitArgs { limit_per_user: few(4), limit_per_key: few(3), limit_reports: few(2), ..LimitArgs::DEFAULT },
    ..AT_ONCE
};

/// The tests are the proxy.
const BEHIND_A_PROXY: Setting = Setting {
    limits: LimitArgs { limit_sign_ins: few(3), limit_per_address: few(20), ..LimitArgs::DEFAULT },
    trusted_proxies: &["127.0.0.1/32"],
    ..AT_ONCE
};

fn told<'a>(answer: &'a Answer, header: &str) -> &'a str {
    answer.header(header).unwrap_or_else(|| panic!("{header} is not in {:?}", answer.headers))
}

fn assert_over(answer: Answer, limit: &str) {
    let answer = answer.refuses(429, "too_many_requests");
    let wait: u64 = told(&answer, "retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(told(&answer, "ratelimit").ends_with(&format!("\"{limit}\";r=0;t={wait}")), "{:?}", answer.headers);
    assert!(answer["detail"].as_str().unwrap().contains(limit), "{}", answer.text);
}

#[test]
fn a_person_and_a_key_may_ask_for_so_much_and_are_told_how_much_is_left() {
    on_both_with(LIMITED, async |app| {
        let [landlord, other] = [app.sign_up("LANDLORD").await, app.sign_up("LANDLORD").await];
        let first = landlord.make_key(&["users:read", "properties:write"]).await;
        assert_eq!(told(&first, "ratelimit-policy"), "\"address\";q=6000;w=60, \"user\";q=4;w=60");
        assert!(told(&first, "ratelimit").contains("\"user\";r=3;t=15"), "{:?}", first.headers);
        let second = landlord.make_key(&["users:read"]).await;
        for left in [1, 0] {
            let answer = landlord.get(ME).await.must(200);
            assert!(told(&answer, "ratelimit").contains(&format!("\"user\";r={left};t=")), "{:?}", answer.headers);
        }
        assert_over(landlord.get(ME).await, "user");
        // Each key counts for itself, and so does everybody else.
        for key in [&first, &second] {
            let program = landlord.with_key(key);
            for _ in 0..3 {
                program.get(ME).await.must(200);
            }
            assert_over(program.get(ME).await, "key");
        }
        other.get(ME).await.must(200);
        // What was refused was not done.
        let program = landlord.with_key(&first);
        let before = app.contents().await["properties"].clone();
        assert_over(program.post("/api/v1/properties/", &crate::harness::address()).await, "key");
        assert_eq!(app.contents().await["properties"], before);
    });
}

#[test]
fn what_costs_much_has_a_limit_of_its_own_for_all_who_act_for_one() {
    on_both_with(LIMITED, async |app| {
        let landlord = app.sign_up("LANDLORD").await;
        let program = landlord.program(&["reports:read"]).await;
        let answer = landlord.get(RENT_ROLL).await.must(200);
        assert!(told(&answer, "ratelimit").contains("\"report\";r=1;t=30"), "{:?}", answer.headers);
        program.get(RENT_ROLL).await.must(200);
        assert_over(landlord.get(RENT_ROLL).await, "report");
        assert_over(program.get(RENT_ROLL).await, "report");
        landlord.get(ME).await.must(200);
    });
}

#[test]
fn addresses_are_told_apart_behind_a_trusted_proxy() {
    on_both_with(BEHIND_A_PROXY, async |app| {
        let sign_in = async |forwarded: &str| {
            let form = [("grant_type", "password"), ("username", "nobody@example.com"), ("password", PASSWORD)];
            let call = app.call(POST, "/api/v1/auth/token").header("X-Forwarded-For", forwarded);
            call.form(&form).send().await
        };
        for made_up in ["198.51.100.7", "1.2.3.4, 198.51.100.7", "5.6.7.8, 198.51.100.7"] {
            assert_eq!(sign_in(made_up).await.status, 400);
        }
        assert_over(sign_in("9.9.9.9, 198.51.100.7").await, "sign-in");
        assert_eq!(sign_in("198.51.100.8").await.status, 400);
        // A household of IPv6 is one.
        for host in 1..=3 {
            assert_eq!(sign_in(&format!("2001:db8::{host}")).await.status, 400);
        }
        assert_over(sign_in("2001:db8::4").await, "sign-in");
        assert_eq!(sign_in("2001:db8:0:1::1").await.status, 400);

        let ask = async || app.call(GET, ME).header("X-Forwarded-For", "203.0.113.1").send().await;
        for _ in 0..20 {
            assert_eq!(ask().await.status, 401);
        }
        assert_over(ask().await, "address");
        app.call(GET, "/health").header("X-Forwarded-For", "203.0.113.1").send().await.must(200);
    });
}

#[test]
fn without_a_trusted_proxy_nobody_makes_addresses_up() {
    let alone = Setting { trusted_proxies: &["10.0.0.0/8"], ..BEHIND_A_PROXY };
    on_both_with(alone, async |app| {
        for host in 1..=20 {
            let from = format!("198.51.100.{host}");
            assert_eq!(app.call(GET, ME).header("X-Forwarded-For", from).send().await.status, 401);
        }
        assert_over(app.call(GET, ME).header("X-Forwarded-For", "198.51.100.21").send().await, "address");
    });
}

#[test]
fn beyond_what_is_worked_on_at_once_requests_are_sent_away() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        assert!(renter.get(ME).await.must(200).header("ratelimit").is_none(), "limits are off");
        let limits = &app.running.app.limits;
        let mut places: Vec<_> = std::iter::from_fn(|| limits.take_place()).collect();
        assert_eq!(places.len(), 4096);
        let refused = renter.get(ME).await.refuses(503, "unavailable");
        assert_eq!(told(&refused, "retry-after"), "1");
        // Whoever looks whether the process lives is answered.
        app.call(GET, "/ready").send().await.must(200);
        places.pop();
        renter.get(ME).await.must(200);
        renter.get(ME).await.must(200);
        app.forgive();
        assert_eq!(app.metrics().await.of("directpay_requests_shed_total", &[]), 2.0);
    });
}

#[test]
fn nobody_uses_up_the_requests_of_a_program_that_proves_nothing() {
    const FEW_BEHIND_A_PROXY: Setting = Setting {
        limits: LimitArgs { limit_per_key: few(2), ..LimitArgs::DEFAULT },
        trusted_proxies: &["127.0.0.1/32"],
        ..AT_ONCE
    };
    on_both_with(FEW_BEHIND_A_PROXY, async |app| {
        let developer = app.sign_up("LANDLORD").await;
        let public = json!({"name": "Pocket", "kind": "PUBLIC", "scopes": ["leases:read"],
                            "redirect_uris": ["http://127.0.0.1/cb"]});
        let public = developer.post("/api/v1/oauth/clients/", &public).await.must(201).id();
        let form = [("token", "x"), ("client_id", public.as_str())];
        let ask = async |from: &str| {
            app.call(POST, "/oauth/revoke").header("X-Forwarded-For", from).form(&form).send().await.status
        };
        for expected in [200, 200, 429] {
            assert_eq!(ask("203.0.113.1").await, expected);
        }
        assert_eq!(ask("203.0.113.2").await, 200);
    });
}
