//! Conversations on every driver.

mod deleting;
mod forks;
mod lists;
mod messages;
mod refusals;
mod support;
mod units;
