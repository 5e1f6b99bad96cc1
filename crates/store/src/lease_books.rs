//! What leases owe, held while it changes: open charges, credit, and which money pays for what.
//!
//! Whoever changes it, a payment's event or the lease's own, holds the lease's account meanwhile: between processes the row
//! of `lease_accounts` decides who comes first. Payments are taken hold of before leases, or two could wait for each other.

use std::collections::{BTreeMap, HashMap};

use directpay_domain::allocation::{Allocation, Books, Credit, Open};
use directpay_domain::calendar;
use directpay_domain::charge::{ChargeKind, Place};
use directpay_domain::digest::Digest;
use directpay_domain::id::{ChargeId, LeaseId, UserId};
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use crate::charges::{self, Gain};
use crate::db::Tx;
use crate::error::StoreError;
use crate::hashes::Hash;
use crate::payments::distinct;
use crate::sql::{Sql, sql};

/// The event that changes what is paid for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause {
    pub(crate) stream_id: Uuid,
    pub(crate) sequence: i64,
}

/// What a lease owes, as it is now.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) landlord_id: UserId,
    /// The number of the lease's last event.
    pub(crate) version: i64,
    /// And its hash.
    pub(crate) head: Digest,
    pub(crate) books: Books,
}

#[derive(Debug, Serialize)]
struct AllocationRow {
    source_id: Uuid,
    charge_id: Uuid,
    stream_id: Uuid,
    sequence: i64,
    amount: i64,
    #[serde(skip)]
    place: Place,
}

/// The books of the leases that a batch touches, and what it changes in them.
#[derive(Debug, Default)]
pub(crate) struct LeaseBooks {
    shelves: BTreeMap<LeaseId, Shelf>,
    rows: Vec<AllocationRow>,
}

impl LeaseBooks {
    /// Takes hold of the accounts of leases and loads what is open, and credit too where `with_credit` says so.
    ///
    /// Money that comes in needs no credit to be known: it pays by itself, and credit goes on to wait for rent.
    pub(crate) async fn hold(
        tx: &mut Tx,
        leases: impl Iterator<Item = LeaseId>,
        with_credit: bool,
    ) -> Result<LeaseBooks, StoreError> {
        const HOLD: Sql = sql!(
            "SELECT a.lease_id, a.version, a.head, l.landlord_id FROM",
            each(id uuid),
            "lease_accounts a JOIN leases l ON l.id = a.lease_id WHERE a.lease_id =",
            field(id),
            "ORDER BY a.lease_id",
            for_update_of(a)
        );
        const OPEN: Sql = sql!(
            "SELECT c.lease_id, c.id, c.kind, c.due_date, c.amount - c.applied FROM",
            each(id uuid),
            "charges c WHERE c.lease_id =",
            field(id),
            "AND c.posted_at IS NOT NULL AND c.voided_at IS NULL AND c.applied < c.amount"
        );
        const CREDIT: Sql = sql!(
            "SELECT c.lease_id, c.source_id, c.amount, d.due_date FROM",
            each(id uuid),
            "credits c LEFT JOIN draws d ON d.payment_id = c.source_id WHERE c.lease_id =",
            field(id)
        );
        let ids = distinct(leases.map(|id| id.0));
        let accounts: Vec<(Uuid, i64, Hash, Uuid)> = tx.fetch_each(HOLD, &ids, ()).await?;
        let mut open: HashMap<Uuid, Vec<Open>> = HashMap::new();
        for (lease, id, kind, due_date, minor) in
            tx.fetch_each::<_, (Uuid, Uuid, String, i64, i64)>(OPEN, &ids, ()).await?
        {
            open.entry(lease).or_default().push(Open { place: place(&kind, due_date, id)?, minor });
        }
        let mut credit: HashMap<Uuid, Vec<Credit>> = HashMap::new();
        let mut drawn_for: HashMap<Uuid, Vec<(Uuid, Date)>> = HashMap::new();
        if with_credit {
            type Row = (Uuid, Uuid, i64, Option<i64>);
            for (lease, source, minor, due) in tx.fetch_each::<_, Row>(CREDIT, &ids, ()).await? {
                credit.entry(lease).or_default().push(Credit { source, minor });
                if let Some(due) = due {
                    let due = calendar::date_from_number(due).map_err(StoreError::damaged("date"))?;
                    drawn_for.entry(lease).or_default().push((source, due));
                }
            }
        }
        let shelves = accounts.into_iter().map(|(lease, version, head, landlord)| {
            let (open, credit) = (open.remove(&lease), credit.remove(&lease));
            let mut books = Books::new(open.unwrap_or_default(), credit.unwrap_or_default());
            for (source, due) in drawn_for.remove(&lease).unwrap_or_default() {
                books.earmark(source, due);
            }
            let landlord_id = UserId(landlord);
            (LeaseId(lease), Shelf { landlord_id, version, head: head.digest(), books })
        });
        Ok(LeaseBooks { shelves: shelves.collect(), rows: Vec::new() })
    }

