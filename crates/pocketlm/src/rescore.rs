//! Rescoring: the hypotheses of a recogniser, weighed by what a language model says of them.
//!
//! A recogniser gives several hypotheses of what was said or typed, each with a score. A better language model than its
//! own chooses among them anew. Hypotheses of one utterance differ in a few words, so most of their prefixes are shared:
//! they are taken through the model side by side, word by word, and what begins alike is computed once.

use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::softmax::LogSumExp;

use crate::batch::{LANES, lane_ranges};
use crate::error::{Error, Result};
use crate::model::{Kind, Model};
use crate::network::Network;
use crate::output::Output;
use crate::recurrent::Recurrent;
use crate::score::Score;
use crate::stream::{Stream, top};

/// Hypotheses that are taken through a recurrent model side by side, hence the most states that are held at once.
const ABREAST: usize = 256;

/// One of the things that a recogniser may have heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hypothesis<'t> {
    /// Its words, as the model's text has them.
    pub text: &'t str,
    /// How good it is by itself: the greater, the better. A log-likelihood in nats, or anything else that adds up.
    pub score: f64,
}

/// How the parts of a hypothesis's score are weighed against each other.
///
/// total = score + `lm_scale` · ln p(text) − `insertion_penalty` · words + `length_bonus` · letters
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Weight of the language model's log-probability in nats, the end of the text included.
    pub lm_scale: f64,
    /// Taken off for each word.
    pub insertion_penalty: f64,
    /// Added for each character that is no white space.
    pub length_bonus: f64,
    /// Nats that a word costs which the model does not know, beside the probability of `<unk>`.
    pub unk_penalty: f64,
}

impl Default for Weights {
    /// The language model as it is, and nothing else.
    fn default() -> Self {
        Self { lm_scale: 1.0, insertion_penalty: 0.0, length_bonus: 0.0, unk_penalty: 0.0 }
    }
}

/// A hypothesis with its new score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescored {
    /// Its place among the hypotheses that were given.
    pub index: usize,
    /// All parts together: the greater, the better.
    pub total: f64,
    /// What the language model says of the text.
    pub score: Score,
}

