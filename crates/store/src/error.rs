//! Failures of the database, and what they mean.

use directpay_domain::invalid::Invalid;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

/// Why a store function did nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed; the cause is for the log only.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A stored value breaks a rule of the domain: the database was damaged or changed by hand.
    #[error("a stored {what} is invalid")]
    Damaged {
        /// Which column or value.
        what: &'static str,
        /// What is wrong with it.
        source: Invalid,
    },
    /// A stored event cannot be read.
    #[error("a stored event cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

impl StoreError {
    /// For `map_err` on what the domain makes of a stored value.
    pub(crate) fn damaged(what: &'static str) -> impl FnOnce(Invalid) -> StoreError {
        move |source| StoreError::Damaged { what, source }
    }

    /// Whether the database could not be reached, had nothing to spare or was changing: it may be tried again.
    pub fn is_passing(&self) -> bool {
        let StoreError::Database(error) = self else { return false };
        matches!(
            error,
            sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::WorkerCrashed
        ) || error.as_database_error().and_then(Trouble::of).is_some()
    }

    /// Whether the database was not there, or cut the statement off: whatever is asked next would wait as long for nothing.
    pub fn is_unreachable(&self) -> bool {
        let StoreError::Database(error) = self else { return false };
        match error.as_database_error() {
            // A SQLite file is always there.
            Some(database) => matches!(Trouble::of(database), Some(Trouble::Gone | Trouble::CutOff)),
            None => self.is_passing(),
        }
    }

    /// Whether the database refused because of the constraint `name`.
    pub fn breaks(&self, name: &str) -> bool {
        match self {
            StoreError::Database(error) => breaks(error, name),
            StoreError::Damaged { .. } | StoreError::Unreadable(_) => false,
        }
    }
}

/// What a database says of itself, and not of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection broke, or the server shuts down or only reads: the one that takes writes may be elsewhere.
    Gone,
    /// The statement was stopped: it took too long, or somebody cancelled it.
    CutOff,
    /// Two got in each other's way, or there is nothing to spare.
    Busy,
}

impl Trouble {
    pub(crate) fn of(error: &dyn DatabaseError) -> Option<Trouble> {
        /// Beginnings of SQLSTATE; the first that fits counts.
        const POSTGRES: [(&str, Trouble); 10] = [
            ("08", Trouble::Gone),
            ("25006", Trouble::Gone),
            ("57P01", Trouble::Gone),
            ("57P02", Trouble::Gone),
            ("57P03", Trouble::Gone),
            ("57", Trouble::CutOff),
            ("40", Trouble::Busy),
            ("53", Trouble::Busy),
            ("55P03", Trouble::Busy),
            ("58", Trouble::Busy),
        ];
        /// Busy, locked, no memory, input and output, full, cannot open: the low byte of the extended code.
        const SQLITE: [u32; 6] = [5, 6, 7, 10, 13, 14];
        let code = error.code()?;
        if error.try_downcast_ref::<PgDatabaseError>().is_some() {
            return POSTGRES.iter().find(|(beginning, _)| code.starts_with(beginning)).map(|(_, trouble)| *trouble);
        }
        let is_busy = code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xFF)));
        is_busy.then_some(Trouble::Busy)
    }
}

/// Whether `error` is the refusal of the constraint `name`.
///
/// PostgreSQL names the constraint. SQLite names the columns of a unique constraint and gives the text of a trigger, which is
/// by our convention the name of the constraint that stands in PostgreSQL in its place; a unique constraint's name begins
/// with its table's, so unique constraints of one table are told apart by `UNIQUE_COLUMNS`.
pub fn breaks(error: &sqlx::Error, name: &str) -> bool {
    let Some(database) = error.as_database_error() else { return false };
    let columns = UNIQUE_COLUMNS.iter().find(|(constraint, _)| *constraint == name).map(|(_, columns)| *columns);
    database.constraint() == Some(name)
        || database.message() == name
        || columns
            .is_some_and(|columns| database.is_unique_violation() && database.message().trim_end().ends_with(columns))
}

/// How SQLite names the unique constraints and indexes that callers react to.
const UNIQUE_COLUMNS: [(&str, &str); 3] = [
    ("users_email", "users.email_key"),
    ("bank_accounts_linked_once", "bank_accounts.user_id, bank_accounts.fingerprint"),
    ("mandates_one_each", "mandates.lease_id, mandates.renter_id"),
];

/// Which page of a list: newest first, `limit` rows with ids below `before`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Exclusive; the largest UUID for the first page.
    pub before: Uuid,
    /// How many rows.
    pub limit: i64,
}

impl Page {
    /// The first page.
    pub fn first(limit: i64) -> Page {
        Page { before: Uuid::max(), limit }
    }
}
