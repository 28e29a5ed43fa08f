//! The report of a comparison, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::{
    AffordancePolicyIdsDiff, CapabilityLinksDiff, DiffSource, PolicyResultsDiff, ToolRefsDiff,
    diff_affordance_policy_ids, diff_capability_links, diff_policy_results, diff_tool_refs,
    explain_capability_link_relationship, format_hash_short,
};

/// How the two sides are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// The first.
    pub first: String,
    /// The second.
    pub second: String,
}

impl Default for Labels {
    fn default() -> Self {
        Self { first: "first".to_owned(), second: "second".to_owned() }
    }
}

/// How two turns differ. `Display` gives the report for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapabilityDiff {
    /// In a sentence.
    pub summary: &'static str,
    /// How the two sides are called.
    pub labels: Labels,
    /// The fields of the links.
    pub link: CapabilityLinksDiff,
    /// The tools.
    pub tools: ToolRefsDiff,
    /// The policies.
    pub policies: PoliciesDiff,
}

/// How policies differ, as far as both sides tell of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoliciesDiff {
    /// That only one side tells of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What they said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<PolicyResultsDiff>,
    /// Which tools have which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affordance_policy_ids: Option<AffordancePolicyIdsDiff>,
    /// True when either side tells of them.
    #[serde(skip)]
    told: bool,
}

/// How two turns differ: the content of both of Khora's reports.
pub fn capability_diff(first: &DiffSource, second: &DiffSource, labels: Labels) -> CapabilityDiff {
    let silent = match (first.has_policies(), second.has_policies()) {
        (true, false) => Some(&labels.second),
        (false, true) => Some(&labels.first),
        _ => None,
    };
    let note = silent.map(|side| {
        format!(
            "Policy/affordance data only on one side ({side} has no policy closure); link-level \
             comparison only for that side."
        )
    });
    let results = first.policies.as_ref().zip(second.policies.as_ref());
    let tools = first.tools.as_ref().zip(second.tools.as_ref());
    let policies = PoliciesDiff {
        note,
        results: results.map(|(first, second)| diff_policy_results(first, second)),
        affordance_policy_ids: tools.map(|(a, b)| diff_affordance_policy_ids(a, b)),
        told: first.has_policies() || second.has_policies(),
    };
    CapabilityDiff {
        summary: explain_capability_link_relationship(&first.link, &second.link),
        labels,
        link: diff_capability_links(&first.link, &second.link),
        tools: diff_tool_refs(&first.link.tool_refs, &second.link.tool_refs),
        policies,
    }
}

impl CapabilityDiff {
    /// True when the two sides are the same in everything that both tell of.
    pub fn is_empty(&self) -> bool {
        let PoliciesDiff { results, affordance_policy_ids, .. } = &self.policies;
        self.link.changed.is_empty()
            && self.tools == ToolRefsDiff::default()
            && results.as_ref().is_none_or(|diff| *diff == PolicyResultsDiff::default())
            && affordance_policy_ids
                .as_ref()
                .is_none_or(|diff| *diff == AffordancePolicyIdsDiff::default())
    }

    fn tools(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tools:\n")?;
        if self.tools == ToolRefsDiff::default() {
            return f.write_str("  Unchanged.\n");
        }
        for one in &self.tools.only_in_first {
            let hash = format_hash_short(&one.tool_hash);
            writeln!(f, "  Removed {} (hash {hash})", one.tool_key)?;
        }
        for one in &self.tools.only_in_second {
            writeln!(f, "  Added {} (hash {})", one.tool_key, format_hash_short(&one.tool_hash))?;
        }
        for one in &self.tools.hash_changed {
            let hashes = [&one.first_hash, &one.second_hash].map(|hash| format_hash_short(hash));
            writeln!(
                f,
                "  {}: hash changed {} \u{2192} {} (static definition drift for that tool key)",
                one.tool_key, hashes[0], hashes[1]
            )?;
        }
        Ok(())
    }

    fn results(&self, diff: &PolicyResultsDiff, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { first, second } = &self.labels;
        if *diff == PolicyResultsDiff::default() {
            return f.write_str("  Policy results: unchanged.\n");
        }
        for (only, label) in [(&diff.only_in_first, first), (&diff.only_in_second, second)] {
            for one in only {
                let (id, allowed) = (&one.policy_id, one.allowed);
                writeln!(f, "  Policy {id}: only in {label} (allowed={allowed})")?;
            }
        }
        for one in &diff.value_changed {
            let (id, before, after) = (&one.policy_id, one.first, one.second);
            writeln!(f, "  Policy {id}: {first}={before} \u{2192} {second}={after}")?;
        }
        Ok(())
    }

    fn affordances(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(diff) = &self.policies.affordance_policy_ids else { return Ok(()) };
        if *diff == AffordancePolicyIdsDiff::default() {
            return match self.policies.results {
                Some(_) => Ok(()),
                None => f.write_str("  Affordance policyIds: unchanged.\n"),
            };
        }
        let Labels { first, second } = &self.labels;
        for (only, label) in [(&diff.only_in_first, first), (&diff.only_in_second, second)] {
            for tool in only {
                writeln!(f, "  Tool {tool}: only in {label} affordances")?;
            }
        }
        for one in &diff.changed {
            let mut parts = Vec::new();
            if !one.removed.is_empty() {
                parts.push(format!("removed [{}]", one.removed.join(", ")));
            }
            if !one.added.is_empty() {
                parts.push(format!("added [{}]", one.added.join(", ")));
            }
            writeln!(f, "  Tool {} policyIds: {}", one.tool_name, parts.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for CapabilityDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { first, second } = &self.labels;
        writeln!(f, "Summary:\n  {}\n  ({first} vs {second})\nLink fields:", self.summary)?;
        if self.link.changed.is_empty() {
            f.write_str("  Unchanged.\n")?;
        }
        for one in &self.link.changed {
            let short = |value: &Option<String>| {
                value.as_deref().map_or_else(|| "(none)".to_owned(), format_hash_short)
            };
            let (before, after) = (short(&one.first), short(&one.second));
            writeln!(f, "  {}: {before} \u{2192} {after}", one.field)?;
        }
        self.tools(f)?;
        if !self.policies.told {
            return Ok(());
        }
        f.write_str("Policies:\n")?;
        if let Some(note) = &self.policies.note {
            writeln!(f, "  {note}")?;
        }
        if let Some(results) = &self.policies.results {
            self.results(results, f)?;
        }
        self.affordances(f)
    }
}
