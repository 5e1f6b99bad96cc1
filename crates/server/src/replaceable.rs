//! What is replaced as a whole while others use it.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that everybody reads and hardly anybody replaces. Who has taken it keeps what was there then.
pub struct Replaceable<T>(RwLock<Arc<T>>);

impl<T> Replaceable<T> {
    /// Begins with this.
    pub fn new(value: T) -> Replaceable<T> {
        Replaceable(RwLock::new(Arc::new(value)))
    }

    /// What is there now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in its place.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
