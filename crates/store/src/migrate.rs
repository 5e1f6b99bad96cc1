//! The schema: one history of migrations for both engines.
//!
//! What only one engine understands stands in a comment addressed to it, `/*sqlite: … */` or `/*postgres: … */`, and is
//! opened for that engine before it runs. The checksum recorded is that of the file itself.

use sqlx::AssertSqlSafe;
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, Migrator};

use crate::db::Db;
use crate::sqlite::SqliteFile;

static BOTH: Migrator = sqlx::migrate!("../../migrations");

/// How the schema of a database compares with the one that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is the one.
    Current,
    /// Migrations are missing.
    Old,
    /// It was made by a newer program.
    Newer,
}

impl Db {
    /// Brings the schema up to date; does nothing where it is.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Db::Sqlite(file) => file.migrate(&migrator("sqlite")).await,
            Db::Postgres(servers) => {
                let mut connection = servers.acquire().await?;
                // A migration of a large table takes as long as it takes; the connection is not used again.
                sqlx::raw_sql("SET statement_timeout = 0").execute(&mut *connection).await?;
                let done = migrator("postgres").run(&mut *connection).await;
                connection.close().await?;
                done
            }
        }
    }

    /// Compares the schema with the one that this program knows.
    pub async fn schema(&self) -> Result<Schema, MigrateError> {
        let known = BOTH.iter().map(|migration| migration.version).max().unwrap_or(0);
        Ok(match self.newest_applied().await? {
            version if version < known => Schema::Old,
            version if version == known => Schema::Current,
            _ => Schema::Newer,
        })
    }

    /// The version of the newest migration that was applied; 0 in a database that has none.
    async fn newest_applied(&self) -> Result<i64, MigrateError> {
        let mut tx = self.begin_read().await.map_err(|error| MigrateError::Source(error.into()))?;
        match tx.fetch_one("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations", ()).await {
            Ok((version,)) => Ok(version),
            Err(error) if is_missing_table(&error) => Ok(0),
            Err(error) => Err(MigrateError::Execute(error)),
        }
    }
}

impl SqliteFile {
    /// What sqlx does on PostgreSQL, with the same table of migrations and each migration in a transaction of its own.
    async fn migrate(&self, migrator: &Migrator) -> Result<(), MigrateError> {
        const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
            version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
        let mut tx = self.begin().await?;
        tx.execute_script(TABLE)?;
        tx.commit()?;
        for migration in migrator.iter() {
            let mut tx = self.begin().await?;
            let applied: Vec<(String,)> =
                tx.fetch("SELECT hex(checksum) FROM _sqlx_migrations WHERE version = $1", &(migration.version,), 1)?;
            let checksum: String = migration.checksum.iter().map(|byte| format!("{byte:02X}")).collect();
            match applied.first() {
                Some((before,)) if *before == checksum => continue,
                Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
                None => {}
            }
            tx.execute_script(migration.sql.as_str())?;
            tx.execute(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES ($1, $2, true, unhex($3), 0)",
                &(migration.version, migration.description.as_ref(), checksum),
            )?;
            tx.commit()?;
        }
        Ok(())
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| {
        database.code().as_deref() == Some("42P01") || database.message().starts_with("no such table")
    })
}

fn migrator(engine: &str) -> Migrator {
    let opened = |migration: &Migration| Migration {
        sql: AssertSqlSafe(for_engine(migration.sql.as_str(), engine)).into_sql_str(),
        ..migration.clone()
    };
    Migrator::with_migrations(BOTH.iter().map(opened).collect())
}

/// Opens the comments addressed to `engine`, as MySQL opens its own `/*! … */`.
fn for_engine(sql: &str, engine: &str) -> String {
    let marker = format!("/*{engine}:");
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once(&marker) {
        let (inside, tail) = after.split_once("*/").unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(inside);
        rest = tail;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::for_engine;

    #[test]
    fn only_the_comments_addressed_to_the_engine_are_opened() {
        let sql = "CREATE TABLE t (a BIGINT /*postgres: , CHECK (a > 0) */) /*sqlite: WITHOUT ROWID */;";
        assert_eq!(
            for_engine(sql, "sqlite"),
            "CREATE TABLE t (a BIGINT /*postgres: , CHECK (a > 0) */)  WITHOUT ROWID ;"
        );
        assert_eq!(
            for_engine(sql, "postgres"),
            "CREATE TABLE t (a BIGINT  , CHECK (a > 0) ) /*sqlite: WITHOUT ROWID */;"
        );
    }
}
