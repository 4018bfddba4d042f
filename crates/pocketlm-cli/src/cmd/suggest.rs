//! `pocketlm suggest` and `pocketlm complete`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use pocketlm::{Suggestions, Unit};
use serde_json::json;

use crate::input::each_text;
use crate::model::Loaded;
use crate::numbers::suggestions;
use crate::subword;

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
    #[arg(short, long, default_value = "5", value_parser = suggestions)]
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
    #[arg(short, long, default_value = "5", value_parser = suggestions)]
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
            let (context, prefix) = if loaded.byte_pairs().is_some() {
                // A piece has the space before it.
                text.split_at(text.rfind(char::is_whitespace).unwrap_or(0))
            } else if words {
                let space = text.char_indices().rev().find(|(_, char)| char.is_whitespace());
                text.split_at(space.map_or(0, |(at, char)| at + char.len_utf8()))
            } else {
                (text, "")
            };
            answer(&loaded, context, prefix, self.k, self.json)
        })
    }
}

fn answer(loaded: &Loaded, context: &str, prefix: &str, k: usize, as_json: bool) -> Result<()> {
    let mut session = loaded.session(context)?;
    if let Some(encoder) = loaded.byte_pairs() {
        let found = subword::suggest(&loaded.model, encoder, &mut session, prefix, k)?;
        return show_pieces(&found, context, prefix, as_json);
    }
    let found =
        if prefix.is_empty() { session.suggest(k)? } else { session.suggest_prefix(prefix, k)? };
    let mut out = std::io::stdout().lock();
    if as_json {
        let object = json!({ "context": context, "prefix": prefix, "suggestions": list(&found) });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if found.is_empty() {
        let words = loaded.model.vocabulary();
        let is_known = words.words().any(|word| word.starts_with(prefix));
        let what =
            if is_known { "only special words start" } else { "no word of the vocabulary starts" };
        note!("{what} with {prefix:?}");
    }
    for suggestion in found.iter() {
        writeln!(out, "{:6.2} %  {}", suggestion.probability * 100.0, suggestion.word)?;
    }
    Ok(())
}

/// The same for byte pairs.
fn show_pieces(found: &[subword::Found], context: &str, prefix: &str, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let list = |f: &subword::Found| json!({ "word": f.text, "probability": f.probability });
        let list: Vec<_> = found.iter().map(list).collect();
        let object = json!({ "context": context, "prefix": prefix, "suggestions": list });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if found.is_empty() {
        note!("no text of a few pieces that begins with {prefix:?} was found");
    }
    for found in found {
        writeln!(out, "{:6.2} %  {}", found.probability * 100.0, found.text)?;
    }
    Ok(())
}

fn list(found: &Suggestions) -> Vec<serde_json::Value> {
    found.iter().map(|s| json!({ "word": s.word, "probability": s.probability })).collect()
}
