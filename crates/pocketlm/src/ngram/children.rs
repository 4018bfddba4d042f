//! Where the continuations of each n-gram lie among the n-grams of the next length.

use alloc::format;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::leaves::Leaves;
use crate::storage::Array;

/// Nodes from one sample to the next.
pub(crate) const SAMPLE: usize = 64;

/// The ranges of the children of `count` nodes.
#[derive(Debug)]
pub(crate) enum Children {
    /// `[nodes + 1]`: node i has the children `offsets[i]` to `offsets[i + 1] − 1`.
    Offsets(Array),
    /// Each node as a one for each of its children and then a zero. `samples[j]` is where node 64·j begins.
    Runs { bits: Array, samples: Array },
}

impl Children {
    /// The array `name` of offsets, for `count` nodes that have `children` children together.
    pub(crate) fn offsets(
        leaves: &Leaves<'_>,
        name: &str,
        count: usize,
        children: usize,
    ) -> Result<Self> {
        let array = leaves.array(name, Dtype::U32, &[count + 1])?;
        let offsets = array.u32();
        let ends = (offsets.first().copied(), offsets.last().map(|&end| end as usize));
        if ends != (Some(0), Some(children)) || !offsets.is_sorted() {
            return Err(Error::array(name, format!("does not rise from 0 to {children}")));
        }
        Ok(Self::Offsets(array))
    }

    /// The array `name` of runs and its samples, for `count` nodes that have `children` children together.
    pub(crate) fn runs(
        leaves: &Leaves<'_>,
        name: &str,
        count: usize,
        children: usize,
    ) -> Result<Self> {
        let length = count + children;
        let bits = leaves.array(name, Dtype::U32, &[length.div_ceil(32)])?;
        let samples = format!("{name}.samples");
        let shape = [count.div_ceil(SAMPLE)];
        let samples = leaves.array(&samples, Dtype::U32, &shape)?;
        check_runs(bits.u32(), length, count, samples.u32())
            .map_err(|problem| Error::array(name, problem))?;
        Ok(Self::Runs { bits, samples })
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Offsets(array) => array.bytes().len(),
            Self::Runs { bits, samples } => bits.bytes().len() + samples.bytes().len(),
        }
    }

    /// The children of node `node`; none if there is no such node.
    #[inline]
    pub(crate) fn range(&self, node: usize) -> Range<usize> {
        match self {
            Self::Offsets(array) => match array.u32().get(node..) {
                Some(&[start, end, ..]) => start as usize..end as usize,
                _ => 0..0,
            },
            Self::Runs { bits, samples } => {
                let Some(&sample) = samples.u32().get(node / SAMPLE) else { return 0..0 };
                let bits = bits.u32();
                let start = after_zeros(bits, sample as usize, node % SAMPLE);
                let end = zero(bits, start);
                // Before the node's run there are as many zeros as nodes.
                start.saturating_sub(node)..end.saturating_sub(node)
            }
        }
    }
}

/// Where the bit after `zeros` zeros from bit `at` on is.
#[inline]
fn after_zeros(bits: &[u32], at: usize, zeros: usize) -> usize {
    let mut left = zeros as u32;
    let mut at = at;
    while left > 0 {
        let Some(&word) = bits.get(at / 32) else { return at };
        let mut rest = !word >> (at % 32);
        let found = rest.count_ones();
        if found >= left {
            for _ in 1..left {
                rest &= rest - 1;
            }
            return at + rest.trailing_zeros() as usize + 1;
        }
        left -= found;
        at = (at / 32 + 1) * 32;
    }
    at
}

/// Where the first zero from bit `at` on is.
#[inline]
fn zero(bits: &[u32], at: usize) -> usize {
    let mut at = at;
    while let Some(&word) = bits.get(at / 32) {
        let rest = !word >> (at % 32);
        if rest != 0 {
            return at + rest.trailing_zeros() as usize;
        }
        at = (at / 32 + 1) * 32;
    }
    at
}

/// That the first `length` bits have one zero for each of `count` nodes, the last of all among them, that the
/// bits after them are zeros, and that `samples` are where every 64th node begins.
fn check_runs(
    bits: &[u32],
    length: usize,
    count: usize,
    samples: &[u32],
) -> Result<(), &'static str> {
    let ones: usize = bits.iter().map(|word| word.count_ones() as usize).sum();
    let past = bits.last().map_or(0, |last| u64::from(*last) >> ((length + 31) % 32 + 1));
    let ends = length == 0 || zero(bits, length - 1) == length - 1;
    if ones != length - count || past != 0 || !ends {
        return Err("does not have as many children as the next order has n-grams");
    }
    let mut at = 0;
    for &sample in samples {
        if sample as usize != at {
            return Err("its samples are not where every 64th n-gram begins");
        }
        at = after_zeros(bits, at, SAMPLE);
    }
    Ok(())
}
