//! What a lease charges, and what takes a charge back.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::id::ChargeId;
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
        Place { rank, due_date, id }
    }

    /// Whether credit pays for it by itself: for rent, and for what was paid out of it. For anything else somebody has to pay.
    pub fn draws_on_credit(self) -> bool {
        self.rank <= RENT_RANK
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
