//! Civil dates: months, clamped days and the stored and written forms of a date.
//!
//! Dates from outside lie in the years 1900 to 2199 ([`parse_date`]); arithmetic on them stays far from the ends of
//! what a [`Date`] holds, where these functions saturate instead of failing.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::invalid::Invalid;

/// The first year that a date from outside may have.
pub const YEAR_MIN: i16 = 1900;
/// The last year that a date from outside may have.
pub const YEAR_MAX: i16 = 2199;

/// Reads a strict `YYYY-MM-DD`: `malformed` if it is none or no such day exists, `out_of_range` before 1900 or after
/// 2199, where a date is a typing error.
pub fn parse_date(text: &str) -> Result<Date, Invalid> {
    let malformed = || Invalid::new("malformed", "must be a date written YYYY-MM-DD");
    let bytes = text.as_bytes();
    let is_shaped = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() });
    if !is_shaped {
        return Err(malformed());
    }
    let date: Date = text.parse().map_err(|_| malformed())?;
    if !(YEAR_MIN..=YEAR_MAX).contains(&date.year()) {
        return Err(Invalid::new("out_of_range", format!("must be in the years {YEAR_MIN} to {YEAR_MAX}")));
    }
    Ok(date)
}

/// How many days the month of `date` has: 28 to 31.
pub fn days_in_month(date: Date) -> i8 {
    date.days_in_month()
}

/// `due_day` of the month that `month` lies in, or the month's last day if it is shorter.
///
/// Any day stands for its month. A `due_day` below 1 counts as 1.
pub fn clamp_to_month(month: Date, due_day: i8) -> Date {
    let day = due_day.clamp(1, month.days_in_month());
    month.first_of_month().saturating_add(i32::from(day - 1).days())
}

/// The day `months` later (earlier if negative), or the last of that month if it is shorter.
pub fn add_months(anchor: Date, months: i32) -> Date {
    match jiff::Span::new().try_months(months) {
        Ok(span) => anchor.saturating_add(span),
        Err(_) if months < 0 => Date::MIN,
        Err(_) => Date::MAX,
    }
}

/// How many months the month of `later` comes after the month of `earlier`; negative if it comes before.
pub fn months_between(earlier: Date, later: Date) -> i32 {
    let months = |date: Date| i32::from(date.year()) * 12 + i32::from(date.month());
    months(later) - months(earlier)
}

/// The day after `date`.
pub fn day_after(date: Date) -> Date {
    date.saturating_add(1.day())
}

/// The day before `date`.
pub fn day_before(date: Date) -> Date {
    date.saturating_sub(1.day())
}

/// How many days lie from `first` to `last`, both counted: 1 if they are the same, 0 or less if `last` is earlier.
pub fn days_between_inclusive(first: Date, last: Date) -> i64 {
    // Civil days have exactly 24 hours.
    first.duration_until(last).as_hours() / 24 + 1
}

