use jiff::civil::date;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::id::{BankAccountId, EventId, LeaseId};
use crate::money::{Amount, Currency};
use crate::payment::{AccountSnapshot, Actor, NewEvent, Retry, Snapshot, Status};
use crate::property::{ZoneName, local_date};
use crate::rail::Rail;

const LEASE: Uuid = Uuid::from_u128(1);
const CHARGE: ChargeId = ChargeId(Uuid::from_u128(2));
const PAYMENT: Uuid = Uuid::from_u128(3);

fn new_york(at: Instant) -> Date {
    local_date(&ZoneName::parse("America/New_York").unwrap(), at.timestamp())
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn usd(cents: i64) -> Amount {
    Amount::from_minor(cents, Currency::USD).unwrap()
}

fn charge(kind: ChargeKind, description: Option<&str>, start: Date, end: Date) -> PostedCharge {
    PostedCharge {
        charge_id: CHARGE,
        kind,
        period_start: start,
        period_end: end,
        due_date: start,
        amount: usd(150_000),
        description: description.map(str::to_owned),
    }
}

fn march() -> PostedCharge {
    charge(ChargeKind::Rent, None, date(2026, 3, 1), date(2026, 3, 31))
}

fn of_lease(sequence: i64, change: LeaseChange, reason: Option<Reason>, occurred_at: &str, minor: i64) -> Entry {
    let new = NewEvent {
        id: EventId(Uuid::nil()),
        occurred_at: at(occurred_at),
        actor: Actor::system("test"),
        request_id: None,
    };
    let event = LeaseEvent::new(LeaseId(LEASE), sequence, change, reason, new);
    Entry { fact: Fact::Lease(Box::new(event)), amount_minor: minor }
}

fn of_payment(kind: Kind, change: Change, reason: Option<Reason>, occurred_at: &str, minor: i64) -> Entry {
    let account = AccountSnapshot {
        account_id: BankAccountId(Uuid::from_u128(77)),
        last4: "6789".into(),
        bank_name: "First Rental Bank".into(),
    };
    let event = Event {
        id: EventId(Uuid::nil()),
        payment_id: PaymentId(PAYMENT),
        sequence: 2,
        previous_status: None,
        status: Status::Processing,
        occurred_at: at(occurred_at),
        actor: Actor::system("test"),
        request_id: None,
        reason,
        metadata: Snapshot {
            amount: "1500.00".into(),
            currency: Currency::USD,
            rail: Rail::StandardAch,
            attempt: 1,
            lease_id: LeaseId(LEASE),
            payer: account.clone(),
            payee: account,
            bank_reference: None,
        },
        change,
    };
    Entry { fact: Fact::Payment(kind, Box::new(event)), amount_minor: minor }
}

fn processing() -> Change {
    Change::Processing { estimated_settlement_at: at("2026-03-10T00:00:00Z") }
}

fn retried() -> Change {
    let moment = at("2026-03-10T00:00:00Z");
    Change::RetryScheduled { retry: Retry::Transient, due_at: moment, estimated_settlement_at: moment }
}

#[test]
fn a_charge_counts_from_its_due_date_and_everything_else_from_the_local_day() {
    let entries = [
        of_lease(2, LeaseChange::ChargePosted(march()), None, "2026-03-09T12:00:00Z", 150_000),
        // Still the seventh in New York.
        of_payment(Kind::Rent, processing(), None, "2026-03-08T04:30:00Z", -150_000),
    ];

    let lines = lines(&entries, new_york);

    let told: Vec<_> = lines.iter().map(|line| (line.date, line.amount_minor, line.balance_minor)).collect();
    assert_eq!(told, [(date(2026, 3, 1), 150_000, 150_000), (date(2026, 3, 7), -150_000, 0)]);
    let named: Vec<_> = lines.iter().map(|line| (line.stream, line.stream_id, line.sequence)).collect();
    assert_eq!(named, [(Stream::Lease, LEASE, 2), (Stream::Payment, PAYMENT, 2)]);
    assert_eq!((lines[0].charge_id, lines[1].payment_id), (Some(CHARGE), Some(PaymentId(PAYMENT))));
    let balances = [28, 1, 7].map(|day| balance_on(&lines, date(2026, if day == 28 { 2 } else { 3 }, day)));
    assert_eq!(balances, [0, 150_000, 0]);
}

#[rstest]
#[case(march(), "Rent 1 March to 31 March 2026")]
#[case(
    charge(ChargeKind::Rent, None, date(2025, 12, 15), date(2026, 1, 14)),
    "Rent 15 December 2025 to 14 January 2026"
)]
#[case(charge(ChargeKind::Extra, Some("Parking"), date(2026, 2, 28), date(2026, 2, 28)), "Parking 28 February 2026")]
#[case(charge(ChargeKind::OneOff, Some("=SUM(A1)"), date(2026, 2, 1), date(2026, 2, 1)), "=SUM(A1)")]
#[case(charge(ChargeKind::OneOff, None, date(2026, 2, 1), date(2026, 2, 1)), "Charge")]
#[case(charge(ChargeKind::Deposit, Some("Keys"), date(2026, 2, 1), date(2026, 2, 1)), "Deposit: Keys")]
#[case(charge(ChargeKind::Deposit, None, date(2026, 2, 1), date(2026, 2, 1)), "Deposit")]
#[case(charge(ChargeKind::LateFee, None, date(2026, 2, 1), date(2026, 2, 1)), "Late fee")]
fn a_charge_is_told_in_plain_words(#[case] posted: PostedCharge, #[case] expected: &str) {
    let entry = of_lease(1, LeaseChange::ChargePosted(posted), None, "2026-03-09T12:00:00Z", 1);

    assert_eq!(lines(&[entry], new_york)[0].description, expected);
}

