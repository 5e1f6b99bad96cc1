//! What the store promises, on both engines: every public function is called on SQLite and on PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the helpers of tests stand outside of tests"
)]

mod access;
mod accounts;
mod api_keys;
mod audit;
mod bank;
mod constraints;
mod deposits;
mod feed;
mod harness;
mod initiate;
mod keys;
mod lease_ledger;
mod leases;
mod lists;
mod oauth;
mod people;
mod plans;
mod record;
mod refunds;
mod reports;
mod sandbox_clock;
mod servers;
mod statement;
mod tampering;
mod trail;
mod transactions;
mod webhooks;
mod work;
mod world;
