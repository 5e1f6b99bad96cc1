//! Banking days: the days on which the Federal Reserve Banks are open and bank rails move money.
//!
//! Source: Federal Reserve Bank Services, holiday schedules. A holiday on a Sunday closes the Monday after it; one on a
//! Saturday closes nothing, the Friday before it is open.
//!
//! The list is exact from 2022 on. It holds back to 1978 as the standing rule, without Juneteenth before 2022 and
//! without the birthday of Martin Luther King before 1986. Earlier years kept other days, which are not listed here:
//! before 1978 only weekends are closed. Closings for one day only, such as after a disaster, are not known here.
//! Any date may be asked for; arithmetic saturates at the ends of what a [`Date`] holds, as in [`crate::calendar`].

use std::fmt;

use jiff::civil::{Date, Weekday};

use crate::calendar::{day_after, day_before};

/// A holiday of the Federal Reserve Banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holiday {
    /// January 1.
    NewYearsDay,
    /// The third Monday of January, since 1986.
    MartinLutherKingDay,
    /// The third Monday of February.
    WashingtonsBirthday,
    /// The last Monday of May.
    MemorialDay,
    /// June 19, since 2022.
    Juneteenth,
    /// July 4.
    IndependenceDay,
    /// The first Monday of September.
    LaborDay,
    /// The second Monday of October.
    ColumbusDay,
    /// November 11.
    VeteransDay,
    /// The fourth Thursday of November.
    ThanksgivingDay,
    /// December 25.
    ChristmasDay,
}

impl Holiday {
    /// Every holiday, in the order of the year.
    pub const ALL: [Holiday; 11] = [
        Holiday::NewYearsDay,
        Holiday::MartinLutherKingDay,
        Holiday::WashingtonsBirthday,
        Holiday::MemorialDay,
        Holiday::Juneteenth,
        Holiday::IndependenceDay,
        Holiday::LaborDay,
        Holiday::ColumbusDay,
        Holiday::VeteransDay,
        Holiday::ThanksgivingDay,
        Holiday::ChristmasDay,
    ];

    /// The name as the Federal Reserve writes it.
    pub fn name(self) -> &'static str {
        match self {
            Holiday::NewYearsDay => "New Year's Day",
            Holiday::MartinLutherKingDay => "Birthday of Martin Luther King, Jr.",
            Holiday::WashingtonsBirthday => "Washington's Birthday",
            Holiday::MemorialDay => "Memorial Day",
            Holiday::Juneteenth => "Juneteenth National Independence Day",
            Holiday::IndependenceDay => "Independence Day",
            Holiday::LaborDay => "Labor Day",
            Holiday::ColumbusDay => "Columbus Day",
            Holiday::VeteransDay => "Veterans Day",
            Holiday::ThanksgivingDay => "Thanksgiving Day",
            Holiday::ChristmasDay => "Christmas Day",
        }
    }

    /// The first year for which this list has the holiday.
    ///
    /// Most have been where they are since 1978, when Veterans Day went back to November 11.
    pub fn first_year(self) -> i16 {
        match self {
            Holiday::MartinLutherKingDay => 1986,
            Holiday::Juneteenth => 2022,
            Holiday::NewYearsDay
            | Holiday::WashingtonsBirthday
            | Holiday::MemorialDay
            | Holiday::IndependenceDay
            | Holiday::LaborDay
            | Holiday::ColumbusDay
            | Holiday::VeteransDay
            | Holiday::ThanksgivingDay
            | Holiday::ChristmasDay => 1978,
        }
    }

    /// Whether `date` is the holiday itself, weekend or not. The banks may keep it on another day: see [`holiday`].
    pub fn falls_on(self, date: Date) -> bool {
        self.first_year() <= date.year() && self.has_place(date)
    }

    /// Whether `date` is this holiday's place in a year, whichever year that is.
    fn has_place(self, date: Date) -> bool {
        let is_day = |month, day| date.month() == month && date.day() == day;
        let is_nth = |nth: i8, weekday, month| {
            date.month() == month && date.weekday() == weekday && (date.day() - 1) / 7 + 1 == nth
        };
        let is_last = |weekday, month| {
            date.month() == month && date.weekday() == weekday && date.days_in_month() < date.day() + 7
        };
        match self {
            Holiday::NewYearsDay => is_day(1, 1),
            Holiday::MartinLutherKingDay => is_nth(3, Weekday::Monday, 1),
            Holiday::WashingtonsBirthday => is_nth(3, Weekday::Monday, 2),
            Holiday::MemorialDay => is_last(Weekday::Monday, 5),
            Holiday::Juneteenth => is_day(6, 19),
            Holiday::IndependenceDay => is_day(7, 4),
            Holiday::LaborDay => is_nth(1, Weekday::Monday, 9),
            Holiday::ColumbusDay => is_nth(2, Weekday::Monday, 10),
            Holiday::VeteransDay => is_day(11, 11),
            Holiday::ThanksgivingDay => is_nth(4, Weekday::Thursday, 11),
            Holiday::ChristmasDay => is_day(12, 25),
        }
    }
}

