//! Runs a story on a fresh database of each engine.
//!
//! SQLite gets a file in a temporary directory, PostgreSQL a database of its own on the cluster named by
//! `DIRECTPAY_TEST_POSTGRES`. Both are removed afterwards, whatever became of the story.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use directpay_store::{Db, PoolSize};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::runtime::{Builder, Runtime};

use crate::plans;
use crate::world::World;

const VARIABLE: &str = "DIRECTPAY_TEST_POSTGRES";
const CONNECTIONS: PoolSize = PoolSize(6);

/// Tells `story` twice, each time in a world of its own.
pub(crate) fn on_both_engines(story: impl AsyncFn(&World)) {
    on_sqlite(&story);
    on_postgres(&story);
}

pub(crate) fn on_sqlite(story: impl AsyncFn(&World)) {
    println!("on SQLite");
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let db = Db::open_sqlite(&directory.path().join("contract.db"), CONNECTIONS).await.unwrap();
        tell(db, &story).await;
    });
}

pub(crate) fn on_postgres(story: impl AsyncFn(&World)) {
    println!("on PostgreSQL");
    at_postgres(async |url| {
        let db = Db::open_postgres(url, CONNECTIONS).await.unwrap();
        tell(db, &story).await;
    });
}

/// For stories about the connections themselves, which are given the address of an empty database.
pub(crate) fn at_postgres(story: impl AsyncFn(&str)) {
    let database = Database::create();
    let told = catch_unwind(AssertUnwindSafe(|| runtime().block_on(story(&database.url))));
    database.remove();
    told.unwrap_or_else(|panic| resume_unwind(panic));
}

async fn tell(db: Db, story: &impl AsyncFn(&World)) {
    db.migrate().await.unwrap();
    plans::watch();
    let world = World::new(db);
    story(&world).await;
    plans::check(&world.db).await;
    world.db.close().await;
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// An empty database on the cluster.
struct Database {
    admin_url: String,
    name: String,
    url: String,
}

impl Database {
    fn create() -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let admin_url = admin_url();
        let name = format!("contract_{}_{number}", std::process::id());
        let (server, _) = admin_url.rsplit_once('/').unwrap();
        let database = Database { url: format!("{server}/{name}"), name, admin_url };
        // A process that was killed may have left one of the same name. `template0` is never in use by others.
        database.administer(&["DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {} TEMPLATE template0"]);
        database
    }

    fn remove(&self) {
        self.administer(&["DROP DATABASE {} WITH (FORCE)"]);
    }

    fn administer(&self, statements: &[&str]) {
        runtime().block_on(async {
            let mut connection = PgConnection::connect(&self.admin_url).await.unwrap();
            for statement in statements {
                connection.execute(AssertSqlSafe(statement.replace("{}", &self.name))).await.unwrap();
            }
            connection.close().await.unwrap();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the cluster of the tests is named by whoever runs them")]
fn admin_url() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask postgres` and export what it prints")
    })
}
