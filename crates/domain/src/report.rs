//! The words of a landlord's reports: how old what is owed is, what a number consists of, how much of what was charged came in.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::calendar;
use crate::invalid::Invalid;
use crate::names::names;

/// How many days what is owed has been due. What is due today is due since no days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Age {
    /// At most 30 days.
    UpTo30,
    /// 31 to 60 days.
    UpTo60,
    /// 61 to 90 days.
    UpTo90,
    /// 91 days or more.
    Older,
}

names!(Age {
    UpTo30 = "DAYS_0_30",
    UpTo60 = "DAYS_31_60",
    UpTo90 = "DAYS_61_90",
    Older = "DAYS_OVER_90",
});

impl Age {
    /// The first due date that is of this age at the end of `as_of`; none for the oldest.
    pub fn begins(self, as_of: Date) -> Option<Date> {
        let days = match self {
            Age::UpTo30 => 30,
            Age::UpTo60 => 60,
            Age::UpTo90 => 90,
            Age::Older => return None,
        };
        Some(as_of.saturating_sub(days.days()))
    }
}

/// What a number of the rent roll is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RentRollColumn {
    /// What is charged and neither paid nor on its way.
    Open,
    /// What was paid or let off and pays for nothing yet.
    Credit,
    /// What is open, less the credit.
    Balance,
    /// What was paid for deposits, has arrived and was not released.
    DepositHeld,
}

names!(RentRollColumn { Open = "OPEN", Credit = "CREDIT", Balance = "BALANCE", DepositHeld = "DEPOSIT_HELD" });

/// What became of the charges of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonthColumn {
    /// What fell due in the month.
    Charged,
    /// What of it was paid by money that has arrived.
    Collected,
    /// What of it a bank is moving.
    OnTheWay,
    /// What of it was not paid by a payment but by a credit of the landlord's.
    Credited,
    /// What of it is left.
    Open,
    /// What of that was due before today.
    Late,
}

names!(MonthColumn {
    Charged = "CHARGED",
    Collected = "COLLECTED",
    OnTheWay = "ON_THE_WAY",
    Credited = "CREDITED",
    Open = "OPEN",
    Late = "LATE",
});

/// When money counts as income.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// When it has arrived.
    Cash,
    /// When it is owed.
    Accrual,
}

names!(Basis { Cash = "CASH", Accrual = "ACCRUAL" });

/// A part of the income of a property in a month; all parts together are the income.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncomePart {
    /// Payments of renters that arrived.
    Received,
    /// Payments of renters that came back; less than zero.
    Returned,
    /// What was paid back to renters, less what of that came back.
    Refunded,
    /// What of the money that arrived was for a deposit, which is a debt and no income; less than zero.
    DepositTaken,
    /// Deposits that were released: kept, or given back by a refund.
    DepositReleased,
    /// Rent that was charged.
    Rent,
    /// What was charged with the rent.
    Extra,
    /// What was charged once.
    OneOff,
    /// Late fees that were charged.
    LateFee,
    /// Charges that were taken back; less than zero.
    Voided,
    /// Concessions and waivers; less than zero.
    Concession,
    /// What had been charged and was not owed; less than zero.
    Correction,
    /// What will not be paid any more; less than zero.
    WriteOff,
}

names!(IncomePart {
    Received = "RECEIVED",
    Returned = "RETURNED",
    Refunded = "REFUNDED",
    DepositTaken = "DEPOSIT_TAKEN",
    DepositReleased = "DEPOSIT_RELEASED",
    Rent = "RENT",
    Extra = "EXTRA",
    OneOff = "ONE_OFF",
    LateFee = "LATE_FEE",
    Voided = "VOIDED",
    Concession = "CONCESSION",
    Correction = "CORRECTION",
    WriteOff = "WRITE_OFF",
});

impl Basis {
    /// The parts that income consists of.
    pub fn parts(self) -> &'static [IncomePart] {
        match self {
            Basis::Cash => &IncomePart::ALL[..5],
            Basis::Accrual => &IncomePart::ALL[5..],
        }
    }
}

/// A calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    // Invariant: the first day of a month.
    first: Date,
}

impl Month {
    /// The month that a day lies in.
    pub fn of(day: Date) -> Month {
        Month { first: day.first_of_month() }
    }

    /// Reads `YYYY-MM`, of the years that dates may have.
    pub fn parse(text: &str) -> Result<Month, Invalid> {
        let day = calendar::parse_date(&format!("{text}-01"));
        day.map(Month::of).map_err(|invalid| match invalid.code {
            "out_of_range" => invalid,
            _ => Invalid::new("malformed", "must be a month written YYYY-MM"),
        })
    }

