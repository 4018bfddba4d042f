//! The trainings behind the rows of a table: what was begun goes on where it was left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Corpus, Encoder, Options as CorpusOptions, Text, Unit};
use pocketlm_train::cuda::Device;
use pocketlm_train::recipe::Recipe;
use pocketlm_train::train::{Options, Trainer, is_begun};
use serde::Serialize;

/// How far the training of a row is.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Trained to the end.
    Done,
    /// Trained in part.
    Partial,
    /// Only estimated.
    NotRun,
}

/// A training in a folder, begun or not.
pub struct Begun<'a> {
    /// The text.
    pub data: &'a Path,
    /// The checkpoint's folder.
    pub folder: &'a Path,
    /// The trained model that it starts from.
    pub from: Option<&'a Path>,
    /// What it runs on.
    pub device: Device,
}

impl Begun<'_> {
    fn is_begun(&self) -> bool {
        is_begun(self.folder)
    }

    /// The text, with the vocabulary of the training where it has begun.
    pub fn corpus(&self) -> Result<Corpus> {
        if let Some(folder) = if self.is_begun() { Some(self.folder) } else { self.from } {
            let encoder = Encoder::load(folder, Unit::Word)?;
            return Ok(Corpus::open_with(self.data, encoder)?);
        }
        Ok(Corpus::open(
            self.data,
            &CorpusOptions { text: Text::Tokenised, ..CorpusOptions::default() },
        )?)
    }

    /// The training, resumed or started.
    pub fn trainer<'c>(
        &self,
        corpus: &'c Corpus,
        recipe: &Recipe,
        seed: u64,
    ) -> Result<Trainer<'c>> {
        let save_every = Duration::from_secs(120);
        let (out, device) = (self.folder.to_owned(), self.device);
        let options = Options { out, seed, save_every, device };
        if !self.is_begun() {
            let Some(from) = self.from else {
                return Ok(Trainer::start(corpus, recipe.clone(), options)?);
            };
            let model = Checkpoint::load(from)
                .with_context(|| format!("{} is where the training starts from", from.display()))?;
            return Ok(Trainer::start_from(corpus, &model, recipe.clone(), options)?);
        }
        let trainer = Trainer::resume(corpus, options)?;
        if trainer.config.recipe != *recipe || trainer.config.provenance.seed != seed {
            let folder = self.folder.display();
            bail!("{folder} holds a training by another recipe or seed: give another --work");
        }
        Ok(trainer)
    }
}

/// The trained base model that a training starts from: the one in `work`, or else the one among the assets.
pub fn start(work: &Path, assets: &Path, name: &str) -> PathBuf {
    let trained = work.join(name);
    let is_trained = trained.join("model.safetensors").exists();
    if is_trained { trained } else { assets.join(name) }
}

/// Times some updates of a training in a folder of its own, which is removed again: the seconds that they took,
/// and the hours of the whole.
pub fn estimate(begun: &Begun, recipe: &Recipe, seed: u64, updates: u64) -> Result<(f64, f64)> {
    let corpus = begun.corpus()?;
    let mut trainer = begun.trainer(&corpus, recipe, seed)?;
    let count = std::cell::Cell::new(0);
    let stop = || {
        count.set(count.get() + 1);
        count.get() >= updates
    };
    trainer.run(&stop, &mut |_| {})?;
    let (seconds, tokens) = (trainer.progress.seconds, trainer.progress.tokens);
    std::fs::remove_dir_all(begun.folder).with_context(|| begun.folder.display().to_string())?;
    let all = (corpus.train.ids.len() * recipe.train.epochs) as f64;
    Ok((seconds, seconds / tokens as f64 * all / 3600.0))
}
