//! A throw-away PostgreSQL leaves nothing behind, however its owner ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Starts `xtask postgres` with its files under `folder`; answers it and the server's address.
fn start(folder: &std::path::Path) -> anyhow::Result<(Child, String)> {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["postgres", "--fast"])
        .env("TMPDIR", folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut url = String::new();
    if let Some(stdout) = owner.stdout.take() {
        BufReader::new(stdout).read_line(&mut url)?;
    }
    let address = url.split(['@', '/']).find(|part| part.starts_with("127.0.0.1:")).unwrap_or_default();
    Ok((owner, address.to_owned()))
}

#[test]
fn nothing_is_left_when_the_owner_ends() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        // The server may run under another account, which must be able to come by.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (mut owner, address) = start(folder.path()).unwrap();
        assert!(TcpStream::connect(&address).is_ok(), "no server at {address:?}");

        kill_process(Pid::from_child(&owner), signal).unwrap();
        owner.wait().unwrap();

        let gone = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(100));
            fs::read_dir(folder.path()).unwrap().next().is_none() && TcpStream::connect(&address).is_err()
        });
        assert!(gone, "something is left after {signal:?}");
    }
}
