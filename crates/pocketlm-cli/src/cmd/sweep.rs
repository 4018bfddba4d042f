//! `pocketlm sweep`

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::Table;
use pocketlm::pack::write_file;
use pocketlm_train::corpus::Corpus;
use pocketlm_train::error::Error;
use pocketlm_train::lock::Lock;
use pocketlm_train::sweep::{Sweep, Trial, Work};
use serde::Serialize;

use super::eval::percent;
use crate::cmd::pack::trainable;
use crate::cmd::train::{DeviceArgs, TextArgs, interruptible};
use crate::ending::Interrupted;
use crate::input::show_notes;
use crate::machine::Machine;
use crate::numbers::minutes;
use crate::table::table;
use crate::trial::{Place, Standing, State};

/// Time between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(50);

/// Search over settings: one training or compression for each point of a grid, or for each random draw.
///
/// The specification is a recipe (base = "inan-small", [model], [train]) and what varies. Either [grid] lists the values
/// of settings: "train.lr" = [0.001, 0.003]. Or [random] says how to draw them and trials = 20 how many draws there are:
/// "train.lr" = { log-uniform = [1e-4, 1e-2] }, { uniform = [0.0, 0.6] } or { choice = ["lstm", "gru"] }.
///
/// Or it names a trained model, checkpoint = "runs/small", and has the [[step]]s of a recipe of compression; what varies
/// then is "step.1.rank" = [16, 32], the steps numbered from 1. Each trial makes a packed file, model.plm.
///
/// Each trial is a process and a folder of its own. After an interrupt the same command continues; finished trials are
/// not run again. The table is sorted by validation perplexity; the test split is not used.
///
/// Several machines share a sweep by its folder, or by copies of it: each runs its own part with --shard or --trial, and
/// --collect makes the table of all trials that are there.
///
/// Example: pocketlm sweep lr.toml --data data/ptb --out sweeps/lr --jobs 2
///
/// Example: pocketlm sweep lr.toml --data data/ptb --out sweeps/lr --shard 1/4
#[derive(clap::Args)]
pub struct Args {
    /// Specification (TOML).
    #[arg(value_name = "SPEC")]
    spec: PathBuf,
    /// Text: a folder with train.txt, valid.txt and test.txt, or one file, which is cut in three.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder for sweep.json and for a checkpoint of each trial.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of trials that run together, sharing the cores of --threads (default: one for each core).
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    text: TextArgs,
    /// Minutes between saves of a trial within an epoch.
    #[arg(long, value_name = "MINUTES", default_value = "2", value_parser = minutes, allow_negative_numbers = true)]
    save_every: Duration,
    /// Run these trials alone, by their numbers.
    #[arg(long, value_name = "K,..", value_delimiter = ',', conflicts_with_all = ["shard", "collect"])]
    trial: Vec<usize>,
    /// Run the Ith of N parts of the trials alone.
    #[arg(long, value_name = "I/N", value_parser = shard, conflicts_with = "collect")]
    shard: Option<(usize, usize)>,
    /// Run nothing; make sweep.json and the table from what the trials left.
    #[arg(long)]
    collect: bool,
    /// Print the trials, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Print the content of sweep.json.
    #[arg(long)]
    json: bool,
}

/// `sweep.json`.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(serialize_with = "crate::output::lossy")]
    spec: &'a PathBuf,
    #[serde(serialize_with = "crate::output::lossy")]
    data: &'a PathBuf,
    data_sha256: &'a str,
    seed: u64,
    jobs: usize,
    threads_per_trial: usize,
    trials: Vec<Row<'a>>,
    machine: Machine,
}

#[derive(Serialize)]
struct Row<'a> {
    trial: usize,
    settings: serde_json::Map<String, serde_json::Value>,
    epochs: usize,
    #[serde(flatten)]
    standing: &'a Standing,
    #[serde(serialize_with = "crate::output::lossy")]
    checkpoint: &'a PathBuf,
}

/// A trial, where it lies and how far it is.
struct Entry {
    trial: Trial,
    place: Place,
    standing: Standing,
}

