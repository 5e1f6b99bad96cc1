//! The project's own automation, behind one door: `cargo xtask <command>`.
//!
//! It is a library so that its tests and its binary share one text; nothing of the product depends on it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]
#![expect(clippy::disallowed_methods, reason = "automation reads the real clock and the real environment")]

pub mod api;
pub mod bench;
pub mod clients;
pub mod fuzz;
pub mod guard;
pub mod migrations;
pub mod packages;
pub mod postgres;
pub mod process;
pub mod seed;
pub mod server;
pub mod simulate;
pub mod table;
pub mod test;
pub mod workspace;
