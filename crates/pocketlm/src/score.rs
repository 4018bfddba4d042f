//! Scores of texts, and the evaluation of a split.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::error::Result;
use crate::exponential::exp;
use crate::model::{Kind, Model};
use crate::network::Network;
use crate::output::{Output, Tally};
use crate::recall::Recall;
use crate::recurrent::Recurrent;
use crate::session::Session;
use crate::stream::{Stream, top};
use crate::text::Token;

/// How likely a text is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Tokens, each `<eos>` included.
    pub tokens: u64,
    /// Of these, how many are not in the vocabulary and were scored as `<unk>`.
    pub oov: u64,
    /// Negative log-likelihood of all tokens, in nats.
    pub nll: f64,
}

impl Score {
    /// exp of the mean negative log-likelihood; NaN if there is no token.
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        exp(self.nll / self.tokens as f64)
    }

    pub(crate) fn add(&mut self, is_known: bool, log_probability: f64) {
        self.tokens += 1;
        self.oov += u64::from(!is_known);
        self.nll -= log_probability;
    }
}

/// Time steps that [`Session::evaluate`] takes through the output layer at once.
const STEPS: usize = 32;

impl<M: Borrow<Model>> Session<M> {
    /// Scores `text` from the beginning, as if nothing had been fed, with an `<eos>` at its end. The
    /// session's own state stays what it is.
    ///
    /// # Errors
    /// [`Error::UnknownWord`](crate::Error::UnknownWord) if a word is not in the vocabulary and there
    /// is no `<unk>`; [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn score(&mut self, text: &str) -> Result<Score> {
        self.score_each(text, |_, _| ())
    }

    /// [`score`](Self::score), which also calls `each` with every token and its log-probability in nats.
    ///
    /// # Errors
    /// As [`score`](Self::score); what stands before the fault has been given to `each`.
    pub fn score_each(&mut self, text: &str, each: impl FnMut(Token<'_>, f64)) -> Result<Score> {
        let model = self.model.borrow();
        self.stream.put_aside();
        self.stream.reset();
        let score = self.stream.score(model, closed(model, text), each);
        self.stream.take_back();
        score
    }

    /// Scores `text` as what comes after all that has been fed, without an `<eos>` at its end. The
    /// session's state stays what it is: feed the text to go on after it.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn score_next(&mut self, text: &str) -> Result<Score> {
        self.score_next_each(text, |_, _| ())
    }

    /// [`score_next`](Self::score_next), which also calls `each` as [`score_each`](Self::score_each) does.
    ///
    /// # Errors
    /// As [`score`](Self::score); what stands before the fault has been given to `each`.
    pub fn score_next_each(
        &mut self,
        text: &str,
        each: impl FnMut(Token<'_>, f64),
    ) -> Result<Score> {
        let model = self.model.borrow();
        self.stream.put_aside();
        let score = self.stream.score(model, model.vocabulary().tokens(text), each);
        self.stream.take_back();
        score
    }

    /// Scores `tokens` as what comes after all that has been fed, and feeds them: the state is carried
    /// through. On a new (or [reset](Self::reset)) session this is the evaluation of a split at
    /// batch 1; a split may be given in parts.
    ///
    /// The result is that of feeding the tokens one by one, to the bit where the matrices are
    /// integer, but several times as fast: the weights of the output layer and of the cells' inputs
    /// are read once for 32 steps. Buffers for that are allocated on each call. An n-gram model takes the
    /// tokens one by one.
    ///
    /// # Errors
    /// [`Error::Token`](crate::Error::Token) if the vocabulary does not have one of them; what stands
    /// before its block of 32 has been fed. [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers
    /// overflow.
    pub fn evaluate(&mut self, tokens: impl IntoIterator<Item = u32>) -> Result<Score> {
        let mut score = Score::default();
        self.evaluate_each(tokens, |log_probability| score.add(true, log_probability))?;
        Ok(score)
    }

    /// [`evaluate`](Self::evaluate), and how often the token was among the likeliest: the same score, at
    /// somewhat more work (for an n-gram model much more).
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_with_recall(
        &mut self,
        tokens: impl IntoIterator<Item = u32>,
    ) -> Result<(Score, Recall)> {
        let (mut score, mut recall) = (Score::default(), Recall::default());
        self.evaluate_ranks(tokens, |log_probability, rank| {
            score.add(true, log_probability);
            recall.add(rank);
        })?;
        Ok((score, recall))
    }

    /// As [`evaluate_with_recall`](Self::evaluate_with_recall), but calls `each` with the log-probability in nats and the
    /// rank of every token, as [`Recall`] takes it: for the recall of some of them.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_ranks(
        &mut self,
        tokens: impl IntoIterator<Item = u32>,
        each: impl FnMut(f64, usize),
    ) -> Result<()> {
        self.evaluate_blocks(tokens, true, each)
    }

    /// As [`evaluate`](Self::evaluate), but calls `each` with the log-probability in nats of every token.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_each(
        &mut self,
        tokens: impl IntoIterator<Item = u32>,
        mut each: impl FnMut(f64),
    ) -> Result<()> {
        self.evaluate_blocks(tokens, false, |log_probability, _| each(log_probability))
    }

    /// Calls `each` with the log-probability of every token, and its rank where `is_ranked`.
    fn evaluate_blocks(
        &mut self,
        tokens: impl IntoIterator<Item = u32>,
        is_ranked: bool,
        mut each: impl FnMut(f64, usize),
    ) -> Result<()> {
        let model = self.model.borrow();
        let mut pass = Pass::new(model, is_ranked);
        let mut tokens = tokens.into_iter();
        loop {
            let block: Vec<u32> = tokens.by_ref().take(STEPS).collect();
            block.iter().try_for_each(|&token| model.check(token))?;
            if block.is_empty() {
                return Ok(());
            }
            pass.advance(model, &mut self.stream, &block)?
                .iter()
                .for_each(|&(p, rank)| each(p, rank));
        }
    }
}

