//! The declaration itself.

use super::Order::{Ascending, Descending};
use super::{Field, Index, LineageView, Log, Schema, Table};

/// What agentkeep keeps.
pub static AGENTKEEP: Schema = Schema {
    name: "agentkeep",
    version: 6,
    tables: &[
        &CONTAINERS,
        &IMAGES,
        &SESSIONS,
        &LINEAGES,
        &DELETIONS,
        &GARBAGE,
        &DEFINITIONS,
        &TOPICS,
        &CONSUMERS,
        &TRIMS,
        &GROUPS,
        &DELIVERIES,
        &DEAD_LETTERS,
        &EVENT_KEYS,
        &UPKEEP,
        &RUNS,
        &THREADS,
        &MARKS,
        &AGENTS,
        &CURRENT_AGENTS,
        &LINKS,
        &TOOLSETS,
        &TOOL_SNAPSHOTS,
        &ENVELOPES,
        &TRANSITIONS,
    ],
    logs: &[&MESSAGES, &EVENTS, &STEPS, &TRANSCRIPTS, &SESSION_LINKS, &AGENT_LINKS],
    views: &[LineageView {
        name: "session_messages",
        since: 1,
        table: &LINEAGES,
        member: "segments",
        log: &MESSAGES,
    }],
};

/// Tables that every store has, kept by the driver in the commit that changes what they tell of.
pub static BUILT_IN: [&Table; 3] = [&STREAMS, &NAMESPACES, &BLOBS];

/// Built in: one record for each stream: `{log, stream, birth, first, last, count, bytes,
/// updated}`. `first` is the smallest number still there (`last` + 1 when none is).
pub static STREAMS: Table = Table {
    name: "_streams",
    since: 1,
    key: &["log", "stream"],
    fields: &[],
    // An index over `updated` would cost every append a second index entry.
    indexes: &[],
};

/// Built in: one record for each namespace, with the user's own fields; made by its first write.
/// Read alike from every namespace.
pub static NAMESPACES: Table =
    Table { name: "_namespaces", since: 1, key: &["namespace"], fields: &[], indexes: &[] };

/// Built in: one record for each blob: `{hash, size, references, unreferencedSince}`, the last
/// only while nothing refers to it.
pub static BLOBS: Table = Table {
    name: "_blobs",
    since: 1,
    key: &["hash"],
    fields: &[Field::one("unreferenced_since", &["unreferencedSince"])],
    indexes: &[Index::over("by_unreferenced", &[("unreferenced_since", Ascending)])],
};

/// Isolation boundaries that group images.
pub static CONTAINERS: Table = Table {
    name: "containers",
    since: 1,
    key: &["container_id"],
    fields: &[Field::one("created_at", &["createdAt"])],
    indexes: &[NEWEST],
};

/// Agents' definitions with their conversation.
pub static IMAGES: Table = Table {
    name: "images",
    since: 1,
    key: &["image_id"],
    fields: &[
        Field::one("container_id", &["containerId"]),
        Field::one("name", &["name"]),
        Field::one("parent_image_id", &["parentImageId"]),
        Field::one("created_at", &["createdAt"]),
        Field::list("tags", &["tags"]),
    ],
    indexes: &[
        NEWEST,
        Index::over("by_container", &[("container_id", Ascending), ("created_at", Descending)]),
        Index::over("by_name", &[("name", Ascending), ("created_at", Descending)]),
        Index::over("by_parent", &[("parent_image_id", Ascending), ("created_at", Descending)]),
        BY_TAG,
    ],
};

/// Conversations.
pub static SESSIONS: Table = Table {
    name: "sessions",
    since: 1,
    key: &["session_id"],
    fields: &[
        Field::one("image_id", &["imageId"]),
        Field::one("container_id", &["containerId"]),
        Field::one("created_at", &["createdAt"]),
        Field::list("tags", &["tags"]),
    ],
    indexes: &[
        NEWEST,
        Index::over("by_image", &[("image_id", Ascending), ("created_at", Descending)]),
        Index::over("by_container", &[("container_id", Ascending), ("created_at", Descending)]),
        BY_TAG,
    ],
};

/// For each session the segments of message streams that make up its conversation.
pub static LINEAGES: Table = Table {
    name: "lineages",
    since: 1,
    key: &["session_id"],
    fields: &[Field::list("streams", &["streams"])],
    indexes: &[Index::over("by_stream", &[("streams", Ascending)])],
};

/// What has been deleted and is still being collected: one record, `pending`.
pub static DELETIONS: Table =
    Table { name: "deletions", since: 1, key: &["name"], fields: &[], indexes: &[] };

/// Streams that may have entries which no lineage refers to.
pub static GARBAGE: Table = Table {
    name: "garbage",
    since: 1,
    key: &["stream"],
    fields: &[Field::one("since", &["since"])],
    indexes: &[Index::over("by_age", &[("since", Ascending)])],
};

/// Definitions that are no images, as other programs gave them.
pub static DEFINITIONS: Table =
    Table { name: "definitions", since: 1, key: &["kind", "id"], fields: &[], indexes: &[] };

