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
        Field::one("kind", &["kind"]),
        Field::one("rank", &["deep", "rank"]),
        Field::list("tags", &["tags"]),
        Field::one("hidden", &["hidden"]),
    ],
    indexes: &[
        Index::over("by_rank", &[("rank", Ascending)]),
        Index::over("by_rank_down", &[("rank", Descending)]),
        Index::over("by_kind", &[("kind", Ascending), ("rank", Descending)]),
        Index::over("by_tag", &[("tags", Ascending), ("rank", Descending)]),
        Index::over("by_shown", &[("rank", Ascending), ("kind", Descending)]).unless("hidden"),
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
