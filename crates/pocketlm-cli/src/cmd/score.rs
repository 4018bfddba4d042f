//! `pocketlm score`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use pocketlm::Session;
use serde_json::json;

use crate::input::each_text;
use crate::model::Loaded;

/// Score texts: negative log-likelihood in nats and perplexity, the end of the sentence included.
///
/// Example: pocketlm score runs/small "the cat sat on the mat"
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint or .plm file.
    model: PathBuf,
    /// Texts; without them, lines of standard input.
    text: Vec<String>,
    /// Print a JSON object a text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Scores every text from the beginning.
    pub fn run(self) -> Result<()> {
        let loaded = Loaded::open(&self.model)?;
        let mut session = Session::new(&loaded.model);
        each_text(&self.text, |text| {
            let (mut ids, oov) = loaded.tokens(text)?;
            ids.push(loaded.model.vocabulary().eos());
            session.reset();
            let score = session.evaluate(ids)?;
            let (nll, perplexity, tokens) = (score.nll, score.perplexity(), score.tokens);
            let mut out = std::io::stdout().lock();
            if self.json {
                let object = json!({ "text": text, "tokens": tokens, "nll": nll,
                    "perplexity": perplexity, "oov": oov });
                writeln!(out, "{object}")?;
            } else {
                writeln!(out, "{nll:10.4} nats  perplexity {perplexity:9.2}  oov {oov}  {text}")?;
            }
            Ok(())
        })
    }
}
