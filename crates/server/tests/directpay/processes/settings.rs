//! Settings: where they come from, what is refused, and what the files and logs look like.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::lease::Renter;
use super::place::{Place, bare_command};
use super::process::{Ended, Process};

fn refused(place: &Place, arguments: &[&str], setting: (&str, &str)) -> Ended {
    let mut command = place.command(arguments);
    command.env(setting.0, setting.1);
    let ended = Process::start(command).end();
    assert!(!ended.status.success(), "{arguments:?} with {setting:?} was taken");
    ended
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn bad_settings_are_refused_with_their_name() {
    let place = Place::on_sqlite();
    for (name, value, said) in [
        ("DIRECTPAY_DATABASE_URL", "mysql://root@db/x", "must begin with sqlite:// or postgres://"),
        ("DIRECTPAY_LISTEN", "nowhere", "--listen"),
        ("DIRECTPAY_METRICS_LISTEN", "nowhere", "--metrics-listen"),
        ("DIRECTPAY_WORKERS", "perhaps", "--workers"),
        ("DIRECTPAY_WEBHOOK_ALLOW", "10.0.0.0/33", "is no network"),
        ("DIRECTPAY_RAIL_DELAY_SCALE", "-1", "--rail-delay-scale"),
        ("DIRECTPAY_RAIL_DELAY_SCALE", "NaN", "--rail-delay-scale"),
        ("DIRECTPAY_RATE_LIMIT", "some", "--rate-limit"),
        ("DIRECTPAY_LIMIT_PER_KEY", "0", "--limit-per-key"),
        ("DIRECTPAY_TRUSTED_PROXIES", "10.0.0.0/8,here", "is no network"),
        ("DIRECTPAY_LOG", "=/=", "DIRECTPAY_LOG"),
        ("DIRECTPAY_LOG_FORMAT", "xml", "--log-format"),
        ("DIRECTPAY_DATABASE_URL_FILE", "/nowhere/at/all", "cannot read /nowhere/at/all"),
        ("DIRECTPAY_DATABASE_URL", "sqlite:///nowhere/at/all.db", "/nowhere/at/all.db"),
        ("DIRECTPAY_REPLICA_URL", "postgres://db/x", "a SQLite database has no replica"),
    ] {
        for command in [&["serve"][..], &[]] {
            let log = refused(&place, command, (name, value)).log;
            assert!(log.contains(said), "{name}={value}: {log}");
        }
    }
    assert!(!place.file().exists());
}

#[test]
fn without_a_command_the_flags_are_those_of_serve() {
    let place = Place::on_sqlite();
    let mut command = place.command(&["--listen", "127.0.0.1:0", "--no-workers", "--log", "off"]);
    command.env("DIRECTPAY_LISTEN", "nowhere");
    Process::start(command).listening().stop();
    for (arguments, said) in [
        (&["--listen", "nowhere"][..], "--listen"),
        (&["--rail-delay-scale", "-1"], "--rail-delay-scale"),
        (&["--nowhere"], "'--nowhere'"),
        (&["nowhere"], "'nowhere'"),
    ] {
        let ended = Process::start(place.command(arguments)).end();
        assert!(!ended.status.success() && ended.log.contains(said), "{arguments:?}: {}", ended.log);
    }
    let help = bare_command(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("serve") && help.contains("verify"), "{help}");
}

#[test]
fn the_address_must_be_free() {
    let place = Place::on_sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let log = refused(&place, &["serve"], ("DIRECTPAY_LISTEN", &address)).log;
    assert!(log.contains(&format!("cannot listen on {address}")), "{log}");
}

#[test]
fn the_database_url_may_stand_in_a_file() {
    let place = Place::on_sqlite();
    let file = place.folder().join("url");
    fs::write(&file, format!("{}\n", place.url)).unwrap();
    let mut command = place.command(&["serve"]);
    command.env_remove("DIRECTPAY_DATABASE_URL").env("DIRECTPAY_DATABASE_URL_FILE", &file);
    Process::start(command).listening().stop();
    assert!(place.file().exists());

    fs::write(&file, "postgres//typo:s3cr3t@db/x").unwrap();
    let log = refused(&place, &["serve"], ("DIRECTPAY_DATABASE_URL_FILE", file.to_str().unwrap())).log;
    assert!(log.contains("must begin with") && !log.contains("s3cr3t"), "{log}");
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let place = Place::on_sqlite();
    let url = "postgres://rent:s3cr3t@127.0.0.1:1/directpay";
    let log = refused(&place, &["serve"], ("DIRECTPAY_DATABASE_URL", url)).log;
    assert!(log.contains("127.0.0.1:1/directpay") && !log.contains("s3cr3t"), "{log}");
    let several = "postgres://rent:s3cr3t@127.0.0.1:1,127.0.0.1:port/directpay";
    let log = refused(&place, &["serve"], ("DIRECTPAY_DATABASE_URL", several)).log;
    assert!(log.contains("the database address is malformed") && !log.contains("s3cr3t"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_for_its_owner_only() {
    let place = Place::on_sqlite();
    let mut command = place.command(&[]);
    // Found by its default, beside the database.
    command.env_remove("DIRECTPAY_SECRETS_FILE");
    let server = Process::start(command).listening();
    Renter::settle_in(&server.url, "000123456789").await;
    let mut names = Vec::new();
    for entry in fs::read_dir(place.folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{name}");
        names.push(name);
    }
    names.sort();
    let expected = ["directpay.db", "directpay.db-lock", "directpay.db-shm", "directpay.db-wal", "directpay.secrets"];
    assert_eq!(names, expected);
    server.stop();
}

#[test]
fn a_secrets_file_that_others_can_read_is_refused() {
    let place = Place::on_sqlite();
    place.serve(&[]).stop();
    for open in [0o640, 0o604, 0o660] {
        fs::set_permissions(place.secrets(), fs::Permissions::from_mode(open)).unwrap();
        let log = refused(&place, &["serve"], ("DIRECTPAY_LOG", "warn")).log;
        assert!(log.contains("can be read by others") && log.contains("0600"), "{log}");
    }
}

#[test]
fn postgresql_wants_its_secrets_named_and_made() {
    let place = Place::on_postgres();
    for command in ["serve", "worker"] {
        let mut unnamed = place.command(&[command]);
        unnamed.env_remove("DIRECTPAY_SECRETS_FILE");
        let ended = Process::start(unnamed).end();
        assert!(!ended.status.success());
        assert!(ended.log.contains("set DIRECTPAY_SECRETS_FILE"), "{}", ended.log);

        let missing = place.folder().join("missing");
        let log = refused(&place, &[command], ("DIRECTPAY_SECRETS_FILE", missing.to_str().unwrap())).log;
        assert!(log.contains("cannot read the secrets file") && !missing.exists(), "{log}");
    }
}

#[test]
fn an_old_schema_on_postgresql_is_not_touched_unasked() {
    let place = Place::on_empty_postgres();
    for command in [&["serve"][..], &["worker"], &["verify"]] {
        let ended = Process::start(place.command(command)).end();
        assert!(!ended.status.success());
        assert!(ended.log.contains("run `directpay migrate`"), "{command:?}: {}", ended.log);
    }
    place.serve(&["--migrate"]).stop();
    place.serve(&[]).stop();
    let place = Place::on_empty_postgres();
    assert!(place.run(&["migrate"]).status.success());
    assert!(place.run(&["migrate"]).status.success());
    place.serve(&[]).stop();
}

#[test]
fn the_address_is_told_on_standard_output_and_logs_go_to_standard_error() {
    let place = Place::on_sqlite();
    let mut quiet = place.command(&["serve"]);
    let server = Process::start({
        quiet.env("DIRECTPAY_LOG", "off");
        quiet
    })
    .listening();
    assert!(!server.url.ends_with(":0"), "{}", server.url);
    let ended = server.stop();
    assert_eq!(ended.log, "");

    let mut loud = place.command(&["serve"]);
    loud.env("DIRECTPAY_LOG", "debug").env("DIRECTPAY_LOG_FORMAT", "json");
    let ended = Process::start(loud).listening().stop();
    let lines: Vec<Value> = ended.log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty());
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[test]
fn flags_win_over_the_environment_and_help_shows_both() {
    let place = Place::on_sqlite();
    let other = place.folder().join("other.db");
    let url = format!("sqlite://{}", other.display());
    place.serve(&["--database-url", &url]).stop();
    assert!(other.exists() && !place.file().exists());
    let help = bare_command(&["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for name in [
        "LISTEN",
        "METRICS_LISTEN",
        "DATABASE_URL",
        "REPLICA_URL",
        "WORKERS",
        "RAIL_DELAY_SCALE",
        "SECRETS_FILE",
        "LOG",
        "RATE_LIMIT",
        "LIMIT_PER_USER",
        "TRUSTED_PROXIES",
    ] {
        assert!(help.contains(&format!("DIRECTPAY_{name}")), "{name}");
    }
}
