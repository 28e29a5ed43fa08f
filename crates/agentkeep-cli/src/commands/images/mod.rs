//! `images ...`.

pub(super) mod list;
