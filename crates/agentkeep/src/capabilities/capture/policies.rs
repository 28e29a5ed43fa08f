//! What policies said, as plain data.

use crate::capabilities::hash::{as_members, sort_by_collation};
use crate::capabilities::tool::{PolicyMode, PolicyResults};
use crate::json::{Json, ObjectEditor};

/// What policies said in one turn, by id: Khora's `PolicyEvaluationSnapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicySnapshot {
    /// What the results mean later.
    pub mode: PolicyMode,
    /// Ids and results, in order.
    pub results: Vec<(String, bool)>,
    /// When it was taken, in milliseconds since 1970.
    pub captured_at: Option<i64>,
    /// Which bundle of policies it was.
    pub policy_bundle_id: Option<String>,
    /// Which version of the engine.
    pub policy_engine_version: Option<String>,
}

impl PolicySnapshot {
    /// The results of an evaluation. Of two policies with one id the one that was asked last
    /// counts.
    pub fn of(results: &PolicyResults, mode: PolicyMode) -> Self {
        let all = results.all();
        Self::of_entries(all.iter().map(|(policy, ok)| (policy.id(), *ok)), mode)
    }

    /// Results by id, in the order in which they were asked.
    pub fn of_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, bool)>,
        mode: PolicyMode,
    ) -> Self {
        let mut sorted: Vec<(&str, bool)> = entries.into_iter().collect();
        sort_by_collation(&mut sorted, |(id, _)| id);
        let mut results: Vec<(String, bool)> = Vec::with_capacity(sorted.len());
        let mut places = std::collections::HashMap::new();
        for (id, ok) in sorted {
            if let Some(place) = places.get(id) {
                let place: &usize = place;
                results[*place].1 = ok;
            } else {
                places.insert(id, results.len());
                results.push((id.to_owned(), ok));
            }
        }
        as_members(&mut results, |(id, _)| id);
        Self { mode, results, ..Self::default() }
    }

    /// As JSON, members in Khora's order.
    pub fn to_json(&self) -> Json {
        let mut results = ObjectEditor::default();
        for (id, ok) in &self.results {
            results.set(id, &Json::boolean(*ok));
        }
        let mut snapshot = ObjectEditor::default();
        snapshot.set("mode", &Json::string(self.mode.name())).set("results", &results.finish());
        if let Some(time) = self.captured_at {
            snapshot.set("capturedAt", &Json::integer(time));
        }
        let audit = [
            ("policyBundleId", &self.policy_bundle_id),
            ("policyEngineVersion", &self.policy_engine_version),
        ];
        for (name, value) in audit {
            if let Some(value) = value {
                snapshot.set(name, &Json::string(value));
            }
        }
        snapshot.finish()
    }
}
