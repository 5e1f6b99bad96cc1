//! One command for each role.

pub mod admin;
pub mod audit;
pub mod demo;
pub mod export;
pub mod health;
pub mod keys;
pub mod report;
pub mod run_day;
pub mod serve;
pub mod verify;
