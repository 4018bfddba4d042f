//! `pocketlm suggest` and `pocketlm complete`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use pocketlm::{Suggestions, Unit};
use serde_json::json;

use crate::input::each_text;
use crate::model::Loaded;

/// Suggest the words that are likely to come next.
///
/// Example: pocketlm suggest runs/small "the company said"
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint or .plm file.
    model: PathBuf,
    /// What was written so far; without it, lines of standard input, one answer each.
    context: Vec<String>,
    /// How many.
    #[arg(short, long, default_value_t = 5)]
    k: usize,
    /// Only words that start so; the probabilities are those among such words.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Print a JSON object an answer.
    #[arg(long)]
    json: bool,
}

/// Complete the word that is being typed: the last word of the text is its beginning.
///
/// Example: pocketlm complete small.plm "the company sa"
#[derive(clap::Args)]
pub struct CompleteArgs {
    /// Checkpoint or .plm file.
    model: PathBuf,
    /// What was typed so far; without it, lines of standard input, one answer each.
    text: Vec<String>,
    /// How many.
    #[arg(short, long, default_value_t = 5)]
    k: usize,
    /// Print a JSON object an answer.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Answers every context.
    pub fn run(self) -> Result<()> {
        let loaded = Loaded::open(&self.model)?;
        let prefix = self.prefix.as_deref().unwrap_or("");
        each_text(&self.context, |context| answer(&loaded, context, prefix, self.k, self.json))
    }
}

impl CompleteArgs {
    /// Completes every text.
    pub fn run(self) -> Result<()> {
        let loaded = Loaded::open(&self.model)?;
        let words = loaded.model.vocabulary().unit() == Unit::Word;
        each_text(&self.text, |text| {
            let typed = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
            let (context, prefix) = if words { text.split_at(typed) } else { (text, "") };
            answer(&loaded, context, prefix, self.k, self.json)
        })
    }
}

fn answer(loaded: &Loaded, context: &str, prefix: &str, k: usize, as_json: bool) -> Result<()> {
    let mut session = loaded.session(context)?;
    let found =
        if prefix.is_empty() { session.suggest(k)? } else { session.suggest_prefix(prefix, k)? };
    let mut out = std::io::stdout().lock();
    if as_json {
        let object = json!({ "context": context, "prefix": prefix, "suggestions": list(&found) });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if found.is_empty() {
        eprintln!("no word of the vocabulary starts with {prefix:?}");
    }
    for suggestion in found.iter() {
        writeln!(out, "{:6.2} %  {}", suggestion.probability * 100.0, suggestion.word)?;
    }
    Ok(())
}

fn list(found: &Suggestions) -> Vec<serde_json::Value> {
    found.iter().map(|s| json!({ "word": s.word, "probability": s.probability })).collect()
}