/// The messages of all conversations.
pub static MESSAGES: Log = Log { name: "messages", since: 1 };

/// Topics of events: `{topic, birth, keys?, retention?}`. The events are in the stream of the same
/// name; `birth` tells a topic from one that had its name before.
pub static TOPICS: Table = Table {
    name: "topics",
    since: 2,
    key: &["topic"],
    fields: &[Field::one("name", &["topic"])],
    indexes: &[Index::over("by_name", &[("name", Ascending)])],
};

/// How far each registered consumer of a topic has come: `{topic, consumer, acked, seen,
/// forgotten?}`.
pub static CONSUMERS: Table = Table {
    name: "consumers",
    since: 2,
    key: &["topic", "consumer"],
    fields: &[Field::one("of_topic", &["topic"]), Field::one("name", &["consumer"])],
    indexes: &[BY_TOPIC, Index::over("by_name", &[("name", Ascending)])],
};

/// For each topic a record that changes whenever its front may move or is claimed: trimming and
/// registering depend on its version, and so on each other.
pub static TRIMS: Table =
    Table { name: "trims", since: 2, key: &["topic"], fields: &[], indexes: &[] };

/// Groups of workers that share a topic: `{topic, group, next, timeoutMs, maxDeliveries}`.
pub static GROUPS: Table = Table {
    name: "groups",
    since: 2,
    key: &["topic", "group"],
    fields: &[Field::one("of_topic", &["topic"])],
    indexes: &[BY_TOPIC],
};

/// Events handed out to a worker of a group and not yet acknowledged: `{topic, group, number,
/// worker, until, deliveries}`.
pub static DELIVERIES: Table = Table {
    name: "deliveries",
    since: 2,
    key: &["topic", "group", "number"],
    fields: &[
        Field::one("of_topic", &["topic"]),
        Field::one("of_group", &["group"]),
        Field::one("until", &["until"]),
    ],
    indexes: &[
        OLDEST_OF_GROUP,
        Index::over(
            "by_until",
            &[("of_topic", Ascending), ("of_group", Ascending), ("until", Ascending)],
        ),
    ],
};

/// Events that a group has put aside: `{topic, group, number, cursor, reason, deliveries, time,
/// event}`.
pub static DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    since: 2,
    key: &["topic", "group", "number"],
    fields: &[Field::one("of_topic", &["topic"]), Field::one("of_group", &["group"])],
    indexes: &[OLDEST_OF_GROUP],
};

/// Idempotency keys of events that have been trimmed: `{topic, number, digest, time}`.
pub static EVENT_KEYS: Table = Table {
    name: "event_keys",
    since: 2,
    key: &["topic", "event_key"],
    fields: &[Field::one("of_topic", &["topic"]), Field::one("time", &["time"])],
    indexes: &[Index::over("by_time", &[("of_topic", Ascending), ("time", Ascending)])],
};

/// What upkeep has to know: `retention`, which one process at a time runs (`{owner, until,
/// ranAt}`), and `retention-default`.
pub static UPKEEP: Table =
    Table { name: "upkeep", since: 2, key: &["name"], fields: &[], indexes: &[] };

/// The events of all topics.
pub static EVENTS: Log = Log { name: "events", since: 2 };

/// Runs: the last snapshot without what grows, and as `$run` what the store knows of it: `{parts,
/// last, fence, birth?, owner?, until?, reopened?}`, or with `ahead: {after, mark}` in the place of
/// `last` when steps may stand in the log behind it.
pub static RUNS: Table = Table {
    name: "runs",
    since: 2,
    key: &["run_id"],
    fields: &[
        Field::one("status", &["status"]),
        Field::one("started_at", &["startedAt"]),
        Field::one("completed_at", &["completedAt"]),
        Field::one("lease_until", &["$run", "until"]),
    ],
    indexes: &[
        Index::over("newest", &[("started_at", Descending)]),
        Index::over("by_status", &[("status", Ascending), ("started_at", Descending)]),
        Index::over("by_lease", &[("status", Ascending), ("lease_until", Ascending)]),
    ],
};

/// What grows in a run, one stream for each: each entry has what one commit added to lists or set.
pub static STEPS: Log = Log { name: "steps", since: 2 };

/// Threads of transcripts: `{thread, createdAt}`. When one was last written is told by its stream.
pub static THREADS: Table =
    Table { name: "threads", since: 2, key: &["thread"], fields: &[], indexes: &[] };

/// For each full block of a transcript the smallest and largest iteration in it; and how many of
/// its entries were taken back.
pub static MARKS: Table = Table {
    name: "transcript_marks",
    since: 2,
    key: &["thread", "block"],
    fields: &[Field::one("of_thread", &["thread"])],
    indexes: &[Index::over("by_thread", &[("of_thread", Ascending)])],
};

/// Transcripts, one stream for each thread.
pub static TRANSCRIPTS: Log = Log { name: "transcripts", since: 2 };