/// The tokens of `text` with an `<eos>` at the end, unless it ends in a line feed.
pub(crate) fn closed<'t>(model: &Model, text: &'t str) -> impl Iterator<Item = Token<'t>> {
    let vocabulary = model.vocabulary();
    let end = Token { text: "", id: Some(vocabulary.eos()) };
    vocabulary.tokens(text).chain((!text.ends_with('\n')).then_some(end))
}

impl Stream {
    fn score<'t>(
        &mut self,
        model: &Model,
        tokens: impl Iterator<Item = Token<'t>>,
        mut each: impl FnMut(Token<'_>, f64),
    ) -> Result<Score> {
        let mut score = Score::default();
        for token in tokens {
            let id = model.vocabulary().resolve(token)?;
            let log_probability = self.advance(model, id)?;
            score.add(token.id.is_some(), log_probability);
            each(token, log_probability);
        }
        Ok(score)
    }
}

/// How tokens pass through a model, a block at a time.
struct Pass {
    way: Way,
    is_ranked: bool,
    /// The log-probability of each token of the last block, and its rank where that was asked for.
    found: Vec<(f64, usize)>,
}

enum Way {
    /// All tokens of a block at once.
    Blocks(Box<Blocks>),
    /// One after another.
    Tokens,
    /// Through each part of a mixture.
    Parts(Vec<Pass>),
}

impl Pass {
    fn new(model: &Model, is_ranked: bool) -> Self {
        let way = match &model.kind {
            Kind::Recurrent(recurrent) => Way::Blocks(Box::new(Blocks::new(recurrent))),
            // The rank takes the mixture's whole distribution.
            Kind::Mixture(mixture) if !is_ranked => {
                Way::Parts(mixture.parts.iter().map(|part| Self::new(&part.model, false)).collect())
            }
            Kind::Ngram(_) | Kind::Mixture(_) => Way::Tokens,
        };
        Self { way, is_ranked, found: Vec::with_capacity(STEPS) }
    }

    /// Scores and feeds up to `STEPS` tokens.
    fn advance(
        &mut self,
        model: &Model,
        stream: &mut Stream,
        tokens: &[u32],
    ) -> Result<&[(f64, usize)]> {
        let Self { way, is_ranked, found } = self;
        found.clear();
        match (way, &model.kind) {
            (Way::Blocks(blocks), Kind::Recurrent(model)) => {
                for tally in blocks.advance(model, stream, tokens, *is_ranked) {
                    found.push((tally.log_probability()?, tally.rank()));
                }
            }
            (Way::Parts(passes), Kind::Mixture(mixture)) => {
                let (blend, state) = stream.blend();
                let pass = |at: usize, model: &Model, stream: &mut Stream| -> Result<Vec<f64>> {
                    Ok(passes[at].advance(model, stream, tokens)?.iter().map(|own| own.0).collect())
                };
                let all = blend.advance_all(mixture, pass, state)?;
                found.extend(all.into_iter().map(|log_probability| (log_probability, 0)));
            }
            _ => {
                for &token in tokens {
                    let rank = if *is_ranked { stream.rank(model, token) } else { 0 };
                    found.push((stream.advance(model, token)?, rank));
                }
            }
        }
        Ok(found)
    }
}

/// Buffers for many steps of one stream at once.
struct Blocks {
    network: Network,
    output: Output,
    /// What the last layer gave before each step of a block and after the last, `[STEPS + 1, R]`.
    tops: Vec<f32>,
    tallies: [Tally; STEPS],
}

impl Blocks {
    fn new(model: &Recurrent) -> Self {
        Self {
            network: Network::new(model, STEPS, 1),
            output: Output::new(model, STEPS),
            tops: vec![0.0; (STEPS + 1) * model.top()],
            tallies: [Tally::default(); STEPS],
        }
    }

    /// Tallies and feeds up to `STEPS` tokens.
    fn advance(
        &mut self,
        model: &Recurrent,
        stream: &mut Stream,
        tokens: &[u32],
        is_ranked: bool,
    ) -> &[Tally] {
        let (n, width) = (tokens.len(), model.top());
        self.tops[..width].copy_from_slice(top(model, stream.state.values()));
        let tops = self.network.run(model, tokens, 1, stream.state.values_mut());
        self.tops[width..][..n * width].copy_from_slice(tops);
        stream.forget();
        self.output.load(model, &self.tops[..n * width]);
        self.output.tally(model, tokens, is_ranked, &mut self.tallies[..n]);
        &self.tallies[..n]
    }
}
