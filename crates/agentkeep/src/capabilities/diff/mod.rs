//! How two turns differ.

mod report;
mod source;

use std::collections::{HashMap, HashSet};

use serde::Serialize;

pub use self::report::{CapabilityDiff, Labels, PoliciesDiff, capability_diff};
pub use self::source::DiffSource;

use super::hash::sort_by_collation;
use crate::model::{CapabilityLink, ToolRef};

/// How two lists of tools differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolRefsDiff {
    /// Tools of the first alone, in its order.
    pub only_in_first: Vec<ToolRef>,
    /// Tools of the second alone, in its order.
    pub only_in_second: Vec<ToolRef>,
    /// Tools of both with another hash.
    pub hash_changed: Vec<HashChanged>,
}

/// A tool with another hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HashChanged {
    /// Its name.
    pub tool_key: String,
    /// Its hash in the first.
    pub first_hash: String,
    /// Its hash in the second.
    pub second_hash: String,
}

/// How two links differ, tools aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CapabilityLinksDiff {
    /// Fields that are the same.
    pub unchanged: Vec<&'static str>,
    /// Fields that are not.
    pub changed: Vec<FieldChanged>,
}

/// A field that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChanged {
    /// Its name.
    pub field: &'static str,
    /// Its value in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Its value in the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
}

/// How what policies said differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyResultsDiff {
    /// Policies of the first alone.
    pub only_in_first: Vec<PolicyResult>,
    /// Policies of the second alone.
    pub only_in_second: Vec<PolicyResult>,
    /// Policies that said something else.
    pub value_changed: Vec<PolicyChanged>,
}

/// What a policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyResult {
    /// Its id.
    pub policy_id: String,
    /// What it said.
    pub allowed: bool,
}

/// A policy that said something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyChanged {
    /// Its id.
    pub policy_id: String,
    /// What it said in the first.
    pub first: bool,
    /// What it said in the second.
    pub second: bool,
}

/// How the policies of tools differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AffordancePolicyIdsDiff {
    /// Tools of the first alone.
    pub only_in_first: Vec<String>,
    /// Tools of the second alone.
    pub only_in_second: Vec<String>,
    /// Tools with other policies.
    pub changed: Vec<PolicyIdsChanged>,
}

/// A tool with other policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyIdsChanged {
    /// Its name.
    pub tool_name: String,
    /// Policies that the second has more.
    pub added: Vec<String>,
    /// Policies that the first has more.
    pub removed: Vec<String>,
}

/// A name that repeats has its first place and its last hash.
fn by_key(refs: &[ToolRef]) -> Vec<&ToolRef> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut kept: Vec<&ToolRef> = Vec::new();
    for one in refs {
        if let Some(place) = places.get(one.tool_key.as_str()) {
            kept[*place] = one;
        } else {
            places.insert(&one.tool_key, kept.len());
            kept.push(one);
        }
    }
    kept
}

/// How two lists of tools differ: Khora's `diffToolRefs`.
pub fn diff_tool_refs(first: &[ToolRef], second: &[ToolRef]) -> ToolRefsDiff {
    let (first, second) = (by_key(first), by_key(second));
    let index = |refs: &[&ToolRef]| -> HashMap<String, String> {
        refs.iter().map(|one| (one.tool_key.clone(), one.tool_hash.clone())).collect()
    };
    let (in_first, in_second) = (index(&first), index(&second));
    let mut diff = ToolRefsDiff::default();
    for one in first {
        match in_second.get(&one.tool_key) {
            None => diff.only_in_first.push(one.clone()),
            Some(hash) if *hash != one.tool_hash => diff.hash_changed.push(HashChanged {
                tool_key: one.tool_key.clone(),
                first_hash: one.tool_hash.clone(),
                second_hash: hash.clone(),
            }),
            Some(_) => {}
        }
    }
    let new = second.into_iter().filter(|one| !in_first.contains_key(&one.tool_key));
    diff.only_in_second = new.cloned().collect();
    diff
}

