//! Late fees: what a rent that is not paid in time costs beside it.
//!
//! A fee is computed for an instalment of rent and for nothing else: there are no fees on fees, nor on other charges.
//! The whole list follows from the rule, the instalment and the money that stands against it now. Money in flight
//! counts from the day on which its payment was initiated; a payment that fails or is returned is given no more, and the
//! list is what it would be if the payment had never been made. Whoever assesses compares the list with what was
//! assessed before.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::banking_day::banking_day_on_or_after;
use crate::calendar::day_after;
use crate::invalid::Invalid;
use crate::money::{self, Amount, Currency};
use crate::names::names;
use crate::share::BasisPoints;

/// When a lease's late rent costs how much.
///
/// Its JSON form is stored, so the names here are for ever. What is read back is not checked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LateFeeRule {
    /// What one fee is.
    pub fee: Fee,
    /// How many there are.
    pub frequency: Frequency,
    /// The most that all fees of one instalment come to. A daily fee has one.
    #[serde(with = "optional_text")]
    pub cap: Option<Amount>,
    /// The first day with a fee, in days after the due date: 5 is the 6th for a due date on the 1st.
    /// One of [`FEE_FROM_OFFSET_MIN`] to [`FEE_FROM_OFFSET_MAX`].
    pub fee_from_offset: i64,
    /// From which day on these days are counted.
    pub due_roll: DueRoll,
}

/// The earliest first day with a fee, in days after the due date: nobody is late on the due date itself.
pub const FEE_FROM_OFFSET_MIN: i64 = 1;
/// The latest first day with a fee, in days after the due date. No grace period is as long; a typing error may be.
pub const FEE_FROM_OFFSET_MAX: i64 = 60;

/// What one fee is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "WrittenFee", from = "WrittenFee")]
pub enum Fee {
    /// This much, however little is open.
    Flat(Amount),
    /// This part of the rent that is open on the day of the fee.
    Percent(BasisPoints),
}

impl Fee {
    /// Which kind it is.
    pub fn kind(self) -> FeeKind {
        match self {
            Fee::Flat(_) => FeeKind::Flat,
            Fee::Percent(_) => FeeKind::Percent,
        }
    }
}

/// The names of the fees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FeeKind {
    /// See [`Fee::Flat`].
    Flat,
    /// See [`Fee::Percent`].
    Percent,
}

names!(FeeKind { Flat = "FLAT", Percent = "PERCENT" });

/// How many fees an instalment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Frequency {
    /// One.
    #[default]
    Once,
    /// One on each day on which rent is open.
    Daily,
}

names!(Frequency { Once = "ONCE", Daily = "DAILY" });

/// From which day on lateness is counted where banks are closed on the due date. The due date itself never moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DueRoll {
    /// From the due date.
    #[default]
    None,
    /// From the next banking day, if the due date is none.
    NextBusinessDay,
}

names!(DueRoll { None = "NONE", NextBusinessDay = "NEXT_BUSINESS_DAY" });

/// A rent charge and the money that stands against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instalment {
    /// The day that it is due.
    pub due_date: Date,
    /// What is due.
    pub amount: Amount,
    /// What covers it now, in any order: payments in flight or settled, and credits. What failed, was returned, cancelled
    /// or taken back is not among them.
    pub covered: Vec<Cover>,
}

/// Money that stands against an instalment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// From which day on it counts: that on which the payment was initiated or the credit given, in the property's time
    /// zone. The day itself counts.
    pub on: Date,
    /// How much, in minor units of the instalment's currency. Zero and less count as nothing.
    pub minor: i64,
}

/// A fee that should exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssessedFee {
    /// The day at whose end it is due, as rent was open then. No two fees of an instalment have the same.
    pub day: Date,
    /// How much.
    pub amount: Amount,
}

