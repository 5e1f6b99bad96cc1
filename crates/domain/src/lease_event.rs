//! The facts of a lease's history, and what money they move.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::autopay::MandateStatus;
use crate::charge::{ChargeKind, ChargeNotice, CreditKind};
use crate::co_tenants::ShareTerms;
use crate::deposit::DepositRelease;
use crate::id::{ChargeId, EventId, LeaseId, PaymentId, UserId};
use crate::late_fee::LateFeeRule;
use crate::ledger::{Account, Posting};
use crate::money::{self, Amount};
use crate::names::names;
use crate::payment::{Actor, NewEvent, Reason};
use crate::policy::PolicySpan;
use crate::time::Instant;

/// One immutable fact: who, what, when, why.
///
/// Its JSON text is stored byte for byte as first written; the names here are therefore for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseEvent {
    /// Which fact.
    pub id: EventId,
    /// Whose history.
    pub lease_id: LeaseId,
    /// 1, 2, 3 … without gaps.
    pub sequence: i64,
    /// What happened.
    #[serde(flatten)]
    pub change: LeaseChange,
    /// When, in business time.
    pub occurred_at: Instant,
    /// Who.
    pub actor: Actor,
    /// The request that led to it, if one did.
    pub request_id: Option<String>,
    /// Why, where there is a why.
    pub reason: Option<Reason>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event_type", content = "change")]
pub enum LeaseChange {
    /// The lease was signed.
    #[serde(rename = "lease_entered")]
    Entered {
        /// The first day.
        starts_on: Date,
        /// The last day, if there is one.
        ends_on: Option<Date>,
        /// What a whole period costs.
        #[serde(with = "money::text")]
        rent: Amount,
    },
    /// It got an end, or an earlier one.
    #[serde(rename = "lease_terminated")]
    Terminated {
        /// The last day.
        ends_on: Date,
    },
    /// The rent changes.
    #[serde(rename = "rent_changed")]
    RentChanged {
        /// Periods that begin on this day or later cost the new rent.
        effective_on: Date,
        /// What a whole period costs then.
        #[serde(with = "money::text")]
        rent: Amount,
    },
    /// The renters share what is charged in another way.
    #[serde(rename = "shares_changed")]
    SharesChanged(ShareTerms),
    /// Something is charged with the rent from now on.
    #[serde(rename = "extra_added")]
    ExtraAdded {
        /// Which extra.
        extra_id: Uuid,
        /// What for.
        description: String,
        /// What a whole period costs.
        #[serde(with = "money::text")]
        amount: Amount,
        /// The first day.
        starts_on: Date,
        /// The last day, if there is one.
        ends_on: Option<Date>,
    },
    /// An extra got an end.
    #[serde(rename = "extra_ended")]
    ExtraEnded {
        /// Which extra.
        extra_id: Uuid,
        /// The last day.
        ends_on: Date,
    },
    /// The landlord chose which payments are taken.
    #[serde(rename = "payment_policy_changed")]
    PolicyChanged(PolicySpan),
    /// The landlord chose what late rent costs; nothing without a rule.
    #[serde(rename = "late_fee_rule_changed")]
    LateFeeRuleChanged {
        /// For rent that falls due on this day or later.
        effective_on: Date,
        /// What it costs.
        rule: Option<LateFeeRule>,
    },
    /// The landlord chose how early charges are shown.
    #[serde(rename = "charge_notice_changed")]
    ChargeNoticeChanged(ChargeNotice),
    /// The landlord charges something once.
    #[serde(rename = "charge_added")]
    ChargeAdded(PostedCharge),
    /// A charge fell due and is owed.
    #[serde(rename = "charge_posted")]
    ChargePosted(PostedCharge),
    /// A charge is not owed after all.
    #[serde(rename = "charge_voided")]
    ChargeVoided {
        /// Whether it was owed already.
        was_posted: bool,
        /// Which charge.
        charge_id: ChargeId,
        /// What it was for.
        kind: ChargeKind,
        /// What was charged.
        #[serde(with = "money::text")]
        amount: Amount,
    },
    /// The landlord forgoes money.
    #[serde(rename = "credit_granted")]
    CreditGranted {
        /// Which credit.
        credit_id: Uuid,
        /// Why.
        kind: CreditKind,
        /// How much.
        #[serde(with = "money::text")]
        amount: Amount,
        /// For which charge before all others, if for one.
        charge_id: Option<ChargeId>,
    },
    /// A renter signed a mandate for autopay, or changed whether it draws.
    #[serde(rename = "mandate_changed")]
    MandateChanged {
        /// Which mandate.
        mandate_id: Uuid,
        /// Whose.
        renter_id: UserId,
        /// How it stands now.
        status: MandateStatus,
    },
    /// A draw was announced to the renter.
    #[serde(rename = "draw_announced")]
    DrawAnnounced {
        /// By which mandate, for which charge date.
        #[serde(flatten)]
        draw: DrawName,
        /// When it is going to be made.
        draw_on: Date,
        /// How much.
        #[serde(with = "money::text")]
        amount: Amount,
    },
    /// A draw was made: there is a payment.
    #[serde(rename = "draw_made")]
    DrawMade {
        /// By which mandate, for which charge date.
        #[serde(flatten)]
        draw: DrawName,
        /// The payment.
        payment_id: PaymentId,
        /// How much.
        #[serde(with = "money::text")]
        amount: Amount,
    },
    /// A draw was not made, and will not be.
    #[serde(rename = "draw_missed")]
    DrawMissed(DrawName),
    /// The payment of a draw failed, came back or was cancelled.
    #[serde(rename = "draw_failed")]
    DrawFailed {
        /// By which mandate, for which charge date.
        #[serde(flatten)]
        draw: DrawName,
        /// The payment.
        payment_id: PaymentId,
    },
    /// Deposits are given up: kept, or returned.
    #[serde(rename = "deposit_released")]
    DepositReleased(DepositRelease),
}