/// A sweep under way.
struct Run<'a> {
    args: &'a Args,
    sweep: Sweep,
    data_sha256: String,
    /// The trials of this process, or all.
    entries: Vec<Entry>,
    /// Whether they are all.
    is_whole: bool,
    jobs: usize,
    threads: usize,
}

impl Args {
    /// Runs the trials that are not finished.
    pub fn run(self) -> Result<()> {
        let sweep = Sweep::load(&self.spec)?;
        if self.dry_run {
            for trial in &sweep.trials {
                say!("{}: {}", trial.number, trial.describe(&sweep.keys));
            }
            return Ok(());
        }
        let own = self.own(&sweep)?;
        let cores = rayon::current_num_threads();
        let jobs = self.jobs.unwrap_or(cores).min(own.len());
        if jobs == 0 || jobs > cores {
            let what = format!("does not fit {cores} cores: give 1 to {cores}, or more --threads");
            return Err(Error::config("--jobs", what).into());
        }
        // Others may work in the same folder: each trial has a lock of its own.
        let is_whole = own.len() == sweep.trials.len();
        let _lock = is_whole.then(|| Lock::acquire(&self.out)).transpose()?;
        let mut run = Run::new(&self, sweep, own, jobs, cores / jobs)?;
        if !self.collect {
            run.all(&interruptible())?;
        } else {
            run.store()?;
        }
        run.show()?;
        run.end()
    }

    /// The places of the trials that this process runs.
    fn own(&self, sweep: &Sweep) -> Result<Vec<usize>> {
        let all = sweep.trials.len();
        if let Some(number) = self.trial.iter().find(|number| !(1..=all).contains(*number)) {
            bail!("--trial {number}: the specification has trials 1 to {all}");
        }
        let is_own = |at: &usize| match self.shard {
            Some((part, parts)) => at % parts == part - 1,
            None => self.trial.is_empty() || self.trial.contains(&(at + 1)),
        };
        let own: Vec<usize> = (0..all).filter(is_own).collect();
        if own.is_empty() {
            bail!("--shard: there are {all} trials, fewer than parts");
        }
        Ok(own)
    }
}

/// Reads `I/N`.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(part, parts)| {
        let numbers: (usize, usize) = (part.parse().ok()?, parts.parse().ok()?);
        (1..=numbers.1).contains(&numbers.0).then_some(numbers)
    });
    numbers.ok_or_else(|| "give a part and the number of parts: 1/4 to 4/4".to_owned())
}

impl<'a> Run<'a> {
    /// Checks everything before any trial begins.
    fn new(
        args: &'a Args,
        mut sweep: Sweep,
        own: Vec<usize>,
        jobs: usize,
        threads: usize,
    ) -> Result<Self> {
        let (corpus, base) = match &sweep.checkpoint {
            None => (Corpus::open(&args.data, &args.text.options())?, None),
            Some(path) => {
                if let Some(flag) = args.text.arguments().first() {
                    bail!("{flag}: the text is cut as the model {} has it", path.display());
                }
                let model = trainable(path)?;
                (Corpus::open_with(&args.data, model.encoder.clone())?, Some(model.outline()))
            }
        };
        show_notes(&corpus);
        let is_whole = own.len() == sweep.trials.len();
        let trials = std::mem::take(&mut sweep.trials);
        let data_sha256 = corpus.sha256();
        let mut run =
            Self { args, sweep, data_sha256, entries: Vec::new(), is_whole, jobs, threads };
        run.check_earlier()?;
        for (at, trial) in trials.into_iter().enumerate() {
            if !own.contains(&at) {
                continue;
            }
            match (&trial.work, &base) {
                (Work::Training(recipe), _) => {
                    drop(recipe.forms(corpus.encoder.vocabulary().len())?);
                }
                (Work::Compression(recipe), Some(base)) => {
                    let what =
                        || format!("trial {} ({})", trial.number, trial.describe(&run.sweep.keys));
                    recipe.check(base, Some(&corpus)).with_context(what)?;
                }
                (Work::Compression(_), None) => {}
            }
            let place = Place::new(&args.out, trial.number);
            place.prepare(&trial)?;
            let standing = place.standing()?;
            run.entries.push(Entry { trial, place, standing });
        }
        Ok(run)
    }

