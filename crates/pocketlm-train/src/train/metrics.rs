//! `metrics.jsonl`: one event of a training a line.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use pocketlm::pack::write_file_with;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// A report of the training loss, or the validation at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// `train` (mean over the epoch so far) or `valid` (whole split).
    pub split: &'static str,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Epochs of the whole training.
    pub epochs: usize,
    /// Updates made.
    pub step: u64,
    /// Part of the epoch that is done.
    pub fraction: f64,
    /// Tokens trained on since the start.
    pub tokens: u64,
    /// Seconds since the start, over all sittings.
    pub seconds: f64,
    /// Mean negative log-likelihood of a token in nats.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
    /// Learning rate in force.
    pub lr: f64,
    /// For a validation: whether it is the best so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<bool>,
}

/// What is told of the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Validation {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Seconds since the start, over all sittings.
    pub seconds: f64,
    /// On the whole validation split.
    pub perplexity: f64,
    /// Whether it is the best so far.
    pub best: bool,
}

/// The validations of the training in `folder` so far, even while it runs; none where it has not begun.
///
/// # Errors
/// When the file cannot be read.
pub fn validations(folder: &Path) -> Result<Vec<Validation>> {
    // The events of the training loss have no `best`.
    read_lines(folder)
}

/// The lines that hold a `T`: a last one may be cut off.
fn read_lines<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let path = folder.join("metrics.jsonl");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// A measurement as `metrics.jsonl` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Measured {
    /// `train` (mean over the epoch so far) or `valid` (whole split).
    pub split: String,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Part of the epoch that is done.
    pub fraction: f64,
    /// `exp` of the loss.
    pub perplexity: f64,
}

impl Measured {
    /// Epochs that were done.
    pub fn epochs(&self) -> f64 {
        self.epoch as f64 - 1.0 + self.fraction
    }
}

/// All measurements of the training in `folder` so far, as [`validations`].
///
/// # Errors
/// When the file cannot be read.
pub fn measurements(folder: &Path) -> Result<Vec<Measured>> {
    read_lines(folder)
}

/// The file of a training.
pub struct Metrics {
    path: PathBuf,
}

impl Metrics {
    /// `metrics.jsonl` in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("metrics.jsonl") }
    }

    /// Appends an event.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_string(event).expect("an event is JSON");
        line.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::io(&self.path))
    }

    /// Drops the events after update `step`, the validations after epoch `epoch`, which a resumed training
    /// will report again, and a last line that was cut off.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn rewind(&self, step: u64, epoch: usize) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let text = std::fs::read_to_string(&self.path).map_err(Error::io(&self.path))?;
        let keep = |line: &&str| {
            let Ok(event) = serde_json::from_str::<Value>(line) else { return false };
            let early = |key: &str, last| event[key].as_u64().is_some_and(|at| at <= last);
            early("step", step) && (event["split"] != "valid" || early("epoch", epoch as u64))
        };
        let kept: Vec<_> = text.lines().filter(keep).collect();
        let lines =
            |file: &mut dyn Write| kept.iter().try_for_each(|line| writeln!(file, "{line}"));
        write_file_with(&self.path, lines).map_err(Error::io(&self.path))
    }
}
