//! What can go wrong in training, with the place and the mend.

use std::path::{Path, PathBuf};

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why training, a checkpoint or a recipe failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a recipe that cannot work.
    #[error("{field} {what}")]
    Config {
        /// Dotted name, as in the recipe file.
        field: String,
        /// What is wrong with it and how to mend it.
        what: String,
    },
    /// A recipe that does not parse or has unknown keys.
    #[error("{place}: {what}")]
    Recipe {
        /// The file, or the flag.
        place: String,
        /// What is wrong, with the line and the nearest spelling where there is one.
        what: String,
    },
    /// The text could not be made into a corpus.
    #[error(transparent)]
    Corpus(#[from] crate::corpus::Error),
    /// A file could not be read or written.
    #[error("{}: {source}; {}", path.display(), io_mend(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint that is truncated, foreign or inconsistent.
    #[error("{}: {what}", path.display())]
    Checkpoint {
        /// The file of the checkpoint that is at fault.
        path: PathBuf,
        /// What is wrong with it and how to mend it.
        what: String,
    },
    /// A file of lines, such as an ARPA file or a list of hypotheses, that is damaged or cannot be written.
    #[error("{}: {}{}", path.display(), place(*line), pocketlm::Shown(what))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line at fault, from 1; 0 for none.
        line: u64,
        /// What is wrong there.
        what: String,
    },
    /// A device that is missing or failed.
    #[error("the GPU: {what}")]
    Device {
        /// What is missing or went wrong.
        what: String,
    },
    /// A compression that was asked to stop in the middle of a training.
    #[error("stopped; the same command goes on where it was, from {}", work.display())]
    Stopped {
        /// Folder of the training.
        work: PathBuf,
    },
    /// A folder in which another process works.
    #[error(
        "{}: in use by {}: wait until that ends, or give another folder",
        folder.display(),
        if holder.is_empty() { "another process" } else { holder }
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The process and its machine, where it says so.
        holder: String,
    },
    /// A loss or gradient that is no longer a number.
    #[error(
        "training diverged: {what} is not finite at epoch {epoch}, update {update} (learning rate {lr}); {}",
        way_out(*best, folder)
    )]
    Diverged {
        /// Folder of the training.
        folder: PathBuf,
        /// Epoch, from 1, of the model that validated best, if any was validated.
        best: Option<usize>,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Epoch, from 1.
        epoch: usize,
        /// Update within the whole training, from 1.
        update: u64,
        /// Learning rate in force.
        lr: f64,
    },
}

impl Error {
    /// A [`Error::Config`].
    pub fn config(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Config { field: field.into(), what: what.into() }
    }

    /// A [`Error::Device`].
    pub fn device(what: impl Into<String>) -> Self {
        Self::Device { what: what.into() }
    }

    /// A [`Error::Checkpoint`].
    pub fn checkpoint(path: &Path, what: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.to_owned(), what: what.into() }
    }

    /// For `map_err`: an [`Error::Io`] at `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

fn way_out(best: Option<usize>, folder: &Path) -> String {
    let folder = folder.display();
    match best {
        Some(epoch) => format!(
            "{folder} keeps the model of epoch {epoch}; train another with a lower train.lr or a tighter train.clip, or \
             add --resume --lr X to resume from the last save at a lower rate"
        ),
        None => format!(
            "no epoch was validated, so there is no model in {folder}: remove that folder or give another --out, and \
             start again with a lower train.lr or a tighter train.clip"
        ),
    }
}

fn io_mend(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "check the path",
        _ => "check the path, its permissions and the free space",
    }
}

fn place(line: u64) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}
