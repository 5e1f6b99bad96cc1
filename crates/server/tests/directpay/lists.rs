//! Lists and histories: pages that stay what they were while rows are added, filters, and looking back.

use directpay_domain::time::Instant;
use serde_json::{Value, json};

use crate::harness::{Home, Visitor, WITHOUT_WORKERS, event_types, on_both, on_both_with, terms, with};

/// All ids of a list, page by page; `between` happens after each page.
async fn pages(who: &Visitor<'_>, list: &str, limit: usize, between: impl AsyncFn()) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let mark = if list.contains('?') { '&' } else { '?' };
        let page = who.get(&format!("{list}{mark}limit={limit}{cursor}")).await.must(200);
        assert_eq!(crate::harness::keys(&page.body), "data next_cursor");
        ids.extend(page.column("id").into_iter().map(str::to_owned));
        assert!(page.rows().len() <= limit);
        between().await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
        assert_eq!(page.rows().len(), limit, "only the last page is short");
    }
}

#[test]
fn a_list_is_newest_first_and_stable_while_rows_are_added() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let mut made = Vec::new();
        for at in 0..7 {
            made.push(home.renter.pay(&format!("k{at}"), &home.rent("1.00")).await.must(201).id());
        }
        made.reverse();
        let added = std::sync::atomic::AtomicU32::new(0);
        let add = async || {
            let at = added.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            home.renter.pay(&format!("new{at}"), &home.rent("1.00")).await.must(201);
        };
        for list in ["/api/v1/payments/".to_owned(), format!("/api/v1/payments/lease/{}", home.lease)] {
            for who in [&home.renter, &home.landlord] {
                // A row is added with each page: small limits here would make the lists long.
                for limit in [2, 5] {
                    let before = pages(who, &list, 100, async || ()).await;
                    assert!(before.ends_with(&made));
                    assert_eq!(pages(who, &list, limit, &add).await, before, "{list} by {limit}");
                }
            }
        }
    });
}

#[test]
fn every_list_has_pages() {
    on_both(async |app| {
        let home = app.home().await;
        for at in 0..4 {
            home.renter.link_account(&format!("1000{at}")).await;
            let property = home.landlord.add_property().await.id();
            home.landlord.post("/api/v1/leases/", &terms(&property, &home.renter.id)).await.must(201);
        }
        let years = async |from: i32, to: i32| {
            let body = with(&terms(&home.property, &home.renter.id), "start_date", json!(format!("{from}-01-01")));
            home.landlord
                .post("/api/v1/leases/", &with(&body, "end_date", json!(format!("{to}-12-31"))))
                .await
                .must(201);
        };
        for _ in 0..3 {
            home.renter.make_key(&["users:read"]).await;
        }
        years(2030, 2031).await;
        years(2032, 2033).await;
        let admin = app.admin().await;
        app.sign_up("RENTER").await;
        app.sign_up("RENTER").await;
        for (who, list, count) in [
            (&home.renter, format!("/api/v1/bank-accounts/user/{}", home.renter.id), 5),
            (&home.landlord, format!("/api/v1/properties/landlord/{}", home.landlord.id), 5),
            (&home.landlord, "/api/v1/leases/".to_owned(), 7),
            (&home.renter, "/api/v1/leases/".to_owned(), 7),
            (&home.landlord, format!("/api/v1/leases/renter/{}", home.renter.id), 7),
            (&home.renter, format!("/api/v1/leases/property/{}", home.property), 3),
            (&home.renter, "/api/v1/api-keys/".to_owned(), 3),
            (&home.landlord, "/api/v1/users/role/RENTER".to_owned(), 1),
            (&admin, "/api/v1/users/role/RENTER".to_owned(), 3),
        ] {
            let all = pages(who, &list, 100, async || ()).await;
            assert_eq!(all.len(), count, "{list}");
            let mut newest_first = all.clone();
            newest_first.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(all, newest_first, "{list}");
            assert_eq!(pages(who, &list, 2, async || ()).await, all, "{list}");
        }
    });
}

#[test]
fn a_page_has_fifty_rows_unless_told_otherwise() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        for at in 0..51 {
            home.renter.pay(&format!("k{at}"), &home.rent("1.00")).await.must(201);
        }
        let page = home.renter.get("/api/v1/payments/").await.must(200);
        assert_eq!(page.rows().len(), 50);
        let last = format!("/api/v1/payments/?cursor={}", page.text_of("next_cursor"));
        let last = home.renter.get(&last).await.must(200);
        assert_eq!((last.rows().len(), &last["next_cursor"]), (1, &Value::Null));
        assert_eq!(home.renter.get("/api/v1/payments/?limit=100").await.must(200).rows().len(), 51);
    });
}

