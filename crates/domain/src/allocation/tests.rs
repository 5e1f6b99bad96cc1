use std::collections::HashMap;

use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;
use crate::charge::ChargeKind;

const FIRST_PAYMENT: Uuid = Uuid::from_u128(0xF001);
const SECOND_PAYMENT: Uuid = Uuid::from_u128(0xF002);

fn place(kind: ChargeKind, due_date: Date, number: u128) -> Place {
    Place::new(kind, due_date, ChargeId(Uuid::from_u128(number)))
}

fn february() -> Place {
    place(ChargeKind::Rent, date(2026, 2, 1), 2)
}

fn march() -> Place {
    place(ChargeKind::Rent, date(2026, 3, 1), 3)
}

fn parking() -> Place {
    place(ChargeKind::Extra, date(2026, 2, 1), 12)
}

fn key() -> Place {
    place(ChargeKind::OneOff, date(2026, 1, 20), 20)
}

fn fee() -> Place {
    place(ChargeKind::LateFee, date(2026, 1, 6), 30)
}

/// February and March at 1500.00 with parking, a lost key and an old fee at 50.00 each.
fn all_open() -> Books {
    let small = [parking(), key(), fee()].map(|place| Open { place, minor: 5_000 });
    Books::new([february(), march()].map(|place| Open { place, minor: 150_000 }).into_iter().chain(small), [])
}

/// What each charge got, in the order in which it got it.
fn paid(allocations: &[Allocation]) -> Vec<(u128, i64)> {
    allocations.iter().map(|one| (one.place.id().0.as_u128(), one.minor)).collect()
}

#[test]
fn rent_is_paid_first_the_oldest_first_then_extras_then_what_is_charged_once_then_fees() {
    let mut books = all_open();

    let allocations = books.receive(FIRST_PAYMENT, 320_000, None);

    let expected = [(2, 150_000), (3, 150_000), (12, 5_000), (20, 5_000), (30, 5_000)];
    assert_eq!(paid(&allocations), expected);
    assert_eq!((books.open_minor(), books.credit_minor()), (0, 5_000));
}

#[test]
fn a_part_pays_for_a_part() {
    let mut books = all_open();

    assert_eq!(paid(&books.receive(FIRST_PAYMENT, 160_000, None)), [(2, 150_000), (3, 10_000)]);
    assert_eq!(paid(&books.receive(SECOND_PAYMENT, 140_001, None)), [(3, 140_000), (12, 1)]);
}

#[test]
fn a_waiver_pays_for_its_charge_and_what_it_does_not_need_goes_the_usual_way() {
    let mut books = all_open();

    let allocations = books.receive(FIRST_PAYMENT, 6_000, Some(fee().id()));

    assert_eq!(paid(&allocations), [(30, 5_000), (2, 1_000)]);
}

#[test]
fn what_is_left_over_pays_for_the_next_charge_by_itself() {
    let mut books = Books::default();

    assert_eq!(books.receive(FIRST_PAYMENT, 100_000, None), []);
    assert_eq!(books.receive(SECOND_PAYMENT, 80_000, None), []);
    let allocations = books.charge(february(), 150_000);

    let of = |source, minor| Allocation { source, place: february(), minor };
    assert_eq!(allocations, [of(FIRST_PAYMENT, 100_000), of(SECOND_PAYMENT, 50_000)]);
    assert_eq!(books.touched_credit().collect::<Vec<_>>(), [(FIRST_PAYMENT, 0), (SECOND_PAYMENT, 30_000)]);
}

#[test]
fn what_falls_away_takes_back_what_it_paid_and_other_credit_steps_in() {
    let mut books = Books::new([], [Credit { source: SECOND_PAYMENT, minor: 40_000 }]);

    let allocations = books.withdraw(FIRST_PAYMENT, &[(february(), 150_000)]);

    assert_eq!(paid(&allocations), [(2, -150_000), (2, 40_000)]);
    assert_eq!((books.open_minor(), books.credit_minor()), (110_000, 0));
}

