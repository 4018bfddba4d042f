//! `pocketlm train`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pocketlm::raw::Case;
use pocketlm_train::checkpoint::{Checkpoint, Config};
use pocketlm_train::corpus::{
    Corpus, Encoder, Options as CorpusOptions, Source, Split, Text, Unit,
};
use pocketlm_train::cuda::{Device, Twin};
use pocketlm_train::recipe::{Draft, Recipe};
use pocketlm_train::train::{Evaluation, evaluate_on, extend};
use pocketlm_train::train::{
    Event, Options, Outcome, Taught, Trainer, check_resumable, measurements,
};
use serde::Serialize;

use super::eval::percent;
use crate::ending::Interrupted;
use crate::input::{read_text, show_notes};
use crate::machine::{Machine, peak_bytes};
use crate::model::check_exists;
use crate::numbers::{count, minutes};
use crate::output::Output;
use crate::plot;
use crate::progress::{Mode, Progress};

/// Train a model on text.
///
/// The folder in --out holds the epoch that validated best. Ctrl-C stops and saves; --resume continues.
///
/// Example: pocketlm train --model zaremba-small --data data/ptb --out runs/small
#[derive(clap::Args)]
pub struct Args {
    /// Text: a folder with train.txt, valid.txt and test.txt, or one file, which is cut in three.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder for the checkpoint.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, value_name = "NAME", help = base_models())]
    model: Option<String>,
    /// Start from the weights and words of a trained model, and from its recipe unless --model names another; a wider
    /// shape makes the model grow.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Add the N most frequent words of the text that the model of --from does not know: each begins as <unk> is.
    #[arg(long, value_name = "N", requires = "from", value_parser = count)]
    extend_vocab: Option<usize>,
    /// Recipe (TOML) with settings over those of the base model.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// One setting over those of the recipe: `--set lr=0.5 --set model.hidden=[300,300]`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Short for --set epochs=N.
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Short for --set lr=X.
    #[arg(long, value_name = "X")]
    lr: Option<String>,
    /// Short for `--set hidden=[N,..]`.
    #[arg(long, value_name = "N,..")]
    hidden: Option<String>,
    /// Learn what a trained model predicts too: a checkpoint or .plm file over the same words. Several may be given;
    /// their mixture teaches.
    #[arg(long, value_name = "MODEL")]
    teacher: Vec<PathBuf>,
    #[command(flatten)]
    text: TextArgs,
    /// Seed of the initial weights and of dropout (default: 1).
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Resume the training in --out from its last save. Give the same command again; only --epochs and --lr may change.
    #[arg(long)]
    resume: bool,
    /// Print the recipe that would be trained, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Minutes between saves within an epoch.
    #[arg(long, value_name = "MINUTES", default_value = "2", value_parser = minutes, allow_negative_numbers = true)]
    save_every: Duration,
    /// Plot perplexity over epochs into this file, anew at the end of each epoch.
    #[arg(long, value_name = "NAME.svg")]
    plot: Option<PathBuf>,
    /// How to show progress (default: a bar on a terminal, otherwise plain).
    #[arg(long, value_enum)]
    progress: Option<Mode>,
    /// Do not use the test split, which may then be missing: for choosing among trainings.
    #[arg(long)]
    no_test: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Stop, as by an interrupt, when standard input closes: for a process that starts this one.
    #[arg(long, hide = true)]
    leash: bool,
}