impl fmt::Display for Holiday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the banks are closed on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closing {
    /// It is a Saturday or a Sunday.
    Weekend,
    /// It is a weekday on which a holiday is kept.
    Holiday(Holiday),
}

/// Why the banks are closed on `date`, or `None` on a banking day.
pub fn closing(date: Date) -> Option<Closing> {
    if is_weekend(date) { Some(Closing::Weekend) } else { holiday(date).map(Closing::Holiday) }
}

/// Whether the Federal Reserve Banks are open on `date`.
pub fn is_banking_day(date: Date) -> bool {
    closing(date).is_none()
}

/// The holiday for which the banks are closed on the weekday `date`.
///
/// That is the day on which it is kept: for a holiday on a Sunday the Monday after. A Saturday or Sunday is closed as
/// such and has none.
pub fn holiday(date: Date) -> Option<Holiday> {
    if is_weekend(date) {
        return None;
    }
    let kept_for = |holiday: &Holiday| {
        holiday.falls_on(date) || (date.weekday() == Weekday::Monday && holiday.falls_on(day_before(date)))
    };
    Holiday::ALL.into_iter().find(kept_for)
}

/// The first banking day after `date`, which need not be one.
pub fn next_banking_day(after: Date) -> Date {
    banking_day_on_or_after(day_after(after))
}

/// The last banking day before `date`, which need not be one.
pub fn previous_banking_day(before: Date) -> Date {
    let mut day = day_before(before);
    while !is_banking_day(day) && Date::MIN < day {
        day = day_before(day);
    }
    day
}

/// `date` if it is a banking day, else the next one.
pub fn banking_day_on_or_after(date: Date) -> Date {
    let mut day = date;
    while !is_banking_day(day) && day < Date::MAX {
        day = day_after(day);
    }
    day
}

/// The banking day `days` banking days after `date`: for 1 the next one, for 0 `date` itself, closed or not.
///
/// This is how banks count: from a Saturday, one banking day later is Monday.
pub fn add_banking_days(date: Date, days: u16) -> Date {
    (0..days).fold(date, |day, _| next_banking_day(day))
}

fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::calendar::{YEAR_MAX, YEAR_MIN};

    /// Every closed weekday from 2026 to 2030, as (year, month, day).
    const CLOSED: [(i16, i8, i8, Holiday); 50] = [
        (2026, 1, 1, Holiday::NewYearsDay),
        (2026, 1, 19, Holiday::MartinLutherKingDay),
        (2026, 2, 16, Holiday::WashingtonsBirthday),
        (2026, 5, 25, Holiday::MemorialDay),
        (2026, 6, 19, Holiday::Juneteenth),
        // 2026-07-04 is a Saturday.
        (2026, 9, 7, Holiday::LaborDay),
        (2026, 10, 12, Holiday::ColumbusDay),
        (2026, 11, 11, Holiday::VeteransDay),
        (2026, 11, 26, Holiday::ThanksgivingDay),
        (2026, 12, 25, Holiday::ChristmasDay),
        (2027, 1, 1, Holiday::NewYearsDay),
        (2027, 1, 18, Holiday::MartinLutherKingDay),
        (2027, 2, 15, Holiday::WashingtonsBirthday),
        (2027, 5, 31, Holiday::MemorialDay),
        // 2027-06-19 is a Saturday, 2027-07-04 a Sunday.
        (2027, 7, 5, Holiday::IndependenceDay),
        (2027, 9, 6, Holiday::LaborDay),
        (2027, 10, 11, Holiday::ColumbusDay),
        (2027, 11, 11, Holiday::VeteransDay),
        (2027, 11, 25, Holiday::ThanksgivingDay),
        // 2027-12-25 and 2028-01-01 are Saturdays.
        (2028, 1, 17, Holiday::MartinLutherKingDay),
        (2028, 2, 21, Holiday::WashingtonsBirthday),
        (2028, 5, 29, Holiday::MemorialDay),
        (2028, 6, 19, Holiday::Juneteenth),
        (2028, 7, 4, Holiday::IndependenceDay),
        (2028, 9, 4, Holiday::LaborDay),
        (2028, 10, 9, Holiday::ColumbusDay),
        // 2028-11-11 is a Saturday.
        (2028, 11, 23, Holiday::ThanksgivingDay),
        (2028, 12, 25, Holiday::ChristmasDay),
        (2029, 1, 1, Holiday::NewYearsDay),
        (2029, 1, 15, Holiday::MartinLutherKingDay),
        (2029, 2, 19, Holiday::WashingtonsBirthday),
        (2029, 5, 28, Holiday::MemorialDay),
        (2029, 6, 19, Holiday::Juneteenth),
        (2029, 7, 4, Holiday::IndependenceDay),
        (2029, 9, 3, Holiday::LaborDay),
        (2029, 10, 8, Holiday::ColumbusDay),
        // 2029-11-11 is a Sunday.
        (2029, 11, 12, Holiday::VeteransDay),
        (2029, 11, 22, Holiday::ThanksgivingDay),
        (2029, 12, 25, Holiday::ChristmasDay),
        (2030, 1, 1, Holiday::NewYearsDay),
        (2030, 1, 21, Holiday::MartinLutherKingDay),
        (2030, 2, 18, Holiday::WashingtonsBirthday),
        (2030, 5, 27, Holiday::MemorialDay),
        (2030, 6, 19, Holiday::Juneteenth),
        (2030, 7, 4, Holiday::IndependenceDay),
        (2030, 9, 2, Holiday::LaborDay),
        (2030, 10, 14, Holiday::ColumbusDay),
        (2030, 11, 11, Holiday::VeteransDay),
        (2030, 11, 28, Holiday::ThanksgivingDay),
        (2030, 12, 25, Holiday::ChristmasDay),
    ];

    fn days(first: Date, last: Date) -> impl Iterator<Item = Date> {
        first.series(1.day()).take_while(move |day| *day <= last)
    }

    #[test]
    fn the_banks_are_closed_on_these_weekdays_of_2026_to_2030_and_on_no_other() {
        let closed: Vec<_> = days(date(2026, 1, 1), date(2030, 12, 31))
            .filter_map(|day| holiday(day).map(|holiday| (day.year(), day.month(), day.day(), holiday)))
            .collect();

        assert_eq!(closed, CLOSED);
    }

    #[rstest]
    #[case(date(2026, 7, 3))]
    #[case(date(2027, 6, 18))]
    #[case(date(2027, 12, 24))]
    #[case(date(2027, 12, 31))]
    #[case(date(2028, 11, 10))]
    fn the_friday_before_a_holiday_on_a_saturday_is_open_and_so_is_the_monday_after(#[case] friday: Date) {
        assert_eq!(friday.weekday(), Weekday::Friday);
        assert!(is_banking_day(friday));
        assert_eq!(next_banking_day(friday), friday + 3.days());
    }

    #[rstest]
    #[case(date(2022, 12, 26), Holiday::ChristmasDay)]
    #[case(date(2023, 1, 2), Holiday::NewYearsDay)]
    #[case(date(2027, 7, 5), Holiday::IndependenceDay)]
    #[case(date(2029, 11, 12), Holiday::VeteransDay)]
    #[case(date(2033, 6, 20), Holiday::Juneteenth)]
    fn a_holiday_on_a_sunday_closes_the_monday_after(#[case] monday: Date, #[case] expected: Holiday) {
        assert_eq!(closing(monday), Some(Closing::Holiday(expected)));
        assert_eq!(closing(day_before(monday)), Some(Closing::Weekend));
        assert!(expected.falls_on(day_before(monday)));
        assert!(is_banking_day(day_after(monday)));
    }

    #[rstest]
    #[case(date(2019, 6, 19), None)]
    #[case(date(2020, 6, 19), None)]
    #[case(date(2021, 6, 18), None)]
    #[case(date(2022, 6, 20), Some(Holiday::Juneteenth))]
    #[case(date(1985, 1, 21), None)]
    #[case(date(1986, 1, 20), Some(Holiday::MartinLutherKingDay))]
    #[case(date(1977, 11, 11), None)]
    #[case(date(1978, 12, 25), Some(Holiday::ChristmasDay))]
    #[case(date(1900, 1, 1), None)]
    fn a_holiday_is_kept_from_its_first_year_on(#[case] day: Date, #[case] expected: Option<Holiday>) {
        assert_eq!(holiday(day), expected);
        assert_eq!(is_banking_day(day), expected.is_none());
    }

    #[rstest]
    #[case(date(2026, 9, 4), 0, date(2026, 9, 4))]
    #[case(date(2026, 9, 5), 0, date(2026, 9, 5))]
    #[case(date(2026, 9, 4), 1, date(2026, 9, 8))]
    #[case(date(2026, 9, 5), 1, date(2026, 9, 8))]
    #[case(date(2026, 9, 7), 2, date(2026, 9, 9))]
    #[case(date(2026, 12, 23), 2, date(2026, 12, 28))]
    #[case(date(2026, 12, 31), 1, date(2027, 1, 4))]
    #[case(date(2027, 12, 31), 1, date(2028, 1, 3))]
    fn banking_days_are_counted(#[case] from: Date, #[case] days: u16, #[case] expected: Date) {
        assert_eq!(add_banking_days(from, days), expected);
    }

    #[test]
    fn the_ends_of_the_calendar_stop_the_search() {
        assert_eq!(next_banking_day(Date::MAX), Date::MAX);
        assert_eq!(previous_banking_day(Date::MIN), Date::MIN);
        assert_eq!(add_banking_days(Date::MAX, u16::MAX), Date::MAX);
    }

    #[test]
    fn from_1900_to_2199_a_banking_day_is_never_more_than_four_days_away() {
        for day in days(date(YEAR_MIN, 1, 1), date(YEAR_MAX, 12, 31)) {
            let next = next_banking_day(day);
            assert!(day < next && next <= day + 4.days(), "{day} {next}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_next_and_the_previous_banking_day_have_none_between(offset in 0..109_000_i32) {
            let day = date(YEAR_MIN, 1, 1) + offset.days();
            let next = next_banking_day(day);

            prop_assert!(is_banking_day(next) && is_banking_day(previous_banking_day(day)));
            prop_assert!(days(day_after(day), day_before(next)).all(|between| !is_banking_day(between)));
            let back = previous_banking_day(next);
            prop_assert_eq!(back, if is_banking_day(day) { day } else { previous_banking_day(day) });
            prop_assert_eq!(banking_day_on_or_after(day), if is_banking_day(day) { day } else { next });
        }

        #[test]
        fn counting_banking_days_adds_up(offset in 0..10_000_i32, first in 0..50_u16, second in 0..50_u16) {
            let day = date(2022, 1, 1) + offset.days();

            prop_assert_eq!(add_banking_days(add_banking_days(day, first), second), add_banking_days(day, first + second));
        }
    }
}
