//! `pocketlm score`

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use pocketlm::{Score, Session};
use pocketlm_train::ngram::mix;
use serde_json::json;

use super::eval::share;
use crate::evaluation::Pair;
use crate::input::{Asked, each_text};
use crate::model::{Loaded, ModelArg};

/// Score texts: negative log-likelihood in nats and perplexity, with the end of the sentence.
///
/// Each argument is a text, scored from its beginning. Without arguments, each line of standard input is one.
///
/// Example: pocketlm score -m runs/small "the cat sat on the mat"
///
/// Example: pocketlm score -m small.plm --mix ngram.plm --weight 0.3 < sentences.txt
#[derive(clap::Args)]
#[command(override_usage = "pocketlm score -m <MODEL> [OPTIONS] [TEXT]...")]
pub struct Args {
    /// Text to score; without it, lines of standard input.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    #[command(flatten)]
    model: ModelArg,
    /// Mix the model with this one, which must have the same words.
    #[arg(long, value_name = "MODEL")]
    mix: Option<PathBuf>,
    /// Weight of the second model in the mixture, from 0 to 1.
    #[arg(long, default_value_t = 0.5, requires = "mix", value_parser = share)]
    weight: f64,
    /// Print one JSON object for each text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Scores every text from the beginning.
    pub fn run(self) -> Result<()> {
        let path = self.model.path(&self.text)?;
        if let Some(second) = &self.mix {
            let pair = Pair::open(path, second)?;
            return each_text(&self.text, |&Asked { text, .. }| {
                let (mut ids, oov) = pair.first.tokens(text)?;
                ids.push(pair.first.model.vocabulary().eos());
                let (first, second) = pair.log_probabilities(&ids)?;
                let both = first.iter().zip(second);
                let each = both.map(|(&a, b)| -mix::log_probability(a, b, self.weight));
                self.print(text, Score { tokens: ids.len() as u64, oov, nll: each.sum() })
            });
        }
        if let Some(file) = self.text.iter().find(|text| Path::new(text).is_file()) {
            note!(
                "note: {file:?} is scored as a text; to score the lines of the file of that name, leave it out and \
                 give < {file}"
            );
        }
        let loaded = Loaded::open(path)?;
        let mut session = Session::new(&loaded.model);
        each_text(&self.text, |&Asked { text, .. }| {
            let (mut ids, oov) = loaded.tokens(text)?;
            ids.push(loaded.model.vocabulary().eos());
            session.reset();
            let score = session.evaluate(ids)?;
            self.print(text, Score { oov, ..score })
        })
    }

    fn print(&self, text: &str, score: Score) -> Result<()> {
        let (nll, perplexity, tokens, oov) =
            (score.nll, score.perplexity(), score.tokens, score.oov);
        let mut out = std::io::stdout().lock();
        if self.json {
            let object = json!({ "text": text, "tokens": tokens, "nll": nll,
                "perplexity": perplexity, "oov": oov });
            writeln!(out, "{object}")?;
        } else {
            writeln!(out, "{nll:10.4} nats  perplexity {perplexity:9.2}  oov {oov}  {text}")?;
        }
        Ok(())
    }
}
