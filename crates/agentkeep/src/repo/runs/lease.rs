//! Leases: who may write, by a number that every claim raises.

use serde::Serialize;

/// The right to go on with a run. Whoever claims it next gets a higher number, and what is written
/// under a lower one is refused, whatever the clocks say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The run.
    pub run_id: String,
    /// Who holds it.
    pub owner: String,
    /// The fencing number.
    pub fence: u64,
    /// Till when others cannot claim it, in milliseconds since 1970.
    pub until: i64,
}
