//! `pocketlm suggest` and `pocketlm complete`

use std::io::Write;

use anyhow::Result;
use pocketlm::Suggestion;
use pocketlm::raw;
use pocketlm::raw::Found;
use serde_json::json;

use crate::input::{Asked, each_text};
use crate::model::{Loaded, ModelArg};
use crate::numbers::suggestions;
use crate::subword;

/// Suggest the words that may come next.
///
/// Each argument is a context, the text so far. Without arguments, each line of standard input is one.
///
/// Example: pocketlm suggest -m small.plm "the company said" "he said"
#[derive(clap::Args)]
#[command(override_usage = "pocketlm suggest -m <MODEL> [OPTIONS] [CONTEXT]...")]
pub struct Args {
    /// Text so far, of which the next word is suggested; without it, lines of standard input.
    #[arg(value_name = "CONTEXT")]
    context: Vec<String>,
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    shown: Shown,
    /// Suggest only words that begin with this text; probabilities are relative to those words.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

/// Complete the word that is being typed.
///
/// Each argument is a text whose last word is still being typed; a text that ends in a space asks for the next word.
/// Without arguments, each line of standard input is one.
///
/// Example: pocketlm complete -m small.plm "the company sa"
#[derive(clap::Args)]
#[command(override_usage = "pocketlm complete -m <MODEL> [OPTIONS] [TEXT]...")]
pub struct CompleteArgs {
    /// Text whose last word is to be completed; without it, lines of standard input.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    shown: Shown,
}

/// What is printed of an answer.
#[derive(clap::Args)]
struct Shown {
    /// Number of suggestions.
    #[arg(short, long = "top", visible_alias = "count", alias = "k", default_value = "5", value_parser = suggestions)]
    k: usize,
    /// Print one JSON object for each text.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Answers every context.
    pub fn run(self) -> Result<()> {
        let loaded = Loaded::open(self.model.path(&self.context)?)?;
        let prefix = self.prefix.as_deref().unwrap_or("");
        each_text(&self.context, |asked| {
            self.shown.head(asked)?;
            answer(&loaded, asked.text, &loaded.composed(prefix), &self.shown)
        })
    }
}

impl CompleteArgs {
    /// Completes every text.
    pub fn run(self) -> Result<()> {
        let loaded = Loaded::open(self.model.path(&self.text)?)?;
        each_text(&self.text, |asked| {
            self.shown.head(asked)?;
            let text = loaded.composed(asked.text);
            let (context, prefix) = split(&loaded, &text);
            answer(&loaded, context, prefix, &self.shown)
        })
    }
}

impl Shown {
    /// What tells one answer from the next; JSON objects hold their context.
    fn head(&self, asked: &Asked) -> Result<()> {
        if self.json { Ok(()) } else { asked.head() }
    }
}

/// The context and the beginning of the word that is being typed.
fn split<'a>(loaded: &Loaded, text: &'a str) -> (&'a str, &'a str) {
    if loaded.byte_pairs().is_some() {
        // A piece has the space before it.
        text.split_at(text.rfind(char::is_whitespace).unwrap_or(0))
    } else {
        loaded.model.vocabulary().split_typed(text)
    }
}

fn answer(loaded: &Loaded, context: &str, prefix: &str, shown: &Shown) -> Result<()> {
    let found = found(loaded, context, prefix, shown.k)?;
    let mut out = std::io::stdout().lock();
    if shown.json {
        let list = |f: &Found| json!({ "word": f.text, "probability": f.probability });
        let list: Vec<_> = found.iter().map(list).collect();
        let object = json!({ "context": context, "prefix": prefix, "suggestions": list });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if found.is_empty() {
        note!("{} with {prefix:?}", nothing(loaded, prefix));
    }
    for Found { text, probability } in found {
        writeln!(out, "{:6.2} %  {text}", probability * 100.0)?;
    }
    Ok(())
}

/// The likeliest words, or texts of a model of byte pairs.
fn found(loaded: &Loaded, context: &str, prefix: &str, k: usize) -> Result<Vec<Found>> {
    let mut session = loaded.session(context)?;
    if let Some(encoder) = loaded.byte_pairs() {
        return subword::suggest(&loaded.model, encoder, &mut session, prefix, k);
    }
    if let Some(case) = loaded.model.vocabulary().unit().case() {
        let starts = raw::begins_sentence(context);
        return Ok(raw::suggest(&mut session, case, starts, prefix, k)?);
    }
    let found =
        if prefix.is_empty() { session.suggest(k)? } else { session.suggest_prefix(prefix, k)? };
    let of = |s: Suggestion| Found { text: s.word.to_owned(), probability: s.probability };
    Ok(found.iter().map(of).collect())
}

/// Why nothing was found.
fn nothing(loaded: &Loaded, prefix: &str) -> &'static str {
    if loaded.byte_pairs().is_some() {
        return "no text of a few pieces was found that begins";
    }
    let is_known = loaded.model.vocabulary().words().any(|word| word.starts_with(prefix));
    if is_known { "only special words start" } else { "no word of the vocabulary starts" }
}
