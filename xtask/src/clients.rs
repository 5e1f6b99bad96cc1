//! `cargo xtask test-clients`: what others make of the API document works.
//!
//! Two linters look at the document, two generators make clients of it, with each client Bob pays Alice on a server of our
//! own, and libraries that others have written verify its webhooks. Not part of `cargo xtask test`: it needs Python, Node.js, and packages from PyPI and npm.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::server::{Deployment, Serving};
use crate::{packages, process, table, workspace};

/// What `cargo xtask test-clients` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Take this `directpay` instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// A folder under the target directory in which everything is made.
struct Workshop {
    folder: PathBuf,
    /// The programs of the Python environment.
    python: PathBuf,
}

/// Fails at the first that does not work.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    for program in ["python3", "npm", "node"] {
        ensure!(packages::is_on_path(program), "{program} is not installed");
    }
    let binary = workspace::release_binaries(arguments.binary.as_deref())?.directpay;
    let workshop = Workshop::set_up()?;
    workshop.write_document(&binary)?;
    workshop.lint()?;
    workshop.generate()?;
    workshop.tell_stories(binary)?;
    let mut table = table::new(["what", "outcome"]);
    for checked in [
        "spectral and redocly",
        "openapi-python-client, and its story",
        "@hey-api/openapi-ts, and its story",
        "webhooks, by standardwebhooks of PyPI and npm",
    ] {
        table.add_row([checked, "clean"]);
    }
    println!("\n{table}");
    Ok(ExitCode::SUCCESS)
}

impl Workshop {
    /// Installs what is needed, unless it is there from the last time, and copies what is ours.
    fn set_up() -> Result<Workshop> {
        let folder = workspace::target_dir().join("clients");
        fs::create_dir_all(&folder)?;
        let ours = workspace::root().join("xtask/clients");
        for file in [
            "package.json",
            "requirements.txt",
            "openapi-ts.config.mjs",
            "tsconfig.json",
            "story.py",
            "story.ts",
            "webhooks.py",
            "webhooks.mjs",
        ] {
            fs::copy(ours.join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        for file in [".spectral.yaml", "redocly.yaml"] {
            fs::copy(workspace::root().join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        let python = packages::python_environment(&folder.join("python"), &["-r", "requirements.txt"], &folder)?;
        let workshop = Workshop { folder, python };
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-fund", "--no-audit", "--loglevel=error"]);
        workshop.must(&mut npm, "npm cannot install the generators and linters")?;
        Ok(workshop)
    }

    fn write_document(&self, binary: &Path) -> Result<()> {
        let output = Command::new(binary).arg("openapi").output()?;
        ensure!(output.status.success(), "`directpay openapi` failed");
        Ok(fs::write(self.folder.join("openapi.json"), output.stdout)?)
    }

    /// No error and no warning, by either of them.
    fn lint(&self) -> Result<()> {
        let mut spectral = self.node_program("spectral");
        self.must(spectral.args(["lint", "openapi.json", "--fail-severity", "warn"]), "spectral has objections")?;
        let mut redocly = self.node_program("redocly");
        redocly.args(["lint", "openapi.json", "--format", "json"]);
        let output = redocly.env("REDOCLY_TELEMETRY", "off").current_dir(&self.folder).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&said).with_context(|| format!("redocly says: {said}"))?;
        let count = |kind: &str| report["totals"][kind].as_u64();
        ensure!((count("errors"), count("warnings")) == (Some(0), Some(0)), "redocly has objections: {said}");
        Ok(())
    }

    fn generate(&self) -> Result<()> {
        let client = self.folder.join("directpay_client");
        if client.exists() {
            fs::remove_dir_all(&client)?;
        }
        let mut python = Command::new(self.python.join("openapi-python-client"));
        python.args(["generate", "--path", "openapi.json", "--meta", "none", "--fail-on-warning"]);
        python.args(["--output-path", "directpay_client"]);
        // It calls `ruff`, which stands beside it.
        let path = env::join_paths(
            [self.python.clone()].into_iter().chain(env::var_os("PATH").iter().flat_map(env::split_paths)),
        )?;
        self.must(python.env("PATH", path), "no client in Python can be made")?;
        self.must(&mut self.node_program("openapi-ts"), "no client in TypeScript can be made")?;
        self.must(self.node_program("tsc").args(["--project", "."]), "the story in TypeScript does not fit the client")
    }

    fn tell_stories(&self, binary: PathBuf) -> Result<()> {
        let home = tempfile::Builder::new().prefix("directpay-clients-").tempdir()?;
        let deployment = Deployment::on_sqlite(binary, home.path(), &home.path().join("directpay.db"))?;
        let server = deployment.serve(Serving::WebhooksHere)?;
        let mut python = Command::new(self.python.join("python"));
        self.must(python.args(["story.py", &server.url]), "the story in Python failed")?;
        self.must(Command::new("node").args(["built/story.js", &server.url]), "the story in TypeScript failed")?;
        python = Command::new(self.python.join("python"));
        self.must(python.args(["webhooks.py", &server.url, "taken.json"]), "Python does not verify our webhooks")?;
        self.must(Command::new("node").args(["webhooks.mjs", "taken.json"]), "Node.js does not verify our webhooks")?;
        server.stop()?;
        deployment.verify().context("the stories left the books in disorder")
    }

    fn node_program(&self, name: &str) -> Command {
        Command::new(self.folder.join("node_modules/.bin").join(name))
    }

    fn must(&self, command: &mut Command, complaint: &'static str) -> Result<()> {
        ensure!(process::run(command.current_dir(&self.folder))?.success(), complaint);
        Ok(())
    }
}
