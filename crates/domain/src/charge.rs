//! What a lease charges, and what takes a charge back.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::id::ChargeId;
use crate::invalid::Invalid;
use crate::names::names;

/// What a charge is for, in the order in which money pays for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChargeKind {
    /// Money that the landlord paid out to a renter and that no payment had brought: it is owed back, or uses up credit.
    Payout,
    /// The rent of a period.
    Rent,
    /// What recurs with the rent: parking, a pet.
    Extra,
    /// What is charged once.
    OneOff,
    /// Security for the landlord: a debt to the renter, no income.
    Deposit,
    /// For rent that is late.
    LateFee,
}

names!(ChargeKind {
    Payout = "PAYOUT",
    Rent = "RENT",
    Extra = "EXTRA",
    OneOff = "ONE_OFF",
    Deposit = "DEPOSIT",
    LateFee = "LATE_FEE",
});

/// A charge's place in the order in which money pays for charges: rent first, the oldest first, then what recurs with it,
/// then what is charged once, then fees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    rank: u8,
    due_date: Date,
    id: ChargeId,
    is_deposit: bool,
}

impl Place {
    /// The place of the charge `id`.
    pub fn new(kind: ChargeKind, due_date: Date, id: ChargeId) -> Place {
        let rank = match kind {
            // What was paid out without a payment to refund was meant to come out of credit.
            ChargeKind::Payout => 0,
            ChargeKind::Rent => RENT_RANK,
            ChargeKind::Extra => 2,
            ChargeKind::OneOff | ChargeKind::Deposit => 3,
            ChargeKind::LateFee => 4,
        };
        Place { rank, due_date, id, is_deposit: kind == ChargeKind::Deposit }
    }

    /// Whether credit pays for it by itself: for rent, and for what was paid out of it. For anything else somebody has to pay.
    pub fn draws_on_credit(self) -> bool {
        self.rank <= RENT_RANK
    }

    /// Whether the charge is a deposit: money that stays the renters'.
    pub fn is_deposit(self) -> bool {
        self.is_deposit
    }

    /// When the charge is due.
    pub fn due_date(self) -> Date {
        self.due_date
    }

    /// Whose place it is.
    pub fn id(self) -> ChargeId {
        self.id
    }
}

/// The rank of rent in the order.
const RENT_RANK: u8 = 1;

/// How many days before its due date a charge is shown as one of those to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeNotice {
    days: i64,
}

impl ChargeNotice {
    const DAYS_MAX: i64 = 90;

    /// Checks a number from outside; anything but 0 to 90 is `out_of_range`.
    pub fn parse(days: i64) -> Result<ChargeNotice, Invalid> {
        if !(0..=ChargeNotice::DAYS_MAX).contains(&days) {
            return Err(Invalid::new("out_of_range", "must be 0 to 90 days"));
        }
        Ok(ChargeNotice { days })
    }

    /// The number of days.
    pub fn days(self) -> i64 {
        self.days
    }

    /// The last due date of which the charges are shown on `today`.
    pub fn through(self, today: Date) -> Date {
        today.saturating_add(self.days.days())
    }
}

impl Default for ChargeNotice {
    /// Two weeks: a renter who is paid every other week sees the rent before the last pay day.
    fn default() -> ChargeNotice {
        ChargeNotice { days: 14 }
    }
}

/// Why a landlord forgoes money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CreditKind {
    /// Given to the renter: a discount, a free week.
    Concession,
    /// A charge, most often a late fee, is let off.
    Waiver,
    /// Will not be paid any more.
    WriteOff,
    /// Part of a posted charge was not owed: the last period of a lease that ended earlier.
    Correction,
}

names!(CreditKind {
    Concession = "CONCESSION",
    Waiver = "WAIVER",
    WriteOff = "WRITE_OFF",
    Correction = "CORRECTION",
});

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, Some(date(2026, 2, 20)))]
    #[case(14, Some(date(2026, 3, 6)))]
    #[case(90, Some(date(2026, 5, 21)))]
    #[case(-1, None)]
    #[case(91, None)]
    fn a_charge_is_shown_up_to_ninety_days_ahead(#[case] days: i64, #[case] through: Option<Date>) {
        let notice = ChargeNotice::parse(days).ok();
        assert_eq!(notice.map(|notice| notice.through(date(2026, 2, 20))), through);
    }

    #[test]
    fn a_charge_is_shown_two_weeks_ahead_unless_somebody_says_otherwise() {
        assert_eq!(ChargeNotice::default().days(), 14);
        assert_eq!(ChargeNotice::default().through(Date::MAX), Date::MAX);
    }
}