impl LateFeeRule {
    /// Every broken rule with the name of the field that breaks it; empty if the rule is sound for rent in `currency`.
    ///
    /// `fee` and `cap` are `differs_from_lease` in another currency, a flat `fee` is `over_cap` above the cap, `cap` is
    /// `cap_required` for a daily fee, and `fee_from_offset` is `out_of_range`.
    pub fn check(&self, currency: Currency) -> Vec<(&'static str, Invalid)> {
        let flat = match self.fee {
            Fee::Flat(amount) => Some(amount),
            Fee::Percent(_) => None,
        };
        let is_foreign = |amount: Option<Amount>| amount.is_some_and(|amount| amount.currency() != currency);
        let mut broken = Vec::new();
        if is_foreign(flat) {
            broken.push(("fee", wrong_currency()));
        } else if !is_foreign(self.cap) && is_over(flat, self.cap) {
            broken.push(("fee", Invalid::new("over_cap", "must not be more than the cap")));
        }
        if is_foreign(self.cap) {
            broken.push(("cap", wrong_currency()));
        }
        if self.frequency == Frequency::Daily && self.cap.is_none() {
            broken.push(("cap", Invalid::new("cap_required", "must be set for a daily fee")));
        }
        if !(FEE_FROM_OFFSET_MIN..=FEE_FROM_OFFSET_MAX).contains(&self.fee_from_offset) {
            let detail = format!("must be from {FEE_FROM_OFFSET_MIN} to {FEE_FROM_OFFSET_MAX} days");
            broken.push(("fee_from_offset", Invalid::new("out_of_range", detail)));
        }
        broken
    }

    /// The first day on which an instalment due on `due` may have a fee.
    ///
    /// An offset out of range counts as the nearest in it. Saturates at the end of the calendar.
    pub fn first_fee_day(&self, due: Date) -> Date {
        let late_from = match self.due_roll {
            DueRoll::None => due,
            DueRoll::NextBusinessDay => banking_day_on_or_after(due),
        };
        late_from.saturating_add(self.fee_from_offset.clamp(FEE_FROM_OFFSET_MIN, FEE_FROM_OFFSET_MAX).days())
    }

    /// Every fee that `charge` should have by the end of the day `through`, oldest first.
    ///
    /// From the first fee day on each day on which rent is open has one, or only the first of them. A percent is rounded
    /// once, half away from zero, and is no fee if it rounds to nothing. The last fee is cut to what the cap leaves. A
    /// later `through` only adds to the list; money that is added or gone since may change all of it.
    ///
    /// The work is bounded: each day that is looked at takes at least one minor unit from the cap, the last one perhaps
    /// not, and none is past `through`. A daily rule without a cap, which [`LateFeeRule::check`] refuses, is bounded by
    /// `through` alone.
    pub fn fees(&self, charge: &Instalment, through: Date) -> Vec<AssessedFee> {
        let mut left_minor = self.cap.map_or(i64::MAX, Amount::minor);
        let mut fees = Vec::new();
        let mut next = Some(self.first_fee_day(charge.due_date));
        while let Some(day) = next.filter(|day| *day <= through) {
            // What is open and what the cap leaves never grow: after a day without a fee there is none.
            let Some(amount) = self.fee_on(charge, day, left_minor) else { break };
            left_minor -= amount.minor();
            fees.push(AssessedFee { day, amount });
            next = self.day_after_fee(day);
        }
        fees
    }

    /// The fee of the one day `day`, of which the cap leaves at most `left_minor`.
    fn fee_on(&self, charge: &Instalment, day: Date, left_minor: i64) -> Option<Amount> {
        let open = charge.open_on(day)?;
        let fee = match self.fee {
            Fee::Flat(amount) => amount,
            Fee::Percent(points) => points.of(open)?,
        };
        Amount::from_minor(fee.minor().min(left_minor), open.currency()).ok()
    }

    /// The day that may have a fee after `day` had one.
    fn day_after_fee(&self, day: Date) -> Option<Date> {
        match self.frequency {
            Frequency::Once => None,
            // The last day of the calendar has none after it.
            Frequency::Daily => Some(day_after(day)).filter(|next| day < *next),
        }
    }
}

