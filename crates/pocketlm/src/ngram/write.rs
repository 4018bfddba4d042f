//! Writing n-gram models.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;

use super::children::SAMPLE;
use super::{MAX_ORDER, Order, Table, bits as reading, word_bits};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::write::{self as container, Leaf};
use crate::pack::Notes;
use crate::spec::Unit;
use crate::vocabulary::write as vocabulary;

/// The most bits of a place in a list of levels; more different values are stored as they are.
const MAX_BITS: u32 = 16;

impl Table {
    /// The packed model; exactly these numbers. Where the probabilities or the back-off weights of an order are
    /// only so many different ones, each is stored as its place among them: round them first for a small file.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the table is no trie as [`Table`] describes it, or a number is not finite.
    pub fn pack(&self, notes: &Notes) -> Result<Vec<u8>> {
        self.check()?;
        let width = word_bits(self.words.len());
        let mut leaves = Vec::new();
        let mut entries = Vec::new();
        for (at, order) in self.orders.iter().enumerate() {
            entries.push(encode(at + 1, order, width, &mut leaves));
        }
        leaves.extend(vocabulary::encode(&self.words)?);
        let names = vocabulary::names(&self.words, &self.names)?;
        let has_names = names.is_some();
        leaves.extend(names);
        let (unit, orders) = (self.unit.name(), entries.join(","));
        let description = format!("{{\"unit\":\"{unit}\",\"orders\":[{orders}]}}");
        let fields = notes.metadata(
            vec![("ngram", description)],
            (self.words.len(), self.eos, self.unk),
            has_names,
        );
        container::write(&fields, &leaves.iter().collect::<Vec<_>>())
    }

    /// Refuses what is no trie.
    fn check(&self) -> Result<()> {
        let fault = |problem: String| Err(Error::metadata("ngram", problem));
        vocabulary::check(&self.words, self.unit)?;
        if !self.words.is_sorted() || self.unit == Unit::Subword {
            return fault("needs words or characters in the order of their bytes".into());
        }
        let types = self.words.len() as u32;
        if self.eos >= types || self.unk.is_some_and(|unk| unk >= types) {
            return fault(format!("<eos> or <unk> is not below {types}"));
        }
        if !(1..=MAX_ORDER).contains(&self.orders.len()) {
            return fault(format!("has {} orders instead of 1 to {MAX_ORDER}", self.orders.len()));
        }
        if !self.orders[0].words.iter().copied().eq(0..types) {
            return fault("the first order must be all ids in order".into());
        }
        for (at, order) in self.orders.iter().enumerate() {
            check_order(order, self.orders.get(at + 1), types)
                .or_else(|problem| fault(format!("order {}: {problem}", at + 1)))?;
        }
        Ok(())
    }
}

fn check_order(order: &Order, next: Option<&Order>, types: u32) -> Result<(), &'static str> {
    let count = order.len();
    let (backoffs, children) = if next.is_some() { (count, count + 1) } else { (0, 0) };
    let lengths = (order.probabilities.len(), order.backoffs.len(), order.children.len());
    if lengths != (count, backoffs, children) || count >= 1 << 31 {
        return Err("its lists do not have one element for each n-gram");
    }
    if !order.probabilities.iter().chain(&order.backoffs).all(|value| value.is_finite()) {
        return Err("a number is not finite");
    }
    let Some(next) = next else { return Ok(()) };
    let ends = (order.children.first().copied(), order.children.last().map(|&end| end as usize));
    if ends != (Some(0), Some(next.len())) || !order.children.is_sorted() {
        return Err("its children do not rise from 0 to the number of longer n-grams");
    }
    for pair in order.children.windows(2) {
        let words = &next.words[pair[0] as usize..pair[1] as usize];
        if !words.is_sorted_by(|a, b| a < b) || words.last().is_some_and(|&last| last >= types) {
            return Err("tokens after a context do not ascend below the number of types");
        }
    }
    Ok(())
}

