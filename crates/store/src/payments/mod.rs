//! Payments: the two doors through which they are written, and the ways in which they are read.

mod effects;
mod initiate;
mod list;
mod record;
mod refunds;
mod row;

pub(crate) use initiate::distinct;
pub use initiate::{Fresh, Initiated, Outcome, initiate};
pub use list::{
    Filter, PendingRent, find, find_all, find_by_key, find_for_party, list_by_landlord, list_by_renter, list_for_lease,
    pending_rent,
};
pub use record::{Held, Instructed, Recorded, Verdict, hold, hold_remembered, record, record_held};
pub use refunds::{not_settled, refunded};
pub use row::HeldPayment;
pub(crate) use row::{PaymentRow, Stored};
