//! DirectPay from outside: over HTTP in one process, and as real processes that are stopped, killed and run side by side.
#![cfg(test)]

mod accounts;
mod authorization;
mod bad_input;
mod deposits;
mod document;
mod harness;
mod idempotency;
mod leases;
mod lists;
mod processes;
mod refunds;
mod rent;
mod sandbox;
mod sandbox_clock;
mod secrecy;
mod sign_in;
mod statement;
mod story;
mod surface;
