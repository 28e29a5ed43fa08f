//! Rows, captured envelopes, recorded turns.

use agentkeep::capabilities::{CaptureOptions, EnvKeys, PolicyMode, ToolSpec, capture_turn};
use agentkeep::{
    CapabilityLink, EnvelopeRow, Follows, Json, LinkRow, List, Store, TurnAttribution,
};

use crate::links::{context, link_options};
use crate::persistence::op_of;
use crate::support::{Answer, Not, text};
use crate::trees::{World, list, members};
use crate::values::{Labels, input, same};

fn refused(error: agentkeep::Error) -> Not {
    Not::Same(error.to_string())
}

/// A link's row with the id and metadata that the vector gives.
fn link_row(given: &Json, metadata: Option<Json>, id: Option<String>) -> Result<LinkRow, Not> {
    let link = CapabilityLink::from_json(&given.member("link").unwrap()).unwrap();
    let (op, session) = (op_of(&given.member("op").unwrap()), text(given, "sessionId").unwrap());
    let row = LinkRow::of(&link, &session, op.now, metadata.as_ref()).map_err(refused)?;
    id.map_or(Ok(row.clone()), |id| row.with_id(&id)).map_err(refused)
}

fn envelope_row(
    given: &Json,
    metadata: Option<Json>,
    id: Option<String>,
) -> Result<EnvelopeRow, Not> {
    let (op, session) = (op_of(&given.member("op").unwrap()), text(given, "sessionId").unwrap());
    let envelope = given.member("envelope").unwrap();
    let row = EnvelopeRow::of(&envelope, &session, op.now, metadata.as_ref()).map_err(refused)?;
    id.map_or(Ok(row.clone()), |id| row.with_id(&id)).map_err(refused)
}

pub(crate) async fn answer(op: &Json, given: &Json, khora: &Json) -> Answer {
    let option = |name| given.member("options").and_then(|options| options.member(name));
    let agent = || World::of(given).agent(&given.member("agent").unwrap());
    match op.to_text().unwrap().as_str() {
        "defaultOpContext" => {
            let mine = match given.member("overrides") {
                Some(overrides) => op_of(&overrides),
                None => agentkeep::OpContext::default(),
            };
            same(&mine.to_json(), khora)
        }
        "registeredAgentToRegistrationRow" => {
            let op = op_of(&given.member("op").unwrap());
            let row = agent().to_registration_row(&op).unwrap();
            let row = text(given, "registrationId").map_or(Ok(row.clone()), |id| row.with_id(&id));
            same(row.map_err(refused)?.json(), khora)
        }
        "capabilityLinkToRow" => {
            let id = option("linkId").and_then(|id| id.to_text());
            same(link_row(given, option("metadata"), id)?.json(), khora)
        }
        "envelopeToRow" => {
            let id = option("snapshotId").and_then(|id| id.to_text());
            same(envelope_row(given, option("metadata"), id)?.json(), khora)
        }
        "AGENT_SNAPSHOT_ENVELOPE_VERSION" => {
            same(&members([("value", Some(Json::string(agentkeep::ENVELOPE_VERSION)))]), khora)
        }
        "registeredAgentToWire" => same(&agent().to_wire(), khora),
        "toolkitContextToWire" => same(&context(given)?.to_wire(None), khora),
        "captureAgentSnapshotEnvelope" => capture(given, khora).await,
        "recordTurnAttribution" => record(given, khora).await,
        other => panic!("no such op: {other}"),
    }
}

async fn capture(given: &Json, khora: &Json) -> Answer {
    let world = World::of(given);
    let agent = world.agent(&given.member("agent").unwrap());
    let audit = given.member("policyAudit").unwrap_or_else(|| members([]));
    let options = CaptureOptions {
        link: link_options(given)?,
        mode: match text(given, "policyMode").as_deref() {
            Some("authoritative") => PolicyMode::Authoritative,
            _ => PolicyMode::Hint,
        },
        captured_at: audit.member("capturedAt").and_then(|at| at.to_i64()),
        policy_bundle_id: text(&audit, "policyBundleId"),
        policy_engine_version: text(&audit, "policyEngineVersion"),
        env: EnvKeys::All,
        include_static: given.member("includeStatic").is_none_or(|one| one.as_str() == "true"),
        session_context: input(given, "sessionContext")?,
    };
    let captured = capture_turn(&agent, &context(given)?, &options).await.unwrap();
    let tools = captured.affordances.tools.iter().map(ToolSpec::name).map(str::to_owned);
    let mine = [
        ("envelope", Some(captured.envelope)),
        ("instructions", Some(Json::string(&captured.affordances.instructions))),
        ("evaluatedTools", Some(list(&tools.collect::<Vec<_>>()))),
    ];
    same(&members(mine), khora)
}

/// The rows of the session that are there: the link, the envelope.
async fn landed(store: &Store, session: &str) -> Vec<Json> {
    let keep = store.capabilities();
    let links = keep.links_of_session(session, 0, 10).await.unwrap().links;
    let envelopes = keep.envelopes(session, &List::default()).await.unwrap().items;
    let links = links.iter().map(|kept| kept.row.json().clone());
    links.chain(envelopes.iter().map(|kept| kept.row.json().clone())).collect()
}

async fn record(given: &Json, khora: &Json) -> Answer {
    let op = op_of(&given.member("op").unwrap());
    let store = Store::open("memory:").await.unwrap().tenant(&op).unwrap();
    let turn = TurnAttribution {
        link: link_row(given, given.member("linkMetadata"), None)?,
        envelope: match given.member("envelope") {
            Some(_) => Some(envelope_row(given, given.member("envelopeMetadata"), None)?),
            None => None,
        },
        follows: Follows::Nothing,
        transition_metadata: None,
    };
    let session = turn.link.session_id();
    let failing = text(given, "failOn");
    let written = match &failing {
        // Nothing can be written there.
        Some(_) => store.snapshot().await.unwrap(),
        None => store.clone(),
    };
    let done = written.capabilities().record_turn_attribution(&op, &turn, None).await;
    let mut labels = Labels::default();
    let calls: Vec<Json> = khora.member("calls").unwrap().elements().collect();
    let done_calls = calls.iter().filter(|call| text(call, "call") != failing);
    let rows: Vec<Json> = landed(&store, &session).await;
    let khora_rows: Vec<Json> = done_calls
        .map(|call| call.member("input").unwrap())
        .map(|input| input.member("link").or_else(|| input.member("row")).unwrap())
        .collect();
    labels.same(&Json::array(&rows), &Json::array(&khora_rows))?;
    match (done, khora.member("result")) {
        (Ok(done), Some(result)) => labels.same(&Json::of(&done).unwrap(), &result),
        (Err(_), None) => Ok(()),
        (done, _) => Err(Not::Same(format!("{done:?}"))),
    }
}
