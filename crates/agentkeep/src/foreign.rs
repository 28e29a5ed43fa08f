//! Databases of other programs, read by the rules that stores are opened by.

#[cfg(feature = "postgres")]
pub use crate::drivers::sql::postgres::Foreign as Postgres;

#[cfg(feature = "redis")]
pub use crate::drivers::redis::Foreign as Redis;
