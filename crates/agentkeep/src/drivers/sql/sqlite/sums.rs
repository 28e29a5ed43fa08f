//! Checksums of the rows that are not records, entries or heads.

use crate::schema::checksum;

/// A remembered operation.
pub(super) fn operation_sum(
    namespace: &str,
    operation: &str,
    n: i64,
    digest: &[u8],
    time: i64,
    result: &str,
) -> u32 {
    let (n, time) = (n.to_le_bytes(), time.to_le_bytes());
    let columns = [namespace.as_bytes(), operation.as_bytes(), &n, digest, &time];
    checksum(columns.into_iter().chain([result.as_bytes()]))
}

/// The largest version that a deleted record of the scope had.
pub(super) fn floor_sum(scope: &str, floor: i64) -> u32 {
    checksum([scope.as_bytes(), &floor.to_le_bytes()])
}

/// What the store says of itself.
pub(super) fn facts_sum(schema: &str, store_id: &str, epoch: &str) -> u32 {
    checksum([schema, store_id, epoch].map(str::as_bytes))
}

/// How a blob is referred to.
pub(super) fn blob_sum(
    namespace: &str,
    hash: &str,
    size: i64,
    references: i64,
    since: Option<i64>,
    version: i64,
) -> u32 {
    let since = since.map(i64::to_le_bytes);
    checksum([
        namespace.as_bytes(),
        hash.as_bytes(),
        &size.to_le_bytes(),
        &references.to_le_bytes(),
        since.as_ref().map_or(&[], |since| &since[..]),
        &version.to_le_bytes(),
    ])
}
