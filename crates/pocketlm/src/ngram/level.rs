//! The n-grams of one length.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use super::bits::Bits;
use super::children::Children;
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::NgramOrder;
use crate::leaves::Leaves;
use crate::storage::Array;

/// The most n-grams of one length, so that every position fits in 32 bits.
const MAX_NGRAMS: usize = (1 << 31) - 1;

/// Log-probabilities or back-off weights, in nats.
#[derive(Debug)]
pub(crate) enum Values {
    Float(Array),
    /// Places in a list of levels.
    Coded(Bits, Array),
}

/// All n-grams of one length, sorted; an n-gram's place among them is its node.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) count: usize,
    /// The last token of each; `None` for single words, whose token is their node.
    pub(crate) words: Option<Bits>,
    pub(crate) probabilities: Values,
    /// `None` at the highest order, as are `children`.
    pub(crate) backoffs: Option<Values>,
    pub(crate) children: Option<Children>,
}

impl Values {
    fn open(leaves: &Leaves<'_>, name: &str, count: usize, bits: u32) -> Result<Self> {
        if bits == 32 {
            return Ok(Self::Float(leaves.array(name, Dtype::F32, &[count])?));
        }
        let codes = Bits::open(leaves, name, count, bits)?;
        let name = format!("{name}.levels");
        let (levels, _) = leaves.any(&name, Dtype::F32)?;
        let length = levels.f32().len();
        if length > 1 << bits {
            return Err(Error::array(
                name,
                format!("has {length} levels, too many for {bits} bits"),
            ));
        }
        Ok(Self::Coded(codes, leaves.finite(&name, &[length])?))
    }

    pub(crate) fn bits(&self) -> u32 {
        match self {
            Self::Float(_) => 32,
            Self::Coded(codes, _) => codes.width(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Float(array) => array.bytes().len(),
            Self::Coded(codes, levels) => codes.bytes() + levels.bytes().len(),
        }
    }

    /// The value of node `node`; −∞ if there is none.
    #[inline]
    pub(crate) fn get(&self, node: usize) -> f32 {
        let (at, values) = match self {
            Self::Float(array) => (node, array),
            Self::Coded(codes, levels) => (codes.view().get(node) as usize, levels),
        };
        values.f32().get(at).copied().unwrap_or(f32::NEG_INFINITY)
    }

    /// All values, if they are stored as such.
    pub(crate) fn floats(&self) -> &[f32] {
        match self {
            Self::Float(array) => array.f32(),
            Self::Coded(..) => &[],
        }
    }
}

impl Level {
    /// The n-grams of `order` tokens, `next` those of one more, if there are such.
    pub(crate) fn open(
        order: usize,
        entry: &NgramOrder,
        next: Option<usize>,
        word_bits: u32,
        leaves: &Leaves<'_>,
    ) -> Result<Self> {
        let count = entry.ngrams;
        if count.max(next.unwrap_or(0)) > MAX_NGRAMS {
            let problem = format!("order {order} has more than {MAX_NGRAMS} n-grams");
            return Err(Error::metadata("ngram.orders", problem));
        }
        let name = |part: &str| format!("ngram.{order}.{part}");
        let values = |part, bits| Values::open(leaves, &name(part), count, bits);
        let words = || Bits::open(leaves, &name("words"), count, word_bits);
        let children = |next: usize| match order {
            1 => Children::offsets(leaves, &name("offsets"), count, next),
            _ => Children::runs(leaves, &name("children"), count, next),
        };
        let level = Self {
            count,
            words: (order > 1).then(words).transpose()?,
            probabilities: values("probabilities", entry.probability_bits)?,
            backoffs: next.map(|_| values("backoffs", entry.backoff_bits)).transpose()?,
            children: next.map(children).transpose()?,
        };
        // Single words are read for every distribution, and are few.
        if order == 1 {
            level.finite().map_err(|problem| Error::array(name("probabilities"), problem))?;
        }
        Ok(level)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.words.as_ref().map_or(0, Bits::bytes)
            + self.probabilities.bytes()
            + self.backoffs.as_ref().map_or(0, Values::bytes)
            + self.children.as_ref().map_or(0, Children::bytes)
    }

    /// The back-off weight of node `node`, in nats.
    #[inline]
    pub(crate) fn backoff(&self, node: usize) -> f64 {
        self.backoffs.as_ref().map_or(0.0, |values| values.get(node).into())
    }

    /// The children of node `node` among the nodes of the next order.
    #[inline]
    pub(crate) fn children(&self, node: usize) -> Range<usize> {
        self.children.as_ref().map_or(0..0, |children| children.range(node))
    }

    /// The first of the nodes `range`, whose tokens ascend, with a token of at least `token`; the range's end
    /// if there is none.
    #[inline]
    pub(crate) fn lower_bound(&self, range: Range<usize>, token: u32) -> usize {
        let Some(words) = &self.words else {
            return (token as usize).clamp(range.start, range.end);
        };
        let words = words.view();
        let Range { start: mut low, end: mut high } = range;
        while low < high {
            let middle = low.midpoint(high);
            if words.get(middle) < token { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The node of the token `token` among the nodes `range`.
    #[inline]
    pub(crate) fn find(&self, range: Range<usize>, token: u32) -> Option<usize> {
        let end = range.end;
        let at = self.lower_bound(range, token);
        (at < end && self.word(at) == token).then_some(at)
    }

    /// The last token of node `node`.
    #[inline]
    pub(crate) fn word(&self, node: usize) -> u32 {
        self.words.as_ref().map_or(node as u32, |words| words.view().get(node))
    }

    fn finite(&self) -> Result<(), String> {
        for values in [Some(&self.probabilities), self.backoffs.as_ref()].into_iter().flatten() {
            let fault = (0..self.count).find(|&node| !values.get(node).is_finite());
            if let Some(node) = fault {
                return Err(format!("a number of n-gram {node} is not finite"));
            }
        }
        Ok(())
    }

    /// That all numbers are finite, and the tokens after each n-gram of `parent` ascend below `types`.
    pub(crate) fn verify(&self, parent: Option<&Level>, types: usize) -> Result<(), String> {
        self.finite()?;
        let Some(parent) = parent else { return Ok(()) };
        for node in 0..parent.count {
            let mut least = 0;
            for child in parent.children(node) {
                let word = self.word(child);
                if word < least || word as usize >= types {
                    return Err(format!("n-gram {child} is out of order, or of an unknown token"));
                }
                least = word + 1;
            }
        }
        Ok(())
    }
}
