//! `pocketlm correct`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pocketlm::correct::{Corrections, Layout, Lexicon, Speller, Typing};
use pocketlm::{Model, Unit};
use serde_json::json;

use crate::input::each_text;
use crate::model::{ModelArg, check_exists};
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
    #[command(flatten)]
    typist: Typist,
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

/// Who types, and what words there are beside the model's.
#[derive(clap::Args)]
pub(super) struct Typist {
    /// Where the keys of the keyboard are (default: as the typist says, else qwerty).
    #[arg(long, value_enum)]
    layout: Option<Keys>,
    /// What slips the typist makes: a file that `pocketlm typos` wrote.
    #[arg(long, value_name = "FILE")]
    typing: Option<PathBuf>,
    /// Words that the model lacks, which are right and may be meant: a unigram model (`pocketlm ngram --order 1`).
    #[arg(long, value_name = "MODEL")]
    lexicon: Option<PathBuf>,
}

impl Typist {
    pub(super) fn typing(&self) -> Result<Typing> {
        let mut typing = match &self.typing {
            Some(path) => read_typing(path)?,
            None => Typing::default(),
        };
        if let Some(layout) = self.layout {
            typing.layout = layout.into();
        }
        Ok(typing)
    }

    /// The lexicon beside a model.
    pub(super) fn lexicon(&self, model: &Model) -> Result<Option<Lexicon>> {
        let Some(path) = &self.lexicon else { return Ok(None) };
        check_exists(path)?;
        let words = Model::open(path)?;
        let unit = words.vocabulary().unit();
        if matches!(unit, Unit::Character | Unit::Subword) {
            bail!("{} is no list of words; take a model of words", path.display());
        }
        let lexicon = Lexicon::new(words, model);
        Ok(Some(lexicon.with_context(|| format!("{} cannot be used", path.display()))?))
    }
}

pub(super) fn read_typing(path: &Path) -> Result<Typing> {
    check_exists(path)?;
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Typing::from_text(&text).with_context(|| path.display().to_string())
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
        let (typing, lexicon) = (self.typist.typing()?, self.typist.lexicon(&loaded.model)?);
        let speller = Speller { typing: &typing, lexicon: lexicon.as_ref(), own: &[] };
        each_text(&self.text, |asked| {
            if !self.json {
                asked.head()?;
            }
            let text = loaded.composed(asked.text);
            let (context, typed) = loaded.model.vocabulary().split_typed(text.trim_end());
            let found = loaded.session(context)?.correct_with(&speller, typed, self.k)?;
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
