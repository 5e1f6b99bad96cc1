//! The dependency rule: each crate uses only what stands left of it.

use crate::tree::{File, Tree};
use crate::{broken, holds};

/// Crates of ours that each crate may use.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("crates/domain", &[]),
    ("crates/bank_files", &["directpay-domain"]),
    ("crates/store", &["directpay-domain"]),
    ("crates/server", &["directpay-domain", "directpay-bank-files", "directpay-store"]),
    ("xtask", &[]),
];

/// Everything that `domain` may use at all: none of it waits, reads a clock or talks to anybody.
const DOMAIN_MAY_USE: [&str; 9] = [
    "email_address",
    "jiff",
    "rust_decimal",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "unicode-normalization",
    "uuid",
];

/// A dependency, and whether only tests use it.
struct Dependency {
    name: String,
    for_tests: bool,
}

fn wrong_direction(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for manifest in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == folder) else {
            breaches.push(format!("{}: a crate that the dependency rule does not know", manifest.path));
            continue;
        };
        for used in dependencies(manifest).iter().filter(|used| used.name.starts_with("directpay")) {
            if !allowed.contains(&used.name.as_str()) {
                breaches.push(format!("{}: {folder} may not use {}", manifest.path, used.name));
            }
        }
    }
    breaches
}

fn domain_uses_more(tree: &Tree) -> Vec<String> {
    let manifest = tree.files.iter().filter(|file| file.path == "crates/domain/Cargo.toml");
    let used = manifest.flat_map(dependencies).filter(|used| !used.for_tests);
    let foreign = used.filter(|used| !DOMAIN_MAY_USE.contains(&used.name.as_str()));
    foreign.map(|used| format!("crates/domain/Cargo.toml: domain may not use {}", used.name)).collect()
}

fn driver_outside_store(tree: &Tree) -> Vec<String> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    let others = manifests.filter(|file| file.path != "crates/store/Cargo.toml");
    others
        .filter(|file| dependencies(file).iter().any(|used| used.name == "sqlx" && !used.for_tests))
        .map(|file| format!("{}: only store talks to a database", file.path))
        .collect()
}

/// What a manifest lists in any of its dependency tables.
fn dependencies(manifest: &File) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut table = "";
    for line in manifest.text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
            // The long form: a table for one dependency.
            if let Some((kind, name)) = table.rsplit_once("dependencies.") {
                found.push(Dependency { name: name.trim_matches('"').to_owned(), for_tests: kind.ends_with("dev-") });
            }
        } else if table.ends_with("dependencies") && !line.starts_with('#') {
            let name: String = line.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
            if !name.is_empty() {
                found.push(Dependency { name, for_tests: table.ends_with("dev-dependencies") });
            }
        }
    }
    found
}

#[test]
fn crates_use_only_what_stands_left_of_them() {
    holds(wrong_direction);
}

#[test]
fn a_store_that_uses_the_server_is_found() {
    let plant = |text| broken(wrong_direction, &[("crates/store/Cargo.toml", text)]);
    assert_eq!(plant("[dependencies]\ndirectpay-domain.workspace = true\nserde = \"1\""), 0);
    assert_eq!(plant("[dependencies]\ndirectpay-server.workspace = true"), 1);
    assert_eq!(plant("[dev-dependencies.directpay-server]\npath = \"../server\""), 1);
}

#[test]
fn domain_uses_nothing_that_waits_or_talks() {
    holds(domain_uses_more);
}

#[test]
fn a_domain_that_uses_tokio_is_found() {
    let manifest =
        "[dependencies]\nserde.workspace = true\ntokio.workspace = true\n[dev-dependencies]\nproptest = \"1\"";
    assert_eq!(broken(domain_uses_more, &[("crates/domain/Cargo.toml", manifest)]), 1);
}

#[test]
fn only_store_has_a_database_driver() {
    holds(driver_outside_store);
}

#[test]
fn a_server_with_a_driver_is_found() {
    let manifest = "[dependencies]\nsqlx = { version = \"1\" }";
    assert_eq!(broken(driver_outside_store, &[("crates/server/Cargo.toml", manifest)]), 1);
    let manifest = "[dev-dependencies]\nsqlx = { version = \"1\" }";
    assert_eq!(broken(driver_outside_store, &[("crates/server/Cargo.toml", manifest)]), 0);
}
