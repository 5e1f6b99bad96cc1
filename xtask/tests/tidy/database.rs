//! SQL stays in `store`, history stays as it was written, payments have two doors.

use xtask::migrations;

use crate::rust::has_word;
use crate::tree::Tree;
use crate::{broken, holds};

const ENGINES: [&str; 2] = ["sqlite:", "postgres:"];

/// Starts of statements; in capitals, as all SQL here is written, so that English is not taken for it.
const STATEMENTS: [&str; 7] =
    ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "ALTER TABLE ", "DROP TABLE "];

fn sql_outside_store(tree: &Tree) -> Vec<String> {
    let elsewhere = tree.production().filter(|(file, _)| !file.path.starts_with("crates/store/"));
    elsewhere
        .flat_map(|(file, rust)| {
            let sql = rust.literals.into_iter().filter(|literal| STATEMENTS.iter().any(|s| has_word(&literal.text, s)));
            sql.map(|literal| format!("{}:{}: SQL outside store", file.path, literal.line))
        })
        .collect()
}

/// Where SQL of the product stands: the literals of `store` and the migrations.
fn sql(tree: &Tree) -> Vec<(String, String)> {
    let literals = tree.production().flat_map(|(file, rust)| {
        rust.literals.into_iter().map(|literal| (format!("{}:{}", file.path, literal.line), literal.text))
    });
    let migrations = tree.within("migrations/").map(|file| {
        let lines = file.text.lines().map(|line| line.split("--").next().unwrap_or(line));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        (file.path.clone(), words.join(" "))
    });
    literals.chain(migrations).collect()
}

fn history_is_rewritten(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (place, text) in sql(tree) {
        let text = text.to_lowercase();
        for table in ["events", "postings"] {
            for verb in ["update", "delete from", "truncate", "truncate table", "replace into", "drop table"] {
                if has_word(&text, &format!("{verb} {table}")) {
                    breaches.push(format!("{place}: `{verb} {table}`: history is only appended to"));
                }
            }
        }
    }
    breaches
}

fn payments_have_another_door(tree: &Tree) -> Vec<String> {
    let door = |place: &str| place.starts_with("crates/store/src/payments");
    let others = sql(tree).into_iter().filter(|(place, _)| !door(place));
    others
        .filter(|(_, text)| {
            let text = text.to_lowercase();
            ["insert into payments", "update payments", "delete from payments"].iter().any(|s| has_word(&text, s))
        })
        .map(|(place, _)| format!("{place}: payments are written in store/payments.rs only"))
        .collect()
}

/// The bank's book is a witness only as long as the bank alone writes it.
fn bank_book_has_another_writer(tree: &Tree) -> Vec<String> {
    let others =
        sql(tree).into_iter().filter(|(place, _)| place.starts_with("crates/") && !place.contains("/bank_book"));
    others
        .filter(|(_, text)| {
            let text = text.to_lowercase();
            ["bank_instructions", "bank_outcomes", "bank_counter"].iter().any(|table| {
                ["insert into", "update", "delete from"].iter().any(|verb| has_word(&text, &format!("{verb} {table}")))
            })
        })
        .map(|(place, _)| format!("{place}: the bank's book is written in store/bank_book.rs only"))
        .collect()
}

/// An unknown address would silently stay a comment; a second comment inside one would end it early.
fn comments_without_address(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in tree.within("migrations/").filter(|file| file.path.ends_with(".sql")) {
        let mut rest = file.text.as_str();
        while let Some((before, after)) = rest.split_once("/*") {
            let line = file.text[..file.text.len() - after.len()].matches('\n').count() + 1;
            let mut breach = |what: &str| breaches.push(format!("{}:{line}: {what}", file.path));
            if before.contains("*/") {
                breach("a `*/` before it that closes nothing");
            }
            if !ENGINES.iter().any(|engine| after.starts_with(engine)) {
                breach("a comment that is addressed to neither `sqlite` nor `postgres`");
            }
            let Some((inside, tail)) = after.split_once("*/") else {
                breach("a comment that is never closed");
                rest = "";
                break;
            };
            if inside.contains("/*") {
                breach("a comment inside an addressed comment");
            }
            rest = tail;
        }
        if rest.contains("*/") {
            breaches.push(format!("{}: a `*/` at the end that closes nothing", file.path));
        }
    }
    breaches
}