impl Model {
    /// Weighs the hypotheses of one utterance; returns them best first, equals in the order that they were given in.
    ///
    /// ```no_run
    /// use pocketlm::{Hypothesis, Model, Weights};
    ///
    /// let model = Model::open("keyboard.plm")?;
    /// let heard = [
    ///     Hypothesis { text: "the company set it", score: -12.1 },
    ///     Hypothesis { text: "the company said it", score: -12.4 },
    /// ];
    /// let best = model.rescore(&heard, &Weights { lm_scale: 0.5, ..Weights::default() })?[0];
    /// println!("{} ({:.2})", heard[best.index].text, best.total);
    /// # Ok::<(), pocketlm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a score is no finite number, or the model's numbers overflow;
    /// [`Error::UnknownWord`] if a word is not in the vocabulary and there is no `<unk>`.
    pub fn rescore(
        &self,
        hypotheses: &[Hypothesis<'_>],
        weights: &Weights,
    ) -> Result<Vec<Rescored>> {
        if hypotheses.iter().any(|hypothesis| !hypothesis.score.is_finite()) {
            return Err(Error::NotFinite { what: "the score of a hypothesis".into() });
        }
        let mut scores = vec![Score::default(); hypotheses.len()];
        let ids = hypotheses.iter().zip(&mut scores);
        let ids = ids.map(|(hypothesis, score)| self.ids(hypothesis.text, score));
        let ids: Vec<_> = ids.collect::<Result<_>>()?;
        let each = self.score_hypotheses(&ids)?;
        for (score, tokens) in scores.iter_mut().zip(each) {
            tokens.iter().for_each(|&log_probability| score.add(true, log_probability));
        }
        let rescored = hypotheses.iter().zip(scores).enumerate();
        let mut rescored: Vec<_> = rescored
            .map(|(index, (hypothesis, score))| Rescored {
                index,
                total: weights.total(hypothesis, &score),
                score,
            })
            .collect();
        rescored.sort_by(|a, b| b.total.total_cmp(&a.total));
        Ok(rescored)
    }

    /// The log-probability in nats of each token of each of `hypotheses`, which are token ids from the beginning of a
    /// text, with the `<eos>` of its end if that counts. What begins alike is computed once, whether it is of one
    /// utterance or of several: the same numbers as of [`Session::evaluate_each`](crate::Session::evaluate_each), to the
    /// bit where the matrices are integer.
    ///
    /// # Errors
    /// [`Error::Token`] if the vocabulary lacks a token; [`Error::NotFinite`] if the model's numbers overflow.
    pub fn score_hypotheses<T: AsRef<[u32]>>(&self, hypotheses: &[T]) -> Result<Vec<Vec<f64>>> {
        if let Kind::Mixture(mixture) = &self.kind {
            let said = mixture.parts.iter().map(|part| part.model.score_hypotheses(hypotheses));
            let said: Vec<Vec<Vec<f64>>> = said.collect::<Result<_>>()?;
            let own = |at: usize| said.iter().map(|part| part[at].clone()).collect::<Vec<_>>();
            return Ok((0..hypotheses.len()).map(|at| mixture.log_sums(&own(at))).collect());
        }
        let ids = |&index: &usize| hypotheses[index].as_ref();
        let mut order: Vec<usize> = (0..hypotheses.len()).collect();
        order.iter().flat_map(ids).try_for_each(|&token| self.check(token))?;
        // Those that begin alike become neighbours.
        order.sort_by(|a, b| ids(a).cmp(ids(b)));
        let sorted: Vec<&[u32]> = order.iter().map(ids).collect();
        let scored = chunked(&sorted, |sorted| match self.recurrent() {
            Some(recurrent) => Abreast::new(recurrent, &Stream::new(self)).run(recurrent, sorted),
            None => self.score_in_turn(sorted),
        });
        let mut scores = vec![Vec::new(); hypotheses.len()];
        let mut order = order.into_iter();
        for own in scored {
            order.by_ref().zip(own?).for_each(|(index, own)| scores[index] = own);
        }
        Ok(scores)
    }

    /// One hypothesis after another, each from where it parts from the one before it: an n-gram model has no weights that
    /// several could share.
    fn score_in_turn(&self, sorted: &[&[u32]]) -> Result<Vec<Vec<f64>>> {
        let mut stream = Stream::new(self);
        let mut states = vec![stream.state.clone()];
        let mut scores: Vec<Vec<f64>> = Vec::with_capacity(sorted.len());
        let mut last: &[u32] = &[];
        for &ids in sorted {
            let shared = ids.iter().zip(last).take_while(|(a, b)| a == b).count();
            states.truncate(shared + 1);
            stream.state.copy_from(&states[shared])?;
            stream.forget();
            let mut own = scores.last().map_or(Vec::new(), |before| before[..shared].to_vec());
            for &id in &ids[shared..] {
                own.push(stream.advance(self, id)?);
                states.push(stream.state.clone());
            }
            scores.push(own);
            last = ids;
        }
        Ok(scores)
    }
}

impl Weights {
    fn total(&self, hypothesis: &Hypothesis<'_>, score: &Score) -> f64 {
        let words = hypothesis.text.split_whitespace();
        let letters: usize = words.clone().map(|word| word.chars().count()).sum();
        let nll = score.nll + self.unk_penalty * score.oov as f64;
        hypothesis.score - self.lm_scale * nll - self.insertion_penalty * words.count() as f64
            + self.length_bonus * letters as f64
    }
}

/// What `score` makes of each chunk of `sorted`, in the pool that this is called in, if any.
#[cfg(feature = "threads")]
fn chunked<T: Send>(sorted: &[&[u32]], score: impl Fn(&[&[u32]]) -> T + Sync + Send) -> Vec<T> {
    crate::threads::map_chunks(sorted, ABREAST, score)
}

/// What `score` makes of each chunk of `sorted`.
#[cfg(not(feature = "threads"))]
fn chunked<T>(sorted: &[&[u32]], score: impl Fn(&[&[u32]]) -> T) -> Vec<T> {
    sorted.chunks(ABREAST).map(score).collect()
}

/// A token after a prefix.
#[derive(Clone, Copy)]
struct Edge {
    /// The prefix: its place among those of this length.
    prefix: usize,
    token: u32,
    /// Whether a hypothesis goes on after it, so that it is a prefix of the next length.
    is_prefix: bool,
}

/// Hypotheses on their way through a recurrent model, all at the same length.
struct Abreast {
    network: Network,
    output: Output,
    /// The states of up to `LANES` streams, each layer's `h` and `c` one after another.
    lanes: Vec<f32>,
    /// What the last layer gave them `[lanes, R]`.
    tops: Vec<f32>,
    /// The state at the beginning of a text.
    start: Vec<f32>,
}

impl Abreast {
    fn new(model: &Recurrent, start: &Stream) -> Self {
        Self {
            network: Network::new(model, 1, LANES),
            output: Output::new(model, LANES),
            lanes: vec![0.0; LANES * model.state_len()],
            tops: vec![0.0; LANES * model.top()],
            start: start.state.values().to_vec(),
        }
    }

