//! `pocketlm-lab reproduce`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use pocketlm::pack::write_file;
use pocketlm::{Model, Session};
use pocketlm_cli::numbers::seconds;
use pocketlm_cli::{
    DeviceArgs, Interrupted, Machine, interruptible, measured, note, show_epoch, show_teachers,
    words,
};
use pocketlm_train::checkpoint::{Checkpoint, Config};
use pocketlm_train::compress::{Context, StepReport, compress};
use pocketlm_train::corpus::Corpus;
use pocketlm_train::pack::pack;
use pocketlm_train::train::Event;
use pocketlm_train::train::Outcome;
use serde::Serialize;

use crate::base;
use crate::bases::Folders;
use crate::begun::{Begun, Status, estimate, start};
use crate::queue::Queue;
use crate::rows::{FIELD, FIELD_BASE, Row, rows, rows_on};

/// Make the rows of a table of results: train, compress, measure.
///
/// Each row is stored as JSON. The same command resumes what was stopped.
///
/// Example: pocketlm-lab reproduce paper --data data/ptb --rows original,int8
#[derive(clap::Args)]
pub struct Args {
    /// The table: paper (Grachev, Ignatov & Savchenko 2017), field (every method on one base model), frontier (the best
    /// model for each size), or bases (the regularised base models, trained).
    suite: String,
    /// The base model of the field.
    #[arg(long, value_name = "NAME", default_value = FIELD_BASE)]
    base: String,
    /// The base model of the field where it is trained already, such as a folder of assets: it is not trained again.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["as_is", "estimate"])]
    model: Option<PathBuf>,
    /// Penn Treebank: a folder with train.txt, valid.txt and test.txt.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Rows to make (default: all).
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    rows: Vec<String>,
    /// Folder for the trainings.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    work: PathBuf,
    /// Folder of trained base models, from which some rows start if they are not in --work.
    #[arg(long, value_name = "DIR", default_value = "assets")]
    assets: PathBuf,
    /// Folder for the results: paper/ROW.json, field/BASE/ROW.json or bases.json below it.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Do not train: report every row whose training has begun as far as it is.
    #[arg(long, conflicts_with = "estimate")]
    as_is: bool,
    /// Do not train to the end: make this many updates and store how many hours the row would take.
    #[arg(long, value_name = "UPDATES")]
    estimate: Option<u64>,
    /// Seconds to measure the speed of each row.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Leave the speed out, as on a busy machine.
    #[arg(long, conflicts_with = "seconds")]
    no_speed: bool,
}

/// One row as it was measured.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    row: &'a Row,
    status: Status,
    epochs_done: usize,
    /// None where the base model was there already.
    training_seconds: Option<f64>,
    /// Of the whole training on this machine, where it was not run.
    estimated_hours: Option<f64>,
    #[serde(flatten)]
    measured: Option<Measured>,
    machine: Machine,
}

impl<'a> Report<'a> {
    /// A row whose training came so far.
    fn of(row: &'a Row, epochs_done: usize, seconds: Option<f64>, measured: Measured) -> Self {
        let is_partial = seconds.is_some() && epochs_done < row.training.train.epochs;
        Self {
            row,
            status: if is_partial { Status::Partial } else { Status::Done },
            epochs_done,
            training_seconds: seconds,
            estimated_hours: None,
            measured: Some(measured),
            machine: Machine::here(),
        }
    }
}

#[derive(Serialize)]
struct Measured {
    bytes: usize,
    bytes_without_vocabulary: usize,
    parameters: usize,
    valid_perplexity: f64,
    test_perplexity: f64,
    test_tokens: u64,
    tokens_per_second: Option<f64>,
    data_sha256: String,
    steps: Vec<StepReport>,
}

