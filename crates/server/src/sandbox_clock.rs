//! Following the sandbox's clock, which another process may move.

use std::time::Duration;

use directpay_store::{StoreError, sandbox_clock};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;

/// How often the clock is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Keeps the business time of this process at what the database says. For a database that other processes can write to:
/// where there are none, whoever moves the clock moves the only one.
pub struct Follower {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow.
    pub fn start(app: &App) -> Follower {
        let (stop, mut stopping) = watch::channel(false);
        let following = follow(app.clone());
        let handle = tokio::spawn(async move {
            tokio::select! {
                () = following => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        Follower { stop, handle }
    }

    /// Stops following.
    pub async fn finish(self) {
        let _nobody_left = self.stop.send(true);
        if let Err(error) = self.handle.await {
            tracing::error!(%error, "following the clock ended badly");
        }
    }
}

async fn follow(app: App) {
    loop {
        tokio::time::sleep(POLL).await;
        match look(&app).await {
            Ok(ahead_us) if app.clock.move_ahead(ahead_us) => {
                tracing::info!(ahead_us, "another process has moved business time");
                app.wake_all();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the sandbox's clock cannot be read");
            }
        }
    }
}

async fn look(app: &App) -> Result<i64, StoreError> {
    let mut tx = app.db.begin_read().await?;
    sandbox_clock::ahead_us(&mut tx).await
}
