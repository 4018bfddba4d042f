//! Counting n-grams: how often each comes, and how many different tokens stand before it.

use pocketlm::ngram::MAX_ORDER;
use rayon::slice::ParallelSliceMut;

/// The tokens of an n-gram, the oldest first, and zeros.
pub(super) type Gram = [u32; MAX_ORDER];

/// The n-grams of one length, sorted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) grams: Vec<Gram>,
    /// How often each comes.
    pub(super) raw: Vec<u32>,
    /// At the highest order and for those that begin a line how often each comes; for others how many different
    /// tokens stand before it (Chen and Goodman 1998, equation 22).
    pub(super) adjusted: Vec<u32>,
}

/// Counts the n-grams of 1 to `order` tokens of a text in which every line ends in `eos`.
pub(super) fn count(ids: &[u32], eos: u32, order: usize) -> Vec<Counts> {
    let mut levels = Vec::new();
    let mut longer = Counts::default();
    for n in (1..=order).rev() {
        let shorter = longer.grams.iter().zip(&longer.raw).map(|(gram, &raw)| {
            let mut rest = Gram::default();
            rest[..n].copy_from_slice(&gram[1..=n]);
            (rest, raw)
        });
        let found = shorter.chain(from_text(ids, eos, n, n == order)).collect();
        levels.push(std::mem::replace(&mut longer, collect(found)));
    }
    levels.push(longer);
    // The first was put there before anything was counted.
    levels.remove(0);
    levels.reverse();
    levels
}

/// N-grams of `n` tokens as they come in the text: all of them, or only those that begin a line.
fn from_text(
    ids: &[u32],
    eos: u32,
    n: usize,
    all: bool,
) -> impl Iterator<Item = (Gram, u32)> + use<'_> {
    ids.split_inclusive(move |&id| id == eos).flat_map(move |line| {
        // The line with what begins it, as far as this length reaches.
        let begins = (n >= 2 && line.len() + 1 >= n).then(|| {
            let mut gram = Gram::default();
            gram[0] = eos;
            gram[1..n].copy_from_slice(&line[..n - 1]);
            gram
        });
        let within = line.windows(n).take(if all { usize::MAX } else { 0 }).map(|window| {
            let mut gram = Gram::default();
            gram[..window.len()].copy_from_slice(window);
            gram
        });
        begins.into_iter().chain(within).map(|gram| (gram, 1))
    })
}

/// Sorts what was found and puts the same n-grams together.
fn collect(mut found: Vec<(Gram, u32)>) -> Counts {
    found.par_sort_unstable();
    let mut counts = Counts::default();
    for group in found.chunk_by(|a, b| a.0 == b.0) {
        counts.grams.push(group[0].0);
        counts.raw.push(group.iter().map(|(_, raw)| raw).sum());
        counts.adjusted.push(group.len() as u32);
    }
    counts
}
