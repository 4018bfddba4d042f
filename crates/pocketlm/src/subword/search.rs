//! Whole words from pieces or characters: a beam search to the word's end.
//!
//! The probability of a word is that of all ways to spell it that the search saw, each followed by something that ends
//! the word. What is typed holds as bytes, so that it may end within a piece. All hypotheses of a step go through the
//! model in one batch, and the search ends when no open one can still be among the words that are asked for.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

use pocketlm_kernels::activation::exp;
use pocketlm_kernels::softmax::LogSumExp;

use super::pieces::Pieces;
use super::words::{Place, is_boundary, is_spaceless};
use crate::cell::Layer;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::Network;
use crate::output::Output;
use crate::recurrent::Recurrent;
use crate::session::Session;
use crate::spec::Unit;
use crate::stream::Stream;

/// Hypotheses that are followed at once, where no more words are asked for.
const BEAM: usize = 8;
/// Tokens of the longest spelling.
const STEPS: usize = 24;

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
    kinds: Vec<Kind>,
    engine: Engine,
    /// Probabilities of all tokens after each hypothesis `[beam, types]`.
    rows: Vec<f32>,
}

#[derive(Debug)]
enum Engine {
    /// Hypotheses side by side; state `[layers][lanes, width]`.
    Batch { network: Network, output: Output, state: Vec<f32>, lanes: usize },
    /// One after the other.
    Single(Stream),
}

/// What a token does to a word that is being spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is not part of the word: a space, a mark, no text at all.
    Ends,
    /// It goes on with the word.
    GoesOn,
    /// Its beginning goes on with the word, which ends within it or with it.
    Finishes(u16),
}

/// What was spelt, how likely that is, and the state after it.
#[derive(Debug)]
struct Hypothesis {
    bytes: Vec<u8>,
    probability: f64,
    state: Vec<f32>,
}

/// A hypothesis and one more token.
#[derive(Debug, Clone, Copy)]
struct Longer {
    /// The hypothesis's place among the open ones.
    from: usize,
    token: u32,
    probability: f64,
}

/// What comes of a token after a hypothesis.
enum Step {
    Refused,
    Ends,
    Open,
    /// The word is done after so many bytes of the token.
    Word(usize),
}

/// All that a search has found so far.
struct Search<'a> {
    place: &'a Place,
    most: usize,
    words: BTreeMap<Vec<u8>, f64>,
    /// The hypotheses of the next step.
    next: Vec<Longer>,
    /// What a hypothesis must be likelier than to become one of the words that are asked for.
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
        let engine = match model.recurrent() {
            Some(model) => Engine::batch(model, BEAM),
            None => Engine::Single(Stream::new(model)),
        };
        let kinds = (0..pieces.len() as u32).map(|id| Kind::of(pieces.get(id))).collect();
        Ok(Self { pieces, kinds, engine, rows: Vec::new() })
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
        let model = session.model.borrow();
        let types = self.kinds.len();
        let mut search = Search::new(place, BEAM.max(k));
        self.rows.resize(types.max(self.rows.len()), 0.0);
        session.stream.log_probabilities(model, &mut self.rows[..types])?;
        exp(&mut self.rows[..types]);
        let state = session.stream.state.values().to_vec();
        let mut open = vec![Hypothesis { bytes: Vec::new(), probability: 1.0, state }];
        for _ in 0..STEPS {
            for (at, hypothesis) in open.iter().enumerate() {
                self.expand((at, hypothesis), &mut search);
            }
            let kept = search.keep(k);
            if kept.is_empty() {
                return Ok(search.words(k));
            }
            open = self.advance(model, &open, &kept)?;
        }
        search.left_out += open.iter().map(|hypothesis| hypothesis.probability).sum::<f64>();
        Ok(search.words(k))
    }

    /// What comes after a hypothesis by the probabilities of all tokens: words, and what may still become one.
    fn expand(&self, (at, from): (usize, &Hypothesis), search: &mut Search<'_>) {
        let row = &self.rows[at * self.kinds.len()..][..self.kinds.len()];
        let typed = search.place.typed.as_bytes();
        let is_open =
            from.bytes.len() >= typed.len() && from.bytes.iter().any(|&byte| byte != b' ');
        let mut ended = 0.0;
        for (token, (&probability, &kind)) in (0..).zip(row.iter().zip(&self.kinds)) {
            let own = from.probability * f64::from(probability);
            if is_open && kind == Kind::Ends {
                ended += own;
                continue;
            }
            let piece = self.pieces.get(token);
            let step = if is_open { kind.step() } else { step(from, piece, search.place) };
            if matches!(step, Step::Refused) {
                continue;
            }
            if from.bytes.len() < typed.len() && from.bytes.len() + piece.len() >= typed.len() {
                search.covered += own;
            }
            match step {
                Step::Word(length) => search.add(&from.bytes, &piece[..length], own),
                _ if own <= search.least => search.left_out += own,
                _ => search.next.push(Longer { from: at, token, probability: own }),
            }
        }
        if is_open {
            search.add(&from.bytes, &[], ended);
        }
    }

    /// Feeds tokens to hypotheses; leaves the probabilities that follow each in `rows`.
    fn advance(
        &mut self,
        model: &Model,
        open: &[Hypothesis],
        kept: &[Longer],
    ) -> Result<Vec<Hypothesis>> {
        let longer = |longer: &Longer| Hypothesis {
            bytes: [&open[longer.from].bytes[..], self.pieces.get(longer.token)].concat(),
            probability: longer.probability,
            state: open[longer.from].state.clone(),
        };
        let mut next: Vec<Hypothesis> = kept.iter().map(longer).collect();
        let tokens: Vec<u32> = kept.iter().map(|longer| longer.token).collect();
        let all = tokens.len() * self.kinds.len();
        self.rows.resize(self.rows.len().max(all), 0.0);
        self.engine.advance(model, &tokens, &mut next, &mut self.rows[..all])?;
        exp(&mut self.rows[..all]);
        Ok(next)
    }
}

