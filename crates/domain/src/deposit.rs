//! Deposits: what is held of them, and by when it must be back.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{ChargeId, PaymentId};
use crate::money::{self, Amount};
use crate::property::UsState;

/// A deposit is given up: it pays for what was deducted and for what else is open, and the rest goes back to a renter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositRelease {
    /// Which one: the source that pays for charges.
    pub return_id: Uuid,
    /// What the landlord owes no more: what was held, and what had been charged and never paid.
    #[serde(with = "money::text")]
    pub amount: Amount,
    /// What was held.
    #[serde(with = "money::text")]
    pub held: Amount,
    /// What was charged for it, in the landlord's order.
    pub deductions: Vec<ChargeId>,
    /// What goes back; nothing where all of it was needed.
    pub refund: Option<DepositRefund>,
    /// The last day on which it was in time.
    pub return_by: Date,
}

/// What is left of a deposit, and the payment that brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositRefund {
    /// The payment as it was initiated; should it fail, the money is the renters' credit.
    pub payment_id: PaymentId,
    /// How much.
    #[serde(with = "money::text")]
    pub amount: Amount,
}

/// In how many days a deposit must be back, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnPeriod {
    /// Calendar days.
    pub days: i64,
    /// The law, where the state's has a number that we know.
    pub source: Option<&'static str>,
}

impl ReturnPeriod {
    /// The most days that anybody may state.
    pub const DAYS_MAX: i64 = 365;

    /// What the law of a state says, as of 2026; check with counsel.
    ///
    /// Where a law knows several numbers, by notice, deductions or the kind of lease, it is the shortest: whoever keeps to it is
    /// in time. Banking days are counted as calendar days and months as 30 days for the same reason.
    pub fn of(state: UsState) -> ReturnPeriod {
        let known = PERIODS.iter().find(|(code, ..)| *code == state.code());
        known.map_or(CAUTIOUS, |(_, days, source)| ReturnPeriod { days: *days, source: Some(source) })
    }

    /// The last day that is in time, counted from `from`: the day after it is the first.
    pub fn last_day(self, from: Date) -> Date {
        from.saturating_add(jiff::Span::new().days(self.days.clamp(0, ReturnPeriod::DAYS_MAX)))
    }
}

/// For states whose law has no fixed number (Kentucky, Tennessee) and for territories: two weeks, as in the strictest states
/// that count deductions.
const CAUTIOUS: ReturnPeriod = ReturnPeriod { days: 14, source: None };

