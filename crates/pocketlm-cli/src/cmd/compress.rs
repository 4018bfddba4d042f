//! `pocketlm compress`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use comfy_table::Table;
use pocketlm::Model;
use pocketlm::pack::Precision;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::compress::{Choice, Context, Plan, StepReport, compress, plan};
use pocketlm_train::corpus::Corpus;
use pocketlm_train::lock::Lock;
use pocketlm_train::pack::pack;
use pocketlm_train::recipe::CompressionRecipe;
use serde::Serialize;

use crate::cmd::pack::{measure_splits, precision, trainable};
use crate::cmd::train::{DeviceArgs, interruptible, stop_at_end_of_input};
use crate::input::{read_text, show_notes};
use crate::machine::Machine;
use crate::model::check_exists;
use crate::numbers::{bytes, seconds};
use crate::output::Output;
use crate::progress::show_epoch;
use crate::table::table;

/// Compress a trained model by the steps of a recipe, or by steps given as options.
///
/// Example: pocketlm compress runs/small -o small.plm --data data/ptb --prune 0.9 --matrices softmax
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the checkpoint.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// File to write; - for standard output.
    #[arg(short, long, value_name = "NAME.plm", required_unless_present = "plan")]
    output: Option<PathBuf>,
    /// Recipe (TOML): a list of `[[step]]`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prune", "quantise", "low_rank", "tensor_train", "entropy", "budget", "fine_tune", "teacher"])]
    recipe: Option<PathBuf>,
    /// Make the whole packed file at most this large: 500kB, 1MB. Every matrix gets the bits that cost the least quality;
    /// needs --data.
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with_all = ["quantise", "entropy", "low_rank", "tensor_train"])]
    budget: Option<usize>,
    /// Set this share of the numbers to zero, those nearest to it.
    #[arg(long, value_name = "SHARE")]
    prune: Option<f64>,
    /// Store numbers in this precision.
    #[arg(long, value_name = "PRECISION", value_parser = precision)]
    quantise: Option<Precision>,
    /// Replace matrices by two factors of this rank.
    #[arg(long, value_name = "RANK")]
    low_rank: Option<usize>,
    /// Replace matrices by tensor trains of three cores of at most this rank.
    #[arg(long, value_name = "RANK")]
    tensor_train: Option<usize>,
    /// Entropy-code the file: smaller, slower to open, the same model to the bit.
    #[arg(long)]
    entropy: bool,
    /// Matrices that the options above apply to; `*` stands for any text.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "*")]
    matrices: Vec<String>,
    /// Train for this number of epochs after the steps above, but before --quantise
    /// and --budget.
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
    /// Text to calibrate and fine-tune on, and to measure each step on.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Folder for the trainings of the recipe, which the same command resumes there (default: NAME.compress beside the
    /// file).
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Also write the compressed model as a checkpoint, to be trained further.
    #[arg(long, value_name = "DIR")]
    checkpoint_out: Option<PathBuf>,
    /// Stop when standard input closes: for the process that started this one.
    #[arg(long, hide = true)]
    leash: bool,
    /// Print what every form of every matrix saves and loses, the best first, and stop.
    ///
    /// Savings are counted from the model in int8. An option ranks by the bytes that it saves for each per cent of
    /// relative error of its matrix's weights, ‖W - W'‖ / ‖W‖ (Frobenius). That is no measure of quality: try the best
    /// ones by pocketlm compare.
    #[arg(long)]
    plan: bool,
    /// Print all options of --plan, not the best twenty.
    #[arg(long, requires = "plan")]
    all: bool,
    /// Leave out the errors of --plan, and rank by bytes alone.
    #[arg(long, requires = "plan")]
    fast: bool,
    /// Seconds to measure errors for in --plan, about: decompositions that would take longer are left out.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, requires = "plan")]
    within: Duration,
    /// Replace an existing file.
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
    recipe: &'a CompressionRecipe,
    steps: &'a [StepReport],
    machine: Machine,
}

