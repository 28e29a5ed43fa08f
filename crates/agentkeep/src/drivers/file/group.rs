//! From the drafts of a group of commits to what the disk gets: lines in the streams' files, where
//! nobody looks yet; blobs; and one frame for the journal, which makes all of it count.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::changes::{
    BlobChange, Group, Lines, OperationChange, Place, RecordChange, SpaceChange, StreamChange,
    StreamValue,
};
use super::draft::Draft;
use super::folder::Folder;
use super::journal::Frame;
use super::layout::{self, BLOBS, LOGS};
use super::space::{Install, Space, fingerprint, owned};
use super::store::Store;
use super::streams::{Slot, StreamDraft};
use super::{line, reading};
use crate::driver::{Entry, Hash};
use crate::drivers::io_error;
use crate::drivers::kernel::built_in::{blob_record, stream_record};
use crate::drivers::kernel::{Map, Stored, StreamKey};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{Key, Namespace};

/// A new file of a stream is made only if less than this was trimmed from it.
const WASTE: u64 = 1 << 20;
/// Room in a frame for all but lines.
const FRAME: usize = 4 << 10;

/// A group whose lines and blobs are in their files, where they do not count yet.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) time: i64,
    /// For the journal.
    pub(super) frame: Frame,
    /// For memory.
    pub(super) installs: Vec<(Namespace, Install)>,
    pub(super) names: Map<Key, Option<Arc<Stored>>>,
    /// For the indexes of lines.
    pub(super) added: Vec<Added>,
    /// To be removed once the group counts.
    pub(super) obsolete: Vec<(Namespace, Vec<String>, String)>,
}

/// Lines that were written.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) namespace: Namespace,
    pub(super) key: StreamKey,
    pub(super) value: StreamValue,
    /// Each with its place and length.
    pub(super) lines: Vec<(u64, u64, Arc<Entry>)>,
}

/// What one stream's draft comes to.
struct Written {
    value: StreamValue,
    /// Where the new lines begin, and their text; nothing for a file written anew.
    lines: Option<(u64, String)>,
    entries: Vec<(u64, u64, Arc<Entry>)>,
}

/// Writes what the drafts need on the disk, except the journal.
pub(super) fn prepare(
    store: &Store,
    time: i64,
    drafts: BTreeMap<Namespace, (Arc<Space>, Draft)>,
    names: Map<Key, Option<Arc<Stored>>>,
) -> Result<Option<Prepared>> {
    let mut prepared = Prepared {
        time,
        frame: Frame::with_room(0),
        installs: Vec::new(),
        names: Map::default(),
        added: Vec::new(),
        obsolete: Vec::new(),
    };
    let mut changes = Vec::new();
    let mut drafts: Vec<(Namespace, (Arc<Space>, Draft))> = drafts.into_iter().collect();
    for (namespace, (base, draft)) in &mut drafts {
        let writing = Writing { store, namespace, base };
        changes.push(writing.change(draft, &names, &mut prepared)?);
    }
    changes.retain(|change| !change.is_empty());
    if changes.is_empty() {
        return Ok(None);
    }
    let group = Group { time, spaces: changes };
    let lines = group.spaces.iter().flat_map(|space| &space.lines);
    let frame = Frame::with_room(lines.map(|lines| lines.text.len()).sum::<usize>() + FRAME);
    prepared.frame = postcard::to_extend(&group, frame).map_err(|error| {
        Error::new(Kind::InvalidInput, "the commit has no form in the journal").caused_by(error)
    })?;
    drop(group);
    prepared.names = names;
    for (namespace, (_, draft)) in drafts {
        prepared.installs.push((namespace, install(draft)));
    }
    Ok(Some(prepared))
}

