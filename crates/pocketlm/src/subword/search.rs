//! Whole words from pieces or characters: a best-first search to the word's end.
//!
//! The probability of a word is that of all ways to spell it that the search saw, each followed by something that ends
//! the word. What is typed holds as bytes, so that it may end within a piece. The likeliest spelling is looked at next;
//! the search ends when no other can still be among the words that are asked for.

use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::{Ordering, Reverse};
use core::ops::Range;

use pocketlm_kernels::activation::exp;

use super::pieces::Pieces;
use super::words::{Place, is_boundary, is_spaceless};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::session::Session;
use crate::spec::Unit;
use crate::stream::Stream;

/// Spellings that are looked at, each a step of the model: so many, and some more for each word that is asked for.
const STEPS: usize = 12;
const STEPS_A_WORD: usize = 4;

/// A word that may come next.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The word, without the space before it.
    pub word: String,
    /// Its probability: among all that begins with what is typed, or among everything where nothing is.
    pub probability: f64,
}

/// Words that may come next.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Words {
    /// The best first; of equal ones the first in the order of bytes.
    pub found: Vec<Found>,
    /// At most so much probability, on the same scale, was not looked at: no word's probability is too small by more,
    /// and none that is missing has more.
    pub left_out: f64,
}

/// A search for whole words: every buffer that it takes. It belongs to the model it was made for.
#[derive(Debug)]
pub struct WordSearch {
    /// What each token adds to a text; nothing for one that is no text.
    pieces: Pieces,
    /// All tokens, in the order of their bytes.
    sorted: Vec<u32>,
    /// The tokens that end a word before them, and what the others do after the beginning of one.
    ends: Vec<u32>,
    others: Vec<(u32, Step)>,
    /// What each token does where no word has begun.
    first: Vec<Step>,
    stream: Stream,
    /// Probabilities of all tokens after a spelling `[types]`.
    row: Vec<f32>,
}

/// What a token does to a word that is being spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It cannot follow.
    Refused,
    /// It goes on with the word.
    Open,
    /// The word is done after so many bytes of it.
    Word(u16),
}

/// What was spelt, how likely that is, and the state after it.
#[derive(Debug)]
struct Spelling {
    bytes: Vec<u8>,
    probability: f64,
    state: Vec<f32>,
}

/// A spelling and one more token.
#[derive(Debug, Clone, Copy)]
struct Longer {
    probability: f64,
    /// The spelling's place among those that were looked at.
    from: usize,
    token: u32,
}

/// All that a search has found so far.
struct Search<'a> {
    place: &'a Place,
    /// Words and their probabilities, in the order of the words.
    words: Vec<(Vec<u8>, f64)>,
    /// What may be looked at next.
    open: BinaryHeap<Longer>,
    /// What a spelling must be likelier than to become one of the words that are asked for.
    least: f64,
    /// Probability of what begins with all that is typed.
    covered: f64,
    left_out: f64,
}

impl WordSearch {
    /// A search through a model of subwords or characters.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model of words.
    pub fn new(model: &Model) -> Result<Self> {
        let vocabulary = model.vocabulary();
        let tokenizer = vocabulary.tokenizer();
        if tokenizer.is_none() && vocabulary.unit() != Unit::Character {
            let what = "whole words are searched for with models of subwords or characters; this one has words";
            return Err(Error::Unsupported { what: what.into() });
        }
        let mut pieces = Pieces::default();
        let mut piece = Vec::new();
        for id in 0..vocabulary.len() as u32 {
            piece.clear();
            match tokenizer {
                _ if vocabulary.is_special(id) => {}
                Some(tokenizer) if tokenizer.is_control(id) => {}
                Some(tokenizer) => tokenizer.push(id, &mut piece),
                None => drop(vocabulary.bytes_of(id, &mut piece)),
            }
            pieces.push(&piece);
        }
        let steps = (0..pieces.len() as u32).map(|id| (id, Step::within(pieces.get(id))));
        let (ends, others): (Vec<_>, Vec<_>) = steps.partition(|(_, step)| *step == Step::Word(0));
        let ends = ends.into_iter().map(|(id, _)| id).collect();
        let first = (0..pieces.len() as u32).map(|id| Step::first(pieces.get(id))).collect();
        // Ids ascend by bytes already, but for pieces that are written in another way and those that are no text.
        let mut sorted = Vec::with_capacity(pieces.len());
        for id in 0..pieces.len() as u32 {
            let at = sorted.partition_point(|&before| pieces.get(before) <= pieces.get(id));
            sorted.insert(at, id);
        }
        let (stream, row) = (Stream::new(model), vec![0.0; pieces.len()]);
        Ok(Self { pieces, sorted, ends, others, first, stream, row })
    }

    /// The `k` likeliest words at a place, after what the session has been fed. The session's state stays what it is.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the model's numbers overflow.
    pub fn suggest<M: Borrow<Model>>(
        &mut self,
        session: &mut Session<M>,
        place: &Place,
        k: usize,
    ) -> Result<Words> {
        self.run(session.model.borrow(), &mut session.stream, place, k)
    }

