//! Payments as this process has just stored them, so that its worker need not read them again a moment later.
//!
//! Only a help: whoever takes one out compares its version with the stored one, and reads the payment where they differ or
//! nothing is remembered. Reading a payment and its two accounts costs about as much as writing one.

use std::sync::Arc;

use directpay_domain::id::PaymentId;
use directpay_domain::payment::Payment;
use quick_cache::sync::Cache;

/// Payments that are remembered; each takes about a KiB.
const REMEMBERED_MAX: usize = 4096;

/// See the module. Clones are the same one.
#[derive(Clone)]
pub struct Remembered(Arc<Cache<PaymentId, Arc<Payment>>>);

impl Default for Remembered {
    fn default() -> Remembered {
        Remembered(Arc::new(Cache::new(REMEMBERED_MAX)))
    }
}

impl Remembered {
    /// Keeps a payment whose transaction is committed.
    pub fn keep(&self, payment: &Arc<Payment>) {
        self.0.insert(payment.terms.id, Arc::clone(payment));
    }

    /// The payment, if it is remembered as of `version`; it is forgotten here.
    pub fn take(&self, id: PaymentId, version: i64) -> Option<Payment> {
        let (_, payment) = self.0.remove(&id)?;
        (payment.version == version).then(|| Arc::unwrap_or_clone(payment))
    }
}