    /// The log-probabilities of sorted hypotheses.
    fn run(&mut self, model: &Recurrent, sorted: &[&[u32]]) -> Result<Vec<Vec<f64>>> {
        let mut scores: Vec<_> = sorted.iter().map(|ids| Vec::with_capacity(ids.len())).collect();
        // The prefix that each hypothesis stands at, and the states of all prefixes.
        let mut at = vec![0; sorted.len()];
        let mut states = self.start.clone();
        for length in 0.. {
            let (edges, edge_of) = edges(sorted, &at, length);
            if edges.is_empty() {
                break;
            }
            let log_probabilities = self.log_probabilities(model, &states, &edges)?;
            states = self.feed(model, &states, &edges);
            let ranks: Vec<usize> = edges
                .iter()
                .scan(0, |next, edge| {
                    Some(core::mem::replace(next, *next + usize::from(edge.is_prefix)))
                })
                .collect();
            for (hypothesis, edge) in edge_of {
                scores[hypothesis].push(log_probabilities[edge]);
                at[hypothesis] = ranks[edge];
            }
        }
        Ok(scores)
    }

    /// The log-probability of each of `edges` after its prefix; the prefixes' states are `states`.
    fn log_probabilities(
        &mut self,
        model: &Recurrent,
        states: &[f32],
        edges: &[Edge],
    ) -> Result<Vec<f64>> {
        let (width, top_width) = (model.state_len(), model.top());
        let mut all = Vec::with_capacity(edges.len());
        let mut sums = [LogSumExp::new(); LANES];
        for (number, states) in states.chunks(LANES * width).enumerate() {
            let (first, lanes) = (number * LANES, states.len() / width);
            let rows = states.chunks_exact(width).zip(self.tops.chunks_exact_mut(top_width));
            rows.for_each(|(state, row)| row.copy_from_slice(top(model, state)));
            // The edges of these prefixes follow those of the ones before.
            let own = edges[all.len()..].iter().take_while(|edge| edge.prefix < first + lanes);
            let targets: Vec<_> = own.map(|edge| (edge.prefix - first, edge.token)).collect();
            let mut logits = vec![f32::NAN; targets.len()];
            self.output.load(model, &self.tops[..lanes * top_width]);
            self.output.pick(model, &targets, &mut sums[..lanes], &mut logits);
            for (&(lane, _), logit) in targets.iter().zip(logits) {
                let value = f64::from(logit) - sums[lane].value();
                let fault = || Error::NotFinite { what: "a log-probability".into() };
                all.push(Some(value).filter(|value| value.is_finite()).ok_or_else(fault)?);
            }
        }
        Ok(all)
    }

    /// The states after those of `edges` that hypotheses go on from, one after another.
    fn feed(&mut self, model: &Recurrent, states: &[f32], edges: &[Edge]) -> Vec<f32> {
        let width = model.state_len();
        let onward: Vec<_> = edges.iter().filter(|edge| edge.is_prefix).collect();
        let mut after = vec![0.0; onward.len() * width];
        for (edges, after) in onward.chunks(LANES).zip(after.chunks_mut(LANES * width)) {
            let lanes = edges.len();
            let tokens: Vec<u32> = edges.iter().map(|edge| edge.token).collect();
            for (lane, edge) in edges.iter().enumerate() {
                let state = &states[edge.prefix * width..][..width];
                for (own, all) in lane_ranges(model, lane, lanes) {
                    self.lanes[all].copy_from_slice(&state[own]);
                }
            }
            self.network.run(model, &tokens, lanes, &mut self.lanes[..lanes * width]);
            for (lane, state) in after.chunks_exact_mut(width).enumerate() {
                for (own, all) in lane_ranges(model, lane, lanes) {
                    state[own].copy_from_slice(&self.lanes[all]);
                }
            }
        }
        after
    }
}

/// The tokens that follow prefixes of `length` in sorted hypotheses, which stand at the prefixes `at`: each once, in the
/// order of the prefixes, and of each hypothesis that is long enough which one is its own.
fn edges(sorted: &[&[u32]], at: &[usize], length: usize) -> (Vec<Edge>, Vec<(usize, usize)>) {
    let (mut edges, mut edge_of): (Vec<Edge>, _) = (Vec::new(), Vec::new());
    for (hypothesis, (ids, &prefix)) in sorted.iter().zip(at).enumerate() {
        let Some(&token) = ids.get(length) else { continue };
        let is_last = |edge: &Edge| edge.prefix == prefix && edge.token == token;
        if !edges.last().is_some_and(is_last) {
            edges.push(Edge { prefix, token, is_prefix: false });
        }
        let edge = edges.len() - 1;
        edges[edge].is_prefix |= ids.len() > length + 1;
        edge_of.push((hypothesis, edge));
    }
    (edges, edge_of)
}
