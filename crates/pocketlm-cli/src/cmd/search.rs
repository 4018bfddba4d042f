//! `pocketlm search`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use comfy_table::Table;
use pocketlm::Model;
use pocketlm_train::compress::Context;
use pocketlm_train::corpus::Corpus;
use pocketlm_train::error::Error;
use pocketlm_train::pack::pack;
use pocketlm_train::recipe::CompressionRecipe;
use pocketlm_train::search::{Explanation, Found, Measured, Settings, Tried, search};
use serde::Serialize;

use crate::cmd::compress::{training, work_beside};
use crate::cmd::pack::{measure_splits, trainable};
use crate::cmd::train::{DeviceArgs, interruptible};
use crate::input::show_notes;
use crate::machine::Machine;
use crate::model::check_exists;
use crate::numbers::{bytes, count, micros};
use crate::output::Output;
use crate::progress::show_epoch;
use crate::table::table;

/// Find the best model for a number of bytes: which structure, zeros and bits each matrix gets.
///
/// Every form of every matrix is counted in bytes of the whole file and measured on validation text; the best choice of
/// forms is found exactly, made, and measured. A search that is stopped goes on by the same command.
/// Beside the model it writes its recipe, which a person can read and edit and pocketlm compress --recipe takes.
///
/// Example: pocketlm search runs/small --budget 1MB --data data/ptb -o small.plm --explain
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the checkpoint.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Size of the whole packed file at most: 500kB, 1MB.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    budget: usize,
    /// Text: a folder with train.txt, for second moments and to train on, valid.txt, by which is chosen, and test.txt,
    /// which is measured at the end.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// File to write; - for standard output.
    #[arg(short, long, value_name = "NAME.plm")]
    output: PathBuf,
    /// Recipe to write (default: NAME.toml).
    #[arg(long, value_name = "FILE")]
    recipe_out: Option<PathBuf>,
    /// Time a word at most, with the probabilities of all words after it, on one thread of this machine: 200us. Results
    /// then differ with the machine and what else it does.
    #[arg(long, value_name = "TIME", value_parser = micros)]
    latency: Option<f64>,
    /// Train the best model so far for this number of epochs, in the structures that it has, and choose its bits once more.
    #[arg(long, value_name = "EPOCHS")]
    fine_tune: Option<usize>,
    /// Let this trained model teach in --fine-tune: a checkpoint or .plm file over the same words. Several may be given.
    #[arg(long, value_name = "MODEL", requires = "fine_tune")]
    teacher: Vec<PathBuf>,
    /// Learning rate of --fine-tune.
    #[arg(long, value_name = "X", default_value_t = 0.2)]
    lr: f64,
    #[command(flatten)]
    device: DeviceArgs,
    /// How often to measure all forms anew beside the best model so far, at most; the first time that finds nothing better is the last.
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    rounds: usize,
    /// Say why each matrix got its form: what it would cost to make it smaller, and gain to make it larger.
    #[arg(long)]
    explain: bool,
    /// Folder for what is measured and for the best model so far (default: NAME.search beside the file, removed at the
    /// end).
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Replace existing files.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    model: &'a Path,
    #[serde(serialize_with = "crate::output::lossy")]
    output: &'a Path,
    budget: usize,
    bytes: usize,
    data_sha256: String,
    recipe: &'a CompressionRecipe,
    explanations: &'a [Explanation],
    forms: &'a [Measured],
    models: &'a [Tried],
    machine: Machine,
}

impl Args {
    /// Searches and writes.
    pub fn run(self) -> Result<()> {
        let model = trainable(&self.checkpoint)?;
        let output = Output::new(&self.output, self.force)?;
        output.check_json(self.json)?;
        let inputs = [Some(&*self.checkpoint), Some(&*self.data)];
        output.check_inputs(&inputs)?;
        let recipe_path = match (&self.recipe_out, output.is_standard()) {
            (None, true) => None,
            (path, _) => Some(path.clone().unwrap_or_else(|| self.output.with_extension("toml"))),
        };
        let recipe_output =
            recipe_path.as_deref().map(|path| Output::new(path, self.force)).transpose()?;
        if let Some(recipe) = &recipe_output {
            recipe.check_inputs(&inputs)?;
            output.check_apart(recipe)?;
        }
        self.teacher.iter().try_for_each(|teacher| check_exists(teacher))?;
        let settings = self.settings()?;
        let corpus = Corpus::open_with(&self.data, model.encoder.clone())?;
        show_notes(&corpus);
        let beside = work_beside(&self.output, &output, "search");
        let work = self.work.as_ref().unwrap_or(&beside);
        let context = Context {
            corpus: Some(&corpus),
            work,
            device: self.device.device,
            step: 0,
            stop: &interruptible(),
            observe: &show_epoch,
        };
        let found = search(&model, &settings, &context, &mut |progress| note!("{progress}"))
            .inspect_err(|error| tell_best(error, work))?;
        let packed = Model::from_bytes(pack(&found.model, None, Vec::new())?)?;
        let figures = measure_splits(&packed, &self.data, &corpus.sources[1..])?;
        let bytes = pack(&found.model, None, figures)?;
        if let Some(output) = &recipe_output {
            let text = recipe_text(&self, &found);
            output.write(|file| file.write_all(text.as_bytes()))?;
        }
        output.write(|file| file.write_all(&bytes))?;
        if self.work.is_none() && beside.is_dir() {
            std::fs::remove_dir_all(&beside).with_context(|| beside.display().to_string())?;
        }
        self.report(&output, &found, bytes, corpus.sha256())
    }

