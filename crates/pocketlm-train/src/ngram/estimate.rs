//! From counts to probabilities.

use pocketlm::Unit as PackedUnit;
use pocketlm::ngram::{MAX_ORDER, Order, Table};
use pocketlm::pack::sorted_order;
use serde::Serialize;

use super::count::{Counts, count};
use super::discount::Discounts;
use super::links::{Links, Node, children};
use super::prune::prune;
use crate::corpus::{Encoder, Split, Unit};
use crate::error::{Error, Result};

/// What kind of n-gram model to make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Tokens of the longest n-grams, 1 to 6.
    pub order: usize,
    /// For each order how often an n-gram may come and still be left out, as `lmplz --prune`: the first must be 0,
    /// none may be below the one before, the last holds for all higher orders. Empty for none.
    pub cutoffs: Vec<u32>,
    /// Leave out n-grams whose loss raises the perplexity of the training distribution by less than this share
    /// (Stolcke 1998); 0 for none.
    pub prune: f64,
    /// What to take off the counts of each order, instead of estimates: those of another program, to make its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Vec<[f64; 3]>>,
}

/// A model and how it came about.
#[derive(Debug)]
pub struct Estimate {
    /// The model.
    pub table: Table,
    /// What was taken off the counts, order by order.
    pub discounts: Vec<Discounts>,
    /// N-grams before any were left out, order by order.
    pub counted: Vec<usize>,
}

impl Settings {
    /// Refuses settings that make no model.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        if !(1..=MAX_ORDER).contains(&self.order) {
            let what = format!("is {}, but must be 1 to {MAX_ORDER}", self.order);
            return Err(Error::config("order", what));
        }
        if self.cutoffs.first().is_some_and(|&first| first > 0) || !self.cutoffs.is_sorted() {
            let what = "must begin with 0 (every word is kept) and never fall: 0,0,1 leaves out \
                        3-grams and longer ones that come once";
            return Err(Error::config("cutoffs", what));
        }
        let fits =
            |amounts: &[f64; 3]| (1..).zip(amounts).all(|(j, a)| (0.0..=f64::from(j)).contains(a));
        if self.discounts.as_ref().is_some_and(|d| d.len() != self.order || !d.iter().all(fits)) {
            let what = "must have for each order three numbers of at most 1, 2 and 3";
            return Err(Error::config("discounts", what));
        }
        if !(self.prune.is_finite() && self.prune >= 0.0) {
            return Err(Error::config("prune", "must be a number from 0 on; try 1e-7"));
        }
        Ok(())
    }

    fn cutoff(&self, order: usize) -> u32 {
        let at = (order - 1).min(self.cutoffs.len().saturating_sub(1));
        self.cutoffs.get(at).copied().unwrap_or(0)
    }
}

/// Estimates an n-gram model of a text.
///
/// # Errors
/// [`Error::Config`] if the settings make no model, or the text is cut into subwords.
pub fn estimate(encoder: &Encoder, text: &Split, settings: &Settings) -> Result<Estimate> {
    settings.check()?;
    let unit = match encoder.unit() {
        Unit::Word => PackedUnit::Word,
        Unit::Raw(case) => PackedUnit::raw(case),
        Unit::Char => PackedUnit::Character,
        Unit::Bpe | Unit::SentencePiece => {
            return Err(Error::config("unit", "is of subwords; take words or characters"));
        }
    };
    let own: Vec<&str> = encoder.vocabulary().words().collect();
    let order = sorted_order(&own);
    let mut rank = vec![0; own.len()];
    order.iter().zip(0..).for_each(|(&id, place)| rank[id as usize] = place);
    let ids: Vec<u32> = text.ids.iter().map(|&id| rank[id as usize]).collect();
    let eos = rank[encoder.vocabulary().eos() as usize];
    let counts = count(&ids, eos, settings.order);
    let discounts: Vec<_> = match &settings.discounts {
        Some(given) => given.iter().map(|&amounts| Discounts::given(amounts)).collect(),
        None => counts.iter().map(|level| Discounts::estimate(&level.adjusted)).collect(),
    };
    let table = Table {
        words: order.iter().map(|&id| own[id as usize].to_owned()).collect(),
        eos,
        unk: encoder.vocabulary().unk().map(|unk| rank[unk as usize]),
        unit,
        names: encoder.names().map(str::to_owned).collect(),
        orders: vec![Order::default(); settings.order],
    };
    let mut trie = Trie::new(table, &counts, settings);
    trie.interpolate(&discounts);
    let counted = counts.iter().map(|level| level.grams.len()).collect();
    let mut table = trie.table;
    if settings.prune > 0.0 {
        prune(&mut table, &trie.contexts, ids.len() as f64, settings.prune);
    }
    Ok(Estimate { table, discounts, counted })
}

/// A table that is being filled, with the counts of its nodes.
struct Trie {
    table: Table,
    /// The adjusted count of each n-gram that is kept.
    counts: Vec<Vec<u32>>,
    /// For each context the sum of the adjusted counts of what is kept and not kept after it.
    totals: Vec<Vec<Totals>>,
    /// How often each n-gram comes as a context.
    contexts: Vec<Vec<f64>>,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    /// Adjusted counts of all continuations.
    all: f64,
    /// Of those that are left out.
    dropped: f64,
}

