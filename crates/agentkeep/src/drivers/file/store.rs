//! The store as all parts of the driver share it, and how a process learns what others committed.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::changes::{Group, StreamValue};
use super::folder::Folder;
use super::index::Index;
use super::journal::{Frames, Journal, Position};
use super::layout::{self, LOGS};
use super::load;
use super::locks::{Generation, Lock, Pins, Users};
use super::options::Options;
use super::space::{Home, stream_key};
use crate::driver::Hub;
use crate::drivers::io_error;
use crate::drivers::kernel::{Map, Rows, StreamKey};
use crate::error::{Error, Kind, Result};
use crate::schema::{NAMESPACES, Namespace, Schema};

/// Open files that are kept for the next read.
const OPEN_FILES: usize = 128;

#[derive(Debug)]
pub(super) struct Store {
    pub(super) schema: &'static Schema,
    pub(super) base: Folder,
    pub(super) options: Options,
    pub(super) journal: Journal,
    /// The writer's.
    pub(super) lock: Lock,
    /// For whoever else must see that nobody changes the files.
    pub(super) side: Mutex<Lock>,
    pub(super) users: Users,
    pub(super) pins: Arc<Pins>,
    pub(super) generation: Generation,
    pub(super) hub: Hub,
    state: RwLock<State>,
    indexes: Mutex<Map<(Namespace, StreamKey), SharedIndex>>,
    files: Mutex<Map<FileKey, Arc<File>>>,
    pub(super) closed: AtomicBool,
    poisoned: AtomicBool,
}

pub(super) type SharedIndex = Arc<Mutex<Index>>;
type FileKey = (Namespace, StreamKey, u64, u32);

/// What this process knows of the store, as of one position of the journal.
#[derive(Debug)]
pub(super) struct State {
    pub(super) position: Position,
    pub(super) names: Arc<Rows>,
    pub(super) homes: Map<Namespace, Home>,
    /// The time of the last commit.
    pub(super) time: i64,
    /// True when too much happened meanwhile to be followed: all must be read again.
    lost: bool,
}

/// What the store is made of, as opening finds it.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) schema: &'static Schema,
    pub(super) base: Folder,
    pub(super) options: Options,
    pub(super) journal: Journal,
    pub(super) lock: Lock,
    pub(super) side: Lock,
    pub(super) users: Users,
    pub(super) pins: Pins,
    pub(super) generation: Generation,
}

impl State {
    /// A namespace that was brought into memory.
    pub(super) fn home(&self, namespace: &Namespace) -> Result<&Home> {
        self.homes.get(namespace).ok_or_else(|| {
            // Forgotten between two steps, because too much happened to be followed.
            Error::new(Kind::Unavailable, "the namespace changed too fast to be read")
                .advice("try again")
        })
    }
}

impl Store {
    pub(super) fn new(parts: Parts) -> Self {
        let state = State {
            position: Position::default(),
            names: Arc::new(Rows::new(&NAMESPACES)),
            homes: Map::default(),
            time: 0,
            lost: true,
        };
        Self {
            schema: parts.schema,
            base: parts.base,
            options: parts.options,
            journal: parts.journal,
            lock: parts.lock,
            side: Mutex::new(parts.side),
            users: parts.users,
            pins: Arc::new(parts.pins),
            generation: parts.generation,
            hub: Hub::default(),
            state: RwLock::new(state),
            indexes: Mutex::default(),
            files: Mutex::default(),
            closed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
        }
    }

