//! N-grams put into a table, and the contexts that they lack.

use std::collections::BTreeSet;

use pocketlm::ngram::{MAX_ORDER, Order, Table};

use crate::ngram::links::{Node, child, children};

/// One n-gram, to be put into its place.
pub(super) struct Gram {
    /// Its tokens, zeros behind them.
    pub(super) words: [u32; MAX_ORDER],
    pub(super) probability: f32,
    pub(super) backoff: f32,
    pub(super) line: u64,
}

/// Puts the n-grams of `n` tokens, sorted and all different, into the table, whose shorter ones are there. Those that
/// they continue and that are not there are added; returns how many.
pub(super) fn fill(found: &[Gram], n: usize, table: &mut Table) -> usize {
    let mut missing = BTreeSet::new();
    for gram in found.chunk_by(|a, b| a.words[..n - 1] == b.words[..n - 1]) {
        let context = &gram[0].words[..n - 1];
        let lacks = |length: &usize| node(table, &context[..*length]).is_none();
        missing.extend((2..n).filter(lacks).map(|length| context[..length].to_vec()));
    }
    for length in 2..n {
        let grams: Vec<_> = missing.iter().filter(|gram| gram.len() == length).collect();
        if !grams.is_empty() {
            insert(table, &grams);
        }
    }
    let mut ends = vec![0; table.orders[n - 2].len() + 1];
    for grams in found.chunk_by(|a, b| a.words[..n - 1] == b.words[..n - 1]) {
        if let Some(parent) = node(table, &grams[0].words[..n - 1]) {
            ends[parent.at + 1] = grams.len() as u32;
        }
    }
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    table.orders[n - 2].children = ends;
    let is_highest = n == table.orders.len();
    let order = &mut table.orders[n - 1];
    order.words = found.iter().map(|gram| gram.words[n - 1]).collect();
    order.probabilities = found.iter().map(|gram| gram.probability).collect();
    if !is_highest {
        order.backoffs = found.iter().map(|gram| gram.backoff).collect();
    }
    missing.len()
}

/// The node of these tokens.
fn node(table: &Table, words: &[u32]) -> Option<Node> {
    let (&first, rest) = words.split_first()?;
    let start = Node { order: 1, at: first as usize };
    rest.iter().try_fold(start, |node, &word| child(table, node, word))
}

/// ln p of the last of these tokens after the others, by backing off from the longest context.
fn backed_off(table: &Table, words: &[u32]) -> f64 {
    let mut backoff = 0.0;
    for start in 0..words.len() {
        let (words, context) = (&words[start..], &words[start..words.len() - 1]);
        if let Some(found) = node(table, words) {
            return backoff + f64::from(table.orders[found.order - 1].probabilities[found.at]);
        }
        let weight =
            node(table, context).map(|node| table.orders[node.order - 1].backoffs[node.at]);
        backoff += weight.map_or(0.0, f64::from);
    }
    backoff
}

/// Adds n-grams of one length, sorted, whose contexts are there: with their probability by backing off, and the weight 1.
fn insert(table: &mut Table, grams: &[&Vec<u32>]) {
    let length = grams[0].len();
    let limit = f64::from(f32::MAX);
    let mut new = Vec::new();
    for gram in grams {
        let Some(context) = node(table, &gram[..length - 1]) else { continue };
        // Weights above 1 may make it more than 1, which no reader takes.
        let probability = backed_off(table, gram).clamp(-limit, 0.0) as f32;
        new.push((context.at, gram[length - 1], probability));
    }
    let mut new = new.into_iter().peekable();
    let (mut order, mut ends) = (Order::default(), vec![0]);
    let old = &table.orders[length - 1];
    if !old.children.is_empty() {
        order.children.push(0);
    }
    for at in 0..table.orders[length - 2].len() {
        let context = Node { order: length - 1, at };
        let mut put = |word, probability, weight, end: Option<u32>| {
            order.words.push(word);
            order.probabilities.push(probability);
            order.backoffs.push(weight);
            // What is new has no continuations yet.
            let last = order.children.last().copied();
            order.children.extend(last.map(|last| end.unwrap_or(last)));
        };
        for node in children(table, context) {
            let is_before = |gram: &(usize, u32, f32)| gram.0 == at && gram.1 < old.words[node];
            while let Some((_, word, probability)) = new.next_if(is_before) {
                put(word, probability, 0.0, None);
            }
            let end = old.children.get(node + 1).copied();
            put(old.words[node], old.probabilities[node], old.backoffs[node], end);
        }
        while let Some((_, word, probability)) = new.next_if(|gram| gram.0 == at) {
            put(word, probability, 0.0, None);
        }
        ends.push(order.words.len() as u32);
    }
    table.orders[length - 1] = order;
    table.orders[length - 2].children = ends;
}
