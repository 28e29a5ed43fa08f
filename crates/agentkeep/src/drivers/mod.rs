//! The drivers: one module each. None knows another, or anything above the seam.

mod kernel;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sql;
