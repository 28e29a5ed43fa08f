//! Spans and events by Khora's names: an OpenTelemetry subscriber of `tracing` then sees them.

use std::future::Future;
use std::time::Duration;

use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{HookOptions, MAX_PAYLOAD, Passed, cut, payload_attributes};
use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::host::SessionError;
use crate::capabilities::tool::{Affordances, Phase, PipelineHooks, PolicyEvaluated};
use crate::json::Json;
use crate::model::CapabilityLink;

pub(crate) fn session_span(agent: &RegisteredAgent, session_id: Option<&str>) -> Span {
    tracing::info_span!(
        "agent.session",
        "agent.id" = agent.id(),
        "agent.name" = agent.name(),
        "agent.static_hash" = agent.static_hash(),
        "session.id" = session_id,
        "agent.runtime_hash" = Empty,
        "agent.invocation_hash" = Empty,
        "agent.tool_count" = Empty,
        "agent.session.duration_ms" = Empty,
        "agent.session.cancelled" = Empty,
        "ok" = Empty,
    )
}

/// An evaluation in a span of its own, which is told how many tools it left.
pub(crate) async fn evaluating<E>(
    work: impl Future<Output = Result<Affordances, E>>,
) -> Result<Affordances, E> {
    let span = tracing::info_span!("agent.affordance.evaluate", "agent.tool_count" = Empty);
    let done = within(&span, work).await;
    if let Ok(affordances) = &done {
        span.record("agent.tool_count", affordances.tools.len());
    }
    done
}

pub(crate) async fn within<T>(span: &Span, work: impl Future<Output = T>) -> T {
    work.instrument(span.clone()).await
}

/// The link of the turn, told to the span that it is in.
pub(crate) fn link_captured(link: &CapabilityLink) {
    let span = Span::current();
    span.record("agent.runtime_hash", link.runtime_hash.as_str());
    span.record("agent.tool_count", link.tool_refs.len());
    if let Some(hash) = &link.invocation_hash {
        span.record("agent.invocation_hash", hash.as_str());
    }
    for one in &link.tool_refs {
        let (key, hash) = (one.tool_key.as_str(), one.tool_hash.as_str());
        tracing::info!({ tool.key = key, tool.hash = hash }, "agent.tool.ref");
    }
}

pub(crate) fn session_began(span: &Span) {
    span.in_scope(|| tracing::info!("agent.session.start"));
}

pub(crate) fn session_ended(span: &Span, took: Duration, ended: &Result<Json, SessionError>) {
    let _entered = span.enter();
    span.record("agent.session.duration_ms", took.as_secs_f64() * 1000.0);
    match ended {
        Ok(_) => {
            span.record("ok", true);
            tracing::info!("agent.session.end");
        }
        // Cancelling is no error.
        Err(SessionError::Aborted(_)) => {
            span.record("ok", true).record("agent.session.cancelled", true);
            tracing::info!("agent.session.cancelled");
        }
        Err(error) => {
            span.record("ok", false);
            let error = bounded(&error.to_string());
            tracing::error!({ error = error.as_str() }, "agent.session.error");
        }
    }
}

/// What failures say is told like payloads that are told: not without end.
fn bounded(text: &str) -> String {
    cut(text, MAX_PAYLOAD)
}

fn policy_told(event: &PolicyEvaluated, passed: Passed) {
    let (tool, composable) = (event.tool_name.as_deref(), event.composable_name.as_deref());
    let (id, phase) = (event.policy_id.as_str(), event.phase.name());
    let spanned = match passed {
        Passed::Event => false,
        Passed::ExecuteOnly => event.phase == Phase::Execute,
        Passed::Span => true,
    };
    if !event.ok {
        let error = event.error.as_deref().map(bounded);
        let span = tracing::info_span!(
            "agent.policy.denied",
            "policy.id" = id,
            "policy.phase" = phase,
            "policy.error" = error,
            "tool.name" = tool,
            "composable.name" = composable,
        );
        drop(span.entered());
    } else if spanned {
        let span = tracing::info_span!(
            "agent.policy.passed",
            "policy.id" = id,
            "policy.phase" = phase,
            "tool.name" = tool,
            "composable.name" = composable,
        );
        drop(span.entered());
    } else {
        tracing::debug!(
            { policy.id = id, policy.phase = phase, tool.name = tool, composable.name = composable },
            "agent.policy.passed"
        );
    }
}

/// Hooks that tell of tools and policies: each tool and each denied policy as a span, each policy
/// that passed as `options` says. Payloads only if asked for, environments never.
pub fn pipeline_hooks(options: impl Into<HookOptions>) -> PipelineHooks {
    let HookOptions { payloads, passed } = options.into();
    PipelineHooks::default()
        .on_policy_evaluated(move |event| {
            policy_told(&event, passed);
            async { Ok(()) }
        })
        .on_tool_executed(move |event| {
            let output = event.output.as_ref();
            let told = payload_attributes(Some(&event.input), output, payloads);
            let told = |name: &str| {
                let found = told.iter().find(|(told, _)| told == name);
                found.and_then(|(_, value)| value.to_text())
            };
            let span = tracing::info_span!(
                "agent.tool.execute",
                "tool.name" = event.tool_name.as_str(),
                "tool.ok" = event.ok,
                "agent.tool.duration_ms" = event.duration_ms,
                "tool.input" = told("tool.input"),
                "tool.output" = told("tool.output"),
                "tool.input_hash" = told("tool.input_hash"),
                "tool.output_hash" = told("tool.output_hash"),
            );
            drop(span.entered());
            async { Ok(()) }
        })
}
