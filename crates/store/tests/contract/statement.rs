//! What a lease's receivable went through, and the journal of all accounts.

use std::collections::BTreeMap;

use directpay_domain::charge::CreditKind;
use directpay_domain::id::{ChargeId, LeaseId, PaymentId};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Command, Kind};
use directpay_domain::property::{ZoneName, local_date};
use directpay_domain::schedule::schedule;
use directpay_domain::statement::{self, Fact};
use directpay_store::journal::{self, JournalLine, Place};
use directpay_store::lease_ledger::{LeaseLedger, NewCredit};
use directpay_store::statement::{Standing, entries, standing};
use directpay_store::{StoreError, charges};
use jiff::civil::date;

use crate::harness::on_both_engines;
use crate::world::{House, World, reason, refund, rent, terms, usd};

/// Posts what is due in the first quarter, and lets some of it off.
async fn charge(world: &World, lease: LeaseId) {
    world
        .keep(async |tx| {
            let scheduled = schedule(&terms(date(2026, 1, 1), None), date(2026, 6, 30));
            charges::reconcile(tx, lease, &scheduled, |_| None, || ChargeId(world.id())).await?;
            let mut ledger = LeaseLedger::open(tx, [lease]).await?;
            for charge in charges::list_due(tx, lease, date(2026, 3, 31)).await? {
                ledger.post(&charge, world.new_event())?;
            }
            let credit =
                NewCredit { id: world.id(), kind: CreditKind::Concession, amount: usd(10_000), charge_id: None };
            ledger.grant(lease, credit, reason("GOODWILL"), world.new_event())?;
            ledger.write(tx).await
        })
        .await;
}

/// One payment arrives before anything is due, one is returned, one waits, and a part is given back.
async fn live(world: &World, house: &House) {
    let arrived = world.pays(rent(house, "arrives")).await;
    arrive(world, arrived).await;
    charge(world, house.lease).await;
    let returned = world.pays(rent(house, "returns")).await;
    arrive(world, returned).await;
    world.does(returned, Command::Return { attempt: 1, reason: reason("R10") }).await;
    world.pays(rent(house, "waits")).await;
    let back = world.pays(Initiation { amount: usd(50_000), ..refund(house, "back") }).await;
    world.does(back, Command::Submit).await;
}

async fn arrive(world: &World, payment: PaymentId) {
    world.does(payment, Command::Submit).await;
    world.does(payment, Command::Settle { attempt: 1 }).await;
}

#[test]
fn a_statement_has_every_entry_of_the_lease_and_of_no_other() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        for house in [&house, &other] {
            live(world, house).await;
        }

        let (entries, now) = world
            .keep(async |tx| Ok::<_, StoreError>((entries(tx, house.lease).await?, standing(tx, house.lease).await?)))
            .await;

        let minor = |is_wanted: fn(&Fact) -> bool| {
            let mut found: Vec<_> =
                entries.iter().filter(|entry| is_wanted(&entry.fact)).map(|entry| entry.amount_minor).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(minor(|fact| matches!(fact, Fact::Lease(_))), [-10_000, 150_000, 150_000, 150_000]);
        assert_eq!(minor(|fact| matches!(fact, Fact::Payment(Kind::Rent, _))), [-150_000, -150_000, 150_000]);
        assert_eq!(minor(|fact| matches!(fact, Fact::Payment(Kind::Refund, _))), [50_000]);
        assert_eq!(now, Standing { open_minor: 340_000, credit_minor: 0, on_the_way_minor: 150_000 });
        let zone = ZoneName::parse("America/Chicago").unwrap();
        let lines = statement::lines(&entries, |moment| local_date(&zone, moment.timestamp()));
        assert_eq!(lines.last().unwrap().balance_minor, now.open_minor - now.credit_minor);
        assert_eq!(statement::balance_on(&lines, date(2026, 2, 28)), 300_000);
    });
}

#[test]
fn the_journal_is_read_page_by_page_whole_or_of_one_landlord() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        for house in [&house, &other] {
            live(world, house).await;
        }
        let read = async |landlord, limit: i64| {
            let mut tx = journal::open(&world.db).await.unwrap();
            let (mut lines, mut after) = (Vec::<JournalLine>::new(), Place::default());
            loop {
                let page = journal::page(&mut tx, landlord, after, limit).await.unwrap();
                let Some(last) = page.last() else { break lines };
                after = last.place();
                lines.extend(page);
            }
        };

        let all = read(None, 3).await;

        assert_eq!(all, read(None, 1_000).await);
        assert!(all.is_sorted_by_key(JournalLine::place));
        assert_eq!(i64::try_from(all.len()).unwrap(), world.count("SELECT COUNT(*) FROM postings").await);
        let own = read(Some(house.landlord), 2).await;
        assert_eq!(own.len() * 2, all.len());
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for line in &own {
            *sums.entry(&line.debit).or_default() += line.minor;
            *sums.entry(&line.credit).or_default() -= line.minor;
        }
        assert_eq!(sums[format!("receivable:{}", house.lease).as_str()], 340_000);
        assert!(!sums.contains_key(format!("receivable:{}", other.lease).as_str()));
    });
}
