//! `audit`: what was signed, proven and checked by one process is believed by others, and nothing else is.

use std::fs;
use std::process::Output;

use directpay_store::Db;
use serde_json::{Value, json};

use super::lease::Renter;
use super::place::{Place, bare_command, count};
use crate::harness::until;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs what must go well, and gives back what it prints.
fn run(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    text(&output.stdout).to_owned()
}

async fn execute(db: &Db, statement: &'static str) {
    let mut tx = db.begin().await.unwrap();
    tx.execute(statement, ()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A rent that was paid and settled; its id.
async fn paid(place: &Place) -> String {
    let server = place.serve(&[]);
    let renter = Renter::settle_in(&server.url, "000123456789").await;
    let payment = renter.pay(&server.url, "rent").await.unwrap();
    let db = place.db().await;
    place.settle(&db).await;
    // On PostgreSQL events have their positions a moment later.
    const WAITING: &str = "SELECT (SELECT COUNT(*) FROM events) - (SELECT COUNT(*) FROM feed)";
    until("every event has its position", async || count(&db, WAITING).await == 0).await;
    db.close().await;
    server.stop();
    payment.id().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_believed_without_a_database_and_a_changed_one_is_not() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let id = paid(&place).await;
        let key = run(&place, &["audit", "key"]).trim().to_owned();
        run(&place, &["audit", "checkpoint", "--now"]);
        let file = place.folder().join("proof.json");
        let file = file.to_str().unwrap();
        run(&place, &["audit", "prove", &id, "--output", file]);
        let check = |arguments: &[&str]| {
            let mut command = bare_command(&[&["audit", "check", file], arguments].concat());
            command.current_dir("/").output().unwrap()
        };
        let checked = check(&["--key", &key]);
        assert!(checked.status.success(), "{}", said(&checked));
        assert!(
            text(&checked.stdout).contains(&format!("payment {id}: its first 3 events are in the log")),
            "{}",
            said(&checked)
        );
        assert!(text(&check(&[]).stdout).contains("by the key that came with it"));
        let other = Place::on_postgres();
        let others_key = run(&other, &["audit", "key"]);
        assert_eq!(check(&["--key", others_key.trim()]).status.code(), Some(1));

        let proof: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let body = proof["events"][1]["body"].as_str().unwrap().replacen("PROCESSING", "COMPLETED", 1);
        let size = proof["checkpoint"].as_str().unwrap().replacen("directpay/events\n", "directpay/events\n1", 1);
        for (place, value, expected) in [
            ("/events/1/body", json!(body), "event 2 of payment"),
            ("/events/2/occurred_at", json!(0), "event 3 of payment"),
            ("/events/0/position", json!(1), "event 1 of payment"),
            ("/events/0/inclusion", json!([]), "event 1 of payment"),
            ("/events/0/inclusion", Value::Null, "the checkpoint counts it"),
            ("/events", json!([]), "it has no events"),
            ("/payment_id", json!(other_id()), "is of something else"),
            ("/checkpoint", json!(size), "its checkpoint"),
        ] {
            let mut changed = proof.clone();
            *changed.pointer_mut(place).unwrap() = value;
            fs::write(file, changed.to_string()).unwrap();
            let checked = check(&[]);
            assert_eq!(checked.status.code(), Some(1), "{place}");
            assert!(text(&checked.stdout).contains(expected), "{place}: {}", said(&checked));
        }
    }
}

fn other_id() -> String {
    uuid::Uuid::from_u128(7).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_log_is_checked_and_a_checkpoint_kept_elsewhere_finds_what_was_cut() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let id = paid(&place).await;
        run(&place, &["audit", "checkpoint", "--now"]);
        let kept = place.folder().join("kept.checkpoint");
        fs::write(&kept, run(&place, &["audit", "checkpoint"])).unwrap();
        let with_kept = ["audit", "check", "--checkpoint", kept.to_str().unwrap()];
        assert!(run(&place, &with_kept).contains("signed up to position"));

        let db = place.db().await;
        let unlocked: &[&'static str] = if db.is_shared() {
            &[
                "DROP TRIGGER events_append_only ON events",
                "DROP TRIGGER postings_append_only ON postings",
                "DROP TRIGGER allocations_append_only ON allocations",
                "DROP TRIGGER log_checkpoints_append_only ON log_checkpoints",
                "DROP TRIGGER feed_append_only ON feed",
            ]
        } else {
            &[
                "DROP TRIGGER events_no_update",
                "DROP TRIGGER events_no_delete",
                "DROP TRIGGER postings_no_delete",
                "DROP TRIGGER allocations_no_delete",
                "DROP TRIGGER log_checkpoints_no_delete",
                "DROP TRIGGER log_checkpoints_no_update",
            ]
        };
        for statement in unlocked {
            execute(&db, statement).await;
        }
        // The signed text says another root than the column.
        execute(&db, "UPDATE log_checkpoints SET root = (SELECT head FROM payments)").await;
        assert!(text(&place.run(&["audit", "check"]).stdout).contains("what was signed is not what stands beside it"));
        execute(&db, "UPDATE events SET occurred_at = occurred_at + 1 WHERE event_type = 'payment_completed'").await;
        let checked = place.run(&["audit", "check"]);
        assert_eq!(checked.status.code(), Some(1));
        assert!(text(&checked.stdout).contains(&format!("payment {id}, event 3, ")), "{}", said(&checked));
        assert_eq!(place.run(&["verify"]).status.code(), Some(1));
        execute(&db, "UPDATE events SET occurred_at = occurred_at - 1 WHERE event_type = 'payment_completed'").await;

        // The end of the log goes, with everything in the database that knows it.
        for statement in [
            "DELETE FROM log_checkpoints",
            "DELETE FROM allocations",
            "DELETE FROM postings WHERE sequence = 3",
            "DELETE FROM events WHERE event_type = 'payment_completed'",
            "UPDATE payments SET version = 2, head = (SELECT hash FROM events WHERE stream = 'PAYMENT' AND sequence = 2)",
        ] {
            execute(&db, statement).await;
        }
        if db.is_shared() {
            execute(&db, "DELETE FROM feed WHERE position = (SELECT MAX(position) FROM feed)").await;
        }
        db.close().await;
        assert!(run(&place, &["audit", "check"]).contains("nothing is signed yet"));
        run(&place, &["audit", "checkpoint", "--now"]);
        run(&place, &["audit", "check"]);
        let checked = place.run(&with_kept);
        assert_eq!(checked.status.code(), Some(1));
        assert!(text(&checked.stdout).contains("are missing at the end: the checkpoint in "), "{}", said(&checked));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_exported_line_by_line_and_says_so_itself() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        paid(&place).await;
        let text = run(&place, &["audit", "export"]);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (line, position) in lines.iter().zip(1..) {
            assert_eq!(line["position"], json!(position));
            assert_eq!(line["hash"].as_str().unwrap().len(), 64);
        }
        let told = |action: &str| lines.iter().filter(|line| line["action"] == action).count();
        assert_eq!((told("user.created"), told("lease.created"), told("trail.exported")), (2, 1, 1), "{text}");
        assert!(told("access.used") >= 2, "what was used is told when the server stops: {text}");
        assert_eq!(lines.last().unwrap()["actor"]["type"], "COMMAND");
        let last = lines.len().to_string();
        let further = run(&place, &["audit", "export", "--after", &last]);
        assert_eq!(further.lines().count(), 1, "{further}");

        let kept = place.folder().join("trail.checkpoint");
        fs::write(&kept, run(&place, &["audit", "checkpoint", "--now", "--of", "trail"])).unwrap();
        let key = run(&place, &["audit", "key", "--of", "trail"]);
        let with_kept = ["audit", "check", "--checkpoint", kept.to_str().unwrap(), "--key", key.trim()];
        assert!(run(&place, &with_kept).contains("trail: signed up to position"));
        let db = place.db().await;
        let unlocked: &[&'static str] = if db.is_shared() {
            &["DROP TRIGGER trail_append_only ON trail", "DROP TRIGGER log_checkpoints_append_only ON log_checkpoints"]
        } else {
            &["DROP TRIGGER trail_no_delete", "DROP TRIGGER log_checkpoints_no_delete"]
        };
        for statement in unlocked {
            execute(&db, statement).await;
        }
        // The end goes, with what the database itself knows of it.
        execute(&db, "DELETE FROM log_checkpoints").await;
        execute(&db, "DELETE FROM trail WHERE position = (SELECT MAX(position) FROM trail)").await;
        db.close().await;
        run(&place, &["audit", "check"]);
        let checked = place.run(&with_kept);
        assert_eq!(checked.status.code(), Some(1));
        assert!(said(&checked).contains("are missing at the end"), "{}", said(&checked));
    }
}
