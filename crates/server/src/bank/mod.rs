//! The bank: what we may ask of it, whoever it is.

pub mod sandbox;
pub mod simulator;

use std::future::Future;

use directpay_domain::api_key::Mode;
use directpay_domain::bank_account::{AccountNumber, AccountType};
use directpay_domain::money::Amount;
use directpay_domain::payment::{Reason, Reference};
use directpay_domain::rail::Rail;

/// A bank account as the bank must know it: the one place outside of the vault where a number stands in clear.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What may be written down of it.
    pub token: String,
    /// ABA routing number.
    pub routing_number: String,
    /// The number; its `Debug` does not show it.
    pub number: AccountNumber,
    /// Checking or savings.
    pub account_type: AccountType,
    /// In whose name.
    pub holder_name: String,
}

/// An instruction to move money.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Its name; the bank takes each name once.
    pub reference: Reference,
    /// How.
    pub rail: Rail,
    /// How much.
    pub amount: Amount,
    /// From where.
    pub payer: Endpoint,
    /// To where.
    pub payee: Endpoint,
}

/// What the bank says to an instruction that is handed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It has it; what becomes of it is told later.
    Accepted,
    /// It has it and has carried it out, as instant rails do while the sender waits; `collect` will not tell it.
    Settled,
    /// It has had it before; what became of it has to be asked.
    AlreadySeen,
    /// It surely does not have it: no connection, or "not now".
    NotNow(Reason),
    /// The answer was lost; it may or may not have it.
    Unknown,
}

/// Whether the bank has an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// It has it; what becomes of it is told in time.
    Seen,
    /// It has it and has carried it out.
    Settled,
    /// It never saw it.
    NeverSeen,
}

/// What became of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BankOutcome {
    /// The money moved.
    Settled,
    /// It did not and will not.
    Refused(Reason),
    /// It was taken back.
    Returned(Reason),
}

/// One thing that the bank tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its place in what the bank tells; the next collection starts behind it.
    pub position: i64,
    /// Of which instruction.
    pub reference: Reference,
    /// What became of it.
    pub outcome: BankOutcome,
}

/// Whose time a bank lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BankTime {
    /// Our business time, which may be moved.
    Ours,
    /// The world's: to move ours would only part us from the bank.
    Real,
}

/// The bank could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the bank did not answer")]
pub struct BankSilent(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A connection to a bank.
///
/// No call happens inside a database transaction of ours, and every call may be repeated.
pub trait BankConnection: Send + Sync + 'static {
    /// Under which name our cursor into its notices is kept.
    fn name(&self) -> &'static str;

    /// Whose time it lives in.
    fn time(&self) -> BankTime;

    /// Whether it moves money.
    fn mode(&self) -> Mode;

    /// Hands over a batch; one receipt for each instruction, in their order.
    fn submit(&self, batch: &[Instruction]) -> impl Future<Output = Result<Vec<Receipt>, BankSilent>> + Send;

    /// Asks for instructions by reference; one answer for each, in their order.
    fn inquire(&self, references: &[Reference]) -> impl Future<Output = Result<Vec<Sighting>, BankSilent>> + Send;

    /// What the bank tells after `position`, in its order, at most `limit` notices.
    fn collect(&self, position: i64, limit: usize) -> impl Future<Output = Result<Vec<Notice>, BankSilent>> + Send;
}
