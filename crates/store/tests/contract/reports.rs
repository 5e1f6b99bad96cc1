//! What reports say: every sum is that of its details, and all of them agree with the statements and the ledger.

use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::money::Currency;
use directpay_domain::property::{ZoneName, day_begins, local_date};
use directpay_domain::report::{Age, Basis, Month, MonthColumn};
use directpay_domain::statement as lines;
use directpay_store::properties::Property;
use directpay_store::reports::payments::Span;
use directpay_store::reports::rent_roll::{self, Standing};
use directpay_store::reports::{Days, Detail, arrears, income, month, payments};
use directpay_store::{Page, StoreError, Tx, leases, properties, statement};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::on_both_engines;
use crate::lease_ledger::{Step, go_through, step};
use crate::world::{House, World, passed, terms};

impl World {
    /// Another house of the same two people, where the day begins five hours later.
    async fn house_in_hawaii(&self, like: &House) -> House {
        let property = Property { time_zone: "Pacific/Honolulu".into(), ..self.property(like.landlord) };
        self.keep(async |tx| properties::insert(tx, &property).await).await;
        let terms = terms(date(2026, 1, 1), Some(date(2026, 3, 6)));
        let lease = self.lease(property.id, like.landlord, &[like.renter], terms);
        self.keep(async |tx| leases::insert(tx, &lease, passed(date(2026, 1, 1))).await).await;
        House { property: property.id, lease: lease.id, ..*like }
    }
}

fn sum(details: &[Detail]) -> i64 {
    details.iter().map(|detail| detail.minor).sum()
}

/// What the statement of a lease says that was owed.
async fn owed(tx: &mut Tx, lease: LeaseId, zone: &str, as_of: Option<Date>) -> Result<i64, StoreError> {
    let zone = ZoneName::parse(zone).unwrap();
    let entries = statement::entries(tx, lease).await?;
    let lines = lines::lines(&entries, |moment| local_date(&zone, moment.timestamp()));
    Ok(lines::balance_on(&lines, as_of.unwrap_or(Date::MAX)))
}

/// Everything that the rent roll and the arrears of a day say is what their details and the statements say.
async fn assert_day_adds_up(world: &World, landlord: UserId, houses: &[(House, &str)], as_of: Option<Date>) {
    let mut tx = world.db.begin_read().await.unwrap();
    let days = Days::of(&mut tx, landlord, as_of, world.now()).await.unwrap();
    let roll = rent_roll::page(&mut tx, landlord, &days, Page::first(100)).await.unwrap();
    let owing = arrears::page(&mut tx, landlord, &days, Page::first(100)).await.unwrap();
    for (house, zone) in houses {
        let lease = house.lease;
        let row = roll.iter().find(|row| row.lease.id == lease);
        let standing = row.map(|row| row.standing).unwrap_or_default();
        let context = format!("{lease} on {as_of:?}: {standing:?}");
        assert_eq!(standing.balance(), owed(&mut tx, lease, zone, as_of).await.unwrap(), "{context}");
        let open = arrears::details(&mut tx, landlord, &days, lease, None).await.unwrap();
        assert_eq!(sum(&open), standing.open, "{context}");
        assert!(open.iter().all(|detail| 0 < detail.minor), "{context}: {open:?}");
        let credit = rent_roll::credit_details(&mut tx, &days, lease).await.unwrap();
        assert_eq!(sum(&credit), standing.credit, "{context}: {credit:?}");
        assert!(credit.iter().all(|detail| 0 < detail.minor), "{context}: {credit:?}");
        let deposit = rent_roll::deposit_details(&mut tx, landlord, &days, lease).await.unwrap();
        assert_eq!(sum(&deposit), standing.deposit_held, "{context}: {deposit:?}");
        let by_age = owing.iter().find(|row| row.lease.id == lease).map(|row| row.open).unwrap_or_default();
        for (age, minor) in Age::ALL.into_iter().zip(by_age.by_age) {
            let details = arrears::details(&mut tx, landlord, &days, lease, Some(age)).await.unwrap();
            assert_eq!(sum(&details), minor, "{context}: {age}");
        }
        assert_eq!(by_age.total(), standing.open, "{context}");
    }
    let totals = rent_roll::totals(&mut tx, landlord, &days).await.unwrap();
    assert_eq!(totals, rent_roll::Totals::of(&roll));
    assert_eq!(arrears::totals(&mut tx, landlord, &days).await.unwrap(), arrears::Totals::of(&owing));
    let total = |of: fn(&Standing) -> i64| roll.iter().map(|row| of(&row.standing)).sum::<i64>();
    let expected = Standing {
        open: total(|row| row.open),
        credit: total(|row| row.credit),
        deposit_held: total(|row| row.deposit_held),
    };
    assert_eq!(totals.iter().map(|total| total.standing).collect::<Vec<_>>(), [expected]);
    assert_eq!(totals[0].leases, i64::try_from(roll.len()).unwrap());
    assert_eq!(totals[0].rent, roll.iter().filter_map(|row| row.rent).sum::<i64>());
    let owing_total: i64 =
        arrears::totals(&mut tx, landlord, &days).await.unwrap().iter().map(|t| t.open.total()).sum();
    assert_eq!(owing_total, expected.open);
}

