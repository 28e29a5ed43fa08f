//! The SQLite driver: the embedded default.
