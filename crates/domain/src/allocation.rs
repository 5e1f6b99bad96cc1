//! Which money pays for which charge.
//!
//! A lease has open charges, and sources of money: payments on their way or settled, and what the landlord forgoes. Each
//! source pays for charges in their order ([`Place`]); what is left of it is credit, and pays for rent to come by itself, for
//! nothing else: whoever pays ahead is not to be late because a key was lost. Money that was drawn for all that is due by some
//! day pays for that, too, be it rent or not. After every step one of the two is gone: as
//! long as there is credit no posted rent is open. What a source has paid is taken back exactly when the source falls away,
//! and what rent that opens again other credit pays for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use uuid::Uuid;

use crate::charge::Place;
use crate::id::ChargeId;

/// A change of what one source pays for one charge, in minor units; less than zero where it is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// The payment, or the credit that the landlord gave.
    pub source: Uuid,
    /// The charge, by its place.
    pub place: Place,
    /// How much more, never zero.
    pub minor: i64,
}

/// What is open of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Its place in the order.
    pub place: Place,
    /// How much, in minor units, more than zero.
    pub minor: i64,
}

/// What is left of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The payment, or the credit that the landlord gave. Ids grow with time: the smallest is the oldest.
    pub source: Uuid,
    /// How much, in minor units, more than zero.
    pub minor: i64,
}

/// The open charges and the credit of one lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    open: BTreeMap<Place, i64>,
    credit: BTreeMap<Uuid, i64>,
    drawn_for: BTreeMap<Uuid, Date>,
    touched: BTreeSet<Uuid>,
}

