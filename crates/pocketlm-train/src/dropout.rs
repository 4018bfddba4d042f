//! Dropout of activations between layers (Srivastava et al. 2014; non-recurrent as in Zaremba et al. 2014).

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Where the masks of one update come from: the same seed and update give the same masks, so a resumed
/// training draws what an uninterrupted one would have drawn.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability of zeroing an activation.
    pub rate: f64,
    /// Seed of the training.
    pub seed: u64,
    /// Number of the update within the training.
    pub update: u64,
}

impl Dropout {
    /// Fills `mask` with 0 (probability `rate`) or `1 / (1 - rate)`; `site` tells one place of the network
    /// from another.
    pub fn fill(&self, site: u64, mask: &mut [f32]) {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream((self.update << 8) | site);
        let threshold = (self.rate * 4_294_967_296.0) as u32;
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        for value in mask {
            *value = if random.next_u32() < threshold { 0.0 } else { kept };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_promised_share_and_the_mean() {
        let mut mask = vec![0.0; 100_000];
        Dropout { rate: 0.3, seed: 1, update: 5 }.fill(2, &mut mask);
        let mean = mask.iter().sum::<f32>() / 100_000.0;
        let zeros = mask.iter().filter(|&&m| m == 0.0).count() as f32 / 100_000.0;
        assert!((mean - 1.0).abs() < 0.01 && (zeros - 0.3).abs() < 0.01, "{mean} {zeros}");
    }

    #[test]
    fn same_update_same_mask_other_update_other_mask() {
        let draw = |update, site| {
            let mut mask = vec![0.0; 64];
            Dropout { rate: 0.5, seed: 9, update }.fill(site, &mut mask);
            mask
        };
        assert_eq!(draw(3, 0), draw(3, 0));
        assert_ne!(draw(3, 0), draw(4, 0));
        assert_ne!(draw(3, 0), draw(3, 1));
    }
}
