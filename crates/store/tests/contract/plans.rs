//! No statement of the program may read a whole table that grows with the payments: after every story the plans of all
//! statements that it ran are looked at.
//!
//! They are the plans that a database with five million payments has. SQLite keeps no statistics here and chooses by the
//! indexes alone, whatever the size of a table; PostgreSQL is made to believe that the tables have so many rows, which is all
//! that its planner knows of them. Statements without a parameter are those of the tests themselves and of the audit, which
//! reads everything.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Mutex, Once};

use directpay_store::{Db, Tx};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// What grows with the payments, or is read for each of them.
const GROWING: [&str; 30] = [
    "bank_accounts",
    "second_factors",
    "outgoing_mail",
    "payments",
    "feed",
    "refunded_payments",
    "events",
    "postings",
    "bank_instructions",
    "bank_outcomes",
    "charges",
    "allocations",
    "credits",
    "lease_accounts",
    "deposit_returns",
    "api_keys",
    "awaited_payments",
    "webhooks",
    "webhook_deliveries",
    "webhook_lanes",
    "webhook_attempts",
    "log_tiles",
    "log_checkpoints",
    "trail",
    "oauth_clients",
    "oauth_authorizations",
    "oauth_codes",
    "oauth_refresh_tokens",
    "oauth_access_tokens",
    "browser_sessions",
];

/// As many payments as the tables are said to hold, and rows of each of the others.
const STORED: &str = "5000000";
/// Read by the audit with a parameter, page by page, or by a test.
const MAY_READ_ALL: [&str; 6] = [
    "FROM payments p WHERE p.kind = 'RENT') AS p",
    "WHERE $1 < p.id ORDER BY p.id",
    "WHERE $1 < i.reference",
    "WHERE $1 < id AND (status",
    " HAVING ",
    "CASE WHEN debit = $1",
];

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

struct Watcher;

impl<S: Subscriber> Layer<S> for Watcher {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "directpay_store::statements" {
            event.record(&mut Watcher);
        }
    }
}

impl Visit for Watcher {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_of_the_audit = MAY_READ_ALL.iter().any(|part| value.contains(part));
        if field.name() == "sql" && value.contains('$') && !is_of_the_audit {
            SEEN.lock().unwrap().insert(value.to_owned());
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Begins to note every statement.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Watcher)).unwrap();
    });
    SEEN.lock().unwrap().clear();
}

/// Looks at the plans of what was noted.
pub(crate) async fn check(db: &Db) {
    let seen = SEEN.lock().unwrap().clone();
    let mut bad = Vec::new();
    for sql in seen.iter().filter(|sql| is_plannable(sql) && !(matches!(db, Db::Sqlite(_)) && inserts_values(sql))) {
        let mut tx = db.begin().await.unwrap();
        let plan = match db {
            Db::Sqlite(_) => sqlite_plan(&mut tx, sql).await,
            Db::Postgres(_) => postgres_plan(&mut tx, sql).await,
        };
        // Where there is nothing PostgreSQL cannot be made to believe in rows, and one way is as good as another.
        let empty = empty_tables(&mut tx, db).await;
        let is_of_empty = |step: &str| empty.iter().any(|table| step.contains(&format!(" on {table} ")));
        let whole = plan.iter().enumerate().filter(|(place, step)| {
            reads_all(sql, step)
                || goes_through_an_index(sql, &plan[*place..]) && !plan[0].starts_with("Limit") && !is_of_empty(step)
        });
        bad.extend(whole.map(|(_, step)| format!("{step}\n    of {sql}")));
    }
    assert!(bad.is_empty(), "these read a whole table:\n{}", bad.join("\n"));
}

fn is_plannable(sql: &str) -> bool {
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].iter().any(|verb| sql.trim_start().starts_with(verb))
        && !sql.contains("pg_notify")
}

/// Into a table with triggers SQLite plans for such a statement a scan of the tables that refer to it, for rows that missed the new one,
/// and runs it only while a row misses another (`FkIfZero`), which is never so between statements.
fn inserts_values(sql: &str) -> bool {
    sql.starts_with("INSERT") && sql.contains("VALUES") && !sql.contains("SELECT")
}

async fn empty_tables(tx: &mut Tx, db: &Db) -> Vec<String> {
    if matches!(db, Db::Sqlite(_)) {
        return Vec::new();
    }
    let tables = GROWING.map(|table| format!("'{table}'")).join(", ");
    let empty = format!("SELECT relname::text FROM pg_class WHERE relname IN ({tables}) AND pg_relation_size(oid) = 0");
    let names: Vec<(String,)> = tx.fetch_all(for_ever(empty), ()).await.unwrap();
    names.into_iter().map(|(name,)| name).collect()
}

