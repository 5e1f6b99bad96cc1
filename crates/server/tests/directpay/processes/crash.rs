//! kill -9 at any moment: what was acknowledged is there, everything ends, and no money moves twice.
//!
//! `DIRECTPAY_TEST_CRASH_ROUNDS` makes it last longer, `DIRECTPAY_TEST_SEED` repeats the moments of a run.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use directpay_server::clock::{self, Stopwatch};
use directpay_store::Db;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::lease::Renter;
use super::place::{Place, count, number_of};
use super::process::Process;

/// From which account a renter pays, and where the payments end.
const RENTERS: [(&str, &str); 4] = [
    // Ordinary.
    ("000123456789", "COMPLETED"),
    // The bank's answer is lost once.
    ("000888888885", "COMPLETED"),
    // "Not now" twice.
    ("000666666661", "COMPLETED"),
    // R01, presented three times.
    ("000222222227", "FAILED"),
];
/// Access tokens live for 15 minutes.
const ROUNDS_OF_A_TOKEN: u64 = 50;
/// Clients that pay at the same time, renter by renter in turn.
const CLIENTS: usize = 8;
/// The longest that a round's load goes on before the kill.
const LOAD_MAX: Duration = Duration::from_millis(900);
/// Every third round or so, the server is killed once more before it has come back.
const SECOND_KILL_MAX: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_what_it_acknowledged_on_sqlite() {
    Crashes::on(Place::on_sqlite()).await.go_through(6).await;
}

/// On PostgreSQL a worker of its own runs beside the server and is killed now and then, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_what_it_acknowledged_on_postgresql() {
    Crashes::on(Place::on_postgres()).await.go_through(4).await;
}

struct Crashes {
    place: Place,
    renters: Vec<Renter>,
    dice: Dice,
    paid: Vec<Paid>,
    figures: Figures,
}

/// A payment that was asked for.
struct Paid {
    key: String,
    renter: usize,
    /// Its id, once an answer came.
    id: Option<String>,
}

#[derive(Default)]
struct Figures {
    rounds: u64,
    kills: u64,
    acknowledged: usize,
    unanswered: usize,
    /// Of the unanswered, those that were stored all the same.
    stored_all_the_same: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { rounds, kills, acknowledged, unanswered, stored_all_the_same } = self;
        write!(f, "{rounds} rounds, {kills} kills, {acknowledged} payments acknowledged before a kill, ")?;
        write!(f, "{unanswered} unanswered of which {stored_all_the_same} were stored")
    }
}

impl Crashes {
    async fn on(place: Place) -> Crashes {
        let seed = number_of("DIRECTPAY_TEST_SEED")
            .unwrap_or_else(|| u64::from(u32::from_ne_bytes(clock::random_bytes().unwrap())));
        println!("DIRECTPAY_TEST_SEED={seed}");
        let server = place.serve(&[]);
        let mut renters = Vec::new();
        for (number, _) in RENTERS {
            renters.push(Renter::settle_in(&server.url, number).await);
        }
        server.stop();
        Crashes { place, renters, dice: Dice(seed), paid: Vec::new(), figures: Figures::default() }
    }

    async fn go_through(mut self, rounds: u64) {
        let rounds = number_of("DIRECTPAY_TEST_CRASH_ROUNDS").unwrap_or(rounds);
        let started = Stopwatch::start();
        let mut worker = self.is_shared().then(|| self.place.work());
        let mut server = self.place.serve(&[]);
        for round in 0..rounds {
            if round % ROUNDS_OF_A_TOKEN == ROUNDS_OF_A_TOKEN - 1 {
                self.sign_in_again(&server).await;
            }
            let first = self.paid.len();
            self.load_and_kill(round, &mut server).await;
            if self.is_shared() && self.dice.one_in(2) {
                self.figures.kills += 1;
                worker = None;
            }
            if self.dice.one_in(3) {
                self.kill_while_it_starts().await;
            }
            server = self.place.serve(&[]);
            worker = worker.or_else(|| self.is_shared().then(|| self.place.work()));
            self.ask_again(first, &server).await;
        }
        self.figures.rounds = rounds;
        let db = self.place.db().await;
        self.place.settle(&db).await;
        self.compare(&db).await;
        db.close().await;
        server.stop();
        drop(worker);
        self.place.verify();
        println!("{}; {} payments in {:.1?}", self.figures, self.paid.len(), started.elapsed());
    }

