//! An engine with a database of its own, and what that database takes of the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use tempfile::TempDir;

use super::usage;
use crate::postgres::{Cluster, Durability};
use crate::seed::{self, Town};
use crate::server::Deployment;

const DATABASE: &str = "bench";
const SPARE: &str = "floor";

/// Payments of one stored tenancy, and how many tenancies there are at least and at most.
const STORED_EACH: u64 = 1000;
const STORED_TENANCIES: (u64, u64) = (10, 5000);

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Engine {
    /// One file, in the server's own process.
    Sqlite,
    /// A server of its own.
    Postgres,
}

impl Engine {
    pub(super) const ALL: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

    pub(super) fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

/// What is in the database before anything is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) enum Stored {
    #[default]
    Nothing,
    /// So many settled payments.
    Payments(u64),
    /// What is in this SQLite file; it is not removed.
    File(PathBuf),
}

/// Where one engine is measured; dropping it removes everything.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) deployment: Deployment,
    database: Database,
    home: TempDir,
}

/// Where the rows are.
#[derive(Debug)]
enum Database {
    File(PathBuf),
    Cluster(Cluster),
}

impl Site {
    /// A database of `engine` under `directory`, for the server `binary`: an empty one, or the stored file.
    pub(super) fn make(engine: Engine, binary: &Path, directory: &Path, stored: &Stored) -> Result<Site> {
        let home = tempfile::Builder::new().prefix("directpay-bench-").tempdir_in(directory)?;
        let (deployment, database) = match engine {
            Engine::Sqlite => {
                let file = match stored {
                    Stored::Nothing | Stored::Payments(_) => home.path().join("directpay.db"),
                    Stored::File(file) => file.clone(),
                };
                (Deployment::on_sqlite(binary.to_owned(), home.path(), &file)?, Database::File(file))
            }
            Engine::Postgres => {
                let cluster = Cluster::start_in(directory, Durability::Full)?;
                let url = cluster.create_database(DATABASE)?;
                (Deployment::on_postgres(binary.to_owned(), home.path(), url)?, Database::Cluster(cluster))
            }
        };
        Ok(Site { deployment, database, home })
    }

    /// Fills the empty database with so many settled payments.
    pub(super) fn fill(&self, bulk: &Path, payments: u64) -> Result<()> {
        let (least, most) = STORED_TENANCIES;
        let tenancies = payments.div_ceil(STORED_EACH).clamp(least, most);
        let town = Town { payments, tenancies, tenancies_each: Town::TENANCIES_EACH, months: None };
        seed::fill(bulk, self.deployment.url(), town)
    }

    /// A folder for files of the measurement, on the disk that is measured.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// What the database takes on the disk; nobody may be writing.
    pub(super) fn database_bytes(&self) -> Result<u64> {
        match &self.database {
            Database::File(file) => {
                let log = PathBuf::from(format!("{}-wal", file.display()));
                Ok(fs::metadata(file)?.len() + fs::metadata(log).map_or(0, |log| log.len()))
            }
            Database::Cluster(cluster) => cluster.size_of(DATABASE),
        }
    }

    /// The processor time that the database's own processes took so far, if it has any.
    pub(super) fn database_processor_us(&self) -> Result<Option<u64>> {
        match &self.database {
            Database::File(_) => Ok(None),
            Database::Cluster(cluster) => Ok(Some(usage::family_processor_us(usage::child_of(cluster.guard_id())?)?)),
        }
    }

    /// The memory of the database's own processes now, if it has any.
    pub(super) fn database_kib(&self) -> Result<Option<u64>> {
        match &self.database {
            Database::File(_) => Ok(None),
            Database::Cluster(cluster) => Ok(Some(usage::family_kib(usage::child_of(cluster.guard_id())?)?)),
        }
    }

    /// Another database, empty, for as long as `work` takes; it is told the address.
    pub(super) fn with_spare<T>(&self, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        match &self.database {
            Database::File(_) => {
                let folder = tempfile::tempdir_in(self.home())?;
                work(&format!("sqlite://{}", folder.path().join("floor.db").display()))
            }
            Database::Cluster(cluster) => {
                let done = work(&cluster.create_database(SPARE)?)?;
                cluster.drop_database(SPARE)?;
                Ok(done)
            }
        }
    }
}
