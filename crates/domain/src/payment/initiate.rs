//! The first fact of a payment: who may pay whom, from where to where, how much and by which rail.

use super::event::Initiated;
use super::{
    AccountSnapshot, Change, Circumstances, Event, Kind, NewEvent, Omitted, Payment, Refundable, Snapshot, Terms,
};
use crate::bank_account::check_usable;
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
    /// By which rail; else that of the payment that is refunded, or the default.
    pub rail: Option<Rail>,
    /// From which account; else the payer's primary.
    pub payer_account_id: Option<BankAccountId>,
    /// To which account; else the lease's receiving account, the one that the payment came from that is refunded, or the
    /// other party's primary.
    pub payee_account_id: Option<BankAccountId>,
    /// To which renter a refund goes; else to who paid what is refunded, or the only renter.
    pub payee_id: Option<UserId>,
    /// Which payment a refund gives back, if one.
    pub refund_of: Option<PaymentId>,
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
            && (self.omitted().rail || self.rail.unwrap_or(Rail::DEFAULT) == terms.rail)
            && self.omitted() == terms.omitted
            && self.refund_of == terms.refund_of
            && self.payee_id.is_none_or(|id| id == terms.payee_id)
            && self.payer_account_id.is_none_or(|id| id == terms.payer.account_id)
            && self.payee_account_id.is_none_or(|id| id == terms.payee.account_id)
            && self.currency.is_none_or(|currency| currency == terms.amount.currency())
            && self.metadata.as_ref().is_none_or(|metadata| *metadata == terms.metadata)
    }

    /// Judges the request and makes the payment and its first event.
    ///
    /// `lease` is the lease named by the request, if there is one, and `refunded` the payment; `accounts` holds at least the
    /// accounts named by the request, by the lease and by that payment, and the primary accounts of everybody on the lease. All
    /// broken rules come at once.
    pub fn decide(
        &self,
        id: PaymentId,
        lease: Option<&LeaseParties>,
        refunded: Option<&Refundable>,
        accounts: &[AccountStanding],
        at: Circumstances,
        new: NewEvent,
    ) -> Result<(Payment, Event), Vec<FieldError>> {
        let parties = lease.and_then(|lease| Some((lease, self.kind_on(lease)?)));
        let Some((lease, kind)) = parties else {
            return Err(vec![("lease_id", Invalid::new("not_found", "is no lease of yours"))]);
        };
        let (refunded, mut errors) = self.refunded(lease, kind, refunded);
        let rail = self.rail.unwrap_or_else(|| refunded.map_or(Rail::DEFAULT, |payment| payment.rail));
        errors.extend(self.money_errors(lease, rail));
        if kind == Kind::Rent && errors.is_empty() {
            errors.extend(lease.acceptance.objection(self.amount));
        }
        let payer = self.payer(accounts).map_err(|invalid| errors.push(("payer_account_id", invalid))).ok();
        // Whose money it was is not known where there is no such payment.
        let payee = if self.refund_of.is_some() && refunded.is_none() {
            None
        } else {
            self.payee(lease, kind, refunded, accounts).map_err(|error| errors.push(error)).ok()
        };
        match (payer, payee) {
            (Some(payer), Some(payee)) if errors.is_empty() => {
                let between = Between { kind, landlord_id: lease.landlord_id, payer, payee, rail };
                Ok(self.first_event(id, between, at, new))
            }
            (_, _) => Err(errors),
        }
    }

    /// The payment that is refunded, if one is, and what is wrong with that.
    fn refunded<'a>(
        &self,
        lease: &LeaseParties,
        kind: Kind,
        named: Option<&'a Refundable>,
    ) -> (Option<&'a Refundable>, Vec<FieldError>) {
        if kind == Kind::Rent {
            let misplaced = || Invalid::new("only_for_refunds", "is for landlords, who refund");
            let payee = self.payee_id.map(|_| ("payee_id", misplaced()));
            return (None, payee.into_iter().chain(self.refund_of.map(|_| ("refund_of", misplaced()))).collect());
        }
        if self.refund_of.is_none() {
            return (None, Vec::new());
        }
        let Some(payment) = named.filter(|payment| payment.lease_id == lease.id && Some(payment.id) == self.refund_of)
        else {
            return (None, vec![("refund_of", Invalid::new("not_found", "is no payment on this lease"))]);
        };
        match payment.objection() {
            Some(objection) => (None, vec![("refund_of", objection)]),
            None => {
                (Some(payment), payment.shortfall(self.amount).map(|short| ("amount", short)).into_iter().collect())
            }
        }
    }

    fn omitted(&self) -> Omitted {
        Omitted {
            payer_account_id: self.payer_account_id.is_none(),
            payee_account_id: self.payee_account_id.is_none(),
            currency: self.currency.is_none(),
            metadata: self.metadata.is_none(),
            payee_id: self.payee_id.is_none(),
            rail: self.rail.is_none() && self.refund_of.is_some(),
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

    fn money_errors(&self, lease: &LeaseParties, rail: Rail) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.amount.currency() != lease.currency {
            errors.push(("currency", Invalid::new("differs_from_lease", "is not the lease's currency")));
        } else if !rail.carries(self.amount.currency()) {
            errors.push(("currency", Invalid::new("currency_not_carried", "is not carried by this rail")));
        } else if !rail.allows(self.amount) {
            let detail = format!("is more than one payment by {rail} may carry");
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
        refunded: Option<&Refundable>,
        accounts: &'a [AccountStanding],
    ) -> Result<&'a AccountStanding, FieldError> {
        let of_account = |invalid| ("payee_account_id", invalid);
        let (person, usual) = match kind {
            Kind::Rent => (Some(lease.landlord_id), lease.payee_account_id),
            Kind::Refund => (self.refunded_renter(lease, refunded)?, refunded.map(|payment| payment.payer_account_id)),
        };
        let is_payee = |owner: UserId| person.map_or(lease.renter_ids.contains(&owner), |person| owner == person);
        match (self.payee_account_id.or(usual), person) {
            (Some(id), _) => named(accounts, id, is_payee).and_then(usable).map_err(of_account),
            (None, Some(person)) => primary(accounts, person, NO_PAYEE).and_then(usable).map_err(of_account),
            (None, None) => Err(("payee_id", Invalid::new("required", "name the renter to be refunded"))),
        }
    }

    /// The renter who is refunded; none where the account tells, or nothing.
    fn refunded_renter(
        &self,
        lease: &LeaseParties,
        refunded: Option<&Refundable>,
    ) -> Result<Option<UserId>, FieldError> {
        match (self.payee_id, refunded, lease.renter_ids.as_slice()) {
            (Some(id), Some(payment), _) if id != payment.payer_id => {
                Err(("payee_id", Invalid::new("differs_from_payment", "did not pay what is refunded")))
            }
            (_, Some(payment), _) => Ok(Some(payment.payer_id)),
            (Some(id), None, renters) if !renters.contains(&id) => {
                Err(("payee_id", Invalid::new("not_found", "is no renter of this lease")))
            }
            (Some(id), None, _) => Ok(Some(id)),
            (None, None, [only]) => Ok(Some(*only)),
            (None, None, _) => Ok(None),
        }
    }

    fn first_event(&self, id: PaymentId, between: Between<'_>, at: Circumstances, new: NewEvent) -> (Payment, Event) {
        let Between { kind, landlord_id, payer, payee, rail } = between;
        let terms = Terms {
            id,
            lease_id: self.lease_id,
            landlord_id,
            kind,
            refund_of: self.refund_of,
            initiated_by: self.initiated_by,
            payee_id: payee.owner_id,
            payer: payer.snapshot.clone(),
            payee: payee.snapshot.clone(),
            amount: self.amount,
            rail,
            idempotency_key: self.idempotency_key.clone(),
            metadata: self.metadata.clone().unwrap_or_default(),
            omitted: self.omitted(),
            initiated_at: at.now,
        };
        let estimated_settlement_at = at.now.plus_micros(rail.simulated_delay_us(id, 1, at.scale));
        let payment = Payment::from_first(terms, estimated_settlement_at);
        let event = first_event_of(&payment, new);
        (payment, event)
    }
}

/// What was found for a request: between whom the money goes, and how.
struct Between<'a> {
    kind: Kind,
    landlord_id: UserId,
    payer: &'a AccountStanding,
    payee: &'a AccountStanding,
    rail: Rail,
}

fn first_event_of(payment: &Payment, new: NewEvent) -> Event {
    let terms = &payment.terms;
    let initiated = Initiated {
        kind: terms.kind,
        refund_of: terms.refund_of,
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
    check_usable(account.is_active, account.closed_by.as_deref()).map(|()| account)
}