    /// The `k` likeliest words for the last one of a text, which is read from its beginning.
    pub(crate) fn complete(
        model: &Model,
        stream: &mut Stream,
        text: &str,
        k: usize,
    ) -> Result<Words> {
        let (context, place) = Place::within(model.vocabulary(), text);
        stream.reset();
        stream.feed_text(model, context)?;
        Self::new(model)?.run(model, stream, &place, k)
    }

    fn run(
        &mut self,
        model: &Model,
        stream: &mut Stream,
        place: &Place,
        k: usize,
    ) -> Result<Words> {
        let mut search = Search::new(place);
        stream.log_probabilities(model, &mut self.row)?;
        let state = stream.state.values().to_vec();
        let mut seen = vec![Spelling { bytes: Vec::new(), probability: 1.0, state }];
        for steps in (0..STEPS + STEPS_A_WORD * k).rev() {
            exp(&mut self.row);
            let longer = self.expand(&seen, &mut search);
            search.queue(longer, k, steps);
            let Some(next) = search.open.pop() else { break };
            let spelling = self.advance(model, next, &seen[next.from])?;
            seen.push(spelling);
        }
        Ok(search.words(k))
    }

    /// What comes after the last spelling by the probabilities of all tokens: words, and what may still become one.
    fn expand(&self, seen: &[Spelling], search: &mut Search<'_>) -> Vec<Longer> {
        let from = seen.len() - 1;
        let last = &seen[from];
        let own = |token: u32| last.probability * f64::from(self.row[token as usize]);
        let mut longer = Vec::new();
        let mut take = |search: &mut Search<'_>, token: u32, step: Step| match step {
            Step::Refused => {}
            Step::Open => longer.push(Longer { probability: own(token), from, token }),
            Step::Word(length) => {
                let piece = &self.pieces.get(token)[..length.into()];
                search.add(&last.bytes, piece, own(token));
            }
        };
        let typed = search.place.typed.as_bytes();
        if last.bytes.len() >= typed.len() && begins(&last.bytes) {
            search.add(&last.bytes, &[], self.ends.iter().map(|&token| own(token)).sum());
            self.others.iter().for_each(|&(token, step)| take(search, token, step));
            return longer;
        }
        let rest = typed.get(last.bytes.len()..).unwrap_or_default();
        for length in 1..rest.len() {
            let piece = &rest[..length];
            let same = self.range(|own| own.cmp(piece));
            self.sorted[same].iter().for_each(|&token| take(search, token, Step::Open));
        }
        for &token in &self.sorted[self.range(|own| own[..own.len().min(rest.len())].cmp(rest))] {
            let step = self.first_step(token, last.bytes.is_empty(), rest, search.place);
            if step != Step::Refused && last.bytes.len() < typed.len() {
                search.covered += own(token);
            }
            take(search, token, step);
        }
        longer
    }

    /// What comes of a token that begins with the `rest` of what is typed; `is_first` if nothing is spelt yet.
    fn first_step(&self, token: u32, is_first: bool, rest: &[u8], place: &Place) -> Step {
        let piece = self.pieces.get(token);
        if place.is_fresh && is_first && Step::within(piece) != Step::Word(0) {
            return Step::Refused;
        }
        if begins(place.typed.as_bytes()) {
            return Step::of(scan(piece, rest.len(), true), piece);
        }
        self.first[token as usize]
    }

    /// Where the tokens lie in `sorted` that `order` calls equal.
    fn range(&self, order: impl Fn(&[u8]) -> Ordering) -> Range<usize> {
        let order = |id: &u32| order(self.pieces.get(*id));
        let start = self.sorted.partition_point(|id| order(id) == Ordering::Less);
        let same = self.sorted[start..].partition_point(|id| order(id) == Ordering::Equal);
        start..start + same
    }

    /// Feeds a token after a spelling; leaves the log-probabilities that follow in `row`.
    fn advance(&mut self, model: &Model, next: Longer, from: &Spelling) -> Result<Spelling> {
        self.stream.state.values_mut().copy_from_slice(&from.state);
        self.stream.forget();
        self.stream.feed(model, next.token);
        self.stream.log_probabilities(model, &mut self.row)?;
        Ok(Spelling {
            bytes: [&from.bytes[..], self.pieces.get(next.token)].concat(),
            probability: next.probability,
            state: self.stream.state.values().to_vec(),
        })
    }
}

impl Ord for Longer {
    /// The likelier is the greater; of equal ones the one that was found first.
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |longer: &Self| Reverse((longer.from, longer.token));
        self.probability.total_cmp(&other.probability).then_with(|| place(self).cmp(&place(other)))
    }
}

impl PartialOrd for Longer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Longer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Longer {}

impl Step {
    /// Of a piece after the beginning of a word.
    fn within(piece: &[u8]) -> Self {
        if piece.is_empty() { Self::Word(0) } else { Self::of(scan(piece, 0, true), piece) }
    }