/// How text becomes tokens.
#[derive(clap::Args)]
pub struct TextArgs {
    /// What a token is: word (the default), char or bpe (pieces of words that are learnt from the text).
    #[arg(long)]
    unit: Option<Unit>,
    /// Tokenizer of subwords to take instead: a tokenizer.json of byte-level byte-pair encoding, or a SentencePiece
    /// *.model (bpe or unigram).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["unit", "text", "case", "max_vocab", "min_count", "unk"])]
    tokenizer: Option<PathBuf>,
    /// What a text of words is like: raw (punctuation touches words), tokenised (cut by white space), or auto.
    #[arg(long, default_value_t = Text::Auto)]
    text: Text,
    /// Capitals of raw text: true (kept where the text has them within sentences), keep or fold.
    #[arg(long, default_value = "true", value_parser = case)]
    case: Case,
    /// Keep the N most frequent words at most (raw text: 10000 unless given); the others become `<unk>`.
    #[arg(long, value_name = "N")]
    max_vocab: Option<usize>,
    /// Keep only words that occur at least N times; the others become `<unk>`.
    #[arg(long, value_name = "N")]
    min_count: Option<u64>,
    /// Mark of unknown words in the text, if not <unk>, <UNK>, [UNK] or <unknown>.
    #[arg(long, value_name = "WORD")]
    unk: Option<String>,
}

impl TextArgs {
    /// As the corpus takes them.
    pub fn options(&self) -> CorpusOptions {
        let Self { unit, text, case, max_vocab, min_count, ref unk, ref tokenizer } = *self;
        let (unit, unk, tokenizer) = (unit.unwrap_or_default(), unk.clone(), tokenizer.clone());
        CorpusOptions { unit, text, case, max_vocab, min_count, unk, tokenizer }
    }

    /// The first that is given.
    fn given(&self) -> Option<&'static str> {
        let given = [
            ("--unit", self.unit.is_some()),
            ("--tokenizer", self.tokenizer.is_some()),
            ("--text", self.text != Text::Auto),
            ("--case", self.case != Case::True),
            ("--max-vocab", self.max_vocab.is_some()),
            ("--min-count", self.min_count.is_some()),
            ("--unk", self.unk.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }

    /// As they are given on a command line.
    pub fn arguments(&self) -> Vec<String> {
        let max_vocab = self.max_vocab.map(|n| format!("--max-vocab={n}"));
        let min_count = self.min_count.map(|n| format!("--min-count={n}"));
        let unit = self.unit.map(|unit| format!("--unit={unit}"));
        let text = (self.text != Text::Auto).then(|| format!("--text={}", self.text));
        let case = (self.case != Case::True).then(|| format!("--case={}", self.case.name()));
        let unk = self.unk.as_ref().map(|word| format!("--unk={word}"));
        let tokenizer =
            self.tokenizer.as_ref().map(|path| format!("--tokenizer={}", path.display()));
        [unit, tokenizer, text, case, max_vocab, min_count, unk].into_iter().flatten().collect()
    }
}

/// Reads the name of a [`Case`].
pub fn case(name: &str) -> Result<Case, String> {
    let all = Case::ALL.map(Case::name).join(", ");
    Case::from_name(name).ok_or_else(|| format!("is not one of {all}"))
}

/// What a network is trained and measured on.
#[derive(clap::Args)]
pub struct DeviceArgs {
    /// Device to compute on: cpu, cuda (an NVIDIA GPU) or cuda-tf32 (the same, with factors rounded to TF32); a GPU needs
    /// a program built with --features cuda.
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Cpu)]
    pub device: Device,
}

/// The base model where none is named.
const DEFAULT: &str = "zaremba-small";

/// The help of --model.
fn base_models() -> String {
    let marked = |name: &str| {
        if name == DEFAULT { format!("{name} (the default)") } else { name.to_owned() }
    };
    let mut names: Vec<String> = Recipe::base_names().map(marked).collect();
    let last = names.pop().unwrap_or_default();
    format!("Base model: {} or {last}", names.join(", "))
}

/// The result of a training.
#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::output::lossy")]
    model: PathBuf,
    finished: bool,
    parameters: usize,
    best_epoch: Option<usize>,
    valid: Evaluation,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Evaluation>,
    seconds: f64,
    tokens_per_second: f64,
    peak_bytes: Option<u64>,
    config: Config,
    machine: Machine,
}

