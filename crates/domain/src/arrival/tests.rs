//! Vectors of arrivals in Eastern Time, and what holds for all of them.

use jiff::ToSpan;
use jiff::civil::date;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::banking_day::is_banking_day;
use crate::property::local_date;

const BANK_RAILS: [Rail; 3] = [Rail::SameDayAch, Rail::StandardAch, Rail::Wire];

/// A moment by the clock of New York.
fn et(text: &str) -> Instant {
    eastern_moment(text.parse().unwrap())
}

fn utc(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).unwrap()
}

fn told(rail: Rail, handed_over_at: &str) -> String {
    arrival(rail, et(handed_over_at)).to_string()
}

#[test]
fn the_rails_keep_the_time_of_new_york() {
    assert_eq!(EASTERN.iana_name(), Some("America/New_York"));
}

#[rstest]
// An ordinary week.
#[case("2026-09-16T00:00", "2026-09-16T13:00")]
#[case("2026-09-16T10:30", "2026-09-16T13:00")]
#[case("2026-09-16T10:30:00.000001", "2026-09-16T17:00")]
#[case("2026-09-16T14:45", "2026-09-16T17:00")]
#[case("2026-09-16T14:45:00.000001", "2026-09-16T18:00")]
#[case("2026-09-16T16:45", "2026-09-16T18:00")]
#[case("2026-09-16T16:45:00.000001", "2026-09-17T13:00")]
#[case("2026-09-16T23:59:59.999999", "2026-09-17T13:00")]
// Weekend, Labor Day.
#[case("2026-09-04T16:46", "2026-09-08T13:00")]
#[case("2026-09-05T09:00", "2026-09-08T13:00")]
#[case("2026-09-07T09:00", "2026-09-08T13:00")]
// The year's end.
#[case("2026-12-31T16:45", "2026-12-31T18:00")]
#[case("2026-12-31T16:46", "2027-01-04T13:00")]
#[case("2027-12-31T16:46", "2028-01-03T13:00")]
// Independence Day on a Saturday, then on a Sunday.
#[case("2026-07-03T10:00", "2026-07-03T13:00")]
#[case("2026-07-03T17:00", "2026-07-06T13:00")]
#[case("2027-07-02T17:00", "2027-07-06T13:00")]
fn same_day_ach_settles_by_its_windows(#[case] handed_over_at: &str, #[case] expected: &str) {
    assert_eq!(arrival(Rail::SameDayAch, et(handed_over_at)).at, et(expected));
}

#[rstest]
#[case("2026-09-16T02:15", "2026-09-16T08:30")]
#[case("2026-09-16T02:15:00.000001", "2026-09-17T08:30")]
#[case("2026-09-16T12:00", "2026-09-17T08:30")]
#[case("2026-09-17T00:00", "2026-09-17T08:30")]
#[case("2026-09-04T12:00", "2026-09-08T08:30")]
#[case("2026-09-05T02:15", "2026-09-08T08:30")]
#[case("2026-09-05T02:15:00.000001", "2026-09-09T08:30")]
#[case("2026-09-06T12:00", "2026-09-09T08:30")]
#[case("2026-09-07T23:00", "2026-09-09T08:30")]
#[case("2026-09-08T01:00", "2026-09-09T08:30")]
#[case("2026-12-24T12:00", "2026-12-28T08:30")]
#[case("2026-12-31T12:00", "2027-01-04T08:30")]
#[case("2027-07-02T12:00", "2027-07-06T08:30")]
#[case("2027-12-24T12:00", "2027-12-27T08:30")]
fn standard_ach_settles_on_the_next_banking_day(#[case] handed_over_at: &str, #[case] expected: &str) {
    assert_eq!(arrival(Rail::StandardAch, et(handed_over_at)).at, et(expected));
}

#[rstest]
#[case("2026-09-16T00:00", "2026-09-16T09:00")]
#[case("2026-09-16T08:59:59.999999", "2026-09-16T09:00")]
#[case("2026-09-16T09:00", "2026-09-16T09:00")]
#[case("2026-09-16T14:07:33.5", "2026-09-16T14:07:33.5")]
#[case("2026-09-16T18:45", "2026-09-16T18:45")]
#[case("2026-09-16T18:45:00.000001", "2026-09-17T09:00")]
#[case("2026-09-04T18:46", "2026-09-08T09:00")]
#[case("2026-09-06T21:30", "2026-09-08T09:00")]
#[case("2026-12-31T18:46", "2027-01-04T09:00")]
#[case("2027-07-05T12:00", "2027-07-06T09:00")]
fn a_wire_moves_at_once_while_fedwire_is_open(#[case] handed_over_at: &str, #[case] expected: &str) {
    assert_eq!(arrival(Rail::Wire, et(handed_over_at)).at, et(expected));
}