/// What a draw is known by: there is one for each charge date of a mandate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrawName {
    /// By which mandate.
    pub mandate_id: Uuid,
    /// Who pays.
    pub renter_id: UserId,
    /// For which charge date.
    pub due_date: Date,
}

/// A charge as it was added or posted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostedCharge {
    /// Which charge.
    pub charge_id: ChargeId,
    /// What for.
    pub kind: ChargeKind,
    /// The first day that it pays for.
    pub period_start: Date,
    /// The last day that it pays for.
    pub period_end: Date,
    /// When it was due.
    pub due_date: Date,
    /// What is owed.
    #[serde(with = "money::text")]
    pub amount: Amount,
    /// In the landlord's words, if there are any.
    pub description: Option<String>,
}

/// The names of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEventType {
    /// See [`LeaseChange::Entered`].
    Entered,
    /// See [`LeaseChange::Terminated`].
    Terminated,
    /// See [`LeaseChange::RentChanged`].
    RentChanged,
    /// See [`LeaseChange::SharesChanged`].
    SharesChanged,
    /// See [`LeaseChange::ExtraAdded`].
    ExtraAdded,
    /// See [`LeaseChange::ExtraEnded`].
    ExtraEnded,
    /// See [`LeaseChange::PolicyChanged`].
    PolicyChanged,
    /// See [`LeaseChange::LateFeeRuleChanged`].
    LateFeeRuleChanged,
    /// See [`LeaseChange::ChargeNoticeChanged`].
    ChargeNoticeChanged,
    /// See [`LeaseChange::ChargeAdded`].
    ChargeAdded,
    /// See [`LeaseChange::ChargePosted`].
    ChargePosted,
    /// See [`LeaseChange::ChargeVoided`].
    ChargeVoided,
    /// See [`LeaseChange::CreditGranted`].
    CreditGranted,
    /// See [`LeaseChange::MandateChanged`].
    MandateChanged,
    /// See [`LeaseChange::DrawAnnounced`].
    DrawAnnounced,
    /// See [`LeaseChange::DrawMade`].
    DrawMade,
    /// See [`LeaseChange::DrawMissed`].
    DrawMissed,
    /// See [`LeaseChange::DrawFailed`].
    DrawFailed,
    /// See [`LeaseChange::DepositReleased`].
    DepositReleased,
}

names!(LeaseEventType {
    Entered = "lease_entered",
    Terminated = "lease_terminated",
    RentChanged = "rent_changed",
    SharesChanged = "shares_changed",
    ExtraAdded = "extra_added",
    ExtraEnded = "extra_ended",
    PolicyChanged = "payment_policy_changed",
    LateFeeRuleChanged = "late_fee_rule_changed",
    ChargeNoticeChanged = "charge_notice_changed",
    ChargeAdded = "charge_added",
    ChargePosted = "charge_posted",
    ChargeVoided = "charge_voided",
    CreditGranted = "credit_granted",
    MandateChanged = "mandate_changed",
    DrawAnnounced = "draw_announced",
    DrawMade = "draw_made",
    DrawMissed = "draw_missed",
    DrawFailed = "draw_failed",
    DepositReleased = "deposit_released",
});

