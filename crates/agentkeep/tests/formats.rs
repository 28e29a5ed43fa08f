//! Stores as earlier formats left them are opened, and hold what they held.
//!
//! `fixtures/stores/N` has a store of format N for each embedded driver, and what it held. A new
//! format adds its own with `cargo test -p agentkeep --all-features --test formats -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a test states what must hold by unwrapping it")]

use std::path::{Path, PathBuf};

use agentkeep::conformance::dump;
use agentkeep::schema::{AGENTKEEP, Namespace, Turn};
use agentkeep::{
    At, CapabilityLink, Container, EnvelopeRow, Follows, Image, Json, Kind, Message, OpContext,
    RegistrationRow, RuntimeSnapshotRow, Session, Store, ToolRef, TurnAttribution,
};

const STORES: [(&str, &str); 2] = [("sqlite", "keep.db"), ("file", "keep")];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores")
}

fn copied(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copied(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

async fn dumped(store: &Store) -> String {
    let mut text = String::new();
    for name in store.namespaces().names().await.unwrap() {
        let namespace = Namespace::new(&name).unwrap();
        let held = dump(&**store.driver(), &AGENTKEEP, &namespace).await.unwrap();
        text += &["== ", &name, "\n", &held].concat();
    }
    text
}

#[tokio::test]
async fn stores_of_every_format_open_and_hold_what_they_held() {
    let mut formats = 0;
    for format in std::fs::read_dir(fixtures()).unwrap() {
        let format = format.unwrap().path();
        for (scheme, name) in STORES {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(name);
            copied(&format.join(name), &path);
            let held = std::fs::read_to_string(format.join(format!("{name}.txt"))).unwrap();
            let url = format!("{scheme}:{}", path.display());
            let number: u32 = format.file_name().unwrap().to_str().unwrap().parse().unwrap();
            if number < AGENTKEEP.version {
                let error = Store::open(&format!("{url}?upgrade=no")).await.unwrap_err();
                assert_eq!(error.kind(), Kind::Unsupported, "{error}");
            }
            let store = Store::open(&url).await.unwrap();
            assert_eq!(store.describe().format, AGENTKEEP.version);
            assert_eq!(dumped(&store).await, held, "{scheme} of format {number}");
            assert_eq!(store.check().await.unwrap().damage, [], "{scheme} of format {number}");
            store.messages("s").add(Message::new("user", "later").unwrap()).await.unwrap();
            store.close().await.unwrap();
            let store = Store::open(&format!("{url}?upgrade=no")).await.unwrap();
            assert_eq!(store.check().await.unwrap().damage, []);
            store.close().await.unwrap();
        }
        formats += 1;
    }
    assert_eq!(formats, AGENTKEEP.version, "each format has its fixture");
}

#[tokio::test]
#[ignore = "writes the fixture of this format"]
async fn write_the_fixture() {
    let folder = fixtures().join(AGENTKEEP.version.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    for (scheme, name) in STORES {
        let store =
            Store::open(&format!("{scheme}:{}", folder.join(name).display())).await.unwrap();
        fill(&store).await;
        std::fs::write(folder.join(format!("{name}.txt")), dumped(&store).await).unwrap();
        store.close().await.unwrap();
    }
}

/// Something of every kind.
async fn fill(store: &Store) {
    let other = store.namespace("Other/ÄÖ").unwrap();
    for store in [store, &other] {
        conversations(store).await;
        capabilities(store).await;
    }
}

/// A registration, two turns with long envelopes and a transition, a snapshot of tools.
async fn capabilities(store: &Store) {
    let (keep, op) = (store.capabilities(), OpContext::at(1_769_990_400_000).actor("ann"));
    let json = |text: &str| Json::parse(text).unwrap();
    let registration = r#"{"registrationId":"r","agentId":"a","staticHash":"h","staticProps":{"n":1.0},"_ts_created":1}"#;
    let registration = RegistrationRow::from_json(json(registration)).unwrap();
    keep.upsert_registered_agent_snapshot(&op, &registration).await.unwrap();
    let tools = json(r#"[{"toolKey":"t","toolHash":"T"}]"#);
    let link = CapabilityLink {
        agent_id: "a".to_owned(),
        agent_name: "Ä".to_owned(),
        static_hash: "h".to_owned(),
        runtime_hash: "r".to_owned(),
        tool_refs: ToolRef::list_from_json(&tools).unwrap(),
        invocation_hash: Some("i".to_owned()),
    };
    let long = "long ".repeat(500);
    for id in ["l1", "l2"] {
        let envelope = json(&format!(
            r#"{{"schemaVersion":"1","static":[{long:?}],"runtime":{{"affordances":[{long:?}]}},"context":{{"id":{id:?}}}}}"#
        ));
        let mut turn = TurnAttribution::new(&op, "s", &link).unwrap().follows(Follows::Latest);
        turn.link = turn.link.with_id(id).unwrap();
        let row = EnvelopeRow::of(&envelope, "s", 1, None).unwrap();
        turn.envelope = Some(row.with_id(&format!("e-{id}")).unwrap());
        let named = Turn::new(&format!("turn-{id}")).unwrap();
        keep.record_turn_attribution(&op, &turn, Some(&named)).await.unwrap();
    }
    let tools: Vec<String> =
        (0..60).map(|n| format!(r#"{{"toolKey":"t{n}","toolHash":"T{n}"}}"#)).collect();
    let tools = tools.join(",");
    let envelope = json(&format!(
        r#"{{"schemaVersion":"1","runtime":{{"link":{{"toolRefs":[{tools}]}},"toolRefs":[{tools}]}}}}"#
    ));
    let row = EnvelopeRow::of(&envelope, "s", 1, None).unwrap().with_id("tools").unwrap();
    keep.record_affordance_snapshot_envelope(&op, &row).await.unwrap();
    let snapshot =
        r#"{"snapshotId":"x","sessionId":"s","_ts_created":1,"runtimeHash":"r","toolRefs":[]}"#;
    let snapshot = RuntimeSnapshotRow::from_json(json(snapshot)).unwrap();
    keep.record_runtime_tool_ref_snapshot(&op, &snapshot).await.unwrap();
}

async fn conversations(store: &Store) {
    let text = |id: &str| Message::new("user", id).unwrap().with("id", id).unwrap();
    let mut unit = store.unit().turn(&Turn::new("turn-1").unwrap());
    unit.containers().save(Container::new("c").unwrap().with("note", "\u{0}é").unwrap());
    unit.images().save(Image::new("i", "c", "Helper").unwrap().with("tags", &["x"]).unwrap());
    unit.sessions().save(Session::new("s", "i", "c").unwrap());
    unit.messages("s").add_many((0..5).map(|n| text(&format!("m{n}"))).collect());
    unit.commit().await.unwrap();
    let odd = r#"{"id":"odd","role":"user","content":"x","big":18446744073709551615,"far":1e999}"#;
    let odd = Message::from_json(Json::parse(odd).unwrap()).unwrap();
    store.messages("s").add(odd).await.unwrap();
    let attachment = store.attachments().put(b"an attachment").await.unwrap();
    store.messages("s").add(text("a").attach(&attachment).unwrap()).await.unwrap();
    store.sessions().fork("s", At::Message("m2".to_owned()), "f").await.unwrap();
    store.messages("f").add(text("on the fork")).await.unwrap();
    store.messages("s").edit("m4", text("m4").with("content", "edited").unwrap()).await.unwrap();
    store.messages("s").delete("m1").await.unwrap();
}
