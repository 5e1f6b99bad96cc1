//! What the events of payments do to what their leases owe.

use std::collections::BTreeMap;

use directpay_domain::charge::ChargeKind;
use directpay_domain::id::{ChargeId, LeaseId, PaymentId};
use directpay_domain::money::Amount;
use directpay_domain::payment::{Change, Effect, Payment};
use directpay_domain::property::{self, ZoneName};
use directpay_domain::time::Instant;
use uuid::Uuid;

use crate::charges::{self, Charge, Moment};
use crate::db::Tx;
use crate::error::StoreError;
use crate::lease_books::{Cause, LeaseBooks};

/// An effect of one event.
#[derive(Debug)]
struct Happened {
    effect: Effect,
    lease_id: LeaseId,
    amount: Amount,
    /// The payment whose money a refund gives back, if it names one.
    refund_of: Option<PaymentId>,
    cause: Cause,
    at: Instant,
}

/// The effects of a batch, in the order in which they happened.
#[derive(Debug, Default)]
pub(super) struct Effects(Vec<Happened>);

impl Effects {
    /// Notes what `change` does, the next event of `payment`.
    pub(super) fn add(&mut self, payment: &Payment, change: &Change, at: Instant) {
        let terms = &payment.terms;
        let cause = Cause { stream_id: terms.id.0, sequence: payment.version + 1 };
        let (lease_id, amount, refund_of) = (terms.lease_id, terms.amount, terms.refund_of);
        let happened = |effect| Happened { effect, lease_id, amount, refund_of, cause, at };
        self.0.extend(payment.effect(change).map(happened));
    }

    /// Writes which charges are paid for and which are open again. The events are there already.
    pub(super) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let only_received = self.0.iter().all(|happened| happened.effect == Effect::Received);
        let leases = self.0.iter().map(|happened| happened.lease_id);
        let mut books = LeaseBooks::hold(tx, leases, !only_received).await?;
        if only_received {
            for happened in &self.0 {
                receive(&mut books, happened)?;
            }
            return books.write(tx).await;
        }
        self.write_any(tx, books).await
    }

    /// The rare ones, too: money that goes back.
    async fn write_any(self, tx: &mut Tx, mut books: LeaseBooks) -> Result<(), StoreError> {
        let (mut payouts, mut voided): (BTreeMap<Uuid, Charge>, Vec<Moment>) = (BTreeMap::new(), Vec::new());
        for happened in &self.0 {
            let Happened { lease_id, cause, at, .. } = *happened;
            match happened.effect {
                Effect::Received => receive(&mut books, happened)?,
                Effect::TakenBack => {
                    let paid = books.paid_by(tx, cause.stream_id).await?;
                    books.change(lease_id, cause, |books| books.withdraw(cause.stream_id, &paid))?;
                }
                Effect::PaidOut => {
                    let payout = payout(tx, happened).await?;
                    let brought_by = happened.refund_of.map(|id| id.0);
                    books.change(lease_id, cause, |books| {
                        books.pay_out(payout.place(), payout.amount.minor(), brought_by)
                    })?;
                    payouts.insert(cause.stream_id, payout);
                }
                Effect::NotPaidOut => {
                    let payout = payout(tx, happened).await?;
                    let paid = books.paid_for(tx, payout.id).await?;
                    books.change(lease_id, cause, |books| books.void(payout.place(), &paid))?;
                    voided.push(Moment { id: payout.id.0, at: at.micros() });
                }
            }
        }
        charges::insert(tx, &payouts.into_values().collect::<Vec<_>>()).await?;
        books.write(tx).await?;
        charges::mark_voided(tx, &voided).await
    }
}

fn receive(books: &mut LeaseBooks, happened: &Happened) -> Result<(), StoreError> {
    let Happened { lease_id, cause, amount, .. } = *happened;
    books.change(lease_id, cause, |books| books.receive(cause.stream_id, amount.minor(), None))
}

/// What a refund that no payment had brought is charged as: under the refund's own id.
async fn payout(tx: &mut Tx, happened: &Happened) -> Result<Charge, StoreError> {
    let Happened { lease_id, amount, cause, at, .. } = *happened;
    let id = ChargeId(cause.stream_id);
    if let Some(made_before) = charges::find(tx, lease_id, id).await? {
        return Ok(made_before);
    }
    let (zone,): (String,) = tx
        .fetch_one(
            "SELECT p.time_zone FROM leases l JOIN properties p ON p.id = l.property_id WHERE l.id = $1",
            (lease_id.0,),
        )
        .await?;
    let zone = ZoneName::parse(&zone).map_err(StoreError::damaged("time zone"))?;
    let day = property::local_date(&zone, at.timestamp());
    Ok(Charge { posted_at: Some(at), ..Charge::standing_alone(id, lease_id, ChargeKind::Payout, day, amount) })
}
