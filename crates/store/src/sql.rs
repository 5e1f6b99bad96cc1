//! One statement, two dialects: fragments that the compiler joins.
//!
//! Most statements are the same text on both engines and stand as plain literals where they are used. The few that differ
//! are put together by [`sql!`] from literals and a few fragments: `each(…)` is one row of a batch on SQLite and all of them
//! on PostgreSQL, `rows(…)` is all of them on both, out of one JSON parameter; `skip_locked` and `for_update` lock rows
//! where there is more than one writer. Two more name what a payment is read from.
//! This is the place where "no macro where a function will do" gives way: `concat!` wants literals, and only a macro makes
//! them. In exchange every text is a constant, prepared once per connection.

/// One statement in both dialects.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(same: &'static str) -> Sql {
        Sql { sqlite: same, postgres: same }
    }
}

macro_rules! statement {
    ($($part:tt $(($($shape:tt)*))?),+ $(,)?) => {
        $crate::sql::Sql {
            sqlite: concat!($($crate::sql::part!(sqlite $part $(($($shape)*))?)),+),
            postgres: concat!($($crate::sql::part!(postgres $part $(($($shape)*))?)),+),
        }
    };
}

macro_rules! part {
    ($engine:ident $text:literal) => { $text };
    (postgres skip_locked) => { " FOR UPDATE SKIP LOCKED " };
    (sqlite skip_locked) => { " " };
    // Leaves foreign key checks of others alone.
    (postgres for_update) => { " FOR NO KEY UPDATE " };
    (sqlite for_update) => { " " };
    // What a payment is read from: its row `p` and what its events may show of its two accounts.
    ($engine:ident payment_columns) => {
        " p.*, payer.last4 AS payer_last4, payer.bank_name AS payer_bank_name,
          payee.last4 AS payee_last4, payee.bank_name AS payee_bank_name "
    };
    ($engine:ident payment_accounts) => {
        " JOIN bank_accounts payer ON payer.id = p.payer_account_id
          JOIN bank_accounts payee ON payee.id = p.payee_account_id "
    };
    // A batch, as `rows`, in a statement that SQLite runs once for each of its rows.
    (postgres each($($shape:tt)*)) => { $crate::sql::part!(postgres rows($($shape)*)) };
    (sqlite each($first:ident $type:ident $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(
            " (SELECT $", stringify!($first), " AS ", stringify!($first)
            $(, ", $", stringify!($name), " AS ", stringify!($name))*, ") AS r "
        )
    };
    (postgres rows($first:ident $type:ident $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(" jsonb_to_recordset($1) AS r(", stringify!($first $type) $(, ", ", stringify!($name $more))*, ") ")
    };
    (sqlite rows($first:ident $type:ident $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(
            " (SELECT ", $crate::sql::column!($first $type) $(, ", ", $crate::sql::column!($name $more))*,
            " FROM jsonb_each($1)) AS r "
        )
    };
}

macro_rules! column {
    ($name:ident uuid) => {
        concat!("unhex(value->>'", stringify!($name), "', '-') AS ", stringify!($name))
    };
    ($name:ident jsonb) => {
        concat!("value->'", stringify!($name), "' AS ", stringify!($name))
    };
    ($name:ident $type:ident) => {
        concat!("value->>'", stringify!($name), "' AS ", stringify!($name))
    };
}

// One name cannot be both a macro and an import.
pub(crate) use {column, part, statement as sql};
