//! How often the next word is among the likeliest.

use pocketlm_kernels::topk::Largest;

/// Places of a ranking that are told apart.
const PLACES: usize = 3;

/// recall@k: the share of tokens that were among the k that the model held likeliest, over the whole
/// vocabulary.
///
/// A token's rank is the number of *other* types at least as likely. A tie so counts against the model, and the
/// figure does not depend on the order of ids: a model that knows nothing recalls nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recall {
    /// Tokens counted.
    pub tokens: u64,
    /// Of these, how many had rank 0, 1 and 2.
    hits: [u64; PLACES],
}

impl Recall {
    /// Counts a token of this rank.
    pub fn add(&mut self, rank: usize) {
        self.tokens += 1;
        if let Some(hits) = self.hits.get_mut(rank) {
            *hits += 1;
        }
    }

    /// recall@k for k of 1 to 3; NaN if there is no token.
    #[must_use]
    pub fn at(&self, k: usize) -> f64 {
        self.hits.iter().take(k).sum::<u64>() as f64 / self.tokens as f64
    }
}

/// What the rank of a token takes, from scores that come in blocks: the scores of all types, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ranking {
    largest: Largest<{ PLACES + 1 }>,
}

impl Ranking {
    /// Takes in a block of logits or log-probabilities.
    pub fn push(&mut self, block: &[f32]) {
        self.largest.push(block);
    }

    /// Rank of the type with this score, which was among those pushed: the number of others whose score is at
    /// least as large, 3 where there are more. A score that is not a number ranks last.
    #[must_use]
    pub fn rank(&self, score: f32) -> usize {
        self.largest.at_least(score).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(scores: &[f32], of: usize) -> usize {
        let mut ranking = Ranking::default();
        scores.chunks(2).for_each(|block| ranking.push(block));
        ranking.rank(scores[of])
    }

    #[test]
    fn ranks_of_a_distribution_made_by_hand() {
        let scores = [-2.3, -0.9, -1.6, -1.2, -3.0];
        assert_eq!([0, 1, 2, 3, 4].map(|of| rank(&scores, of)), [3, 0, 2, 1, 3]);
    }

    #[test]
    fn a_tie_is_no_hit() {
        assert_eq!([0, 1, 2].map(|of| rank(&[1.0, 1.0, 0.0], of)), [1, 1, 2]);
        assert_eq!(rank(&[0.5; 10], 4), 3);
        assert_eq!(rank(&[f32::NAN, 1.0], 0), 3);
        assert_eq!(rank(&[f32::NEG_INFINITY, 1.0], 0), 3);
    }

    #[test]
    fn recall_counts_ranks() {
        let mut recall = Recall::default();
        [0, 0, 1, 2, 3, 3, 3, 0].into_iter().for_each(|rank| recall.add(rank));
        assert_eq!([1, 2, 3].map(|k| recall.at(k)), [3.0 / 8.0, 4.0 / 8.0, 5.0 / 8.0]);
    }
}
