//! The declaration itself.

use super::Order::{Ascending, Descending};
use super::{Field, Index, LineageView, Log, Schema, Table};

/// What agentkeep keeps.
pub static AGENTKEEP: Schema = Schema {
    name: "agentkeep",
    version: 2,
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
    ],
    logs: &[&MESSAGES, &EVENTS],
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
    fields: &[field("unreferenced_since", &["unreferencedSince"])],
    indexes: &[Index { name: "by_unreferenced", fields: &[("unreferenced_since", Ascending)] }],
};

/// Isolation boundaries that group images.
pub static CONTAINERS: Table = Table {
    name: "containers",
    since: 1,
    key: &["container_id"],
    fields: &[field("created_at", &["createdAt"])],
    indexes: &[NEWEST],
};

/// Agents' definitions with their conversation.
pub static IMAGES: Table = Table {
    name: "images",
    since: 1,
    key: &["image_id"],
    fields: &[
        field("container_id", &["containerId"]),
        field("name", &["name"]),
        field("parent_image_id", &["parentImageId"]),
        field("created_at", &["createdAt"]),
        list("tags", &["tags"]),
    ],
    indexes: &[
        NEWEST,
        Index {
            name: "by_container",
            fields: &[("container_id", Ascending), ("created_at", Descending)],
        },
        Index { name: "by_name", fields: &[("name", Ascending), ("created_at", Descending)] },
        Index {
            name: "by_parent",
            fields: &[("parent_image_id", Ascending), ("created_at", Descending)],
        },
        BY_TAG,
    ],
};

/// Conversations.
pub static SESSIONS: Table = Table {
    name: "sessions",
    since: 1,
    key: &["session_id"],
    fields: &[
        field("image_id", &["imageId"]),
        field("container_id", &["containerId"]),
        field("created_at", &["createdAt"]),
        list("tags", &["tags"]),
    ],
    indexes: &[
        NEWEST,
        Index { name: "by_image", fields: &[("image_id", Ascending), ("created_at", Descending)] },
        Index {
            name: "by_container",
            fields: &[("container_id", Ascending), ("created_at", Descending)],
        },
        BY_TAG,
    ],
};

/// For each session the segments of message streams that make up its conversation.
pub static LINEAGES: Table = Table {
    name: "lineages",
    since: 1,
    key: &["session_id"],
    fields: &[list("streams", &["streams"])],
    indexes: &[Index { name: "by_stream", fields: &[("streams", Ascending)] }],
};

/// What has been deleted and is still being collected: one record, `pending`.
pub static DELETIONS: Table =
    Table { name: "deletions", since: 1, key: &["name"], fields: &[], indexes: &[] };

/// Streams that may have entries which no lineage refers to.
pub static GARBAGE: Table = Table {
    name: "garbage",
    since: 1,
    key: &["stream"],
    fields: &[field("since", &["since"])],
    indexes: &[Index { name: "by_age", fields: &[("since", Ascending)] }],
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
    fields: &[field("name", &["topic"])],
    indexes: &[Index { name: "by_name", fields: &[("name", Ascending)] }],
};

/// How far each registered consumer of a topic has come: `{topic, consumer, acked, seen,
/// forgotten?}`.
pub static CONSUMERS: Table = Table {
    name: "consumers",
    since: 2,
    key: &["topic", "consumer"],
    fields: &[field("of_topic", &["topic"]), field("name", &["consumer"])],
    indexes: &[BY_TOPIC, Index { name: "by_name", fields: &[("name", Ascending)] }],
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
    fields: &[field("of_topic", &["topic"])],
    indexes: &[BY_TOPIC],
};

/// Events handed out to a worker of a group and not yet acknowledged: `{topic, group, number,
/// worker, until, deliveries}`.
pub static DELIVERIES: Table = Table {
    name: "deliveries",
    since: 2,
    key: &["topic", "group", "number"],
    fields: &[
        field("of_topic", &["topic"]),
        field("of_group", &["group"]),
        field("until", &["until"]),
    ],
    indexes: &[
        OLDEST_OF_GROUP,
        Index {
            name: "by_until",
            fields: &[("of_topic", Ascending), ("of_group", Ascending), ("until", Ascending)],
        },
    ],
};

/// Events that a group has put aside: `{topic, group, number, cursor, reason, deliveries, time,
/// event}`.
pub static DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    since: 2,
    key: &["topic", "group", "number"],
    fields: &[field("of_topic", &["topic"]), field("of_group", &["group"])],
    indexes: &[OLDEST_OF_GROUP],
};

/// Idempotency keys of events that have been trimmed: `{topic, number, digest, time}`.
pub static EVENT_KEYS: Table = Table {
    name: "event_keys",
    since: 2,
    key: &["topic", "event_key"],
    fields: &[field("of_topic", &["topic"]), field("time", &["time"])],
    indexes: &[Index { name: "by_time", fields: &[("of_topic", Ascending), ("time", Ascending)] }],
};

/// What upkeep has to know: `retention`, which one process at a time runs (`{owner, until,
/// ranAt}`), and `retention-default`.
pub static UPKEEP: Table =
    Table { name: "upkeep", since: 2, key: &["name"], fields: &[], indexes: &[] };

/// The events of all topics.
pub static EVENTS: Log = Log { name: "events", since: 2 };

/// One topic's records, by key.
const BY_TOPIC: Index = Index { name: "by_topic", fields: &[("of_topic", Ascending)] };

/// One group's records, by number.
const OLDEST_OF_GROUP: Index =
    Index { name: "by_group", fields: &[("of_topic", Ascending), ("of_group", Ascending)] };

/// Newest first, then by id.
const NEWEST: Index = Index { name: "newest", fields: &[("created_at", Descending)] };

/// One tag's records, newest first.
const BY_TAG: Index =
    Index { name: "by_tag", fields: &[("tags", Ascending), ("created_at", Descending)] };

const fn field(name: &'static str, path: &'static [&'static str]) -> Field {
    Field { name, path, many: false }
}

const fn list(name: &'static str, path: &'static [&'static str]) -> Field {
    Field { name, path, many: true }
}
