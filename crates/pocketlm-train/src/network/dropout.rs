//! Dropout: of activations between layers (Srivastava et al. 2014; non-recurrent as in Zaremba et al. 2014),
//! with one mask for all steps of a window (Gal & Ghahramani 2016), of whole words, of recurrent weights.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::settings::Variational;

/// A place of the network that is dropped from.
#[derive(Clone, Copy, Debug)]
pub enum Site {
    /// What enters layer `k`; the number of layers stands for what leaves the top one.
    Input(usize),
    /// What layer `k` feeds back to itself.
    State(usize),
    /// The recurrent weights of layer `k`.
    Weights(usize),
    /// The rows of the embedding.
    Words,
    /// The matrices that are drawn from a distribution.
    Matrices,
    /// The numbers that grow.
    Regrowth,
    /// The streams themselves: their windows' lengths, and whose state is forgotten.
    Streams,
}

impl Site {
    fn number(self) -> u64 {
        match self {
            Self::Input(k) => k as u64,
            Self::State(k) => 64 + k as u64,
            Self::Weights(k) => 128 + k as u64,
            Self::Words => 255,
            Self::Streams => 254,
            Self::Matrices => 253,
            Self::Regrowth => 252,
        }
    }
}

/// Where the masks of one update come from: the same seed and update give the same masks, so a resumed
/// training draws what an uninterrupted one would have drawn.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability of zeroing an activation between layers, drawn anew at each step.
    pub rate: f64,
    /// Masks that stay through a window.
    pub variational: Variational,
    /// Probability of zeroing a recurrent weight (DropConnect; Merity et al. 2018, section 2).
    pub weights: f64,
    /// Seed of the training.
    pub seed: u64,
    /// Number of the update within the training.
    pub update: u64,
}

impl Dropout {
    /// The random numbers of a place in this update.
    pub fn random(&self, site: Site) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream((self.update << 8) | site.number());
        random
    }

    /// Fills `mask` with 0 (probability `rate`) or `1 / (1 - rate)`.
    pub fn fill(&self, site: Site, rate: f64, mask: &mut [f32]) {
        let mut random = self.random(site);
        let threshold = (rate * 4_294_967_296.0) as u32;
        let kept = (1.0 / (1.0 - rate)) as f32;
        for value in mask {
            *value = if random.next_u32() < threshold { 0.0 } else { kept };
        }
    }

    /// Makes `mask` one of `length` numbers, or empty where the rate is zero.
    pub fn draw(&self, site: Site, rate: f64, length: usize, mask: &mut Vec<f32>) {
        mask.resize(if rate > 0.0 { length } else { 0 }, 0.0);
        self.fill(site, rate, mask);
    }
}

/// Multiplies `rows` by a mask that is repeated until they end; an empty mask changes nothing.
pub fn apply(mask: &[f32], rows: &mut [f32]) {
    if mask.is_empty() {
        return;
    }
    for rows in rows.chunks_mut(mask.len()) {
        rows.iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropout(update: u64) -> Dropout {
        Dropout { rate: 0.0, variational: Variational::NONE, weights: 0.0, seed: 9, update }
    }

    #[test]
    fn keeps_the_promised_share_and_the_mean() {
        let mut mask = vec![0.0; 100_000];
        dropout(5).fill(Site::Input(2), 0.3, &mut mask);
        let mean = mask.iter().sum::<f32>() / 100_000.0;
        let zeros = mask.iter().filter(|&&m| m == 0.0).count() as f32 / 100_000.0;
        assert!((mean - 1.0).abs() < 0.01 && (zeros - 0.3).abs() < 0.01, "{mean} {zeros}");
    }

    #[test]
    fn same_update_same_mask_other_update_other_mask() {
        let draw = |update, site| {
            let mut mask = vec![0.0; 64];
            dropout(update).fill(site, 0.5, &mut mask);
            mask
        };
        assert_eq!(draw(3, Site::Input(0)), draw(3, Site::Input(0)));
        assert_ne!(draw(3, Site::Input(0)), draw(4, Site::Input(0)));
        assert_ne!(draw(3, Site::Input(0)), draw(3, Site::State(0)));
    }
}
