//! `pocketlm correct`

use anyhow::{Result, bail};
use pocketlm::Unit;
use pocketlm::correct::{Corrections, Layout, Typing};
use serde_json::json;

use crate::input::each_text;
use crate::model::ModelArg;
use crate::numbers::suggestions;

/// Mend the last word of a text, if a slip of typing is likely.
///
/// Each argument is a text whose last word is done; it is shown with the words that may have been meant instead, each
/// with its probability. Without arguments, each line of standard input is a text.
///
/// Example: pocketlm correct -m small.plm "the company said teh"
#[derive(clap::Args)]
#[command(override_usage = "pocketlm correct [-m <MODEL>] [OPTIONS] [TEXT]...")]
pub struct Args {
    /// Text whose last word is to be mended; without it, lines of standard input.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    #[command(flatten)]
    model: ModelArg,
    /// Number of words shown.
    #[arg(short, long = "top", alias = "k", default_value = "5", value_parser = suggestions)]
    k: usize,
    /// Where the keys of the keyboard are.
    #[arg(long, value_enum, default_value = "qwerty")]
    layout: Keys,
    /// Print one JSON object for each text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Keys {
    Qwerty,
    Qwertz,
    Azerty,
}

impl From<Keys> for Layout {
    fn from(keys: Keys) -> Self {
        match keys {
            Keys::Qwerty => Self::Qwerty,
            Keys::Qwertz => Self::Qwertz,
            Keys::Azerty => Self::Azerty,
        }
    }
}

impl Args {
    /// Mends every text.
    pub fn run(self) -> Result<()> {
        let loaded = self.model.open(&self.text)?;
        let unit = loaded.model.vocabulary().unit();
        if matches!(unit, Unit::Character | Unit::Subword) {
            let what = if unit == Unit::Subword { "subwords" } else { "characters" };
            bail!("{} is a model of {what}; take one of words", loaded.path().display());
        }
        let typing = Typing { layout: self.layout.into(), ..Typing::default() };
        each_text(&self.text, |asked| {
            if !self.json {
                asked.head()?;
            }
            let text = loaded.composed(asked.text);
            let (context, typed) = loaded.model.vocabulary().split_typed(text.trim_end());
            let found = loaded.session(context)?.correct_by(&typing, typed, self.k)?;
            self.show(context, typed, &found)
        })
    }

    fn show(&self, context: &str, typed: &str, found: &Corrections) -> Result<()> {
        let pairs = found.words.iter().map(|word| (word.word.as_str(), word.probability));
        if self.json {
            let list = |(word, probability)| json!({ "word": word, "probability": probability });
            let list: Vec<_> = pairs.map(list).collect();
            say!(
                "{}",
                json!({ "context": context, "typed": typed, "as_typed": found.as_typed,
                    "confidence": found.confidence(), "corrections": list })
            );
            return Ok(());
        }
        let mut all: Vec<_> = pairs.chain([(typed, found.as_typed)]).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (word, probability) in all {
            let mark = if word == typed { "  (as typed)" } else { "" };
            say!("{:6.2} %  {word}{mark}", probability * 100.0);
        }
        Ok(())
    }
}
