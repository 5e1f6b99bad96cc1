//! Refunds that name the payment whose money they give back.
//!
//! All refunds of one payment that are on their way or settled are promised: together they never exceed what it settled. What
//! fails, comes back or is withdrawn is promised no more; whoever tries it again promises it again. What paid for a deposit is
//! not refunded: the deposit's return gives it back, and both would give it back twice.

use super::{Change, Kind, Payment, Status};
use crate::id::{BankAccountId, LeaseId, PaymentId, UserId};
use crate::invalid::Invalid;
use crate::money::{Amount, format_minor};
use crate::rail::Rail;

/// What has to be known of a payment to give its money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refundable {
    /// Which payment.
    pub id: PaymentId,
    /// On which lease.
    pub lease_id: LeaseId,
    /// Only rent is given back.
    pub kind: Kind,
    /// Where it stands.
    pub status: Status,
    /// How it moved: so its refunds move, unless they say otherwise.
    pub rail: Rail,
    /// Who paid it, and gets the money back.
    pub payer_id: UserId,
    /// Where it came from: its refunds go there, unless they say otherwise.
    pub payer_account_id: BankAccountId,
    /// What it settled.
    pub settled: Amount,
    /// What its refunds on their way or settled come to, in minor units.
    pub promised_minor: i64,
    /// What of it paid for deposits, in minor units: these go back by their return, or are voided.
    pub for_deposits_minor: i64,
}

impl Refundable {
    /// What can still be given back, in minor units.
    pub fn left_minor(&self) -> i64 {
        (self.settled.minor() - self.promised_minor - self.for_deposits_minor).max(0)
    }

    /// Why nothing of it is given back now.
    pub fn objection(&self) -> Option<Invalid> {
        if self.kind != Kind::Rent {
            return Some(Invalid::new("not_rent", "is a refund itself; only rent is refunded"));
        }
        let status = self.status;
        (status != Status::Completed)
            .then(|| Invalid::new("not_settled", format!("is {status}; only a COMPLETED payment is refunded")))
    }

    /// Why so much of it is not given back.
    pub fn shortfall(&self, amount: Amount) -> Option<Invalid> {
        (self.left_minor() < amount.minor()).then(|| {
            let money = |minor| format_minor(minor, self.settled.currency());
            let left = money(self.left_minor());
            let mut detail = format!("is more than the {left} that can still be refunded");
            if 0 < self.for_deposits_minor {
                let held = money(self.for_deposits_minor);
                detail.push_str(&format!("; {held} of it paid for a deposit, which is returned or voided instead"));
            }
            Invalid::new("more_than_refundable", detail)
        })
    }

    /// Promises `amount` of it, or says why not.
    pub fn promise(&mut self, amount: Amount) -> Result<(), Invalid> {
        match self.objection().or_else(|| self.shortfall(amount)) {
            Some(objection) => Err(objection),
            None => {
                self.promised_minor += amount.minor();
                Ok(())
            }
        }
    }
}

impl Status {
    /// Whether a refund that stands here counts against what the payment settled.
    pub fn is_promised(self) -> bool {
        match self {
            Status::Pending | Status::Processing | Status::Completed => true,
            Status::Failed | Status::Returned | Status::Cancelled => false,
        }
    }
}

impl Payment {
    /// By how many minor units `change` changes what is promised back of the payment that this one refunds, given this one as
    /// it stood before it.
    pub fn promises(&self, change: &Change) -> i64 {
        let is_promised = |status: Status| i64::from(status.is_promised());
        let before = match change {
            Change::Initiated(_) => 0,
            Change::Processing { .. }
            | Change::RetryScheduled { .. }
            | Change::RetryRequested { .. }
            | Change::Completed
            | Change::Failed
            | Change::Returned
            | Change::Cancelled => is_promised(self.status),
        };
        self.terms.amount.minor() * (is_promised(change.status()) - before)
    }
}
