//! What a reviewer should never have to say twice.

use crate::tree::{File, Tree};
use crate::{broken, holds};

/// The longest a file may be without its tests.
const LINES_MAX: usize = 500;

/// Statuses of refusals. Only `api/error.rs` says them, so that one kind of refusal always looks the same.
const REFUSALS: [&str; 22] = [
    "BAD_REQUEST",
    "UNAUTHORIZED",
    "PAYMENT_REQUIRED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "NOT_ACCEPTABLE",
    "REQUEST_TIMEOUT",
    "CONFLICT",
    "GONE",
    "LENGTH_REQUIRED",
    "PRECONDITION_FAILED",
    "PAYLOAD_TOO_LARGE",
    "URI_TOO_LONG",
    "UNSUPPORTED_MEDIA_TYPE",
    "UNPROCESSABLE_ENTITY",
    "TOO_MANY_REQUESTS",
    "INTERNAL_SERVER_ERROR",
    "NOT_IMPLEMENTED",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
    "GATEWAY_TIMEOUT",
];

/// Texts that tools wrote or lawyers did.
const NOT_OURS: [&str; 4] = ["Cargo.lock", "LICENSE", "openapi.json", "package-lock.json"];

fn refusals_outside_error(tree: &Tree) -> Vec<String> {
    let elsewhere = tree.production().filter(|(file, _)| file.path != "crates/server/src/api/error.rs");
    elsewhere
        .flat_map(|(file, rust)| {
            let lines: Vec<usize> =
                REFUSALS.iter().flat_map(|name| rust.lines_with(&format!("StatusCode::{name}"))).collect();
            lines.into_iter().map(|line| format!("{}:{line}: the status of a refusal outside api/error.rs", file.path))
        })
        .collect()
}

fn unwraps(tree: &Tree) -> Vec<String> {
    tree.production()
        .flat_map(|(file, rust)| {
            let lines = [rust.lines_with(".unwrap()"), rust.lines_with(".expect(")].concat();
            lines.into_iter().map(|line| format!("{}:{line}: `unwrap` or `expect` in production code", file.path))
        })
        .collect()
}

fn bare_allows(tree: &Tree) -> Vec<String> {
    tree.rust()
        .flat_map(|(file, rust)| {
            let lines = [rust.lines_with("#[allow("), rust.lines_with("#![allow(")].concat();
            lines.into_iter().map(|line| format!("{}:{line}: write #[expect(…, reason = \"…\")]", file.path))
        })
        .collect()
}

fn long_files(tree: &Tree) -> Vec<String> {
    tree.rust()
        .map(|(file, rust)| {
            let all = rust.code.lines().count();
            let outside = rust.without_tests().code;
            // Lines of tests are blank now; those that were blank before count as what they were.
            let blank =
                outside.lines().zip(file.text.lines()).filter(|(now, was)| now.trim().is_empty() && is_code(was));
            (file, all - blank.count())
        })
        .filter(|(_, lines)| LINES_MAX < *lines)
        .map(|(file, lines)| format!("{}: {lines} lines without tests; split it by its nouns", file.path))
        .collect()
}

fn is_code(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with("//")
}

fn untidy_lines(tree: &Tree) -> Vec<String> {
    // In two parts, so that this file does not find itself.
    let machine = concat!("/wo", "rk/");
    let ours = tree.files.iter().filter(|file| !NOT_OURS.contains(&file.path.as_str()));
    ours.flat_map(|file| {
        let lines = file.text.lines().enumerate();
        lines.flat_map(move |(index, line)| {
            let said = [
                (line.contains(machine), "a path of one machine"),
                (line.contains('\t'), "a tab"),
                (line.ends_with(char::is_whitespace), "white space at the end"),
            ];
            let found = said.into_iter().filter(|(found, _)| *found);
            found.map(move |(_, what)| format!("{}:{}: {what}", file.path, index + 1))
        })
    })
    .chain(
        tree.files
            .iter()
            .filter(|file| ends_badly(file))
            .map(|file| format!("{}: ends without a line feed", file.path)),
    )
    .collect()
}

fn ends_badly(file: &File) -> bool {
    !NOT_OURS.contains(&file.path.as_str()) && !file.text.is_empty() && !file.text.ends_with('\n')
}

#[test]
fn only_the_error_module_refuses() {
    holds(refusals_outside_error);
}

#[test]
fn a_handler_with_a_refusal_of_its_own_is_found() {
    let plant = |path| broken(refusals_outside_error, &[(path, "return StatusCode::NOT_FOUND; StatusCode::CREATED")]);
    assert_eq!(plant("crates/server/src/api/leases.rs"), 1);
    assert_eq!(plant("crates/server/src/api/error.rs"), 0);
    assert_eq!(plant("crates/server/tests/api/leases.rs"), 0);
}

#[test]
fn production_code_does_not_unwrap() {
    holds(unwraps);
}

#[test]
fn an_unwrap_is_found_outside_tests_only() {
    let plant = |text| broken(unwraps, &[("crates/store/src/db.rs", text)]);
    assert_eq!(plant("let a = b.unwrap();\nlet c = d.expect(\"there\");"), 2);
    assert_eq!(plant("// .unwrap()\nlet a = b.unwrap_or(0);\n#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }"), 0);
    let files =
        [("crates/store/src/db.rs", "#[cfg(test)]\nmod story;"), ("crates/store/src/db/story.rs", "a.unwrap()")];
    assert_eq!(broken(unwraps, &files), 0);
}

#[test]
fn lints_are_expected_with_a_reason_never_just_allowed() {
    holds(bare_allows);
}

#[test]
fn a_bare_allow_is_found() {
    assert_eq!(broken(bare_allows, &[("xtask/src/main.rs", "#[allow(dead_code)]\n#![allow(unused)]")]), 2);
}

#[test]
fn a_file_without_its_tests_is_at_most_500_lines() {
    holds(long_files);
}

#[test]
fn a_long_file_is_found_and_long_tests_are_not() {
    let long = "fn f() {}\n".repeat(LINES_MAX + 1);
    assert_eq!(broken(long_files, &[("crates/domain/src/lease.rs", &long)]), 1);
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(broken(long_files, &[("crates/domain/src/lease.rs", &tested)]), 0);
}

#[test]
fn no_tabs_no_trailing_space_no_machine_paths() {
    holds(untidy_lines);
}

#[test]
fn an_untidy_line_is_found() {
    let path = concat!("see /wo", "rk/main\n");
    for (text, breaches) in [(path, 1), ("\tx\n", 1), ("x \n", 1), ("x", 1), ("x\n", 0)] {
        assert_eq!(broken(untidy_lines, &[("README.md", text)]), breaches, "{text:?}");
    }
}
