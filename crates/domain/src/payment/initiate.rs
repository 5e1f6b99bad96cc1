//! The first fact of a payment: who may pay whom, from where to where, how much and by which rail.

use super::event::Initiated;
use super::{AccountSnapshot, Change, Circumstances, Event, Kind, NewEvent, Omitted, Payment, Snapshot, Terms};
use crate::id::{BankAccountId, LeaseId, PaymentId, UserId};
use crate::idempotency::IdempotencyKey;
use crate::invalid::Invalid;
use crate::metadata::Metadata;
use crate::money::{Amount, Currency, format_minor};
use crate::rail::Rail;

/// A request to pay, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Initiation {
    /// Who asks: the payer.
    pub initiated_by: UserId,
    /// The caller's name for the request.
    pub idempotency_key: IdempotencyKey,
    /// On which lease.
    pub lease_id: LeaseId,
    /// How much.
    pub amount: Amount,
    /// By which rail; an omitted one is the default.
    pub rail: Rail,
    /// From which account; else the payer's primary.
    pub payer_account_id: Option<BankAccountId>,
    /// To which account; else the lease's receiving account or the other party's primary.
    pub payee_account_id: Option<BankAccountId>,
    /// In which currency; else the lease's.
    pub currency: Option<Currency>,
    /// The caller's notes.
    pub metadata: Option<Metadata>,
}

/// What has to be known of a lease to pay on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseParties {
    /// Which lease.
    pub id: LeaseId,
    /// Who lets.
    pub landlord_id: UserId,
    /// Who rents.
    pub renter_ids: Vec<UserId>,
    /// What the lease is reckoned in.
    pub currency: Currency,
    /// Where the landlord wants the money, if not on the primary account.
    pub payee_account_id: Option<BankAccountId>,
    /// Which rent the landlord takes now.
    pub acceptance: Acceptance,
}

/// Which rent a landlord takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Any.
    Any,
    /// What brings the balance down to nothing.
    FullBalance {
        /// What is owed and not on its way, in minor units.
        owed_minor: i64,
    },
    /// None.
    Nothing,
}

impl Acceptance {
    /// Why rent of `amount` is not taken, and the field of the request to blame.
    pub fn objection(self, amount: Amount) -> Option<FieldError> {
        match self {
            Acceptance::Any => None,
            Acceptance::FullBalance { owed_minor } if owed_minor <= amount.minor() => None,
            Acceptance::FullBalance { owed_minor } => {
                let owed = format_minor(owed_minor, amount.currency());
                let detail = format!("is less than the {owed} that are owed, and the landlord takes no part payments");
                Some(("amount", Invalid::new("not_full_balance", detail)))
            }
            Acceptance::Nothing => {
                let detail = "takes no payments now; ask the landlord";
                Some(("lease_id", Invalid::new("payments_blocked", detail)))
            }
        }
    }
}

/// What has to be known of a bank account to pay with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStanding {
    /// Whose it is.
    pub owner_id: UserId,
    /// What the history may show of it.
    pub snapshot: AccountSnapshot,
    /// Whether it takes part in new payments.
    pub is_active: bool,
    /// Whether it is the owner's default.
    pub is_primary: bool,
    /// The return code that closed it, if one did.
    pub closed_by: Option<String>,
}

