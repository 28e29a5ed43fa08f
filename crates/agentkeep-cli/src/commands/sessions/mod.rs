//! `sessions ...`.

mod conversation;
pub(super) mod list;
mod reading;
pub(super) mod show;
