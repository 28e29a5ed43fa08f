//! What the drivers without a database of their own share: records with their indexes in memory,
//! and what a commit means, step by step.

pub(in crate::drivers) mod built_in;
mod commit;
mod entries;
mod expect;
mod find;
mod ground;
mod operations;
mod records;
mod rows;
mod tell;

#[cfg(any(feature = "postgres", feature = "redis"))]
pub(in crate::drivers) use built_in::{blob_body, stream_body};
pub(in crate::drivers) use commit::apply;
#[cfg(feature = "redis")]
pub(in crate::drivers) use find::Stretch;
pub(in crate::drivers) use find::page;
pub(in crate::drivers) use ground::{
    BlobState, Ground, StreamKey, floor_of, is_names, is_streams, stream_place,
};
pub(in crate::drivers) use operations::Operations;
pub(in crate::drivers) use rows::{Rows, Stored};

/// A map whose keys are found faster than by the standard library's hashing.
pub(in crate::drivers) type Map<K, V> =
    std::collections::HashMap<K, V, foldhash::fast::RandomState>;
