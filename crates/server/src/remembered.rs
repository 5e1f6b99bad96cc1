//! Payments as this process has just stored them, so that its worker need not read them again a moment later.
//!
//! Only a help: whoever takes one out compares its version with the stored one, and reads the payment where they differ or
//! nothing is remembered. Reading a payment and its two accounts costs about as much as writing one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use directpay_domain::id::PaymentId;
use directpay_store::payments::HeldPayment;

/// Payments that are remembered; most take about a KiB.
const REMEMBERED_MAX: usize = 4096;

/// See the module. Clones are the same one.
#[derive(Clone, Default)]
pub struct Remembered(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    payments: HashMap<PaymentId, Arc<HeldPayment>>,
    /// In the order in which they came; those that were taken out are still here.
    order: VecDeque<PaymentId>,
}

impl Remembered {
    /// Keeps payments that are about to be committed; the oldest are forgotten for them.
    pub fn keep<'p>(&self, payments: impl Iterator<Item = &'p Arc<HeldPayment>>) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for payment in payments {
            if memory.order.len() == REMEMBERED_MAX
                && let Some(oldest) = memory.order.pop_front()
            {
                memory.payments.remove(&oldest);
            }
            memory.order.push_back(payment.terms.id);
            memory.payments.insert(payment.terms.id, Arc::clone(payment));
        }
    }

    /// The payment, if it is remembered as of `version`; it is forgotten here.
    pub fn take(&self, id: PaymentId, version: i64) -> Option<HeldPayment> {
        let payment = self.0.lock().unwrap_or_else(PoisonError::into_inner).payments.remove(&id)?;
        (payment.version == version).then(|| Arc::unwrap_or_clone(payment))
    }
}
