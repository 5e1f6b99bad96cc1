//! What a lease agrees on, and when it may end.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::invalid::Invalid;
use crate::money::Amount;

/// The day of the month on which rent is due, 1 to 31. In a month without that day it is the month's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueDay(i8);

impl DueDay {
    /// Checks a number from outside; anything but 1 to 31 is `out_of_range`.
    pub fn parse(number: i64) -> Result<DueDay, Invalid> {
        i8::try_from(number)
            .ok()
            .filter(|day| (1..=31).contains(day))
            .map(DueDay)
            .ok_or_else(|| Invalid::new("out_of_range", "must be a day of the month from 1 to 31"))
    }

    /// The day as a number, 1 to 31.
    pub fn number(self) -> i8 {
        self.0
    }
}

/// What is charged for the stub: the days from a lease's start to the day before its first regular due date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FirstPeriod {
    /// The stub's share of the rent.
    #[default]
    Prorate,
    /// One whole rent.
    Full,
    /// Nothing.
    None,
}

impl FirstPeriod {
    /// Every choice.
    pub const ALL: [FirstPeriod; 3] = [FirstPeriod::Prorate, FirstPeriod::Full, FirstPeriod::None];

    /// The stored and written name.
    pub fn name(self) -> &'static str {
        match self {
            FirstPeriod::Prorate => "PRORATE",
            FirstPeriod::Full => "FULL",
            FirstPeriod::None => "NONE",
        }
    }

    /// Reads a name in any case; anything else is `unknown`.
    pub fn parse(text: &str) -> Result<FirstPeriod, Invalid> {
        FirstPeriod::ALL
            .into_iter()
            .find(|choice| choice.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be PRORATE, FULL or NONE"))
    }
}

/// What is charged for a last period that the lease's end cuts short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LastPeriod {
    /// Its share of the rent.
    #[default]
    Prorate,
    /// One whole rent.
    Full,
}

impl LastPeriod {
    /// Every choice.
    pub const ALL: [LastPeriod; 2] = [LastPeriod::Prorate, LastPeriod::Full];

    /// The stored and written name.
    pub fn name(self) -> &'static str {
        match self {
            LastPeriod::Prorate => "PRORATE",
            LastPeriod::Full => "FULL",
        }
    }

    /// Reads a name in any case; anything else is `unknown`.
    pub fn parse(text: &str) -> Result<LastPeriod, Invalid> {
        LastPeriod::ALL
            .into_iter()
            .find(|choice| choice.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be PRORATE or FULL"))
    }
}

/// How the share of a part of a period is computed. Never more than one whole rent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Proration {
    /// Rent x days / days of the whole period that the part belongs to.
    #[default]
    Actual,
    /// Rent x days / 30.
    ThirtyDay,
    /// Rent x 12 x days / 365, also in leap years.
    Annual,
}

impl Proration {
    /// Every method.
    pub const ALL: [Proration; 3] = [Proration::Actual, Proration::ThirtyDay, Proration::Annual];

    /// The stored and written name.
    pub fn name(self) -> &'static str {
        match self {
            Proration::Actual => "ACTUAL",
            Proration::ThirtyDay => "THIRTY_DAY",
            Proration::Annual => "ANNUAL",
        }
    }

    /// Reads a name in any case; anything else is `unknown`.
    pub fn parse(text: &str) -> Result<Proration, Invalid> {
        Proration::ALL
            .into_iter()
            .find(|method| method.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new("unknown", "must be ACTUAL, THIRTY_DAY or ANNUAL"))
    }
}

/// What a lease's schedule follows from. Both dates are inclusive civil dates in the property's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The first day.
    pub starts_on: Date,
    /// The last day; `None` for a lease that goes on from month to month.
    pub ends_on: Option<Date>,
    /// What a whole period costs from the start.
    pub rent: Amount,
    /// What it costs later, in the order of time.
    pub rent_changes: Vec<RentChange>,
    /// When it is due.
    pub due_day: DueDay,
    /// What the stub at the start costs.
    pub first_period: FirstPeriod,
    /// What a shortened last period costs.
    pub last_period: LastPeriod,
    /// How the share of a part is computed.
    pub proration: Proration,
}

/// A rent that replaces the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RentChange {
    /// Periods that begin on this day or later cost the new rent.
    pub effective_on: Date,
    /// What a whole period costs then.
    pub rent: Amount,
}

/// What is charged beside the rent, with each rent: parking, a pet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Which one.
    pub id: Uuid,
    /// What for, in the landlord's words.
    pub description: String,
    /// What a whole period costs.
    pub amount: Amount,
    /// The first day.
    pub starts_on: Date,
    /// The last day; `None` as long as the lease goes on.
    pub ends_on: Option<Date>,
}

impl LeaseTerms {
    /// What a whole period costs that begins on `day`.
    pub fn rent_on(&self, day: Date) -> Amount {
        let changes = self.rent_changes.iter().rev();
        changes.filter(|change| change.effective_on <= day).map(|change| change.rent).next().unwrap_or(self.rent)
    }

