//! A database of its own for each test, with its secrets, gone when it is dropped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use directpay_store::{Db, PoolSize};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use super::process::Process;

const VARIABLE: &str = "DIRECTPAY_TEST_POSTGRES";

/// How long every payment may take to its final state: the claim of a killed worker runs out after 10 s, and a "not now" to a
/// repeated request counts only 30 s after the first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a test keeps everything.
pub(super) struct Place {
    folder: TempDir,
    pub(super) url: String,
    /// Held for its end.
    _postgres: Option<PostgresDatabase>,
}

impl Place {
    /// A SQLite file that does not exist yet.
    pub(super) fn on_sqlite() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("directpay.db").display());
        Place { folder, url, _postgres: None }
    }

    /// An empty PostgreSQL database and a secrets file.
    pub(super) fn on_empty_postgres() -> Place {
        let database = PostgresDatabase::create();
        let place = Place::at(database.url.clone());
        Place { _postgres: Some(database), ..place }
    }

    /// The same with a database that somebody else looks after.
    pub(super) fn at(url: String) -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), url, _postgres: None };
        let secrets = place.run(&["secrets"]);
        assert!(secrets.status.success());
        fs::write(place.secrets(), secrets.stdout).unwrap();
        fs::set_permissions(place.secrets(), fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    /// The same with its schema.
    pub(super) fn on_postgres() -> Place {
        let place = Place::on_empty_postgres();
        assert!(place.run(&["migrate"]).status.success());
        place
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder().join("directpay.db")
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.folder().join("directpay.secrets")
    }

    /// The binary with these arguments, settings for a bank that settles at once, and nothing of the surrounding environment.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare_command(arguments);
        command.env("DIRECTPAY_DATABASE_URL", &self.url).env("DIRECTPAY_SECRETS_FILE", self.secrets());
        command.env("DIRECTPAY_RAIL_DELAY_SCALE", "0").env("DIRECTPAY_RATE_LIMIT", "off");
        command.env("DIRECTPAY_LISTEN", "127.0.0.1:0").env("DIRECTPAY_LOG", "warn").current_dir(self.folder());
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a server and waits until it says where it listens.
    pub(super) fn serve(&self, arguments: &[&str]) -> Process {
        Process::start(self.command(&[&["serve"], arguments].concat())).listening()
    }

    /// The same with one more setting.
    pub(super) fn serve_with(&self, (name, value): (&str, &str), arguments: &[&str]) -> Process {
        let mut command = self.command(&[&["serve"], arguments].concat());
        command.env(name, value);
        Process::start(command).listening()
    }

    /// Starts a worker.
    pub(super) fn work(&self) -> Process {
        Process::start(self.command(&["worker"])).saying("working on ")
    }

    /// The same with one more setting.
    pub(super) fn work_with(&self, (name, value): (&str, &str)) -> Process {
        let mut command = self.command(&["worker"]);
        command.env(name, value);
        Process::start(command).saying("working on ")
    }

    /// The database, beside whoever works on it.
    pub(super) async fn db(&self) -> Db {
        if self.url.starts_with("sqlite:") {
            Db::open_sqlite(&self.file(), PoolSize(1)).await.unwrap()
        } else {
            Db::open_postgres(&self.url, PoolSize(2)).await.unwrap()
        }
    }

    /// Waits until no payment is on its way any more.
    pub(super) async fn settle(&self, db: &Db) {
        let mut waited = Duration::ZERO;
        while 0 < count(db, "SELECT COUNT(*) FROM payments WHERE status IN ('PENDING', 'PROCESSING')").await {
            if PATIENCE < waited {
                let verify = self.run(&["verify"]);
                panic!(
                    "still on their way: {:#?}\n{}",
                    on_their_way(db).await,
                    String::from_utf8_lossy(&verify.stdout)
                );
            }
            let pause = Duration::from_millis(50);
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }

    /// Every invariant holds.
    pub(super) fn verify(&self) {
        let output = self.run(&["verify"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The binary without any setting.
pub(super) fn bare_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_directpay"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub(super) async fn count(db: &Db, sql: &'static str) -> i64 {
    let mut tx = db.begin_read().await.unwrap();
    let (count,): (i64,) = tx.fetch_one(sql, ()).await.unwrap();
    count
}

/// What payments wait for: their status and work, and what the bank has of them.
async fn on_their_way(db: &Db) -> Vec<(String, i64, Option<String>, Option<i64>, Option<i64>)> {
    const SELECT: &str = "SELECT p.status, p.attempt, w.what, w.due_at, w.claimed_until FROM payments p
         LEFT JOIN due_work w ON w.payment_id = p.id WHERE p.status IN ('PENDING', 'PROCESSING') LIMIT 20";
    let mut tx = db.begin_read().await.unwrap();
    tx.fetch_all(SELECT, ()).await.unwrap()
}

/// An empty database on the cluster that the tests are given.
struct PostgresDatabase {
    name: String,
    url: String,
}

impl PostgresDatabase {
    fn create() -> PostgresDatabase {
        let name = format!("processes_{}", directpay_server::clock::new_id().simple());
        // `template0` is never in use by others.
        administer(format!("CREATE DATABASE {name} TEMPLATE template0"));
        let admin_url = admin_url();
        let (server, _) = admin_url.rsplit_once('/').unwrap();
        PostgresDatabase { url: format!("{server}/{name}"), name }
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        administer(format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Runs a statement on the cluster; on a thread of its own, because tests call it from inside and outside of a runtime.
fn administer(statement: String) {
    let run = async move {
        let (client, connection) = tokio_postgres::connect(&admin_url(), NoTls).await.unwrap();
        let talking = tokio::spawn(connection);
        client.batch_execute(&statement).await.unwrap();
        drop(client);
        talking.await.unwrap().unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || runtime.block_on(run)).join().unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the cluster of the tests is named by whoever runs them")]
pub(super) fn admin_url() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask postgres` and export what it prints")
    })
}

/// A number by which a run can be made longer.
#[expect(clippy::disallowed_methods, reason = "how long a test lasts is named by whoever runs it")]
pub(super) fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