#[test]
fn what_falls_away_takes_its_credit_along() {
    let mut books = Books::new([], [Credit { source: FIRST_PAYMENT, minor: 40_000 }]);

    assert_eq!(books.withdraw(FIRST_PAYMENT, &[]), []);
    assert_eq!(books.touched_credit().collect::<Vec<_>>(), [(FIRST_PAYMENT, 0)]);
}

#[test]
fn a_voided_charge_gives_its_money_to_others() {
    let mut books = Books::new([Open { place: march(), minor: 150_000 }], []);

    let allocations = books.void(february(), &[(FIRST_PAYMENT, 70_000)]);

    assert_eq!(paid(&allocations), [(2, -70_000), (3, 70_000)]);
}

#[test]
fn a_voided_charge_that_was_open_is_open_no_more() {
    let mut books = all_open();

    assert_eq!(books.void(february(), &[]), []);
    assert_eq!(books.open_minor(), 165_000);
}

#[test]
fn credit_waits_for_rent_and_pays_for_nothing_else_by_itself() {
    let mut books = Books::new([], [Credit { source: FIRST_PAYMENT, minor: 150_000 }]);

    assert_eq!(books.charge(key(), 5_000), []);
    assert_eq!(paid(&books.charge(march(), 150_000)), [(3, 150_000)]);
    assert_eq!((books.open_minor(), books.credit_minor()), (5_000, 0));
}

#[test]
fn what_is_paid_out_comes_first_out_of_what_had_brought_it() {
    let credit = [(FIRST_PAYMENT, 40_000), (SECOND_PAYMENT, 30_000)].map(|(source, minor)| Credit { source, minor });
    let payout = place(ChargeKind::Payout, date(2026, 2, 9), 40);
    let paid_out = |brought_by| {
        let allocations = Books::new([], credit).pay_out(payout, 50_000, brought_by);
        allocations.iter().map(|one| (one.source, one.minor)).collect::<Vec<_>>()
    };

    assert_eq!(paid_out(Some(SECOND_PAYMENT)), [(SECOND_PAYMENT, 30_000), (FIRST_PAYMENT, 20_000)]);
    assert_eq!(paid_out(None), [(FIRST_PAYMENT, 40_000), (SECOND_PAYMENT, 10_000)]);
    // What it brought has paid for something: other credit steps in.
    assert_eq!(paid_out(Some(Uuid::from_u128(9))), [(FIRST_PAYMENT, 40_000), (SECOND_PAYMENT, 10_000)]);
}

#[test]
fn a_source_pays_for_what_it_is_given_for_in_that_order_before_all_else() {
    let mut books = all_open();

    let allocations = books.receive(FIRST_PAYMENT, 160_000, [fee().id(), key().id()]);

    assert_eq!(paid(&allocations), [(30, 5_000), (20, 5_000), (2, 150_000)]);
    assert_eq!(books.credit_of(FIRST_PAYMENT), 0);
}

/// A step of a random life of a lease.
#[derive(Debug, Clone)]
enum Step {
    Receive(i64),
    Charge(ChargeKind, i8, i64),
    /// The source that came as the given one, counted from the first and round again, falls away.
    Withdraw(usize),
    Void(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..3_000_i64).prop_map(Step::Receive),
        (prop::sample::select(&ChargeKind::ALL[..]), 1..=28_i8, 1..2_000_i64)
            .prop_map(|(k, d, m)| Step::Charge(k, d, m)),
        (0..40_usize).prop_map(Step::Withdraw),
        (0..40_usize).prop_map(Step::Void),
    ]
}

/// What stands: who paid how much for what, and what came in and was charged.
#[derive(Default)]
struct Standing {
    paid: HashMap<(Uuid, Place), i64>,
    sources: Vec<(Uuid, i64)>,
    charges: Vec<(Place, i64)>,
}

