//! The commands that run and end: what they print, what they leave behind, and how they exit.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::lease::Renter;
use super::place::{Place, bare_command};
use super::process::Process;

pub(super) fn create_admin(place: &Place, email: &str, password: &str) -> Output {
    let mut command = place.command(&["admin", "create", "--email", email]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may refuse before it reads.
    let _unread = writeln!(child.stdin.take().unwrap(), "{password}");
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn demo_tells_its_story_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare_command(&["demo", "--rail-delay-scale", "0"]);
    let demo = command.env("TMPDIR", folder.path()).current_dir(folder.path()).output().unwrap();

    let told = text(&demo.stdout);
    assert!(demo.status.success(), "{told}{}", text(&demo.stderr));
    assert!(told.contains("Idempotency key already exists. Returning existing payment."), "{told}");
    assert!(told.contains("It adds up."), "{told}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it left something behind");
}

#[test]
fn a_demo_that_is_told_to_stop_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["demo", "--rail-delay-scale", "10"][..], &["demo", "--rail-delay-scale", "0", "--keep"]] {
        let mut command = bare_command(arguments);
        command.env("TMPDIR", folder.path()).current_dir(folder.path());
        let demo = Process::start(command).saying("DirectPay, listening on ");
        thread::sleep(Duration::from_millis(500));
        demo.signal(Signal::TERM);
        demo.end();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} left something behind");
    }
}

#[test]
fn admin_create_makes_an_administrator_once_and_the_database_if_need_be() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let made = create_admin(&place, "root@example.com", "a long enough passphrase");
        assert!(made.status.success(), "{}", text(&made.stderr));
        assert!(text(&made.stdout).contains("made administrator root@example.com"));

        let again = create_admin(&place, "Root@Example.com", "a long enough passphrase");
        assert!(!again.status.success());
        assert!(text(&again.stderr).contains("has signed up with this e-mail address already"));

        let weak = create_admin(&place, "other@example.com", "short");
        assert!(!weak.status.success());
        assert!(text(&weak.stderr).contains("password") && !text(&weak.stderr).contains("short\n"));
    }
}

#[test]
fn openapi_prints_the_document() {
    let printed = bare_command(&["openapi"]).output().unwrap();
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(document["openapi"].as_str().map(|version| &version[..4]), Some("3.1."));
    assert!(document["paths"].as_object().unwrap().contains_key("/api/v1/payments/"));
}

#[test]
fn secrets_prints_a_file_that_servers_take_and_never_the_same_twice() {
    let place = Place::on_sqlite();
    let [one, other] = [(); 2].map(|()| place.run(&["secrets"]).stdout);
    assert_ne!(one, other);
    assert!(!place.file().exists() && !place.secrets().exists(), "it makes no file");
    fs::write(place.secrets(), &one).unwrap();
    fs::set_permissions(place.secrets(), fs::Permissions::from_mode(0o600)).unwrap();
    place.serve(&[]).stop();
    assert_eq!(fs::read(place.secrets()).unwrap(), one, "it is taken as it is");
}

#[test]
fn health_tells_by_its_exit_status() {
    let place = Place::on_sqlite();
    let server = place.serve(&[]);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let ask = || bare_command(&["health", "--listen", &address]).output().unwrap();
    assert!(ask().status.success());
    server.stop();
    let gone = ask();
    assert!(!gone.status.success());
    assert!(text(&gone.stderr).contains("no answer"), "{}", text(&gone.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_what_was_tampered_with() {
    let place = Place::on_sqlite();
    let server = place.serve(&[]);
    let renter = Renter::settle_in(&server.url, "000123456789").await;
    renter.pay(&server.url, "rent").await.unwrap();
    let db = place.db().await;
    place.settle(&db).await;
    server.stop();
    place.verify();

    for (tampering, undoing) in [
        ("UPDATE payments SET amount = amount + 1", "UPDATE payments SET amount = amount - 1"),
        ("UPDATE payments SET status = 'PENDING'", "UPDATE payments SET status = 'COMPLETED'"),
        ("UPDATE bank_instructions SET amount = amount * 2", "UPDATE bank_instructions SET amount = amount / 2"),
        ("UPDATE bank_instructions SET state = 'RETURNED'", "UPDATE bank_instructions SET state = 'SETTLED'"),
    ] {
        execute(&db, tampering).await;
        let verify = place.run(&["verify"]);
        assert_eq!(verify.status.code(), Some(1), "{tampering}");
        assert!(text(&verify.stdout).contains("breach of"), "{tampering}: {}", text(&verify.stdout));
        execute(&db, undoing).await;
    }
    db.close().await;
    place.verify();
}

async fn execute(db: &directpay_store::Db, statement: &'static str) {
    let mut tx = db.begin().await.unwrap();
    tx.execute(statement, ()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_written_beside_a_running_server() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let server = place.serve(&[]);
        let renter = Renter::settle_in(&server.url, "000123456789").await;
        renter.pay(&server.url, "rent").await.unwrap();
        let db = place.db().await;
        place.settle(&db).await;
        let mut tx = db.begin_read().await.unwrap();
        let (email,): (String,) = tx.fetch_one("SELECT email FROM users WHERE role = $1", ("LANDLORD",)).await.unwrap();
        drop(tx);
        let report = |arguments: &[&str]| {
            let ran = place.run(&[&["report"], arguments, &["--landlord", &email]].concat());
            assert!(ran.status.success(), "{arguments:?}: {}", text(&ran.stderr));
            text(&ran.stdout).to_owned()
        };

        for (arguments, in_table) in [
            (&["rent-roll"][..], "12 Maple Street"),
            (&["arrears", "--as-of", "2026-01-31"], "1500.00"),
            (&["month", "--month", "2026-01"], "15.00"),
            (&["payments", "--from", "2026-01-01"], "STANDARD_ACH"),
            (&["income", "--year", "2026", "--basis", "accrual"], "2026-02"),
        ] {
            let table = report(arguments);
            assert!(table.contains(in_table) && table.contains('│'), "{arguments:?}: {table}");
            let file = report(&[arguments, &["--csv"]].concat());
            assert!(file.contains(in_table) && file.starts_with("address,unit,property_name,property_id,"), "{file}");
        }
        for bad in
            [&["rent-roll", "--as-of", "2199-01-01"][..], &["month", "--month", "2026"], &["income", "--year", "x"]]
        {
            let ran = place.run(&[&["report"], bad, &["--landlord", &email]].concat());
            assert!(!ran.status.success() && ran.stdout.is_empty(), "{bad:?}");
        }
        db.close().await;
        server.stop();
    }
}

/// A mistyped path must not look like books in order.
#[test]
fn verify_of_a_database_that_is_not_there_fails_and_makes_none() {
    let place = Place::on_sqlite();
    let verify = place.run(&["verify"]);
    assert!(!verify.status.success());
    assert!(text(&verify.stderr).contains("there is no database"), "{}", text(&verify.stderr));
    assert!(!place.file().exists());
}