#[test]
fn sql_stays_in_store() {
    holds(sql_outside_store);
}

#[test]
fn sql_in_a_handler_is_found() {
    let plant = |text| broken(sql_outside_store, &[("crates/server/src/api/leases.rs", text)]);
    assert_eq!(plant("let sql = \"SELECT id\n  FROM leases\";"), 1);
    assert_eq!(plant("let text = \"Select a lease; UPDATED\"; // DELETE FROM leases"), 0);
    assert_eq!(broken(sql_outside_store, &[("crates/store/src/leases.rs", "\"SELECT id FROM leases\"")]), 0);
}

#[test]
fn events_and_postings_are_only_appended_to() {
    holds(history_is_rewritten);
}

#[test]
fn a_rewritten_history_is_found() {
    let plant = |text| broken(history_is_rewritten, &[("crates/store/src/ledger.rs", text)]);
    assert_eq!(plant("\"UPDATE\n   events SET body = $1\""), 1);
    assert_eq!(plant("\"delete from postings where id = $1\""), 1);
    assert_eq!(plant("\"UPDATE events_seen SET n = 1\" // UPDATE events"), 0);
    let trigger = "CREATE TRIGGER t BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'no'); END; -- UPDATE events";
    assert_eq!(broken(history_is_rewritten, &[("migrations/0001_start.sql", trigger)]), 0);
    assert_eq!(broken(history_is_rewritten, &[("migrations/0001_start.sql", "DROP TABLE postings;")]), 1);
}

#[test]
fn payments_are_written_in_one_file() {
    holds(payments_have_another_door);
}

#[test]
fn a_second_door_to_payments_is_found() {
    let plant = |path| broken(payments_have_another_door, &[(path, "\"UPDATE payments SET status = 'FAILED'\"")]);
    assert_eq!(plant("crates/store/src/work.rs"), 1);
    assert_eq!(plant("crates/store/src/payments.rs"), 0);
}

#[test]
fn the_bank_alone_writes_its_book() {
    holds(bank_book_has_another_writer);
}

#[test]
fn a_forged_bank_book_is_found() {
    let plant =
        |path| broken(bank_book_has_another_writer, &[(path, "\"UPDATE bank_instructions SET state = 'SETTLED'\"")]);
    assert_eq!(plant("crates/store/src/payments/record.rs"), 1);
    assert_eq!(plant("crates/store/src/bank_book.rs"), 0);
}

#[test]
fn comments_in_migrations_are_addressed_and_closed() {
    holds(comments_without_address);
}

#[test]
fn a_misspelt_address_is_found() {
    let plant = |text| broken(comments_without_address, &[("migrations/0001_start.sql", text)]);
    assert_eq!(plant("CREATE TABLE a (b INT) /*sqlite: WITHOUT ROWID */; -- remark\n/*postgres: SELECT 1; */"), 0);
    assert_eq!(plant("/*sqllite: WITHOUT ROWID */"), 1);
    assert_eq!(plant("/* a remark */"), 1);
    assert_eq!(plant("/*sqlite: a"), 1);
    assert_eq!(plant("/*sqlite: a /*postgres: b */ */"), 2);
}

#[test]
fn released_migrations_stay_as_they_are() {
    let list = std::fs::read_to_string(migrations::list_path()).unwrap();
    let frozen = migrations::in_list(&list).unwrap();
    let present = migrations::in_folder(&xtask::workspace::root().join("migrations")).unwrap();
    assert_eq!(migrations::breaches(&frozen, &present), Vec::<String>::new());
}
