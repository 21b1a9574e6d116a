//! A disk that loses its power: what was synced is on it, and of the rest as much as the dice say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::load::Dice;

/// One call that the shim has seen.
pub enum Event {
    Made(PathBuf),
    MadeFolder(PathBuf),
    Write(PathBuf, usize, Vec<u8>),
    Length(PathBuf, usize),
    Sync(PathBuf),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
    /// The first bytes of an answer are about to be sent.
    Answer,
}

/// Reads what the shim has written.
pub fn read(mut record: &[u8]) -> Vec<Event> {
    fn take<'a>(record: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = record.split_at(length);
        *record = rest;
        taken
    }
    let mut events = Vec::new();
    while !record.is_empty() {
        let mut number = || {
            let bytes = take(&mut record, 8).try_into().unwrap();
            usize::try_from(u64::from_le_bytes(bytes)).unwrap()
        };
        let (kind, path, data, offset) = (number(), number(), number(), number());
        let text = |it: &[u8]| PathBuf::from(String::from_utf8(it.to_vec()).unwrap());
        let path = text(take(&mut record, path));
        let data = take(&mut record, data);
        // Shared memory, made anew at each start.
        if path.to_string_lossy().ends_with("-shm") {
            continue;
        }
        events.push(match u8::try_from(kind).unwrap() {
            b'C' => Event::Made(path),
            b'M' => Event::MadeFolder(path),
            b'W' => Event::Write(path, offset, data.to_vec()),
            b'T' => Event::Length(path, offset),
            b'S' => Event::Sync(path),
            b'U' => Event::Removed(path),
            b'R' => Event::Renamed(path, text(data)),
            b'A' => Event::Answer,
            other => panic!("the shim does not write {other}"),
        });
    }
    events
}

/// What is on a disk for sure, and what was asked for since and may be on it.
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    /// As the process sees it.
    names: BTreeMap<PathBuf, Node>,
    /// As it is on the disk.
    safe: BTreeMap<PathBuf, Node>,
    pending: Vec<Naming>,
}

#[derive(Default)]
struct File {
    safe: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Copy)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone)]
enum Naming {
    Is(PathBuf, Node),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf, Node),
}

impl Naming {
    fn folder(&self) -> &Path {
        let (Self::Is(path, _) | Self::Gone(path) | Self::Moved(path, ..)) = self;
        path.parent().unwrap()
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Is(path, node) => drop(names.insert(path, node)),
            Self::Gone(path) => drop(names.remove(&path)),
            Self::Moved(from, to, node) => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[at..at + data.len()].copy_from_slice(&data);
            }
            Self::Length(length) => bytes.resize(length, 0),
        }
    }

    /// The part of it that reached the disk: all, nothing, or some sectors.
    fn torn(self, dice: &mut Dice) -> Option<Self> {
        match (dice.below(5), self) {
            (0 | 1, change) => Some(change),
            (2, Self::Write(at, mut data)) => {
                let sectors = u64::try_from(data.len() / 512 + 1).unwrap();
                data.truncate(512 * usize::try_from(dice.below(sectors)).unwrap());
                Some(Self::Write(at, data))
            }
            _ => None,
        }
    }
}

impl Disk {
    /// An empty one, for the directory `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            safe: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    fn file(&mut self, path: &Path) -> Option<&mut File> {
        match self.names.get(path) {
            Some(Node::File(index)) => self.files.get_mut(*index),
            _ => None,
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.clone().apply(&mut self.names);
        self.pending.push(naming);
    }

    /// Takes over one call.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Made(path) => {
                self.files.push(File::default());
                self.name(Naming::Is(path.clone(), Node::File(self.files.len() - 1)));
            }
            Event::MadeFolder(path) => self.name(Naming::Is(path.clone(), Node::Folder)),
            Event::Removed(path) => self.name(Naming::Gone(path.clone())),
            Event::Renamed(from, to) => {
                let node = self.names[from];
                self.name(Naming::Moved(from.clone(), to.clone(), node));
            }
            Event::Write(path, at, data) => {
                let change = Change::Write(*at, data.clone());
                self.file(path).unwrap().pending.push(change);
            }
            Event::Length(path, length) => {
                self.file(path).unwrap().pending.push(Change::Length(*length));
            }
            Event::Sync(path) => {
                if let Some(File { safe, pending }) = self.file(path) {
                    pending.drain(..).for_each(|it| it.apply(safe));
                }
                let mine = |it: &mut Naming| it.folder() == path;
                self.pending.extract_if(.., mine).for_each(|it| it.apply(&mut self.safe));
            }
            Event::Answer => {}
        }
    }

    /// A folder with what is left: of what was not synced nothing, or what the dice say. A
    /// journalled file system keeps names in their order.
    pub fn after_power_loss(&self, mut dice: Option<&mut Dice>) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut names = self.safe.clone();
        if let Some(dice) = &mut dice {
            let kept = dice.below(u64::try_from(self.pending.len()).unwrap() + 1);
            let kept = self.pending.iter().take(usize::try_from(kept).unwrap());
            kept.cloned().for_each(|it| it.apply(&mut names));
        }
        for (path, node) in names {
            let place = folder.path().join(path.strip_prefix(&self.root).unwrap());
            if !place.parent().unwrap().exists() {
                continue;
            }
            let Node::File(index) = node else {
                std::fs::create_dir(place).unwrap();
                continue;
            };
            let file = &self.files[index];
            let mut bytes = file.safe.clone();
            if let Some(dice) = &mut dice {
                let torn = file.pending.iter().filter_map(|it| it.clone().torn(dice));
                torn.collect::<Vec<_>>().into_iter().for_each(|it| it.apply(&mut bytes));
            }
            std::fs::write(&place, bytes).unwrap();
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(place, private).unwrap();
        }
        folder
    }
}