impl Args {
    /// Trains, then evaluates the best model.
    pub fn run(self) -> Result<()> {
        self.from.as_deref().map_or(Ok(()), check_exists)?;
        let recipe = self.recipe()?;
        if self.dry_run {
            say!("{}", toml::to_string(&recipe)?.trim_end());
            return Ok(());
        }
        self.plot.as_deref().map_or(Ok(()), |path| self.check_plot(path))?;
        let from = self.from.as_ref().filter(|_| !self.resume);
        let mut from = from.map(|from| Checkpoint::load(from)).transpose()?;
        let corpus = self.corpus(from.as_mut())?;
        if !self.no_test {
            corpus.require_test(&self.data).context("--no-test does without")?;
        }
        let (out, device) = (self.out.clone(), self.device.device);
        let save_every = self.save_every;
        let options = Options { out, seed: self.seed.unwrap_or(1), save_every, device };
        let mut trainer = if self.resume {
            self.resumed(&corpus, &recipe, options)?
        } else if let Some(model) = &from {
            Trainer::start_from(&corpus, model, recipe, options)?
        } else {
            Trainer::start(&corpus, recipe, options)?
        };
        let outcome = self.train(&mut trainer)?;
        self.draw_curve()?;
        if outcome == Outcome::Stopped {
            if self.json {
                self.report(&corpus, &trainer, outcome)?;
            }
            return Err(Interrupted(
                "stopped and saved; add --resume to the same command to continue",
            )
            .into());
        }
        self.report(&corpus, &trainer, outcome)
    }

