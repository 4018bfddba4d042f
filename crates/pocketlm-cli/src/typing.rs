//! Typing: how many keys suggestions save.
//!
//! A text is typed key by key, each line from the beginning. Before every key of a word there is a list of suggestions;
//! the word is taken from it as soon as it is there, which costs one key and brings the space after it. Keystroke
//! savings are `1 - keys with suggestions / keys without` (Trnka & McCoy 2008, "Evaluating word prediction: framing
//! keystroke savings", section 2), here with the spaces between words and without the keys that end lines. A word is
//! not taken where that saves nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use pocketlm::personal::{Personal, PersonalSession};
use pocketlm::raw::{self, Suggesting, segments};
use pocketlm::{Model, Session, Token, Unit};
use pocketlm_train::corpus::{Source, composed, without_marks};
use serde::Serialize;

use crate::evaluation::source;
use crate::model::Loaded;

/// Letters after which it is counted how often the word is suggested, from none on.
pub const LETTERS: usize = 4;
/// Suggestions in the two lists that are counted.
pub const LISTS: [usize; 2] = [1, 3];

/// What typing a text with a model's suggestions is like.
#[derive(Debug, Default, Serialize)]
pub struct Typing {
    /// Words typed.
    pub words: u64,
    /// Keys without suggestions.
    pub keys: u64,
    /// Share of the keys that a list of one suggestion saves.
    pub saved_at_1: f64,
    /// The same with three.
    pub saved_at_3: f64,
    /// Share of the words that are the first suggestion when 0, 1, 2, 3 of their letters are typed, of those that have
    /// more.
    pub hits_at_1: [f64; LETTERS],
    /// The same among the first three.
    pub hits_at_3: [f64; LETTERS],
    /// Share of the words that are never among the first three before their last letter is typed.
    pub never: f64,
    /// Mean time of a list of suggestions, in microseconds.
    pub microseconds: f64,
}

/// One row of `pocketlm eval --typing`.
#[derive(Serialize)]
pub struct Row {
    /// The model's path.
    #[serde(serialize_with = "crate::output::lossy")]
    pub model: PathBuf,
    /// Whether it learnt from what was typed before.
    pub learns: bool,
    /// The data's path.
    #[serde(serialize_with = "crate::output::lossy")]
    pub data: PathBuf,
    /// `train`, `valid` or `test`; `all` of a single file.
    pub split: &'static str,
    /// What it is like.
    #[serde(flatten)]
    pub typing: Typing,
}

/// Types some splits of `data` with the suggestions of a model of words, and of the words typed before if it `learns`.
pub fn rows(path: &Path, data: &Path, splits: &[&'static str], learns: bool) -> Result<Vec<Row>> {
    let loaded = Loaded::words(path)?;
    if loaded.model.vocabulary().unit() == Unit::Character {
        bail!("{} is a model of characters; take one of words", path.display());
    }
    let row = |split: &&'static str| {
        let model = &loaded.model;
        let typing = if learns {
            typed(model, PersonalSession::new(model, Personal::new()), &source(data, split)?)
        } else {
            typed(model, Session::new(model), &source(data, split)?)
        };
        Ok(Row { model: path.to_owned(), learns, data: data.to_owned(), split, typing: typing? })
    };
    splits.iter().map(row).collect()
}

/// What a typist uses.
trait Keyboard: Suggesting {
    fn begin(&mut self);
    fn enter(&mut self, token: Token) -> Result<()>;
}

impl Keyboard for Session<&Model> {
    fn begin(&mut self) {
        self.reset();
    }

    fn enter(&mut self, token: Token) -> Result<()> {
        Ok(self.feed(self.model().vocabulary().resolve(token)?)?)
    }
}

impl Keyboard for PersonalSession<&Model> {
    fn begin(&mut self) {
        self.reset();
    }

    fn enter(&mut self, token: Token) -> Result<()> {
        Ok(self.feed(token)?)
    }
}

/// Types a text.
fn typed(model: &Model, keyboard: impl Keyboard, text: &Source) -> Result<Typing> {
    let mut typist = Typist::new(model, keyboard);
    text.each_line(|line| typist.line(line))?;
    typist.typing()
}

/// Types lines and counts.
struct Typist<'m, K> {
    model: &'m Model,
    keyboard: K,
    words: u64,
    keys: u64,
    saved: [u64; 2],
    hits: [[u64; LETTERS]; 2],
    /// Words with more letters than that.
    longer: [u64; LETTERS],
    never: u64,
    lists: u64,
    seconds: f64,
    failed: Option<anyhow::Error>,
}

