//! What a step of a compression works with, and what it does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::calibration::Calibration;
use crate::checkpoint::Checkpoint;
use crate::corpus::Corpus;
use crate::cuda::Device;
use crate::error::Result;
use crate::train::{Event, Options};

/// What a step does to the numbers of a model.
pub(super) trait Apply {
    /// Does it.
    ///
    /// # Errors
    /// When the model does not fit the settings, or its training fails.
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()>;

    /// The same by statistics of text that are there already, where it needs such.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn apply_by(&self, model: &mut Checkpoint, _: &Calibration, context: &Context) -> Result<()> {
        self.apply(model, context)
    }
}

/// What the steps work with.
pub struct Context<'a> {
    /// Text to calibrate, to fine-tune and to validate on.
    pub corpus: Option<&'a Corpus>,
    /// Folder for the checkpoint of each fine-tuning.
    pub work: &'a Path,
    /// What fine-tunings run on.
    pub device: Device,
    /// Which step it is, from 0.
    pub step: usize,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Sees the events of trainings.
    pub observe: &'a dyn Fn(&Event),
}

impl Context<'_> {
    pub(super) fn training(&self, seed: u64) -> Options {
        let out: PathBuf = self.work.join(format!("step-{}", self.step + 1));
        Options { out, seed, save_every: Duration::from_secs(120), device: self.device }
    }
}