impl Trie {
    /// The trie of the n-grams that `settings` keep.
    fn new(table: Table, counts: &[Counts], settings: &Settings) -> Self {
        let types = table.words.len();
        let mut trie = Self { table, counts: Vec::new(), totals: Vec::new(), contexts: Vec::new() };
        // Every type is a node, counted or not.
        let mut unigrams = vec![0; types];
        let level = &counts[0];
        for (gram, &count) in level.grams.iter().zip(&level.adjusted) {
            unigrams[gram[0] as usize] = count;
        }
        trie.table.orders[0].words = (0..types as u32).collect();
        trie.counts.push(unigrams);
        let mut parents: Vec<_> = (0..types as u32).map(|id| [id, 0, 0, 0, 0, 0]).collect();
        for (n, level) in (2..).zip(&counts[1..]) {
            parents = trie.level(n, level, &parents, settings.cutoff(n));
        }
        trie
    }

    /// Adds the n-grams of length `n`, whose contexts are `parents`; returns those that are kept.
    fn level(
        &mut self,
        n: usize,
        level: &Counts,
        parents: &[super::count::Gram],
        cutoff: u32,
    ) -> Vec<super::count::Gram> {
        let mut totals = vec![Totals::default(); parents.len()];
        let mut contexts = vec![0.0; parents.len()];
        let (mut kept, mut counts, mut words) = (Vec::new(), Vec::new(), Vec::new());
        let mut ends = Vec::with_capacity(parents.len() + 1);
        let mut parent = 0;
        for (at, gram) in level.grams.iter().enumerate() {
            // Both lists are sorted, so contexts come in the order of what continues them.
            while parents.get(parent).is_some_and(|context| context[..n - 1] < gram[..n - 1]) {
                parent += 1;
                ends.push(kept.len() as u32);
            }
            if parents.get(parent).is_none_or(|context| context[..n - 1] != gram[..n - 1]) {
                // A context that is left out comes no oftener than the cut-off, and this neither.
                continue;
            }
            let count = level.adjusted[at];
            totals[parent].all += f64::from(count);
            contexts[parent] += f64::from(level.raw[at]);
            if level.raw[at] <= cutoff {
                totals[parent].dropped += f64::from(count);
                continue;
            }
            kept.push(*gram);
            counts.push(count);
            words.push(gram[n - 1]);
        }
        ends.resize(parents.len(), kept.len() as u32);
        self.table.orders[n - 2].children = [0].into_iter().chain(ends).collect();
        self.table.orders[n - 1].words = words;
        self.totals.push(totals);
        self.contexts.push(contexts);
        self.counts.push(counts);
        kept
    }

    /// Fills in probabilities and back-off weights (Chen and Goodman 1998, equations 24 and 25), from the shortest
    /// n-grams to the longest.
    fn interpolate(&mut self, discounts: &[Discounts]) {
        let types = self.table.words.len() as f64;
        let mut shorter = unigrams(&self.counts[0], &discounts[0], types);
        self.table.orders[0].probabilities = logarithms(&shorter);
        let links = Links::new(&self.table);
        for (n, discount) in (2..).zip(&discounts[1..]) {
            let mut weights = vec![0.0; self.table.orders[n - 2].len()];
            let mut probabilities = Vec::with_capacity(self.table.orders[n - 1].len());
            for (at, weight) in weights.iter_mut().enumerate() {
                let range = children(&self.table, Node { order: n - 1, at });
                let Totals { all, dropped } = self.totals[n - 2][at];
                let counts = &self.counts[n - 1][range.clone()];
                if all == 0.0 {
                    continue;
                }
                let taken: f64 = counts.iter().map(|&count| discount.of(count)).sum();
                let gamma = (taken + dropped) / all;
                *weight = gamma.ln();
                for (child, &count) in range.zip(counts) {
                    let link = links.of(Node { order: n, at: child });
                    let below = link.map_or(0.0, |link| shorter[link.at]);
                    probabilities
                        .push((f64::from(count) - discount.of(count)) / all + gamma * below);
                }
            }
            self.table.orders[n - 2].backoffs = weights.iter().map(|&w| w as f32).collect();
            self.table.orders[n - 1].probabilities = logarithms(&probabilities);
            shorter = probabilities;
        }
    }
}

/// Probabilities of single words, interpolated with the uniform distribution.
fn unigrams(counts: &[u32], discount: &Discounts, types: f64) -> Vec<f64> {
    let all: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let off = |count: u32| if count == 0 { 0.0 } else { discount.of(count) };
    let taken: f64 = counts.iter().map(|&count| off(count)).sum();
    let own = |&count: &u32| (f64::from(count) - off(count)) / all + taken / all / types;
    counts.iter().map(own).collect()
}

fn logarithms(probabilities: &[f64]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() as f32).collect()
}