    /// Refuses a folder where a sweep over other data or with another seed lies.
    fn check_earlier(&self) -> Result<()> {
        let path = self.args.out.join("sweep.json");
        if !path.exists() {
            return Ok(());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let earlier: serde_json::Value =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let (data, seed) = (&earlier["data_sha256"], &earlier["seed"]);
        if *data != self.data_sha256 || *seed != self.sweep.seed {
            let what = if *data == self.data_sha256 { "seed" } else { "text" };
            bail!("{} is of another {what}: give another --out", path.display());
        }
        Ok(())
    }

    /// Runs what is to be run, so many at once, until `stop`.
    fn all(&mut self, stop: &dyn Fn() -> bool) -> Result<()> {
        self.store()?;
        let mut waiting = (0..self.entries.len()).collect::<Vec<_>>();
        waiting.retain(|&at| !self.entries[at].standing.is_final());
        waiting.reverse();
        let mut running: Vec<(usize, Child)> = Vec::new();
        loop {
            while running.len() < self.jobs
                && !stop()
                && let Some(at) = waiting.pop()
            {
                running.push((at, self.begin(at)?));
            }
            if running.is_empty() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
            if stop() {
                running.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
            }
            let mut still = Vec::new();
            for (at, mut child) in running {
                match child.try_wait()? {
                    Some(status) => self.conclude(at, status)?,
                    None => still.push((at, child)),
                }
            }
            running = still;
        }
    }

    fn begin(&self, at: usize) -> Result<Child> {
        let entry = &self.entries[at];
        let (number, all) = (entry.trial.number, self.entries.len());
        let how = if entry.place.is_begun() { "resumed" } else { "started" };
        note!("trial {number} of {all} {how}: {}", entry.trial.describe(&self.sweep.keys));
        entry.place.spawn(&entry.trial, &self.arguments(), self.threads)
    }

    /// The arguments of `train` or `compress` that all trials share.
    fn arguments(&self) -> Vec<OsString> {
        let args = self.args;
        let minutes = args.save_every.as_secs_f64() / 60.0;
        let mut list: Vec<OsString> = vec!["--data".into(), args.data.clone().into()];
        if let Some(checkpoint) = &self.sweep.checkpoint {
            list.extend(["--device".into(), args.device.device.to_string().into()]);
            list.push(checkpoint.into());
            return list;
        }
        list.extend(["--seed".into(), self.sweep.seed.to_string().into()]);
        list.extend(["--save-every".into(), minutes.to_string().into()]);
        list.extend(["--device".into(), args.device.device.to_string().into()]);
        list.extend(args.text.arguments().into_iter().map(OsString::from));
        list
    }

    fn conclude(&mut self, at: usize, status: ExitStatus) -> Result<()> {
        let entry = &mut self.entries[at];
        entry.standing = entry.place.conclude(status)?;
        let (number, standing) = (entry.trial.number, &entry.standing);
        note!("trial {number}: {}", describe(standing, epochs(&entry.trial)));
        self.store()
    }

    fn report(&self) -> Report<'_> {
        Report {
            spec: &self.args.spec,
            data: &self.args.data,
            data_sha256: &self.data_sha256,
            seed: self.sweep.seed,
            jobs: self.jobs,
            threads_per_trial: self.threads,
            trials: self.sorted().into_iter().map(|entry| self.row(entry)).collect(),
            machine: Machine::here(),
        }
    }

    fn row(&self, entry: &'a Entry) -> Row<'a> {
        let value = |value: &toml::Value| serde_json::to_value(value).expect("a setting is JSON");
        let pairs = self.sweep.keys.iter().zip(&entry.trial.settings);
        Row {
            trial: entry.trial.number,
            settings: pairs.map(|(key, setting)| (key.clone(), value(setting))).collect(),
            epochs: epochs(&entry.trial),
            standing: &entry.standing,
            checkpoint: &entry.place.folder,
        }
    }

    /// By validation perplexity, those without one at the end.
    fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        let by = |entry: &&Entry| entry.standing.valid_perplexity.unwrap_or(f64::INFINITY);
        entries.sort_by(|a, b| by(a).total_cmp(&by(b)));
        entries
    }