#[test]
fn the_payments_of_a_lease_are_filtered_by_status_and_rail() {
    on_both(async |app| {
        let home = app.home().await;
        let broke = home.renter.link_account("000222222227").await.id();
        let pay = async |key: &str, rail: &str, account: &str| {
            let body = with(&with(&home.rent("1.00"), "rail", json!(rail)), "payer_account_id", json!(account));
            home.renter.pay(key, &body).await.must(201).id()
        };
        let instant = pay("a", "INSTANT", &home.renter_account).await;
        let wire = pay("b", "WIRE", &home.renter_account).await;
        let failed = pay("c", "WIRE", &broke).await;
        for (id, status) in [(&instant, "COMPLETED"), (&wire, "COMPLETED"), (&failed, "FAILED")] {
            home.renter.wait_until(id, status).await;
        }
        let list = format!("/api/v1/payments/lease/{}", home.lease);
        for (filter, expected) in [
            ("", vec![&failed, &wire, &instant]),
            ("?status=COMPLETED", vec![&wire, &instant]),
            ("?status=failed", vec![&failed]),
            ("?status=PENDING", vec![]),
            ("?rail=wire", vec![&failed, &wire]),
            ("?rail=WIRE&status=COMPLETED", vec![&wire]),
            ("?rail=SAME_DAY_ACH", vec![]),
        ] {
            for limit in [1, 100] {
                assert_eq!(
                    pages(&home.landlord, &format!("{list}{filter}"), limit, async || ())
                        .await
                        .iter()
                        .collect::<Vec<_>>(),
                    expected,
                    "{filter}"
                );
            }
        }
    });
}

#[test]
fn a_payment_is_found_by_its_initiators_key() {
    on_both(async |app| {
        let home = app.home().await;
        let key = "rent/2026-03?x=1&y=%25";
        let id = home.paid(key).await.id();
        let query = async |who: &Visitor<'_>, key: &str| {
            let path = format!("/api/v1/payments/?idempotency_key={key}");
            who.get(&path).await.must(200).column("id").into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let encoded = "rent%2F2026-03%3Fx%3D1%26y%3D%2525";
        assert_eq!(query(&home.renter, encoded).await, [id]);
        assert!(query(&home.renter, "RENT%2F2026-03").await.is_empty());
        // It was paid to the landlord, who did not initiate it.
        assert!(query(&home.landlord, encoded).await.is_empty());
    });
}

#[test]
fn a_history_shows_the_payment_as_it_was_at_any_time() {
    on_both(async |app| {
        let home = app.home().await;
        let broke = home.renter.link_account("000222222235").await.id();
        let body = with(&with(&home.rent("1.00"), "rail", json!("SAME_DAY_ACH")), "payer_account_id", json!(broke));
        let id = home.renter.pay("k", &body).await.must(201).id();
        crate::harness::until("it has settled twice", async || home.renter.payment(&id).await["version"] == 7).await;
        let whole = home.renter.history(&id).await;
        let events = whole["events"].as_array().unwrap();
        let statuses: Vec<_> = events.iter().map(|event| event["status"].as_str().unwrap()).collect();
        let expected = ["PENDING", "PROCESSING", "COMPLETED", "RETURNED", "PENDING", "PROCESSING", "COMPLETED"];
        assert_eq!(statuses, expected);
        assert_eq!(events[3]["reason"], json!({"code": "R01", "text": "Insufficient funds"}));
        for at in events.iter().map(|event| event["occurred_at"].as_str().unwrap()) {
            look_back(&home, &id, at, events).await;
        }
        let now = home.landlord.payment(&id).await;
        assert_eq!(whole["payment"], now.body);
        let first = Instant::parse(events[0]["occurred_at"].as_str().unwrap()).unwrap();
        let before = format!("/api/v1/payments/{id}/history?at={}", first.plus_micros(-1));
        home.renter.get(&before).await.refuses(404, "not_found");
        let later = format!("/api/v1/payments/{id}/history?at=2999-01-01T00:00:00%2B01:00");
        assert_eq!(home.renter.get(&later).await.must(200).body, whole.body);
    });
}

/// Events up to `at`, and what they add up to. Several may share a microsecond.
async fn look_back(home: &Home<'_>, id: &str, at: &str, events: &[Value]) {
    let then = home.landlord.get(&format!("/api/v1/payments/{id}/history?at={at}")).await.must(200);
    let until: Vec<_> = events.iter().filter(|event| event["occurred_at"].as_str().unwrap() <= at).cloned().collect();
    assert_eq!(then["events"], json!(until));
    assert_eq!(then["event_count"], until.len());
    assert_eq!(event_types(&then).len(), until.len());
    let (payment, last) = (&then["payment"], until.last().unwrap());
    assert_eq!((&payment["status"], &payment["version"]), (&last["status"], &last["sequence"]));
    let is_returned = last["status"] == "RETURNED";
    assert_eq!(payment["failure_code"], if is_returned { json!("R01") } else { Value::Null });
    assert_eq!(payment["id"], id);
}
