//! `pocketlm score`

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use pocketlm::{Score, Session};
use serde_json::json;

use super::eval::share;
use crate::evaluation::{mixed, open_alike};
use crate::input::{Asked, each_text};
use crate::model::{Loaded, ModelArg};
use crate::unknown::{Penalty, penalty};

/// Score texts: negative log-likelihood in nats and perplexity, with the end of the sentence.
///
/// Each argument is a text, scored from its beginning. Without arguments, each line of standard input is one. A word
/// outside the vocabulary costs its spelling too, since the model says of it only that it is unknown.
///
/// Example: pocketlm score -m runs/small "the cat sat on the mat"
///
/// Example: pocketlm score -m small.plm --mix ngram.plm --weight 0.3 < sentences.txt
#[derive(clap::Args)]
#[command(override_usage = "pocketlm score [-m <MODEL>] [OPTIONS] [TEXT]...")]
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
    /// What is added for each unknown word: auto (its spelling, by a model of characters made from the vocabulary), a
    /// number of nats, or none.
    #[arg(long, value_name = "NATS", default_value = "auto", value_parser = penalty, allow_negative_numbers = true)]
    unk_penalty: Penalty,
    /// Print one JSON object for each text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Scores every text from the beginning.
    pub fn run(self) -> Result<()> {
        let loaded = match &self.mix {
            None => self.model.open(&self.text)?,
            Some(second) => {
                let path = self.model.path(&self.text)?;
                let model =
                    mixed(&open_alike(&[path, second])?, &[1.0 - self.weight, self.weight])?;
                Loaded::of(model, path)
            }
        };
        if let Some(file) = self.text.iter().find(|text| Path::new(text).is_file()) {
            note!(
                "note: {file:?} is scored as a text; to score the lines of the file of that name, leave it out and \
                 give < {file}"
            );
        }
        let mut session = Session::new(&loaded.model);
        each_text(&self.text, |&Asked { text, .. }| {
            let (mut ids, oov) = loaded.tokens(text)?;
            ids.push(loaded.model.vocabulary().eos());
            session.reset();
            let score = session.evaluate(ids)?;
            self.print(text, Score { oov, ..score }, self.unk_penalty.of(&loaded, text, oov)?)
        })
    }

    /// Prints a score; `penalty` is what its unknown words cost in nats.
    fn print(&self, text: &str, without: Score, penalty: f64) -> Result<()> {
        let score = Score { nll: without.nll + penalty, ..without };
        let (nll, perplexity, tokens, oov) =
            (score.nll, score.perplexity(), score.tokens, score.oov);
        let mut out = std::io::stdout().lock();
        if self.json {
            let object = json!({ "text": text, "tokens": tokens, "nll": nll,
                "perplexity": perplexity, "oov": oov, "unk_penalty": penalty,
                "nll_without_penalty": without.nll });
            writeln!(out, "{object}")?;
        } else {
            let spelt =
                if penalty > 0.0 { format!(" (+{penalty:.2} nats)") } else { String::new() };
            writeln!(
                out,
                "{nll:10.4} nats  perplexity {perplexity:9.2}  oov {oov}{spelt}  {text}"
            )?;
        }
        Ok(())
    }
}