    /// Writes `sweep.json`, which is of all trials.
    fn store(&self) -> Result<()> {
        if !self.is_whole {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&self.report())? + "\n";
        Ok(write_file(self.args.out.join("sweep.json"), text.as_bytes())?)
    }

    fn show(&self) -> Result<()> {
        if self.args.json {
            say!("{}", serde_json::to_string_pretty(&self.report())?);
        } else {
            say!("{}", self.as_table());
        }
        Ok(())
    }

    fn as_table(&self) -> Table {
        let keys = self.sweep.keys.iter().map(String::as_str);
        let last: &[&str] = match self.sweep.checkpoint {
            None => &["valid", "recall@1", "recall@1 words", "best epoch", "seconds", "state"],
            Some(_) => &["valid", "bytes", "parameters", "state"],
        };
        let header: Vec<&str> =
            ["trial"].into_iter().chain(keys).chain(last.iter().copied()).collect();
        let mut table = table(&header, header.len() - last.len());
        for entry in self.sorted() {
            let standing = &entry.standing;
            let mut cells = vec![entry.trial.number.to_string()];
            cells.extend(entry.trial.settings.iter().map(toml::Value::to_string));
            cells.push(standing.valid_perplexity.map_or("–".into(), |x| format!("{x:.2}")));
            let count = |n: Option<usize>| n.map_or("–".into(), |n| n.to_string());
            if self.sweep.checkpoint.is_some() {
                cells.extend([standing.bytes, standing.parameters].map(count));
            } else {
                for recall in [standing.recall_at_1, standing.word_recall_at_1] {
                    cells.push(percent(recall.unwrap_or(f64::NAN)));
                }
                cells.push(count(standing.best_epoch));
                cells.push(standing.seconds.map_or("–".into(), |x| format!("{x:.0}")));
            }
            cells.push(state(standing, epochs(&entry.trial)));
            table.add_row(cells);
        }
        table
    }

    /// What there is left to say, and whether it is a failure.
    fn end(&self) -> Result<()> {
        let is = |state| self.entries.iter().filter(move |entry| entry.standing.state == state);
        if let Some(first) = is(State::Failed).next() {
            bail!(
                "{} trials failed, trial {} by: {}; see {}; the same command tries them again",
                is(State::Failed).count(),
                first.trial.number,
                first.standing.message.as_deref().unwrap_or_default(),
                first.place.folder.join("log.txt").display()
            );
        }
        if !self.args.collect && self.entries.iter().any(|entry| !entry.standing.is_final()) {
            return Err(Interrupted("stopped; the same command continues").into());
        }
        Ok(())
    }
}

/// Epochs of a training; none of a compression.
fn epochs(trial: &Trial) -> usize {
    trial.training().map_or(0, |recipe| recipe.train.epochs)
}

/// `done`, or how far it came.
fn state(standing: &Standing, epochs: usize) -> String {
    match standing.state {
        State::Finished => "done".to_owned(),
        State::Diverged => "diverged".to_owned(),
        State::Failed => "failed".to_owned(),
        State::Waiting => "not begun".to_owned(),
        State::Stopped if epochs == 0 => "stopped".to_owned(),
        State::Stopped => format!("{} of {epochs} epochs", standing.epochs_done),
    }
}

fn describe(standing: &Standing, epochs: usize) -> String {
    match (&standing.message, standing.valid_perplexity) {
        (Some(message), _) => message.clone(),
        (None, Some(perplexity)) => {
            let cost = match (standing.bytes, standing.seconds) {
                (Some(bytes), _) => format!(", {bytes} bytes"),
                (None, Some(seconds)) => format!(", {seconds:.0} s"),
                (None, None) => String::new(),
            };
            format!("{}, valid perplexity {perplexity:.2}{cost}", state(standing, epochs))
        }
        (None, None) => state(standing, epochs),
    }
}