impl Args {
    /// Compresses and writes.
    pub fn run(self) -> Result<()> {
        let model = trainable(&self.checkpoint)?;
        if self.plan {
            return self.print_plan(&model);
        }
        let path = self.output.as_deref().context("give the file to write: -o NAME.plm")?;
        let output = Output::new(path, self.force)?;
        output.check_json(self.json)?;
        let inputs = [Some(&*self.checkpoint), self.data.as_deref(), self.recipe.as_deref()];
        output.check_inputs(&inputs)?;
        if let Some(folder) = &self.checkpoint_out {
            if folder == path {
                bail!("{}: is named for two outputs: give one of them another", path.display());
            }
            self.check_checkpoint_out(folder)?;
        }
        self.teacher.iter().try_for_each(|teacher| check_exists(teacher))?;
        if self.leash {
            stop_at_end_of_input();
        }
        let recipe = self.steps()?;
        let corpus = match &self.data {
            Some(data) => {
                let corpus = Corpus::open_with(data, model.encoder.clone())?;
                show_notes(&corpus);
                Some(corpus)
            }
            None => None,
        };
        // A training that is stopped resumes from there; once the file is written there is nothing to resume.
        let beside = work_beside(path, &output, "compress");
        let work = self.work.as_ref().unwrap_or(&beside).clone();
        let context = Context {
            corpus: corpus.as_ref(),
            work: &work,
            device: self.device.device,
            step: 0,
            stop: &interruptible(),
            observe: &show_epoch,
        };
        let show = |report: &StepReport| note!("{report}");
        let (compressed, reports) = compress(model, &recipe, &context, &mut |r| show(r))?;
        if let Some(folder) = &self.checkpoint_out {
            compressed.save(folder)?;
        }
        let figures = match (&self.data, &corpus) {
            (Some(data), Some(corpus)) => {
                let packed = Model::from_bytes(pack(&compressed, None, Vec::new())?)?;
                measure_splits(&packed, data, &corpus.sources[1..])?
            }
            _ => Vec::new(),
        };
        let bytes = pack(&compressed, None, figures)?;
        output.write(|file| file.write_all(&bytes))?;
        if self.work.is_none() && beside.is_dir() {
            std::fs::remove_dir_all(&beside).with_context(|| beside.display().to_string())?;
        }
        self.report(&output, path, &recipe, &reports)
    }

    /// Refuses a folder whose content would be lost without --force, that of the model above all.
    fn check_checkpoint_out(&self, folder: &Path) -> Result<()> {
        let shown = folder.display();
        let Ok(there) = folder.canonicalize() else { return Ok(()) };
        if self.checkpoint.canonicalize().is_ok_and(|model| model == there) {
            bail!("{shown} is the model that is compressed: give another --checkpoint-out");
        }
        if !there.is_dir() {
            bail!("{shown} is a file: --checkpoint-out takes a folder");
        }
        if std::fs::read_dir(&there)?.next().is_none() {
            return Ok(());
        }
        if !there.join("config.json").is_file() {
            bail!("{shown} holds something else than a checkpoint: give another --checkpoint-out");
        }
        if !self.force {
            bail!("{shown} exists: give --force to replace it");
        }
        drop(Lock::acquire(&there)?);
        Ok(())
    }

