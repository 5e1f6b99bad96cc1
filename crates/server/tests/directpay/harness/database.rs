//! Databases of the tests' own, and what stands in them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{TestApp, runtime};

/// The admin URL of a PostgreSQL cluster for tests.
const VARIABLE: &str = "DIRECTPAY_TEST_POSTGRES";

/// An empty database on the cluster.
pub(super) struct PostgresDatabase {
    admin_url: String,
    name: String,
    pub(super) url: String,
}

impl PostgresDatabase {
    pub(super) fn create() -> PostgresDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let admin_url = admin_url();
        let name = format!("http_{}_{number}", std::process::id());
        let (server, _) = admin_url.rsplit_once('/').unwrap();
        let database = PostgresDatabase { url: format!("{server}/{name}"), name, admin_url };
        // A process that was killed may have left one of the same name. `template0` is never in use by others.
        database.administer("DROP DATABASE IF EXISTS {} WITH (FORCE)");
        database.administer("CREATE DATABASE {} TEMPLATE template0");
        database
    }

    pub(super) fn remove(&self) {
        self.administer("DROP DATABASE {} WITH (FORCE)");
    }

    fn administer(&self, statement: &str) {
        let statement = statement.replace("{}", &self.name);
        runtime().block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.admin_url, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(&statement).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the cluster of the tests is named by whoever runs them")]
fn admin_url() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask postgres` and export what it prints")
    })
}

impl TestApp {
    /// What stands in every table, row by row, as text.
    pub(crate) async fn contents(&self) -> BTreeMap<String, String> {
        let mut tx = self.db().begin_read().await.unwrap();
        let is_postgres = self.db().is_shared();
        let list = if is_postgres {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        } else {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        };
        let tables: Vec<(String,)> = tx.fetch_all(list, ()).await.unwrap();
        assert!(15 <= tables.len(), "{tables:?}");
        let mut contents = BTreeMap::new();
        // A worker signs what was written before, whenever it is due, and a process says that it is alive.
        let is_by_itself = |table: &str| table.starts_with("log_") || ["key_holders", "key_uses"].contains(&table);
        for (table,) in tables.into_iter().filter(|(table,)| !is_by_itself(table)) {
            let sql = if is_postgres {
                format!("SELECT COALESCE(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} t")
            } else {
                let columns: Vec<(String,)> =
                    tx.fetch_all("SELECT name FROM pragma_table_info($1)", (table.as_str(),)).await.unwrap();
                let row: Vec<_> = columns.iter().map(|(name,)| format!("quote(\"{name}\")")).collect();
                format!("SELECT COALESCE(group_concat({}, char(10)), '') FROM {table}", row.join("||','||"))
            };
            let (text,): (String,) = tx.fetch_one(leaked(sql), ()).await.unwrap();
            contents.insert(table, text);
        }
        contents
    }

    /// The same without the trail, into which refusals are written behind their answers.
    pub(crate) async fn contents_but_the_trail(&self) -> BTreeMap<String, String> {
        let mut contents = self.contents().await;
        contents.retain(|table, _| !table.starts_with("trail"));
        contents
    }
}

/// Statements are constants; in a test a few may leak.
fn leaked(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}
