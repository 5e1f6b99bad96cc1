//! Who of the renters of a lease has paid what of its charges, and what is left for whom.

use std::collections::HashMap;

use directpay_domain::allocation::{Allocation, Books, Credit, Open};
use directpay_domain::co_tenants::{Given, Part, left_of_all, parts};
use directpay_domain::id::{ChargeId, UserId};
use directpay_domain::money::Amount;
use directpay_store::charges::{self, Charge};
use directpay_store::co_tenants::{contributions, credit};
use directpay_store::leases::Lease;
use directpay_store::{StoreError, Tx, payments};
use jiff::civil::Date;
use uuid::Uuid;

/// A charge, and how each renter stands with it.
#[derive(Debug, Clone)]
pub struct SharedCharge {
    /// The charge.
    pub charge: Charge,
    /// What of it was not let off, in minor units.
    pub owed_minor: i64,
    /// Of each renter, in the order of the lease's.
    pub parts: Vec<Part>,
}

/// All that a lease has charged so far, oldest first, and what falls due by `through` as if it were charged already.
///
/// What was accepted and no bank has seen counts as on its way.
pub async fn shared_charges(
    tx: &mut Tx,
    lease: &Lease,
    through: Option<Date>,
) -> Result<Vec<SharedCharge>, StoreError> {
    let is_wanted = |charge: &Charge| match charge.posted_at {
        Some(_) => charge.is_owed(),
        None => charge.voided_at.is_none() && through.is_some_and(|through| charge.due_date <= through),
    };
    let charges: Vec<_> = charges::list(tx, lease.id).await?.into_iter().filter(is_wanted).collect();
    let mut funds = Funds::default();
    for one in contributions(tx, lease.id).await? {
        funds.given.insert((one.charge_id, one.renter_id), one.given);
        *funds.let_off.entry(one.charge_id).or_default() -= one.given.minor();
    }
    for charge in &charges {
        *funds.let_off.entry(charge.id).or_default() += charge.applied_minor;
    }
    let open = charges.iter().filter(|charge| 0 < charge.open_minor());
    let open = open.map(|charge| Open { place: charge.place(), minor: charge.open_minor() });
    let credit = credit(tx, lease.id).await?;
    let mut books = Books::new(open, credit.iter().map(|left| Credit { source: left.source, minor: left.minor }));
    for left in &credit {
        funds.renters.extend(left.renter_id.map(|renter| (left.source, renter)));
        if let Some(due) = left.drawn_for {
            books.earmark(left.source, due);
        }
    }
    for pending in payments::pending_rent(tx, lease.id).await? {
        funds.renters.insert(pending.payment_id.0, pending.renter_id);
        funds.note(&books.receive(pending.payment_id.0, pending.minor, None));
    }
    for charge in charges.iter().filter(|charge| charge.posted_at.is_none()) {
        funds.note(&books.charge(charge.place(), charge.amount.minor()));
    }
    let renters = lease.renter_ids();
    let share = |charge: Charge| {
        let owed_minor = charge.amount.minor() - funds.let_off.get(&charge.id).copied().unwrap_or(0);
        let owed = Amount::from_minor(owed_minor, charge.amount.currency()).ok();
        let given_of = |renter| funds.given.get(&(charge.id, renter)).copied().unwrap_or_default();
        let given: Vec<_> = renters.iter().copied().map(given_of).collect();
        let parts = parts(owed, &lease.shares_on(charge.due_date), &given);
        let parts = parts.map_err(|source| StoreError::Damaged { what: "shares", source })?;
        Ok(SharedCharge { charge, owed_minor, parts })
    };
    charges.into_iter().map(share).collect()
}

/// What is left for each renter of all that is open, in minor units.
///
/// What fell due together is shared together: money goes to rent first, whatever it was meant for. What is settled is settled.
pub fn left_for_each(shared: &[SharedCharge]) -> Vec<i64> {
    let is_open = |shared: &&SharedCharge| shared.parts.iter().any(|part| 0 < part.left_minor);
    let since = shared.iter().filter(is_open).map(|shared| shared.charge.due_date).min();
    let together = shared.iter().filter(|shared| since.is_some_and(|since| since <= shared.charge.due_date));
    left_of_all(&together.map(|shared| shared.parts.clone()).collect::<Vec<_>>())
}

/// What pays for the charges of a lease.
#[derive(Debug, Default)]
struct Funds {
    /// What each renter has given for each charge.
    given: HashMap<(ChargeId, UserId), Given>,
    /// What was let off of each charge, in minor units.
    let_off: HashMap<ChargeId, i64>,
    /// Whose payment a source is.
    renters: HashMap<Uuid, UserId>,
}

impl Funds {
    /// Takes in what money that has not arrived, or waits as credit, is going to pay for.
    fn note(&mut self, allocations: &[Allocation]) {
        for Allocation { source, place, minor } in allocations {
            match self.renters.get(source) {
                Some(renter) => {
                    self.given.entry((place.id(), *renter)).or_default().on_the_way_minor += minor;
                }
                None => *self.let_off.entry(place.id()).or_default() += minor,
            }
        }
    }
}
