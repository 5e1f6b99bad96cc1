//! One statement, two dialects: fragments that the compiler joins.
//!
//! Most statements are the same text on both engines and stand as plain literals where they are used. The few that differ
//! are put together by [`sql!`] from literals and a few fragments. A batch goes into a statement in one of two ways. Where each
//! row stands for itself, `insert(…)`, `update(…)` and `each(…)` with `field(…)` make a plain statement that SQLite runs row by
//! row, and one over the whole batch that PostgreSQL runs once: each is the quicker way there, by far. Where the statement
//! speaks of the batch as a whole, `rows(…)` reads it out of one JSON parameter on both. `skip_locked` and `for_update` lock
//! rows where there is more than one writer. Two more name what a payment is read from, two the days and
//! months of reports; `text` names a text of the module's own. `lookup`
//! joins a table row by row.
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
    // A text that several statements share: a macro that makes a literal for the engine.
    ($engine:ident text($name:ident)) => { $name!($engine) };
    // The rows of one more table for each row so far, by a key, in the order in which the tables are written. PostgreSQL takes
    // a landlord for one who may have half of everything, and would rather read a whole table: it is given no choice.
    (postgres lookup($table:ident $alias:ident: $by:literal)) => {
        concat!(
            " CROSS JOIN LATERAL (SELECT ", stringify!($alias), ".* FROM ", stringify!($table $alias), " WHERE ", $by,
            " OFFSET 0) AS ", stringify!($alias), " "
        )
    };
    (sqlite lookup($table:ident $alias:ident: $by:literal)) => {
        concat!(" CROSS JOIN ", stringify!($table $alias), " ON ", $by, " ")
    };
    (postgres skip_locked) => { " FOR UPDATE SKIP LOCKED " };
    (sqlite skip_locked) => { " " };
    // Leaves foreign key checks of others alone.
    (postgres for_update) => { " FOR NO KEY UPDATE " };
    (sqlite for_update) => { " " };
    // The same, and leaves foreign key checks of others alone.
    (postgres skip_held) => { " FOR NO KEY UPDATE SKIP LOCKED " };
    (sqlite skip_held) => { " " };
    (postgres skip_locked_of($first:ident $(, $table:ident)*)) => {
        concat!(" FOR NO KEY UPDATE OF ", stringify!($first) $(, ", ", stringify!($table))*, " SKIP LOCKED ")
    };
    (sqlite skip_locked_of($($table:ident),*)) => { " " };
    // Which rows of `insert` are new: SQLite says so without.
    (postgres returning($column:ident)) => { concat!(" RETURNING ", stringify!($column)) };
    (sqlite returning($column:ident)) => { " " };
    (postgres for_update_of($table:ident)) => { concat!(" FOR NO KEY UPDATE OF ", stringify!($table)) };
    (sqlite for_update_of($table:ident)) => { " " };
    // What a payment is read from: its row `p` and what its events may show of its two accounts.
    ($engine:ident payment_columns) => {
        " p.*, payer.last4 AS payer_last4, payer.bank_name AS payer_bank_name,
          payee.last4 AS payee_last4, payee.bank_name AS payee_bank_name "
    };
    ($engine:ident payment_accounts) => {
        " JOIN bank_accounts payer ON payer.id = p.payer_account_id
          JOIN bank_accounts payee ON payee.id = p.payee_account_id "
    };
    // At the end of a subquery: what it brings is computed once for each row, however often it is used.
    (postgres once) => { " OFFSET 0 " };
    (sqlite once) => { " LIMIT -1 " };
    // The days, or the months, of a report in each of the landlord's time zones.
    ($engine:ident with_days) => {
        concat!(
            "WITH day AS MATERIALIZED (SELECT * FROM",
            $crate::sql::part!($engine rows(time_zone text, day bigint, through bigint, until bigint, first_30 bigint,
                                            first_60 bigint, first_90 bigint)),
            ") "
        )
    };
    ($engine:ident with_months) => {
        concat!(
            "WITH months AS MATERIALIZED (SELECT * FROM",
            $crate::sql::part!($engine rows(time_zone text, month bigint, since bigint, until bigint)),
            ") "
        )
    };
    // The next four make a statement that SQLite runs once for each row of a batch and PostgreSQL once for all of them.
    // `each` stands first behind FROM, `field` names a field of its row.
    (postgres each($($shape:tt)*)) => { concat!($crate::sql::part!(postgres rows($($shape)*)), ", ") };
    (sqlite each($($shape:tt)*)) => { " " };
    (postgres field($name:ident)) => { concat!(" r.", stringify!($name), " ") };
    (sqlite field($name:ident)) => { concat!(" $", stringify!($name), " ") };
    (postgres insert($table:ident: $first:ident $type:ident $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(
            "INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($name))*, ") SELECT ",
            stringify!($first) $(, ", ", stringify!($name))*, " FROM",
            $crate::sql::part!(postgres rows($first $type $(, $name $more)*))
        )
    };
    (sqlite insert($table:ident: $first:ident $type:ident $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(
            "INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($name))*, ") VALUES ($",
            stringify!($first) $(, ", $", stringify!($name))*, ") "
        )
    };
    (postgres update($table:ident by $key:ident $type:ident: $first:ident $first_type:ident
                     $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(
            "UPDATE ", stringify!($table), " SET ", stringify!($first), " = r.", stringify!($first)
            $(, ", ", stringify!($name), " = r.", stringify!($name))*, " FROM",
            $crate::sql::part!(postgres rows($key $type, $first $first_type $(, $name $more)*)),
            "WHERE ", stringify!($table), ".", stringify!($key), " = r.", stringify!($key)
        )
    };
    (sqlite update($table:ident by $key:ident $type:ident: $first:ident $first_type:ident
                   $(, $name:ident $more:ident)* $(,)?)) => {
        concat!(
            "UPDATE ", stringify!($table), " SET ", stringify!($first), " = $", stringify!($first)
            $(, ", ", stringify!($name), " = $", stringify!($name))*, " WHERE ", stringify!($key), " = $", stringify!($key)
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
