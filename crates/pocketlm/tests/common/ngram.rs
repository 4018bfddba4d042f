//! Random n-gram models, and a plain computation of what they say.

use std::collections::BTreeMap;

use pocketlm::ngram::{Order, Table};
use pocketlm::pack::Notes;
use pocketlm::{Model, Random, Unit};

/// A table with the n-grams of a random text and numbers that mean nothing. `levels` different numbers a list, or
/// as many as there are for 0.
pub fn table(order: usize, types: usize, levels: u64, seed: u64) -> Table {
    let mut random = Random::new(seed);
    let mut words = super::words(types);
    words.sort();
    let id = |word: &str| words.binary_search_by(|own| own.as_str().cmp(word)).unwrap() as u32;
    let (eos, unk) = (id("<eos>"), id("<unk>"));
    // Small ids often, large ones rarely.
    let mut draw = || (random.unit() * random.unit() * types as f64) as u32;
    let mut grams: Vec<BTreeMap<Vec<u32>, ()>> = vec![BTreeMap::new(); order];
    grams[0] = (0..types as u32).map(|id| (vec![id], ())).collect();
    let mut context = vec![eos];
    for at in 0..30 * types {
        let token = if at % 9 == 8 { eos } else { draw() };
        context.push(token);
        let longest = context.len().min(order);
        for n in 2..=longest {
            grams[n - 1].insert(context[context.len() - n..].to_vec(), ());
        }
        if token == eos {
            context = vec![eos];
        }
    }
    let mut number = |low: f64| {
        let unit = random.unit();
        let unit = if levels > 0 { (unit * levels as f64).floor() / levels as f64 } else { unit };
        (low * unit) as f32 - 0.1
    };
    let mut orders: Vec<Order> = Vec::new();
    for (at, level) in grams.iter().enumerate() {
        let children = |gram: &Vec<u32>| {
            let starts = |longer: &&Vec<u32>| longer.starts_with(gram);
            grams[at + 1].keys().filter(starts).count() as u32
        };
        let has_more = at + 1 < order;
        let ends = level.keys().take(if has_more { usize::MAX } else { 0 }).scan(0, |end, gram| {
            *end += children(gram);
            Some(*end)
        });
        orders.push(Order {
            words: level.keys().map(|gram| gram[at]).collect(),
            probabilities: level.keys().map(|_| number(-9.0)).collect(),
            backoffs: level.keys().filter(|_| has_more).map(|_| number(-2.0)).collect(),
            children: if has_more { [0].into_iter().chain(ends).collect() } else { Vec::new() },
        });
    }
    Table { words, eos, unk: Some(unk), unit: Unit::Word, names: Vec::new(), orders }
}

/// The model of a table.
pub fn model(table: &Table) -> Model {
    Model::from_bytes(table.pack(&Notes::default()).unwrap()).unwrap()
}

/// A table as a map from n-grams to their probability and back-off weight.
pub struct Reference {
    eos: u32,
    order: usize,
    grams: BTreeMap<Vec<u32>, (f64, f64)>,
}

impl Reference {
    pub fn new(table: &Table) -> Self {
        let mut grams = BTreeMap::new();
        let mut level: Vec<Vec<u32>> = vec![Vec::new()];
        for (at, order) in table.orders.iter().enumerate() {
            let mut next = Vec::new();
            for (parent, gram) in level.iter().enumerate() {
                let range = match at {
                    0 => 0..order.len(),
                    _ => {
                        let ends = &table.orders[at - 1].children;
                        ends[parent] as usize..ends[parent + 1] as usize
                    }
                };
                for node in range {
                    let gram = [&gram[..], &[order.words[node]]].concat();
                    let backoff = order.backoffs.get(node).copied().unwrap_or(0.0);
                    grams.insert(gram.clone(), (order.probabilities[node].into(), backoff.into()));
                    next.push(gram);
                }
            }
            level = next;
        }
        Self { eos: table.eos, order: table.orders.len(), grams }
    }

    /// ln p of `word` after everything in `fed`.
    pub fn log_probability(&self, fed: &[u32], word: u32) -> f64 {
        let line = fed.iter().rposition(|&id| id == self.eos).unwrap_or(0);
        let line = &fed[line..];
        let mut context = &line[line.len() - line.len().min(self.order - 1)..];
        let mut backoff = 0.0;
        loop {
            if let Some((p, _)) = self.grams.get(&[context, &[word]].concat()) {
                return backoff + p;
            }
            backoff += self.grams.get(context).map_or(0.0, |(_, weight)| *weight);
            context = &context[1..];
        }
    }
}
