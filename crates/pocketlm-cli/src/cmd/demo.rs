//! `pocketlm demo`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use pocketlm::Sampling;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Corpus, Split};
use pocketlm_train::cuda::Device;
use pocketlm_train::evaluate::evaluate;
use pocketlm_train::grammar::{self, Grammar};
use pocketlm_train::recipe::Draft;
use pocketlm_train::train::{Options, Outcome, Trainer};

use super::generate::each_drawn;
use super::train::interruptible;
use crate::Interrupted;
use crate::model::Loaded;
use crate::progress::{Mode, Progress};

/// Train, evaluate and use a small model on a built-in corpus whose exact entropy is known; takes about a
/// minute and a half.
///
/// Example: pocketlm demo
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the checkpoint (default: one beside other temporary files, replaced at each run).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Training tokens.
    #[arg(long, default_value_t = 400_000)]
    tokens: usize,
    /// Passes over them.
    #[arg(long, default_value_t = 6)]
    epochs: usize,
    /// What to show while training (default: a bar on a terminal, else plain).
    #[arg(long, value_enum)]
    progress: Option<Mode>,
}

const CONTEXTS: [&str; 3] = ["the", "the dogs near the barn", "carmen trusts"];

impl Args {
    /// Trains, evaluates, suggests, generates.
    pub fn run(self) -> Result<()> {
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
        let out = out.display();
        say!(
            "\nThe model is in {out}. What to try next:\n  \
             pocketlm suggest {out} \"the old\"\n  \
             pocketlm pack {out} -o demo.plm --precision int8 && pocketlm bench demo.plm\n  \
             pocketlm train --data YOUR.txt --max-vocab 10000 --out runs/mine"
        );
        Ok(())
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
    fn train(&self, corpus: &Corpus, out: &std::path::Path) -> Result<bool> {
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
