//! DirectPay as real processes, which are started, stopped, killed and run side by side.

mod audit;
mod clock;
mod commands;
mod crash;
mod duplicates;
mod failover;
mod hand_over;
mod interruptions;
mod keys;
mod lease;
mod place;
mod postgres;
mod process;
mod run_day;
mod settings;
mod stopping;
mod telemetry;
mod two_processes;
mod webhooks;