impl Engine {
    fn batch(model: &Recurrent, lanes: usize) -> Self {
        let state = vec![0.0; lanes * model.state_len()];
        Self::Batch {
            network: Network::new(model, 1, lanes),
            output: Output::new(model, lanes),
            state,
            lanes,
        }
    }

    /// Feeds each hypothesis its token; writes the log-probabilities that follow into `rows` `[hypotheses, types]`.
    fn advance(
        &mut self,
        model: &Model,
        tokens: &[u32],
        open: &mut [Hypothesis],
        rows: &mut [f32],
    ) -> Result<()> {
        let types = rows.len() / tokens.len();
        let Some(recurrent) = model.recurrent() else {
            let Self::Single(stream) = self else { return Ok(()) };
            for ((own, &token), row) in
                open.iter_mut().zip(tokens).zip(rows.chunks_exact_mut(types))
            {
                stream.state.values_mut().copy_from_slice(&own.state);
                stream.forget();
                stream.feed(model, token);
                own.state.copy_from_slice(stream.state.values());
                stream.log_probabilities(model, row)?;
            }
            return Ok(());
        };
        if matches!(self, Self::Batch { lanes, .. } if *lanes < tokens.len()) {
            *self = Self::batch(recurrent, tokens.len());
        }
        let Self::Batch { network, output, state, .. } = self else { return Ok(()) };
        let state = &mut state[..tokens.len() * recurrent.state_len()];
        let widths = || recurrent.layers.iter().flat_map(Layer::state_widths);
        exchange(widths(), open, state, |own, lane| lane.copy_from_slice(own));
        output.load(recurrent, network.run(recurrent, tokens, tokens.len(), state));
        exchange(widths(), open, state, |own, lane| own.copy_from_slice(lane));
        let mut sums = vec![LogSumExp::new(); tokens.len()];
        output.blocks(recurrent, 0..types, |first, block| {
            let size = block.len() / sums.len();
            for (lane, block) in block.chunks_exact(size).enumerate() {
                sums[lane].push(block);
                rows[lane * types + first..][..size].copy_from_slice(block);
            }
        });
        for (row, sum) in rows.chunks_exact_mut(types).zip(sums) {
            let sum = Some(sum.value()).filter(|sum| sum.is_finite());
            let sum = sum.ok_or_else(|| Error::NotFinite { what: "the output layer".into() })?;
            row.iter_mut().for_each(|logit| *logit = (f64::from(*logit) - sum) as f32);
        }
        Ok(())
    }
}

