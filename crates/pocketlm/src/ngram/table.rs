//! An n-gram model as plain lists: what programs that estimate, read or write such models work with.

use alloc::string::String;
use alloc::vec::Vec;

use super::Ngram;
use super::level::Level;
use crate::model::{Kind, Model};
use crate::spec::Unit;

/// An n-gram model as a trie of lists. Token ids are ranks in the byte order of the words.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The words, ascending.
    pub words: Vec<String>,
    /// The id of the token that ends lines; as a context it stands for a line's beginning.
    pub eos: u32,
    /// The id of the token that stands for unknown words.
    pub unk: Option<u32>,
    /// What a token is.
    pub unit: Unit,
    /// The capitalised words of raw text that keep their capital at the start of a sentence, although there is a word
    /// with a small letter too.
    pub names: Vec<String>,
    /// The n-grams of each length, from single words up.
    pub orders: Vec<Order>,
}

/// All n-grams of one length. Those that continue one context lie together, their tokens ascending, and the
/// contexts have the order of their own list; an n-gram's place is its node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    /// The last token of each; single words are all ids in order.
    pub words: Vec<u32>,
    /// ln p of the last token after the others, in nats.
    pub probabilities: Vec<f32>,
    /// ln of the back-off weight of each as a context, in nats; empty at the highest order.
    pub backoffs: Vec<f32>,
    /// `[nodes + 1]`: node i has the nodes `children[i]` to `children[i + 1] − 1` of the next order as
    /// continuations; empty at the highest order.
    pub children: Vec<u32>,
}

impl Order {
    /// How many n-grams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn read(level: &Level) -> Self {
        let nodes = || 0..level.count;
        let ends = || nodes().map(|node| level.children(node).end as u32);
        let has_more = level.children.is_some();
        Self {
            words: nodes().map(|node| level.word(node)).collect(),
            probabilities: nodes().map(|node| level.probabilities.get(node)).collect(),
            backoffs: level.backoffs.iter().flat_map(|b| nodes().map(|node| b.get(node))).collect(),
            children: if has_more { [0].into_iter().chain(ends()).collect() } else { Vec::new() },
        }
    }
}

impl Ngram {
    fn read(&self) -> Vec<Order> {
        self.levels.iter().map(Order::read).collect()
    }
}

impl Model {
    /// All n-grams of an n-gram model as lists, several times as large as the file; `None` for a recurrent model.
    /// [`verify`](Self::verify) first where the file is not trusted: what it would refuse is read as it stands.
    #[must_use]
    pub fn ngrams(&self) -> Option<Table> {
        let Kind::Ngram(model) = &self.kind else { return None };
        let vocabulary = self.vocabulary();
        Some(Table {
            words: vocabulary.words().collect(),
            eos: vocabulary.eos(),
            unk: vocabulary.unk(),
            unit: vocabulary.unit(),
            names: vocabulary.names(),
            orders: model.read(),
        })
    }
}
