//! What the shim recorded, with names resolved to files: which bytes and which names were changed
//! in what order, what was synced, and what the child said in between.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::place::Contents;

/// A file or folder; the first is the store's folder.
pub(crate) type Node = usize;
pub(crate) const ROOT: Node = 0;

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Write {
        node: Node,
        offset: usize,
        bytes: Vec<u8>,
    },
    Cut {
        node: Node,
        len: usize,
    },
    /// Names given (`Some`) and taken away, at once.
    Names(Vec<(Node, String, Option<Node>)>),
    /// A folder is there as such from the start; only its names may get lost.
    Folder(Node),
    Sync(Node),
    /// The kernel has given up what it could not write.
    SyncFailed(Node),
    Say(String),
}

/// Everything that a child did, from what it found on.
pub(crate) struct Trace {
    pub(crate) ops: Vec<Op>,
    pub(crate) tree: Tree,
    /// What was there before, and is on the disk for good.
    pub(crate) before: Tree,
}

/// Folders with their names, files with their bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) folders: HashMap<Node, BTreeMap<String, Node>>,
    pub(crate) files: HashMap<Node, Vec<u8>>,
}

impl Tree {
    fn of(contents: &Contents) -> (Self, Node) {
        let mut tree = Self::default();
        tree.folders.insert(ROOT, BTreeMap::new());
        let mut next = ROOT + 1;
        for (path, bytes) in &contents.0 {
            let (folder, name) = tree.parent(path).unwrap();
            tree.folders.get_mut(&folder).unwrap().insert(name, next);
            match bytes {
                None => drop(tree.folders.insert(next, BTreeMap::new())),
                Some(bytes) => drop(tree.files.insert(next, bytes.clone())),
            }
            next += 1;
        }
        (tree, next)
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let mut node = ROOT;
        for part in path {
            node = *self.folders.get(&node)?.get(&*part.to_string_lossy())?;
        }
        Some(node)
    }

    fn parent(&self, path: &Path) -> Option<(Node, String)> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((self.find(path.parent()?)?, name))
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { node, offset, bytes } => {
                write(self.files.entry(*node).or_default(), *offset, bytes);
            }
            Op::Cut { node, len } => self.files.entry(*node).or_default().resize(*len, 0),
            Op::Names(changes) => {
                for (folder, name, node) in changes {
                    let names = self.folders.entry(*folder).or_default();
                    match node {
                        Some(node) => drop(names.insert(name.clone(), *node)),
                        None => drop(names.remove(name)),
                    }
                }
            }
            Op::Folder(node) => drop(self.folders.entry(*node).or_default()),
            Op::Sync(_) | Op::SyncFailed(_) | Op::Say(_) => {}
        }
    }

    /// What can be reached from the store's folder.
    pub(crate) fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        self.add(ROOT, Path::new(""), &mut contents);
        contents
    }

    fn add(&self, folder: Node, below: &Path, contents: &mut Contents) {
        for (name, node) in self.folders.get(&folder).into_iter().flatten() {
            let path = below.join(name);
            if self.folders.contains_key(node) {
                contents.0.push((path.clone(), None));
                self.add(*node, &path, contents);
            } else {
                let bytes = self.files.get(node).cloned().unwrap_or_default();
                contents.0.push((path, Some(bytes)));
            }
        }
    }
}

pub(crate) fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// One record of the shim, as `struct record` in `shim.c`.
struct Raw<'a> {
    kind: u32,
    fd: i32,
    number: usize,
    a: &'a [u8],
    b: &'a [u8],
}

fn raw<'a>(rest: &mut &'a [u8]) -> Option<Raw<'a>> {
    let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let (head, tail) = rest.split_at_checked(24)?;
    let (a, b) = (word(head, 16) as usize, word(head, 20) as usize);
    let ((a, tail), number) = (tail.split_at(a), head[8..16].try_into().unwrap());
    let (b, tail) = tail.split_at(b);
    *rest = tail;
    let (kind, fd) = (word(head, 0), word(head, 4).cast_signed());
    Some(Raw { kind, fd, number: usize::try_from(u64::from_ne_bytes(number)).unwrap(), a, b })
}

