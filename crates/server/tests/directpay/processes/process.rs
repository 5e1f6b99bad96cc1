//! A running `directpay`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use directpay_server::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take until it says that it is there.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to stop when it is told to.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A child that is killed when it is dropped.
pub(super) struct Process {
    child: Child,
    said: Receiver<String>,
    log: Option<JoinHandle<String>>,
    /// Where it listens, if it does.
    pub(super) url: String,
}

/// How a process ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) log: String,
    pub(super) took: Duration,
}

impl Process {
    pub(super) fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (says, said) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody may be listening any more; the pipe is emptied all the same.
                let _unheard = says.send(line);
            }
        });
        let log = thread::spawn(move || {
            let mut text = String::new();
            let _cut_off = stderr.read_to_string(&mut text);
            text
        });
        Process { child, said, log: Some(log), url: String::new() }
    }

    /// Waits until it says where it listens.
    pub(super) fn listening(mut self) -> Process {
        let line = self.line();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
        self.url = url.to_owned();
        self
    }

    /// Waits until it says something that begins like this.
    pub(super) fn saying(mut self, beginning: &str) -> Process {
        let line = self.line();
        assert!(line.starts_with(beginning), "it said {line:?}");
        self
    }

    fn line(&mut self) -> String {
        let line = self.said.recv_timeout(START_PATIENCE);
        line.unwrap_or_else(|_| {
            self.kill();
            panic!("it did not start: {}", self.log())
        })
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> Ended {
        let started = Stopwatch::start();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if START_PATIENCE < started.elapsed() {
                self.kill();
                panic!("it does not end: {}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        };
        let took = started.elapsed();
        Ended { status, log: self.log(), took }
    }

    /// Stops it in order.
    pub(super) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        let ended = self.end();
        assert!(ended.status.success(), "{}: {}", ended.status, ended.log);
        assert!(ended.took < STOP_PATIENCE, "it took {:?} to stop", ended.took);
        ended
    }

    /// What it wrote to its log, once it has ended.
    fn log(&mut self) -> String {
        self.log.take().map(|log| log.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("its log: {}", self.log());
        }
    }
}
