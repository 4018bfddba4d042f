//! From each n-gram to the longest of its endings that a table has: what backing off goes along.

use pocketlm::ngram::Table;

/// A node of a table: an n-gram of `order` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) order: usize,
    pub(super) at: usize,
}

/// The nodes that continue node `at` of `order`.
pub(super) fn children(table: &Table, node: Node) -> std::ops::Range<usize> {
    let Some(ends) = table.orders[node.order - 1].children.get(node.at..) else { return 0..0 };
    match *ends {
        [start, end, ..] => start as usize..end as usize,
        _ => 0..0,
    }
}

/// The node that continues `node` with `word`.
pub(super) fn child(table: &Table, node: Node, word: u32) -> Option<Node> {
    let range = children(table, node);
    let words = &table.orders.get(node.order)?.words[range.clone()];
    let at = words.binary_search(&word).ok()?;
    Some(Node { order: node.order + 1, at: range.start + at })
}

/// For each n-gram of two tokens and more the longest n-gram that it ends in.
pub(super) struct Links(Vec<Vec<Node>>);

impl Links {
    pub(super) fn new(table: &Table) -> Self {
        let mut links = Self(vec![Vec::new()]);
        for order in 1..table.orders.len() {
            let mut level = Vec::with_capacity(table.orders[order].len());
            for at in 0..table.orders[order - 1].len() {
                let node = Node { order, at };
                let context = links.of(node);
                for child in children(table, node) {
                    level.push(links.follow(table, context, table.orders[order].words[child]));
                }
            }
            links.0.push(level);
        }
        links
    }

    /// The longest ending of `node`, or `None` if it is a single word, which ends in nothing.
    pub(super) fn of(&self, node: Node) -> Option<Node> {
        self.0[node.order - 1].get(node.at).copied()
    }

    /// The longest n-gram that `context` and then `word` end in.
    fn follow(&self, table: &Table, mut context: Option<Node>, word: u32) -> Node {
        while let Some(node) = context {
            if let Some(found) = child(table, node, word) {
                return found;
            }
            context = self.of(node);
        }
        Node { order: 1, at: word as usize }
    }

    /// ln p of `word` after `context`.
    pub(super) fn log_probability(
        &self,
        table: &Table,
        mut context: Option<Node>,
        word: u32,
    ) -> f64 {
        let value = |node: Node| f64::from(table.orders[node.order - 1].probabilities[node.at]);
        let mut backoff = 0.0;
        while let Some(node) = context {
            if let Some(found) = child(table, node, word) {
                return backoff + value(found);
            }
            backoff += f64::from(table.orders[node.order - 1].backoffs[node.at]);
            context = self.of(node);
        }
        backoff + value(Node { order: 1, at: word as usize })
    }
}

/// How far the distributions of a table were from sums of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Off {
    /// Contexts with continuations, the empty one among them.
    pub contexts: usize,
    /// Of these, how many were off by more than a thousandth.
    pub off: usize,
    /// The sum that is farthest from one; 1 if there is none.
    pub worst: f64,
}

/// Makes all distributions sum to one: divides the probabilities of single words by their sum, then sets the back-off
/// weights of all contexts. Returns how far the sums were from one.
pub fn renormalise(table: &mut Table) -> Off {
    let off = sums(table);
    let unigrams = &mut table.orders[0].probabilities;
    let sum: f64 = unigrams.iter().map(|&value| f64::from(value).exp()).sum();
    if sum > 0.0 {
        unigrams.iter_mut().for_each(|value| *value = (f64::from(*value) - sum.ln()) as f32);
    }
    normalise(table, 0.0);
    off
}

/// The sums over the vocabulary after each context that has continuations, and of single words.
fn sums(table: &Table) -> Off {
    let links = Links::new(table);
    let unigrams = table.orders[0].probabilities.iter().map(|&value| f64::from(value).exp()).sum();
    let mut found = Off { contexts: 0, off: 0, worst: 1.0 };
    let mut count = |sum: f64| {
        found.contexts += 1;
        found.off += usize::from((sum - 1.0).abs() > 1e-3);
        if (sum - 1.0).abs() > (found.worst - 1.0).abs() {
            found.worst = sum;
        }
    };
    count(unigrams);
    // Of each context of one length after the other: it backs off to shorter ones.
    let mut all: Vec<Vec<f64>> = Vec::new();
    for order in 1..table.orders.len() {
        let mut level = Vec::with_capacity(table.orders[order - 1].len());
        for at in 0..table.orders[order - 1].len() {
            let node = Node { order, at };
            let shorter = links.of(node).map_or(unigrams, |node| all[node.order - 1][node.at]);
            let sum = sum(table, &links, node, shorter);
            if !children(table, node).is_empty() {
                count(sum);
            }
            level.push(sum);
        }
        all.push(level);
    }
    found
}

/// The sum over the vocabulary after `node`, `shorter` that after what it backs off to.
fn sum(table: &Table, links: &Links, node: Node, shorter: f64) -> f64 {
    let longer = &table.orders[node.order];
    let context = links.of(node);
    let (mut own, mut left) = (0.0, shorter);
    for child in children(table, node) {
        own += f64::from(longer.probabilities[child]).exp();
        left -= links.log_probability(table, context, longer.words[child]).exp();
    }
    own + f64::from(table.orders[node.order - 1].backoffs[node.at]).exp() * left
}

/// The least mass that is held to be any: below it sums are rounding errors.
const LEAST: f64 = 1e-9;

/// Sets the back-off weights of all contexts so that each distribution sums to one.
///
/// What a context leaves to others is at least `share` of what its present weight leaves: rounded probabilities may
/// sum to one or more.
pub(super) fn normalise(table: &mut Table, share: f64) {
    let links = Links::new(table);
    for order in 1..table.orders.len() {
        for at in 0..table.orders[order - 1].len() {
            let node = Node { order, at };
            let weight = weight(table, &links, node, share);
            table.orders[order - 1].backoffs[at] = weight as f32;
        }
    }
}

/// The back-off weight with which the distribution after `node` sums to one.
fn weight(table: &Table, links: &Links, node: Node, share: f64) -> f64 {
    let range = children(table, node);
    if range.is_empty() {
        return 0.0;
    }
    let longer = &table.orders[node.order];
    let context = links.of(node);
    let (mut left, mut shorter) = (1.0, 1.0);
    for child in range {
        left -= f64::from(longer.probabilities[child]).exp();
        shorter -= links.log_probability(table, context, longer.words[child]).exp();
    }
    let shorter = shorter.max(LEAST);
    let present = f64::from(table.orders[node.order - 1].backoffs[node.at]).exp();
    (left.max(share * present * shorter).max(LEAST) / shorter).ln()
}
