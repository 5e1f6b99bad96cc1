//! `domain` decides; it does not wait, read a clock, draw lots, write a log line or know a database.

use crate::rust::has_word;
use crate::tree::Tree;
use crate::{broken, holds};

/// What the code of `domain` may not say, and why.
const FOREIGN: [(&str, &str); 21] = [
    ("async", "async"),
    (".await", "async"),
    ("tokio", "async"),
    ("SystemTime", "clock"),
    ("Instant::now", "clock"),
    ("Timestamp::now", "clock"),
    ("Zoned::now", "clock"),
    ("now_v7", "clock"),
    ("new_v4", "randomness"),
    ("rand", "randomness"),
    ("getrandom", "randomness"),
    ("std::env", "environment"),
    ("std::fs", "disk"),
    ("std::net", "network"),
    ("tracing", "log line"),
    ("log", "log line"),
    ("println!", "log line"),
    ("eprintln!", "log line"),
    ("print!", "log line"),
    ("dbg!", "log line"),
    ("sqlx", "database"),
];

fn domain_is_foreign(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (file, rust) in tree.production().filter(|(file, _)| file.path.starts_with("crates/domain/")) {
        for (index, line) in rust.code.lines().enumerate() {
            for (word, what) in FOREIGN.iter().filter(|(word, _)| says(line, word)) {
                breaches.push(format!("{}:{}: `{word}`: domain has no {what}", file.path, index + 1));
            }
        }
    }
    breaches
}

/// `log` only as a path or a macro: it is an English word as well.
fn says(line: &str, word: &str) -> bool {
    match word {
        "log" | "rand" => has_word(line, &format!("{word}::")),
        _ => has_word(line, word),
    }
}

/// Money, dates and rates are whole numbers.
fn floats(tree: &Tree) -> Vec<String> {
    let exact = ["crates/domain/", "crates/store/", "crates/bank_files/"];
    // They name floats to refuse them: serde asks about every kind of value.
    let refusing = ["crates/store/src/sqlite/bind.rs", "crates/store/src/sqlite/row.rs"];
    let files = tree.rust().filter(|(file, _)| {
        exact.iter().any(|folder| file.path.starts_with(folder)) && !refusing.contains(&file.path.as_str())
    });
    files
        .flat_map(|(file, rust)| {
            let lines = [rust.lines_with("f32"), rust.lines_with("f64")].concat();
            lines.into_iter().map(|line| format!("{}:{line}: a float near money", file.path))
        })
        .collect()
}

#[test]
fn domain_has_no_async_clock_randomness_log_or_sql() {
    holds(domain_is_foreign);
}

#[test]
fn domain_that_reads_a_clock_is_found() {
    let plant = |text| broken(domain_is_foreign, &[("crates/domain/src/lease.rs", text)]);
    assert_eq!(plant("pub fn today() -> Date {\n    Zoned::now().date()\n}"), 1);
    assert_eq!(plant("pub async fn rent() {}"), 1);
    assert_eq!(plant("/// Async callers may use `tokio`.\npub fn asynchronous() { catalog::log(); }"), 0);
    assert_eq!(plant("#[cfg(test)]\nmod tests {\n    fn f() { println!(\"\") }\n}"), 0);
}

#[test]
fn no_float_near_money() {
    holds(floats);
}

#[test]
fn a_float_is_found_in_tests_too() {
    assert_eq!(broken(floats, &[("crates/store/tests/ledger.rs", "let x: f64 = y;")]), 1);
    assert_eq!(broken(floats, &[("crates/domain/src/money.rs", "// never an f64\nlet xf64 = 1;")]), 0);
}