    /// What a lease owes; an error if it is none that is held.
    pub(crate) fn shelf(&mut self, lease: LeaseId) -> Result<&mut Shelf, StoreError> {
        // Each lease has an account: written with it, and never deleted.
        self.shelves.get_mut(&lease).ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Changes what is paid for in the books of a lease, because of an event.
    pub(crate) fn change(
        &mut self,
        lease: LeaseId,
        cause: Cause,
        change: impl FnOnce(&mut Books) -> Vec<Allocation>,
    ) -> Result<(), StoreError> {
        let allocations = change(&mut self.shelf(lease)?.books);
        self.rows.extend(allocations.into_iter().map(|allocation| AllocationRow {
            source_id: allocation.source,
            charge_id: allocation.place.id().0,
            stream_id: cause.stream_id,
            sequence: cause.sequence,
            amount: allocation.minor,
            place: allocation.place,
        }));
        Ok(())
    }

    /// What a source pays for now, stored or in this batch.
    pub(crate) async fn paid_by(&self, tx: &mut Tx, source: Uuid) -> Result<Vec<(Place, i64)>, StoreError> {
        let stored: Vec<(Uuid, String, i64, i64)> = tx
            .fetch_all(
                "SELECT c.id, c.kind, c.due_date, CAST(SUM(a.amount) AS BIGINT)
                 FROM allocations a JOIN charges c ON c.id = a.charge_id WHERE a.source_id = $1
                 GROUP BY c.id, c.kind, c.due_date",
                (source,),
            )
            .await?;
        let mut paid: BTreeMap<Place, i64> = BTreeMap::new();
        for (id, kind, due_date, minor) in stored {
            paid.insert(place(&kind, due_date, id)?, minor);
        }
        for row in self.rows.iter().filter(|row| row.source_id == source) {
            *paid.entry(row.place).or_default() += row.amount;
        }
        Ok(paid.into_iter().filter(|(_, minor)| *minor != 0).collect())
    }

    /// Who pays for a charge now, stored or in this batch.
    pub(crate) async fn paid_for(&self, tx: &mut Tx, charge: ChargeId) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let stored: Vec<(Uuid, i64)> = tx
            .fetch_all(
                "SELECT source_id, CAST(SUM(amount) AS BIGINT) FROM allocations WHERE charge_id = $1 GROUP BY source_id",
                (charge.0,),
            )
            .await?;
        let mut paid: BTreeMap<Uuid, i64> = stored.into_iter().collect();
        for row in self.rows.iter().filter(|row| row.charge_id == charge.0) {
            *paid.entry(row.source_id).or_default() += row.amount;
        }
        Ok(paid.into_iter().filter(|(_, minor)| *minor != 0).collect())
    }

    /// The number of each lease's next event.
    pub(crate) fn next_version(&mut self, lease: LeaseId) -> Result<i64, StoreError> {
        let shelf = self.shelf(lease)?;
        shelf.version += 1;
        Ok(shelf.version)
    }

    /// Writes what has changed. The events that caused it, and the charges, are there already.
    pub(crate) async fn write(&self, tx: &mut Tx) -> Result<(), StoreError> {
        const ALLOCATE: Sql = sql!(
            insert(allocations: source_id uuid, charge_id uuid, stream_id uuid, sequence bigint, amount bigint)
        );
        if !self.rows.is_empty() {
            tx.execute_each(ALLOCATE, &self.rows, ()).await?;
        }
        let mut gains: BTreeMap<Uuid, i64> = BTreeMap::new();
        for row in &self.rows {
            *gains.entry(row.charge_id).or_default() += row.amount;
        }
        let gains = gains.into_iter().filter(|(_, minor)| *minor != 0).map(|(id, minor)| Gain { id, minor });
        charges::apply(tx, &gains.collect::<Vec<_>>()).await?;
        self.write_credit(tx).await
    }

    async fn write_credit(&self, tx: &mut Tx) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row {
            lease_id: Uuid,
            source_id: Uuid,
            amount: i64,
        }
        const KEEP: Sql = sql!(
            insert(credits: lease_id uuid, source_id uuid, amount bigint),
            "ON CONFLICT (lease_id, source_id) DO UPDATE SET amount = excluded.amount"
        );
        const REMOVE: Sql = Sql {
            sqlite: "DELETE FROM credits WHERE lease_id = $lease_id AND source_id = $source_id",
            postgres: "DELETE FROM credits USING jsonb_to_recordset($1) AS r(lease_id uuid, source_id uuid)
                       WHERE credits.lease_id = r.lease_id AND credits.source_id = r.source_id",
        };
        let touched = self.shelves.iter().flat_map(|(lease, shelf)| {
            shelf.books.touched_credit().map(|(source, amount)| Row { lease_id: lease.0, source_id: source, amount })
        });
        let (left, gone): (Vec<_>, Vec<_>) = touched.partition(|row| 0 < row.amount);
        if !left.is_empty() {
            tx.execute_each(KEEP, &left, ()).await?;
        }
        if !gone.is_empty() {
            tx.execute_each(REMOVE, &gone, ()).await?;
        }
        Ok(())
    }

    /// Writes the numbers and hashes of the leases' last events.
    pub(crate) async fn write_versions(&self, tx: &mut Tx) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row {
            lease_id: Uuid,
            version: i64,
            head: Hash,
        }
        const UPDATE: Sql = sql!(update(lease_accounts by lease_id uuid: version bigint, head bytea));
        let row = |lease: &LeaseId, shelf: &Shelf| Row {
            lease_id: lease.0,
            version: shelf.version,
            head: Hash::of(shelf.head),
        };
        let rows = self.shelves.iter().map(|(lease, shelf)| row(lease, shelf));
        tx.execute_each(UPDATE, &rows.collect::<Vec<_>>(), ()).await?;
        Ok(())
    }
}

pub(crate) fn place(kind: &str, due_date: i64, id: Uuid) -> Result<Place, StoreError> {
    let kind = ChargeKind::parse(kind).map_err(StoreError::damaged("charge kind"))?;
    let due_date = calendar::date_from_number(due_date).map_err(StoreError::damaged("date"))?;
    Ok(Place::new(kind, due_date, ChargeId(id)))
}
