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
use pocketlm_train::sweep::{Sweep, Trial};
use serde::Serialize;

use super::eval::percent;
use crate::cmd::train::{DeviceArgs, TextArgs, interruptible};
use crate::ending::Interrupted;
use crate::input::show_notes;
use crate::machine::Machine;
use crate::numbers::minutes;
use crate::table::table;
use crate::trial::{Place, Standing, State};

/// Time between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(50);

/// Search over settings: one training for each point of a grid, or for each random draw.
///
/// The specification is a recipe (base = "inan-small", [model], [train]) and what varies. Either [grid] lists the values
/// of settings: "train.lr" = [0.001, 0.003]. Or [random] says how to draw them and trials = 20 how many draws there are:
/// "train.lr" = { log-uniform = [1e-4, 1e-2] }, { uniform = [0.0, 0.6] } or { choice = ["lstm", "gru"] }.
///
/// Each trial is a process and a folder of its own. After an interrupt the same command continues; finished trials are
/// not run again. The table is sorted by validation perplexity; the test split is not used.
///
/// Example: pocketlm sweep lr.toml --data data/ptb --out sweeps/lr --jobs 2
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
    entries: Vec<Entry>,
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
        let cores = rayon::current_num_threads();
        let jobs = self.jobs.unwrap_or(cores).min(sweep.trials.len());
        if jobs == 0 || jobs > cores {
            let what = format!("does not fit {cores} cores: give 1 to {cores}, or more --threads");
            return Err(Error::config("--jobs", what).into());
        }
        let _lock = Lock::acquire(&self.out)?;
        let mut run = Run::new(&self, sweep, jobs, cores / jobs)?;
        run.all(&interruptible())?;
        run.show()?;
        run.end()
    }
}

impl<'a> Run<'a> {
    /// Checks everything before any trial begins.
    fn new(args: &'a Args, sweep: Sweep, jobs: usize, threads: usize) -> Result<Self> {
        let corpus = Corpus::open(&args.data, &args.text.options())?;
        show_notes(&corpus);
        let types = corpus.encoder.vocabulary().len();
        let data_sha256 = corpus.sha256();
        let mut run = Self { args, sweep, data_sha256, entries: Vec::new(), jobs, threads };
        run.check_earlier()?;
        for trial in std::mem::take(&mut run.sweep.trials) {
            let place = Place::new(&args.out, trial.number);
            trial.recipe.forms(types)?;
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
        entry.place.spawn(&self.arguments(), self.threads)
    }

    /// The arguments of `train` that all trials share.
    fn arguments(&self) -> Vec<OsString> {
        let args = self.args;
        let minutes = args.save_every.as_secs_f64() / 60.0;
        let mut list: Vec<OsString> = vec!["--data".into(), args.data.clone().into()];
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
        note!("trial {number}: {}", describe(standing, entry.trial.recipe.train.epochs));
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
            epochs: entry.trial.recipe.train.epochs,
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

    fn store(&self) -> Result<()> {
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
        let header: Vec<&str> = ["trial"]
            .into_iter()
            .chain(keys)
            .chain(["valid", "recall@1", "recall@1 words", "best epoch", "seconds", "state"])
            .collect();
        let mut table = table(&header, header.len() - 6);
        for entry in self.sorted() {
            let standing = &entry.standing;
            let mut cells = vec![entry.trial.number.to_string()];
            cells.extend(entry.trial.settings.iter().map(toml::Value::to_string));
            cells.push(standing.valid_perplexity.map_or("–".into(), |x| format!("{x:.2}")));
            for recall in [standing.recall_at_1, standing.word_recall_at_1] {
                cells.push(percent(recall.unwrap_or(f64::NAN)));
            }
            cells.push(standing.best_epoch.map_or("–".into(), |x| x.to_string()));
            cells.push(standing.seconds.map_or("–".into(), |x| format!("{x:.0}")));
            cells.push(state(standing, entry.trial.recipe.train.epochs));
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
        if self.entries.iter().any(|entry| !entry.standing.is_final()) {
            return Err(Interrupted("stopped; the same command continues").into());
        }
        Ok(())
    }
}

/// `done`, or how far it came.
fn state(standing: &Standing, epochs: usize) -> String {
    match standing.state {
        State::Finished => "done".to_owned(),
        State::Diverged => "diverged".to_owned(),
        State::Failed => "failed".to_owned(),
        State::Waiting => "not begun".to_owned(),
        State::Stopped => format!("{} of {epochs} epochs", standing.epochs_done),
    }
}

fn describe(standing: &Standing, epochs: usize) -> String {
    match (&standing.message, standing.valid_perplexity) {
        (Some(message), _) => message.clone(),
        (None, Some(perplexity)) => format!(
            "{}, valid perplexity {perplexity:.2}, {:.0} s",
            state(standing, epochs),
            standing.seconds.unwrap_or_default()
        ),
        (None, None) => state(standing, epochs),
    }
}