impl Books {
    /// The books of a lease as they were stored.
    pub fn new(open: impl IntoIterator<Item = Open>, credit: impl IntoIterator<Item = Credit>) -> Books {
        Books {
            open: open.into_iter().map(|open| (open.place, open.minor)).collect(),
            credit: credit.into_iter().map(|credit| (credit.source, credit.minor)).collect(),
            drawn_for: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// What is left of `source` was drawn for all that is due by `due`, and pays for it as it is charged.
    pub fn earmark(&mut self, source: Uuid, due: Date) {
        self.drawn_for.insert(source, due);
    }

    /// What is open, in the order in which it is paid.
    pub fn open(&self) -> impl Iterator<Item = Open> {
        self.open.iter().map(|(place, minor)| Open { place: *place, minor: *minor })
    }

    /// All that is open, in minor units.
    pub fn open_minor(&self) -> i64 {
        self.open.values().fold(0, |sum, minor| sum.saturating_add(*minor))
    }

    /// All credit, in minor units.
    pub fn credit_minor(&self) -> i64 {
        self.credit.values().fold(0, |sum, minor| sum.saturating_add(*minor))
    }

    /// What is left now of each source that was touched; zero where nothing is.
    pub fn touched_credit(&self) -> impl Iterator<Item = (Uuid, i64)> {
        self.touched.iter().map(|source| (*source, self.credit_of(*source)))
    }

    /// What is left of a source, in minor units.
    pub fn credit_of(&self, source: Uuid) -> i64 {
        self.credit.get(&source).copied().unwrap_or(0)
    }

    /// A new source of `minor` units pays for what is open, for `first` in that order before all others.
    pub fn receive(&mut self, source: Uuid, minor: i64, first: impl IntoIterator<Item = ChargeId>) -> Vec<Allocation> {
        self.add_credit(source, minor);
        let mut allocations = Vec::new();
        for id in first {
            let wanted = self.open.keys().find(|place| place.id() == id).copied();
            allocations.extend(wanted.and_then(|place| self.pay(source, place)));
        }
        let places: Vec<Place> = self.open.keys().copied().collect();
        allocations.extend(self.pay_each(source, places));
        allocations
    }

    /// A landlord forgoes `minor` units: as [`Books::receive`], but no deposit is paid by that. Nobody would hold the money
    /// that is to go back some day.
    pub fn forgo(&mut self, source: Uuid, minor: i64, first: Option<ChargeId>) -> Vec<Allocation> {
        self.add_credit(source, minor);
        let mut places: Vec<Place> = self.open.keys().filter(|place| !place.is_deposit()).copied().collect();
        places.sort_by_key(|place| first != Some(place.id()));
        self.pay_each(source, places)
    }

    /// A charge of `minor` units is posted; credit pays for it if it is rent.
    pub fn charge(&mut self, place: Place, minor: i64) -> Vec<Allocation> {
        *self.open.entry(place).or_default() += minor;
        self.settle()
    }

    /// Money was paid out: what is left of the source that brought it, if it is known, pays for that before all other credit.
    pub fn pay_out(&mut self, place: Place, minor: i64, brought_by: Option<Uuid>) -> Vec<Allocation> {
        *self.open.entry(place).or_default() += minor;
        let mut allocations: Vec<_> = brought_by.and_then(|source| self.pay(source, place)).into_iter().collect();
        allocations.extend(self.settle());
        allocations
    }

    /// A source falls away that has paid `paid` units of each of these charges: they are open again. What was left of it as
    /// credit is gone, too.
    pub fn withdraw(&mut self, source: Uuid, paid: &[(Place, i64)]) -> Vec<Allocation> {
        if self.credit.remove(&source).is_some() {
            self.touched.insert(source);
        }
        let mut allocations = Vec::with_capacity(paid.len());
        for (place, minor) in paid {
            *self.open.entry(*place).or_default() += minor;
            allocations.push(Allocation { source, place: *place, minor: -minor });
        }
        allocations.extend(self.settle());
        allocations
    }

    /// A charge falls away for which these sources have paid so many units: the money is credit again, for other charges.
    pub fn void(&mut self, place: Place, paid: &[(Uuid, i64)]) -> Vec<Allocation> {
        self.open.remove(&place);
        let mut allocations = Vec::with_capacity(paid.len());
        for (source, minor) in paid {
            self.add_credit(*source, *minor);
            allocations.push(Allocation { source: *source, place, minor: -minor });
        }
        allocations.extend(self.settle());
        allocations
    }

    fn add_credit(&mut self, source: Uuid, minor: i64) {
        *self.credit.entry(source).or_default() += minor;
        self.touched.insert(source);
    }

    /// Credit, the oldest first, pays for what is open and may be paid by it, until one of the two is gone.
    fn settle(&mut self) -> Vec<Allocation> {
        let mut allocations = Vec::new();
        let places: Vec<Place> = self.open.keys().copied().collect();
        for place in places {
            while let Some(allocation) = self.credit_for(place).and_then(|source| self.pay(source, place)) {
                allocations.push(allocation);
            }
        }
        allocations
    }

    /// The oldest credit that may pay for a charge by itself.
    fn credit_for(&self, place: Place) -> Option<Uuid> {
        let was_drawn_for = |source: &Uuid| self.drawn_for.get(source).is_some_and(|due| place.due_date() <= *due);
        self.credit.keys().find(|source| place.draws_on_credit() || was_drawn_for(source)).copied()
    }

    /// `source` pays for charges in this order, until it is used up.
    fn pay_each(&mut self, source: Uuid, places: Vec<Place>) -> Vec<Allocation> {
        places.into_iter().map_while(|place| self.pay(source, place)).collect()
    }

    /// `source` pays for as much of a charge as it can; whichever of the two is used up goes.
    fn pay(&mut self, source: Uuid, place: Place) -> Option<Allocation> {
        let (open, left) = (*self.open.get(&place)?, *self.credit.get(&source)?);
        let minor = open.min(left);
        if minor == open {
            self.open.remove(&place);
        } else {
            self.open.insert(place, open - minor);
        }
        if minor == left {
            self.credit.remove(&source);
        } else {
            self.credit.insert(source, left - minor);
        }
        self.touched.insert(source);
        (0 < minor).then_some(Allocation { source, place, minor })
    }
}

#[cfg(test)]
mod tests;