fn for_ever(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

async fn sqlite_plan(tx: &mut Tx, sql: &str) -> Vec<String> {
    let explain = for_ever(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps: Vec<(i64, i64, i64, String)> = tx.fetch_all(explain, ()).await.unwrap();
    steps.into_iter().map(|(_, _, _, step)| step).collect()
}

/// The plan that is kept, whatever the values.
async fn postgres_plan(tx: &mut Tx, sql: &str) -> Vec<String> {
    let count = (1..=20).rev().find(|number| sql.contains(&format!("${number}"))).unwrap_or(0);
    let nulls = vec!["NULL"; count].join(", ");
    tx.execute("SET LOCAL plan_cache_mode = force_generic_plan", ()).await.unwrap();
    let tables = GROWING.map(|table| format!("'{table}'")).join(", ");
    tx.execute(
        for_ever(format!(
            "UPDATE pg_class c SET reltuples = {STORED}, relpages = GREATEST(1, pg_relation_size(c.oid) / 8192)
             WHERE c.oid IN (SELECT t.oid FROM pg_class t WHERE t.relname IN ({tables}))
                OR c.oid IN (SELECT i.indexrelid FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
                             WHERE t.relname IN ({tables}))"
        )),
        (),
    )
    .await
    .unwrap();
    tx.execute(for_ever(format!("PREPARE looked_at AS {sql}")), ()).await.unwrap();
    let steps: Vec<(String,)> =
        tx.fetch_all(for_ever(format!("EXPLAIN EXECUTE looked_at({nulls})")), ()).await.unwrap();
    tx.execute("DEALLOCATE looked_at", ()).await.unwrap();
    steps.into_iter().map(|(step,)| step).collect()
}

/// Whether a step of a plan goes through a whole table, or a whole index of it, under its name or an alias.
fn reads_all(sql: &str, step: &str) -> bool {
    let scanned = step.trim_start().strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
    let sequential = step.split_once("Seq Scan on ").and_then(|(_, rest)| rest.split(' ').next());
    scanned.into_iter().chain(sequential).any(|name| is_growing(sql, name))
}

/// Whether the first of these steps is PostgreSQL's way through an index without a place to begin.
fn goes_through_an_index(sql: &str, steps: &[String]) -> bool {
    let Some((step, behind)) = steps.split_first() else { return false };
    let found = step.split_once("Scan using ").and_then(|(_, rest)| rest.split_once(" on "));
    let table = found.and_then(|(_, rest)| rest.split(' ').next());
    let mut its_own = behind.iter().take_while(|line| !line.contains("->"));
    table.is_some_and(|table| is_growing(sql, table)) && !its_own.any(|line| line.contains("Index Cond:"))
}

/// Whether `name` is one of the tables that grow, or stands for one.
fn is_growing(sql: &str, name: &str) -> bool {
    GROWING.iter().any(|table| *table == name || sql.contains(&format!("{table} {name} ")))
}

#[test]
fn a_plan_that_reads_a_whole_table_is_found() {
    assert!(reads_all("SELECT 1 FROM payments p WHERE p.rail = $1", "SCAN p"));
    assert!(reads_all("SELECT 1 FROM events", "  ->  Seq Scan on events  (cost=0.00)"));
    assert!(!reads_all("SELECT 1 FROM payments p WHERE p.id = $1", "SEARCH p USING PRIMARY KEY (id=?)"));
    assert!(!reads_all("SELECT 1 FROM leases l", "SCAN l"));
}

#[test]
fn a_plan_that_goes_through_a_whole_index_is_found() {
    let sql = "SELECT 1 FROM payments p WHERE p.rail = $1 ORDER BY p.id";
    let steps = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let scan = "Index Scan using payments_pkey on payments p  (cost=0.43..9.99 rows=1 width=8)";
    assert!(goes_through_an_index(sql, &steps(&[scan, "  Filter: (rail = $1)"])));
    assert!(goes_through_an_index(
        sql,
        &steps(&[scan, "  ->  Index Scan using a on b", "        Index Cond: (id = $1)"])
    ));
    assert!(!goes_through_an_index(sql, &steps(&[scan, "  Index Cond: (id = $1)"])));
    assert!(!goes_through_an_index(sql, &steps(&["Index Scan using leases_pkey on leases l"])));
}