impl Instalment {
    /// What is not covered at the end of `day`; `None` if that is nothing. It never grows from a day to the next.
    pub fn open_on(&self, day: Date) -> Option<Amount> {
        let covers = self.covered.iter().filter(|cover| cover.on <= day);
        let covered: i128 = covers.map(|cover| i128::from(cover.minor.max(0))).sum();
        let open = i64::try_from(i128::from(self.amount.minor()) - covered).ok()?;
        Amount::from_minor(open, self.amount.currency()).ok()
    }
}

fn is_over(flat: Option<Amount>, cap: Option<Amount>) -> bool {
    flat.zip(cap).is_some_and(|(flat, cap)| cap.minor() < flat.minor())
}

fn wrong_currency() -> Invalid {
    Invalid::new("differs_from_lease", "must be in the lease's currency")
}

/// The stored form of a [`Fee`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
enum WrittenFee {
    Flat {
        #[serde(with = "money::text")]
        amount: Amount,
    },
    Percent {
        basis_points: BasisPoints,
    },
}

impl From<Fee> for WrittenFee {
    fn from(fee: Fee) -> WrittenFee {
        match fee {
            Fee::Flat(amount) => WrittenFee::Flat { amount },
            Fee::Percent(basis_points) => WrittenFee::Percent { basis_points },
        }
    }
}

impl From<WrittenFee> for Fee {
    fn from(written: WrittenFee) -> Fee {
        match written {
            WrittenFee::Flat { amount } => Fee::Flat(amount),
            WrittenFee::Percent { basis_points } => Fee::Percent(basis_points),
        }
    }
}

