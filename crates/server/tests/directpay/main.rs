//! DirectPay from outside: over HTTP in one process, and as real processes that are stopped, killed and run side by side.
#![cfg(test)]

mod accounts;
mod api_keys;
mod authorization;
mod autopay;
mod bad_input;
mod charge_notice;
mod co_tenants;
mod deposits;
mod document;
mod feed;
mod harness;
mod idempotency;
mod keys;
mod leases;
mod limits;
mod lists;
mod metrics;
mod oauth;
mod people;
mod processes;
mod refunds;
mod rent;
mod reports;
mod sandbox;
mod sandbox_clock;
mod secrecy;
mod sign_in;
mod simulation;
mod statement;
mod story;
mod surface;
mod trail;
mod two_years;
mod webhooks;
