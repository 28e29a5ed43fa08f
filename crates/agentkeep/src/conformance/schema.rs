//! A schema that has something of everything.

use crate::schema::Order::{Ascending, Descending};
use crate::schema::{Field, Index, Log, Schema, Table};

/// What the cases keep.
pub static SCHEMA: Schema = Schema {
    name: "conformance",
    version: 1,
    tables: &[&THINGS, &PAIRS, &FOURS],
    logs: &[&ALPHA, &BETA],
    views: &[],
};

/// One part; fields of any type in every kind of index.
pub static THINGS: Table = Table {
    name: "things",
    since: 1,
    key: &["thing_id"],
    fields: &[
        Field { name: "kind", path: &["kind"], many: false },
        Field { name: "rank", path: &["deep", "rank"], many: false },
        Field { name: "tags", path: &["tags"], many: true },
    ],
    indexes: &[
        Index { name: "by_rank", fields: &[("rank", Ascending)] },
        Index { name: "by_rank_down", fields: &[("rank", Descending)] },
        Index { name: "by_kind", fields: &[("kind", Ascending), ("rank", Descending)] },
        Index { name: "by_tag", fields: &[("tags", Ascending), ("rank", Descending)] },
    ],
};

/// Two parts, the second of which may be empty.
pub static PAIRS: Table =
    Table { name: "pairs", since: 1, key: &["left_id", "right_id"], fields: &[], indexes: &[] };

/// Four parts.
pub static FOURS: Table =
    Table { name: "fours", since: 1, key: &["a", "b", "c", "d"], fields: &[], indexes: &[] };

/// A log.
pub static ALPHA: Log = Log { name: "alpha", since: 1 };

/// Another log, whose streams may have the same names.
pub static BETA: Log = Log { name: "beta", since: 1 };
