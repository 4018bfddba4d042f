//! One process at a time in a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const NAME: &str = "pocketlm.lock";

/// Held while a process writes in a folder. The system frees it when the process ends, however that happens.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// The folder, where it was not there before.
    made: Option<PathBuf>,
    _file: File,
}

impl Lock {
    /// Takes the folder, which is made if there is none.
    ///
    /// # Errors
    /// [`Error::InUse`] naming the process that has it; [`Error::Io`] when the folder cannot be written.
    pub fn acquire(folder: &Path) -> Result<Self> {
        let made = (!folder.exists()).then(|| folder.to_owned());
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(NAME);
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(Error::io(&path))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    return Err(Error::InUse { folder: folder.to_owned(), holder });
                }
                // A file system without locks has to do without.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            // The one before may have removed the file between opening and locking.
            if is_at(&file, &path) {
                let _ = file.set_len(0).and_then(|()| write!(file, "{}", this_process()));
                return Ok(Self { path, made, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        if let Some(folder) = &self.made {
            // Stays if anything was written there.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether the open file is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// An open file cannot be removed there.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// `process 71 on mill`
fn this_process() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
    let host = host.as_deref().map_or("this machine", str::trim);
    format!("process {} on {host}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("made");
        let lock = Lock::acquire(&inner).unwrap();
        let message = Lock::acquire(&inner).unwrap_err().to_string();
        let process = format!("process {} on ", std::process::id());
        assert!(message.contains(&process) && message.contains("made"), "{message}");
        drop(lock);
        assert!(!inner.exists(), "a folder in which nothing was written goes again");
        fs::create_dir(&inner).unwrap();
        // What a process that was killed leaves does not count.
        fs::write(inner.join(NAME), "process 1 on mill").unwrap();
        drop(Lock::acquire(&inner).unwrap());
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    }
}
