//! Folders by their handles: nothing below the store's folder is reached by a path, and no symbolic
//! link is ever followed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// A new file is written under this name, then gets its own: no name that ids make begins so.
const NEW: &str = ".new";
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder of the store. Clones share the handle.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    handle: Arc<OwnedFd>,
    path: PathBuf,
    disk: Arc<Disk>,
}

/// What one handle on a store knows of the disk, shared by all its folders.
#[derive(Debug, Default)]
struct Disk {
    /// True once something could not be brought to the disk: the system may have given it up, and
    /// asking again would lie.
    failed: AtomicBool,
    /// Folders whose names are known to be on the disk. One that is there may have been made by a
    /// process that was killed before it came to that.
    named: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    /// Opens the store's own folder. Its last component may not be a link.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let handle = rustix::fs::open(path, directory(), Mode::empty())?;
        Ok(Self { handle: Arc::new(handle), path: path.to_path_buf(), disk: Arc::default() })
    }

    fn below(&self, handle: OwnedFd, name: &str) -> Self {
        Self { handle: Arc::new(handle), path: self.place(name), disk: Arc::clone(&self.disk) }
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where something in it is, for messages.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A folder in it; `None` when it is not there.
    pub(super) fn sub(&self, name: &str) -> Result<Option<Self>> {
        match rustix::fs::openat(&*self.handle, name, directory(), Mode::empty()) {
            Ok(handle) => Ok(Some(self.below(handle, name))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(linked(error)),
        }
    }

    /// A folder in it, made if need be. With `sync` its name is on the disk.
    pub(super) fn make_sub(&self, name: &str, sync: bool) -> Result<Self> {
        let sub = self.sub_or_made(name)?;
        let named = || self.disk.named.lock().unwrap_or_else(PoisonError::into_inner);
        if sync && !named().contains(&sub.path) {
            self.sync()?;
            named().insert(sub.path.clone());
        }
        Ok(sub)
    }

    fn sub_or_made(&self, name: &str) -> Result<Self> {
        if let Some(there) = self.sub(name)? {
            return Ok(there);
        }
        match rustix::fs::mkdirat(&*self.handle, name, PRIVATE_FOLDER) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let made = self.sub(name)?.ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        // Whatever the umask took away.
        rustix::fs::fchmod(&*made.handle, PRIVATE_FOLDER)?;
        Ok(made)
    }

    /// A file that is there, to read and write; `None` when it is not.
    pub(super) fn file(&self, name: &str) -> Result<Option<File>> {
        match rustix::fs::openat(&*self.handle, name, file(OFlags::RDWR), Mode::empty()) {
            Ok(handle) => plain(handle).map(Some),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(linked(error)),
        }
    }

    /// A file, made empty if need be; true when it was made.
    pub(super) fn make_file(&self, name: &str) -> Result<(File, bool)> {
        loop {
            if let Some(there) = self.file(name)? {
                return Ok((there, false));
            }
            let flags = file(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL);
            match rustix::fs::openat(&*self.handle, name, flags, PRIVATE_FILE) {
                Ok(handle) => {
                    rustix::fs::fchmod(&handle, PRIVATE_FILE)?;
                    return Ok((handle.into(), true));
                }
                // Somebody else was faster.
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(linked(error)),
            }
        }
    }

    /// An empty file under a name that nothing has: what is there is removed, not written over.
    pub(super) fn new_file(&self, name: &str) -> Result<File> {
        self.remove(name)?;
        self.make_file(name).map(|(file, _)| file)
    }

    /// The bytes of a file; `None` when it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a whole file: whoever reads sees the old one or the new one. With `sync` the new
    /// one is on the disk before it gets the name.
    pub(super) fn write(&self, name: &str, bytes: &[u8], sync: bool) -> Result<()> {
        let mut file = self.new_file(NEW)?;
        file.write_all(bytes)?;
        if sync {
            self.sync_file(&file)?;
        }
        rustix::fs::renameat(&*self.handle, NEW, &*self.handle, name)?;
        Ok(())
    }

    /// Removes a file; answers whether it was there.
    pub(super) fn remove(&self, name: &str) -> Result<bool> {
        match rustix::fs::unlinkat(&*self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What is in it: the name, and whether it is a folder. Left-over new files are not told.
    pub(super) fn list(&self) -> Result<Vec<(String, bool)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&*self.handle)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." && name != NEW {
                found.push((name, entry.file_type() == FileType::Directory));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Brings the names in it to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.synced(rustix::fs::fsync(self.handle.as_fd()).map_err(Error::from))
    }

    /// Brings a file in it to the disk.
    pub(super) fn sync_file(&self, file: &File) -> Result<()> {
        self.synced(file.sync_all())
    }

    /// Remembers whether something came to the disk.
    pub(super) fn synced(&self, result: Result<()>) -> Result<()> {
        if result.is_err() {
            self.disk.failed.store(true, Ordering::Release);
        }
        result
    }

    /// True once anything of this handle could not be brought to the disk.
    pub(super) fn disk_failed(&self) -> bool {
        self.disk.failed.load(Ordering::Acquire)
    }
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Not blocking: opening a pipe that somebody planted must not wait.
fn file(flags: OFlags) -> OFlags {
    flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK
}

fn plain(handle: OwnedFd) -> Result<File> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode);
    if kind == FileType::RegularFile {
        return Ok(handle.into());
    }
    Err(Error::new(ErrorKind::InvalidFilename, "it is no plain file"))
}

fn linked(error: rustix::io::Errno) -> Error {
    match error {
        rustix::io::Errno::LOOP => {
            Error::new(ErrorKind::InvalidFilename, "it is a symbolic link, which is not followed")
        }
        error => error.into(),
    }
}
