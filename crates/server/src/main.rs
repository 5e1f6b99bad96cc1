//! The binary `directpay`: one command for each role.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use directpay_server::commands::{admin, audit, demo, export, health, keys, report, run_day, serve, verify};
use directpay_server::config::{DatabaseArgs, LogArgs, ServeArgs, WorkArgs};
use directpay_server::running::{self, Company, SchemaPolicy};
use directpay_server::secrets;
use directpay_server::telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rent moves straight from a renter's bank account to the landlord's, exactly once.
#[derive(Parser)]
#[command(name = "directpay", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Subcommand)]
enum Command {
    /// API and embedded workers in one process; runs when no command is named
    Serve(ServeArgs),
    /// Workers only; any number beside any number of `serve --no-workers` on one PostgreSQL
    Worker(WorkArgs),
    /// Bring the schema up to date
    Migrate,
    /// The whole story on a throw-away database, step by step
    Demo(demo::DemoArgs),
    /// Re-fold every payment and check every invariant
    Verify,
    /// Whether anybody changed what happened, and proofs for others
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Sandbox: go to a day, and do what is due on it
    RunDay(run_day::RunDayArgs),
    /// Administrators
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Take the books elsewhere
    #[command(subcommand)]
    Export(ExportCommand),
    /// What a landlord's books say, as a table
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Print a fresh secrets file, wrapped where there is a master key
    Secrets,
    /// The keys of the secrets file: who uses which, and how one takes the place of another
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print the API document
    Openapi,
    /// Ask a server whether it is ready; the exit status tells
    Health(HealthArgs),
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Make an administrator; the password is read from standard input
    Create {
        /// The e-mail address to sign in with
        #[arg(long)]
        email: String,
        /// The name that others see
        #[arg(long, default_value = "Administrator")]
        name: String,
    },
}

#[derive(Subcommand)]
enum ExportCommand {
    /// The whole ledger as a plain-text journal, in the form that hledger reads
    Journal(export::JournalArgs),
}

#[derive(Args)]
struct HealthArgs {
    /// Address on which the server listens
    #[arg(long, env = "DIRECTPAY_LISTEN", default_value = "127.0.0.1:8080")]
    listen: std::net::SocketAddr,
}

/// For `directpay` without a command: what `serve` takes.
#[derive(Parser)]
struct Bare {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Reads the arguments. Flags that only `serve` has are taken for its own where no command is named, and what is wrong with one of
/// them is said.
fn read_arguments() -> Cli {
    let error = match Cli::try_parse() {
        Ok(cli) => return cli,
        Err(error) if error.kind() == ErrorKind::UnknownArgument => error,
        Err(error) => error.exit(),
    };
    match Bare::try_parse() {
        Ok(Bare { serve, database, log }) => Cli { command: Some(Command::Serve(serve)), database, log },
        Err(of_serve) if of_serve.kind() != ErrorKind::UnknownArgument => of_serve.exit(),
        Err(_) => error.exit(),
    }
}

fn main() -> anyhow::Result<ExitCode> {
    // Every file that is made is for its owner only: database, log, lock, secrets.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = read_arguments();
    let telemetry = Telemetry::start(&cli.log, traces_endpoint(&cli))?;
    let ended = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(cli));
    telemetry.finish();
    ended
}

/// Where traces go; only what runs for long makes any.
fn traces_endpoint(cli: &Cli) -> Option<String> {
    let runs_for_long = matches!(cli.command, None | Some(Command::Serve(_) | Command::Worker(_)));
    cli.log.traces_endpoint().filter(|_| runs_for_long)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let database = cli.database.resolve()?;
    match cli.command {
        None => serve::serve(&database, &Bare::parse_from(["directpay"]).serve).await?,
        Some(Command::Serve(args)) => serve::serve(&database, &args).await?,
        Some(Command::Worker(work)) => serve::worker(&database, work).await?,
        Some(Command::Migrate) => migrate(&database).await?,
        Some(Command::Demo(args)) => demo::demo(&args).await?,
        Some(Command::RunDay(args)) => run_day::run_day(&database, args).await?,
        Some(Command::Verify) => return verify::verify(&database).await,
        Some(Command::Audit(command)) => return audit::audit(&database, &command).await,
        Some(Command::Admin(AdminCommand::Create { email, name })) => admin::create(&database, &email, &name).await?,
        Some(Command::Export(ExportCommand::Journal(args))) => export::journal(&database, &args).await?,
        Some(Command::Report(command)) => report::report(&database, &command).await?,
        Some(Command::Secrets) => print(&secrets::fresh_text(&database.secrets.master)?),
        Some(Command::Keys(command)) => return keys::keys(&database, command).await,
        Some(Command::Openapi) => print(&directpay_server::api::document_text()?),
        Some(Command::Health(args)) => health::health(args.listen).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn migrate(database: &directpay_server::config::Database) -> anyhow::Result<()> {
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Migrate).await?;
    opened.db.close().await;
    print("the schema is up to date\n");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what these commands are for")]
fn print(text: &str) {
    print!("{text}");
}