impl Standing {
    fn note(&mut self, allocations: &[Allocation]) {
        for one in allocations {
            *self.paid.entry((one.source, one.place)).or_default() += one.minor;
        }
        self.paid.retain(|_, minor| *minor != 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_charge_and_no_source_is_ever_used_twice(steps in prop::collection::vec(step(), 1..60)) {
        let (mut books, mut standing) = (Books::default(), Standing::default());
        for (number, step) in (1_u128..).zip(steps) {
            let allocations = match step {
                Step::Receive(minor) => {
                    standing.sources.push((Uuid::from_u128(number), minor));
                    books.receive(Uuid::from_u128(number), minor, None)
                }
                Step::Charge(kind, day, minor) => {
                    let place = place(kind, date(2026, 2, day), number);
                    standing.charges.push((place, minor));
                    books.charge(place, minor)
                }
                Step::Withdraw(of) if !standing.sources.is_empty() => {
                    let (source, _) = standing.sources.remove(of % standing.sources.len());
                    let paid = standing.paid.iter().filter(|((by, _), _)| *by == source);
                    let paid: Vec<_> = paid.map(|((_, place), minor)| (*place, *minor)).collect();
                    books.withdraw(source, &paid)
                }
                Step::Void(of) if !standing.charges.is_empty() => {
                    let (place, _) = standing.charges.remove(of % standing.charges.len());
                    let paid = standing.paid.iter().filter(|((_, for_what), _)| *for_what == place);
                    let paid: Vec<_> = paid.map(|((by, _), minor)| (*by, *minor)).collect();
                    books.void(place, &paid)
                }
                Step::Withdraw(_) | Step::Void(_) => Vec::new(),
            };
            prop_assert!(allocations.iter().all(|one| one.minor != 0));
            standing.note(&allocations);
            prop_assert!(standing.paid.values().all(|minor| 0 < *minor));
            let (received, charged) = (sum(&standing.sources), sum(&standing.charges));
            let applied: i64 = standing.paid.values().sum();
            prop_assert_eq!(books.open_minor(), charged - applied);
            prop_assert_eq!(books.credit_minor(), received - applied);
            let rent_is_open = books.open().any(|open| open.place.draws_on_credit());
            prop_assert!(!rent_is_open || books.credit_minor() == 0);
            for (place, minor) in &standing.charges {
                let paid: i64 = standing.paid.iter().filter(|((_, of), _)| of == place).map(|(_, minor)| minor).sum();
                prop_assert!(paid <= *minor);
            }
            for (source, minor) in &standing.sources {
                let used: i64 = standing.paid.iter().filter(|((by, _), _)| by == source).map(|(_, minor)| minor).sum();
                prop_assert!(used <= *minor);
            }
        }
    }
}

fn sum<T>(of: &[(T, i64)]) -> i64 {
    of.iter().map(|(_, minor)| minor).sum()
}

#[test]
fn money_drawn_for_a_day_pays_for_all_that_is_due_by_it_and_for_rent_later() {
    let extra = |due_date| Place::new(ChargeKind::Extra, due_date, ChargeId(Uuid::from_u128(900)));
    let drawn = || {
        let mut books = Books::new([], [Credit { source: FIRST_PAYMENT, minor: 10_000 }]);
        books.earmark(FIRST_PAYMENT, date(2026, 3, 1));
        books
    };
    let pays = |due_date| drawn().charge(extra(due_date), 10_000).len();
    assert_eq!(pays(date(2026, 2, 1)), 1);
    assert_eq!(pays(date(2026, 3, 1)), 1);
    assert_eq!(pays(date(2026, 3, 2)), 0);
    let rent = Place::new(ChargeKind::Rent, date(2026, 4, 1), ChargeId(Uuid::from_u128(901)));
    assert_eq!(drawn().charge(rent, 10_000).len(), 1);
}
