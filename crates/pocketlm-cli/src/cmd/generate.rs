//! `pocketlm generate`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use pocketlm::{Random, Sampler, Sampling};
use serde_json::json;

use crate::model::Loaded;

/// Draw texts from a model.
///
/// Example: pocketlm generate runs/small "the company" --temperature 0.8 --seed 3
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint or .plm file.
    model: PathBuf,
    /// What the text begins with.
    #[arg(default_value = "")]
    context: String,
    /// Number of texts.
    #[arg(short, long, default_value_t = 1)]
    n: usize,
    /// Longest text in tokens; it ends earlier at the end of a sentence.
    #[arg(long, default_value_t = 50)]
    tokens: usize,
    /// Below 1 prefers the likely, above 1 the unlikely.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Draw from the K likeliest only; 0 for all.
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw from the likeliest that together have probability P; 1 for all.
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f64,
    /// The same seed draws the same texts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object a text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Draws the texts.
    pub fn run(self) -> Result<()> {
        let loaded = Loaded::open(&self.model)?;
        let mut out = std::io::stdout().lock();
        let mut show = |text: String| {
            if self.json {
                writeln!(out, "{}", json!({ "context": self.context, "text": text }))?;
            } else {
                let gap = if self.context.is_empty() { "" } else { " " };
                writeln!(out, "{}{gap}{text}", self.context)?;
            }
            Ok(())
        };
        let most = (self.n, self.tokens);
        each_drawn(&loaded, &self.context, most, self.sampling(), self.seed, &mut show)
    }

    fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, .. } = *self;
        Sampling { temperature, top_k, top_p, unknown: false }
    }
}

/// Draws `n` continuations of `context`, each up to `<eos>` or `most` tokens, and shows each when it is drawn.
pub fn each_drawn(
    loaded: &Loaded,
    context: &str,
    (n, most): (usize, usize),
    sampling: Sampling,
    seed: u64,
    show: &mut dyn FnMut(String) -> Result<()>,
) -> Result<()> {
    let mut sampler = Sampler::new(&loaded.model, sampling)?;
    let mut random = Random::new(seed);
    let mut session = loaded.session(context)?;
    let start = session.state().clone();
    let eos = loaded.model.vocabulary().eos();
    for _ in 0..n {
        session.set_state(&start)?;
        let mut ids = Vec::new();
        while ids.len() < most {
            let token = session.sample(&mut sampler, &mut random)?;
            if token == eos {
                break;
            }
            session.feed(token)?;
            ids.push(token);
        }
        show(loaded.text(&ids))?;
    }
    Ok(())
}
