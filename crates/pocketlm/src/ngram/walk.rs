//! One stream of tokens through an n-gram model.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::{MAX_ORDER, Ngram};

/// What stands in a state for a token that is not there.
pub(crate) const NONE: f32 = -1.0;

/// The nodes of the last 1, 2, … tokens, where the model has them.
type Nodes = [Option<u32>; MAX_ORDER - 1];

/// Where a stream is in the trie: at all suffixes of what was fed, at once.
#[derive(Debug)]
pub(crate) struct Walk {
    nodes: Nodes,
    /// Room for a distribution `[types]`.
    block: Vec<f32>,
}

impl Ngram {
    /// ln p(`token`) after the contexts `nodes`, and the contexts after it.
    #[inline]
    fn step(&self, nodes: &Nodes, token: u32) -> (f64, Nodes) {
        let mut next = Nodes::default();
        let mut probability = None;
        let mut backoff = 0.0;
        for k in (1..self.order()).rev() {
            let Some(node) = nodes[k - 1] else { continue };
            let (level, longer) = (&self.levels[k - 1], &self.levels[k]);
            match longer.find(level.children(node as usize), token) {
                Some(child) => {
                    probability.get_or_insert_with(|| longer.probabilities.get(child));
                    if k + 1 < self.order() {
                        next[k] = Some(child as u32);
                    }
                }
                None if probability.is_none() => backoff += level.backoff(node as usize),
                None => {}
            }
        }
        let probability =
            probability.unwrap_or_else(|| self.levels[0].probabilities.get(token as usize));
        next[0] = Some(token);
        if token == self.eos {
            // A line has ended: the next begins with nothing before it.
            next[1..].fill(None);
        }
        (backoff + f64::from(probability), next)
    }

    /// ln p of the tokens from `first` on, after the contexts `nodes`.
    fn fill(&self, nodes: &Nodes, first: usize, out: &mut [f32]) {
        let contexts = || (1..self.order()).filter_map(|k| Some((k, nodes[k - 1]? as usize)));
        // What a distribution of context length k is still multiplied with: the weights of all longer contexts.
        let mut weights = [0.0; MAX_ORDER];
        for (k, node) in contexts() {
            let weight = self.levels[k - 1].backoff(node);
            weights[..k].iter_mut().for_each(|sum| *sum += weight);
        }
        let unigrams = self.levels[0].probabilities.floats().get(first..).unwrap_or_default();
        let weight = weights[0];
        for (out, &unigram) in out.iter_mut().zip(unigrams) {
            *out = (weight + f64::from(unigram)) as f32;
        }
        for (k, node) in contexts() {
            let level = &self.levels[k];
            let children = self.levels[k - 1].children(node);
            let start = level.lower_bound(children.clone(), first as u32);
            for child in start..children.end {
                let at = (level.word(child) as usize).wrapping_sub(first);
                let Some(out) = out.get_mut(at) else { break };
                *out = (weights[k] + f64::from(level.probabilities.get(child))) as f32;
            }
        }
    }
}

impl Walk {
    /// A walk that must be [loaded](Self::load) before use.
    pub(crate) fn new(model: &Ngram) -> Self {
        Self { nodes: Nodes::default(), block: vec![0.0; model.types] }
    }

    /// Goes where `state` is; passes over tokens that only the state of another model can have.
    pub(crate) fn load(&mut self, model: &Ngram, state: &[f32]) {
        self.nodes = Nodes::default();
        let is_token = |token: &&f32| (0.0..model.types as f32).contains(*token);
        for &token in state.iter().rev().filter(is_token) {
            (_, self.nodes) = model.step(&self.nodes, token as u32);
        }
    }

    /// ln p of `token` coming next.
    pub(crate) fn log_probability(&self, model: &Ngram, token: u32) -> f64 {
        model.step(&self.nodes, token).0
    }

    /// Goes on by `token`; returns its ln p before that.
    pub(crate) fn advance(&mut self, model: &Ngram, token: u32) -> f64 {
        let (log_probability, nodes) = model.step(&self.nodes, token);
        self.nodes = nodes;
        log_probability
    }

    /// Writes into `state` the tokens, the last first, of the longest context that the model has, now that `token`
    /// was fed: what lies further back makes no difference.
    pub(crate) fn save(&self, token: u32, state: &mut [f32]) {
        if state.is_empty() {
            return;
        }
        let last = state.len() - 1;
        state.copy_within(..last, 1);
        state[0] = token as f32;
        let known = self.nodes.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        state[known.min(last + 1)..].fill(NONE);
    }

    /// Writes ln p of the tokens from `first` on into `out`.
    pub(crate) fn fill(&self, model: &Ngram, first: usize, out: &mut [f32]) {
        model.fill(&self.nodes, first, out);
    }

    /// ln p of the tokens `rows`, in a buffer of the walk's own.
    pub(crate) fn block(&mut self, model: &Ngram, rows: Range<usize>) -> &mut [f32] {
        let block = &mut self.block[..rows.len()];
        model.fill(&self.nodes, rows.start, block);
        block
    }
}