    /// The training in --out, by the epochs and the rate that are asked for.
    fn resumed<'c>(
        &self,
        corpus: &'c Corpus,
        recipe: &Recipe,
        options: Options,
    ) -> Result<Trainer<'c>> {
        let before = Config::load(&self.out)?;
        let seed = before.provenance.seed;
        if let Some(asked) = self.seed.filter(|&asked| asked != seed) {
            bail!("--seed is {seed} in this training and cannot become {asked}: leave it out");
        }
        let trainer = Trainer::resume_with(corpus, recipe, options)?;
        let (old, new) = (&before.recipe.train, &recipe.train);
        if (old.epochs, old.lr) != (new.epochs, new.lr) {
            let schedule = toml::Value::try_from(new.schedule)?;
            note!(
                "note: resumed after {} of now {} epochs (before: {}) with train.lr = {} (before: {}); the schedule is \
                 still {schedule}, by which the learning rate is now {:.4}",
                trainer.progress.epoch,
                new.epochs,
                old.epochs,
                new.lr,
                old.lr,
                trainer.learning_rate()
            );
        }
        Ok(trainer)
    }

    fn recipe(&self) -> Result<Recipe> {
        let mut draft = match (&self.model, &self.from) {
            (None, Some(from)) => Draft::of(&Config::load(from)?.recipe),
            (None, None) if self.resume && self.recipe.is_none() => {
                check_resumable(&self.out)?;
                Draft::of(&Config::load(&self.out)?.recipe)
            }
            (name, _) => Draft::base(name.as_deref().unwrap_or(DEFAULT))?,
        };
        if let Some(path) = &self.recipe {
            let place = path.display().to_string();
            let text = read_text(path)?;
            draft = draft.file(&place, &text)?;
        }
        let list = self.hidden.as_ref().map(|list| format!("[{list}]"));
        let short = [("epochs", &self.epochs), ("lr", &self.lr), ("hidden", &list)];
        for (key, value) in short {
            if let Some(value) = value {
                draft = draft.set(key, value)?;
            }
        }
        if !self.teacher.is_empty() {
            self.teacher.iter().try_for_each(|teacher| check_exists(teacher))?;
            let names = self.teacher.iter().map(|teacher| teacher.display().to_string());
            draft = draft.value("train.distillation.teachers", names.collect::<Vec<_>>().into())?;
        }
        for setting in &self.set {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            draft = draft.set(key, value)?;
        }
        Ok(draft.finish()?)
    }

    /// The text, in the words of the model to start from if there is one, which learns new words where that is asked for.
    fn corpus(&self, from: Option<&mut Checkpoint>) -> Result<Corpus> {
        let is_given = from.is_some();
        let corpus = match from {
            Some(model) => {
                if let Some(flag) = self.text.given() {
                    bail!(
                        "{flag} does not go with --from, which brings its vocabulary: leave it out"
                    );
                }
                let sources = Source::splits(&self.data)?;
                if let Some(words) = self.extend_vocab {
                    self.extend(model, &sources[0], words)?;
                }
                Corpus::encode(model.encoder.clone(), &sources)?
            }
            None if self.resume => Corpus::open_with(&self.data, self.resumed_encoder()?)?,
            None => Corpus::open(&self.data, &self.text.options())?,
        };
        show_notes(&corpus);
        if is_given {
            warn_of_unknown(&corpus.train);
        }
        Ok(corpus)
    }

    /// Gives a model the most frequent words of a text that it does not know.
    fn extend(&self, model: &mut Checkpoint, text: &Source, words: usize) -> Result<()> {
        if model.config.unit.is_subword() {
            bail!(
                "--extend-vocab is of no use to a model of subwords, which spell every word: leave it out"
            );
        }
        let extension = model.encoder.extended(text, words)?;
        let from = self.from.as_deref().unwrap_or(&self.data).display().to_string();
        *model = extend(model, &extension).with_context(|| format!("{from}: --extend-vocab"))?;
        Ok(())
    }

    /// The vocabulary of the training in --out, which flags may name but not change.
    fn resumed_encoder(&self) -> Result<Encoder> {
        check_resumable(&self.out)?;
        let config = Config::load(&self.out)?;
        let encoder = Encoder::load(&self.out, config.unit)?;
        let Some(flag) = self.text.given().filter(|_| self.from.is_none()) else {
            return Ok(encoder);
        };
        let asked = Encoder::train(&Source::split(&self.data, "train")?, &self.text.options())?;
        if (asked.unit(), asked.vocabulary()) != (encoder.unit(), encoder.vocabulary()) {
            bail!(
                "{flag} makes another vocabulary than that of the training in {}: leave it out",
                self.out.display()
            );
        }
        Ok(encoder)
    }

    fn train(&self, trainer: &mut Trainer) -> Result<Outcome> {
        let mode = self.progress.unwrap_or_else(Mode::default_for_stderr);
        let mut progress = Progress::new(mode, trainer.config.recipe.train.epochs);
        let stop = interruptible();
        if self.leash {
            stop_at_end_of_input();
        }
        if !trainer.prepare(&stop, &mut show_teachers, &mut |share| progress.ask(share))? {
            return Ok(Outcome::Stopped);
        }
        let mut observe = |event: &Event| {
            progress.observe(event);
            // What cannot be drawn now may be at the end, where it is an error: no plot is worth a training.
            if let Some(Err(error)) = event.best.map(|_| self.draw_curve()) {
                note!("warning: {error:#}");
            }
        };
        Ok(trainer.run(&stop, &mut observe)?)
    }

    /// Refuses a plot that cannot be written, or that would replace what another command made.
    fn check_plot(&self, path: &Path) -> Result<()> {
        plot::check_name(path)?;
        if !self.resume && path.is_file() {
            bail!("{} exists: remove it, or give --plot another name", path.display());
        }
        // The folder of the training is made later.
        if path.parent() != Some(&self.out) {
            Output::new(path, true)?;
        }
        let read = [Some(&*self.data), self.recipe.as_deref(), self.from.as_deref()];
        Output::new(path, true).map_or(Ok(()), |output| output.check_inputs(&read))
    }

    /// Draws what was measured so far, if that is asked for.
    fn draw_curve(&self) -> Result<()> {
        let Some(path) = &self.plot else { return Ok(()) };
        let all = measurements(&self.out)?;
        let of = |split: &str| -> Vec<(f64, f64)> {
            let own = all.iter().filter(|measured| measured.split == split);
            own.map(|measured| (measured.epochs(), measured.perplexity)).collect()
        };
        let text = plot::learning(&of("train"), &of("valid"), &self.out.display().to_string())?;
        Output::new(path, true)?.write(|file| file.write_all(text.as_bytes()))
    }

    fn report(&self, corpus: &Corpus, trainer: &Trainer, outcome: Outcome) -> Result<()> {
        let model = Checkpoint::load(&self.out)?;
        let eos = corpus.encoder.vocabulary().eos();
        let (network, weights) = (&model.network, &model.parameters);
        let mut twin = Twin::open(self.device.device, network, weights)?;
        let mut on = |split| evaluate_on(twin.as_mut(), network, weights, split, eos);
        let progress = &trainer.progress;
        let report = Report {
            model: self.out.clone(),
            finished: outcome == Outcome::Finished,
            parameters: model.parameters.data.len(),
            best_epoch: progress.best.map(|(epoch, _)| epoch),
            valid: on(&corpus.valid)?,
            test: (!self.no_test).then(|| on(&corpus.test)).transpose()?,
            seconds: progress.seconds,
            tokens_per_second: progress.tokens as f64 / progress.seconds.max(1e-9),
            peak_bytes: peak_bytes(),
            config: trainer.config.clone(),
            machine: Machine::here(),
        };
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        say!(
            "{}: {} parameters, {}; {:.0} s of training",
            self.out.display(),
            report.parameters,
            report.quality(),
            report.seconds
        );
        Ok(())
    }
}