/// How two links differ, tools aside: Khora's `diffCapabilityLinks`. What is absent equals only
/// what is absent.
pub fn diff_capability_links(
    first: &CapabilityLink,
    second: &CapabilityLink,
) -> CapabilityLinksDiff {
    fn fields(link: &CapabilityLink) -> [(&'static str, Option<&String>); 5] {
        [
            ("agentId", Some(&link.agent_id)),
            ("agentName", Some(&link.agent_name)),
            ("staticHash", Some(&link.static_hash)),
            ("runtimeHash", Some(&link.runtime_hash)),
            ("invocationHash", link.invocation_hash.as_ref()),
        ]
    }
    let mut diff = CapabilityLinksDiff::default();
    for ((field, first), (_, second)) in fields(first).into_iter().zip(fields(second)) {
        if first == second {
            diff.unchanged.push(field);
        } else {
            let (first, second) = (first.cloned(), second.cloned());
            diff.changed.push(FieldChanged { field, first, second });
        }
    }
    diff
}

/// In a sentence, how two links relate: Khora's `explainCapabilityLinkRelationship`.
pub fn explain_capability_link_relationship(
    first: &CapabilityLink,
    second: &CapabilityLink,
) -> &'static str {
    if first.agent_id != second.agent_id {
        "Different agent ids."
    } else if first.static_hash != second.static_hash {
        "Different static capabilities (toolkit / definition changed)."
    } else if first.runtime_hash != second.runtime_hash {
        "Same static capabilities; runtime differs (enabled tools or policies changed)."
    } else if first.invocation_hash != second.invocation_hash {
        "Same static and runtime; invocation context hash differs (subject, policy, or other \
         binding changed)."
    } else if first.agent_name != second.agent_name {
        "Same static, runtime, and invocation hashes; display name differs only."
    } else {
        "Same capability link."
    }
}

/// A hash with its middle left out: 6 units, an ellipsis, 6 units.
pub fn format_hash_short(hash: &str) -> String {
    format_hash_short_with(hash, 6, 6)
}

/// A text with its middle left out, if that makes it shorter; lengths in UTF-16 units, as Khora
/// counts.
pub fn format_hash_short_with(hash: &str, prefix: usize, suffix: usize) -> String {
    let units: Vec<u16> = hash.encode_utf16().collect();
    if units.len() <= prefix.saturating_add(suffix).saturating_add(1) {
        return hash.to_owned();
    }
    let (start, end) = (&units[..prefix], &units[units.len() - suffix..]);
    format!("{}\u{2026}{}", String::from_utf16_lossy(start), String::from_utf16_lossy(end))
}

/// How what policies said differs, by id, in the order of the lists: Khora's
/// `diffPolicyEvaluationSnapshots`.
pub fn diff_policy_results(
    first: &[(String, bool)],
    second: &[(String, bool)],
) -> PolicyResultsDiff {
    let in_first: HashMap<&str, bool> = first.iter().map(|(id, ok)| (id.as_str(), *ok)).collect();
    let in_second: HashMap<&str, bool> = second.iter().map(|(id, ok)| (id.as_str(), *ok)).collect();
    let mut diff = PolicyResultsDiff::default();
    for (id, allowed) in first {
        match in_second.get(id.as_str()) {
            None => {
                diff.only_in_first.push(PolicyResult { policy_id: id.clone(), allowed: *allowed });
            }
            Some(second) if second != allowed => diff.value_changed.push(PolicyChanged {
                policy_id: id.clone(),
                first: *allowed,
                second: *second,
            }),
            Some(_) => {}
        }
    }
    for (id, allowed) in second.iter().filter(|(id, _)| !in_first.contains_key(id.as_str())) {
        diff.only_in_second.push(PolicyResult { policy_id: id.clone(), allowed: *allowed });
    }
    diff
}

/// How the policies of tools differ, everything by collation: Khora's `diffAffordancePolicyIds`.
/// Each tool has its name and the ids of its policies.
pub fn diff_affordance_policy_ids(
    first: &[(String, Vec<String>)],
    second: &[(String, Vec<String>)],
) -> AffordancePolicyIdsDiff {
    fn index(tools: &[(String, Vec<String>)]) -> HashMap<&str, HashSet<&str>> {
        tools
            .iter()
            .map(|(name, ids)| (name.as_str(), ids.iter().map(String::as_str).collect()))
            .collect()
    }
    fn sorted<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        texts.sort();
        sort_by_collation(&mut texts, String::as_str);
        texts
    }
    let (in_first, in_second) = (index(first), index(second));
    let alone = |one: &HashMap<&str, HashSet<&str>>, other: &HashMap<&str, HashSet<&str>>| {
        sorted(one.keys().copied().filter(|name| !other.contains_key(name)))
    };
    let both = sorted(in_first.keys().copied().filter(|name| in_second.contains_key(name)));
    let changed = both.into_iter().filter_map(|tool_name| {
        let (first, second) = (in_first.get(&*tool_name)?, in_second.get(&*tool_name)?);
        let added = sorted(second.difference(first).copied());
        let removed = sorted(first.difference(second).copied());
        let same = added.is_empty() && removed.is_empty();
        (!same).then_some(PolicyIdsChanged { tool_name, added, removed })
    });
    AffordancePolicyIdsDiff {
        only_in_first: alone(&in_first, &in_second),
        only_in_second: alone(&in_second, &in_first),
        changed: changed.collect(),
    }
}