/// What became of the charges of a month is what its details say, and all of it.
async fn assert_month_adds_up(world: &World, landlord: UserId, of: Month) {
    let mut tx = world.db.begin_read().await.unwrap();
    let days = Days::of(&mut tx, landlord, None, world.now()).await.unwrap();
    let rows = month::page(&mut tx, landlord, &days, of, Page::first(100)).await.unwrap();
    for row in &rows {
        for column in MonthColumn::ALL {
            let details = month::details(&mut tx, landlord, &days, of, (row.lease.id, column)).await.unwrap();
            assert_eq!(sum(&details), row.collection.get(column), "{column} of {row:?}: {details:?}");
        }
        let month::Collection { charged, collected, on_the_way, credited, open, late } = row.collection;
        assert_eq!(charged, collected + on_the_way + credited + open, "{row:?}");
        assert!(late <= open, "{row:?}");
    }
    let totals = month::totals(&mut tx, landlord, &days, of).await.unwrap();
    let total = totals.first().map(|total| total.collection).unwrap_or_default();
    for column in MonthColumn::ALL {
        assert_eq!(total.get(column), rows.iter().map(|row| row.collection.get(column)).sum::<i64>(), "{column}");
    }
}

/// Every payment stands in the report of exactly one day.
async fn assert_payments_add_up(world: &World, landlord: UserId, days_of_life: &[Date]) {
    let mut tx = world.db.begin_read().await.unwrap();
    let days = Days::of(&mut tx, landlord, None, world.now()).await.unwrap();
    let all = payments::page(&mut tx, landlord, &days, Span::default(), Page::first(1_000)).await.unwrap();
    let mut found = Vec::new();
    for day in days_of_life {
        let span = Span { from: Some(*day), to: Some(*day) };
        let rows = payments::page(&mut tx, landlord, &days, span, Page::first(1_000)).await.unwrap();
        assert!(rows.iter().all(|row| row.initiated_on == *day), "{rows:?}");
        found.extend(rows);
    }
    found.sort_by_key(|row| std::cmp::Reverse(row.id));
    assert_eq!(found, all);
    let totals = payments::totals(&mut tx, landlord, &days, Span::default()).await.unwrap();
    assert_eq!(totals.iter().map(|total| total.payments).sum::<i64>(), i64::try_from(all.len()).unwrap());
}

/// Income is what its details say; as money arrives it is the cash that came in less the deposits that are held, month by month;
/// as it is owed it is what the ledger earned.
async fn assert_income_adds_up(world: &World, landlord: UserId, houses: &[(House, &str)]) {
    let months = Month::of_year("2026").unwrap();
    let mut tx = world.db.begin_read().await.unwrap();
    let days = Days::of(&mut tx, landlord, None, world.now()).await.unwrap();
    for basis in Basis::ALL {
        let rows = income::page(&mut tx, landlord, &days, (basis, &months), Page::first(100)).await.unwrap();
        let mut by_part = std::collections::BTreeMap::new();
        for (row, of) in rows.iter().flat_map(|row| months[..5].iter().map(move |month| (row, *month))) {
            for part in basis.parts().iter().copied() {
                let minor =
                    row.cells.iter().filter(|cell| (cell.month, cell.part) == (of, part)).map(|cell| cell.minor);
                let (property, currency) = (row.property.id, Currency::USD);
                let wanted = income::Wanted { property, month: of, basis, currency, part: Some(part) };
                let details = income::details(&mut tx, landlord, &days, wanted).await.unwrap();
                let minor = minor.sum::<i64>();
                assert_eq!(sum(&details), minor, "{of} {part}: {details:?}");
                assert!(details.iter().all(|detail| Month::of(detail.date.unwrap()) == of), "{of}: {details:?}");
                *by_part.entry((of, part)).or_insert(0) += minor;
            }
        }
        for cell in income::totals(&mut tx, landlord, &days, (basis, &months)).await.unwrap() {
            assert_eq!(by_part.remove(&(cell.month, cell.part)), Some(cell.minor), "{cell:?}");
        }
        assert!(by_part.values().all(|minor| *minor == 0), "{by_part:?}");
        for (house, zone) in houses {
            let row = rows.iter().find(|row| row.property.id == house.property).unwrap();
            let earned = |through: Month| {
                let cells = row.cells.iter().filter(|cell| cell.month <= through);
                cells.map(|cell| cell.minor).sum::<i64>()
            };
            match basis {
                Basis::Cash => {
                    for month in &months[..5] {
                        let held = deposit_held(world, landlord, house.lease, month.last()).await;
                        let cash = moved(&mut tx, house.lease, "cash", end_of(*month, zone)).await;
                        assert_eq!(earned(*month), cash - held, "{month} of {}: {held} held", house.lease);
                    }
                }
                Basis::Accrual => {
                    let mut ledger = 0;
                    for account in ["income", "concession", "bad_debt"] {
                        ledger -= moved(&mut tx, house.lease, account, i64::MAX).await;
                    }
                    assert_eq!(earned(months[11]), ledger);
                }
            }
        }
    }
}

