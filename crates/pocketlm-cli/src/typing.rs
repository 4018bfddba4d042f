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
use pocketlm::subword::words::{Place, WordSearch};
use pocketlm::{Model, Session, Token};
use pocketlm_train::corpus::{Source, composed, without_marks};
use serde::Serialize;

use crate::evaluation::source;
use crate::model::Loaded;

/// Letters after which it is counted how often the word is suggested, from none on.
pub const LETTERS: usize = 4;
/// Suggestions in the two lists that are counted.
pub const LISTS: [usize; 2] = [1, 3];
/// Those of the longer list.
const MOST: usize = LISTS[1];

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

/// Types some splits of `data` with the suggestions of a model, and of the words typed before if it `learns`.
///
/// # Errors
/// When a model of parts of words is to learn words.
pub fn rows(path: &Path, data: &Path, splits: &[&'static str], learns: bool) -> Result<Vec<Row>> {
    let loaded = Loaded::open(path)?;
    let mut search = loaded.word_search()?;
    if learns && search.is_some() {
        let unit = loaded.model.vocabulary().unit();
        bail!("{}: --personal takes a model of words; this one is of {unit}", path.display());
    }
    let mut row = |split: &&'static str| {
        let (model, text) = (&loaded.model, source(data, split)?);
        let typing = if let Some(search) = &mut search {
            searched(model, search, &text)
        } else if learns {
            typed(model, PersonalSession::new(model, Personal::new()), &text)
        } else {
            typed(model, Session::new(model), &text)
        };
        Ok(Row { model: path.to_owned(), learns, data: data.to_owned(), split, typing: typing? })
    };
    splits.iter().map(&mut row).collect()
}

/// What suggests words to a typist.
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
fn typed(model: &Model, mut keyboard: impl Keyboard, text: &Source) -> Result<Typing> {
    let mut typist = Typist::default();
    text.each_line(|line| typist.line(|typist| typist.each_token(model, &mut keyboard, line)))?;
    typist.typing()
}

/// Types a text with whole words from a model of parts of words.
fn searched(model: &Model, search: &mut WordSearch, text: &Source) -> Result<Typing> {
    let (mut typist, mut session) = (Typist::default(), Session::new(model));
    text.each_line(|line| {
        typist.line(|typist| typist.each_segment(model, &mut session, search, line));
    })?;
    typist.typing()
}

/// Where a part of a line begins.
fn place(line: &str, part: &str) -> usize {
    part.as_ptr() as usize - line.as_ptr() as usize
}

/// Whether a space stands there.
fn space_after(line: &str, end: usize) -> u64 {
    u64::from(line[end..].starts_with(char::is_whitespace))
}

/// Whether a stretch of text is a word, and no mark.
fn is_word(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Types lines and counts.
#[derive(Default)]
struct Typist {
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

impl Typist {
    /// Types a line; after a failure nothing more.
    fn line(&mut self, each: impl FnOnce(&mut Self) -> Result<()>) {
        if self.failed.is_none() {
            self.failed = each(self).err();
        }
    }

    /// Types a line with a model of words.
    fn each_token(
        &mut self,
        model: &Model,
        keyboard: &mut impl Keyboard,
        line: &str,
    ) -> Result<()> {
        let vocabulary = model.vocabulary();
        let case = vocabulary.unit().case();
        let line = if case.is_some() { composed(line) } else { without_marks(line).into() };
        let line = line.trim_end();
        let starts: HashMap<usize, bool> = match case {
            Some(_) => {
                segments(line, false).map(|own| (place(line, own.text), own.starts)).collect()
            }
            None => HashMap::new(),
        };
        keyboard.begin();
        let mut waiting = Vec::new();
        for token in vocabulary.tokens(line) {
            if token.text.is_empty() {
                // What has no text is known only when the word after it is.
                waiting.push(token);
                continue;
            }
            let at = place(line, token.text);
            let space = space_after(line, at + token.text.len());
            if case.is_none() || is_word(token.text) {
                let starts = starts.get(&at).copied().unwrap_or(false);
                self.word(token.text, space, |typed| {
                    let found = match case {
                        Some(case) => raw::suggest(keyboard, case, starts, typed, MOST)?,
                        None if typed.is_empty() => keyboard.find(&[], MOST)?,
                        None => keyboard.find(&[typed], MOST)?,
                    };
                    Ok(found.iter().position(|found| found.text == token.text))
                })?;
            } else {
                self.keys += token.text.chars().count() as u64 + space;
            }
            for token in waiting.drain(..).chain([token]) {
                keyboard.enter(token)?;
            }
        }
        Ok(())
    }

    /// Types a line with a model of parts of words: the words are those that a model of raw text would have.
    fn each_segment(
        &mut self,
        model: &Model,
        session: &mut Session<&Model>,
        search: &mut WordSearch,
        line: &str,
    ) -> Result<()> {
        let line = composed(line);
        let line = line.trim_end();
        for segment in segments(line, false) {
            let (at, end) =
                (place(line, segment.text), place(line, segment.text) + segment.text.len());
            let space = space_after(line, end);
            if !is_word(segment.text) {
                self.keys += segment.text.chars().count() as u64 + space;
                continue;
            }
            let mut read = None;
            self.word(segment.text, space, |typed| {
                let (context, place) = Place::within(model.vocabulary(), &line[..at + typed.len()]);
                if read != Some(context) {
                    session.reset();
                    session.feed_text(context)?;
                    read = Some(context);
                }
                // A word may begin before the segment, as in `well-known`.
                let begun = place.typed.trim_start();
                let wanted = &line[at + typed.len() - begun.len()..end];
                let words = search.suggest(session, &place, MOST)?;
                Ok(words.found.iter().position(|found| found.word == wanted))
            })?;
        }
        Ok(())
    }

    /// Types a word; `find` says where it stands among the suggestions when a part of it is typed.
    fn word(
        &mut self,
        word: &str,
        space: u64,
        mut find: impl FnMut(&str) -> Result<Option<usize>>,
    ) -> Result<()> {
        let letters = word.chars().count();
        let keys = letters as u64 + space;
        (self.words, self.keys) = (self.words + 1, self.keys + keys);
        let mut taken = [false; 2];
        let ends = word.char_indices().map(|(at, _)| at);
        for (typed, end) in ends.enumerate() {
            if taken == [true; 2] && typed >= LETTERS {
                break;
            }
            let begun = Instant::now();
            let place = find(&word[..end])?;
            self.seconds += begun.elapsed().as_secs_f64();
            self.lists += 1;
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