/// Adds the arrays of an order to `leaves`; returns its description.
fn encode(n: usize, order: &Order, width: u32, leaves: &mut Vec<Leaf>) -> String {
    let count = order.len();
    let name = |part: &str| format!("ngram.{n}.{part}");
    let has_more = !order.children.is_empty();
    if n == 1 {
        leaves.push(Leaf::f32(&name("probabilities"), &[count], &order.probabilities));
        if has_more {
            leaves.push(Leaf::f32(&name("backoffs"), &[count], &order.backoffs));
            leaves.push(u32s(name("offsets"), &order.children));
        }
        return format!("{{\"ngrams\":{count}}}");
    }
    leaves.push(bits(name("words"), order.words.iter().copied(), count, width));
    let probabilities = values(&name("probabilities"), &order.probabilities, leaves);
    if !has_more {
        return format!("{{\"ngrams\":{count},\"probability_bits\":{probabilities}}}");
    }
    let backoffs = values(&name("backoffs"), &order.backoffs, leaves);
    let (runs, samples) = runs(&order.children);
    leaves.push(u32s(name("children"), &runs));
    leaves.push(u32s(name("children.samples"), &samples));
    format!(
        "{{\"ngrams\":{count},\"probability_bits\":{probabilities},\"backoff_bits\":{backoffs}}}"
    )
}

fn u32s(name: String, values: &[u32]) -> Leaf {
    Leaf::new(&name, Dtype::U32, &[values.len()], bytes::of_u32(values).to_vec())
}

/// Numbers of `width` bits as an array.
fn bits(name: String, values: impl Iterator<Item = u32>, count: usize, width: u32) -> Leaf {
    let length = reading::bytes(count, width).unwrap_or(0);
    let mut packed = vec![0u8; length];
    for (index, value) in values.enumerate() {
        let bit = index as u64 * u64::from(width);
        let place = &mut packed[(bit / 8) as usize..][..8];
        let shifted = (u64::from(value) << (bit % 8)).to_le_bytes();
        place.iter_mut().zip(shifted).for_each(|(byte, new)| *byte |= new);
    }
    Leaf::new(&name, Dtype::U8, &[length], packed)
}

/// Adds the array of `values`, and that of their levels where they are few; returns the bits of each.
fn values(name: &str, values: &[f32], leaves: &mut Vec<Leaf>) -> u32 {
    let levels = levels(values);
    let Some(width) = levels.as_ref().map(|levels| width(levels.len())) else {
        leaves.push(Leaf::f32(name, &[values.len()], values));
        return 32;
    };
    let levels = levels.unwrap_or_default();
    let place = |value: &f32| levels.partition_point(|level| level.total_cmp(value).is_lt()) as u32;
    leaves.push(bits(name.to_string(), values.iter().map(place), values.len(), width));
    leaves.push(Leaf::f32(&format!("{name}.levels"), &[levels.len()], &levels));
    width
}

/// Bits of a place among so many.
fn width(levels: usize) -> u32 {
    (levels.max(2) - 1).ilog2() + 1
}

/// The different values, ascending, or `None` if there are more than places of 16 bits, or so many that
/// a list of them saves nothing.
fn levels(values: &[f32]) -> Option<Vec<f32>> {
    // An order-preserving whole number for each float: total_cmp's.
    let key = |value: &f32| {
        let bits = value.to_bits();
        if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
    };
    let mut seen = BTreeSet::new();
    for value in values {
        seen.insert(key(value));
        if seen.len() > 1 << MAX_BITS {
            return None;
        }
    }
    let coded = values.len() as u64 * u64::from(width(seen.len())) + seen.len() as u64 * 32;
    let value = |key: u32| f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key });
    (coded < values.len() as u64 * 32).then(|| seen.into_iter().map(value).collect())
}

/// Children as runs of ones, and where every 64th node begins.
fn runs(children: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let nodes = children.len() - 1;
    let length = nodes + children[nodes] as usize;
    let mut runs = vec![0u32; length.div_ceil(32)];
    let mut samples = Vec::with_capacity(nodes.div_ceil(SAMPLE));
    let mut at = 0usize;
    for (node, pair) in children.windows(2).enumerate() {
        if node % SAMPLE == 0 {
            samples.push(at as u32);
        }
        for _ in pair[0]..pair[1] {
            runs[at / 32] |= 1 << (at % 32);
            at += 1;
        }
        at += 1;
    }
    (runs, samples)
}