    fn settings(&self) -> Result<Settings> {
        let keys = |epochs| training(epochs, self.lr, &self.teacher).parse();
        Ok(Settings {
            budget: self.budget,
            latency: self.latency,
            fine_tune: self.fine_tune.map(keys).transpose()?,
            rounds: self.rounds,
        })
    }

    fn report(&self, file: &Output, found: &Found, bytes: Vec<u8>, data: String) -> Result<()> {
        if self.json {
            let report = Report {
                model: &self.checkpoint,
                output: &self.output,
                budget: self.budget,
                bytes: bytes.len(),
                data_sha256: data,
                recipe: &found.recipe,
                explanations: &found.explanations,
                forms: &found.forms,
                models: &found.models,
                machine: Machine::here(),
            };
            say!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        let size = bytes.len();
        let packed = Model::from_bytes(bytes)?;
        let mut text = format!("{}\n", matrix_table(&packed));
        if self.explain {
            for explanation in &found.explanations {
                text += &format!("\n{explanation}");
            }
            text.push('\n');
        }
        text += &format!("\n{}\n", errors_of_estimates(found));
        let perplexity = packed.perplexity().iter().map(|p| format!(", {} {:.2}", p.data, p.value));
        text += &format!("{size} bytes of {}{}", self.budget, perplexity.collect::<String>());
        if file.is_standard() {
            note!("{text}")
        } else {
            say!("{text}")
        }
        Ok(())
    }
}

/// Says where the best model so far is, when a search was stopped.
fn tell_best(error: &Error, work: &Path) {
    let best = work.join("best.plm");
    if matches!(error, Error::Stopped { .. }) && best.is_file() {
        note!("the best model so far is {}, its recipe best.toml beside it", best.display());
    }
}

/// The recipe with what a person should know of it.
fn recipe_text(args: &Args, found: &Found) -> String {
    let comments =
        found.explanations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let comments: String = comments.lines().map(|line| format!("# {line}\n")).collect();
    let (model, budget) = (args.checkpoint.display(), args.budget);
    format!(
        "# Found for {model} and {budget} bytes by pocketlm search; for pocketlm compress {model} --recipe.\n\
         # Under each matrix: what the next forms would change.\n{comments}\n{}",
        found.recipe.to_toml()
    )
}

fn matrix_table(model: &Model) -> Table {
    let mut table = table(&["matrix", "form", "bytes", "bits a weight"], 2);
    for matrix in model.matrices() {
        let weights = matrix.rows * matrix.columns;
        let bits = 8.0 * matrix.file_bytes as f64 / weights as f64;
        table.add_row([
            matrix.name,
            format!("{} {} {}", matrix.structure, matrix.sparsity, matrix.precision),
            matrix.file_bytes.to_string(),
            format!("{bits:.2}"),
        ]);
    }
    table
}

/// How far estimates of single forms, and sums of forms for whole models, were from what was measured.
fn errors_of_estimates(found: &Found) -> String {
    /// Rises below are within what the length of the text leaves to chance.
    const LEAST: f64 = 1e-3;
    let pairs = found.forms.iter().filter_map(|form| Some((form.estimate, form.rise?)));
    let pairs = pairs.filter(|(estimate, rise)| estimate.min(*rise) > LEAST);
    let mut factors: Vec<f64> = pairs.map(|(a, b)| (a / b).max(b / a)).collect();
    factors.sort_by(f64::total_cmp);
    let off = found.models.iter().map(|model| (model.predicted - model.measured).abs());
    let off = off.fold(0.0, f64::max);
    let forms = match (factors.get(factors.len() / 2), factors.last()) {
        (Some(median), Some(worst)) => format!(
            "estimates of {} forms: half of them within a factor of {median:.2} of the measured rise, the worst {worst:.1}; ",
            factors.len()
        ),
        _ => String::new(),
    };
    format!("{forms}sums of forms: at most {off:.4} nats from the model made whole")
}
