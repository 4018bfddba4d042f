//! Scores of many texts at once: streams advance together, so that the weights are read once for all.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::cell::Begins;
use crate::error::Result;
use crate::model::Model;
use crate::network::Network;
use crate::output::{Output, Tally};
use crate::recurrent::{Recurrent, VECTORS};
use crate::score::{Score, closed};
use crate::stream::Stream;

/// Streams that advance together.
pub(crate) const LANES: usize = 32;

impl Model {
    /// Scores each of `texts` as [`Session::score`](crate::Session::score) does, many of them at
    /// once: several times as many tokens a second, the same scores (to the bit where the matrices
    /// are integer).
    ///
    /// # Errors
    /// [`Error::UnknownWord`](crate::Error::UnknownWord) if a word is not in the vocabulary and there
    /// is no `<unk>`; [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn score_batch<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Score>> {
        let mut scores = vec![Score::default(); texts.len()];
        let mut queue = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            queue.push((index, self.ids(text.as_ref(), &mut scores[index])?));
        }
        let Some(recurrent) = self.recurrent() else {
            self.score_each(&queue, &mut scores)?;
            return Ok(scores);
        };
        // Texts of like length finish together, so few lanes run empty at the end.
        queue.sort_by_key(|(_, ids)| ids.len());
        let lanes = LANES.min(texts.len().max(1));
        let longest = queue.last().map_or(1, |(_, ids)| ids.len().max(1));
        let steps = longest.min(VECTORS / lanes);
        let eos = self.vocabulary().eos();
        let mut lanes = Lanes::new(recurrent, Stream::new(self), eos, [steps, lanes]);
        lanes.run(recurrent, queue, &mut scores)?;
        Ok(scores)
    }

    /// Scores texts one after another: an n-gram model has no weights that all of them read. A mixture's parts read all of
    /// them each.
    fn score_each(&self, queue: &[(usize, Vec<u32>)], scores: &mut [Score]) -> Result<()> {
        if !self.parts().is_empty() {
            let texts: Vec<&[u32]> = queue.iter().map(|(_, ids)| &ids[..]).collect();
            for ((index, _), own) in queue.iter().zip(self.score_hypotheses(&texts)?) {
                own.into_iter()
                    .for_each(|log_probability| scores[*index].add(true, log_probability));
            }
            return Ok(());
        }
        let mut stream = Stream::new(self);
        for (index, ids) in queue {
            stream.reset();
            for &id in ids {
                scores[*index].add(true, stream.advance(self, id)?);
            }
        }
        Ok(())
    }

    /// The ids of a text to be scored; counts unknown words in `score`.
    pub(crate) fn ids(&self, text: &str, score: &mut Score) -> Result<Vec<u32>> {
        let mut resolve = |token: crate::Token<'_>| {
            score.oov += u64::from(token.id.is_none());
            self.vocabulary().resolve(token)
        };
        closed(self, text).map(&mut resolve).collect()
    }
}

/// Where each part of a stream's state lies in a [`State`](crate::State), and where among the states of `lanes` streams
/// that advance together, of which this is number `lane`.
pub(crate) fn lane_ranges(
    model: &Recurrent,
    lane: usize,
    lanes: usize,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let widths = model.layers.iter().flat_map(crate::cell::Layer::state_widths);
    widths.scan(0, move |first, width| {
        let (own, all) = (*first, *first * lanes + lane * width);
        *first += width;
        Some((own..own + width, all..all + width))
    })
}

/// A text on its way through a lane: its number, its tokens that are left.
type Job = (usize, vec::IntoIter<u32>);

