//! The files of the workspace, as text.

use std::fs;
use std::path::Path;

use crate::rust::Rust;

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 3] = ["target", "node_modules", ".git"];

/// A file with its path from the workspace's root.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    pub(crate) fn of_workspace() -> Tree {
        let mut files = Vec::new();
        collect(xtask::workspace::root(), "", &mut files);
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Tree { files }
    }

    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Tree { files: files.iter().map(file).collect() }
    }

    pub(crate) fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn within<'t>(&'t self, folder: &'t str) -> impl Iterator<Item = &'t File> {
        self.files.iter().filter(move |file| file.path.starts_with(folder))
    }

    /// Every Rust file of the crates and of the xtask, tests included.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, Rust)> {
        let rust = self.files.iter().filter(|file| file.path.ends_with(".rs"));
        rust.map(|file| (file, Rust::read(&file.text)))
    }

    /// What of the crates (not of the xtask) is shipped: no `tests` folder, nothing under `#[cfg(test)]`.
    pub(crate) fn production(&self) -> impl Iterator<Item = (&File, Rust)> {
        let for_tests = self.test_modules();
        self.rust().filter(|(file, _)| file.path.starts_with("crates/") && file.path.contains("/src/")).filter_map(
            move |(file, rust)| {
                (!for_tests.contains(&file.path) && !is_for_tests(&file.path)).then(|| (file, rust.without_tests()))
            },
        )
    }

    /// The files behind each `#[cfg(test)] mod name;`.
    fn test_modules(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for (file, rust) in self.rust() {
            let stem = file.path.trim_end_matches(".rs");
            let folder = match stem.rsplit_once('/') {
                Some((folder, "lib" | "main" | "mod")) => folder,
                _ => stem,
            };
            for name in rust.test_module_names() {
                paths.push(format!("{folder}/{name}.rs"));
                paths.push(format!("{folder}/{name}/mod.rs"));
            }
        }
        paths
    }
}

fn is_for_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            if !FOREIGN.contains(&name.as_str()) && !name.starts_with(".venv") {
                collect(&entry.path(), &format!("{path}/"), files);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
}
