//! DirectPay as real processes, which are started, stopped, killed and run side by side.

mod crash;
mod duplicates;
mod lease;
mod place;
mod process;