fn end_of(month: Month, zone: &str) -> i64 {
    day_begins(&ZoneName::parse(zone).unwrap(), month.last().tomorrow().unwrap()).micros()
}

/// By how much the accounts of a kind were debited by a lease and its payments before a moment.
async fn moved(tx: &mut Tx, lease: LeaseId, kind: &str, until: i64) -> i64 {
    let like = format!("{kind}:%");
    let sums: Vec<(i64,)> = tx
        .fetch_all(
            "SELECT CAST(SUM(CASE WHEN o.debit LIKE $2 THEN o.amount ELSE -o.amount END) AS BIGINT)
             FROM postings o JOIN events e ON e.stream_id = o.stream_id AND e.sequence = o.sequence
             WHERE (o.stream_id = $1 OR o.stream_id IN (SELECT id FROM payments WHERE lease_id = $1))
               AND (o.debit LIKE $2 OR o.credit LIKE $2) AND e.occurred_at < $3 HAVING 0 < COUNT(*)",
            (lease.0, like.as_str(), until),
        )
        .await
        .unwrap();
    sums.iter().map(|(minor,)| minor).sum()
}

async fn deposit_held(world: &World, landlord: UserId, lease: LeaseId, as_of: Date) -> i64 {
    let mut tx = world.db.begin_read().await.unwrap();
    let days = Days::of(&mut tx, landlord, Some(as_of), world.now()).await.unwrap();
    sum(&rent_roll::deposit_details(&mut tx, landlord, &days, lease).await.unwrap())
}

fn lives(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), steps), 2)
}

#[test]
fn every_day_of_a_random_life_adds_up_cell_by_cell() {
    let config = Config { cases: 3, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let told = TestRunner::new(config).run(&lives(10..30), |lives| {
        on_both_engines(async |world| add_up(world, &lives).await);
        Ok(())
    });
    told.unwrap();
}

async fn add_up(world: &World, lives: &[Vec<Step>]) {
    let house = world.house().await;
    let landlord = house.landlord;
    let houses = [(house, "America/Chicago"), (world.house_in_hawaii(&house).await, "Pacific/Honolulu")];
    let stranger = world.house().await;
    let today = || local_date(&ZoneName::parse("Pacific/Honolulu").unwrap(), world.now().timestamp());
    let begun = today();
    for ((house, _), steps) in houses.iter().zip(lives) {
        go_through(world, house, steps).await;
    }
    go_through(world, &stranger, &lives[0][..5]).await;
    let (before, now) = (begun.saturating_sub(25.days()), today());
    let days: Vec<Date> = before.series(1.day()).take_while(|day| *day <= now).collect();
    for day in days.iter().filter(|day| **day < now).step_by(5) {
        assert_day_adds_up(world, landlord, &houses, Some(*day)).await;
    }
    assert_day_adds_up(world, landlord, &houses, None).await;
    assert_payments_add_up(world, landlord, &[&days[..], &[now.tomorrow().unwrap()]].concat()).await;
    for month in ["2026-02", "2026-03"] {
        assert_month_adds_up(world, landlord, Month::parse(month).unwrap()).await;
    }
    assert_income_adds_up(world, landlord, &houses).await;
    let owed = world.receivable(&houses).await;
    let mut tx = world.db.begin_read().await.unwrap();
    let days = Days::of(&mut tx, landlord, None, world.now()).await.unwrap();
    let totals = rent_roll::totals(&mut tx, landlord, &days).await.unwrap();
    assert_eq!(totals[0].standing.balance(), owed);
}

impl World {
    /// What the ledger says that the leases of these houses owe.
    async fn receivable(&self, houses: &[(House, &str)]) -> i64 {
        let mut owed = 0;
        for (house, _) in houses {
            let account = format!("receivable:{}", house.lease);
            let (minor,): (i64,) = self
                .keep(async |tx| {
                    tx.fetch_one(
                        "SELECT CAST(COALESCE(SUM(CASE WHEN debit = $1 THEN amount ELSE -amount END), 0) AS BIGINT)
                         FROM postings WHERE debit = $1 OR credit = $1",
                        (account.as_str(),),
                    )
                    .await
                })
                .await;
            owed += minor;
        }
        owed
    }
}
