//! What money each fact of a payment moves.

use super::{Change, Kind, Payment, Status};
use crate::ledger::{Account, Posting};

impl Payment {
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
