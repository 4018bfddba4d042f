//! Where a command writes: one rule for every file that it makes.
//!
//! - What exists is replaced only with `--force`, and only when the new file is whole.
//! - Symbolic links are followed; devices and pipes are written into; `-` is standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use pocketlm::pack::{create_file_with, write_file_with};

/// A file to write, checked before any work begins.
pub struct Output {
    path: PathBuf,
    /// Whether what is there may be replaced.
    force: bool,
}

/// Names of standard output among devices.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Files of a checkpoint and of a folder of text.
const READ: [&str; 9] = [
    "config.json",
    "vocab.txt",
    "tokenizer.json",
    "model.safetensors",
    "training_state.safetensors",
    "metrics.jsonl",
    "train.txt",
    "valid.txt",
    "test.txt",
];

impl Output {
    /// Refuses what cannot be written, and what would be lost without `--force`.
    pub fn new(path: &Path, force: bool) -> Result<Self> {
        let output = Self { path: path.to_owned(), force };
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
        STANDARD.iter().any(|name| self.path == Path::new(name))
    }

    /// Refuses to write over what the command reads: files, or the files of checkpoints and of text in folders.
    pub fn check_inputs(&self, inputs: &[Option<&Path>]) -> Result<()> {
        let Ok(own) = self.path.canonicalize() else { return Ok(()) };
        for input in inputs.iter().flatten() {
            let Ok(read) = input.canonicalize() else { continue };
            let is_within = own.parent() == Some(&read)
                && own.file_name().is_some_and(|name| READ.iter().any(|known| name == *known));
            if own == read || is_within {
                bail!("{}: is read by this command: give another name", self.path.display());
            }
        }
        Ok(())
    }

    /// Refuses two outputs under one name.
    pub fn check_apart(&self, other: &Self) -> Result<()> {
        let place = |output: &Self| {
            if output.is_standard() {
                return PathBuf::from("-");
            }
            let folder = output.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize().unwrap_or_default();
            let name = output.path.file_name().unwrap_or_default();
            output.path.canonicalize().unwrap_or_else(|_| folder.join(name))
        };
        if place(self) == place(other) {
            bail!("{}: is named for two outputs: give one of them another", self.path.display());
        }
        Ok(())
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
        let written = match self.force {
            true => write_file_with(&self.path, fill),
            false => create_file_with(&self.path, fill),
        };
        written.map_err(|error| {
            let path = self.path.display();
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    anyhow!("{path} exists: give --force to replace it")
                }
                io::ErrorKind::BrokenPipe => anyhow!(error),
                _ => {
                    anyhow!("{path}: {error}; check the folder, its permissions and the free space")
                }
            }
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

/// Refuses a folder that cannot be made anew, or whose content would be lost: with `force` a folder of a model is
/// replaced, and no other. `inputs` are what the command reads, none of which may lie in it.
pub fn check_folder_output(path: &Path, force: bool, inputs: &[Option<&Path>]) -> Result<()> {
    let name = path.display();
    if STANDARD.iter().any(|standard| path == Path::new(standard)) {
        bail!("{name}: a folder is written: give its name");
    }
    let Ok(own) = path.canonicalize() else { return check_folder(path) };
    let mut read = inputs.iter().flatten().filter_map(|input| input.canonicalize().ok());
    if let Some(input) = read.find(|input| input.starts_with(&own)) {
        bail!("{name}: {} in it is read by this command: give another name", input.display());
    }
    if !own.is_dir() {
        bail!("{name}: is a file, where a folder is written: give another name");
    }
    let is_empty = std::fs::read_dir(&own).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty || force && own.join("config.json").exists() {
        return Ok(());
    }
    match force {
        true => bail!("{name}: holds no model: remove it yourself, or give another name"),
        false => bail!("{name} exists: give --force to replace it"),
    }
}
