//! `demo`: the whole story on a throw-away database, told over real HTTP; any step that is not as it should be ends it.
#![expect(clippy::print_stdout, reason = "the story is what the command is for")]

mod story;
mod visitor;

use std::net::SocketAddr;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use directpay_domain::rail::DelayScale;

use self::visitor::Visitor;
use super::{serve, verify};
use crate::clock::Clock;
use crate::config::{BATCH_MAX, Database, DatabaseUrl, LimitArgs, MailArgs, SecretsPlace};
use crate::origin::TrustedProxies;
use crate::running::{self, Company, Manner, Running, SchemaPolicy, Server, StopSignals};
use crate::webhooks::addresses::Allowed;

/// How the demonstration ends.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Leave the server running with the data of the story, and say how to sign in
    #[arg(long)]
    keep: bool,

    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Multiplies the simulator's delays
    #[arg(long, default_value = "0.5", value_parser = |text: &str| DelayScale::parse(text).map_err(|e| e.to_string()))]
    rail_delay_scale: DelayScale,
}

/// Tells the story; an error if any step is not as it should be.
pub async fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    // Before anything is made: whoever loses patience leaves nothing behind either.
    let mut stop = StopSignals::watch()?;
    let folder = tempfile::tempdir().context("cannot make a folder for the database")?;
    let file = folder.path().join("directpay.db");
    let secrets = SecretsPlace::MadeIfMissing(file.with_extension("secrets"));
    let database = Database { url: DatabaseUrl::Sqlite(file), secrets: secrets.into() };
    let opened = running::open(&database.url, Company::Alone, SchemaPolicy::Migrate).await?;
    let manner = Manner {
        scale: args.rail_delay_scale,
        batch_max: BATCH_MAX,
        limits: LimitArgs::DEFAULT,
        trusted_proxies: TrustedProxies::default(),
        workers: true,
        metrics_listen: None,
        webhook_allow: Allowed::default(),
        mail: MailArgs::default().resolve(&database.url)?,
    };
    let running = Running::start(opened, &database, Clock::default(), manner).await?;
    let server = Server::start(&running.app, args.listen).await?;
    let told = tokio::select! {
        told = tell(&running, &server) => told,
        () = stop.told() => Err(anyhow!("the story was interrupted")),
    };
    if let (Ok(visitors), true) = (&told, args.keep) {
        keep(&server, visitors);
        stop.told().await;
    } else if told.is_ok() {
        println!("Nothing is left behind. `directpay demo --keep` leaves it running for you to try.");
    }
    server.finish().await;
    running.finish().await;
    folder.close().context("cannot remove the demonstration's folder")?;
    told.map(drop)
}

async fn tell(running: &Running, server: &Server) -> anyhow::Result<[Visitor; 2]> {
    let visitors = story::tell(&format!("http://{}", server.address)).await?;
    println!("\nAnd does it all add up? Every invariant, checked:");
    let audit = verify::with_progress(&running.app.db).await?;
    verify::print(&audit);
    if !audit.is_clean() {
        bail!("the books do not add up");
    }
    println!("\nIt adds up.");
    Ok(visitors)
}

fn keep(server: &Server, visitors: &[Visitor]) {
    println!("\nThe server keeps running with this data until Ctrl-C. Sign in with:");
    for visitor in visitors {
        println!("  {:<20} {}", visitor.email, visitor.password);
    }
    println!("Try it at http://{}/docs", server.address);
    serve::announce(server);
}