#[rstest]
#[case("2026-09-16T12:00")]
#[case("2026-09-06T03:00")]
#[case("2026-12-25T00:00")]
fn an_instant_payment_is_there_at_once(#[case] handed_over_at: &str) {
    let at = et(handed_over_at);

    assert_eq!(arrival(Rail::Instant, at), Arrival { at, reasons: vec![Reason::AroundTheClock] });
}

/// Clocks go forward on Sunday 2026-03-08 and back on Sunday 2026-11-01: New York is 5, 4 and 5 hours behind.
#[rstest]
#[case(Rail::SameDayAch, "2026-03-06T21:45:00Z", "2026-03-06T23:00:00Z")]
#[case(Rail::SameDayAch, "2026-03-06T21:45:00.000001Z", "2026-03-09T17:00:00Z")]
#[case(Rail::SameDayAch, "2026-03-08T07:00:00Z", "2026-03-09T17:00:00Z")]
#[case(Rail::SameDayAch, "2026-03-09T14:30:00Z", "2026-03-09T17:00:00Z")]
#[case(Rail::SameDayAch, "2026-03-09T14:30:00.000001Z", "2026-03-09T21:00:00Z")]
#[case(Rail::StandardAch, "2026-03-07T07:15:00Z", "2026-03-09T12:30:00Z")]
#[case(Rail::StandardAch, "2026-03-08T07:15:00Z", "2026-03-10T12:30:00Z")]
#[case(Rail::StandardAch, "2026-03-10T06:15:00Z", "2026-03-10T12:30:00Z")]
#[case(Rail::Wire, "2026-03-06T23:45:00Z", "2026-03-06T23:45:00Z")]
#[case(Rail::Wire, "2026-03-08T12:00:00Z", "2026-03-09T13:00:00Z")]
#[case(Rail::Wire, "2026-03-09T22:45:00.000001Z", "2026-03-10T13:00:00Z")]
#[case(Rail::SameDayAch, "2026-10-30T20:45:00Z", "2026-10-30T22:00:00Z")]
#[case(Rail::SameDayAch, "2026-11-01T05:30:00Z", "2026-11-02T18:00:00Z")]
#[case(Rail::SameDayAch, "2026-11-01T06:30:00Z", "2026-11-02T18:00:00Z")]
#[case(Rail::SameDayAch, "2026-11-02T15:30:00Z", "2026-11-02T18:00:00Z")]
#[case(Rail::StandardAch, "2026-10-31T06:15:00Z", "2026-11-02T13:30:00Z")]
#[case(Rail::StandardAch, "2026-11-03T07:15:00Z", "2026-11-03T13:30:00Z")]
#[case(Rail::Wire, "2026-11-02T23:45:00Z", "2026-11-02T23:45:00Z")]
fn cut_offs_follow_daylight_saving(#[case] rail: Rail, #[case] handed_over_at: &str, #[case] expected: &str) {
    assert_eq!(arrival(rail, utc(handed_over_at)).at, utc(expected));
}

#[test]
fn the_reasons_of_a_long_weekend_stand_in_the_order_of_time() {
    let arrival = arrival(Rail::SameDayAch, et("2026-09-04T17:00"));

    assert_eq!(
        arrival.reasons,
        [
            Reason::AfterCutOff { cut_off: date(2026, 9, 4).at(16, 45, 0, 0) },
            Reason::Weekend { day: date(2026, 9, 5) },
            Reason::Weekend { day: date(2026, 9, 6) },
            Reason::Holiday { day: date(2026, 9, 7), holiday: Holiday::LaborDay },
            Reason::GoesOut { day: date(2026, 9, 8), cut_off: date(2026, 9, 8).at(10, 30, 0, 0) },
        ],
    );
}

