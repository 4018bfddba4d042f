//! One trial of a sweep: a folder with its recipe, checkpoint or packed file, log and result, and the process that makes
//! it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use pocketlm::pack::write_file;
use pocketlm_train::sweep::{Trial, Work};
use pocketlm_train::train::is_begun;
use pocketlm_train::train::{Validation, validations};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All epochs are done.
    Finished,
    /// Its loss was no longer a number: it would be again.
    Diverged,
    /// Begun, to be resumed.
    Stopped,
    /// It ended with an error.
    Failed,
    /// Not begun.
    Waiting,
}

/// What is known of a trial; that of one which need not run again is its `result.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    pub state: State,
    /// Epochs done.
    pub epochs_done: usize,
    /// The best validation so far.
    pub best_epoch: Option<usize>,
    pub valid_perplexity: Option<f64>,
    pub recall_at_1: Option<f64>,
    pub recall_at_3: Option<f64>,
    pub word_recall_at_1: Option<f64>,
    pub word_recall_at_3: Option<f64>,
    pub unknown_share: Option<f64>,
    pub parameters: Option<usize>,
    /// Of the packed file, where the trial makes one.
    pub bytes: Option<usize>,
    pub seconds: Option<f64>,
    pub tokens_per_second: Option<f64>,
    /// The error, where there was one.
    pub message: Option<String>,
}

/// Exit status of a training that was asked to stop.
const INTERRUPTED: i32 = 130;

/// The folder of a trial.
pub struct Place {
    pub folder: PathBuf,
}