impl Report {
    /// `perplexity 70.23 on valid, 71.86 on test (…)`
    fn quality(&self) -> String {
        let Some(test) = &self.test else {
            return format!("perplexity {:.2} on valid", self.valid.perplexity);
        };
        format!(
            "perplexity {:.2} on valid, {:.2} on test (recall@1 {}, recall@3 {}; of words {}, {}; {} unknown)",
            self.valid.perplexity,
            test.perplexity,
            percent(test.recall_at_1),
            percent(test.recall_at_3),
            percent(test.word_recall_at_1),
            percent(test.word_recall_at_3),
            percent(test.unknown_share)
        )
    }
}

/// Says who teaches, and what it will take.
pub fn show_teachers(taught: &Taught) {
    let weights = taught.weights.iter().map(|(name, weight)| format!("{weight:.3} {name}"));
    note!(
        "teachers: {}; perplexity {:.2} on valid together",
        weights.collect::<Vec<_>>().join(" + "),
        taught.perplexity
    );
    if taught.bytes > 0 {
        note!(
            "teachers: they are asked once about the training text; {:.1} MB are written to {}",
            taught.bytes as f64 / 1e6,
            taught.file.display()
        );
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Says so where a text has many words that the model to start from does not know.
fn warn_of_unknown(text: &Split) {
    let share = text.oov as f64 / text.ids.len().max(1) as f64;
    if share > 0.05 {
        note!(
            "warning: {:.0} % of the training text is unknown to the model to start from: it is read as <unk>; \
             --extend-vocab N adds the N most frequent new words, a training without --from has a vocabulary of its own",
            100.0 * share
        );
    }
}

/// Asks for a stop when standard input closes.
pub fn stop_at_end_of_input() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        STOP.store(true, Ordering::Relaxed);
    });
}

/// Asks a training to stop at the first interrupt; the second ends the program.
pub fn interruptible() -> impl Fn() -> bool {
    // Without a handler, which only fails where there is one already, an interrupt just ends the program.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    || STOP.load(Ordering::Relaxed)
}
