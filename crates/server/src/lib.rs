//! The binary `directpay` as a library, so that its tests can run it in their own process.

pub mod access;
pub mod api;
pub mod app;
pub mod autopay;
pub mod bank;
pub mod checkpoints;
pub mod clock;
pub mod co_tenants;
pub mod commands;
pub mod config;
pub mod daily_pass;
pub mod feed;
pub mod instruct;
pub mod intake;
pub mod limits;
pub mod mail;
pub mod metrics;
pub mod origin;
pub mod remembered;
pub mod running;
pub mod sandbox_clock;
pub mod secrets;
pub mod statement_pdf;
pub mod telemetry;
pub mod webhooks;
pub mod workers;
