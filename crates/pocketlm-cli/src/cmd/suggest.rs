//! `pocketlm suggest` and `pocketlm complete`

use std::io::Write;

use anyhow::Result;
use pocketlm::Suggestion;
use pocketlm::raw;
use pocketlm::raw::Found;
use pocketlm::subword::words::{Place, WordSearch};
use serde_json::json;

use crate::input::{Asked, each_text};
use crate::model::{Loaded, ModelArg};
use crate::numbers::suggestions;

/// Suggest the words that may come next.
///
/// Each argument is a context, the text so far. Without arguments, each line of standard input is one.
///
/// Example: pocketlm suggest -m small.plm "the company said" "he said"
#[derive(clap::Args)]
#[command(override_usage = "pocketlm suggest [-m <MODEL>] [OPTIONS] [CONTEXT]...")]
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
#[command(override_usage = "pocketlm complete [-m <MODEL>] [OPTIONS] [TEXT]...")]
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
        let loaded = self.model.open(&self.context)?;
        let prefix = self.prefix.as_deref().unwrap_or("");
        let mut search = loaded.word_search()?;
        each_text(&self.context, |asked| {
            self.shown.head(asked)?;
            if let Some(search) = &mut search {
                let vocabulary = loaded.model.vocabulary();
                let (context, place) = Place::with_prefix(vocabulary, asked.text, prefix);
                return searched(&loaded, search, context, &place, &self.shown);
            }
            answer(&loaded, asked.text, &loaded.composed(prefix), &self.shown)
        })
    }
}

impl CompleteArgs {
    /// Completes every text.
    pub fn run(self) -> Result<()> {
        let loaded = self.model.open(&self.text)?;
        let mut search = loaded.word_search()?;
        each_text(&self.text, |asked| {
            self.shown.head(asked)?;
            if let Some(search) = &mut search {
                let (context, place) = Place::within(loaded.model.vocabulary(), asked.text);
                return searched(&loaded, search, context, &place, &self.shown);
            }
            let text = loaded.composed(asked.text);
            let (context, prefix) = loaded.model.vocabulary().split_typed(&text);
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

/// Answers with whole words from a model of parts of words.
fn searched(
    loaded: &Loaded,
    search: &mut WordSearch,
    context: &str,
    place: &Place,
    shown: &Shown,
) -> Result<()> {
    let mut session = loaded.session(context)?;
    let words = search.suggest(&mut session, place, shown.k)?;
    let found = words
        .found
        .into_iter()
        .map(|found| Found { text: found.word, probability: found.probability });
    let prefix = place.typed.trim_start();
    print(context, prefix, found.collect(), Some(words.left_out), shown)
}

fn answer(loaded: &Loaded, context: &str, prefix: &str, shown: &Shown) -> Result<()> {
    let found = found(loaded, context, prefix, shown.k)?;
    if found.is_empty() && !shown.json {
        note!("{} with {prefix:?}", nothing(loaded, prefix));
    }
    print(context, prefix, found, None, shown)
}

/// Prints suggestions; `left_out` bounds the probability that a search did not look at.
fn print(
    context: &str,
    prefix: &str,
    found: Vec<Found>,
    left_out: Option<f64>,
    shown: &Shown,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if shown.json {
        let list = |f: &Found| json!({ "word": f.text, "probability": f.probability });
        let list: Vec<_> = found.iter().map(list).collect();
        let mut object = json!({ "context": context, "prefix": prefix, "suggestions": list });
        if let Some(left_out) = left_out {
            object["left_out"] = left_out.into();
        }
        writeln!(out, "{object}")?;
        return Ok(());
    }
    if found.is_empty() && left_out.is_some() {
        note!("no word was found that begins with {prefix:?}");
    }
    for Found { text, probability } in found {
        writeln!(out, "{:6.2} %  {text}", probability * 100.0)?;
    }
    Ok(())
}

/// The likeliest words of a model of words.
fn found(loaded: &Loaded, context: &str, prefix: &str, k: usize) -> Result<Vec<Found>> {
    let mut session = loaded.session(context)?;
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
    let is_known = loaded.model.vocabulary().words().any(|word| word.starts_with(prefix));
    if is_known { "only special words start" } else { "no word of the vocabulary starts" }
}
