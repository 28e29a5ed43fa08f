//! `containers ...`.

pub(super) mod list;