    fn report(
        &self,
        file: &Output,
        output: &Path,
        recipe: &CompressionRecipe,
        steps: &[StepReport],
    ) -> Result<()> {
        if self.json {
            let (model, machine) = (&*self.checkpoint, Machine::here());
            let report = Report { model, output, recipe, steps, machine };
            say!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        let tables = format!("{}\n\n{}", matrix_table(steps), step_table(steps));
        if file.is_standard() {
            note!("{tables}")
        } else {
            say!("{tables}")
        }
        Ok(())
    }

    fn steps(&self) -> Result<CompressionRecipe> {
        if let Some(path) = &self.recipe {
            let place = path.display().to_string();
            let text = read_text(path)?;
            return Ok(CompressionRecipe::parse(&place, &text)?);
        }
        let matrices = toml::Value::from(self.matrices.clone()).to_string();
        let step =
            |method: &str, rest: String| format!("[[step]]\nmethod = \"{method}\"\n{rest}\n");
        let on = |rest: String| format!("matrices = {matrices}\n{rest}");
        let steps = [
            self.low_rank.map(|rank| step("low-rank", on(format!("rank = {rank}")))),
            self.tensor_train.map(|rank| step("tensor-train", on(format!("rank = {rank}")))),
            self.prune.map(|share| step("prune", on(format!("sparsity = {share:?}")))),
            self.fine_tune.map(|n| step("fine-tune", training(n, self.lr, &self.teacher))),
            self.budget.map(|bytes| step("rate-distortion", on(format!("bytes = {bytes}")))),
            self.quantise.map(|precision| {
                step("quantise", on(format!("precision = \"{}\"", precision.name())))
            }),
            self.entropy.then(|| step("entropy", String::new())),
        ];
        let text: String = steps.into_iter().flatten().collect();
        if text.is_empty() {
            bail!(
                "nothing to do: give --budget, --recipe, or one of --prune, --quantise, --low-rank, --tensor-train, \
                 --entropy"
            );
        }
        Ok(CompressionRecipe::parse("the flags", &text)?)
    }

    fn print_plan(&self, model: &Checkpoint) -> Result<()> {
        let within = (!self.fast).then_some(self.within);
        if let Some(within) = within {
            let seconds = within.as_secs_f64();
            note!("note: measures errors for up to {seconds} s or so; --fast leaves them out");
        }
        let mut plan = plan(model, within)?;
        let all = plan.choices.len();
        plan.choices.truncate(if self.all { all } else { BEST });
        if self.json {
            say!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            say!("{}\n\n{}", plan_header(&plan, self.fast), plan_table(&plan.choices));
        }
        if plan.choices.len() < all {
            note!("note: the best {BEST} of {all} options; --all prints all");
        }
        if plan.unmeasured > 0 && !self.fast {
            note!(
                "note: the errors of {} options take longer than {} s and were left out; --within gives them more \
                 time",
                plan.unmeasured,
                self.within.as_secs_f64()
            );
        }
        Ok(())
    }
}

/// The keys of --fine-tune.
pub fn training(epochs: usize, lr: f64, teachers: &[PathBuf]) -> String {
    let keys = format!("epochs = {epochs}\nlr = {lr:?}");
    if teachers.is_empty() {
        return keys;
    }
    let names: Vec<String> = teachers.iter().map(|path| path.display().to_string()).collect();
    format!("{keys}\ndistillation = {{ teachers = {} }}", toml::Value::from(names))
}

/// The folder beside a file that is made, for work that can be stopped: with this extension in place of its own.
pub fn work_beside(path: &Path, output: &Output, extension: &str) -> PathBuf {
    match path.is_file() || (!output.is_standard() && !path.exists()) {
        true => path.with_extension(extension),
        false => PathBuf::from(format!("pocketlm.{extension}")),
    }
}

/// Options that are printed unless all are asked for.
const BEST: usize = 20;

/// What the plan ranks by.
fn plan_header(plan: &Plan, fast: bool) -> String {
    let bytes = plan.bytes_in_int8;
    let rank = match fast {
        true => "ranked by that",
        false => {
            "error: ||W - W'|| / ||W|| of the matrix's weights; gain: KB saved for each per cent of error, by which \
             they are ranked; how good the model is then only a text tells (pocketlm compare)"
        }
    };
    format!("saved: bytes less than the {bytes} of all matrices in int8; {rank}")
}

fn plan_table(choices: &[Choice]) -> Table {
    let header = ["matrix", "option", "parameters", "bytes", "saved", "error", "gain"];
    let mut table = table(&header, 2);
    let unknown = || "-".to_owned();
    for choice in choices {
        table.add_row([
            choice.matrix.clone(),
            choice.option.clone(),
            choice.parameters.to_string(),
            choice.bytes.to_string(),
            choice.saved.to_string(),
            choice.relative_error.map_or_else(unknown, |error| format!("{error:.4}")),
            choice.gain.map_or_else(unknown, |gain| format!("{:.2}", gain / 1e3)),
        ]);
    }
    table
}

/// Each matrix before the first step and after the last, and the error of the steps on it.
fn matrix_table(steps: &[StepReport]) -> Table {
    let header = ["matrix", "form", "bytes before", "bytes after", "relative errors of the steps"];
    let mut table = table(&header, 2);
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return table };
    for matrix in &last.matrices {
        let find = |step: &StepReport| {
            step.matrices
                .iter()
                .find(|m| m.name == matrix.name)
                .map(|m| (m.bytes, m.relative_error))
        };
        let errors = steps[1..].iter().filter_map(find).map(|(_, error)| format!("{error:.4}"));
        table.add_row([
            matrix.name.clone(),
            matrix.form.clone(),
            find(first).map_or_else(|| "-".to_owned(), |(bytes, _)| bytes.to_string()),
            matrix.bytes.to_string(),
            errors.collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}

fn step_table(steps: &[StepReport]) -> Table {
    let header = ["step", "bytes", "without vocabulary", "parameters", "valid perplexity"];
    let mut table = table(&header, 1);
    for step in steps {
        table.add_row([
            step.step.to_owned(),
            step.bytes.to_string(),
            step.bytes_without_vocabulary.to_string(),
            step.parameters.to_string(),
            step.valid_perplexity.map_or_else(|| "-".to_owned(), |p| format!("{p:.2}")),
        ]);
    }
    table
}