impl LeaseChange {
    /// Its name.
    pub fn event_type(&self) -> LeaseEventType {
        match self {
            LeaseChange::Entered { .. } => LeaseEventType::Entered,
            LeaseChange::Terminated { .. } => LeaseEventType::Terminated,
            LeaseChange::RentChanged { .. } => LeaseEventType::RentChanged,
            LeaseChange::SharesChanged(_) => LeaseEventType::SharesChanged,
            LeaseChange::ExtraAdded { .. } => LeaseEventType::ExtraAdded,
            LeaseChange::ExtraEnded { .. } => LeaseEventType::ExtraEnded,
            LeaseChange::PolicyChanged(_) => LeaseEventType::PolicyChanged,
            LeaseChange::LateFeeRuleChanged { .. } => LeaseEventType::LateFeeRuleChanged,
            LeaseChange::ChargeNoticeChanged(_) => LeaseEventType::ChargeNoticeChanged,
            LeaseChange::ChargeAdded(_) => LeaseEventType::ChargeAdded,
            LeaseChange::ChargePosted(_) => LeaseEventType::ChargePosted,
            LeaseChange::ChargeVoided { .. } => LeaseEventType::ChargeVoided,
            LeaseChange::CreditGranted { .. } => LeaseEventType::CreditGranted,
            LeaseChange::MandateChanged { .. } => LeaseEventType::MandateChanged,
            LeaseChange::DrawAnnounced { .. } => LeaseEventType::DrawAnnounced,
            LeaseChange::DrawMade { .. } => LeaseEventType::DrawMade,
            LeaseChange::DrawMissed(_) => LeaseEventType::DrawMissed,
            LeaseChange::DrawFailed { .. } => LeaseEventType::DrawFailed,
            LeaseChange::DepositReleased(_) => LeaseEventType::DepositReleased,
        }
    }

    /// The posting of this fact of `lease` ("Ledger" in the domain rules); none where no money is owed or let off.
    pub fn posting(&self, lease: LeaseId) -> Option<Posting> {
        let owed = Account::Receivable(lease);
        let earned = |kind| match kind {
            ChargeKind::Rent | ChargeKind::Extra | ChargeKind::OneOff | ChargeKind::LateFee => {
                Some(Account::Income(lease))
            }
            ChargeKind::Deposit => Some(Account::Deposit(lease)),
            // The refund has postings of its own.
            ChargeKind::Payout => None,
        };
        let (debit, credit, amount) = match self {
            LeaseChange::ChargePosted(posted) => (owed, earned(posted.kind)?, posted.amount),
            LeaseChange::ChargeVoided { was_posted: true, kind, amount, .. } => (earned(*kind)?, owed, *amount),
            LeaseChange::CreditGranted { kind, amount, .. } => {
                let forgone = match kind {
                    CreditKind::Concession | CreditKind::Waiver => Account::Concession(lease),
                    CreditKind::WriteOff => Account::BadDebt(lease),
                    CreditKind::Correction => Account::Income(lease),
                };
                (forgone, owed, *amount)
            }
            LeaseChange::DepositReleased(release) => (Account::Deposit(lease), owed, release.amount),
            LeaseChange::Entered { .. }
            | LeaseChange::Terminated { .. }
            | LeaseChange::RentChanged { .. }
            | LeaseChange::SharesChanged(_)
            | LeaseChange::MandateChanged { .. }
            | LeaseChange::DrawAnnounced { .. }
            | LeaseChange::DrawMade { .. }
            | LeaseChange::DrawMissed(_)
            | LeaseChange::DrawFailed { .. }
            | LeaseChange::ExtraAdded { .. }
            | LeaseChange::ExtraEnded { .. }
            | LeaseChange::PolicyChanged(_)
            | LeaseChange::LateFeeRuleChanged { .. }
            | LeaseChange::ChargeNoticeChanged(_)
            | LeaseChange::ChargeAdded(_)
            | LeaseChange::ChargeVoided { was_posted: false, .. } => return None,
        };
        Some(Posting { debit, credit, amount })
    }
}

impl LeaseEvent {
    /// The event `sequence` of `lease`: `change` as of `new`.
    pub fn new(
        lease_id: LeaseId,
        sequence: i64,
        change: LeaseChange,
        reason: Option<Reason>,
        new: NewEvent,
    ) -> LeaseEvent {
        let NewEvent { id, occurred_at, actor, request_id } = new;
        LeaseEvent { id, lease_id, sequence, change, occurred_at, actor, request_id, reason }
    }
}