/// Agents as they were registered, by static hash: `{row, op}`.
pub static AGENTS: Table = Table {
    name: "capability_agents",
    since: 3,
    key: &["agent_id", "static_hash"],
    fields: &[
        Field::one("of_agent", &["row", "agentId"]),
        Field::one("hash", &["row", "staticHash"]),
        Field::one("created", &["row", "_ts_created"]),
    ],
    indexes: &[
        Index::over("by_agent", &[("of_agent", Ascending), ("created", Ascending)]),
        Index::over(
            "by_hash",
            &[("hash", Ascending), ("of_agent", Ascending), ("created", Ascending)],
        ),
    ],
};

/// For each agent the static hash that it was registered with last: `{agentId, staticHash}`.
pub static CURRENT_AGENTS: Table =
    Table { name: "capability_current", since: 3, key: &["agent_id"], fields: &[], indexes: &[] };

/// Links, one for each turn of a session: `{row, toolset?, envelope?, again?, invokedAgain?, op}`. `again`
/// is true when an earlier link of the agent is known to have its static hash, runtime hash and tools,
/// `invokedAgain` when that one has its invocation hash too, or lacks one as it does.
pub static LINKS: Table = Table {
    name: "capability_links",
    since: 3,
    key: &["link_id"],
    fields: &[
        Field::one("session_id", &["row", "sessionId"]),
        Field::one("agent_id", &["row", "agentId"]),
        Field::one("static_hash", &["row", "staticHash"]),
        Field::one("runtime_hash", &["row", "runtimeHash"]),
        Field::one("invocation_hash", &["row", "invocationHash"]),
        Field::one("toolset", &["toolset"]),
        Field::one("created", &["row", "_ts_created"]),
        Field::one("again", &["again"]).since(6),
        Field::one("invoked_again", &["invokedAgain"]).since(6),
    ],
    indexes: &[
        Index::over("by_agent", &[("agent_id", Ascending), ("created", Ascending)]),
        // An agent's first use of a hash is one step away from the last agent's. Most links repeat the
        // hashes of one before: they are left out, as they would change a page of each index.
        Index::over(
            "by_static",
            &[("static_hash", Ascending), ("agent_id", Ascending), ("created", Ascending)],
        )
        .unless("again")
        .since(6),
        Index::over(
            "by_runtime",
            &[("runtime_hash", Ascending), ("agent_id", Ascending), ("created", Ascending)],
        )
        .unless("again")
        .since(6),
        Index::over(
            "by_invocation",
            &[("invocation_hash", Ascending), ("agent_id", Ascending), ("created", Ascending)],
        )
        .unless("invoked_again")
        .since(6),
        Index::over(
            "by_toolset",
            &[("toolset", Ascending), ("agent_id", Ascending), ("created", Ascending)],
        )
        .unless("again")
        .since(6),
    ],
};

/// Lists of tool references of links, snapshots and envelopes, each kept once under the BLAKE3 hash of its text: `{toolRefs, hashes}`.
pub static TOOLSETS: Table = Table {
    name: "capability_toolsets",
    since: 3,
    key: &["toolset"],
    fields: &[Field::list("tools", &["hashes"])],
    indexes: &[Index::over("by_tool", &[("tools", Ascending)])],
};

/// Which tools an agent had: `{row, toolset?, op}`.
pub static TOOL_SNAPSHOTS: Table = Table {
    name: "capability_tool_snapshots",
    since: 3,
    key: &["snapshot_id"],
    fields: &OF_SESSION,
    indexes: &[BY_SESSION],
};

/// Envelopes: `{row, envelope, parts, link?, op}`, what is long in them as blobs, or
/// among the lists of tool references.
pub static ENVELOPES: Table = Table {
    name: "capability_envelopes",
    since: 3,
    key: &["snapshot_id"],
    fields: &OF_SESSION,
    indexes: &[BY_SESSION],
};

/// Transitions from link to link: `{row, op}`.
pub static TRANSITIONS: Table = Table {
    name: "capability_transitions",
    since: 3,
    key: &["transition_id"],
    fields: &OF_SESSION,
    indexes: &[BY_SESSION],
};

/// The links of each session in their order: `{link}`.
pub static SESSION_LINKS: Log = Log { name: "session_links", since: 3 };

/// The links of each agent in their order: `{link}`.
pub static AGENT_LINKS: Log = Log { name: "agent_links", since: 3 };

/// The fields of what belongs to a session.
const OF_SESSION: [Field; 2] = [
    Field::one("session_id", &["row", "sessionId"]),
    Field::one("created", &["row", "_ts_created"]),
];

/// One session's records, oldest first.
const BY_SESSION: Index =
    Index::over("by_session", &[("session_id", Ascending), ("created", Ascending)]);

/// One topic's records, by key.
const BY_TOPIC: Index = Index::over("by_topic", &[("of_topic", Ascending)]);

/// One group's records, by number.
const OLDEST_OF_GROUP: Index =
    Index::over("by_group", &[("of_topic", Ascending), ("of_group", Ascending)]);

/// Newest first, then by id.
const NEWEST: Index = Index::over("newest", &[("created_at", Descending)]);

/// One tag's records, newest first.
const BY_TAG: Index = Index::over("by_tag", &[("tags", Ascending), ("created_at", Descending)]);