impl<'m, K: Keyboard> Typist<'m, K> {
    fn new(model: &'m Model, keyboard: K) -> Self {
        Self {
            model,
            keyboard,
            words: 0,
            keys: 0,
            saved: [0; 2],
            hits: [[0; LETTERS]; 2],
            longer: [0; LETTERS],
            never: 0,
            lists: 0,
            seconds: 0.0,
            failed: None,
        }
    }

    /// Types a line; after a failure nothing more.
    fn line(&mut self, line: &str) {
        if self.failed.is_none() {
            self.failed = self.each_token(line).err();
        }
    }

    fn each_token(&mut self, line: &str) -> Result<()> {
        let vocabulary = self.model.vocabulary();
        let is_raw = vocabulary.unit().case().is_some();
        let line = if is_raw { composed(line) } else { without_marks(line).into() };
        let line = line.trim_end();
        let place = |text: &str| text.as_ptr() as usize - line.as_ptr() as usize;
        let starts: HashMap<usize, bool> = if is_raw {
            segments(line, false).map(|segment| (place(segment.text), segment.starts)).collect()
        } else {
            HashMap::new()
        };
        self.keyboard.begin();
        let mut waiting = Vec::new();
        for token in vocabulary.tokens(line) {
            if token.text.is_empty() {
                // What has no text is known only when the word after it is.
                waiting.push(token);
                continue;
            }
            let at = place(token.text);
            let space = u64::from(line[at + token.text.len()..].starts_with(char::is_whitespace));
            let is_word = !is_raw || token.text.chars().any(char::is_alphanumeric);
            if is_word {
                let starts = starts.get(&at).copied().unwrap_or(false);
                self.word(token.text, starts, space)?;
            } else {
                self.keys += token.text.chars().count() as u64 + space;
            }
            for token in waiting.drain(..).chain([token]) {
                self.keyboard.enter(token)?;
            }
        }
        Ok(())
    }

    fn word(&mut self, word: &str, starts: bool, space: u64) -> Result<()> {
        let letters = word.chars().count();
        let keys = letters as u64 + space;
        (self.words, self.keys) = (self.words + 1, self.keys + keys);
        let mut taken = [false; 2];
        let ends = word.char_indices().map(|(at, _)| at);
        for (typed, end) in ends.enumerate() {
            if taken == [true; 2] && typed >= LETTERS {
                break;
            }
            let place = self.place(&word[..end], word, starts)?;
            if let Some(longer) = self.longer.get_mut(typed) {
                *longer += 1;
            }
            for (list, size) in LISTS.into_iter().enumerate() {
                if place.is_none_or(|place| place >= size) {
                    continue;
                }
                if let Some(hits) = self.hits[list].get_mut(typed) {
                    *hits += 1;
                }
                if !std::mem::replace(&mut taken[list], true) {
                    self.saved[list] += keys.saturating_sub(typed as u64 + 1);
                }
            }
        }
        self.never += u64::from(!taken[1]);
        Ok(())
    }

    /// Where a word stands among the first suggestions when a part of it is typed.
    fn place(&mut self, typed: &str, word: &str, starts: bool) -> Result<Option<usize>> {
        let (begun, most) = (Instant::now(), LISTS[1]);
        let found = match self.model.vocabulary().unit().case() {
            Some(case) => raw::suggest(&mut self.keyboard, case, starts, typed, most)?,
            None if typed.is_empty() => self.keyboard.find(&[], most)?,
            None => self.keyboard.find(&[typed], most)?,
        };
        self.seconds += begun.elapsed().as_secs_f64();
        self.lists += 1;
        Ok(found.iter().position(|found| found.text == word))
    }

    fn typing(self) -> Result<Typing> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.words == 0 {
            bail!("there is no word in the text");
        }
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        let hits = |list: usize| {
            std::array::from_fn(|letters| share(self.hits[list][letters], self.longer[letters]))
        };
        Ok(Typing {
            words: self.words,
            keys: self.keys,
            saved_at_1: share(self.saved[0], self.keys),
            saved_at_3: share(self.saved[1], self.keys),
            hits_at_1: hits(0),
            hits_at_3: hits(1),
            never: share(self.never, self.words),
            microseconds: 1e6 * self.seconds / self.lists.max(1) as f64,
        })
    }
}
