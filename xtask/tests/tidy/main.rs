//! The rules about the code itself, each a test with the rule's name.
//!
//! A rule is a function from the tree to its breaches, so that one test holds the real tree against it and another
//! shows, with a planted breach, that it can fail at all.

mod crates;
mod database;
mod documents;
mod purity;
mod rust;
mod style;
mod tree;

use tree::Tree;

/// Fails with all breaches at once, each with its place.
fn holds(rule: fn(&Tree) -> Vec<String>) {
    let breaches = rule(&Tree::of_workspace());
    assert!(breaches.is_empty(), "{} breach(es):\n  {}", breaches.len(), breaches.join("\n  "));
}

/// How often `rule` is broken by a tree of just these files.
fn broken(rule: fn(&Tree) -> Vec<String>, files: &[(&str, &str)]) -> usize {
    rule(&Tree::of(files)).len()
}