#[test]
fn a_same_day_debit_tells_why() {
    insta::assert_snapshot!(told(Rail::SameDayAch, "2026-09-16T11:00"), @"goes out Wednesday 2026-09-16 by the 14:45 ET cut-off; settles Wednesday 2026-09-16 at 17:00 ET");
    insta::assert_snapshot!(told(Rail::SameDayAch, "2026-09-04T17:00"), @"handed over after the 16:45 ET cut-off; Saturday 2026-09-05 is no banking day; Sunday 2026-09-06 is no banking day; Monday 2026-09-07 is Labor Day; goes out Tuesday 2026-09-08 by the 10:30 ET cut-off; settles Tuesday 2026-09-08 at 13:00 ET");
    insta::assert_snapshot!(told(Rail::SameDayAch, "2026-11-26T09:00"), @"Thursday 2026-11-26 is Thanksgiving Day; goes out Friday 2026-11-27 by the 10:30 ET cut-off; settles Friday 2026-11-27 at 13:00 ET");
}

#[test]
fn a_standard_debit_tells_why() {
    insta::assert_snapshot!(told(Rail::StandardAch, "2026-09-15T12:00"), @"goes out Tuesday 2026-09-15 by the 02:15 ET cut-off of the next morning; settles Wednesday 2026-09-16 at 08:30 ET");
    insta::assert_snapshot!(told(Rail::StandardAch, "2026-09-04T12:00"), @"goes out Friday 2026-09-04 by the 02:15 ET cut-off of the next morning; Saturday 2026-09-05 is no banking day; Sunday 2026-09-06 is no banking day; Monday 2026-09-07 is Labor Day; settles Tuesday 2026-09-08 at 08:30 ET");
    insta::assert_snapshot!(told(Rail::StandardAch, "2027-07-03T12:00"), @"handed over after the 02:15 ET cut-off; Saturday 2027-07-03 is no banking day; Sunday 2027-07-04 is no banking day; Monday 2027-07-05 is Independence Day (observed); goes out Tuesday 2027-07-06 by the 02:15 ET cut-off of the next morning; settles Wednesday 2027-07-07 at 08:30 ET");
}

#[test]
fn a_wire_and_an_instant_payment_tell_why() {
    insta::assert_snapshot!(told(Rail::Wire, "2026-09-16T14:07:33"), @"goes out Wednesday 2026-09-16 by the 18:45 ET cut-off; settles Wednesday 2026-09-16 at 14:07 ET");
    insta::assert_snapshot!(told(Rail::Wire, "2026-09-16T07:00"), @"waits for the 09:00 ET opening; goes out Wednesday 2026-09-16 by the 18:45 ET cut-off; settles Wednesday 2026-09-16 at 09:00 ET");
    insta::assert_snapshot!(told(Rail::Wire, "2026-12-31T18:46"), @"handed over after the 18:45 ET cut-off; Friday 2027-01-01 is New Year's Day; Saturday 2027-01-02 is no banking day; Sunday 2027-01-03 is no banking day; waits for the 09:00 ET opening; goes out Monday 2027-01-04 by the 18:45 ET cut-off; settles Monday 2027-01-04 at 09:00 ET");
    insta::assert_snapshot!(told(Rail::Instant, "2026-09-06T03:00"), @"moves at once at any time of any day; settles Sunday 2026-09-06 at 03:00 ET");
}

#[rstest]
#[case(Rail::SameDayAch, date(2026, 9, 16), "America/New_York", "2026-09-16T16:45")]
#[case(Rail::SameDayAch, date(2026, 9, 7), "America/New_York", "2026-09-04T16:45")]
#[case(Rail::SameDayAch, date(2027, 1, 3), "America/New_York", "2026-12-31T16:45")]
#[case(Rail::StandardAch, date(2026, 9, 16), "America/New_York", "2026-09-16T02:15")]
#[case(Rail::StandardAch, date(2026, 9, 8), "America/New_York", "2026-09-05T02:15")]
#[case(Rail::StandardAch, date(2026, 9, 7), "America/New_York", "2026-09-04T02:15")]
#[case(Rail::Wire, date(2026, 9, 16), "America/New_York", "2026-09-16T18:45")]
#[case(Rail::Wire, date(2027, 7, 5), "America/New_York", "2027-07-02T18:45")]
#[case(Rail::Instant, date(2026, 9, 6), "America/New_York", "2026-09-06T23:59:59.999999")]
#[case(Rail::Instant, date(2026, 9, 6), "America/Los_Angeles", "2026-09-07T02:59:59.999999")]
// Guam is 14 hours ahead of New York in summer: what settles at 18:00 counts on the next day there.
#[case(Rail::SameDayAch, date(2026, 9, 17), "Pacific/Guam", "2026-09-16T16:45")]
#[case(Rail::StandardAch, date(2026, 9, 16), "Pacific/Guam", "2026-09-16T02:15")]
// The day on Guam ends at 10:00 in New York, while Fedwire is open.
#[case(Rail::Wire, date(2026, 9, 16), "Pacific/Guam", "2026-09-16T09:59:59.999999")]
fn the_latest_hand_over(#[case] rail: Rail, #[case] count_on: Date, #[case] name: &str, #[case] expected: &str) {
    assert_eq!(latest_hand_over(rail, count_on, &zone(name)), et(expected));
}