#[rstest]
#[case(Kind::Rent, processing(), None, "Payment by STANDARD_ACH")]
#[case(Kind::Refund, processing(), None, "Refund by STANDARD_ACH")]
#[case(Kind::Rent, Change::Returned, Some(("R01", "acct 123456789")), "Payment returned (R01 Insufficient funds)")]
#[case(Kind::Rent, Change::Failed, Some(("AM04", "No money")), "Payment failed (AM04 No money)")]
#[case(Kind::Rent, Change::Failed, None, "Payment failed")]
#[case(
    Kind::Rent,
    retried(),
    Some(("R09", "x")),
    "Payment did not go through and will be tried again (R09 Uncollected funds)"
)]
fn a_payment_is_told_without_accounts(
    #[case] kind: Kind,
    #[case] change: Change,
    #[case] reason: Option<(&str, &str)>,
    #[case] expected: &str,
) {
    let reason = reason.map(|(code, text)| Reason::new(code, text));
    let entry = of_payment(kind, change, reason, "2026-03-09T12:00:00Z", 1);

    let lines = lines(&[entry], new_york);

    assert_eq!(lines[0].description, expected);
    assert!(!format!("{lines:?}").contains("6789") && !format!("{lines:?}").contains("First Rental Bank"));
}

#[test]
fn what_is_let_off_or_taken_back_names_its_charge() {
    let credit =
        |kind, charge_id| LeaseChange::CreditGranted { credit_id: Uuid::from_u128(9), kind, amount: usd(1), charge_id };
    let voided = |charge_id| LeaseChange::ChargeVoided {
        was_posted: true,
        charge_id,
        kind: ChargeKind::LateFee,
        amount: usd(1),
    };
    let because = || Some(Reason::new("GOODWILL", "The heating was cold"));
    let noon = "2026-03-09T12:00:00Z";
    let entries = [
        of_lease(1, LeaseChange::ChargePosted(march()), None, noon, 150_000),
        of_lease(2, credit(CreditKind::Waiver, Some(CHARGE)), because(), noon, -1),
        of_lease(3, credit(CreditKind::Concession, None), because(), noon, -1),
        of_lease(4, credit(CreditKind::WriteOff, None), None, noon, -1),
        of_lease(5, voided(CHARGE), because(), noon, -1),
        of_lease(6, voided(ChargeId(Uuid::nil())), None, noon, -1),
    ];

    let told: Vec<_> = lines(&entries, new_york).into_iter().skip(1).map(|line| line.description).collect();

    assert_eq!(
        told,
        [
            "Waiver: Rent 1 March to 31 March 2026 (The heating was cold)",
            "Concession: The heating was cold",
            "Write-off",
            "Voided: Rent 1 March to 31 March 2026 (The heating was cold)",
            "Voided: Late fee",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_balance_is_the_sum_and_every_line_names_its_event(
        moves in proptest::collection::vec((any::<bool>(), 0..400_i64, -1_000_000..1_000_000_i64), 0..40),
        as_of in 0..400_i64,
    ) {
        let first = at("2026-01-01T12:00:00Z");
        let entries: Vec<Entry> = (1..).zip(&moves).map(|(sequence, (is_lease, day, minor))| {
            let moment = first.plus_micros(day * crate::time::DAY_US).to_string();
            if *is_lease {
                of_lease(sequence, LeaseChange::ChargePosted(march()), None, &moment, *minor)
            } else {
                let mut entry = of_payment(Kind::Rent, processing(), None, &moment, *minor);
                if let Fact::Payment(_, event) = &mut entry.fact {
                    event.sequence = sequence;
                }
                entry
            }
        }).collect();

        let lines = lines(&entries, new_york);

        let sum: i64 = moves.iter().map(|(_, _, minor)| minor).sum();
        prop_assert_eq!(lines.last().map_or(0, |line| line.balance_minor), sum);
        prop_assert!(lines.is_sorted_by_key(|line| (line.date, line.occurred_at, line.stream_id, line.sequence)));
        let mut named: Vec<_> = lines.iter().map(|line| line.sequence).collect();
        named.sort_unstable();
        prop_assert!(named.into_iter().eq((1..).take(moves.len())));
        let day = new_york(first.plus_micros(as_of * crate::time::DAY_US));
        let through: i64 = lines.iter().filter(|line| line.date <= day).map(|line| line.amount_minor).sum();
        prop_assert_eq!(balance_on(&lines, day), through);
    }
}

#[test]
fn a_statement_begins_with_what_was_owed_and_tells_what_its_days_come_to() {
    let posted = |day: Date, minor: i64| {
        let charge = PostedCharge { due_date: day, ..march() };
        of_lease(1, LeaseChange::ChargePosted(charge), None, "2026-05-01T12:00:00Z", minor)
    };
    let entries =
        [posted(date(2026, 3, 1), 150_000), posted(date(2026, 3, 20), -40_000), posted(date(2026, 4, 1), 150_000)];
    let lines = lines(&entries, new_york);
    let of = |from, to| {
        let Statement { opening_minor, lines, closing_minor, .. } = Statement::of(lines.clone(), from, to);
        (opening_minor, lines.len(), closing_minor)
    };

    assert_eq!(of(None, None), (0, 3, 260_000));
    assert_eq!(of(Some(date(2026, 3, 2)), Some(date(2026, 3, 31))), (150_000, 1, 110_000));
    assert_eq!(of(Some(date(2026, 3, 21)), Some(date(2026, 3, 31))), (110_000, 0, 110_000));
    let turnover = Statement::of(lines.clone(), None, None).turnover();
    assert_eq!(turnover, Turnover { charged_minor: 300_000, credited_minor: 40_000 });
}
