//! Keys are rotated under load by commands that are killed half-way: nothing is lost, and the old keys open nothing afterwards.
//!
//! `DIRECTPAY_TEST_SEED` repeats the moments of a run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use directpay_server::clock;
use directpay_server::secrets::{KeyState, KeyUse};
use directpay_store::Db;
use reqwest::StatusCode;
use tokio::task::{JoinSet, block_in_place};

use super::crash::{Dice, no_money_moved_twice};
use super::lease::Renter;
use super::place::{Place, number_of};
use super::process::Process;
use crate::keys::{in_use, key_file, opened, vault_of, write_mails};

/// From which account a renter pays, and how that ends: the bank knows accounts apart by their numbers alone.
const RENTERS: [(&str, &str); 3] =
    [("000123456789", "COMPLETED"), ("000222222227", "FAILED"), ("000666666661", "COMPLETED")];
const MASTER: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// Mails that wait, so that there is something to seal anew.
const MAILS: usize = 3000;
const ROUNDS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_under_load_and_killed_half_way_on_sqlite() {
    rotates(&Place::on_sqlite()).await;
}

/// On PostgreSQL three processes share the keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_under_load_and_killed_half_way_on_postgresql() {
    rotates(&Place::on_postgres()).await;
}

fn running(place: &Place, arguments: &[&str]) -> Process {
    let mut command = place.command(arguments);
    command.env("DIRECTPAY_WEBHOOK_ALLOW", "127.0.0.0/8").env("DIRECTPAY_LOG", "error");
    Process::start(command)
}

