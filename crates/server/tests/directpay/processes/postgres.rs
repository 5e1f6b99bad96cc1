//! PostgreSQL servers of a test's own, to be killed and promoted.
//!
//! They are made of the programs behind the cluster that the tests are given, and run as its owner: PostgreSQL refuses to
//! run as root.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use directpay_server::clock::Stopwatch;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::place::admin_url;

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Runs a server until the pipe to its standard input closes: it does not outlive the test.
const GUARD: &str = r#""$@" </dev/null & server=$!; read -r _; kill -QUIT $server 2>/dev/null; wait $server"#;

/// The programs, and whom they have to run as.
#[derive(Clone)]
pub(super) struct Installation {
    programs: PathBuf,
    owner: Option<(u32, u32)>,
}

/// A server that ends when it is dropped, and its files with it.
pub(super) struct Server {
    installation: Installation,
    home: TempDir,
    port: u16,
    guard: Option<Child>,
}

impl Installation {
    pub(super) async fn find() -> Installation {
        let programs = ask(&admin_url(), "SELECT setting FROM pg_config WHERE name = 'BINDIR'").await.unwrap();
        let data = ask(&admin_url(), "SHOW data_directory").await.unwrap();
        let owner = geteuid().is_root().then(|| fs::metadata(&data[0]).unwrap());
        let owner = owner.map(|owner| (owner.uid(), owner.gid()));
        Installation { programs: PathBuf::from(&programs[0]), owner }
    }

    /// A server with an empty database of its own.
    pub(super) async fn primary(&self) -> Server {
        let server = self.make();
        let data = server.data();
        let arguments = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", &data];
        server.run("initdb", &arguments);
        server.start().await
    }

    fn make(&self) -> Server {
        let home = tempfile::tempdir().unwrap();
        if let Some((uid, gid)) = self.owner {
            chown(home.path(), Some(uid), Some(gid)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Server { installation: self.clone(), home, port, guard: None }
    }
}

impl Server {
    /// A copy that follows this server; from now on this one acknowledges nothing that the copy has not on its disk.
    pub(super) async fn synchronous_standby(&self) -> Server {
        let standby = self.installation.make();
        let (data, primary) = (standby.data(), self.url("postgres"));
        let copy = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata", &data, "--dbname", &primary];
        standby.run("pg_basebackup", &copy);
        let standby = standby.start().await;
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        self.sql("SELECT pg_reload_conf()").await;
        self.until("SELECT sync_state FROM pg_stat_replication", "sync").await;
        standby
    }

    pub(super) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.place())
    }

    /// Runs a statement and reads the first column of its rows.
    pub(super) async fn sql(&self, statement: &str) -> Vec<String> {
        ask(&self.url("postgres"), statement).await.unwrap()
    }

    /// Waits until `query` answers with `wanted`.
    pub(super) async fn until(&self, query: &str, wanted: &str) {
        let waiting = Stopwatch::start();
        loop {
            let answer = ask(&self.url("postgres"), query).await;
            if answer.as_ref().is_ok_and(|rows| rows.first().is_some_and(|first| first == wanted)) {
                return;
            }
            assert!(waiting.elapsed() < PATIENCE, "{query}: {answer:?} and not {wanted}; {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9, of the server and of every process of its own.
    pub(super) async fn kill(&mut self) {
        let children = self.sql("SELECT pid FROM pg_stat_activity").await;
        let postmaster = fs::read_to_string(format!("{}/postmaster.pid", self.data())).unwrap();
        for pid in postmaster.lines().take(1).chain(children.iter().map(String::as_str)) {
            // Some have ended meanwhile, at the latest the one that answered.
            let _gone = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL);
        }
        self.end();
    }

    /// Makes a standby the primary.
    pub(super) async fn promote(&self) {
        self.run("pg_ctl", &["promote", "--pgdata", &self.data()]);
        self.until("SELECT pg_is_in_recovery()::text", "false").await;
    }

    /// Starts it, for the first time or again.
    pub(super) async fn start(mut self) -> Server {
        let log = fs::File::create(self.home.path().join("log")).unwrap();
        let mut command = self.command("sh");
        command.args(["-c", GUARD, "sh"]).arg(self.installation.programs.join("postgres")).args(["-D", &self.data()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={}", self.port)]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "wal_retrieve_retry_interval=100ms"]);
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        self.guard = Some(command.spawn().unwrap());
        self.until("SELECT 'there'", "there").await;
        self
    }

    /// Runs a program of the installation to its end.
    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.installation.programs.join(program);
        let output = self.command(path.to_str().unwrap()).args(arguments).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.home.path());
        if let Some((uid, gid)) = self.installation.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn data(&self) -> String {
        format!("{}/data", self.home.path().display())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Server {
    /// Lets go of it and waits for its end.
    fn end(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn ask(url: &str, statement: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let talking = tokio::spawn(connection);
    let answers = client.simple_query(statement).await?;
    drop(client);
    // Only its end is of interest.
    let _ended = talking.await;
    let first = |answer: &SimpleQueryMessage| {
        let SimpleQueryMessage::Row(row) = answer else { return None };
        row.get(0).map(str::to_owned)
    };
    Ok(answers.iter().filter_map(first).collect())
}
