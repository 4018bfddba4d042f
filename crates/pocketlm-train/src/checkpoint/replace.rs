//! A folder that is there whole or not at all.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::lock::Lock;

const NEW: &str = "new";
const OLD: &str = "old";

/// Makes `folder` anew, in the place of whatever it held: `fill` writes a folder beside it, which is then renamed, so
/// that the files in it are always of one writing.
///
/// # Errors
/// Those of `fill`; when the folder cannot be written.
pub fn replace_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    remove_abandoned(&folder);
    let new = beside(&folder, NEW);
    let lock = Lock::acquire(&new)?;
    fill(&new)?;
    drop(lock);
    let old = beside(&folder, OLD);
    let replaced = folder.exists();
    if replaced {
        std::fs::rename(&folder, &old).map_err(Error::io(&folder))?;
    }
    std::fs::rename(&new, &folder).map_err(Error::io(&folder))?;
    if replaced {
        std::fs::remove_dir_all(&old).map_err(Error::io(&old))?;
    }
    Ok(())
}

/// `.NAME.PROCESS.new` beside `folder`.
fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{}.{what}", std::process::id()))
}

/// Removes what processes that are gone have left of writing `folder`; what they had put aside comes back where
/// nothing has taken its place.
fn remove_abandoned(folder: &Path) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let parent = folder.with_file_name("");
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { &parent };
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let rest = file.to_str().and_then(|file| file.strip_prefix(&format!(".{name}.")));
        let Some((process, what)) = rest.and_then(|rest| rest.split_once('.')) else { continue };
        if !process.bytes().all(|digit| digit.is_ascii_digit()) || ![NEW, OLD].contains(&what) {
            continue;
        }
        if what == OLD && !folder.exists() {
            let _ = std::fs::rename(entry.path(), folder);
        } else if Lock::acquire(&entry.path()).is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
