//! The best k of a stream of scores.

use core::cmp::Ordering;

use crate::backend::call;

/// A score and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The score, for instance a logit.
    pub score: f32,
    /// The identity, for instance a word's number.
    pub id: u32,
}

/// Keeps the best of what is pushed, in storage lent by the caller.
///
/// ```
/// use pocketlm_kernels::topk::{Candidate, TopK};
/// let mut places = [Candidate::default(); 2];
/// let mut top = TopK::new(&mut places);
/// top.push(&[0.5, 3.0, -1.0], 0);
/// top.push(&[1.0], 3);
/// assert_eq!(top.best().iter().map(|c| c.id).collect::<Vec<_>>(), [1, 3]);
/// ```
///
/// Best first; of equal scores the smaller id comes first. NaN and −∞ never enter.
#[derive(Debug)]
pub struct TopK<'a> {
    places: &'a mut [Candidate],
    len: usize,
}

impl<'a> TopK<'a> {
    /// Keeps the best `places.len()`; what the places hold is overwritten.
    pub fn new(places: &'a mut [Candidate]) -> Self {
        TopK { places, len: 0 }
    }

    /// Takes in a block of scores whose ids count up from `first_id`.
    pub fn push(&mut self, block: &[f32], first_id: u32) {
        if self.places.is_empty() {
            return;
        }
        let mut at = 0;
        loop {
            at += self.next(&block[at..]);
            let Some(&score) = block.get(at) else { return };
            self.insert(Candidate { score, id: first_id + at as u32 });
            at += 1;
        }
    }

    /// Takes in one candidate.
    pub fn push_one(&mut self, candidate: Candidate) {
        if candidate.score > f32::NEG_INFINITY && !self.places.is_empty() {
            self.insert(candidate);
        }
    }

    /// The index of the next score that may enter. One equal to the last place's is skipped in a
    /// block pushed in ascending order of ids, but may enter when ids come in another order.
    fn next(&self, block: &[f32]) -> usize {
        let full = self.len == self.places.len();
        let last = self.places[self.len.max(1) - 1];
        let threshold = if full { below(last.score) } else { f32::NEG_INFINITY };
        call!(first_above(block, threshold))
    }

    fn insert(&mut self, new: Candidate) {
        let at = self.places[..self.len].partition_point(|c| order(c, &new) == Ordering::Less);
        if at == self.places.len() {
            return;
        }
        self.len = (self.len + 1).min(self.places.len());
        self.places[at..self.len].rotate_right(1);
        self.places[at] = new;
    }

    /// What was kept, best first.
    pub fn best(&self) -> &[Candidate] {
        &self.places[..self.len]
    }
}

/// The next smaller number (finite or +∞ in, possibly −∞ out).
fn below(x: f32) -> f32 {
    x.next_down()
}

/// Better first: larger score, then smaller id. Scores are not NaN.
fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.id.cmp(&b.id))
}

/// The K largest of a stream of scores, equal ones each counted: enough to tell how many of all scores are at
/// least as large as one of them.
///
/// ```
/// use pocketlm_kernels::topk::Largest;
/// let mut largest = Largest::<3>::new();
/// largest.push(&[0.5, 3.0, -1.0]);
/// largest.push(&[3.0]);
/// assert_eq!([3.0, 0.5, -1.0].map(|x| largest.at_least(x)), [2, 3, 3]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Largest<const K: usize> {
    /// Descending; −∞ where there is none yet.
    scores: [f32; K],
}

impl<const K: usize> Largest<K> {
    /// Of nothing.
    pub const fn new() -> Self {
        Largest { scores: [f32::NEG_INFINITY; K] }
    }

    /// Takes in a block of scores. NaN and −∞ do not count.
    pub fn push(&mut self, block: &[f32]) {
        let Some(last) = K.checked_sub(1) else { return };
        let mut at = 0;
        loop {
            at += call!(first_above(&block[at..], self.scores[last]));
            let Some(&score) = block.get(at) else { return };
            let place = self.scores.partition_point(|&kept| kept >= score);
            self.scores[place..].rotate_right(1);
            self.scores[place] = score;
            at += 1;
        }
    }

    /// How many of all scores are at least `score`, K where there are more: all K for NaN.
    pub fn at_least(&self, score: f32) -> usize {
        self.scores.partition_point(|&kept| kept >= score || score.is_nan())
    }
}

impl<const K: usize> Default for Largest<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn ids(scores: &[f32], k: usize, block: usize) -> Vec<u32> {
        let mut places = std::vec![Candidate::default(); k];
        let mut top = TopK::new(&mut places);
        for (i, block_scores) in scores.chunks(block).enumerate() {
            top.push(block_scores, (i * block) as u32);
        }
        top.best().iter().map(|c| c.id).collect()
    }

    #[test]
    fn equals_sorting() {
        let scores: Vec<f32> = (0..500).map(|i| ((i * 7919) % 97) as f32).collect();
        let mut want: Vec<u32> = (0..500).collect();
        want.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        for (k, block) in [(1, 500), (5, 16), (40, 7), (500, 33), (600, 100)] {
            assert_eq!(ids(&scores, k, block), want[..k.min(500)]);
        }
    }

    #[test]
    fn ties_go_to_the_smaller_id_in_any_order() {
        let mut places = [Candidate::default(); 2];
        let mut top = TopK::new(&mut places);
        top.push(&[1.0, 1.0], 10);
        top.push(&[1.0], 4);
        top.push_one(Candidate { score: 1.0, id: 3 });
        assert_eq!(top.best().iter().map(|c| c.id).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn largest_counts_as_a_scan_does() {
        let scores: Vec<f32> = (0..500).map(|i| ((i * 7919) % 97) as f32).collect();
        for block in [1, 16, 33, 500] {
            let mut largest = Largest::<7>::new();
            scores.chunks(block).for_each(|block| largest.push(block));
            for score in [96.5, 96.0, 95.0, 94.0, 0.0, f32::NEG_INFINITY] {
                let scan = scores.iter().filter(|&&x| x >= score).count();
                assert_eq!(largest.at_least(score), scan.min(7));
            }
            assert_eq!(largest.at_least(f32::NAN), 7);
        }
    }

    #[test]
    fn nan_and_minus_infinity_never_enter() {
        assert_eq!(ids(&[f32::NAN, f32::NEG_INFINITY, -1e30, f32::INFINITY], 3, 4), [3, 2]);
        assert_eq!(ids(&[1.0], 0, 1), []);
    }
}
