//! Double entry, per landlord and currency.

use std::fmt;

use crate::id::{BankAccountId, LeaseId};
use crate::money::Amount;
use crate::rail::Rail;

/// An account of a landlord's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// Money on its way by a rail.
    Clearing(Rail),
    /// What the renters of a lease owe; negative while they are ahead.
    Receivable(LeaseId),
    /// Money in one of the landlord's bank accounts that came or went through DirectPay.
    Cash(BankAccountId),
    /// What a lease earned: rent, extras, fees.
    Income(LeaseId),
    /// Deposits of a lease: owed to its renters until they are kept or returned.
    Deposit(LeaseId),
    /// What the landlord of a lease let its renters off.
    Concession(LeaseId),
    /// What the renters of a lease will not pay any more.
    BadDebt(LeaseId),
}

/// How the database names an account: `clearing:WIRE`, `receivable:<lease>`, `cash:<bank account>`, and so on.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Clearing(rail) => write!(f, "clearing:{rail}"),
            Account::Receivable(lease) => write!(f, "receivable:{lease}"),
            Account::Cash(account) => write!(f, "cash:{account}"),
            Account::Income(lease) => write!(f, "income:{lease}"),
            Account::Deposit(lease) => write!(f, "deposit:{lease}"),
            Account::Concession(lease) => write!(f, "concession:{lease}"),
            Account::BadDebt(lease) => write!(f, "bad_debt:{lease}"),
        }
    }
}

/// One amount moved from one account to another.
///
/// Debit and credit stand in one value, so that a journal entry, which is a list of these, always sums to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The account that is debited.
    pub debit: Account,
    /// The account that is credited.
    pub credit: Account,
    /// How much, always positive.
    pub amount: Amount,
}
