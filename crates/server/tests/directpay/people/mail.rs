//! The outbox: mail goes out whatever happens to the mail server, and says nothing that anybody else wrote.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{AT_ONCE, MailServer, PASSWORD, POST, Setting, TestApp, on_both, on_both_with, on_sqlite, until};

const RESET: &str = "/api/v1/auth/password-reset";

async fn sign_up(app: &TestApp, full_name: &str) -> String {
    let email = format!("mail-{}@example.com", app.clock.process_us());
    let body = json!({"email": email, "password": PASSWORD, "full_name": full_name, "role": "RENTER"});
    app.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
    email
}

async fn make_due(app: &TestApp) {
    let mut tx = app.db().begin().await.unwrap();
    tx.execute("UPDATE outgoing_mail SET due_at = 0", ()).await.unwrap();
    tx.commit().await.unwrap();
    app.running.app.mail.bell.ring();
}

async fn count(app: &TestApp, outcome: &str) -> f64 {
    app.metrics().await.of("directpay_mail_tries_total", &[("outcome", outcome)])
}

#[test]
fn a_real_mail_arrives_by_smtp_plain_and_without_a_word_that_somebody_typed() {
    let server = MailServer::start();
    on_both_with(Setting { mail_server: Some(server.address), ..AT_ONCE }, async |app| {
        let email = sign_up(app, "Win a prize at evil.example").await;
        let mail = server.wait_for(&email, 1).await.remove(0);
        for line in [
            "From: Rent <rent@example.com>",
            &format!("To: {email}"),
            "Subject: Confirm your e-mail address",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 7bit",
        ] {
            assert!(mail.contains(&format!("\r\n{line}\r\n")), "{line} is not in {mail}");
        }
        assert!(mail.contains("\r\nDate: ") && mail.contains("@example.com>\r\n"), "{mail}");
        assert!(mail.contains("https://rent.example.com/confirm-email#token="), "{mail}");
        assert!(!mail.contains("evil.example"), "{mail}");
        app.come_to_rest().await;
        assert_eq!(count(app, "sent").await, 1.0);
    });
}

#[test]
fn a_mail_server_that_cannot_now_is_asked_again_and_gets_the_same_mail() {
    let server = MailServer::start();
    on_both_with(Setting { mail_server: Some(server.address), ..AT_ONCE }, async |app| {
        server.answer(&["451 try again later", "535 who are you"]);
        let email = sign_up(app, "Rosa").await;
        for times in [1.0, 2.0] {
            until("the mail is put off", async || count(app, "put_off").await == times).await;
            let row = app.contents().await["outgoing_mail"].clone();
            assert!(!row.is_empty() && !row.contains("@"), "{row}");
            make_due(app).await;
        }
        server.wait_for(&email, 1).await;
        app.come_to_rest().await;
        assert_eq!((count(app, "sent").await, count(app, "given_up").await), (1.0, 0.0));
    });
}

#[test]
fn what_is_refused_for_good_or_too_late_is_given_up_and_holds_nothing_up() {
    let server = MailServer::start();
    on_both_with(Setting { mail_server: Some(server.address), ..AT_ONCE }, async |app| {
        server.answer(&["550 no such mailbox"]);
        let refused = sign_up(app, "Rosa").await;
        until("the mail is given up", async || count(app, "given_up").await == 1.0).await;
        server.answer(&["451 try again later"]);
        let late = sign_up(app, "Rosa").await;
        until("the mail is put off", async || count(app, "put_off").await == 1.0).await;
        let mut tx = app.db().begin().await.unwrap();
        tx.execute("UPDATE outgoing_mail SET expires_at = 1", ()).await.unwrap();
        tx.commit().await.unwrap();
        make_due(app).await;
        until("the late mail is given up", async || count(app, "given_up").await == 2.0).await;
        let fine = sign_up(app, "Rosa").await;
        server.wait_for(&fine, 1).await;
        app.come_to_rest().await;
        assert!(!server.mails().iter().any(|mail| mail.contains(&refused) || mail.contains(&late)));
    });
}

#[test]
fn mail_is_written_with_what_causes_it_or_not_at_all() {
    on_both_with(Setting { workers: false, ..AT_ONCE }, async |app| {
        let renter = app.sign_up("RENTER").await;
        let waiting = async || app.contents().await["outgoing_mail"].lines().count();
        let body = json!({"current_password": "not the right password", "new_password": "seven purple bicycles"});
        renter.post("/api/v1/users/me/password", &body).await.must(422);
        assert_eq!(waiting().await, 0);
        let body = json!({"current_password": PASSWORD, "new_password": "seven purple bicycles"});
        renter.post("/api/v1/users/me/password", &body).await.must(200);
        assert_eq!(waiting().await, 1);
        // Nobody gets none, and as many bytes wait.
        app.call(POST, RESET).json(&json!({"email": "nobody@example.com"})).send().await.must(202);
        assert_eq!(waiting().await, 2);
        assert!(app.mail_to(&renter.email).is_empty());
    });
}

#[test]
fn without_a_mail_server_each_mail_is_a_file_for_its_owner_only() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        renter.make_key(&["users:read"]).await;
        let mail = app.mails(&renter.email, "A new API key", 1).await.remove(0);
        assert!(mail.contains("users:read") && !mail.contains("dp_test_") && !mail.contains("A program"), "{mail}");
        for entry in std::fs::read_dir(app.folder.path().join("test.mail")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
    });
}

#[test]
fn an_address_cannot_bring_headers_along() {
    on_both(async |app| {
        for email in ["\"a\\\r\nBcc: eve@example.com\"@example.com", "a@example.com\nBcc: eve@example.com"] {
            let body = json!({"email": email});
            app.call(POST, RESET).json(&body).send().await.refuses_fields(&[("email", "malformed")]);
        }
        // Strange and allowed: it stands in its header as one address, or no mail is made at all.
        for strange in ["\"a, eve@evil.example\"@example.com", "\"a b\"@example.com", "a!#$%&'*+/=?^_`{|}~@example.com"]
        {
            let body = json!({"email": strange, "password": PASSWORD, "full_name": "S", "role": "RENTER"});
            app.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
            app.call(POST, RESET).json(&json!({"email": strange})).send().await.must(202);
        }
        app.come_to_rest().await;
        let folder = std::fs::read_dir(app.folder.path().join("test.mail")).unwrap();
        let mails: Vec<_> = folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        assert!(!mails.is_empty());
        for mail in mails {
            let to: Vec<_> = mail.lines().filter(|line| line.starts_with("To: ")).collect();
            assert!(to.len() == 1 && to[0].ends_with("@example.com") && !mail.contains("Bcc"), "{mail}");
        }
    });
}
