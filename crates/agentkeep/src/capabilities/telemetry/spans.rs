//! Spans and events by Khora's names: an OpenTelemetry subscriber of `tracing` then sees them.

use std::future::Future;

use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{PayloadOptions, payload_attributes};
use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::host::SessionError;
use crate::capabilities::tool::PipelineHooks;
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
        "agent.session.cancelled" = Empty,
        "ok" = Empty,
    )
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

pub(crate) fn session_ended(span: &Span, ended: &Result<Json, SessionError>) {
    let _entered = span.enter();
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
            tracing::error!({ error = %error }, "agent.session.error");
        }
    }
}

/// Hooks that tell of tools and policies: each tool and each denied policy as a span, each policy
/// that passed as an event. Payloads only as `payloads` says, environments never.
pub fn pipeline_hooks(payloads: PayloadOptions) -> PipelineHooks {
    PipelineHooks::default()
        .on_policy_evaluated(|event| {
            let (tool, composable) = (event.tool_name.as_deref(), event.composable_name.as_deref());
            let (id, phase) = (event.policy_id.as_str(), event.phase.name());
            if event.ok {
                tracing::debug!(
                    { policy.id = id, policy.phase = phase, tool.name = tool, composable.name = composable },
                    "agent.policy.passed"
                );
            } else {
                let error = event.error.as_deref();
                let span = tracing::info_span!(
                    "agent.policy.denied",
                    "policy.id" = id,
                    "policy.phase" = phase,
                    "policy.error" = error,
                    "tool.name" = tool,
                    "composable.name" = composable,
                );
                drop(span.entered());
            }
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
