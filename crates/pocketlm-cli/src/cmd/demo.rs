//! `pocketlm demo`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use pocketlm::Sampling;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Corpus, Split};
use pocketlm_train::cuda::Device;
use pocketlm_train::grammar::{self, Grammar};
use pocketlm_train::recipe::Draft;
use pocketlm_train::train::evaluate;
use pocketlm_train::train::{Options, Outcome, Trainer};

use super::generate::each_drawn;
use super::train::interruptible;
use crate::ending::Interrupted;
use crate::model::Loaded;
use crate::progress::{Mode, Progress};
use crate::shell;

/// Train, measure and use a small model on a built-in text: a minute or two.
///
/// The text is drawn from a grammar of English, whose entropy is known exactly. So you see how near the model comes to
/// the best possible one.
///
/// Example: pocketlm demo
///
/// Example: pocketlm demo --write-text text --tokens 20000
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the checkpoint (default: a temporary one, replaced at each run).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of tokens to train on.
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    tokens: usize,
    /// Number of passes over the text.
    #[arg(long, value_name = "N", default_value_t = 6)]
    epochs: usize,
    /// How to show progress (default: a bar on a terminal, otherwise plain).
    #[arg(long, value_enum)]
    progress: Option<Mode>,
    /// Write the text into this folder as train.txt, valid.txt and test.txt, and stop.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "epochs"])]
    write_text: Option<PathBuf>,
}

const CONTEXTS: [&str; 3] = ["the", "the dogs near the barn", "carmen trusts"];

impl Args {
    /// Trains, evaluates, suggests, generates.
    pub fn run(self) -> Result<()> {
        if let Some(folder) = &self.write_text {
            return write_text(folder, self.tokens);
        }
        #[cfg(feature = "embedded")]
        show_built_in()?;
        let corpus = grammar::corpus(1, self.tokens)?;
        let floor = floor(&corpus, &corpus.test);
        say!(
            "A corpus of {} tokens and {} types from a probabilistic grammar of English. No model can have \
             a perplexity below {floor:.2} on its test split.",
            corpus.train.ids.len(),
            corpus.encoder.vocabulary().len()
        );
        let out = self.folder()?;
        if !self.train(&corpus, &out)? {
            return Err(Interrupted("stopped").into());
        }
        let checkpoint = Checkpoint::load(&out)?;
        let eos = corpus.encoder.vocabulary().eos();
        let test = evaluate(&checkpoint.network, &checkpoint.parameters, &corpus.test, eos)?;
        say!("\nTest perplexity {:.2}; the floor is {floor:.2}.", test.perplexity);
        show(&Loaded::open(&out)?)?;
        next_steps(&out)
    }

    fn folder(&self) -> Result<PathBuf> {
        if let Some(out) = &self.out {
            return Ok(out.clone());
        }
        let out = std::env::temp_dir().join("pocketlm-demo");
        if out.exists() {
            std::fs::remove_dir_all(&out)?;
        }
        Ok(out)
    }

    /// Whether the training came to its end.
    fn train(&self, corpus: &Corpus, out: &Path) -> Result<bool> {
        let recipe = Draft::base("zaremba-small")?
            .file("the demo's recipe", include_str!("demo.toml"))?
            .set("epochs", &self.epochs.to_string())?
            .finish()?;
        let save_every = Duration::from_secs(120);
        let options = Options { out: out.to_owned(), seed: 1, save_every, device: Device::Cpu };
        let mut trainer = Trainer::start(corpus, recipe, options)?;
        let mode = self.progress.unwrap_or_else(Mode::default_for_stderr);
        let mut progress = Progress::new(mode, self.epochs);
        let stop = interruptible();
        Ok(trainer.run(&stop, &mut |event| progress.observe(event))? == Outcome::Finished)
    }
}

/// What the model within the program says, before another is trained.
#[cfg(feature = "embedded")]
fn show_built_in() -> Result<()> {
    say!("What the built-in model of English expects (pocketlm complete \"I will see y\"):");
    let loaded = crate::model::built_in()?;
    let mut session = loaded.session("")?;
    for text in ["I will see you ", "See you tomo", "She opened the d"] {
        let mut found = Vec::new();
        session.complete(text, 3, |word, _| found.push(word.to_owned()))?;
        say!("  {text} … {}", found.join(", "));
    }
    say!("\nNow a model of your own:");
    Ok(())
}

/// Commands to try, which work as they are printed.
fn next_steps(out: &Path) -> Result<()> {
    let (program, model) = (shell::program(), shell::quoted(&out.to_string_lossy()));
    let packed = shell::quoted(&out.join("demo.plm").to_string_lossy());
    say!(
        "\nThe model is in {}. What to try next:\n  \
         {program} suggest -m {model} \"the old\"\n  \
         {program} pack {model} -o {packed} --precision int8 && {program} bench {packed}\n  \
         {program} train --data YOUR.txt --max-vocab 10000 --out runs/mine",
        out.display()
    );
    Ok(())
}

/// Writes the three splits into a folder where there are none.
fn write_text(folder: &Path, tokens: usize) -> Result<()> {
    let is_there = |split: &&str| folder.join(format!("{split}.txt")).exists();
    if let Some(split) = ["train", "valid", "test"].into_iter().find(is_there) {
        bail!("{}: there is a {split}.txt already: give another folder", folder.display());
    }
    grammar::write_splits(folder, 1, tokens)?;
    say!("{}: train.txt, valid.txt and test.txt", folder.display());
    Ok(())
}

/// Perplexity of the split under the grammar that made it.
fn floor(corpus: &Corpus, split: &Split) -> f64 {
    let vocabulary = corpus.encoder.vocabulary();
    let eos = vocabulary.eos();
    let surprisals = split.ids.split(|&id| id == eos).map(|sentence| {
        let words: Vec<_> = sentence.iter().filter_map(|&id| vocabulary.word(id)).collect();
        Grammar::english().surprisals(&words).map_or(0.0, |s| s.iter().sum::<f64>())
    });
    // What follows the last <eos> is an empty piece, which is no sentence of the grammar.
    (surprisals.sum::<f64>() / split.ids.len() as f64).exp()
}

fn show(loaded: &Loaded) -> Result<()> {
    say!("\nWhat comes next?");
    for context in CONTEXTS {
        let mut session = loaded.session(context)?;
        let found: Vec<_> = session.suggest(5)?.iter().map(|s| s.word.to_owned()).collect();
        say!("  {context} … {}", found.join(", "));
    }
    let sampling = Sampling { temperature: 0.8, ..Sampling::default() };
    say!("\nSentences that it made up:");
    each_drawn(loaded, "", (3, 40), sampling, 1, &mut |text| {
        say!("  {text}");
        Ok(())
    })
}
