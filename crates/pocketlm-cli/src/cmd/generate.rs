//! `pocketlm generate`

use std::io::Write;

use anyhow::Result;
use pocketlm::{Random, Sampler, Sampling};
use serde_json::json;

use crate::model::{Loaded, ModelArg};
use crate::numbers::count;

/// Generate texts: draw the next word again and again.
///
/// Each argument is a context, with which the texts begin; without one they begin a sentence. A text ends with its
/// sentence, or after --tokens.
///
/// Example: pocketlm generate -m runs/small "the company" --temperature 0.8 --seed 3
#[derive(clap::Args)]
#[command(override_usage = "pocketlm generate [-m <MODEL>] [OPTIONS] [CONTEXT]...")]
pub struct Args {
    /// What the texts begin with.
    #[arg(value_name = "CONTEXT")]
    context: Vec<String>,
    #[command(flatten)]
    model: ModelArg,
    /// Number of texts for each context.
    #[arg(short, long = "count", alias = "n", default_value = "1", value_parser = count)]
    n: usize,
    /// Longest text, in tokens.
    #[arg(long, value_name = "N", default_value_t = 50)]
    tokens: usize,
    /// Temperature: below 1 likely words are drawn more often, above 1 less often.
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Draw from the K likeliest words only; 0 for all.
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw from the likeliest words that together have probability P; 1 for all.
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f64,
    /// Seed of the random numbers; the same seed draws the same texts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object for each text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Draws the texts.
    pub fn run(self) -> Result<()> {
        let loaded = self.model.open(&self.context)?;
        if self.context.is_empty() {
            return self.draw(&loaded, "");
        }
        self.context.iter().try_for_each(|context| self.draw(&loaded, context))
    }

    fn draw(&self, loaded: &Loaded, context: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let mut show = |text: String| {
            if self.json {
                writeln!(out, "{}", json!({ "context": context, "text": text.trim_start() }))?;
            } else {
                writeln!(out, "{context}{text}")?;
            }
            Ok(())
        };
        each_drawn(loaded, context, (self.n, self.tokens), self.sampling(), self.seed, &mut show)
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
        show(loaded.text_after(context, &ids)?)?;
    }
    Ok(())
}
