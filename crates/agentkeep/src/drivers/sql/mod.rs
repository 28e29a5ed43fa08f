//! What the SQL drivers share, and one module for each of them.

#[cfg(feature = "postgres")]
pub mod postgres;
mod shape;
#[cfg(feature = "sqlite")]
pub mod sqlite;
