//! Where the files lie, who may read them, and how they are opened.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Connection;
use crate::cell::SqliteOptions;
use crate::error::{Error, Result};
use crate::scope::Place;
use crate::work::Counters;

/// The data directory.
pub(crate) struct Files {
    dir: PathBuf,
    pub(crate) durable: bool,
    pub(crate) busy: Duration,
    pub(crate) counters: Arc<Counters>,
    /// Places that are being deleted, and by how many at once.
    barred: Arc<Mutex<HashMap<Place, usize>>>,
}

/// While it lives, its place cannot be opened.
pub(crate) struct Bar {
    barred: Arc<Mutex<HashMap<Place, usize>>>,
    place: Place,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

impl Files {
    pub(crate) fn new(options: SqliteOptions, counters: Arc<Counters>) -> Result<Self> {
        let files = Self {
            dir: options.dir,
            durable: options.durable,
            busy: options.deadline,
            counters,
            barred: Arc::default(),
        };
        let failed = |it: io::Error| failure(&files.dir, &it);
        make_folder(&files.dir).map_err(failed)?;
        make_folder(&files.dir.join("apps")).map_err(failed)?;
        // A reader cannot make the file, and the first use may well be a read.
        drop(files.open(&Place::Control, Purpose::Write)?);
        Ok(files)
    }

    fn folder(&self, place: &Place) -> Result<PathBuf> {
        let app = place.app()?;
        Ok(app.map_or_else(|| self.dir.clone(), |app| self.dir.join("apps").join(app)))
    }

    fn path(&self, place: &Place) -> Result<PathBuf> {
        let name = if *place == Place::Control { "control.db" } else { "app.db" };
        Ok(self.folder(place)?.join(name))
    }

    /// Makes the folder of a place.
    pub(crate) fn create(&self, place: &Place) -> Result<()> {
        let folder = self.folder(place)?;
        make_folder(&folder).map_err(|it| failure(&folder, &it))?;
        if self.durable {
            // The folder's own entry must outlive a power failure, as what is written in it does.
            sync(above(&folder)).map_err(|it| failure(&folder, &it))?;
        }
        Ok(())
    }

    /// Deletes the files and the folder of an application.
    pub(crate) fn delete(&self, place: &Place) -> Result<()> {
        let folder = self.folder(place)?;
        if place.app()?.is_none() {
            return Err(Error::other("the platform's own data is never dropped"));
        }
        match std::fs::remove_dir_all(&folder) {
            Err(it) if it.kind() != ErrorKind::NotFound => Err(failure(&folder, &it)),
            _ => Ok(()),
        }
    }

    fn barred(&self) -> MutexGuard<'_, HashMap<Place, usize>> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bar(&self, place: Place) -> Bar {
        *self.barred().entry(place.clone()).or_default() += 1;
        Bar { barred: Arc::clone(&self.barred), place }
    }

    /// A connection to a place. Fails with [`Error::Undefined`] if the place was not created; then
    /// no file is made.
    pub(crate) fn open(&self, place: &Place, purpose: Purpose) -> Result<Connection> {
        let path = self.path(place)?;
        let undefined = || Error::Undefined("the place of this application".to_owned());
        if self.barred().contains_key(place) {
            return Err(undefined());
        }
        match purpose {
            // SQLite would make the file readable for all; its journals take after it.
            Purpose::Write => match private_file().create(true).open(&path) {
                Err(it) if it.kind() == ErrorKind::NotFound => return Err(undefined()),
                Err(it) => return Err(failure(&path, &it)),
                Ok(_) => {}
            },
            Purpose::Read if path.exists() => {}
            Purpose::Read => return Err(undefined()),
        }
        Connection::open(&path, purpose, self)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let mut barred = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = barred.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                barred.remove(&self.place);
            }
        }
    }
}

fn failure(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::NoSpace,
        ErrorKind::PermissionDenied => Error::Unavailable(format!(
            "cannot open {}: {error}. Give the user that the server runs as access to it",
            path.display()
        )),
        _ => Error::Unavailable(format!("cannot open {}: {error}", path.display())),
    }
}

/// The folder that holds `folder`. That of a single relative name is the one we are in.
fn above(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => folder,
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

#[cfg(unix)]
fn private_file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_single_name_lies_where_we_are() {
        for (folder, expected) in
            [("data", "."), ("./data", "."), ("a/data", "a"), ("/data", "/"), ("/", "/")]
        {
            assert_eq!(above(Path::new(folder)), Path::new(expected), "{folder}");
        }
    }
}
