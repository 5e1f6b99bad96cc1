//! What the documents say is there, is there.

use std::collections::BTreeSet;

use crate::tree::Tree;
use crate::{broken, holds};

/// What a newcomer types.
const README_COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo xtask test"];

/// Bytes; with fewer nobody was told what to do.
const PARAGRAPH_MIN: usize = 120;

/// Variables of the tests, which no user sets.
const FOR_TESTS: &str = "DIRECTPAY_TEST_";

fn unlisted_decisions(tree: &Tree) -> Vec<String> {
    let index = tree.find("docs/decisions/README.md").map_or("", |file| file.text.as_str());
    let pages: Vec<&str> = tree
        .within("docs/decisions/")
        .filter_map(|file| file.path.strip_prefix("docs/decisions/"))
        .filter(|name| *name != "README.md")
        .collect();
    let mut breaches = Vec::new();
    for (position, name) in pages.iter().enumerate() {
        if !name.starts_with(&format!("{:04}-", position + 1)) {
            breaches.push(format!("docs/decisions/{name}: pages are numbered 0001-, 0002-, … without gaps"));
        }
        if !index.contains(&format!("({name})")) {
            breaches.push(format!("docs/decisions/{name}: not listed in docs/decisions/README.md"));
        }
    }
    let linked = index.split('(').skip(1).filter_map(|rest| rest.split(')').next());
    let missing = linked.filter(|link| link.ends_with(".md") && !link.contains('/') && !pages.contains(link));
    breaches.extend(missing.map(|link| format!("docs/decisions/README.md: there is no {link}")));
    breaches
}

fn missing_commands(tree: &Tree) -> Vec<String> {
    let readme = tree.find("README.md").map_or("", |file| file.text.as_str());
    let missing = README_COMMANDS.iter().filter(|command| !readme.contains(*command));
    missing.map(|command| format!("README.md: does not say `{command}`")).collect()
}

fn undocumented_settings(tree: &Tree) -> Vec<String> {
    let documented = tree.find("docs/operating.md").map(|file| variables(&file.text)).unwrap_or_default();
    let read: BTreeSet<_> = tree.within("crates/server/src/config").flat_map(|file| variables(&file.text)).collect();
    let unread =
        documented.difference(&read).map(|name| format!("docs/operating.md: nothing in config.rs reads {name}"));
    let unsaid =
        read.difference(&documented).map(|name| format!("config.rs: docs/operating.md does not explain {name}"));
    unread.chain(unsaid).collect()
}

/// Alerts without a section in the manual, sections without an alert, and alerts that do not say where theirs is.
fn unexplained_alerts(tree: &Tree) -> Vec<String> {
    let text = |path| tree.find(path).map_or("", |file| file.text.as_str());
    let manual = text("docs/operating.md");
    let alerts: Vec<(&str, &str)> = text("docs/observability/alerts.yaml")
        .split("- alert: ")
        .skip(1)
        .filter_map(|rest| rest.split_once('\n'))
        .map(|(name, rule)| (name.trim(), rule))
        .collect();
    let mut breaches = Vec::new();
    for (name, rule) in &alerts {
        let section = manual.split_once(&format!("\n### {name}\n")).map_or("", |(_, rest)| rest);
        let paragraph = section.split("\n#").next().unwrap_or("").trim();
        if paragraph.len() < PARAGRAPH_MIN {
            breaches.push(format!("docs/operating.md: does not explain the alert {name}"));
        }
        if !rule.contains(&format!("runbook: docs/operating.md#{}\n", name.to_lowercase())) {
            breaches.push(format!("docs/observability/alerts.yaml: {name} does not say where it is explained"));
        }
    }
    let sections = manual.lines().filter_map(|line| line.strip_prefix("### DirectPay"));
    let stale = sections.filter(|rest| !alerts.iter().any(|(name, _)| name.strip_prefix("DirectPay") == Some(rest)));
    breaches.extend(stale.map(|rest| format!("docs/operating.md: there is no alert DirectPay{rest}")));
    breaches
}

/// All names in `text` that look like a setting's.
fn variables(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches('_'));
    let names = words.filter(|word| word.starts_with("DIRECTPAY_") && !word.starts_with(FOR_TESTS));
    names.map(str::to_owned).collect()
}

#[test]
fn every_decision_is_in_the_index() {
    holds(unlisted_decisions);
}

#[test]
fn a_forgotten_decision_is_found() {
    let page = ("docs/decisions/0001-one-sql.md", "# One SQL\n");
    let index = ("docs/decisions/README.md", "- [One SQL](0001-one-sql.md)\n");
    assert_eq!(broken(unlisted_decisions, &[page, index]), 0);
    assert_eq!(broken(unlisted_decisions, &[page]), 1);
    assert_eq!(broken(unlisted_decisions, &[index]), 1);
}

#[test]
fn the_readme_says_how_to_run_and_to_test() {
    holds(missing_commands);
}

#[test]
fn a_readme_without_commands_is_found() {
    assert_eq!(broken(missing_commands, &[("README.md", "# DirectPay\n")]), README_COMMANDS.len());
}

#[test]
fn every_setting_is_explained_and_every_explained_one_is_read() {
    holds(undocumented_settings);
}

#[test]
fn a_setting_that_only_one_side_knows_is_found() {
    let both =
        [("docs/operating.md", "`DIRECTPAY_A`"), ("crates/server/src/config.rs", "\"DIRECTPAY_B\" DIRECTPAY_TEST_C")];
    assert_eq!(broken(undocumented_settings, &both), 2);
}

#[test]
fn every_alert_is_explained() {
    holds(unexplained_alerts);
}

#[test]
fn an_alert_that_nobody_explains_is_found() {
    let rules =
        "- alert: DirectPayDown\n  runbook: docs/operating.md#directpaydown\n- alert: DirectPayLost\n  for: 1m\n";
    let manual = format!("\n### DirectPayDown\n\n{}\n\n### DirectPayOld\n", "What to do. ".repeat(20));
    let tree = [("docs/operating.md", manual.as_str()), ("docs/observability/alerts.yaml", rules)];
    assert_eq!(broken(unexplained_alerts, &tree), 3);
}
