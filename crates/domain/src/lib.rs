//! The rules of DirectPay: money, calendar, leases and their schedules, payments and the ledger.
//!
//! Pure functions and values. Nothing here waits, reads a clock, draws a random number, writes a log line or knows
//! that a database exists: whoever calls says what time it is and brings the ids.

pub mod allocation;
pub mod api_key;
pub mod arrival;
pub mod autopay;
pub mod bank_account;
pub mod banking_day;
pub mod calendar;
pub mod chain;
pub mod charge;
pub mod co_tenants;
pub mod deposit;
pub mod digest;
pub mod id;
pub mod idempotency;
pub mod invalid;
pub mod late_fee;
pub mod lease;
pub mod lease_event;
pub mod ledger;
pub mod merkle;
pub mod metadata;
pub mod money;
mod names;
pub mod oauth;
pub mod payment;
pub mod policy;
pub mod property;
pub mod rail;
pub mod report;
pub mod schedule;
pub mod share;
pub mod statement;
pub mod text;
pub mod time;
pub mod trail;
pub mod user;
pub mod webhook;
