//! Sparse training with regrowth: a model that is sparse from its first update on and never has more numbers, while
//! which of them are kept changes (Liu et al. 2021, "Selfish Sparse RNN Training", section 3.2; Mocanu et al. 2018,
//! "SET").
//!
//! Every so many updates the smallest of the kept numbers of a matrix fall, and as many others, drawn at random, take
//! their place. Those of all gates of a matrix compete with each other, as in the paper: a gate that needs more
//! numbers gets them.

use rand::Rng;
use rand::seq::index;

use crate::error::Result;
use crate::linear::{Entry, Parameters};
use crate::recipe::Outline;
use crate::settings::Regrowth;

/// What a number is when it begins to grow: nothing to the model, but not zero, which would say that it is not kept.
const SEED: f32 = 1e-30;

impl Regrowth {
    /// Sets all but a share of the numbers, drawn at random, to zero: where a training from scratch starts from.
    ///
    /// # Errors
    /// When no leaf is chosen.
    pub fn scatter(
        &self,
        outline: &Outline,
        leaves: &mut Parameters,
        random: &mut impl Rng,
    ) -> Result<()> {
        for entry in outline.leaves(&self.matrices)? {
            let fallen = self.zeros(&entry);
            let numbers = &mut leaves.data[entry.range];
            index::sample(random, numbers.len(), fallen).iter().for_each(|at| numbers[at] = 0.0);
        }
        Ok(())
    }

    fn zeros(&self, entry: &Entry) -> usize {
        (entry.range.len() as f64 * self.sparsity).round() as usize
    }

    /// The share of the kept numbers that is exchanged when the share `done` of the training is done: half a cosine
    /// (Dettmers & Zettlemoyer 2019), and nothing after its end.
    pub fn exchange_at(&self, done: f64) -> f64 {
        if done >= self.until {
            return 0.0;
        }
        0.5 * self.exchange * (1.0 + (std::f64::consts::PI * done / self.until).cos())
    }

    /// Lets the smallest of the kept numbers of each matrix fall, a share of them, and others grow in their place.
    ///
    /// # Errors
    /// When no leaf is chosen.
    pub fn exchange(
        &self,
        share: f64,
        outline: &Outline,
        leaves: &mut Parameters,
        random: &mut impl Rng,
    ) -> Result<()> {
        for entry in outline.leaves(&self.matrices)? {
            exchange(share, &mut leaves.data[entry.range], random);
        }
        Ok(())
    }
}

/// As [`Regrowth::exchange`], of one matrix.
fn exchange(share: f64, numbers: &mut [f32], random: &mut impl Rng) {
    let (mut kept, free): (Vec<usize>, Vec<usize>) =
        (0..numbers.len()).partition(|&at| numbers[at] != 0.0);
    // No more than can grow elsewhere.
    let count = ((kept.len() as f64 * share).round() as usize).min(free.len());
    if count == 0 {
        return;
    }
    kept.select_nth_unstable_by(count - 1, |&a, &b| {
        numbers[a].abs().total_cmp(&numbers[b].abs()).then(a.cmp(&b))
    });
    kept[..count].iter().for_each(|&at| numbers[at] = 0.0);
    for at in index::sample(random, free.len(), count) {
        numbers[free[at]] = SEED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    proptest! {
        #[test]
        fn as_many_grow_as_fall_and_the_largest_stay(
            mut numbers in prop::collection::vec(-3i32..4, 1..200), share in 0.0f64..1.0, seed: u64,
        ) {
            let before: Vec<f32> = numbers.drain(..).map(|x| x as f32).collect();
            let mut after = before.clone();
            exchange(share, &mut after, &mut ChaCha8Rng::seed_from_u64(seed));
            let kept = |numbers: &[f32]| numbers.iter().filter(|&&x| x != 0.0).count();
            prop_assert_eq!(kept(&before), kept(&after));
            let pairs = || before.iter().zip(&after);
            let fallen: Vec<f32> =
                pairs().filter(|&(&x, &y)| x != 0.0 && y == 0.0).map(|(x, _)| x.abs()).collect();
            let free = before.len() - kept(&before);
            prop_assert_eq!(fallen.len(), free.min((kept(&before) as f64 * share).round() as usize));
            let largest = fallen.iter().copied().fold(0.0, f32::max);
            for (&x, &y) in pairs() {
                prop_assert!(y == 0.0 || y == SEED || (y == x && x.abs() >= largest), "{x} {y}");
                prop_assert!(y != SEED || x == 0.0, "grew where one was: {x}");
            }
        }
    }

    #[test]
    fn fewer_and_fewer_are_exchanged() {
        let text = "matrices = [\"*\"]\nsparsity = 0.67";
        let regrowth: Regrowth = toml::from_str(text).unwrap();
        assert_eq!(regrowth.exchange_at(0.0), 0.5);
        assert!((regrowth.exchange_at(0.4) - 0.25).abs() < 1e-9);
        assert_eq!(regrowth.exchange_at(0.8), 0.0);
        assert_eq!(regrowth.exchange_at(1.0), 0.0);
    }
}