    /// True when the disk has failed under this handle in a way that makes what it says now
    /// worthless: nothing is written any more.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire) || self.base.disk_failed()
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(super) fn still_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` while nobody changes the files.
    pub(super) fn undisturbed<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let side = lock(&self.side);
        let _held = side.hold(self.deadline(Instant::now()))?;
        self.still_open()?;
        work()
    }

    pub(super) fn deadline(&self, since: Instant) -> Instant {
        // A day is as good as for ever.
        since + self.options.timeout.min(std::time::Duration::from_hours(24))
    }

    /// True when this process knows all that has been committed, and has the namespace in memory.
    pub(super) fn is_current(&self, namespace: &Namespace) -> Result<bool> {
        let told = self.told()?;
        let state = self.state();
        Ok(!state.lost && state.position == told && state.homes.contains_key(namespace))
    }

    /// Learns what was committed meanwhile, and brings the namespace into memory.
    pub(super) fn refresh(&self, namespace: &Namespace) -> Result<()> {
        self.catch_up()?;
        let missing = {
            let state = self.state();
            state.lost || !state.homes.contains_key(namespace)
        };
        if missing { self.undisturbed(|| self.bring_in(namespace)) } else { Ok(()) }
    }

    /// Learns all that was committed, with the lock held: nobody commits until it is let go.
    pub(super) fn settle(&self) -> Result<()> {
        self.catch_up()?;
        let mut state = self.state_mut();
        if state.lost { self.read_again(&mut state) } else { Ok(()) }
    }

    /// As [`refresh`](Self::refresh), with the lock held by the caller.
    pub(super) fn bring_in(&self, namespace: &Namespace) -> Result<()> {
        self.settle()?;
        let mut state = self.state_mut();
        if !state.homes.contains_key(namespace) {
            let home = self.loaded(&state, namespace)?;
            state.homes.insert(namespace.clone(), home);
        }
        Ok(())
    }

    fn told(&self) -> Result<Position> {
        let told = self.generation.read().map_err(|error| {
            io_error(&error, "the generation cannot be read", &self.base.place("generation"))
        })?;
        told.ok_or_else(|| {
            Error::new(Kind::Corrupt, "the generation file is damaged")
                .at(self.base.place("generation").display().to_string())
                .advice("close the store in all processes, then open it again")
        })
    }

    /// Applies to memory what was committed since the last look.
    pub(super) fn catch_up(&self) -> Result<()> {
        let told = self.told()?;
        if self.state().position == told {
            return Ok(());
        }
        let mut state = self.state_mut();
        // Another thread may have been faster, and have seen more.
        let told = self.told()?;
        while !state.lost && state.position != told {
            if state.position.number == told.number {
                self.follow(&mut state, told.end)?;
                state.lost |= state.position != told;
            } else {
                self.turn_over(&mut state, told)?;
            }
        }
        Ok(())
    }

    /// Follows a turn to its end, if its file still has it.
    fn turn_over(&self, state: &mut State, told: Position) -> Result<()> {
        let header = self.journal.header(told.number).map_err(|error| self.journal_io(&error))?;
        let next = header.filter(|header| {
            header.number == told.number && told.number == state.position.number + 1
        });
        let Some(header) = next else {
            state.lost = true;
            return Ok(());
        };
        self.follow(state, header.ended)?;
        if state.position.end == header.ended {
            state.position = Position::start(told.number);
        } else {
            state.lost = true;
        }
        Ok(())
    }

    /// Applies the groups up to a place in the file.
    fn follow(&self, state: &mut State, to: u64) -> Result<()> {
        let from = state.position;
        let bytes = self.journal.bytes(from, to).map_err(|error| self.journal_io(&error))?;
        let mut frames = Frames::new(&bytes, from);
        while let Some(frame) = frames.next() {
            self.take_over(state, &decode(frame)?)?;
            state.position = frames.position();
        }
        Ok(())
    }

    /// Brings the changes of another process into memory.
    fn take_over(&self, state: &mut State, group: &Group<'_>) -> Result<()> {
        state.time = state.time.max(group.time);
        for change in &group.spaces {
            let (namespace, install, name) = change.decode(self.schema)?;
            if let Some((key, stored)) = name {
                Arc::make_mut(&mut state.names).set(&key, stored);
            }
            if let Some(home) = state.homes.get_mut(&namespace) {
                home.install(install);
            }
            for stream in change.streams.iter().filter(|stream| stream.value.is_some()) {
                let (log, stream) = stream_key(self.schema, &stream.log, &stream.stream)?;
                self.hub.appended(&namespace, log, &stream);
            }
        }
        Ok(())
    }

    /// Forgets all and reads what is needed from the files, with the lock held.
    fn read_again(&self, state: &mut State) -> Result<()> {
        state.homes.clear();
        let mut names = Rows::new(&NAMESPACES);
        load::names(&self.base, &mut names)?;
        let told = self.told()?;
        self.replay(told, |group| {
            state.time = state.time.max(group.time);
            for change in &group.spaces {
                if let (_, _, Some((key, stored))) = change.decode(self.schema)? {
                    names.set(&key, stored);
                }
            }
            Ok(())
        })?;
        state.names = Arc::new(names);
        state.position = told;
        state.lost = false;
        // What changed meanwhile is not known.
        self.hub.all();
        Ok(())
    }

    /// A namespace as its files and the journal have it, with the lock held.
    fn loaded(&self, state: &State, namespace: &Namespace) -> Result<Home> {
        let (mut home, mut expected) = load::home(self.schema, &self.base, namespace)?;
        self.replay(state.position, |group| {
            for change in &group.spaces {
                if change.namespace == namespace.as_str() {
                    home.install(change.decode(self.schema)?.1);
                    for (table, count, sum) in &change.tables {
                        expected.insert(table.clone().into_owned(), (*count, *sum));
                    }
                }
            }
            Ok(())
        })?;
        load::compare(&mut home, &self.base, namespace, &expected);
        Ok(home)
    }

    /// Gives all groups of the present turn up to `to`.
    pub(super) fn replay(
        &self,
        to: Position,
        mut work: impl FnMut(&Group<'_>) -> Result<()>,
    ) -> Result<()> {
        let from = Position::start(to.number);
        let bytes = self.journal.bytes(from, to.end).map_err(|error| self.journal_io(&error))?;
        let mut frames = Frames::new(&bytes, from);
        for frame in frames.by_ref() {
            work(&decode(frame)?)?;
        }
        if frames.position() == to {
            return Ok(());
        }
        Err(Error::new(Kind::Corrupt, "committed groups of the journal are damaged")
            .at(format!("journal.{} byte {}", to.number % 2, frames.position().end))
            .advice("restore the files from a backup"))
    }

    pub(super) fn journal_io(&self, error: &std::io::Error) -> Error {
        io_error(error, "the journal cannot be read", &self.base.place("journal.0"))
    }

    /// Where the lines of a stream are, gone over up to what `value` has.
    pub(super) fn index(
        &self,
        namespace: &Namespace,
        key: &StreamKey,
        value: &StreamValue,
    ) -> SharedIndex {
        let mut indexes = lock(&self.indexes);
        let place = (namespace.clone(), key.clone());
        let known = indexes.get(&place).filter(|index| lock(index).is_of(value));
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let index = Arc::new(Mutex::new(Index::new(value)));
        indexes.insert(place, Arc::clone(&index));
        index
    }

    /// The file of a stream's lines.
    pub(super) fn file(
        &self,
        namespace: &Namespace,
        key: &StreamKey,
        value: &StreamValue,
    ) -> std::io::Result<Option<Arc<File>>> {
        let place = (namespace.clone(), key.clone(), value.birth, value.place.file);
        if let Some(open) = lock(&self.files).get(&place) {
            return Ok(Some(Arc::clone(open)));
        }
        let Some(folder) = layout::folder(&self.base, namespace, &[LOGS, key.0])? else {
            return Ok(None);
        };
        let Some(file) = folder.file(&layout::lines(&key.1, value.place.file))? else {
            return Ok(None);
        };
        let file = Arc::new(file);
        self.keep_open(place, Arc::clone(&file));
        Ok(Some(file))
    }

    /// Lets go of memory and files that nobody can ask for any more.
    pub(super) fn forget(&self) {
        self.state_mut().homes.clear();
        lock(&self.indexes).clear();
        lock(&self.files).clear();
        self.users.leave();
    }

    pub(super) fn keep_open(&self, place: FileKey, file: Arc<File>) {
        let mut files = lock(&self.files);
        if files.len() >= OPEN_FILES {
            files.clear();
        }
        files.insert(place, file);
    }
}

pub(super) fn decode(frame: &[u8]) -> Result<Group<'_>> {
    postcard::from_bytes(frame).map_err(|error| {
        Error::new(Kind::Corrupt, "a group of the journal cannot be read").caused_by(error)
    })
}

pub(super) fn closed() -> Error {
    Error::new(Kind::Closed, "the store has been closed").advice("open it again")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
