//! Folding the log into the file, beside the writer.
//!
//! Left to itself SQLite does it inside of some unlucky commit, once the log is long enough, and everybody waits. Here a
//! thread of its own copies pages while the writer goes on. It does so seldom, because a page that changes often is copied once
//! for all its changes. The log begins anew only when nothing of it is left to copy: a second pass copies what was written
//! during the first, and the last few pages are copied while the writer waits, which is short.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    committed: AtomicBool,
    stopped: AtomicBool,
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
        if !self.signal.committed.swap(true, Ordering::Relaxed) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            thread.thread().unpark();
        }
    }

    /// Ends the thread and waits for its end.
    pub(super) fn finish(&self) {
        self.signal.stopped.store(true, Ordering::Relaxed);
        self.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has ended, too.
        let _ended = thread.map(JoinHandle::join);
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.signal.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }
}

fn copy(connection: &Connection, writer: &Weak<Writer>, signal: &Signal) {
    loop {
        while !signal.committed.load(Ordering::Relaxed) && !signal.stopped.load(Ordering::Relaxed) {
            thread::park();
        }
        thread::park_timeout(EVERY);
        if signal.stopped.load(Ordering::Relaxed) {
            return;
        }
        signal.committed.store(false, Ordering::Relaxed);
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
