//! Several servers behind one address, some of which are not there, and a replica that is not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use directpay_store::{ConnectError, Db, PoolSize, Schema, StoreError};
use tokio::time::timeout;

use crate::harness::at_postgres;

const CONNECTIONS: PoolSize = PoolSize(4);
/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";
/// What is found out by asking all servers takes less.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same address with `first` before its host.
fn behind(first: &str, url: &str) -> String {
    let (user, place) = url.rsplit_once('@').unwrap();
    format!("{user}@{first},{place}")
}

async fn is_alive(db: &Db) -> bool {
    let mut tx = db.begin().await.unwrap();
    let (one,): (i64,) = tx.fetch_one("SELECT CAST(1 AS BIGINT)", ()).await.unwrap();
    one == 1
}

#[test]
fn a_server_that_is_not_there_is_passed_over() {
    at_postgres(async |url| {
        let db = Db::open_postgres(&behind(CLOSED, url), CONNECTIONS).await.unwrap();
        db.migrate().await.unwrap();
        assert_eq!(db.schema().await.unwrap(), Schema::Current);
        assert!(is_alive(&db).await);
        db.listen_for_work().await.unwrap();
        db.close().await;
    });
}

#[test]
fn without_a_server_that_takes_writes_there_is_no_database() {
    at_postgres(async |url| {
        let (user, place) = url.rsplit_once('@').unwrap();
        let (_, name) = place.split_once('/').unwrap();
        let nobody = format!("{user}@{CLOSED},{CLOSED}/{name}");
        let refused = Db::open_postgres(&nobody, CONNECTIONS).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Unreachable(_)), "{refused:?}");

        let read_only = url.to_owned() + "?options[default_transaction_read_only]=on";
        let refused = Db::open_postgres(&behind(CLOSED, &read_only), CONNECTIONS).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Unreachable(_)), "{refused:?}");
    });
}

/// A machine that loses its power says nothing: its connections neither answer nor end.
#[test]
fn what_waits_for_a_server_that_fell_silent_is_cut_off_when_another_is_the_primary() {
    at_postgres(async |url| {
        let (_, place) = url.rsplit_once('@').unwrap();
        let wire = Wire::to(place.split_once('/').unwrap().0);
        let db = Db::open_postgres(&behind(&wire.address, url), CONNECTIONS).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        tx.execute("SELECT 1", ()).await.unwrap();
        let through_the_wire = wire.carried();

        wire.fall_silent();
        let waiting = timeout(PATIENCE, tx.execute("SELECT 1", ())).await;

        let error = StoreError::from(waiting.expect("it waits for ever").unwrap_err());
        assert!(error.is_passing(), "{error:?}");
        assert!(timeout(PATIENCE, tx.commit()).await.expect("it waits for ever").is_err());
        assert!(timeout(PATIENCE, is_alive(&db)).await.expect("it waits for ever"));
        assert!(through_the_wire, "nothing was asked of the first server");
        db.close().await;
    });
}

#[test]
fn a_replica_that_is_not_there_is_replaced_by_the_primary() {
    at_postgres(async |url| {
        let (_, place) = url.rsplit_once('@').unwrap();
        let replica = url.replace(place.split_once('/').unwrap().0, CLOSED);
        let db = Db::open_postgres(url, CONNECTIONS).await.unwrap().with_replica(&replica, CONNECTIONS).unwrap();
        for _ in 0..3 {
            let mut tx = timeout(PATIENCE, db.begin_stale_read()).await.unwrap().unwrap();
            let (one,): (i64,) = tx.fetch_one("SELECT CAST(1 AS BIGINT)", ()).await.unwrap();
            assert_eq!(one, 1);
            assert!(tx.execute("CREATE TABLE t (a INT)", ()).await.is_err());
        }
        let two = behind(CLOSED, url);
        let refused = Db::open_postgres(url, CONNECTIONS).await.unwrap().with_replica(&two, CONNECTIONS).unwrap_err();
        assert!(matches!(refused, ConnectError::Malformed), "{refused:?}");
        db.close().await;
    });
}

#[tokio::test]
async fn sqlite_has_no_replica() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&directory.path().join("contract.db"), CONNECTIONS).await.unwrap();
    let refused = db.with_replica("postgres://db/x", CONNECTIONS).unwrap_err();
    assert!(matches!(refused, ConnectError::NoReplica), "{refused:?}");
}

/// A wire to a server that can fall silent without being cut.
struct Wire {
    address: String,
    is_silent: Arc<AtomicBool>,
    has_carried: Arc<AtomicBool>,
}

impl Wire {
    fn to(server: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (is_silent, has_carried) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let wire = Wire { address, is_silent: Arc::clone(&is_silent), has_carried: Arc::clone(&has_carried) };
        let server = server.to_owned();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(&server).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (is_silent, has_carried) = (Arc::clone(&is_silent), Arc::clone(&has_carried));
                    thread::spawn(move || carry(from, to, &is_silent, &has_carried));
                }
            }
        });
        wire
    }

    fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    fn carried(&self) -> bool {
        self.has_carried.load(Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool, has_carried: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while is_silent.load(Ordering::SeqCst) {
            // Until the test has ended, and its process.
            thread::park();
        }
        has_carried.store(true, Ordering::SeqCst);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Either may have gone first.
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