/// By the codes of the states.
const PERIODS: [(&str, i64, &str); 49] = [
    ("AK", 14, "Alaska Stat. § 34.03.070"),
    ("AL", 60, "Ala. Code § 35-9A-201"),
    ("AR", 60, "Ark. Code § 18-16-305"),
    ("AZ", 14, "Ariz. Rev. Stat. § 33-1321"),
    ("CA", 21, "Cal. Civ. Code § 1950.5"),
    ("CO", 30, "Colo. Rev. Stat. § 38-12-103"),
    ("CT", 21, "Conn. Gen. Stat. § 47a-21"),
    ("DC", 45, "D.C. Mun. Regs. tit. 14, § 309"),
    ("DE", 20, "Del. Code tit. 25, § 5514"),
    ("FL", 15, "Fla. Stat. § 83.49"),
    ("GA", 30, "Ga. Code § 44-7-34"),
    ("HI", 14, "Haw. Rev. Stat. § 521-44"),
    ("IA", 30, "Iowa Code § 562A.12"),
    ("ID", 21, "Idaho Code § 6-321"),
    ("IL", 30, "765 Ill. Comp. Stat. 710/1"),
    ("IN", 45, "Ind. Code § 32-31-3-12"),
    ("KS", 14, "Kan. Stat. § 58-2550"),
    ("LA", 30, "La. Rev. Stat. § 9:3251"),
    ("MA", 30, "Mass. Gen. Laws ch. 186, § 15B"),
    ("MD", 45, "Md. Code, Real Prop. § 8-203"),
    ("ME", 21, "Me. Rev. Stat. tit. 14, § 6033"),
    ("MI", 30, "Mich. Comp. Laws § 554.609"),
    ("MN", 21, "Minn. Stat. § 504B.178"),
    ("MO", 30, "Mo. Rev. Stat. § 535.300"),
    ("MS", 45, "Miss. Code § 89-8-21"),
    ("MT", 10, "Mont. Code § 70-25-202"),
    ("NC", 30, "N.C. Gen. Stat. § 42-52"),
    ("ND", 30, "N.D. Cent. Code § 47-16-07.1"),
    ("NE", 14, "Neb. Rev. Stat. § 76-1416"),
    ("NH", 20, "N.H. Rev. Stat. § 540-A:7"),
    ("NJ", 30, "N.J. Stat. § 46:8-21.1"),
    ("NM", 30, "N.M. Stat. § 47-8-18"),
    ("NV", 30, "Nev. Rev. Stat. § 118A.242"),
    ("NY", 14, "N.Y. Gen. Oblig. Law § 7-108"),
    ("OH", 30, "Ohio Rev. Code § 5321.16"),
    ("OK", 30, "Okla. Stat. tit. 41, § 115"),
    ("OR", 31, "Or. Rev. Stat. § 90.300"),
    ("PA", 30, "68 Pa. Stat. § 250.512"),
    ("RI", 20, "R.I. Gen. Laws § 34-18-19"),
    ("SC", 30, "S.C. Code § 27-40-410"),
    ("SD", 14, "S.D. Codified Laws § 43-32-24"),
    ("TX", 30, "Tex. Prop. Code § 92.103"),
    ("UT", 30, "Utah Code § 57-17-3"),
    ("VA", 45, "Va. Code § 55.1-1226"),
    ("VT", 14, "Vt. Stat. tit. 9, § 4461"),
    ("WA", 30, "Wash. Rev. Code § 59.18.280"),
    ("WI", 21, "Wis. Admin. Code ATCP § 134.06"),
    ("WV", 45, "W. Va. Code § 37-6A-2"),
    ("WY", 30, "Wyo. Stat. § 1-21-1208"),
];

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("NY", 14, date(2026, 7, 14))]
    #[case("CA", 21, date(2026, 7, 21))]
    #[case("OR", 31, date(2026, 7, 31))]
    #[case("AL", 60, date(2026, 8, 29))]
    // No number of its own: the cautious one.
    #[case("TN", 14, date(2026, 7, 14))]
    #[case("GU", 14, date(2026, 7, 14))]
    fn a_deposit_must_be_back_by_the_law_of_the_state(#[case] code: &str, #[case] days: i64, #[case] last: Date) {
        let period = ReturnPeriod::of(UsState::parse(code).unwrap());

        assert_eq!((period.days, period.last_day(date(2026, 6, 30))), (days, last));
        assert_eq!(period.source.is_some(), !["TN", "GU"].contains(&code));
    }

    #[test]
    fn every_row_is_a_state_once_and_says_where_it_stands() {
        let mut codes: Vec<_> = PERIODS.iter().map(|(code, ..)| *code).collect();
        codes.dedup();
        assert_eq!(codes.len(), PERIODS.len());
        for (code, days, source) in PERIODS {
            assert_eq!(UsState::parse(code).map(UsState::code), Ok(code));
            assert!((10..=60).contains(&days) && source.contains('§') || source.contains("Comp. Stat."), "{code}");
        }
    }

    #[test]
    fn the_longest_period_and_the_end_of_the_calendar_are_days() {
        let period = ReturnPeriod { days: i64::MAX, source: None };

        assert_eq!(period.last_day(date(2026, 1, 1)), date(2027, 1, 1));
        assert_eq!(period.last_day(Date::MAX), Date::MAX);
    }
}
