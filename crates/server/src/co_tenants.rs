//! Who of the renters of a lease has paid what of its charges, and what is left for whom.

use std::collections::HashMap;

use directpay_domain::allocation::{Books, Open};
use directpay_domain::co_tenants::{Given, Part, parts};
use directpay_domain::id::{ChargeId, UserId};
use directpay_domain::money::Amount;
use directpay_store::charges::{self, Charge};
use directpay_store::co_tenants::contributions;
use directpay_store::leases::Lease;
use directpay_store::{StoreError, Tx, payments};

/// A posted charge, and how each renter stands with it.
#[derive(Debug, Clone)]
pub struct SharedCharge {
    /// The charge.
    pub charge: Charge,
    /// What of it was not let off, in minor units.
    pub owed_minor: i64,
    /// Of each renter, in the order of the lease's.
    pub parts: Vec<Part>,
}

/// All that a lease has charged so far, oldest first. What was accepted and no bank has seen counts as on its way.
pub async fn shared_charges(tx: &mut Tx, lease: &Lease) -> Result<Vec<SharedCharge>, StoreError> {
    let posted: Vec<_> = charges::list(tx, lease.id).await?.into_iter().filter(Charge::is_owed).collect();
    let mut given: HashMap<(ChargeId, UserId), Given> = HashMap::new();
    let mut paid_for: HashMap<ChargeId, i64> = HashMap::new();
    for one in contributions(tx, lease.id).await? {
        given.insert((one.charge_id, one.renter_id), one.given);
        *paid_for.entry(one.charge_id).or_default() += one.given.minor();
    }
    let open = posted.iter().filter(|charge| 0 < charge.open_minor());
    let mut books = Books::new(open.map(|charge| Open { place: charge.place(), minor: charge.open_minor() }), []);
    for pending in payments::pending_rent(tx, lease.id).await? {
        for allocation in books.receive(pending.payment_id.0, pending.minor, None) {
            let given = given.entry((allocation.place.id(), pending.renter_id)).or_default();
            given.on_the_way_minor += allocation.minor;
        }
    }
    let renters = lease.renter_ids();
    let share = |charge: Charge| {
        let let_off_minor = charge.applied_minor - paid_for.get(&charge.id).copied().unwrap_or(0);
        let owed_minor = charge.amount.minor() - let_off_minor;
        let owed = Amount::from_minor(owed_minor, charge.amount.currency()).ok();
        let given_of = |renter| given.get(&(charge.id, renter)).copied().unwrap_or_default();
        let given: Vec<_> = renters.iter().copied().map(given_of).collect();
        let parts = parts(owed, &lease.shares_on(charge.due_date), &given);
        let parts = parts.map_err(|source| StoreError::Damaged { what: "shares", source })?;
        Ok(SharedCharge { charge, owed_minor, parts })
    };
    posted.into_iter().map(share).collect()
}