    fn is_shared(&self) -> bool {
        self.place.url.starts_with("postgres:")
    }

    async fn sign_in_again(&mut self, server: &Process) {
        for renter in &mut self.renters {
            *renter = renter.back(&server.url).await;
        }
    }

    /// Clients pay until the server is gone.
    async fn load_and_kill(&mut self, round: u64, server: &mut Process) {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let renter = client % RENTERS.len();
            let (somebody, url) = (self.renters[renter].clone(), server.url.clone());
            clients
                .spawn(async move { pay_while_it_lasts(&somebody, &url, &format!("{round}-{client}"), renter).await });
        }
        tokio::time::sleep(self.dice.up_to(LOAD_MAX)).await;
        server.kill();
        self.figures.kills += 1;
        self.paid.extend(clients.join_all().await.into_iter().flatten());
    }

    async fn kill_while_it_starts(&mut self) {
        let mut starting = Process::start(self.place.command(&["serve"]));
        tokio::time::sleep(self.dice.up_to(SECOND_KILL_MAX)).await;
        starting.kill();
        self.figures.kills += 1;
    }

    /// What was acknowledged is there; what was not answered is asked for once more.
    async fn ask_again(&mut self, first: usize, server: &Process) {
        for paid in &mut self.paid[first..] {
            let renter = &self.renters[paid.renter];
            if let Some(id) = &paid.id {
                self.figures.acknowledged += 1;
                let payment = renter.payment(&server.url, id).await;
                assert_eq!(payment["idempotency_key"], *paid.key);
            } else {
                self.figures.unanswered += 1;
                let answer = renter.pay(&server.url, &paid.key).await.unwrap();
                assert!(matches!(answer.status, StatusCode::OK | StatusCode::CREATED), "{answer:?}");
                assert_eq!(answer.replayed, answer.status == StatusCode::OK);
                self.figures.stored_all_the_same += usize::from(answer.replayed);
                paid.id = Some(answer.id().to_owned());
            }
        }
    }

    /// Every payment that was asked for is the one under its key, ended as its account makes it, and no other exists.
    async fn compare(&self, db: &Db) {
        let mut tx = db.begin_read().await.unwrap();
        let rows: Vec<(String, uuid::Uuid, String)> =
            tx.fetch_all("SELECT idempotency_key, id, status FROM payments", ()).await.unwrap();
        let mut stored: HashMap<_, _> = rows.into_iter().map(|(key, id, status)| (key, (id, status))).collect();
        for Paid { key, renter, id } in &self.paid {
            let (stored_id, status) = stored.remove(key).unwrap_or_else(|| panic!("payment {key} is lost"));
            assert_eq!(Some(stored_id.to_string()), *id, "payment {key} is another one");
            assert_eq!(status, RENTERS[*renter].1, "payment {key}");
        }
        assert!(stored.is_empty(), "payments that nobody asked for: {stored:?}");
        drop(tx);
        no_money_moved_twice(db).await;
    }
}

async fn pay_while_it_lasts(renter: &Renter, url: &str, name: &str, who: usize) -> Vec<Paid> {
    let mut paid = Vec::new();
    for number in 0.. {
        let key = format!("{name}-{number}");
        let answer = renter.pay(url, &key).await;
        let is_over = answer.is_err();
        if let Ok(answer) = &answer {
            assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        }
        paid.push(Paid { key, renter: who, id: answer.ok().map(|answer| answer.id().to_owned()) });
        if is_over {
            break;
        }
    }
    paid
}

/// The bank's own book: it settled once what is COMPLETED here, and nothing else.
pub(super) async fn no_money_moved_twice(db: &Db) {
    let settled = count(db, "SELECT COUNT(*) FROM bank_instructions WHERE state = 'SETTLED'").await;
    // A reference is the payment's id and the attempt.
    let once = "SELECT COUNT(DISTINCT substr(reference, 1, 32)) FROM bank_instructions WHERE state = 'SETTLED'";
    assert_eq!(settled, count(db, once).await, "the bank moved money twice");
    let completed = count(db, "SELECT COUNT(*) FROM payments WHERE status = 'COMPLETED'").await;
    assert_eq!(settled, completed);
}

/// Chance that can be repeated (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.roll().is_multiple_of(chances)
    }

    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap();
        Duration::from_micros(self.roll() % (most + 1))
    }
}