impl Place {
    /// In the folder of the sweep.
    pub fn new(sweep: &Path, number: usize) -> Self {
        Self { folder: sweep.join(format!("{number:03}")) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the recipe, or checks that the one there is the trial's.
    pub fn prepare(&self, trial: &Trial) -> Result<()> {
        let path = self.file("recipe.toml");
        if path.exists() {
            let text = read(&path)?;
            if !trial.is_of(&text) {
                bail!(
                    "{} holds a trial with other settings: give another --out, or the specification \
                     that it was made by",
                    self.folder.display()
                );
            }
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        Ok(write_file(&path, trial.to_toml()?.as_bytes())?)
    }

    /// How far it is, from its result or else its metrics.
    pub fn standing(&self) -> Result<Standing> {
        let path = self.file("result.json");
        if path.exists() {
            let text = read(&path)?;
            return serde_json::from_str(&text)
                .with_context(|| format!("{}: remove it to run the trial again", path.display()));
        }
        let is_begun = self.is_begun();
        let mut standing = Standing::of(if is_begun { State::Stopped } else { State::Waiting });
        if self::is_begun(&self.folder) {
            standing.read_validations(&validations(&self.folder)?);
        }
        Ok(standing)
    }

    /// Whether there is something to resume.
    pub fn is_begun(&self) -> bool {
        is_begun(&self.folder) || self.file("work").exists()
    }

    /// Starts the process: `arguments` are those of `train` or `compress` that all trials share. It stops, so that it can
    /// be resumed, when its standard input closes: at the latest when this process ends, however that happens.
    pub fn spawn(&self, trial: &Trial, arguments: &[OsString], threads: usize) -> Result<Child> {
        let path = self.file("log.txt");
        let log = OpenOptions::new().append(true).create(true).open(&path);
        let log = log.with_context(|| path.display().to_string())?;
        // The process inherits the lock with the file, and holds it to its end.
        wait_for(&log, &self.folder)?;
        log.set_len(0)?;
        let mut command = Command::new(std::env::current_exe()?);
        match trial.work {
            Work::Training(_) => {
                command.args(["train", "--no-test", "--progress", "plain", "--out"]);
                command.arg(&self.folder);
                if self.is_begun() {
                    command.arg("--resume");
                }
            }
            Work::Compression(_) => {
                command.args(["compress", "--force", "--output"]).arg(self.file("model.plm"));
                command.arg("--work").arg(self.file("work"));
            }
        }
        command.args(["--json", "--leash", "--threads"]).arg(threads.to_string()).args(arguments);
        command.arg("--recipe").arg(self.file("recipe.toml"));
        let report = File::create(self.file("report.json"))?;
        command.stdin(Stdio::piped()).stdout(report).stderr(log);
        command.spawn().context("cannot start a process of this program")
    }

    /// What a process that has ended leaves, stored where it need not run again. One that was killed stands where
    /// it last saved.
    pub fn conclude(&self, status: ExitStatus) -> Result<Standing> {
        let mut standing = self.standing()?;
        if status.success() || status.code() == Some(INTERRUPTED) {
            // A compression that was stopped has no report.
            let report = read(&self.file("report.json"))?;
            if !report.is_empty() {
                standing.read_report(&serde_json::from_str(&report)?);
            }
        } else if status.code().is_some() {
            let log = read(&self.file("log.txt"))?;
            let error = log.lines().rev().find_map(|line| line.strip_prefix("error: "));
            let message = error.unwrap_or("the process ended without a word").to_owned();
            let diverged = message.starts_with("training diverged");
            standing.state = if diverged { State::Diverged } else { State::Failed };
            standing.message = Some(message);
        }
        if standing.is_final() {
            let text = serde_json::to_string_pretty(&standing)? + "\n";
            write_file(self.file("result.json"), text.as_bytes())?;
        }
        Ok(standing)
    }
}

impl Standing {
    fn of(state: State) -> Self {
        Self {
            state,
            epochs_done: 0,
            best_epoch: None,
            valid_perplexity: None,
            recall_at_1: None,
            recall_at_3: None,
            word_recall_at_1: None,
            word_recall_at_3: None,
            unknown_share: None,
            parameters: None,
            bytes: None,
            seconds: None,
            tokens_per_second: None,
            message: None,
        }
    }

    /// Whether it need not run again.
    pub fn is_final(&self) -> bool {
        matches!(self.state, State::Finished | State::Diverged)
    }

    /// Takes in the validations so far.
    fn read_validations(&mut self, validations: &[Validation]) {
        for validation in validations {
            self.epochs_done = validation.epoch;
            self.seconds = Some(validation.seconds);
            if validation.best {
                self.best_epoch = Some(validation.epoch);
                self.valid_perplexity = Some(validation.perplexity);
            }
        }
    }

    /// Takes in the report of `train` or of `compress`.
    fn read_report(&mut self, report: &Value) {
        if let Some(last) = report["steps"].as_array().and_then(|steps| steps.last()) {
            self.state = State::Finished;
            self.bytes = last["bytes"].as_u64().map(|n| n as usize);
            self.parameters = last["parameters"].as_u64().map(|n| n as usize);
            self.valid_perplexity = last["valid_perplexity"].as_f64();
            return;
        }
        let finished = report["finished"] == true;
        self.state = if finished { State::Finished } else { State::Stopped };
        self.parameters = report["parameters"].as_u64().map(|n| n as usize);
        self.best_epoch = report["best_epoch"].as_u64().map(|n| n as usize);
        self.seconds = report["seconds"].as_f64();
        self.tokens_per_second = report["tokens_per_second"].as_f64();
        let valid = &report["valid"];
        self.valid_perplexity = valid["perplexity"].as_f64();
        self.recall_at_1 = valid["recall_at_1"].as_f64();
        self.recall_at_3 = valid["recall_at_3"].as_f64();
        self.word_recall_at_1 = valid["word_recall_at_1"].as_f64();
        self.word_recall_at_3 = valid["word_recall_at_3"].as_f64();
        self.unknown_share = valid["unknown_share"].as_f64();
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Locks the log of a trial; waits for a process of an earlier sweep that is still saving.
fn wait_for(log: &File, folder: &Path) -> Result<()> {
    match log.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => {
            note!("{}: waiting for an earlier process to leave it", folder.display());
        }
        Err(TryLockError::Error(_)) => {}
    }
    log.lock().with_context(|| folder.display().to_string())
}
