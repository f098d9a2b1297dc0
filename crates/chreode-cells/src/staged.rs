//! Folders that are either as before or complete: prepared beside their place, then renamed to it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// A folder in preparation beside the place where it is to appear; deleted with all in it unless it was put there.
#[derive(Debug)]
pub struct StagedFolder {
    staging: PathBuf,
    place: PathBuf,
}

impl StagedFolder {
    /// Makes an empty folder beside `place`, and the folders above it. A link is followed.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub fn new(place: &Path) -> Result<Self, DataError> {
        let write = |source| DataError::Write { path: place.to_owned(), source };
        let place = if place.is_symlink() { place.canonicalize().map_err(write)? } else { place.to_owned() };
        std::fs::create_dir_all(parent_of(&place)).map_err(write)?;
        let staging = unused(&place, "part", |path| std::fs::create_dir(path)).map_err(write)?;
        Ok(Self { staging, place })
    }

    /// The folder to fill.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Puts the folder in its place.
    ///
    /// What stood there is moved aside first and deleted last, so that it is whole until the new folder is there. If
    /// some of it could not be deleted, this says where the rest lies.
    ///
    /// # Errors
    /// [`DataError::Write`], with the place as it was; [`DataError::MovedAside`] if it could not be made so again.
    pub fn put_in_place(self) -> Result<Option<PathBuf>, DataError> {
        self.put_by(|from, to| std::fs::rename(from, to))
    }

    fn put_by(
        self,
        mut rename: impl FnMut(&Path, &Path) -> io::Result<()>,
    ) -> Result<Option<PathBuf>, DataError> {
        let (staging, place) = (&self.staging, &self.place);
        let write = |source| DataError::Write { path: place.clone(), source };
        sync_folder(staging);
        let mut aside = None;
        if std::fs::exists(place).map_err(write)? {
            // A folder is never renamed over one that holds something, so that a name taken in between is no loss.
            let free = |path: &Path| {
                if std::fs::exists(path)? { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
            };
            let path = unused(place, "old", free).map_err(write)?;
            rename(place, &path).map_err(write)?;
            aside = Some(path);
        }
        if let Err(source) = rename(staging, place) {
            return Err(match aside {
                Some(aside) if rename(&aside, place).is_err() => {
                    DataError::MovedAside { path: place.clone(), aside, source }
                }
                _ => write(source),
            });
        }
        sync_folder(parent_of(place));
        Ok(aside.filter(|old| std::fs::remove_dir_all(old).is_err()))
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        // Once it is in its place there is nothing left to delete.
        let _ = std::fs::remove_dir_all(&self.staging);
    }
}

/// A hidden name beside `place` that `take` does not refuse as taken, as by what a killed process left.
fn unused(place: &Path, what: &str, take: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let Some(name) = place.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no folder"));
    };
    let mut number = std::process::id();
    loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{number}.{what}"));
        let path = place.with_file_name(hidden);
        match take(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number = number.wrapping_add(1),
            taken => return taken.map(|()| path),
        }
    }
}

/// The folder that holds `path`.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes renames inside a folder survive a power cut; not every system lets a folder be synced.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder `run` with the file `old`, and a staged one with the file `new`.
    fn scene() -> (tempfile::TempDir, PathBuf, StagedFolder) {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("run");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("old"), "old").unwrap();
        let staged = StagedFolder::new(&place).unwrap();
        std::fs::write(staged.path().join("new"), "new").unwrap();
        (dir, place, staged)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Renames, but the calls with these numbers fail.
    fn failing(calls: &'static [usize]) -> impl FnMut(&Path, &Path) -> io::Result<()> {
        let mut call = 0;
        move |from, to| {
            call += 1;
            if calls.contains(&call) {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "not today"))
            } else {
                std::fs::rename(from, to)
            }
        }
    }

    #[test]
    fn the_new_takes_the_place_of_the_old() {
        let (dir, place, staged) = scene();
        assert_eq!(staged.put_in_place().unwrap(), None);
        assert_eq!((names(&place), names(dir.path())), (vec!["new".to_owned()], vec!["run".to_owned()]));
    }

    #[test]
    fn a_failed_rename_leaves_the_old_in_its_place() {
        for calls in [&[1], &[2]] {
            let (dir, place, staged) = scene();
            let error = staged.put_by(failing(calls)).unwrap_err();
            assert!(matches!(error, DataError::Write { .. }), "{error}");
            assert_eq!((names(&place), names(dir.path())), (vec!["old".to_owned()], vec!["run".to_owned()]));
        }
    }

    #[test]
    fn an_old_folder_that_cannot_be_put_back_is_named_and_whole() {
        let (_dir, place, staged) = scene();
        let error = staged.put_by(failing(&[2, 3])).unwrap_err();
        let message = error.to_string();
        let DataError::MovedAside { path, aside, .. } = error else { panic!("{message}") };
        assert!(path == place && !place.exists());
        assert_eq!(std::fs::read_to_string(aside.join("old")).unwrap(), "old");
        assert!(message.contains(aside.to_str().unwrap()) && message.contains("not today"), "{message}");
    }

    #[test]
    fn what_killed_processes_left_is_in_no_ones_way() {
        let (dir, place, staged) = scene();
        let id = std::process::id();
        std::fs::create_dir_all(dir.path().join(format!(".run.{id}.old/saved"))).unwrap();
        let second = StagedFolder::new(&place).unwrap();
        assert_ne!(second.path(), staged.path());
        staged.put_in_place().unwrap();
        assert!(dir.path().join(format!(".run.{id}.old/saved")).exists());
        assert_eq!(names(&place), ["new"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let (dir, place, staged) = scene();
        drop(staged);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&place, &link).unwrap();
        let staged = StagedFolder::new(&link).unwrap();
        staged.put_in_place().unwrap();
        assert!(link.is_symlink() && names(&place).is_empty());
    }
}