/// Calls `copy` with each part of each hypothesis's state, and its place among those that lie side by side.
fn exchange(
    widths: impl Iterator<Item = usize>,
    open: &mut [Hypothesis],
    mut state: &mut [f32],
    copy: impl Fn(&mut [f32], &mut [f32]),
) {
    let (lanes, mut at) = (open.len(), 0);
    for width in widths.filter(|&width| width > 0) {
        let (this, rest) = state.split_at_mut(lanes * width);
        for (hypothesis, lane) in open.iter_mut().zip(this.chunks_exact_mut(width)) {
            copy(&mut hypothesis.state[at..at + width], lane);
        }
        (state, at) = (rest, at + width);
    }
}

impl Kind {
    /// Of a piece after the beginning of a word.
    fn of(piece: &[u8]) -> Self {
        match scan(piece, 0, true) {
            _ if piece.is_empty() => Self::Ends,
            (Some(0), _) => Self::Ends,
            (Some(at), _) => Self::Finishes(at as u16),
            (None, true) => Self::Finishes(piece.len() as u16),
            (None, false) => Self::GoesOn,
        }
    }

    fn step(self) -> Step {
        match self {
            Self::Ends => Step::Ends,
            Self::GoesOn => Step::Open,
            Self::Finishes(length) => Step::Word(length.into()),
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

/// What comes of a piece while not all that is typed is spelt, or no word has begun.
fn step(from: &Hypothesis, piece: &[u8], place: &Place) -> Step {
    let typed = place.typed.as_bytes();
    let rest = typed.get(from.bytes.len()..).unwrap_or_default();
    let shared = rest.len().min(piece.len());
    if piece.is_empty() || piece[..shared] != rest[..shared] {
        return Step::Refused;
    }
    if piece.len() < rest.len() {
        return Step::Open;
    }
    let begins = |bytes: &[u8]| bytes.iter().any(|&byte| byte != b' ');
    let has_begun = begins(typed);
    if place.is_fresh && from.bytes.is_empty() && scan(piece, 0, true).0 != Some(0) {
        return Step::Refused;
    }
    match scan(piece, shared, has_begun) {
        (Some(at), _) => Step::Word(at),
        (None, true) => Step::Word(piece.len()),
        (None, false) => Step::Open,
    }
}

impl<'a> Search<'a> {
    fn new(place: &'a Place, most: usize) -> Self {
        let (words, next) = (BTreeMap::new(), Vec::new());
        Self { place, most, words, next, least: 0.0, covered: 0.0, left_out: 0.0 }
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
        *self.words.entry(word[..end].to_vec()).or_insert(0.0) += probability;
    }

    /// The best of the hypotheses for the next step, as far as they may still become one of the `k` best words.
    fn keep(&mut self, k: usize) -> Vec<Longer> {
        let mut best: Vec<f64> = self.words.values().copied().collect();
        best.sort_by(|a, b| b.total_cmp(a));
        self.least = k.checked_sub(1).and_then(|last| best.get(last)).copied().unwrap_or(0.0);
        let mut next = core::mem::take(&mut self.next);
        let before = |a: &Longer, b: &Longer| {
            b.probability.total_cmp(&a.probability).then((a.from, a.token).cmp(&(b.from, b.token)))
        };
        let all: f64 = next.iter().map(|longer| longer.probability).sum();
        if next.len() > self.most {
            next.select_nth_unstable_by(self.most, before);
            next.truncate(self.most);
        }
        next.sort_by(before);
        next.truncate(next.partition_point(|longer| longer.probability > self.least));
        let kept: f64 = next.iter().map(|longer| longer.probability).sum();
        self.left_out += (all - kept).max(0.0);
        next
    }

    fn words(self, k: usize) -> Words {
        let all = if self.place.typed.is_empty() { 1.0 } else { self.covered + f64::MIN_POSITIVE };
        let found = |(word, probability): (Vec<u8>, f64)| Found {
            word: String::from_utf8(word).unwrap_or_default(),
            probability: probability / all,
        };
        let mut found: Vec<Found> = self.words.into_iter().map(found).collect();
        found.retain(|found| !found.word.is_empty() && found.probability > 0.0);
        found.sort_by(|a, b| {
            b.probability.total_cmp(&a.probability).then_with(|| a.word.cmp(&b.word))
        });
        found.truncate(k);
        Words { found, left_out: (self.left_out / all).min(1.0) }
    }
}