    /// Whether its last day lies before `today`.
    pub fn has_ended(&self, today: Date) -> bool {
        self.ends_on.is_some_and(|end| end < today)
    }

    /// Every broken rule with the name of the request's field that breaks it; empty if the terms are sound.
    ///
    /// `end_date` is `before_start`; `rent_amount` is `too_large` above 99,999,999.99 of any currency, the most that
    /// one entry of the default rail moves.
    pub fn check(&self) -> Vec<(&'static str, Invalid)> {
        let mut broken = Vec::new();
        if self.ends_on.is_some_and(|end| end < self.starts_on) {
            broken.push(("end_date", Invalid::new("before_start", "must not be before the start date")));
        }
        broken.extend(check_rent(self.rent).err().map(|invalid| ("rent_amount", invalid)));
        broken
    }

    /// The same terms with the last day `end`, given that the property's calendar shows `today`.
    ///
    /// `end` may be past, but neither before the start nor after the present end: ending is no way to extend a lease.
    pub fn terminate(&self, end: Date, today: Date) -> Result<LeaseTerms, TerminationRefused> {
        if self.has_ended(today) {
            return Err(TerminationRefused::AlreadyEnded);
        }
        if end < self.starts_on {
            return Err(TerminationRefused::BeforeStart);
        }
        if self.ends_on.is_some_and(|present_end| present_end < end) {
            return Err(TerminationRefused::AfterEnd);
        }
        Ok(LeaseTerms { ends_on: Some(end), ..self.clone() })
    }
}

/// Why a lease was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TerminationRefused {
    /// The new end lies before the start.
    #[error("the end date must not be before the lease's start")]
    BeforeStart,
    /// The new end lies after the present one.
    #[error("the end date must not be after the lease's present end")]
    AfterEnd,
    /// The lease's last day has passed. Another end date will not help.
    #[error("the lease has already ended")]
    AlreadyEnded,
}

/// Whether two leases, both dates inclusive and `None` open-ended, have a day in common.
pub fn overlaps(a_start: Date, a_end: Option<Date>, b_start: Date, b_end: Option<Date>) -> bool {
    a_end.is_none_or(|a_end| b_start <= a_end) && b_end.is_none_or(|b_end| a_start <= b_end)
}

/// As many people as may rent one lease together.
pub const RENTERS_MAX: usize = 20;

/// Refuses a rent, or an extra, above the most that one entry of the default rail moves: `too_large`.
pub fn check_rent(rent: Amount) -> Result<(), Invalid> {
    if rent_minor_max(rent) < rent.minor() {
        return Err(Invalid::new("too_large", "must be at most 99999999.99"));
    }
    Ok(())
}

