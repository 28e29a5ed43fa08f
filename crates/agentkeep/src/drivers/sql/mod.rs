//! What the SQL drivers share, and one module for each of them.

pub mod sqlite;
