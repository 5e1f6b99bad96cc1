//! Folding facts into a payment.

use super::event::Initiated;
use super::{Change, Event, Payment, Reason, Retry, Status, Terms, Work, WorkKind};
use crate::invalid::Invalid;
use crate::money::Amount;
use crate::time::Instant;

impl Payment {
    /// The payment that its first event makes.
    pub(super) fn from_first(terms: Terms, estimated_settlement_at: Instant) -> Payment {
        Payment {
            terms,
            status: Status::Pending,
            version: 1,
            attempt: 1,
            transient_retries: 0,
            representments: 0,
            failure: None,
            estimated_settlement_at,
            first_processing_at: None,
            processing_at: None,
            completed_at: None,
            failed_at: None,
            returned_at: None,
            cancelled_at: None,
        }
    }

    /// Folds a whole history, oldest first.
    ///
    /// Refuses a history that does not begin with `payment_initiated`, has a gap, or whose events do not say where the
    /// payment stood before and after them: the history was damaged.
    pub fn fold(events: &[Event]) -> Result<Payment, Invalid> {
        let (first, others) = events.split_first().ok_or_else(|| Invalid::new("empty", "the history is empty"))?;
        let mut payment = Payment::rebuild(first)?;
        for event in others {
            let follows = event.payment_id == payment.terms.id
                && event.sequence == payment.version + 1
                && event.previous_status == Some(payment.status);
            if !follows {
                return Err(broken(event));
            }
            payment.evolve(event);
            if payment.status != event.status {
                return Err(broken(event));
            }
        }
        Ok(payment)
    }

    /// Folds one recorded event in. History is trusted: no check, no failure.
    pub fn evolve(&mut self, event: &Event) {
        self.apply(&event.change, event.reason.as_ref(), event.occurred_at);
    }

    pub(super) fn apply(&mut self, change: &Change, reason: Option<&Reason>, at: Instant) {
        self.version += 1;
        self.status = change.status();
        self.failure = None;
        match change {
            Change::Initiated(_) => {}
            Change::Processing { estimated_settlement_at } => {
                self.estimated_settlement_at = *estimated_settlement_at;
                self.processing_at = Some(at);
                self.first_processing_at.get_or_insert(at);
            }
            Change::RetryScheduled { retry, estimated_settlement_at, .. } => {
                self.estimated_settlement_at = *estimated_settlement_at;
                self.attempt += 1;
                match retry {
                    Retry::Transient => self.transient_retries += 1,
                    Retry::Representment => self.representments += 1,
                }
            }
            Change::RetryRequested { retry, estimated_settlement_at } => {
                self.estimated_settlement_at = *estimated_settlement_at;
                self.attempt += 1;
                self.transient_retries = 0;
                match retry {
                    Retry::Transient => {}
                    Retry::Representment => self.representments += 1,
                }
            }
            Change::Completed => self.completed_at = Some(at),
            Change::Failed => {
                self.failed_at = Some(at);
                self.failure = reason.cloned();
            }
            Change::Returned => {
                self.returned_at = Some(at);
                self.failure = reason.cloned();
            }
            Change::Cancelled => self.cancelled_at = Some(at),
        }
    }

    fn rebuild(first: &Event) -> Result<Payment, Invalid> {
        let Change::Initiated(initiated) = &first.change else { return Err(broken(first)) };
        if first.sequence != 1 || first.previous_status.is_some() || first.status != Status::Pending {
            return Err(broken(first));
        }
        let Initiated { kind, refund_of, landlord_id, payee_id, initiated_by, idempotency_key, notes, omitted, .. } =
            initiated.as_ref();
        let snapshot = &first.metadata;
        let terms = Terms {
            id: first.payment_id,
            lease_id: snapshot.lease_id,
            landlord_id: *landlord_id,
            kind: *kind,
            refund_of: *refund_of,
            initiated_by: *initiated_by,
            payee_id: *payee_id,
            payer: snapshot.payer.clone(),
            payee: snapshot.payee.clone(),
            amount: Amount::parse(&snapshot.amount, snapshot.currency)?,
            rail: snapshot.rail,
            idempotency_key: idempotency_key.clone(),
            metadata: notes.clone(),
            omitted: *omitted,
            initiated_at: first.occurred_at,
        };
        Ok(Payment::from_first(terms, initiated.estimated_settlement_at))
    }

    /// What the workers have to do after `change`, which was the last to happen; none when nothing is left to do.
    pub fn next_work(&self, change: &Change, now: Instant) -> Option<Work> {
        match change {
            Change::Initiated(_) | Change::RetryRequested { .. } => Some(Work { what: WorkKind::Submit, due_at: now }),
            Change::RetryScheduled { due_at, .. } => Some(Work { what: WorkKind::Submit, due_at: *due_at }),
            // Whoever recorded the intent holds the claim and submits. If it dies, the next one asks the bank first.
            Change::Processing { .. } => Some(Work { what: WorkKind::Inquire, due_at: now }),
            Change::Completed | Change::Failed | Change::Returned | Change::Cancelled => None,
        }
    }
}

fn broken(event: &Event) -> Invalid {
    Invalid::new("broken_history", format!("event {} does not follow from the ones before it", event.sequence))
}