async fn rotates(place: &Place) {
    let seed = number_of("DIRECTPAY_TEST_SEED")
        .unwrap_or_else(|| u64::from(u32::from_ne_bytes(clock::random_bytes().unwrap())));
    println!("DIRECTPAY_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let server = running(place, &["serve"]).listening();
    let is_shared = place.url.starts_with("postgres:");
    let beside = is_shared.then(|| running(place, &["serve", "--no-workers"]).listening());
    let worker = is_shared.then(|| running(place, &["worker"]).saying("working on "));
    let db = place.db().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for client in 0..RENTERS.len() {
        let url = beside.as_ref().filter(|_| client == 1).unwrap_or(&server).url.clone();
        load.spawn(pays_from_ever_new_accounts(url, client, Arc::clone(&stop)));
    }
    let (mut copies, mut half_way) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        write_mails(&db, &vault_of(&place.secrets()), MAILS / ROUNDS).await;
        let before = Before::keep(place, round);
        rotate_encryption(place, &before, &mut dice);
        for _ in 0..3 {
            half_way += usize::from(is_killed_half_way(place, &db, &before.key).await);
        }
        finish(place, &before, &mut dice);
        copies.push(before.copy);
    }
    println!("killed half-way {half_way} times");
    assert!(0 < half_way, "no resealing was killed between its first record and its last");
    stop.store(true, Ordering::Relaxed);
    let paid: Vec<_> = load.join_all().await.into_iter().flatten().collect();
    assert!(RENTERS.len() <= paid.len());
    place.settle(&db).await;
    for (id, wanted) in &paid {
        assert_eq!(status(&db, id).await, *wanted, "payment {id}");
    }
    no_money_moved_twice(&db).await;
    compare(place, &db, &copies).await;
    db.close().await;
    for process in [Some(server), beside, worker].into_iter().flatten() {
        assert!(!process.stop().log.contains("is not in the secrets file"), "a key was not known");
    }
    place.verify();
    // Commands that were killed leave no keys behind.
    let names = fs::read_dir(place.secrets().parent().unwrap()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| name.ends_with(".new") || name.starts_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The secrets as they were before a round.
struct Before {
    copy: PathBuf,
    key: String,
}

impl Before {
    fn keep(place: &Place, round: usize) -> Before {
        let copy = place.folder().join(format!("copy-{round}"));
        fs::copy(place.secrets(), &copy).unwrap();
        Before { copy, key: in_use(&key_file(&place.secrets()), KeyUse::Encryption) }
    }
}

/// Commands are killed at any moment before one may end.
fn rotate_encryption(place: &Place, before: &Before, dice: &mut Dice) {
    block_in_place(|| {
        killed(place, &["keys", "rotate", "encryption"], 2, Duration::from_millis(1500), dice);
        if in_use(&key_file(&place.secrets()), KeyUse::Encryption) == before.key {
            done(place, &["keys", "rotate", "encryption"]);
        }
        done(place, &["keys", "rotate", "signing"]);
    });
}

/// Kills a resealing as soon as it is seen to have done something. Says whether something was left.
async fn is_killed_half_way(place: &Place, db: &Db, key: &str) -> bool {
    let before = waiting(db, key).await;
    if before == 0 {
        return false;
    }
    let mut process = Process::start(place.command(&["keys", "reseal"]));
    while waiting(db, key).await == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    process.kill();
    0 < waiting(db, key).await
}

async fn waiting(db: &Db, key: &str) -> i64 {
    let mut tx = db.begin_read().await.unwrap();
    let sql = "SELECT COUNT(*) FROM outgoing_mail WHERE key_id = $1";
    let (count,): (i64,) = tx.fetch_one(sql, (key,)).await.unwrap();
    count
}

fn finish(place: &Place, before: &Before, dice: &mut Dice) {
    block_in_place(|| {
        killed(place, &["keys", "reseal"], 2, Duration::from_millis(400), dice);
        done(place, &["keys", "reseal"]);
        killed(place, &["keys", "retire", &before.key], 1, Duration::from_millis(60), dice);
        for entry in key_file(&place.secrets()).read().unwrap().entries() {
            if entry.of == KeyUse::Encryption && entry.state != KeyState::InUse {
                done(place, &["keys", "retire", &entry.id]);
            }
        }
    });
}

fn killed(place: &Place, arguments: &[&str], times: usize, longest: Duration, dice: &mut Dice) {
    for _ in 0..times {
        let mut process = Process::start(place.command(arguments));
        std::thread::sleep(dice.up_to(longest));
        process.kill();
    }
}

fn done(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// Who pays, with which end, until there is enough.
async fn pays_from_ever_new_accounts(url: String, client: usize, stop: Arc<AtomicBool>) -> Vec<(String, &'static str)> {
    let (number, end) = RENTERS[client];
    let mut paid = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let renter = Renter::settle_in(&url, number).await;
        // Nobody is there.
        renter.hook(&url, "http://127.0.0.1:9/hook").await;
        for key in ["first", "second"] {
            let answer = renter.pay(&url, key).await.unwrap();
            assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
            paid.push((answer.id().to_owned(), end));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    paid
}

async fn status(db: &Db, id: &str) -> String {
    let id: uuid::Uuid = id.parse().unwrap();
    let mut tx = db.begin_read().await.unwrap();
    let (status,): (String,) = tx.fetch_one("SELECT status FROM payments WHERE id = $1", (id,)).await.unwrap();
    status
}

/// The keys of now open everything, and those of before nothing.
async fn compare(place: &Place, db: &Db, copies: &[PathBuf]) {
    let now = opened(db, &vault_of(&place.secrets()), &[]).await;
    println!("{now:?}");
    let has_all =
        |(column, texts, opened): &(&str, usize, usize)| texts == opened && (0 < *texts || !is_filled(column));
    assert!(now.iter().all(has_all), "{now:?}");
    for copy in copies {
        let names: Vec<_> = names_of(copy);
        let before = opened(db, &vault_of(copy), &names).await;
        assert!(before.iter().all(|(_, _, opened)| *opened == 0), "{before:?} by {names:?}");
    }
    let list = done(place, &["keys", "list"]);
    assert!(list.contains("in use") && !list.contains("MISSING"), "{list}");
}

fn is_filled(column: &str) -> bool {
    ["bank_accounts.sealed_number", "webhooks.sealed_secret", "outgoing_mail.sealed_letter"].contains(&column)
}

fn names_of(file: &Path) -> Vec<String> {
    let entries = key_file(file).read().unwrap().entries();
    entries.into_iter().filter(|entry| entry.of == KeyUse::Encryption).map(|entry| entry.id).collect()
}

#[test]
fn a_wrapped_file_is_taken_with_its_master_key_only_and_wrapped_while_it_is_used() {
    let place = Place::on_sqlite();
    let master = place.folder().join("master");
    fs::write(&master, MASTER).unwrap();
    fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
    let with_master = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("DIRECTPAY_MASTER_KEY_FILE", &master);
        command
    };
    let server = Process::start(with_master(&["serve"])).listening();
    let wrapped = fs::read_to_string(place.secrets()).unwrap();
    assert!(wrapped.contains("wrapped_by"), "it is made wrapped");
    let list = with_master(&["keys", "list"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("wrapped by the master key"), "{list}");
    let mut empty = place.command(&["keys", "list"]);
    let empty = empty.env("DIRECTPAY_MASTER_KEY", " ").output().unwrap();
    let said = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert!(!empty.status.success() && said.contains("DIRECTPAY_MASTER_KEY is empty"), "{said}");
    let fresh = with_master(&["secrets"]).output().unwrap();
    assert!(String::from_utf8(fresh.stdout).unwrap().contains("wrapped_by"));
    server.stop();

    for arguments in [&["serve"][..], &["keys", "list"], &["keys", "introduce", "signing"], &["audit", "key"]] {
        let refused = Process::start(place.command(arguments)).end();
        assert!(!refused.status.success() && refused.log.contains("DIRECTPAY_MASTER_KEY_FILE"), "{}", refused.log);
    }
    let mut by_environment = place.command(&["keys", "unwrap"]);
    assert!(by_environment.env("DIRECTPAY_MASTER_KEY", MASTER).status().unwrap().success());
    assert!(!fs::read_to_string(place.secrets()).unwrap().contains("wrapped_by"));

    // In clear it is taken with a master key and without, and wrapped under a running server.
    let server = Process::start(with_master(&["serve"])).listening();
    assert!(with_master(&["keys", "wrap"]).status().unwrap().success());
    assert!(with_master(&["keys", "rotate", "checkpoint"]).status().unwrap().success());
    assert!(!server.stop().log.contains("cannot be read"));
}

#[test]
fn a_key_is_not_used_before_every_process_knows_it_nor_destroyed_while_it_is_needed() {
    let place = Place::on_postgres();
    let server = place.serve(&[]);
    // On another machine, whose file nobody has exchanged yet.
    let elsewhere = place.folder().join("elsewhere");
    fs::copy(place.secrets(), &elsewhere).unwrap();
    let mut other = place.command(&["serve"]);
    other.env("DIRECTPAY_SECRETS_FILE", &elsewhere);
    let other = Process::start(other).listening();
    let old = in_use(&key_file(&place.secrets()), KeyUse::Signing);
    let refused = |arguments: &[&str], said: &str| {
        let output = place.run(arguments);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains(said), "{arguments:?}: {log}");
    };
    refused(&["keys", "rotate", "signing", "--wait", "3"], "do not know");
    assert_eq!(in_use(&key_file(&place.secrets()), KeyUse::Signing), old);
    let new = key_file(&place.secrets()).read().unwrap().entries().into_iter();
    let new = new.filter(|entry| entry.state == KeyState::Introduced).map(|entry| entry.id).next().unwrap();
    refused(&["keys", "use", &new], "do not know");
    refused(&["keys", "use", "sig-00000000"], "there is no key");
    refused(&["keys", "retire", &old], "is in use");
    let list = String::from_utf8(place.run(&["keys", "list"]).stdout).unwrap();
    assert!(list.contains("has another file") && list.contains(&new), "{list}");

    fs::copy(place.secrets(), &elsewhere).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    done(&place, &["keys", "use", &new]);
    refused(&["keys", "retire", &old], "still use");
    fs::copy(place.secrets(), &elsewhere).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    refused(&["keys", "retire", &old], "are good until");
    // It ends on the other machine as well, whose file still has it.
    done(&place, &["keys", "retire", &old, "--at-once"]);
    assert!(key_file(&elsewhere).read().unwrap().entry(&old).is_ok());
    let set = format!("{}/.well-known/jwks.json", other.url);
    let read = async { reqwest::get(set).await.unwrap().text().await.unwrap() };
    let verified = tokio::runtime::Runtime::new().unwrap().block_on(read);
    assert!(verified.contains(&new) && !verified.contains(&old), "{verified}");
    refused(&["keys", "retire", &old], "there is no key");
    other.stop();
    server.stop();
}