impl Args {
    /// Makes the rows.
    pub fn run(self) -> Result<()> {
        if self.model.is_some() && self.suite != FIELD {
            bail!("--model is for the suite {FIELD}: the others train what they report");
        }
        if self.suite == "bases" {
            return self.bases();
        }
        let all = match self.suite.as_str() {
            FIELD if self.base != FIELD_BASE => rows_on(&self.base)?,
            suite => rows(suite)?,
        };
        self.check_names(all.iter().map(|row| &*row.name))?;
        let queue: Vec<Row> = all.into_iter().filter(|row| self.is_wanted(&row.name)).collect();
        let stop = interruptible();
        for at in 0..queue.len() {
            if self.row(&queue[at..], &stop)? == Outcome::Stopped {
                return Err(Interrupted("stopped; the same command continues").into());
            }
        }
        Ok(())
    }

    /// The training in a folder.
    fn begun<'a>(&'a self, folder: &'a Path, from: Option<&'a Path>) -> Begun<'a> {
        Begun { data: &self.data, folder, from, device: self.device.device }
    }

    /// The trained model that a row's training starts from.
    fn start_of(&self, row: &Row) -> Option<PathBuf> {
        row.from.as_ref().map(|name| start(&self.work, &self.assets, name))
    }

    /// Where the rows of this table are stored.
    fn folder(&self) -> PathBuf {
        let folder = self.results.join(&self.suite);
        if self.suite == FIELD { folder.join(&self.base) } else { folder }
    }

    /// What a row's own files are called: the field has rows of the same name for each base model.
    fn own_name(&self, row: &Row) -> String {
        if self.suite == FIELD { format!("{}-{}", self.base, row.name) } else { row.name.clone() }
    }

    /// The folder of a row's training: another base model of the field is trained by the suite `bases`.
    fn training_name(&self, row: &Row) -> String {
        let is_base = self.suite == FIELD && self.base != FIELD_BASE;
        if is_base { self.base.clone() } else { row.training_name() }
    }

    fn bases(&self) -> Result<()> {
        let all = base::rows();
        self.check_names(all.iter().map(|base| &*base.name))?;
        let folders = Folders {
            data: &self.data,
            work: &self.work,
            assets: &self.assets,
            results: &self.results,
            device: self.device.device,
        };
        let queue: Vec<_> = all.into_iter().filter(|base| self.is_wanted(&base.name)).collect();
        let stop = interruptible();
        for at in 0..queue.len() {
            if let Some(updates) = self.estimate {
                folders.estimate(&queue[at], updates)?;
            } else if self.as_is {
                folders.report(&queue[at])?;
            } else if folders.train(&queue[at..], &stop)? == Outcome::Stopped {
                return Err(Interrupted("stopped; the same command continues").into());
            }
        }
        Ok(())
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row == name)
    }

    fn check_names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<()> {
        let names: Vec<&str> = names.collect();
        match self.rows.iter().find(|row| !names.contains(&row.as_str())) {
            Some(name) => bail!("no row is called {name:?}: there are {}", names.join(", ")),
            None => Ok(()),
        }
    }

    /// A row of a base model that is there already.
    fn row_of(&self, model: &Path, row: &Row, stop: &dyn Fn() -> bool) -> Result<()> {
        if row.own_training {
            note!("{}: left out, since it has a training of its own", row.name);
            return Ok(());
        }
        note!("{}: {}", row.name, row.title);
        let config = Config::load(model)?;
        if config.recipe.model != row.training.model {
            bail!("{} is no {}: give a model of that shape", model.display(), row.base);
        }
        let corpus = self.begun(model, None).corpus()?;
        let measured = self.compress(row, &corpus, model, stop)?;
        self.store(&Report::of(row, config.recipe.train.epochs, None, measured))
    }

    /// Makes the first of some rows.
    fn row(&self, queue: &[Row], stop: &dyn Fn() -> bool) -> Result<Outcome> {
        let row = &queue[0];
        if let Some(model) = &self.model {
            self.row_of(model, row, stop)?;
            return Ok(Outcome::Finished);
        }
        if row.budget_bytes.is_some() && !row.own_training {
            self.row_of(&start(&self.work, &self.assets, &row.base), row, stop)?;
            return Ok(Outcome::Finished);
        }
        let training = self.work.join(self.training_name(row));
        if let Some(updates) = self.estimate {
            self.estimate(row, updates)?;
            return Ok(Outcome::Finished);
        }
        if self.as_is && !training.join("config.json").exists() {
            return Ok(Outcome::Finished);
        }
        note!("{}: {}", row.name, row.title);
        let from = self.start_of(row);
        let begun = self.begun(&training, from.as_deref());
        let corpus = begun.corpus()?;
        let mut trainer = begun.trainer(&corpus, &row.training, row.seed)?;
        let folder = |row: &Row| self.work.join(self.training_name(row));
        let queue = Queue::of(queue.iter().map(|row| (folder(row), &row.training)));
        let mut show = |event: &Event| queue.show(event);
        if !self.as_is && !trainer.prepare(stop, &mut show_teachers, &mut |_| ())? {
            return Ok(Outcome::Stopped);
        }
        if !self.as_is && trainer.run(stop, &mut show)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        let measured = self.compress(row, &corpus, &training, stop)?;
        let (epoch, seconds) = (trainer.progress.epoch, Some(trainer.progress.seconds));
        self.store(&Report::of(row, epoch, seconds, measured))?;
        Ok(Outcome::Finished)
    }

    fn compress(
        &self,
        row: &Row,
        corpus: &Corpus,
        training: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Measured> {
        let model = Checkpoint::load(training)?;
        let context = Context {
            corpus: Some(corpus),
            work: &self.work.join(format!("{}-steps", self.own_name(row))),
            device: self.device.device,
            step: 0,
            stop,
            observe: &show_epoch,
        };
        let mut show = |report: &StepReport| note!("  {report}");
        let (model, steps) = compress(model, &row.compression, &context, &mut show)?;
        let figures = measured(&model, None, Some(&self.data))?;
        let [valid, test] = [figures[0].value, figures[1].value];
        let test_tokens = figures[1].tokens;
        let bytes = pack(&model, None, figures)?;
        if let Some(budget) = row.budget_bytes.filter(|&budget| bytes.len() as u64 > budget) {
            bail!("{}: the file has {} bytes, more than its {budget}", row.name, bytes.len());
        }
        let last = steps.last().context("a compression has steps")?;
        let packed = Model::from_bytes(bytes.clone())?;
        let measured = Measured {
            bytes: bytes.len(),
            bytes_without_vocabulary: packed.bytes() - packed.vocabulary_bytes(),
            parameters: last.parameters,
            valid_perplexity: valid,
            test_perplexity: test,
            test_tokens,
            tokens_per_second: (!self.no_speed)
                .then(|| speed(&packed, self.seconds))
                .transpose()?,
            data_sha256: model.config.provenance.data_sha256.clone(),
            steps,
        };
        std::fs::create_dir_all(&self.work).with_context(|| self.work.display().to_string())?;
        write_file(self.work.join(format!("{}.plm", self.own_name(row))), &bytes)?;
        Ok(measured)
    }

    fn estimate(&self, row: &Row, updates: u64) -> Result<()> {
        let folder = self.work.join(format!("{}-estimate", row.name));
        let from = self.start_of(row);
        let begun = self.begun(&folder, from.as_deref());
        let (seconds, hours) = estimate(&begun, &row.training, row.seed, updates)?;
        note!("{}: about {hours:.1} hours on this machine", row.name);
        self.store(&Report {
            row,
            status: Status::NotRun,
            epochs_done: 0,
            training_seconds: Some(seconds),
            estimated_hours: Some(hours),
            measured: None,
            machine: Machine::here(),
        })
    }

    fn store(&self, report: &Report) -> Result<()> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let text = serde_json::to_string_pretty(report)? + "\n";
        Ok(write_file(folder.join(format!("{}.json", report.row.name)), text.as_bytes())?)
    }
}

/// Words a second at batch 1 on one thread with the full distribution.
fn speed(model: &Model, seconds: Duration) -> Result<f64> {
    let times = words(&mut Session::new(model), seconds)?;
    Ok(times.len() as f64 / times.iter().sum::<f64>())
}
