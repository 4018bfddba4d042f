//! Where a command writes: one rule for every file that it makes.
//!
//! - What exists is replaced only with `--force`, and only when the new file is whole.
//! - Symbolic links are followed; devices and pipes are written into; `-` is standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use pocketlm::pack::write_file_with;

/// A file to write, checked before any work begins.
pub struct Output {
    path: PathBuf,
}

impl Output {
    /// Refuses what cannot be written, and what would be lost without `--force`.
    pub fn new(path: &Path, force: bool) -> Result<Self> {
        let output = Self { path: path.to_owned() };
        if output.is_standard() {
            return Ok(output);
        }
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                bail!("{}: is a folder: give the name of a file in it", path.display())
            }
            Ok(there) if there.is_file() && !force => {
                bail!("{} exists: give --force to replace it", path.display())
            }
            Ok(_) => {}
            Err(_) => check_folder(path)?,
        }
        Ok(output)
    }

    /// Whether it is standard output, where nothing else may be printed.
    pub fn is_standard(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Refuses `--json`, which prints to standard output, beside a file that is written there.
    pub fn check_json(&self, json: bool) -> Result<()> {
        if json && self.is_standard() {
            bail!("--json and --output - both write to standard output: leave one of them out");
        }
        Ok(())
    }

    /// Writes what `fill` writes, whole or not at all.
    pub fn write(&self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        if self.is_standard() {
            let mut out = io::BufWriter::new(io::stdout().lock());
            fill(&mut out)?;
            return Ok(out.flush()?);
        }
        write_file_with(&self.path, fill).map_err(|error| {
            let path = self.path.display();
            anyhow!("{path}: {error}; check the folder, its permissions and the free space")
        })
    }

    /// Tells a person what was written, where that cannot get into the file.
    pub fn tell(&self, what: &str) -> Result<()> {
        if self.is_standard() {
            note!("{what}");
        } else {
            say!("{}: {what}", self.path.display());
        }
        Ok(())
    }
}

fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => {
            bail!("{}: there is no folder {}: make it first", path.display(), folder.display())
        }
        None => Ok(()),
    }
}

/// For `serde`: a path as text, with a mark in place of what is no UTF-8.
pub fn lossy<S: serde::Serializer>(
    path: impl AsRef<Path>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_ref().display())
}
