//! The scripts of persistence operations.

use agentkeep::{
    EnvelopeRow, Json, LinkRow, OpContext, RegistrationRow, Result, RuntimeSnapshotRow, Store,
    TransitionRow,
};

use crate::support::{Answer, Not, text};
use crate::trees::{json, members};
use crate::values::{Labels, value};

/// Khora's pages.
const PAGE: usize = 50;

pub(crate) fn op_of(op: &Json) -> OpContext {
    let now = op.member("now").and_then(|now| now.to_i64()).unwrap();
    OpContext { now, tenant_id: text(op, "tenantId"), actor_id: text(op, "actorId") }
}

pub(crate) async fn script(store: &Store, given: &Json, expected: &Json) -> Answer {
    let steps: Vec<Json> = given.member("steps").unwrap().elements().collect();
    let tenants = steps.iter().find_map(|step| {
        let op = step.member("input").and_then(|input| input.member("op"));
        op.and_then(|op| text(&op, "tenantId"))
    });
    // Reads do not say whose rows they want: a handle does.
    let store = store.namespace(&tenants.unwrap_or_else(|| "t".to_owned())).unwrap();
    let mut labels = Labels::default();
    let expected: Vec<Json> = expected.member("steps").unwrap().elements().collect();
    for (place, (step, khora)) in steps.iter().zip(&expected).enumerate() {
        let mine = if step.member("repeat").is_some() {
            repeated(&store, step).await
        } else {
            let input = value(&step.member("input").unwrap())?.unwrap();
            let answered = call(&store, &text(step, "call").unwrap(), &input).await?;
            match (answered, khora.member("error")) {
                (Err(_), Some(_)) => continue,
                (Err(error), None) => return Err(Not::Same(format!("step {place}: {error}"))),
                (Ok(mine), _) => mine,
            }
        };
        let mine = if khora.member("linkCount").is_some() { summary(&mine) } else { mine };
        labels.same(&mine, khora).map_err(|not| match not {
            Not::Same(how) => Not::Same(format!("step {place}: {how}")),
            not => not,
        })?;
    }
    Ok(())
}

fn summary(page: &Json) -> Json {
    let links: Vec<Json> = page.member("links").unwrap().elements().collect();
    let id = |link: Option<&Json>| link.and_then(|link| link.member("linkId"));
    members([
        ("linkCount", Some(Json::of(&links.len()).unwrap())),
        ("firstLinkId", id(links.first())),
        ("lastLinkId", id(links.last())),
        ("nextPage", page.member("nextPage")),
    ])
}

async fn repeated(store: &Store, step: &Json) -> Json {
    let number = |name: &str| step.member(name).unwrap().to_i64().unwrap();
    let template = step.member("template").unwrap();
    for i in number("from")..number("from") + number("repeat") {
        let row = template.as_str().replace("{i}", &i.to_string());
        let row = row.replace("\"{1000+i}\"", &(1000 + i).to_string());
        let row = LinkRow::from_json(json(&row)).unwrap();
        let op = OpContext::at(1000 + i);
        store.capabilities().record_session_capability_link(&op, &row).await.unwrap();
    }
    members([("recorded", Some(Json::integer(number("repeat"))))])
}

/// What one call answers, as Khora tells it.
async fn call(store: &Store, call: &str, input: &Json) -> std::result::Result<Result<Json>, Not> {
    let of = |name: &str| text(input, name).unwrap();
    let one = |name, id: String| members([(name, Some(Json::string(&id)))]);
    let op = input.member("op").map(|op| op_of(&op)).unwrap_or_default();
    let keep = store.capabilities();
    let row = || input.member("row").unwrap();
    let answer: Result<Json> = async {
        Ok(match call {
            "upsertRegisteredAgentSnapshot" => {
                let row = RegistrationRow::from_json(row())?;
                one("registrationId", keep.upsert_registered_agent_snapshot(&op, &row).await?)
            }
            "getLatestRegisteredAgentForAgent" => {
                let row = keep.get_latest_registered_agent_for_agent(&of("agentId")).await?;
                members([("row", row.map(|row| row.json().clone()))])
            }
            "recordSessionCapabilityLink" => {
                let row = LinkRow::from_json(input.member("link").unwrap())?;
                one("linkId", keep.record_session_capability_link(&op, &row).await?)
            }
            "getLatestCapabilityLinkForSession" => {
                let row = keep.get_latest_capability_link_for_session(&of("sessionId")).await?;
                members([("link", row.map(|row| row.json().clone()))])
            }
            "listCapabilityLinksForAgent" => {
                let cursor = input.member("query").and_then(|query| query.member("cursor"));
                let from = match cursor {
                    None => 0,
                    // A place is a number from 0: nothing else can be asked for.
                    Some(cursor) => cursor.to::<u64>()?,
                };
                let page = keep.list_capability_links_for_agent(&of("agentId"), from, PAGE).await?;
                let links: Vec<Json> =
                    page.links.iter().map(|kept| kept.row.json().clone()).collect();
                let cursor = |next| members([("cursor", Some(Json::of(&next).unwrap()))]);
                members([("links", Some(Json::array(&links))), ("nextPage", page.next.map(cursor))])
            }
            "recordRuntimeToolRefSnapshot" => {
                let row = RuntimeSnapshotRow::from_json(row())?;
                one("snapshotId", keep.record_runtime_tool_ref_snapshot(&op, &row).await?)
            }
            "recordAffordanceSnapshotEnvelope" => {
                let row = EnvelopeRow::from_json(row())?;
                one("snapshotId", keep.record_affordance_snapshot_envelope(&op, &row).await?)
            }
            "getAffordanceSnapshotEnvelope" => {
                let row = keep.get_affordance_snapshot_envelope(&of("snapshotId")).await?;
                members([("row", row.map(|row| row.json().clone()))])
            }
            "recordCapabilityTransition" => {
                let row = TransitionRow::from_json(row())?;
                one("transitionId", keep.record_capability_transition(&op, &row).await?)
            }
            other => panic!("no such call: {other}"),
        })
    }
    .await;
    Ok(answer)
}
