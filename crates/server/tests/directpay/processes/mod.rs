//! DirectPay as real processes.