/// 99,999,999.99 in the minor units of the rent's currency, without what is smaller than its minor unit.
fn rent_minor_max(rent: Amount) -> i64 {
    const HUNDREDTHS: i64 = 9_999_999_999;
    HUNDREDTHS.saturating_mul(rent.currency().minor_per_major()) / 100
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::money::Currency;

    fn terms(starts_on: Date, ends_on: Option<Date>) -> LeaseTerms {
        LeaseTerms {
            starts_on,
            ends_on,
            rent: Amount::parse("1500.00", Currency::USD).unwrap(),
            rent_changes: Vec::new(),
            due_day: DueDay::parse(1).unwrap(),
            first_period: FirstPeriod::default(),
            last_period: LastPeriod::default(),
            proration: Proration::default(),
        }
    }

    fn codes(terms: &LeaseTerms) -> Vec<(&'static str, &'static str)> {
        terms.check().into_iter().map(|(field, invalid)| (field, invalid.code)).collect()
    }

    #[rstest]
    #[case(1, Some(1))]
    #[case(31, Some(31))]
    #[case(0, None)]
    #[case(32, None)]
    #[case(-1, None)]
    #[case(257, None)]
    #[case(i64::MAX, None)]
    fn a_due_day_is_a_day_of_some_month(#[case] number: i64, #[case] day: Option<i8>) {
        assert_eq!(DueDay::parse(number).ok().map(DueDay::number), day);
    }

    #[test]
    fn choices_are_their_upper_case_names() {
        for choice in FirstPeriod::ALL {
            assert_eq!(FirstPeriod::parse(&choice.name().to_lowercase()).unwrap(), choice);
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.name());
        }
        for choice in LastPeriod::ALL {
            assert_eq!(LastPeriod::parse(&choice.name().to_lowercase()).unwrap(), choice);
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.name());
        }
        for method in Proration::ALL {
            assert_eq!(Proration::parse(&method.name().to_lowercase()).unwrap(), method);
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
        }
        assert_eq!(LastPeriod::parse("NONE").unwrap_err().code, "unknown");
        assert_eq!(FirstPeriod::parse("").unwrap_err().code, "unknown");
        assert_eq!(Proration::parse("THIRTY-DAY").unwrap_err().code, "unknown");
    }

    #[test]
    fn by_default_both_ends_are_prorated_by_actual_days() {
        assert_eq!(FirstPeriod::default(), FirstPeriod::Prorate);
        assert_eq!(LastPeriod::default(), LastPeriod::Prorate);
        assert_eq!(Proration::default(), Proration::Actual);
    }

    #[test]
    fn a_lease_of_one_day_is_sound_and_one_that_ends_before_it_starts_is_not() {
        let start = date(2026, 1, 17);

        assert_eq!(codes(&terms(start, None)), []);
        assert_eq!(codes(&terms(start, Some(start))), []);
        assert_eq!(codes(&terms(start, Some(date(2026, 1, 16)))), [("end_date", "before_start")]);
    }

    #[test]
    fn all_broken_rules_come_at_once() {
        let rent = Amount::parse("100000000.00", Currency::USD).unwrap();
        let broken = LeaseTerms { rent, ..terms(date(2026, 1, 17), Some(date(2025, 1, 1))) };

        assert_eq!(codes(&broken), [("end_date", "before_start"), ("rent_amount", "too_large")]);
    }

    #[rstest]
    #[case("USD", "99999999.99", true)]
    #[case("USD", "100000000", false)]
    #[case("JPY", "99999999", true)]
    #[case("JPY", "100000000", false)]
    #[case("BHD", "99999999.990", true)]
    #[case("BHD", "99999999.991", false)]
    #[case("CLF", "99999999.9901", false)]
    fn the_rent_has_one_ceiling_in_every_currency(#[case] currency: &str, #[case] rent: &str, #[case] fits: bool) {
        let rent = Amount::parse(rent, Currency::parse(currency).unwrap()).unwrap();
        let terms = LeaseTerms { rent, ..terms(date(2026, 1, 1), None) };

        assert_eq!(terms.check().is_empty(), fits);
    }

    #[rstest]
    #[case(None, date(2026, 6, 15), Ok(()))]
    #[case(None, date(2026, 1, 17), Ok(()))]
    #[case(None, date(2026, 1, 16), Err(TerminationRefused::BeforeStart))]
    #[case(None, date(2030, 1, 1), Ok(()))]
    #[case(Some(date(2026, 12, 31)), date(2026, 6, 15), Ok(()))]
    #[case(Some(date(2026, 12, 31)), date(2026, 2, 1), Ok(()))]
    #[case(Some(date(2026, 12, 31)), date(2026, 12, 31), Ok(()))]
    #[case(Some(date(2026, 12, 31)), date(2027, 1, 1), Err(TerminationRefused::AfterEnd))]
    #[case(Some(date(2026, 6, 30)), date(2026, 6, 15), Ok(()))]
    #[case(Some(date(2026, 6, 29)), date(2026, 6, 15), Err(TerminationRefused::AlreadyEnded))]
    #[case(Some(date(2026, 6, 29)), date(2020, 1, 1), Err(TerminationRefused::AlreadyEnded))]
    fn a_lease_is_ended_between_its_start_and_its_present_end(
        #[case] present_end: Option<Date>,
        #[case] end: Date,
        #[case] expected: Result<(), TerminationRefused>,
    ) {
        let today = date(2026, 6, 30);
        let terms = terms(date(2026, 1, 17), present_end);

        let ended = terms.terminate(end, today);

        assert_eq!(ended, expected.map(|()| LeaseTerms { ends_on: Some(end), ..terms }));
    }

    #[rstest]
    #[case(date(2026, 1, 1), Some(date(2026, 1, 31)), date(2026, 2, 1), Some(date(2026, 2, 28)), false)]
    #[case(date(2026, 1, 1), Some(date(2026, 1, 31)), date(2026, 1, 31), None, true)]
    #[case(date(2026, 1, 1), None, date(2040, 1, 1), None, true)]
    #[case(date(2026, 1, 1), None, date(2025, 1, 1), Some(date(2025, 12, 31)), false)]
    #[case(date(2026, 1, 1), Some(date(2026, 12, 31)), date(2026, 3, 1), Some(date(2026, 3, 1)), true)]
    fn leases_overlap_if_they_share_a_day(
        #[case] a_start: Date,
        #[case] a_end: Option<Date>,
        #[case] b_start: Date,
        #[case] b_end: Option<Date>,
        #[case] expected: bool,
    ) {
        assert_eq!(overlaps(a_start, a_end, b_start, b_end), expected);
        assert_eq!(overlaps(b_start, b_end, a_start, a_end), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn overlap_is_a_shared_day(a in (1..=20_i8, 0..10_i8), b in (1..=20_i8, 0..10_i8)) {
            let day = |day: i8| date(2026, 1, day);
            let shares_day = (1..=31_i8).any(|d| (a.0..=a.0 + a.1).contains(&d) && (b.0..=b.0 + b.1).contains(&d));

            let found = overlaps(day(a.0), Some(day(a.0 + a.1)), day(b.0), Some(day(b.0 + b.1)));

            prop_assert_eq!(found, shares_day);
        }
    }
}