fn install(draft: Draft) -> Install {
    let value = |draft: Option<StreamDraft>| draft.map(|draft| draft.value);
    let changed = |slot: Slot| Some((slot.key, value(slot.draft?)));
    Install {
        records: draft.records.into_iter().collect(),
        streams: draft.streams.into_all().into_iter().filter_map(changed).collect(),
        blobs: draft.blobs.into_iter().collect(),
        floors: draft.floors,
        operations: draft.remembered,
    }
}

impl SpaceChange<'_> {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.streams.is_empty()
            && self.blobs.is_empty()
            && self.operations.is_empty()
    }
}

#[derive(Clone, Copy)]
struct Writing<'a> {
    store: &'a Store,
    namespace: &'a Namespace,
    base: &'a Space,
}

impl Writing<'_> {
    fn change<'d>(
        &self,
        draft: &'d mut Draft,
        names: &'d Map<Key, Option<Arc<Stored>>>,
        prepared: &mut Prepared,
    ) -> Result<SpaceChange<'d>> {
        let (streams, lines) = self.streams(draft, prepared)?;
        self.blob_files(draft, prepared)?;
        let draft = &*draft;
        let is_built_in = |key: &Key| key.table().name.starts_with('_');
        let of_records = draft.records.iter().filter(|(key, _)| !is_built_in(key));
        let own = names.iter().filter(|(key, _)| key.first() == self.namespace.as_str());
        let records = of_records
            .chain(own)
            .map(|(key, stored)| RecordChange::of(key, stored.as_deref()))
            .collect();
        let blobs = draft.blobs.iter().map(|(hash, state)| {
            let change = state.as_ref().map(|state| {
                Ok::<_, Error>(BlobChange {
                    size: state.size,
                    references: state.references,
                    unreferenced_since: state.unreferenced_since,
                    version: version(&draft.records, self.base, &blob_record(*hash)?),
                })
            });
            Ok((*hash.as_bytes(), change.transpose()?))
        });
        Ok(SpaceChange {
            namespace: owned(self.namespace.as_str()),
            records,
            streams,
            lines,
            blobs: blobs.collect::<Result<_>>()?,
            floors: draft.floors,
            tables: self.tables(draft),
            operations: operations(draft)?,
        })
    }

    /// How many records each changed table has then, and the sum of their checksums.
    fn tables<'d>(&self, draft: &Draft) -> Vec<(Cow<'d, str>, u64, u64)> {
        let mut tables: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (key, stored) in &draft.records {
            let name = key.table().name;
            let Some(rows) = self.base.tables.get(key.table()) else { continue };
            let (count, sum) = tables.entry(name).or_insert_with(|| {
                (rows.len() as u64, self.base.sums.get(name).copied().unwrap_or(0))
            });
            if let Some(old) = rows.get(key) {
                *count -= 1;
                *sum = sum.wrapping_sub(fingerprint(old));
            }
            if let Some(new) = stored {
                *count += 1;
                *sum = sum.wrapping_add(fingerprint(new));
            }
        }
        tables.into_iter().map(|(name, (count, sum))| (owned(name), count, sum)).collect()
    }

    fn streams<'d>(
        &self,
        draft: &mut Draft,
        prepared: &mut Prepared,
    ) -> Result<(Vec<StreamChange<'d>>, Vec<Lines<'d>>)> {
        let (mut streams, mut lines) = (Vec::new(), Vec::new());
        let Draft { streams: all, records, .. } = draft;
        for slot in all.changed() {
            let record = stream_record(&slot.key)?;
            let told = slot.told(record.clone()).map(Arc::new);
            let (key, base) = (slot.key.clone(), slot.base.as_ref());
            let Some(Some(stream)) = &mut slot.draft else {
                // Made and dropped within the group: nobody needs to know.
                let Some(base) = base else { continue };
                records.insert(record, None);
                self.obsolete_lines(&key, base, prepared);
                streams.push(StreamChange {
                    log: owned(key.0),
                    stream: owned(key.1.as_str()),
                    value: None,
                });
                continue;
            };
            if !stream.born && base == Some(&stream.value) {
                // What was done was taken back.
                slot.draft = None;
                continue;
            }
            records.insert(record, told);
            let written = self.stream(&key, base, stream)?;
            if let Some(base) = base
                && (base.place.file != written.value.place.file
                    || base.birth != written.value.birth)
            {
                self.obsolete_lines(&key, base, prepared);
            }
            let value = written.value;
            streams.push(StreamChange {
                log: owned(key.0),
                stream: owned(key.1.as_str()),
                value: Some(value.clone()),
            });
            if let Some((at, text)) = written.lines {
                lines.push(Lines {
                    log: owned(key.0),
                    stream: owned(key.1.as_str()),
                    birth: value.birth,
                    file: value.place.file,
                    at,
                    text: Cow::Owned(text),
                });
            }
            stream.value = value.clone();
            let namespace = self.namespace.clone();
            prepared.added.push(Added { namespace, key, value, lines: written.entries });
        }
        Ok((streams, lines))
    }

    /// Writes the lines that a draft adds, or the whole file anew.
    fn stream(
        &self,
        key: &StreamKey,
        base: Option<&StreamValue>,
        draft: &StreamDraft,
    ) -> Result<Written> {
        let cannot = |error: &std::io::Error| {
            let folder = layout::place(&self.store.base, self.namespace, &[LOGS, key.0]);
            io_error(error, "a stream cannot be written", &folder)
        };
        let on_disk = base.filter(|_| !draft.born);
        let changes_lines = on_disk.is_some_and(|base| {
            draft.rewritten.keys().any(|number| *number >= draft.kept_from && *number <= base.last)
        });
        let Place { start, end, .. } = draft.value.place;
        let wasteful = start > WASTE && start > end - start;
        let mut value = draft.value.clone();
        if let Some(base) = on_disk.filter(|_| changes_lines || wasteful) {
            let mut text = String::new();
            let kept = draft.kept_from..=u64::MAX;
            for old in reading::stretch(self.store, self.namespace, key, base, kept)? {
                let new = draft.rewritten.get(&old.number).map_or(&old, |new| new);
                line::push(&mut text, value.birth, new);
            }
            for entry in draft.added() {
                line::push(&mut text, value.birth, entry);
            }
            let (file, number, folder) =
                self.new_file(key, base, base.place.file + 1).map_err(|error| cannot(&error))?;
            let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| {
                if self.store.options.sync() {
                    folder.sync_file(&file).and_then(|()| folder.sync())
                } else {
                    Ok(())
                }
            });
            written.map_err(|error| cannot(&error))?;
            value.place = Place { file: number, start: 0, end: text.len() as u64 };
            return Ok(Written { value, lines: None, entries: Vec::new() });
        }
        let mut text = String::with_capacity(draft.added().map(|entry| line::room(entry)).sum());
        let mut entries = Vec::with_capacity(draft.fresh.len());
        let file = match on_disk {
            Some(base) => self.store.file(self.namespace, key, base).and_then(|file| {
                file.ok_or_else(|| std::io::Error::other("the stream's file is missing"))
            }),
            None => self.first_file(key, base, &mut value),
        };
        let file = file.map_err(|error| cannot(&error))?;
        let at = value.place.end;
        for entry in draft.added() {
            let start = text.len();
            line::push(&mut text, value.birth, entry);
            let length = text.len() - start;
            entries.push((at + start as u64, length as u64, Arc::clone(entry)));
        }
        file.write_all_at(text.as_bytes(), at).map_err(|error| cannot(&error))?;
        value.place.end = at + text.len() as u64;
        let lines = (!text.is_empty()).then_some((at, text));
        Ok(Written { value, lines, entries })
    }

    /// The first file of a stream that the group made.
    fn first_file(
        &self,
        key: &StreamKey,
        base: Option<&StreamValue>,
        value: &mut StreamValue,
    ) -> std::io::Result<Arc<File>> {
        // The file of an earlier stream of this name stays until the group counts.
        let from = base.map_or(1, |base| base.place.file + 1);
        let old = base.unwrap_or(&*value).clone();
        let (file, number, _) = self.new_file(key, &old, from)?;
        value.place = Place { file: number, start: 0, end: 0 };
        let file = Arc::new(file);
        let place = (self.namespace.clone(), key.clone(), value.birth, number);
        self.store.keep_open(place, Arc::clone(&file));
        Ok(file)
    }

    /// An empty file under a number that no state of the stream uses, also not one that a snapshot
    /// may still read.
    fn new_file(
        &self,
        key: &StreamKey,
        used: &StreamValue,
        mut number: u32,
    ) -> std::io::Result<(File, u32, Folder)> {
        let sync = self.store.options.sync();
        let folder = layout::make_folder(&self.store.base, self.namespace, &[LOGS, key.0], sync)?;
        loop {
            let name = layout::lines(&key.1, number);
            let (file, made) = folder.make_file(&name)?;
            if made {
                return Ok((file, number, folder));
            }
            // Left by a commit that did not come to its end, or by a stream that was dropped.
            let free = number != used.place.file
                && self.store.pins.unless_pinned(|| drop(folder.remove(&name)));
            if !free || folder.file(&name)?.is_some() {
                number += 1;
            }
        }
    }

    fn obsolete_lines(&self, key: &StreamKey, base: &StreamValue, prepared: &mut Prepared) {
        let folder = vec![LOGS.to_owned(), key.0.to_owned()];
        let name = layout::lines(&key.1, base.place.file);
        prepared.obsolete.push((self.namespace.clone(), folder, name));
    }

    /// Writes the bytes of new blobs; they are on the disk before anything refers to them.
    fn blob_files(&self, draft: &mut Draft, prepared: &mut Prepared) -> Result<()> {
        let place = || -> PathBuf { layout::place(&self.store.base, self.namespace, &[BLOBS]) };
        let cannot = |error: &std::io::Error| io_error(error, "a blob cannot be written", &place());
        let sync = self.store.options.sync();
        let new: Vec<Hash> = draft
            .bytes
            .keys()
            .filter(|hash| matches!(draft.blobs.get(hash), Some(Some(_))))
            .copied()
            .collect();
        if !new.is_empty() {
            let folder = layout::make_folder(&self.store.base, self.namespace, &[BLOBS], sync)
                .map_err(|error| cannot(&error))?;
            for hash in new {
                let Some(blob) = draft.bytes.get(&hash) else { continue };
                folder
                    .write(&layout::blob(hash), blob.bytes(), sync)
                    .map_err(|error| cannot(&error))?;
            }
            if sync {
                folder.sync().map_err(|error| cannot(&error))?;
            }
        }
        let gone = draft.blobs.iter().filter(|(_, state)| state.is_none());
        for (hash, _) in gone {
            prepared.obsolete.push((
                self.namespace.clone(),
                vec![BLOBS.to_owned()],
                layout::blob(*hash),
            ));
        }
        Ok(())
    }
}

/// The version that a built-in record has then.
fn version(records: &Map<Key, Option<Arc<Stored>>>, base: &Space, key: &Key) -> u64 {
    let there = match records.get(key) {
        Some(stored) => stored.as_ref(),
        None => base.tables.get(key.table()).and_then(|rows| rows.get(key)),
    };
    there.map_or(0, |stored| stored.record.version)
}

fn operations<'d>(draft: &Draft) -> Result<Vec<OperationChange<'d>>> {
    let change = |(operation, digest, committed): &(_, _, crate::driver::Committed)| {
        let operation: &crate::schema::OperationId = operation;
        Ok(OperationChange {
            operation: owned(operation.as_str()),
            digest: *digest,
            time: committed.time,
            outcomes: Cow::Owned(Json::of(&committed.outcomes)?.to_string()),
            replayed: committed.replayed,
        })
    };
    draft.remembered.iter().map(change).collect()
}
