//! The suite `bases` of `pocketlm-lab reproduce`: each base model trained as its recipe says.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pocketlm::pack::write_file;
use pocketlm_cli::{Machine, evaluate, note};
use pocketlm_train::checkpoint::{Checkpoint, Config};
use pocketlm_train::cuda::Device;
use pocketlm_train::recipe::Recipe;
use pocketlm_train::train::Outcome;
use pocketlm_train::train::validations;
use serde::Serialize;
use serde_json::{Value, json};

use crate::base::Base;
use crate::begun::{Begun, Status, estimate, start};
use crate::queue::Queue;

/// Seed of the trainings.
const SEED: u64 = 1;

/// Where a suite reads and writes.
pub struct Folders<'a> {
    /// The text.
    pub data: &'a Path,
    /// The trainings, each in a folder of the base model's name.
    pub work: &'a Path,
    /// Trained base models, from which some start if they are not in `work`.
    pub assets: &'a Path,
    /// `bases.json`.
    pub results: &'a Path,
    /// What the trainings run on.
    pub device: Device,
}

/// One row as it was measured.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    base: &'a Base,
    status: Status,
    epochs_done: usize,
    epochs: usize,
    /// Of training so far, on this or whatever machine trained.
    hours: f64,
    /// Of the whole training, at the speed so far or as `--estimate` found since.
    estimated_hours: Option<f64>,
    device: String,
    #[serde(flatten)]
    measured: Option<Measured>,
    training: Recipe,
    seed: u64,
    machine: Machine,
}

/// Of the model that validated best so far.
#[derive(Serialize)]
struct Measured {
    parameters: usize,
    best_epoch: Option<usize>,
    valid_perplexity: f64,
    test_perplexity: f64,
    /// On the test split, as all that follows.
    recall_at_1: f64,
    recall_at_3: f64,
    test_tokens: u64,
    data_sha256: String,
}

impl Folders<'_> {
    /// Trains the first of some base models to its end, or until `stop`, and reports it.
    pub fn train(&self, queue: &[Base], stop: &dyn Fn() -> bool) -> Result<Outcome> {
        let base = &queue[0];
        note!("{}: {}", base.name, base.title);
        let folder = self.work.join(&base.name);
        let from = base.from.as_ref().map(|from| start(self.work, self.assets, from));
        let (data, device) = (self.data, self.device);
        let begun = Begun { data, folder: &folder, from: from.as_deref(), device };
        let corpus = begun.corpus()?;
        let recipes = queue.iter().map(|base| Recipe::base(&base.name));
        let recipes = recipes.collect::<Result<Vec<_>, _>>()?;
        let folders = queue.iter().map(|base| self.work.join(&base.name));
        let queue = Queue::of(folders.zip(&recipes));
        let mut trainer = begun.trainer(&corpus, &recipes[0], SEED)?;
        let outcome = trainer.run(stop, &mut |event| queue.show(event))?;
        drop(trainer);
        self.report(base)?;
        Ok(outcome)
    }

    /// Reports a base model as far as it is, without touching its training: another process may be at it.
    pub fn report(&self, base: &Base) -> Result<()> {
        let folder = self.work.join(&base.name);
        let validations = validations(&folder)?;
        let (Some(last), true) = (validations.last(), folder.join("model.safetensors").exists())
        else {
            return Ok(());
        };
        let config = Config::load(&folder)?;
        let training = config.recipe.clone();
        let epochs = training.train.epochs;
        let hours = last.seconds / 3600.0;
        let is_done = last.epoch >= epochs;
        let best = validations.iter().rev().find(|validation| validation.best);
        self.store(&Row {
            base,
            status: if is_done { Status::Done } else { Status::Partial },
            epochs_done: last.epoch,
            epochs,
            hours,
            estimated_hours: (!is_done).then(|| hours / last.epoch as f64 * epochs as f64),
            device: config.provenance.device(),
            measured: Some(self.measured(&folder, best.map(|validation| validation.epoch))?),
            training,
            seed: config.provenance.seed,
            machine: Machine::here(),
        })
    }

    fn measured(&self, folder: &Path, best_epoch: Option<usize>) -> Result<Measured> {
        let model = Checkpoint::load(folder)?;
        let found = evaluate(folder, self.data, &["valid", "test"], self.device)?;
        let [valid, test] = [&found[0].evaluation, &found[1].evaluation];
        Ok(Measured {
            parameters: model.leaves.data.len(),
            best_epoch,
            valid_perplexity: valid.perplexity,
            test_perplexity: test.perplexity,
            recall_at_1: test.recall_at_1,
            recall_at_3: test.recall_at_3,
            test_tokens: test.tokens,
            data_sha256: model.config.provenance.data_sha256,
        })
    }

    /// Stores how long the training would take, from so many updates of it. A row that has begun keeps all else: while it
    /// trained, other work may have held it up.
    pub fn estimate(&self, base: &Base, updates: u64) -> Result<()> {
        let training = Recipe::base(&base.name)?;
        let folder = self.work.join(format!("{}-estimate", base.name));
        let begun = Begun { data: self.data, folder: &folder, from: None, device: self.device };
        let (_, hours) = estimate(&begun, &training, SEED, updates)?;
        note!("{}: about {hours:.1} hours on this machine", base.name);
        let mut rows = self.rows()?;
        let is_begun = |row: &&mut Value| row["name"] == base.name && row["status"] != "not-run";
        if let Some(row) = rows.iter_mut().find(is_begun) {
            if row["status"] == "partial" {
                row["estimated_hours"] = hours.into();
            }
            return self.write(&rows);
        }
        self.store(&Row {
            base,
            status: Status::NotRun,
            epochs_done: 0,
            epochs: training.train.epochs,
            hours: 0.0,
            estimated_hours: Some(hours),
            device: self.device.to_string(),
            measured: None,
            training,
            seed: SEED,
            machine: Machine::here(),
        })
    }

    /// The rows of `bases.json`.
    fn rows(&self) -> Result<Vec<Value>> {
        let path = self.results.join("bases.json");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let found: Option<Value> = serde_json::from_str(&text).ok();
        match found.and_then(|mut found| found["rows"].as_array_mut().map(std::mem::take)) {
            Some(rows) => Ok(rows),
            None => bail!("{}: has no list of rows: remove it", path.display()),
        }
    }

    /// Puts the row in the place of an earlier one of its name, or at the end.
    fn store(&self, row: &Row) -> Result<()> {
        let mut rows = self.rows()?;
        let value = serde_json::to_value(row)?;
        match rows.iter_mut().find(|earlier| earlier["name"] == row.base.name) {
            Some(earlier) => *earlier = value,
            None => rows.push(value),
        }
        self.write(&rows)
    }

    fn write(&self, rows: &[Value]) -> Result<()> {
        std::fs::create_dir_all(self.results)
            .with_context(|| self.results.display().to_string())?;
        let text = serde_json::to_string_pretty(&json!({ "rows": rows }))? + "\n";
        Ok(write_file(self.results.join("bases.json"), text.as_bytes())?)
    }
}
