//! Folding the log into the file, beside the writer.
//!
//! Left to itself SQLite does it inside of some unlucky commit, once the log is long enough, and everybody waits. Here a
//! thread of its own copies pages while the writer goes on. It does so seldom, because a page that changes often is copied once
//! for all its changes. The log begins anew only when nothing of it is left to copy: a second pass copies what was written
//! during the first, and the last few pages are copied while the writer waits, which is short.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

/// How often the thread copies, when something was committed.
const EVERY: Duration = Duration::from_secs(1);
/// From this many pages on the log is to begin anew: 16 MiB.
const LONG_PAGES: i64 = 4_000;

type Writer = tokio::sync::Mutex<Option<Connection>>;

#[derive(Debug)]
pub(super) struct Checkpoints {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// There is something in the log that was not copied.
    committed: bool,
    stopped: bool,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a commit, and a while longer; false when it is time to end.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.committed && !state.stopped;
        let state = self.changed.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, EVERY, |state| !state.stopped);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.committed = false;
        !state.stopped
    }
}

impl Checkpoints {
    /// Starts the thread; it ends when it is stopped or the writer is gone.
    pub(super) fn start(connection: Connection, writer: Weak<Writer>) -> Checkpoints {
        let signal = Arc::new(Signal::default());
        let heard = Arc::clone(&signal);
        let thread = thread::spawn(move || copy(&connection, &writer, &heard));
        Checkpoints { signal, thread: Mutex::new(Some(thread)) }
    }

    /// There is more in the log.
    pub(super) fn committed(&self) {
        let mut state = self.signal.state();
        if !state.committed {
            state.committed = true;
            self.signal.changed.notify_all();
        }
    }

    fn stop(&self) {
        self.signal.state().stopped = true;
        self.signal.changed.notify_all();
    }

    /// Ends the thread and waits for its end.
    pub(super) fn finish(&self) {
        self.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has ended, too.
        let _ended = thread.map(JoinHandle::join);
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(connection: &Connection, writer: &Weak<Writer>, signal: &Signal) {
    while signal.wait() {
        let Ok(pages) = checkpoint(connection) else { continue };
        if pages < LONG_PAGES {
            continue;
        }
        let Ok(_) = checkpoint(connection) else { continue };
        let Some(writer) = writer.upgrade() else { return };
        let held = writer.blocking_lock();
        // What could not be copied now is copied the next time.
        let _pages = checkpoint(connection);
        drop(held);
    }
}

/// Copies what can be copied without waiting for anybody; says how many pages the log has.
fn checkpoint(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get("log"))
}
