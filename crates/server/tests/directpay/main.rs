//! DirectPay from outside: over HTTP in one process, and as real processes that are stopped, killed and run side by side.
#![cfg(test)]

mod document;
mod harness;
mod processes;
mod story;
mod surface;
