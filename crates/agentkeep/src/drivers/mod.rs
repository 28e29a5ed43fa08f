//! The drivers: one module each. None knows another, or anything above the seam.

pub mod memory;
mod rows;
#[cfg(feature = "sqlite")]
pub mod sql;
