//! What money each fact of a payment moves.

use super::{Change, Kind, Payment, Status};
use crate::ledger::{Account, Posting};

/// What a fact of a payment does to what its lease owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Rent is on its way: it pays for charges.
    Received,
    /// It is not: what it paid for is open again.
    TakenBack,
    /// A refund is on its way: it uses up credit, or is owed back.
    PaidOut,
    /// It is not.
    NotPaidOut,
}

impl Payment {
    /// What `change` does to what the lease owes, given the payment as it stood before it.
    pub fn effect(&self, change: &Change) -> Option<Effect> {
        let is_credited = match (change, self.status) {
            (Change::Processing { .. }, _) => true,
            (Change::Failed | Change::RetryScheduled { .. }, Status::Processing) | (Change::Returned, _) => false,
            (
                Change::Failed
                | Change::RetryScheduled { .. }
                | Change::Initiated(_)
                | Change::RetryRequested { .. }
                | Change::Completed
                | Change::Cancelled,
                _,
            ) => return None,
        };
        Some(match (self.terms.kind, is_credited) {
            (Kind::Rent, true) => Effect::Received,
            (Kind::Rent, false) => Effect::TakenBack,
            (Kind::Refund, true) => Effect::PaidOut,
            (Kind::Refund, false) => Effect::NotPaidOut,
        })
    }

    /// The postings of `change`, given the payment as it stood before it ("Ledger" in the domain rules).
    pub fn postings(&self, change: &Change) -> Vec<Posting> {
        let terms = &self.terms;
        let clearing = Account::Clearing(terms.rail);
        let owed = Account::Receivable(terms.lease_id);
        // The landlord's books: cash is where the landlord's money arrived, or left from.
        let cash = match terms.kind {
            Kind::Rent => Account::Cash(terms.payee.account_id),
            Kind::Refund => Account::Cash(terms.payer.account_id),
        };
        let (debit, credit) = match (change, self.status) {
            (Change::Processing { .. }, _) => (clearing, owed),
            (Change::Completed, _) => (cash, clearing),
            (Change::Failed | Change::RetryScheduled { .. }, Status::Processing) => (owed, clearing),
            (Change::Returned, _) => (owed, cash),
            (
                Change::Failed
                | Change::RetryScheduled { .. }
                | Change::Initiated(_)
                | Change::RetryRequested { .. }
                | Change::Cancelled,
                _,
            ) => return Vec::new(),
        };
        let amount = terms.amount;
        match terms.kind {
            Kind::Rent => vec![Posting { debit, credit, amount }],
            Kind::Refund => vec![Posting { debit: credit, credit: debit, amount }],
        }
    }
}
