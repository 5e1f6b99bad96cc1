//! Migrations that were released are frozen: a database that ran them will not run them again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::workspace;

/// One migration file, as it is or as it was when it was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The file's name, which starts with its number.
    pub name: String,
    /// Its SHA-256, in hexadecimal digits.
    pub digest: String,
}

/// Where the frozen ones are listed, one a line: digest and name.
pub fn list_path() -> PathBuf {
    workspace::root().join("xtask/tests/migrations.frozen")
}

/// The migrations in `folder`, in their order; none if there is no such folder yet.
pub fn in_folder(folder: &Path) -> Result<Vec<Migration>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".sql")) else {
            continue;
        };
        found.push(Migration { name: name.to_owned(), digest: digest(&fs::read(&path)?) });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The frozen migrations in a list's `text`; a line that starts with `#` is a remark.
pub fn in_list(text: &str) -> Result<Vec<Migration>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (digest, name) = line.split_once("  ").with_context(|| format!("not a digest and a name: {line}"))?;
            Ok(Migration { name: name.to_owned(), digest: digest.to_owned() })
        })
        .collect()
}

/// What is wrong with the `present` migrations, given those that are `frozen`.
pub fn breaches(frozen: &[Migration], present: &[Migration]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, migration) in present.iter().enumerate() {
        if !migration.name.starts_with(&format!("{:04}_", index + 1)) {
            found.push(format!("{}: migrations are numbered 0001_, 0002_, … without gaps", migration.name));
        }
    }
    for (index, old) in frozen.iter().enumerate() {
        match present.get(index) {
            Some(now) if now == old => {}
            Some(now) if now.name == old.name => {
                found.push(format!("{}: it was released and must not change; append a new migration", old.name));
            }
            _ => found.push(format!("{}: it was released and must stay in its place", old.name)),
        }
    }
    found
}

/// `cargo xtask freeze-migrations`: appends those that are not frozen yet to the list.
pub fn freeze() -> Result<ExitCode> {
    let path = list_path();
    let mut text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let frozen = in_list(&text)?;
    let present = in_folder(&workspace::root().join("migrations"))?;
    if let Some(breach) = breaches(&frozen, &present).first() {
        bail!("{breach}");
    }
    for new in present.iter().skip(frozen.len()) {
        println!("frozen: {}", new.name);
        text.push_str(&format!("{}  {}\n", new.digest, new.name));
    }
    fs::write(&path, text)?;
    Ok(ExitCode::SUCCESS)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Migration, breaches, in_list};

    fn migration(name: &str, digest: &str) -> Migration {
        Migration { name: name.to_owned(), digest: digest.to_owned() }
    }

    #[test]
    fn a_new_migration_may_be_appended() {
        let frozen = in_list("# remark\naa  0001_users.sql\n").unwrap();
        let present = [migration("0001_users.sql", "aa"), migration("0002_leases.sql", "bb")];
        assert_eq!(breaches(&frozen, &present), Vec::<String>::new());
    }

    #[test]
    fn a_frozen_migration_may_neither_change_nor_move_nor_go() {
        let frozen = [migration("0001_users.sql", "aa")];
        for present in [vec![migration("0001_users.sql", "bb")], vec![migration("0001_other.sql", "aa")], vec![]] {
            assert_eq!(breaches(&frozen, &present).len(), 1, "{present:?}");
        }
    }

    #[test]
    fn numbers_have_no_gaps() {
        let present = [migration("0001_users.sql", "aa"), migration("0003_leases.sql", "bb")];
        assert_eq!(breaches(&[], &present).len(), 1);
    }
}
