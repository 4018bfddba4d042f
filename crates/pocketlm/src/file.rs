//! Files that are there whole or not at all.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Symbolic links that are followed before they are taken for a circle.
const MOST_LINKS: usize = 40;

/// Writes `bytes` to `path`: [`write_file_with`] of one piece.
///
/// # Errors
/// [`Error::File`] with what the operating system said.
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_file_with(path, |file| file.write_all(bytes)).map_err(|error| Error::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

/// Writes what `fill` writes to `path`: first to a temporary file beside it, which is synced and then renamed, so
/// that a model that is open stays what it is, and neither a crash nor a full disk leaves half of a file.
///
/// Symbolic links are followed. What is there and is no regular file (a device, a pipe) is written into. Temporary
/// files that processes which are gone have left for the same `path` are removed.
///
/// # Errors
/// What the operating system said.
pub fn write_file_with(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    write_by(path.as_ref(), true, fill)
}

/// The same where there is no file yet: one that appears in the meantime stays.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] for such a file; what else the operating system said.
#[cfg(feature = "pack")]
pub fn create_file_with(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    write_by(path.as_ref(), false, fill)
}

fn write_by(
    path: &Path,
    replaces: bool,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = resolve(path)?;
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => {
            return filled(OpenOptions::new().write(true).open(&path)?, fill).map(drop);
        }
        _ => {}
    }
    remove_abandoned(&path);
    let temporary = temporary(&path, &std::process::id().to_string());
    let written = put(&temporary, &path, replaces, fill);
    if written.is_err() || !replaces {
        // The first error is the one to report; the temporary file may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn put(
    temporary: &Path,
    path: &Path,
    replaces: bool,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = File::create(temporary)?;
    // Tells a later process that this one is alive; a file system without locks has to do without.
    let _ = file.try_lock();
    let file = filled(file, fill)?;
    file.sync_all()?;
    // All of it before the lock goes with the file.
    if let Ok(there) = fs::metadata(path) {
        fs::set_permissions(temporary, there.permissions())?;
    }
    if replaces {
        fs::rename(temporary, path)?;
    } else {
        // A link takes no name that is taken; a file system without links has to do without.
        match fs::hard_link(temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                fs::rename(temporary, path)?;
            }
            linked => linked?,
        }
    }
    sync_folder(path);
    Ok(())
}

fn filled(file: File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<File> {
    let mut buffer = BufWriter::with_capacity(1 << 16, file);
    fill(&mut buffer)?;
    buffer.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Makes the rename last; not every system lets a folder be opened.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}

/// The file that a path leads to over symbolic links, whether it is there or not.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        // What the system shows as a link to a pipe or a socket (`/dev/stdout`) has no path behind it.
        if !is_link || fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            return Ok(path);
        }
        path = path.with_file_name("").join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// `.NAME.OWNER.tmp` beside `path`.
fn temporary(path: &Path, owner: &str) -> PathBuf {
    path.with_file_name(format!("{}{owner}{SUFFIX}", prefix(path)))
}

const SUFFIX: &str = ".tmp";

fn prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or(OsStr::new("")).to_string_lossy())
}

/// Removes the temporary files of `path` whose writers are gone. Whatever fails is left for another time.
fn remove_abandoned(path: &Path) {
    let (folder, prefix) = (path.with_file_name(""), prefix(path));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(&*prefix)?.strip_suffix(SUFFIX));
        let is_ours = owner.is_some_and(|id| id.bytes().all(|digit| digit.is_ascii_digit()));
        let abandoned = |file: File| file.try_lock().is_ok();
        if is_ours && File::open(entry.path()).is_ok_and(abandoned) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pocketlm-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let folder = Folder::new("failure");
        let path = folder.0.join("a");
        write_file(&path, b"before").unwrap();
        let failed = write_file_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(folder.names(), ["a"]);
    }

    #[test]
    fn temporary_files_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let folder = Folder::new("abandoned");
        let path = folder.0.join("a.plm");
        let living = File::create(temporary(&path, "2")).unwrap();
        living.lock().unwrap();
        fs::write(temporary(&path, "1"), b"half").unwrap();
        fs::write(folder.0.join(".a.plm.notes.tmp"), b"somebody's").unwrap();
        write_file(&path, b"whole").unwrap();
        assert_eq!(folder.names(), [".a.plm.2.tmp", ".a.plm.notes.tmp", "a.plm"]);
    }

    #[test]
    fn a_new_file_takes_no_name_that_is_taken() {
        let folder = Folder::new("new");
        let path = folder.0.join("a");
        create_file_with(&path, |file| file.write_all(b"first")).unwrap();
        let taken = create_file_with(&path, |file| file.write_all(b"second")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(folder.names(), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_replaced_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("mode");
        let path = folder.0.join("private");
        write_file(&path, b"first").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        write_file(&path, b"second").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_stay_links() {
        use std::os::unix::fs::symlink;
        let folder = Folder::new("links");
        let at = |name: &str| folder.0.join(name);
        fs::create_dir(at("deep")).unwrap();
        symlink("second", at("first")).unwrap();
        symlink("deep/file", at("second")).unwrap();
        for text in [b"made", b"kept"] {
            write_file(at("first"), text).unwrap();
            assert_eq!(fs::read(at("deep/file")).unwrap(), text);
            assert!(fs::symlink_metadata(at("first")).unwrap().is_symlink());
        }
        symlink("circle", at("circle")).unwrap();
        assert!(write_file(at("circle"), b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_written_into() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = Folder::new("devices");
        let null = folder.0.join("null");
        symlink("/dev/null", &null).unwrap();
        write_file(&null, b"gone").unwrap();
        assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert!(write_file(&folder.0, b"x").is_err());
    }
}
