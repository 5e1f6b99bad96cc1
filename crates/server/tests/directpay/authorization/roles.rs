//! What the roles see of each other, and what administrators do not do.

use serde_json::json;

use crate::harness::{GET, account, address, on_both, terms, with};

#[test]
fn what_is_there_for_others_cannot_be_told_from_what_is_not_there() {
    on_both(async |app| {
        let home = app.home().await;
        let payment = home.paid("rent").await.id();
        let key = home.renter.make_key(&["users:read"]).await.id();
        let stranger = app.sign_up("LANDLORD").await;
        let nothing = "01890000-0000-7000-8000-000000000000";
        for (path, id) in [
            ("/api/v1/users/{}", home.renter.id.as_str()),
            ("/api/v1/api-keys/{}", &key),
            ("/api/v1/bank-accounts/user/{}", &home.renter.id),
            ("/api/v1/properties/{}", &home.property),
            ("/api/v1/properties/landlord/{}", &home.landlord.id),
            ("/api/v1/leases/{}", &home.lease),
            ("/api/v1/leases/{}/schedule", &home.lease),
            ("/api/v1/leases/{}/balance", &home.lease),
            ("/api/v1/leases/{}/deposit", &home.lease),
            ("/api/v1/leases/{}/statement?format=CSV", &home.lease),
            ("/api/v1/leases/renter/{}", &home.renter.id),
            ("/api/v1/leases/property/{}", &home.property),
            ("/api/v1/payments/{}", &payment),
            ("/api/v1/payments/{}/history", &payment),
            ("/api/v1/payments/lease/{}", &home.lease),
        ] {
            let seen = async |id: &str| {
                let call = stranger.call(GET, &path.replace("{}", id)).header("X-Request-Id", "same");
                let answer = call.send().await.refuses(404, "not_found");
                (answer.status, answer.text)
            };
            assert_eq!(seen(id).await, seen(nothing).await, "{path}");
        }
    });
}

#[test]
fn a_landlord_and_a_renter_see_of_each_other_only_what_they_have_in_common() {
    on_both(async |app| {
        let home = app.home().await;
        let other = app.home().await;
        // The renter of the first home rents from the second landlord as well.
        let property = other.landlord.add_property().await.id();
        let common = other.landlord.sign_lease(&property, &home.renter.id).await.id();
        let of_renter = format!("/api/v1/leases/renter/{}", home.renter.id);
        assert_eq!(other.landlord.get(&of_renter).await.must(200).column("id"), [common.as_str()]);
        assert_eq!(home.renter.get(&of_renter).await.must(200).rows().len(), 2);
        other.renter.get(&of_renter).await.refuses(404, "not_found");
        // Their payments and accounts stay apart.
        home.paid("rent").await;
        assert!(other.landlord.get("/api/v1/payments/").await.must(200).rows().is_empty());
        let accounts = format!("/api/v1/bank-accounts/user/{}", home.renter.id);
        other.landlord.get(&accounts).await.refuses(404, "not_found");
        // A renter of one house sees of its leases the own ones only.
        let next = with(
            &with(&terms(&home.property, &other.renter.id), "start_date", json!("2026-07-01")),
            "end_date",
            json!("2026-12-31"),
        );
        let second = home.landlord.post("/api/v1/leases/", &next).await.must(201).id();
        let of_property = format!("/api/v1/leases/property/{}", home.property);
        assert_eq!(
            home.landlord.get(&of_property).await.must(200).column("id"),
            [second.as_str(), home.lease.as_str()]
        );
        assert_eq!(home.renter.get(&of_property).await.must(200).column("id"), [home.lease.as_str()]);
        assert_eq!(other.renter.get(&of_property).await.must(200).column("id"), [second.as_str()]);
        // Accounts of people who are not on the lease are not there.
        let rent = with(&home.rent("1.00"), "payee_account_id", json!(other.landlord_account));
        home.renter.pay("k", &rent).await.refuses_fields(&[("payee_account_id", "not_found")]);
        let lease = with(&terms(&property, &home.renter.id), "payee_account_id", json!(home.landlord_account));
        other.landlord.post("/api/v1/leases/", &lease).await.refuses_fields(&[("payee_account_id", "not_found")]);
    });
}

#[test]
fn an_administrator_reads_all_and_moves_no_money() {
    on_both(async |app| {
        let home = app.home().await;
        let admin = app.admin().await;
        admin.post("/api/v1/bank-accounts/", &account("4444")).await.refuses(403, "forbidden");
        admin.post("/api/v1/properties/", &address()).await.refuses(403, "forbidden");
        admin.post("/api/v1/leases/", &terms(&home.property, &home.renter.id)).await.refuses(403, "forbidden");
        admin.pay("k", &home.rent("1.00")).await.refuses_fields(&[("lease_id", "not_found")]);
        for list in ["/api/v1/leases/", "/api/v1/payments/"] {
            assert!(admin.get(list).await.must(200).rows().is_empty());
        }
        let path = format!("/api/v1/leases/{}/terminate", home.lease);
        admin.post(&path, &json!({"end_date": "2026-03-01"})).await.refuses(403, "forbidden");
        let path = format!("/api/v1/bank-accounts/{}/deactivate", home.renter_account);
        admin.patch(&path).await.refuses(404, "not_found");
        // Landlords do not find administrators by address.
        let found = home.landlord.get("/api/v1/users/role/ADMIN?email=admin@example.com").await.must(200);
        assert!(found.rows().is_empty());
    });
}
