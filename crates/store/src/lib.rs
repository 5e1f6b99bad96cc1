//! What DirectPay remembers.
//!
//! One SQL for SQLite and PostgreSQL. Each noun has its file; every function takes the open [`Tx`] first, so that whoever
//! calls decides what belongs into one transaction. A payment is written through two doors only: [`payments::initiate`]
//! and [`payments::record`].

pub mod access;
pub mod api_keys;
mod audit;
pub mod autopay;
pub mod bank_accounts;
pub mod bank_book;
pub mod browser_sessions;
pub mod charges;
pub mod co_tenants;
mod connect;
mod db;
pub mod deposits;
mod error;
pub mod events;
pub mod feed;
mod hashes;
pub mod journal;
pub mod key_holders;
pub mod lateness;
mod lease_books;
pub mod lease_ledger;
pub mod lease_requests;
pub mod leases;
mod ledger;
pub mod log_tree;
pub mod mail;
pub mod mail_links;
mod migrate;
pub mod oauth;
pub mod payments;
pub mod policies;
mod postgres;
pub mod properties;
pub mod reports;
pub mod sandbox_clock;
pub mod sealed;
pub mod second_factors;
mod sql;
mod sqlite;
pub mod statement;
pub mod trail;
mod usage;
pub mod users;
mod values;
pub mod webhooks;
pub mod work;

pub use audit::{Audit, Check, Kept, audit, audit_log};
pub use connect::{ConnectError, PoolSize};
pub use db::{Db, Tx, WorkListener};
pub use error::{Page, StoreError, breaks};
pub use migrate::Schema;
pub use postgres::Servers;
pub use sealed::SealedText;
pub use sqlite::SqliteFile;
pub use usage::{Access, Connections, Usage};
pub use values::{Bind, Binds, Row, TakeValue};