impl Trace {
    /// Reads what was recorded of children, one after the other, the first of which found `before`
    /// in `folder`.
    pub(crate) fn read(files: &[&Path], folder: &Path, before: &Contents) -> Self {
        let (tree, next) = Tree::of(before);
        let mut trace = Self { ops: Vec::new(), before: tree.clone(), tree };
        let mut reading = Reading { folder, next, fds: HashMap::new(), aside: HashMap::new() };
        for file in files {
            // A child knows nothing of what another had open.
            reading.fds.clear();
            trace.go_on(file, &mut reading);
        }
        trace
    }

    fn go_on(&mut self, file: &Path, reading: &mut Reading<'_>) {
        let bytes = std::fs::read(file).unwrap();
        let mut rest = bytes.as_slice();
        while let Some(raw) = raw(&mut rest) {
            for op in reading.ops(&self.tree, &raw) {
                self.tree.apply(&op);
                self.ops.push(op);
            }
        }
    }

    /// The trace, played to its end, must give what lies in the folder: else the shim does not
    /// see all that the driver does.
    pub(crate) fn differs_from(&self, folder: &Path) -> Option<String> {
        let (found, played) = (Contents::read(folder), self.tree.contents());
        if found.0 == played.0 {
            return None;
        }
        let sizes = |contents: &Contents| -> Vec<(PathBuf, Option<usize>)> {
            let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(Vec::len);
            contents.0.iter().map(|(path, bytes)| (path.clone(), size(bytes))).collect()
        };
        let (found, played) = (sizes(&found), sizes(&played));
        Some(format!("the shim has not seen all: in the folder {found:?}, recorded {played:?}"))
    }
}

struct Reading<'a> {
    folder: &'a Path,
    next: Node,
    fds: HashMap<i32, Node>,
    /// Folders that were opened below none of ours.
    aside: HashMap<PathBuf, Node>,
}

impl Reading<'_> {
    fn path(&self, bytes: &[u8]) -> PathBuf {
        let path = PathBuf::from(String::from_utf8_lossy(bytes).into_owned());
        path.strip_prefix(self.folder).unwrap().to_path_buf()
    }

    fn new_node(&mut self) -> Node {
        self.next += 1;
        self.next - 1
    }

    fn ops(&mut self, tree: &Tree, raw: &Raw<'_>) -> Vec<Op> {
        let node = self.fds.get(&raw.fd).copied();
        let name = |path: &Path| tree.parent(path).unwrap();
        match raw.kind {
            1 => {
                let path = self.path(raw.a);
                let mut ops = Vec::new();
                let node = if raw.number == 1 {
                    let node = self.new_node();
                    let (folder, name) = name(&path);
                    ops.push(Op::Names(vec![(folder, name, Some(node))]));
                    ops.push(Op::Cut { node, len: 0 });
                    node
                } else {
                    tree.find(&path).unwrap_or_else(|| {
                        let node = self.next;
                        self.next += 1;
                        *self.aside.entry(path).or_insert(node)
                    })
                };
                self.fds.insert(raw.fd, node);
                ops
            }
            2 => {
                let (node, offset) = (node.unwrap(), raw.number);
                vec![Op::Write { node, offset, bytes: raw.a[..].to_vec() }]
            }
            3 => vec![Op::Cut { node: node.unwrap(), len: raw.number }],
            4 => vec![Op::Sync(node.unwrap())],
            5 => {
                let (from, to) = (self.path(raw.a), self.path(raw.b));
                let (node, (from, old), (to, new)) = (tree.find(&from), name(&from), name(&to));
                vec![Op::Names(vec![(to, new, node), (from, old, None)])]
            }
            6 => {
                let node = tree.find(&self.path(raw.a));
                let (folder, name) = name(&self.path(raw.b));
                vec![Op::Names(vec![(folder, name, node)])]
            }
            7 | 9 => {
                let (folder, name) = name(&self.path(raw.a));
                vec![Op::Names(vec![(folder, name, None)])]
            }
            8 => {
                let (folder, name) = name(&self.path(raw.a));
                let node = self.new_node();
                vec![Op::Folder(node), Op::Names(vec![(folder, name, Some(node))])]
            }
            10 => String::from_utf8_lossy(raw.a).lines().map(|l| Op::Say(l.to_owned())).collect(),
            11 => {
                self.fds.remove(&raw.fd);
                Vec::new()
            }
            12 => {
                self.fds.insert(i32::try_from(raw.number).unwrap(), node.unwrap());
                Vec::new()
            }
            13 => vec![Op::SyncFailed(node.unwrap())],
            kind => panic!("the shim recorded kind {kind}"),
        }
    }
}
