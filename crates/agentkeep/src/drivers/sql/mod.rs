//! What the SQL drivers share, and one module for each of them.

mod ddl;
pub mod sqlite;
