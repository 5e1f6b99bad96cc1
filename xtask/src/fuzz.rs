//! `cargo xtask fuzz-api`: schemathesis holds a running server against its own OpenAPI document.
//!
//! Not part of `cargo xtask test`: it needs Python, a package from PyPI, and some minutes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::api::{Api, Person, Role};
use crate::server::{Deployment, Server, Serving};
use crate::{packages, process, table, workspace};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// What every answer must be, whatever was sent: documented in all its parts, and never our fault.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
    response_headers_conformance,unsupported_method,allow_header_conformance,ignored_auth";

/// What `cargo xtask fuzz-api` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The most test cases for each operation, in each phase and for each caller.
    #[arg(long, default_value_t = 40)]
    examples: u32,
    /// Repeat a run with the seed that it printed.
    #[arg(long)]
    seed: Option<u128>,
    /// Take this `directpay` instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Somebody whom the fuzzer plays.
struct Caller {
    name: &'static str,
    person: Option<Person>,
}

/// Fuzzes as nobody, as a landlord and as a renter, and fails when any of them finds something.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let schemathesis = install()?;
    let binary = workspace::release_binaries(arguments.binary.as_deref())?.directpay;
    let home = tempfile::Builder::new().prefix("directpay-fuzz-").tempdir()?;
    let deployment = Deployment::on_sqlite(binary, home.path(), &home.path().join("directpay.db"))?;
    let mut server = deployment.serve(Serving::Everything)?;
    let mut table = table::new(["caller", "outcome"]);
    let mut clean = true;
    for role in [None, Some(Role::Landlord), Some(Role::Renter)] {
        // Signed in just before: an access token lives for 15 minutes.
        let caller = caller(&server, role)?;
        println!("\n== as {} ==", caller.name);
        let passed = fuzz(&schemathesis, &server.url, &caller, arguments, home.path())?;
        ensure!(server.is_running()?, "the server is gone: {}", deployment.log_tail());
        table.add_row([caller.name, if passed { "clean" } else { "FAILURES, see above" }]);
        clean &= passed;
    }
    server.stop()?;
    deployment.verify().context("the fuzzer left the books in disorder")?;
    table.add_row(["directpay verify, afterwards", "clean"]);
    println!("\n{table}");
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fuzz(schemathesis: &Path, url: &str, caller: &Caller, arguments: &Arguments, home: &Path) -> Result<bool> {
    let mut command = Command::new(schemathesis);
    command.args(["run", &format!("{url}/openapi.json"), "--checks", CHECKS]);
    command.args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", &arguments.examples.to_string()]);
    command.args(["--request-timeout", "30", "--suppress-health-check", "all", "--generation-database", "none"]);
    command.args(["--continue-on-failure", "--no-color"]);
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(person) = &caller.person {
        command.args(["--header", &format!("Authorization: Bearer {}", person.token)]);
    }
    // Whatever it leaves behind, it leaves there.
    Ok(process::run(command.current_dir(home))?.success())
}

fn caller(server: &Server, role: Option<Role>) -> Result<Caller> {
    let name = match role {
        None => "nobody",
        Some(Role::Landlord) => "a landlord",
        Some(Role::Renter) => "a renter",
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let api = Api::new(&server.url)?;
    let person = role.map(|role| runtime.block_on(api.sign_up(role))).transpose()?;
    Ok(Caller { name, person })
}

/// Puts schemathesis into a virtual environment of the workspace, unless it is there already.
fn install() -> Result<PathBuf> {
    let environment = workspace::root().join(".venv-fuzz");
    Ok(packages::python_environment(&environment, &[SCHEMATHESIS], workspace::root())?.join("schemathesis"))
}