    /// The twelve months of a year written `YYYY`.
    pub fn of_year(text: &str) -> Result<Vec<Month>, Invalid> {
        let january = Month::parse(&format!("{text}-01")).map_err(|invalid| match invalid.code {
            "out_of_range" => invalid,
            _ => Invalid::new("malformed", "must be a year written YYYY"),
        })?;
        Ok((0..12).map(|months| Month::of(calendar::add_months(january.first, months))).collect())
    }

    /// Its first day.
    pub fn first(self) -> Date {
        self.first
    }

    /// Its last day.
    pub fn last(self) -> Date {
        self.first.last_of_month()
    }

    /// As the number YYYYMM, which sorts as months do.
    pub fn number(self) -> i64 {
        calendar::date_to_number(self.first) / 100
    }

    /// Reads a number YYYYMM.
    pub fn from_number(number: i64) -> Result<Month, Invalid> {
        calendar::date_from_number(number * 100 + 1).map(Month::of)
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

/// `part` of `whole` in percent with two decimals, cut off and not rounded: what says `100.00` is all of it. None of nothing.
pub fn percent(part: i64, whole: i64) -> Option<String> {
    let basis_points = (i128::from(part) * 10_000).checked_div(i128::from(whole))?;
    let sign = if basis_points < 0 { "-" } else { "" };
    let magnitude = basis_points.unsigned_abs();
    Some(format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    fn age_of(due: Date, as_of: Date) -> Age {
        let fits = |age: &Age| age.begins(as_of).is_none_or(|first| first <= due);
        Age::ALL.into_iter().find(fits).unwrap()
    }

    #[rstest]
    #[case(date(2026, 3, 31), Age::UpTo30)]
    #[case(date(2026, 3, 1), Age::UpTo30)]
    #[case(date(2026, 2, 28), Age::UpTo60)]
    #[case(date(2026, 1, 30), Age::UpTo60)]
    #[case(date(2026, 1, 29), Age::UpTo90)]
    #[case(date(2025, 12, 31), Age::UpTo90)]
    #[case(date(2025, 12, 30), Age::Older)]
    #[case(date(2020, 1, 1), Age::Older)]
    fn what_is_due_today_is_due_since_no_days(#[case] due: Date, #[case] expected: Age) {
        assert_eq!(age_of(due, date(2026, 3, 31)), expected);
    }

    #[rstest]
    #[case(1, 1, Some("100.00"))]
    #[case(99_999_999, 100_000_000, Some("99.99"))]
    #[case(1, 3, Some("33.33"))]
    #[case(2, 3, Some("66.66"))]
    #[case(0, 5, Some("0.00"))]
    #[case(-1, 3, Some("-33.33"))]
    #[case(0, 0, None)]
    #[case(i64::MAX, i64::MAX, Some("100.00"))]
    fn a_rate_is_never_better_than_it_is(#[case] part: i64, #[case] whole: i64, #[case] expected: Option<&str>) {
        assert_eq!(percent(part, whole).as_deref(), expected);
    }

    #[rstest]
    #[case("2026-3", "malformed")]
    #[case("2026-13", "malformed")]
    #[case("2026-03-01", "malformed")]
    #[case("", "malformed")]
    #[case("1899-12", "out_of_range")]
    fn what_is_no_month_is_refused(#[case] text: &str, #[case] code: &str) {
        assert_eq!(Month::parse(text).unwrap_err().code, code);
    }

    #[test]
    fn a_month_is_written_as_it_is_read() {
        let month = Month::parse("2028-02").unwrap();
        assert_eq!((month.to_string().as_str(), month.number()), ("2028-02", 202_802));
        assert_eq!((month.first(), month.last()), (date(2028, 2, 1), date(2028, 2, 29)));
        assert_eq!(Month::from_number(202_802), Ok(month));
        let year = Month::of_year("2028").unwrap();
        assert_eq!((year.len(), year[0].first(), year[11].last()), (12, date(2028, 1, 1), date(2028, 12, 31)));
        assert_eq!(Month::of_year("28").unwrap_err().code, "malformed");
    }

    #[test]
    fn each_part_of_income_belongs_to_one_basis() {
        let parts: Vec<_> = Basis::ALL.iter().flat_map(|basis| basis.parts()).copied().collect();
        assert_eq!(parts, IncomePart::ALL);
        assert!(Basis::Accrual.parts().contains(&IncomePart::Rent) && Basis::Cash.parts().len() == 5);
    }
}