/// The stored form of a cap: that of an amount, or null.
mod optional_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::money::{self, Amount};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "money::text")] Amount);

    pub(super) fn serialize<S: Serializer>(amount: &Option<Amount>, serializer: S) -> Result<S::Ok, S::Error> {
        amount.map(Text).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|Text(amount)| amount))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn usd(text: &str) -> Amount {
        Amount::parse(text, Currency::USD).unwrap()
    }

    fn yen(minor: i64) -> Amount {
        Amount::from_minor(minor, Currency::parse("JPY").unwrap()).unwrap()
    }

    fn percent(points: i64) -> Fee {
        Fee::Percent(BasisPoints::parse(points).unwrap())
    }

    /// Once from the 6th on, for rent due on the 1st; no cap, no roll.
    fn once(fee: Fee) -> LateFeeRule {
        LateFeeRule { fee, frequency: Frequency::Once, cap: None, fee_from_offset: 5, due_roll: DueRoll::None }
    }

    fn daily(fee: Fee, cap: &str) -> LateFeeRule {
        LateFeeRule { frequency: Frequency::Daily, cap: Some(usd(cap)), ..once(fee) }
    }

    fn flat(text: &str) -> Fee {
        Fee::Flat(usd(text))
    }

    /// 1500.00 due on 2026-03-01, covered by so much on these days of March.
    fn march(covers: &[(i8, &str)]) -> Instalment {
        let cover = |(day, amount): &(i8, &str)| Cover { on: date(2026, 3, *day), minor: usd(amount).minor() };
        Instalment { due_date: date(2026, 3, 1), amount: usd("1500.00"), covered: covers.iter().map(cover).collect() }
    }

    /// The fees until the 31st, each as the day of March and the amount.
    fn in_march(rule: &LateFeeRule, covers: &[(i8, &str)]) -> Vec<String> {
        let fees = rule.fees(&march(covers), date(2026, 3, 31));
        fees.iter().map(|fee| format!("{} {}", fee.day.day(), fee.amount)).collect()
    }

    #[test]
    fn choices_are_their_upper_case_names() {
        for kind in FeeKind::ALL {
            assert_eq!(FeeKind::parse(&kind.name().to_lowercase()).unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for frequency in Frequency::ALL {
            assert_eq!(Frequency::parse(&frequency.name().to_lowercase()).unwrap(), frequency);
            assert_eq!(serde_json::to_value(frequency).unwrap(), frequency.name());
        }
        for roll in DueRoll::ALL {
            assert_eq!(DueRoll::parse(&roll.name().to_lowercase()).unwrap(), roll);
            assert_eq!(serde_json::to_value(roll).unwrap(), roll.name());
        }
        assert_eq!(FeeKind::parse("").unwrap_err().code, "unknown");
        assert_eq!(Frequency::parse("WEEKLY").unwrap_err().code, "unknown");
        assert_eq!(DueRoll::parse("NEXT-BUSINESS-DAY").unwrap_err().code, "unknown");
    }

    #[test]
    fn the_stored_form_is_for_ever() {
        let flat = daily(flat("25"), "100.00");
        let percent = LateFeeRule { due_roll: DueRoll::NextBusinessDay, ..once(percent(500)) };

        insta::assert_snapshot!(serde_json::to_string(&flat).unwrap(), @r#"{"fee":{"kind":"FLAT","amount":"25.00 USD"},"frequency":"DAILY","cap":"100.00 USD","fee_from_offset":5,"due_roll":"NONE"}"#);
        insta::assert_snapshot!(serde_json::to_string(&percent).unwrap(), @r#"{"fee":{"kind":"PERCENT","basis_points":500},"frequency":"ONCE","cap":null,"fee_from_offset":5,"due_roll":"NEXT_BUSINESS_DAY"}"#);
        for rule in [flat, percent] {
            assert_eq!(serde_json::from_str::<LateFeeRule>(&serde_json::to_string(&rule).unwrap()).unwrap(), rule);
            assert_eq!(serde_json::to_value(rule).unwrap()["fee"]["kind"], rule.fee.kind().name());
        }
    }

    #[rstest]
    #[case(r#"{"kind":"FLAT","amount":"-1 USD"}"#)]
    #[case(r#"{"kind":"FLAT","amount":25}"#)]
    #[case(r#"{"kind":"FLAT","amount":"25.00"}"#)]
    #[case(r#"{"kind":"FLAT"}"#)]
    #[case(r#"{"kind":"PERCENT","basis_points":10001}"#)]
    #[case(r#"{"kind":"PERCENT","basis_points":0}"#)]
    #[case(r#"{"kind":"STEEP","basis_points":1}"#)]
    fn a_damaged_fee_is_not_read(#[case] fee: &str) {
        let rule = format!(r#"{{"fee":{fee},"frequency":"ONCE","cap":null,"fee_from_offset":5,"due_roll":"NONE"}}"#);

        assert!(serde_json::from_str::<LateFeeRule>(&rule).is_err());
    }

    #[rstest]
    #[case::flat(once(flat("50")), &[])]
    #[case::flat_at_its_cap(daily(flat("50"), "50"), &[])]
    #[case::percent(daily(percent(10_000), "0.01"), &[])]
    #[case::above_its_cap(daily(flat("50.01"), "50"), &[("fee", "over_cap")])]
    #[case::once_above_its_cap(LateFeeRule { cap: Some(usd("49")), ..once(flat("50")) }, &[("fee", "over_cap")])]
    #[case::daily_for_ever(LateFeeRule { cap: None, ..daily(percent(1), "1") }, &[("cap", "cap_required")])]
    #[case::first_day(LateFeeRule { fee_from_offset: 1, ..once(flat("50")) }, &[])]
    #[case::last_day(LateFeeRule { fee_from_offset: 60, ..once(flat("50")) }, &[])]
    #[case::due_date(LateFeeRule { fee_from_offset: 0, ..once(flat("50")) }, &[("fee_from_offset", "out_of_range")])]
    #[case::too_late(LateFeeRule { fee_from_offset: 61, ..once(flat("50")) }, &[("fee_from_offset", "out_of_range")])]
    #[case::foreign_fee(daily(Fee::Flat(yen(99)), "0.50"), &[("fee", "differs_from_lease")])]
    #[case::foreign_cap(LateFeeRule { cap: Some(yen(1)), ..once(flat("50")) }, &[("cap", "differs_from_lease")])]
    #[case::all(
        LateFeeRule { frequency: Frequency::Daily, fee_from_offset: -1, ..once(Fee::Flat(yen(1))) },
        &[("fee", "differs_from_lease"), ("cap", "cap_required"), ("fee_from_offset", "out_of_range")]
    )]
    fn a_rule_is_checked(#[case] rule: LateFeeRule, #[case] expected: &[(&'static str, &'static str)]) {
        let codes: Vec<_> =
            rule.check(Currency::USD).into_iter().map(|(field, invalid)| (field, invalid.code)).collect();

        assert_eq!(codes, expected);
    }

    #[rstest]
    #[case::the_sixth(date(2026, 3, 1), 5, DueRoll::None, date(2026, 3, 6))]
    #[case::the_day_after(date(2026, 3, 1), 1, DueRoll::None, date(2026, 3, 2))]
    #[case::next_month(date(2027, 2, 28), 5, DueRoll::None, date(2027, 3, 5))]
    #[case::leap_day(date(2028, 2, 26), 3, DueRoll::None, date(2028, 2, 29))]
    #[case::over_a_leap_day(date(2028, 2, 28), 5, DueRoll::None, date(2028, 3, 4))]
    #[case::next_year(date(2026, 12, 31), 60, DueRoll::None, date(2027, 3, 1))]
    #[case::a_sunday_stays(date(2026, 2, 1), 5, DueRoll::None, date(2026, 2, 6))]
    #[case::sunday(date(2026, 2, 1), 5, DueRoll::NextBusinessDay, date(2026, 2, 7))]
    #[case::saturday(date(2026, 8, 1), 1, DueRoll::NextBusinessDay, date(2026, 8, 4))]
    #[case::open_monday(date(2026, 6, 1), 5, DueRoll::NextBusinessDay, date(2026, 6, 6))]
    #[case::new_year(date(2026, 1, 1), 5, DueRoll::NextBusinessDay, date(2026, 1, 7))]
    #[case::labor_day(date(2026, 9, 5), 1, DueRoll::NextBusinessDay, date(2026, 9, 9))]
    #[case::kept_on_monday(date(2027, 7, 4), 5, DueRoll::NextBusinessDay, date(2027, 7, 11))]
    #[case::open_friday(date(2026, 7, 3), 1, DueRoll::NextBusinessDay, date(2026, 7, 4))]
    #[case::too_early(date(2026, 3, 1), i64::MIN, DueRoll::None, date(2026, 3, 2))]
    #[case::too_late(date(2026, 3, 1), i64::MAX, DueRoll::None, date(2026, 4, 30))]
    #[case::the_end_of_time(Date::MAX, 5, DueRoll::NextBusinessDay, Date::MAX)]
    fn the_first_fee_day_is_counted_from_where_lateness_begins(
        #[case] due: Date,
        #[case] fee_from_offset: i64,
        #[case] due_roll: DueRoll,
        #[case] expected: Date,
    ) {
        let rule = LateFeeRule { fee_from_offset, due_roll, ..once(flat("50")) };

        assert_eq!(rule.first_fee_day(due), expected);
    }

    #[rstest]
    #[case::the_eve(date(2026, 3, 5), 0)]
    #[case::the_day(date(2026, 3, 6), 1)]
    #[case::long_after(date(2030, 1, 1), 1)]
    fn one_fee_comes_with_the_first_day_and_stays_one(#[case] through: Date, #[case] count: usize) {
        let fees = once(flat("50")).fees(&march(&[]), through);

        assert_eq!(fees.len(), count);
        assert!(fees.iter().all(|fee| *fee == AssessedFee { day: date(2026, 3, 6), amount: usd("50.00") }));
    }

    #[rstest]
    #[case::never_paid(&[], &["6 50.00"])]
    #[case::paid_when_due(&[(1, "1500")], &[])]
    #[case::paid_on_the_fee_day(&[(6, "1500")], &[])]
    #[case::paid_a_day_later(&[(7, "1500")], &["6 50.00"])]
    #[case::a_cent_short(&[(1, "1499.99")], &["6 50.00"])]
    #[case::in_parts(&[(1, "1000"), (6, "500")], &[])]
    #[case::the_last_part_is_late(&[(1, "1000"), (8, "500")], &["6 50.00"])]
    #[case::too_much(&[(2, "2000")], &[])]
    fn a_flat_fee_once(#[case] covers: &[(i8, &str)], #[case] expected: &[&str]) {
        assert_eq!(in_march(&once(flat("50")), covers), expected);
    }

    #[rstest]
    #[case::of_all(&[], &["6 75.00"])]
    #[case::of_what_is_open(&[(3, "1000")], &["6 25.00"])]
    #[case::of_what_is_open_that_day(&[(6, "1000"), (7, "500")], &["6 25.00"])]
    #[case::half_a_cent_is_a_cent(&[(1, "1499.90")], &["6 0.01"])]
    #[case::less_is_nothing(&[(1, "1499.91")], &[])]
    #[case::rounded_up(&[(1, "1499.70")], &["6 0.02"])]
    #[case::rounded_down(&[(1, "1499.71")], &["6 0.01"])]
    fn five_percent_once(#[case] covers: &[(i8, &str)], #[case] expected: &[&str]) {
        assert_eq!(in_march(&once(percent(500)), covers), expected);
    }

    #[rstest]
    #[case::up_to_the_cap(&[], &["6 20.00", "7 20.00", "8 20.00", "9 15.00"])]
    #[case::until_paid(&[(8, "1500")], &["6 20.00", "7 20.00"])]
    #[case::a_part_stops_nothing(&[(7, "1499.99")], &["6 20.00", "7 20.00", "8 20.00", "9 15.00"])]
    #[case::paid_on_the_fee_day(&[(6, "1500")], &[])]
    fn a_flat_fee_each_day(#[case] covers: &[(i8, &str)], #[case] expected: &[&str]) {
        assert_eq!(in_march(&daily(flat("20"), "75"), covers), expected);
    }

    #[test]
    fn a_percent_each_day_is_of_what_is_open_that_day() {
        let covers = [(8, "500"), (7, "250.50"), (10, "749.50")];

        assert_eq!(in_march(&daily(percent(100), "500"), &covers), ["6 15.00", "7 12.50", "8 7.50", "9 7.50"]);
        assert_eq!(in_march(&daily(percent(100), "30"), &covers), ["6 15.00", "7 12.50", "8 2.50"]);
    }

    #[test]
    fn the_cap_cuts_a_fee_that_comes_once() {
        let rule = LateFeeRule { cap: Some(usd("60")), ..once(percent(500)) };

        assert_eq!(in_march(&rule, &[]), ["6 60.00"]);
        assert_eq!(in_march(&rule, &[(2, "500")]), ["6 50.00"]);
    }

    #[test]
    fn while_a_payment_is_in_flight_there_is_no_fee_and_once_it_is_returned_there_is_every_one() {
        let rule = daily(flat("20"), "500");
        let through = date(2026, 3, 9);

        assert_eq!(rule.fees(&march(&[(5, "1500")]), through), []);
        let days: Vec<_> = rule.fees(&march(&[]), through).iter().map(|fee| fee.day.day()).collect();
        assert_eq!(days, [6, 7, 8, 9]);
        assert_eq!(in_march(&once(flat("50")), &[(5, "1500")]), [""; 0]);
        assert_eq!(in_march(&once(flat("50")), &[]), ["6 50.00"]);
    }

    #[test]
    fn a_return_of_one_of_two_payments_leaves_the_days_until_the_other() {
        let rule = daily(flat("20"), "500");

        assert_eq!(in_march(&rule, &[(2, "1500"), (8, "1500")]), [""; 0]);
        assert_eq!(in_march(&rule, &[(8, "1500")]), ["6 20.00", "7 20.00"]);
    }

    #[test]
    fn rent_due_on_a_sunday_is_late_from_monday_on_if_the_lease_says_so() {
        let rule = LateFeeRule { fee_from_offset: 1, ..once(flat("50")) };
        let rolled = LateFeeRule { due_roll: DueRoll::NextBusinessDay, ..rule };
        let paid_on_monday = Instalment {
            due_date: date(2026, 2, 1),
            amount: usd("1500.00"),
            covered: vec![Cover { on: date(2026, 2, 2), minor: 150_000 }],
        };
        let paid_on_tuesday =
            Instalment { covered: vec![Cover { on: date(2026, 2, 3), minor: 150_000 }], ..paid_on_monday.clone() };
        let unpaid = Instalment { covered: Vec::new(), ..paid_on_monday.clone() };
        let first = |rule: &LateFeeRule, charge| rule.fees(charge, date(2026, 3, 31)).first().map(|fee| fee.day);

        assert_eq!(first(&rule, &paid_on_monday), None);
        assert_eq!(first(&rule, &paid_on_tuesday), Some(date(2026, 2, 2)));
        assert_eq!(first(&rolled, &paid_on_tuesday), None);
        assert_eq!(first(&rolled, &unpaid), Some(date(2026, 2, 3)));
    }

    #[test]
    fn the_ends_of_numbers_and_of_the_calendar_are_no_trouble() {
        let largest = Amount::from_minor(i64::MAX, Currency::USD).unwrap();
        let rule = LateFeeRule { cap: Some(largest), ..daily(Fee::Flat(largest), "1") };
        let due_date = date(9999, 12, 20);
        let covered = vec![Cover { on: due_date, minor: i64::MIN }, Cover { on: due_date, minor: i64::MIN }];
        let charge = Instalment { due_date, amount: largest, covered };

        assert_eq!(rule.fees(&charge, Date::MAX), [AssessedFee { day: date(9999, 12, 25), amount: largest }]);
        assert_eq!(daily(flat("1"), "100").fees(&charge, Date::MAX).len(), 7);
        assert_eq!(daily(percent(1), "100").fees(&charge, Date::MIN), []);
        let uncapped = LateFeeRule { cap: None, ..daily(flat("1"), "1") };
        assert_eq!(uncapped.fees(&charge, Date::MAX).len(), 7);
    }

    #[test]
    fn what_has_no_fee_needs_no_walk_through_the_calendar() {
        let charge = Instalment { due_date: Date::MIN, amount: usd("0.01"), covered: Vec::new() };

        assert_eq!(daily(percent(1), "100").fees(&charge, Date::MAX), []);
        assert_eq!(daily(flat("1"), "0.5").fees(&charge, Date::MAX).len(), 1);
    }

    /// Walks day by day as the rules read, without a function of the rule but its first day.
    fn fees_by_walking(rule: &LateFeeRule, charge: &Instalment, through: Date) -> Vec<(Date, i64)> {
        let mut fees: Vec<(Date, i64)> = Vec::new();
        let mut day = rule.first_fee_day(charge.due_date);
        while day <= through {
            let covered: i64 = charge.covered.iter().filter(|cover| cover.on <= day).map(|cover| cover.minor).sum();
            let open = charge.amount.minor() - covered;
            let fee = match rule.fee {
                Fee::Flat(amount) => amount.minor(),
                Fee::Percent(points) => (open * points.number() * 2 + 10_000) / 20_000,
            };
            let so_far: i64 = fees.iter().map(|(_, minor)| minor).sum();
            let left = rule.cap.map_or(i64::MAX, |cap| cap.minor() - so_far);
            let is_over = rule.frequency == Frequency::Once && !fees.is_empty();
            if 0 < open && 0 < fee.min(left) && !is_over {
                fees.push((day, fee.min(left)));
            }
            day = day.tomorrow().unwrap();
        }
        fees
    }

    prop_compose! {
        /// Sound rules, most of them with a cap.
        fn any_rule()(
            fee in prop_oneof![
                (1..=20_000_i64).prop_map(|minor| Fee::Flat(Amount::from_minor(minor, Currency::USD).unwrap())),
                (1..=10_000_i64).prop_map(percent),
            ],
            frequency in prop::sample::select(Frequency::ALL.to_vec()),
            cap in prop::option::weighted(0.8, 20_000..=200_000_i64),
            fee_from_offset in FEE_FROM_OFFSET_MIN..=FEE_FROM_OFFSET_MAX,
            due_roll in prop::sample::select(DueRoll::ALL.to_vec()),
        ) -> LateFeeRule {
            let cap = match frequency {
                Frequency::Once => cap,
                Frequency::Daily => Some(cap.unwrap_or(50_000)),
            };
            let cap = cap.map(|cap| Amount::from_minor(cap, Currency::USD).unwrap());
            LateFeeRule { fee, frequency, cap, fee_from_offset, due_roll }
        }
    }

    prop_compose! {
        /// Rents around a leap day with up to six covers from ten days before the due date on.
        fn any_instalment()(
            due in 0..900_i32,
            amount in prop_oneof![1..=200_i64, 1..=500_000_i64],
            covers in prop::collection::vec((-10..120_i32, 1..=100_i64), 0..6),
        ) -> Instalment {
            let due_date = date(2026, 1, 1) + due.days();
            // Each is some percent of the rent, so that together they are often less, and often more.
            let cover = |(on, share): (i32, i64)| Cover { on: due_date + on.days(), minor: (amount * share / 100).max(1) };
            Instalment {
                due_date,
                amount: Amount::from_minor(amount, Currency::USD).unwrap(),
                covered: covers.into_iter().map(cover).collect(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn they_equal_what_a_walk_through_the_days_gives(
            rule in any_rule(),
            charge in any_instalment(),
            days in 0..200_i32,
        ) {
            let through = charge.due_date + days.days();

            let fees = rule.fees(&charge, through);

            prop_assert!(rule.check(Currency::USD).is_empty());
            let found: Vec<_> = fees.iter().map(|fee| (fee.day, fee.amount.minor())).collect();
            prop_assert_eq!(found, fees_by_walking(&rule, &charge, through));
        }

        #[test]
        fn together_they_stay_within_the_cap_and_each_has_its_own_day(
            rule in any_rule(),
            charge in any_instalment(),
            days in 0..400_i32,
        ) {
            let through = charge.due_date + days.days();

            let fees = rule.fees(&charge, through);

            let sum: i64 = fees.iter().map(|fee| fee.amount.minor()).sum();
            prop_assert!(rule.cap.is_none_or(|cap| sum <= cap.minor()));
            prop_assert!(fees.is_sorted_by(|a, b| a.day < b.day));
            let allowed = rule.first_fee_day(charge.due_date)..=through;
            prop_assert!(charge.due_date < *allowed.start());
            prop_assert!(fees.iter().all(|fee| allowed.contains(&fee.day)));
            prop_assert!(fees.iter().all(|fee| charge.open_on(fee.day).is_some()));
            prop_assert!(rule.frequency == Frequency::Daily || fees.len() <= 1);
        }

        #[test]
        fn what_is_covered_by_its_due_date_has_none(rule in any_rule(), charge in any_instalment(), early in 0..60_i32) {
            let mut charge = charge;
            charge.covered.push(Cover { on: charge.due_date - early.days(), minor: charge.amount.minor() });

            prop_assert_eq!(rule.fees(&charge, Date::MAX), []);
        }

        #[test]
        fn a_later_day_only_adds(
            rule in any_rule(),
            charge in any_instalment(),
            days in 0..200_i32,
            more in 0..200_i32,
        ) {
            let through = charge.due_date + days.days();

            let fees = rule.fees(&charge, through);
            let later = rule.fees(&charge, through + more.days());

            prop_assert!(later.starts_with(&fees));
            prop_assert!(later[fees.len()..].iter().all(|fee| through < fee.day));
        }

        #[test]
        fn the_order_of_covers_does_not_matter(
            rule in any_rule(),
            (charge, shuffled) in any_instalment().prop_flat_map(|charge| {
                let shuffled = Just(charge.covered.clone()).prop_shuffle();
                (Just(charge), shuffled)
            }),
        ) {
            let reordered = Instalment { covered: shuffled, ..charge.clone() };

            prop_assert_eq!(rule.fees(&reordered, Date::MAX), rule.fees(&charge, Date::MAX));
        }

        #[test]
        fn every_rule_reads_back(rule in any_rule()) {
            let text = serde_json::to_string(&rule).unwrap();

            prop_assert_eq!(serde_json::from_str::<LateFeeRule>(&text).unwrap(), rule);
        }
    }
}