#[test]
fn the_ends_of_the_calendar_stop_the_search() {
    let first = Instant::from(Timestamp::MIN);
    let last = Instant::from(Timestamp::MAX);
    for rail in BANK_RAILS {
        assert_eq!(arrival(rail, last).at, last);
        assert!(first <= arrival(rail, first).at);
        assert_eq!(latest_hand_over(rail, Date::MIN, &zone("America/New_York")).max(first), first);
        assert!(latest_hand_over(rail, Date::MAX, &zone("America/New_York")) < last);
    }
}

prop_compose! {
    /// A moment of 2022 to 2040, every other one within two microseconds of a quarter of an hour, where cut-offs are.
    fn any_moment()(
        day in 0..6_900_i32,
        quarter in 0..96_i64,
        off_us in prop_oneof![-2..=2_i64, 0..900_000_000_i64],
    ) -> Instant {
        let midnight = (date(2022, 1, 1) + day.days()).to_datetime(Time::midnight());
        eastern_moment(midnight).plus_micros(quarter * 900_000_000 + off_us)
    }
}

fn any_rail() -> impl Strategy<Value = Rail> {
    prop::sample::select(Rail::ALL.to_vec())
}

fn any_zone() -> impl Strategy<Value = ZoneName> {
    let names = ["America/New_York", "America/Los_Angeles", "Pacific/Honolulu", "Pacific/Guam", "Pacific/Pago_Pago"];
    prop::sample::select(names.map(zone).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn money_never_arrives_before_it_is_handed_over_and_on_bank_rails_on_a_banking_day(
        rail in any_rail(), at in any_moment(),
    ) {
        let arrival = arrival(rail, at);

        prop_assert!(at <= arrival.at);
        prop_assert!(rail == Rail::Instant || is_banking_day(eastern(arrival.at).date()));
    }

    #[test]
    fn who_hands_over_later_is_not_paid_earlier(
        rail in any_rail(), one in any_moment(), gap_us in prop_oneof![0..=2_i64, 0..604_800_000_000_i64],
    ) {
        prop_assert!(arrival(rail, one).at <= arrival(rail, one.plus_micros(gap_us)).at);
    }

    #[test]
    fn the_reasons_name_every_closed_day_on_the_way_and_no_other(
        rail in prop::sample::select(BANK_RAILS.to_vec()), at in any_moment(),
    ) {
        let arrival = arrival(rail, at);

        let told: Vec<Date> = arrival.reasons.iter().filter_map(closed_day_of).collect();
        let on_the_way: Vec<Date> = eastern(at)
            .date()
            .series(1.day())
            .take_while(|day| *day <= eastern(arrival.at).date())
            .filter(|day| !is_banking_day(*day))
            .collect();
        prop_assert_eq!(told, on_the_way);
    }

    #[test]
    fn one_microsecond_after_the_latest_hand_over_is_too_late(
        rail in any_rail(), day in 0..6_900_i32, zone in any_zone(),
    ) {
        let count_on = date(2022, 1, 1) + day.days();
        let latest = latest_hand_over(rail, count_on, &zone);

        let arrives_on = |at: Instant| local_date(&zone, arrival(rail, at).at.timestamp());
        prop_assert!(arrives_on(latest) <= count_on);
        prop_assert!(count_on < arrives_on(latest.plus_micros(1)));
    }

    #[test]
    fn money_counts_on_time_exactly_if_it_is_handed_over_by_the_latest_moment(
        rail in any_rail(), at in any_moment(), ahead in 0..6_i32, zone in any_zone(),
    ) {
        let count_on = local_date(&zone, at.timestamp()) + ahead.days();

        let is_there = local_date(&zone, arrival(rail, at).at.timestamp()) <= count_on;

        prop_assert_eq!(is_there, at <= latest_hand_over(rail, count_on, &zone));
    }
}

fn closed_day_of(reason: &Reason) -> Option<Date> {
    match reason {
        Reason::Weekend { day } | Reason::Holiday { day, .. } => Some(*day),
        Reason::AroundTheClock | Reason::AfterCutOff { .. } | Reason::BeforeOpening { .. } | Reason::GoesOut { .. } => {
            None
        }
    }
}
