//! Databases of other programs, read by the rules that stores are opened by.

pub use crate::drivers::sql::postgres::Foreign as Postgres;
