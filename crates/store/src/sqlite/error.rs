//! SQLite's failures in the form in which the other engine's come.

use std::borrow::Cow;
use std::error::Error as StdError;

use rusqlite::ffi::ErrorCode;
use sqlx::error::{DatabaseError, ErrorKind};

#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct SqliteError {
    primary: ErrorCode,
    /// Extended.
    code: i32,
    message: String,
}

/// What SQLite says, as the error of a database; what the driver says, as one of the protocol.
pub(crate) fn failure(error: rusqlite::Error) -> sqlx::Error {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return sqlx::Error::Decode(Box::new(error));
    };
    sqlx::Error::Database(Box::new(SqliteError {
        primary: failure.code,
        code: failure.extended_code,
        message: message.unwrap_or_else(|| failure.to_string()),
    }))
}

impl DatabaseError for SqliteError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    /// By the extended codes of <https://sqlite.org/rescode.html>.
    fn kind(&self) -> ErrorKind {
        match (self.primary, self.code >> 8) {
            (ErrorCode::ConstraintViolation, 1) => ErrorKind::CheckViolation,
            (ErrorCode::ConstraintViolation, 3) => ErrorKind::ForeignKeyViolation,
            (ErrorCode::ConstraintViolation, 5) => ErrorKind::NotNullViolation,
            (ErrorCode::ConstraintViolation, 6 | 8) => ErrorKind::UniqueViolation,
            _ => ErrorKind::Other,
        }
    }
}