    /// Of a piece where no word has begun.
    fn first(piece: &[u8]) -> Self {
        if piece.is_empty() { Self::Refused } else { Self::of(scan(piece, 0, false), piece) }
    }

    /// By what [`scan`] says of a piece.
    fn of((end, is_spaceless): (Option<usize>, bool), piece: &[u8]) -> Self {
        match end.or(is_spaceless.then_some(piece.len())) {
            Some(end) => Self::Word(end as u16),
            None => Self::Open,
        }
    }
}

/// Where a word ends in a piece, from `at` on, and whether the piece ends in a script without spaces. Unless the word has
/// begun before, spaces come first, and then the word or a mark. Bytes of cut characters are parts of words.
fn scan(piece: &[u8], at: usize, mut has_begun: bool) -> (Option<usize>, bool) {
    let (mut place, mut is_mark, mut last) = (at, false, ' ');
    for chunk in piece[at..].utf8_chunks() {
        for char in chunk.valid().chars() {
            let ends = is_boundary(char);
            if has_begun && (ends || is_mark) {
                // Marks of one piece stay together: `...`, `."`.
                if !is_mark || !ends || char.is_whitespace() {
                    return (Some(place), false);
                }
            } else if !has_begun && !char.is_whitespace() {
                (has_begun, is_mark) = (true, ends);
            }
            (place, last) = (place + char.len_utf8(), char);
        }
        if !chunk.invalid().is_empty() {
            (has_begun, last) = (true, 'a');
        }
        place += chunk.invalid().len();
    }
    (is_mark.then_some(place), is_spaceless(last))
}

/// The best `most`, the best first.
fn best(mut all: BinaryHeap<Longer>, most: usize) -> Vec<Longer> {
    core::iter::from_fn(|| all.pop()).take(most).collect()
}

/// Whether a word has begun in these bytes.
fn begins(bytes: &[u8]) -> bool {
    bytes.iter().any(|&byte| byte != b' ')
}

impl<'a> Search<'a> {
    fn new(place: &'a Place) -> Self {
        let (words, open) = (Vec::new(), BinaryHeap::new());
        Self { place, words, open, least: 0.0, covered: 0.0, left_out: 0.0 }
    }

    /// Adds to the probability of a word, which may be bytes that are no text yet.
    fn add(&mut self, bytes: &[u8], more: &[u8], probability: f64) {
        let word = [bytes, more].concat();
        let word = word.trim_ascii_start();
        let Ok(text) = core::str::from_utf8(word) else {
            self.left_out += probability;
            return;
        };
        // A mark that pieces cut in two is seen only now.
        let end = text.char_indices().skip(1).find(|(_, char)| is_boundary(*char));
        let is_mark = text.chars().next().is_none_or(is_boundary);
        let end = end.filter(|_| !is_mark).map_or(text.len(), |(at, _)| at);
        let word = &word[..end];
        match self.words.binary_search_by(|(own, _)| own[..].cmp(word)) {
            Ok(at) => self.words[at].1 += probability,
            Err(at) => self.words.insert(at, (word.to_vec(), probability)),
        }
    }

    /// Adds spellings to those to be looked at, and drops all that cannot become one of the `k` best words or are not
    /// among the best `steps`.
    fn queue(&mut self, longer: Vec<Longer>, k: usize, steps: usize) {
        let words =
            self.words.iter().map(|&(_, probability)| Longer { probability, from: 0, token: 0 });
        self.least =
            best(words.collect(), k).get(k.wrapping_sub(1)).map_or(0.0, |word| word.probability);
        let mut open = core::mem::take(&mut self.open).into_vec();
        open.extend(longer);
        let all: f64 = open.iter().map(|longer| longer.probability).sum();
        let least = self.least;
        open.retain(|longer| longer.probability > least);
        let kept = best(open.into(), steps);
        self.left_out += (all - kept.iter().map(|longer| longer.probability).sum::<f64>()).max(0.0);
        self.open = kept.into();
    }

    fn words(self, k: usize) -> Words {
        let all = if self.place.typed.is_empty() { 1.0 } else { self.covered + f64::MIN_POSITIVE };
        let found = |(word, probability): (Vec<u8>, f64)| Found {
            word: String::from_utf8(word).unwrap_or_default(),
            probability: probability / all,
        };
        let mut found: Vec<Found> = self.words.into_iter().map(found).collect();
        found.retain(|found| !found.word.is_empty() && found.probability > 0.0);
        let order = |a: &Found, b: &Found| {
            a.probability.total_cmp(&b.probability).then_with(|| b.word.cmp(&a.word))
        };
        let mut rest = core::mem::take(&mut found);
        while found.len() < k
            && let Some((at, _)) = rest.iter().enumerate().max_by(|a, b| order(a.1, b.1))
        {
            found.push(rest.swap_remove(at));
        }
        Words { found, left_out: (self.left_out / all).min(1.0) }
    }
}