/// A broken rule and the field of the request that breaks it.
pub type FieldError = (&'static str, Invalid);

impl Initiation {
    /// Whether `payment` is what this request asks for: then a repetition is answered with it.
    pub fn is_repeated_by(&self, payment: &Payment) -> bool {
        let terms = &payment.terms;
        self.lease_id == terms.lease_id
            && self.amount == terms.amount
            && self.rail == terms.rail
            && self.omitted() == terms.omitted
            && self.payer_account_id.is_none_or(|id| id == terms.payer.account_id)
            && self.payee_account_id.is_none_or(|id| id == terms.payee.account_id)
            && self.currency.is_none_or(|currency| currency == terms.amount.currency())
            && self.metadata.as_ref().is_none_or(|metadata| *metadata == terms.metadata)
    }

    /// Judges the request and makes the payment and its first event.
    ///
    /// `lease` is the lease named by the request, if there is one; `accounts` holds at least the accounts named by the request
    /// and by the lease and the primary accounts of everybody on the lease. All broken rules come at once.
    pub fn decide(
        &self,
        id: PaymentId,
        lease: Option<&LeaseParties>,
        accounts: &[AccountStanding],
        at: Circumstances,
        new: NewEvent,
    ) -> Result<(Payment, Event), Vec<FieldError>> {
        let parties = lease.and_then(|lease| Some((lease, self.kind_on(lease)?)));
        let Some((lease, kind)) = parties else {
            return Err(vec![("lease_id", Invalid::new("not_found", "is no lease of yours"))]);
        };
        let payer = self.payer(accounts);
        let payee = self.payee(lease, kind, accounts);
        let mut errors = self.money_errors(lease);
        if kind == Kind::Rent && errors.is_empty() {
            errors.extend(lease.acceptance.objection(self.amount));
        }
        match (payer, payee) {
            (Ok(payer), Ok(payee)) if errors.is_empty() => Ok(self.first_event(id, lease, kind, payer, payee, at, new)),
            (payer, payee) => {
                errors.extend(payer.err().map(|invalid| ("payer_account_id", invalid)));
                errors.extend(payee.err().map(|invalid| ("payee_account_id", invalid)));
                Err(errors)
            }
        }
    }

    fn omitted(&self) -> Omitted {
        Omitted {
            payer_account_id: self.payer_account_id.is_none(),
            payee_account_id: self.payee_account_id.is_none(),
            currency: self.currency.is_none(),
            metadata: self.metadata.is_none(),
        }
    }

    /// A renter pays rent, the landlord a refund; anybody else has no business here.
    fn kind_on(&self, lease: &LeaseParties) -> Option<Kind> {
        if lease.renter_ids.contains(&self.initiated_by) {
            Some(Kind::Rent)
        } else if lease.landlord_id == self.initiated_by {
            Some(Kind::Refund)
        } else {
            None
        }
    }

    fn money_errors(&self, lease: &LeaseParties) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.amount.currency() != lease.currency {
            errors.push(("currency", Invalid::new("differs_from_lease", "is not the lease's currency")));
        } else if !self.rail.carries(self.amount.currency()) {
            errors.push(("currency", Invalid::new("currency_not_carried", "is not carried by this rail")));
        } else if !self.rail.allows(self.amount) {
            let detail = format!("is more than one payment by {} may carry", self.rail);
            errors.push(("amount", Invalid::new("over_rail_limit", detail)));
        }
        errors
    }

    fn payer<'a>(&self, accounts: &'a [AccountStanding]) -> Result<&'a AccountStanding, Invalid> {
        match self.payer_account_id {
            Some(id) => usable(named(accounts, id, |owner| owner == self.initiated_by)?),
            None => usable(primary(accounts, self.initiated_by, "no account given and you have no primary account")?),
        }
    }

    fn payee<'a>(
        &self,
        lease: &LeaseParties,
        kind: Kind,
        accounts: &'a [AccountStanding],
    ) -> Result<&'a AccountStanding, Invalid> {
        let is_other_party = |owner: UserId| match kind {
            Kind::Rent => owner == lease.landlord_id,
            Kind::Refund => lease.renter_ids.contains(&owner),
        };
        let receiving = match kind {
            Kind::Rent => lease.payee_account_id,
            Kind::Refund => None,
        };
        match (self.payee_account_id.or(receiving), kind, lease.renter_ids.as_slice()) {
            (Some(id), _, _) => usable(named(accounts, id, is_other_party)?),
            (None, Kind::Rent, _) => usable(primary(accounts, lease.landlord_id, NO_PAYEE)?),
            (None, Kind::Refund, [only]) => usable(primary(accounts, *only, NO_PAYEE)?),
            (None, Kind::Refund, _) => Err(Invalid::new("required", "name the account of the renter to be refunded")),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place that puts together what the others have found")]
    fn first_event(
        &self,
        id: PaymentId,
        lease: &LeaseParties,
        kind: Kind,
        payer: &AccountStanding,
        payee: &AccountStanding,
        at: Circumstances,
        new: NewEvent,
    ) -> (Payment, Event) {
        let terms = Terms {
            id,
            lease_id: self.lease_id,
            landlord_id: lease.landlord_id,
            kind,
            initiated_by: self.initiated_by,
            payee_id: payee.owner_id,
            payer: payer.snapshot.clone(),
            payee: payee.snapshot.clone(),
            amount: self.amount,
            rail: self.rail,
            idempotency_key: self.idempotency_key.clone(),
            metadata: self.metadata.clone().unwrap_or_default(),
            omitted: self.omitted(),
            initiated_at: at.now,
        };
        let estimated_settlement_at = at.now.plus_micros(self.rail.simulated_delay_us(id, 1, at.scale));
        let payment = Payment::from_first(terms, estimated_settlement_at);
        let event = first_event_of(&payment, new);
        (payment, event)
    }
}

fn first_event_of(payment: &Payment, new: NewEvent) -> Event {
    let terms = &payment.terms;
    let initiated = Initiated {
        kind: terms.kind,
        landlord_id: terms.landlord_id,
        payee_id: terms.payee_id,
        initiated_by: terms.initiated_by,
        idempotency_key: terms.idempotency_key.clone(),
        notes: terms.metadata.clone(),
        omitted: terms.omitted,
        estimated_settlement_at: payment.estimated_settlement_at,
    };
    Event {
        id: new.id,
        payment_id: terms.id,
        sequence: payment.version,
        change: Change::Initiated(Box::new(initiated)),
        previous_status: None,
        status: payment.status,
        occurred_at: terms.initiated_at,
        actor: new.actor,
        request_id: new.request_id,
        reason: None,
        metadata: Snapshot::of(payment),
    }
}

const NO_PAYEE: &str = "no account given and the other party has no account to receive with";

/// The account `id` if it belongs to whom it has to; anybody else's does not exist for the caller.
fn named(
    accounts: &[AccountStanding],
    id: BankAccountId,
    is_owner: impl Fn(UserId) -> bool,
) -> Result<&AccountStanding, Invalid> {
    accounts
        .iter()
        .find(|account| account.snapshot.account_id == id && is_owner(account.owner_id))
        .ok_or_else(|| Invalid::new("not_found", "is no account that this payment can use"))
}

fn primary<'a>(
    accounts: &'a [AccountStanding],
    owner: UserId,
    missing: &'static str,
) -> Result<&'a AccountStanding, Invalid> {
    accounts
        .iter()
        .find(|account| account.owner_id == owner && account.is_primary)
        .ok_or_else(|| Invalid::new("required", missing))
}

fn usable(account: &AccountStanding) -> Result<&AccountStanding, Invalid> {
    if !account.is_active {
        return Err(Invalid::new("inactive", "is deactivated"));
    }
    match &account.closed_by {
        Some(code) => Err(Invalid::new("account_unusable", format!("was closed by a return ({code}); link it anew"))),
        None => Ok(account),
    }
}
