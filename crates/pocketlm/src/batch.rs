//! Scores of many texts at once: streams advance together, so that the weights are read once for all.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Result;
use crate::model::Model;
use crate::network::Network;
use crate::output::{Output, Tally};
use crate::recurrent::Recurrent;
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
        let mut lanes = Lanes::new(recurrent, Stream::new(self), self.vocabulary().eos(), lanes);
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

/// A text on its way through a lane.
struct Job {
    index: usize,
    ids: Vec<u32>,
    at: usize,
}

/// Streams side by side.
struct Lanes {
    network: Network,
    output: Output,
    /// Each layer's `h` `[lanes, R]` and `c` `[lanes, H]`, one after another.
    state: Vec<f32>,
    /// What the last layer gave, `[lanes, R]`.
    tops: Vec<f32>,
    jobs: Vec<Option<Job>>,
    tallies: Vec<Tally>,
    /// The state and what the last layer gave at the beginning of a text.
    start: Stream,
    eos: u32,
}

impl Lanes {
    fn new(model: &Recurrent, start: Stream, eos: u32, lanes: usize) -> Self {
        Self {
            network: Network::new(model, 1, lanes),
            output: Output::new(model, lanes),
            state: vec![0.0; lanes * model.state_len()],
            tops: vec![0.0; lanes * model.top()],
            jobs: (0..lanes).map(|_| None).collect(),
            tallies: vec![Tally::default(); lanes],
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
        let mut targets = vec![self.eos; self.jobs.len()];
        loop {
            for (lane, target) in targets.iter_mut().enumerate() {
                *target = self.next(model, lane, &mut queue);
            }
            if self.jobs.iter().all(Option::is_none) {
                return Ok(());
            }
            self.step(model, &targets, scores)?;
        }
    }

    /// The next token of `lane`, from a new text where the last is done.
    fn next(&mut self, model: &Recurrent, lane: usize, queue: &mut Vec<(usize, Vec<u32>)>) -> u32 {
        if self.jobs[lane].is_none()
            && let Some((index, ids)) = queue.pop()
        {
            self.jobs[lane] = Some(Job { index, ids, at: 0 });
            self.begin(model, lane);
        }
        // A lane without a text goes on with <eos>, which nobody looks at.
        self.jobs[lane].as_ref().map_or(self.eos, |job| job.ids[job.at])
    }

    /// Scores and feeds one token in each lane.
    fn step(&mut self, model: &Recurrent, targets: &[u32], scores: &mut [Score]) -> Result<()> {
        self.output.load(model, &self.tops);
        self.output.tally(model, targets, false, &mut self.tallies);
        for (job, tally) in self.jobs.iter_mut().zip(&self.tallies) {
            let Some(this) = job else { continue };
            scores[this.index].add(true, tally.log_probability()?);
            this.at += 1;
            if this.at == this.ids.len() {
                *job = None;
            }
        }
        let lanes = self.jobs.len();
        let tops = self.network.run(model, targets, lanes, &mut self.state);
        self.tops.copy_from_slice(tops);
        Ok(())
    }

    /// Puts `lane` at the beginning of a text.
    fn begin(&mut self, model: &Recurrent, lane: usize) {
        let lanes = self.jobs.len();
        for (own, all) in lane_ranges(model, lane, lanes) {
            self.state[all].copy_from_slice(&self.start.state.values()[own]);
        }
        let top = crate::stream::top(model, self.start.state.values());
        self.tops[lane * top.len()..][..top.len()].copy_from_slice(top);
    }
}
