//! `serve` and `worker`.
#![expect(clippy::print_stdout, reason = "where it listens is told on standard output")]

use std::io::Write;

use crate::clock::Clock;
use crate::config::{Database, LimitArgs, ServeArgs, WorkArgs};
use crate::origin::TrustedProxies;
use crate::running::{self, Company, Manner, Running, SchemaPolicy, Server, StopSignals};

/// API, and workers unless they are left to others, until told to stop.
pub async fn serve(database: &Database, args: &ServeArgs) -> anyhow::Result<()> {
    let policy = if args.migrate { SchemaPolicy::Migrate } else { SchemaPolicy::MigrateEmbedded };
    let replica = args.replica(&database.url)?;
    let opened = running::open(&database.url, Company::Alone, policy).await?;
    let opened = match replica {
        None => opened,
        Some(replica) => opened.with_replica(replica)?,
    };
    let manner = Manner {
        scale: args.work.simulator.rail_delay_scale,
        batch_max: args.work.batch_max,
        limits: args.limits,
        trusted_proxies: TrustedProxies::new(&args.trusted_proxies),
        workers: args.workers && !args.no_workers,
        metrics_listen: args.work.metrics_listen,
        webhook_allow: args.work.webhook_allow.clone(),
        mail: args.work.mail.resolve(&database.url)?,
    };
    let mut stop = StopSignals::watch()?;
    let running = Running::start(opened, database, Clock::default(), manner).await?;
    let server = Server::start(&running.app, args.listen).await?;
    announce(&server);
    stop.told().await;
    tracing::info!("stopping");
    server.finish().await;
    running.finish().await;
    Ok(())
}

/// Says where a server listens, whatever the log level.
pub fn announce(server: &Server) {
    println!("listening on http://{}", server.address);
    // Whoever reads a pipe must not wait for a buffer to fill. If nobody reads, nobody has to know.
    let _unread = std::io::stdout().flush();
}

/// Workers only, until told to stop.
pub async fn worker(database: &Database, work: WorkArgs) -> anyhow::Result<()> {
    let opened = running::open(&database.url, Company::Alone, SchemaPolicy::MigrateEmbedded).await?;
    let manner = Manner {
        scale: work.simulator.rail_delay_scale,
        batch_max: work.batch_max,
        limits: LimitArgs::DEFAULT,
        trusted_proxies: TrustedProxies::default(),
        workers: true,
        metrics_listen: work.metrics_listen,
        webhook_allow: work.webhook_allow,
        mail: work.mail.resolve(&database.url)?,
    };
    let mut stop = StopSignals::watch()?;
    let running = Running::start(opened, database, Clock::default(), manner).await?;
    println!("working on {}", database.url);
    stop.told().await;
    running.finish().await;
    Ok(())
}