/// `date` as the number YYYYMMDD, its stored form: it sorts as dates do and reads well in any database.
pub fn date_to_number(date: Date) -> i64 {
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

/// Reads a number YYYYMMDD of the years 1 to 9999; anything else is `malformed`.
pub fn date_from_number(number: i64) -> Result<Date, Invalid> {
    parts_of(number)
        .filter(|(year, _, _)| 0 < *year)
        .and_then(|(year, month, day)| Date::new(year, month, day).ok())
        .ok_or_else(|| Invalid::new("malformed", "must be a date as a number YYYYMMDD"))
}

fn parts_of(number: i64) -> Option<(i16, i8, i8)> {
    let year = i16::try_from(number / 10_000).ok()?;
    let month = i8::try_from(number / 100 % 100).ok()?;
    let day = i8::try_from(number % 100).ok()?;
    Some((year, month, day))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-01-17", date(2026, 1, 17))]
    #[case("2028-02-29", date(2028, 2, 29))]
    #[case("1900-01-01", date(1900, 1, 1))]
    #[case("2199-12-31", date(2199, 12, 31))]
    fn a_date_is_read(#[case] text: &str, #[case] expected: Date) {
        assert_eq!(parse_date(text).unwrap(), expected);
    }

    #[rstest]
    #[case("", "malformed")]
    #[case("2026-1-17", "malformed")]
    #[case("20260117", "malformed")]
    #[case("2026/01/17", "malformed")]
    #[case("2026-01-17 ", "malformed")]
    #[case("2026-01-17T00:00:00", "malformed")]
    #[case("2026-02-29", "malformed")]
    #[case("2026-13-01", "malformed")]
    #[case("2026-00-10", "malformed")]
    #[case("2026-01-00", "malformed")]
    #[case("-026-01-01", "malformed")]
    #[case("２026-01-1", "malformed")]
    #[case("1899-12-31", "out_of_range")]
    #[case("2200-01-01", "out_of_range")]
    #[case("0000-01-01", "out_of_range")]
    fn what_is_no_plausible_date_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(parse_date(text).unwrap_err().code, code);
    }

    #[rstest]
    #[case(date(2028, 1, 15), 31, date(2028, 1, 31))]
    #[case(date(2028, 2, 1), 31, date(2028, 2, 29))]
    #[case(date(2027, 2, 28), 29, date(2027, 2, 28))]
    #[case(date(2027, 2, 5), 30, date(2027, 2, 28))]
    #[case(date(2027, 2, 5), 31, date(2027, 2, 28))]
    #[case(date(2028, 4, 1), 31, date(2028, 4, 30))]
    #[case(date(2026, 7, 9), 1, date(2026, 7, 1))]
    fn a_due_day_is_clamped_to_its_month(#[case] month: Date, #[case] due_day: i8, #[case] expected: Date) {
        assert_eq!(clamp_to_month(month, due_day), expected);
    }

    #[rstest]
    #[case(date(2026, 1, 1), 0, date(2026, 1, 1))]
    #[case(date(2026, 1, 1), 13, date(2027, 2, 1))]
    #[case(date(2026, 1, 1), -1, date(2025, 12, 1))]
    #[case(date(2028, 2, 29), 12, date(2029, 2, 28))]
    #[case(date(2026, 1, 1), i32::MAX, Date::MAX)]
    #[case(date(2026, 1, 1), i32::MIN, Date::MIN)]
    fn months_are_added(#[case] anchor: Date, #[case] months: i32, #[case] expected: Date) {
        assert_eq!(add_months(anchor, months), expected);
    }

    #[rstest]
    #[case(date(2026, 1, 31), date(2026, 2, 1), 1)]
    #[case(date(2026, 1, 1), date(2026, 1, 31), 0)]
    #[case(date(2026, 1, 1), date(2025, 12, 31), -1)]
    #[case(date(2025, 12, 1), date(2027, 1, 1), 13)]
    fn months_are_counted(#[case] earlier: Date, #[case] later: Date, #[case] expected: i32) {
        assert_eq!(months_between(earlier, later), expected);
    }

    #[rstest]
    #[case(date(2026, 1, 17), date(2026, 1, 31), 15)]
    #[case(date(2026, 1, 17), date(2026, 1, 17), 1)]
    #[case(date(2028, 2, 1), date(2028, 3, 1), 30)]
    #[case(date(2026, 1, 17), date(2026, 1, 16), 0)]
    #[case(date(2026, 1, 17), date(2026, 1, 10), -6)]
    fn both_ends_count(#[case] first: Date, #[case] last: Date, #[case] days: i64) {
        assert_eq!(days_between_inclusive(first, last), days);
    }

    #[test]
    fn a_month_has_its_days() {
        assert_eq!(days_in_month(date(2027, 2, 10)), 28);
        assert_eq!(days_in_month(date(2028, 2, 10)), 29);
        assert_eq!(days_in_month(date(2026, 12, 31)), 31);
    }

    #[test]
    fn neighbours_cross_months_and_years() {
        assert_eq!(day_after(date(2026, 12, 31)), date(2027, 1, 1));
        assert_eq!(day_before(date(2028, 3, 1)), date(2028, 2, 29));
    }

    #[rstest]
    #[case(20_260_117, Some(date(2026, 1, 17)))]
    #[case(20_260_230, None)]
    #[case(20_261_301, None)]
    #[case(20_260_100, None)]
    #[case(101, None)]
    #[case(0, None)]
    #[case(-20_260_117, None)]
    #[case(i64::MAX, None)]
    #[case(i64::MIN, None)]
    fn a_stored_number_is_read(#[case] number: i64, #[case] expected: Option<Date>) {
        assert_eq!(date_from_number(number).ok(), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_date_survives_its_number_and_its_text(days in 0..109_000_i32) {
            let date = date(1900, 1, 1).saturating_add(days.days());

            prop_assert_eq!(date_from_number(date_to_number(date)).unwrap(), date);
            prop_assert_eq!(parse_date(&date.to_string()).unwrap(), date);
        }
    }
}