/// Streams side by side, some steps at a time.
struct Lanes {
    network: Network,
    output: Output,
    /// Each layer's `h` `[lanes, R]` and `c` `[lanes, H]`, one after another.
    state: Vec<f32>,
    /// What the last layer gave before each step and after the last, `[steps + 1, lanes, R]`.
    tops: Vec<f32>,
    jobs: Vec<Option<Job>>,
    /// The tokens of some steps `[steps, lanes]`, and whose they are.
    tokens: Vec<u32>,
    owners: Vec<Option<usize>>,
    /// Steps before which a lane begins a text, and the lane.
    begins: Vec<(usize, usize)>,
    tallies: Vec<Tally>,
    /// The state and what the last layer gave at the beginning of a text.
    start: Stream,
    eos: u32,
}

impl Lanes {
    fn new(model: &Recurrent, start: Stream, eos: u32, [steps, lanes]: [usize; 2]) -> Self {
        Self {
            network: Network::new(model, steps, lanes),
            output: Output::new(model, steps * lanes),
            state: vec![0.0; lanes * model.state_len()],
            tops: vec![0.0; (steps + 1) * lanes * model.top()],
            jobs: (0..lanes).map(|_| None).collect(),
            tokens: Vec::with_capacity(steps * lanes),
            owners: Vec::with_capacity(steps * lanes),
            begins: Vec::new(),
            tallies: vec![Tally::default(); steps * lanes],
            start,
            eos,
        }
    }

    /// Takes all texts of `queue` through the lanes, the last first.
    fn run(
        &mut self,
        model: &Recurrent,
        mut queue: Vec<(usize, Vec<u32>)>,
        scores: &mut [Score],
    ) -> Result<()> {
        loop {
            self.plan(&mut queue);
            if self.owners.is_empty() {
                return Ok(());
            }
            self.advance(model);
            for (owner, tally) in self.owners.iter().zip(&self.tallies) {
                if let Some(index) = *owner {
                    scores[index].add(true, tally.log_probability()?);
                }
            }
        }
    }

    /// What the lanes do next: as many steps as there is room for, or until all texts end.
    fn plan(&mut self, queue: &mut Vec<(usize, Vec<u32>)>) {
        self.tokens.clear();
        self.owners.clear();
        self.begins.clear();
        let lanes = self.jobs.len();
        for step in 0..self.tallies.len() / lanes {
            for lane in 0..lanes {
                let next = self.next(step, lane, queue);
                // A lane without a text goes on with <eos>, which nobody looks at.
                self.tokens.push(next.map_or(self.eos, |(_, token)| token));
                self.owners.push(next.map(|(index, _)| index));
            }
            if self.owners[step * lanes..].iter().all(Option::is_none) {
                self.tokens.truncate(step * lanes);
                self.owners.truncate(step * lanes);
                return;
            }
        }
    }

    /// The next token of `lane` and whose it is, from a new text where the last is done.
    fn next(
        &mut self,
        step: usize,
        lane: usize,
        queue: &mut Vec<(usize, Vec<u32>)>,
    ) -> Option<(usize, u32)> {
        loop {
            if let Some((index, ids)) = &mut self.jobs[lane]
                && let Some(token) = ids.next()
            {
                return Some((*index, token));
            }
            let (index, ids) = queue.pop()?;
            self.jobs[lane] = Some((index, ids.into_iter()));
            self.begins.push((step, lane));
        }
    }

    /// Tallies and feeds the tokens.
    fn advance(&mut self, model: &Recurrent) {
        let (lanes, width, n) = (self.jobs.len(), model.top(), self.tokens.len());
        let start = self.start.state.values();
        let begins = Begins { at: &self.begins, state: start };
        let tops = self.network.run_texts(model, &self.tokens, lanes, &mut self.state, begins);
        self.tops[lanes * width..][..n * width].copy_from_slice(tops);
        let top = crate::stream::top(model, start);
        for &(step, lane) in &self.begins {
            self.tops[(step * lanes + lane) * width..][..width].copy_from_slice(top);
        }
        self.output.load(model, &self.tops[..n * width]);
        self.output.tally(model, &self.tokens, false, &mut self.tallies[..n]);
        self.tops.copy_within(n * width..(n + lanes) * width, 0);
    }
}
