//! Normally distributed numbers that depend on a seed and a place alone, so that any part of a matrix can be drawn
//! by any thread.

use std::sync::OnceLock;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Numbers drawn at a time.
const BLOCK: usize = 256;
/// Bits of a number's magnitude.
const BITS: u32 = 15;

/// An endless row of independent numbers of mean 0 and variance 1: quantiles of the normal distribution at the middles
/// of 2^16 equal parts, each as likely.
#[derive(Clone, Debug)]
pub struct Noise {
    random: ChaCha8Rng,
}

impl Noise {
    /// From the words of a generator's stream, one for each number.
    pub fn new(random: ChaCha8Rng) -> Self {
        Self { random }
    }

    /// The row without its first `count` numbers.
    pub fn skip(&self, count: usize) -> Self {
        let mut random = self.random.clone();
        random.set_word_pos(random.get_word_pos() + count as u128);
        Self { random }
    }

    /// Writes the row's first numbers.
    pub fn fill(&self, out: &mut [f32]) {
        let (quantiles, mut random) = (quantiles(), self.random.clone());
        let mut bytes = [0; 4 * BLOCK];
        for out in out.chunks_mut(BLOCK) {
            random.fill_bytes(&mut bytes);
            for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                let word = u32::from_le_bytes(bytes.try_into().expect("chunks of four"));
                let magnitude = quantiles[(word & ((1 << BITS) - 1)) as usize];
                *out = f32::from_bits(magnitude.to_bits() | (word & (1 << 31)));
            }
        }
    }
}

/// The quantiles above the median, in order.
fn quantiles() -> &'static [f32] {
    static QUANTILES: OnceLock<Vec<f32>> = OnceLock::new();
    QUANTILES.get_or_init(|| {
        let part = 0.5 / f64::from(1 << BITS);
        let mut z = 0.0;
        let next = |k: u32| {
            z = beyond(z, if k == 0 { 0.5 * part } else { part });
            z as f32
        };
        (0..1 << BITS).map(next).collect()
    })
}

/// The end of the interval from `z` on that has this probability, by Newton's method on Simpson's rule.
fn beyond(z: f64, probability: f64) -> f64 {
    let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let mut end = z;
    for _ in 0..8 {
        let simpson = density(z) + 4.0 * density(0.5 * (z + end)) + density(end);
        end += (probability - simpson * (end - z) / 6.0) / density(end);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn noise() -> Noise {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        random.set_stream(77);
        Noise::new(random)
    }

    /// Against tables of the normal distribution.
    #[test]
    fn quantiles_are_the_normal_distributions() {
        for (probability, wanted) in [
            (0.6, 0.253_347_1),
            (0.975, 1.959_963_985),
            (0.999, 3.090_232_306),
            (0.9999, 3.719_016_485),
        ] {
            let place = (probability - 0.5) * f64::from(2 << BITS) - 0.5;
            let (below, share) = (place.floor(), place.fract());
            let at = |k: f64| f64::from(quantiles()[k as usize]);
            let got = at(below) * (1.0 - share) + at(below + 1.0) * share;
            assert!((got - wanted).abs() < 1e-3 * wanted, "{probability}: {got} {wanted}");
        }
    }

    #[test]
    fn moments_are_the_normal_distributions() {
        let mut x = vec![0.0; 1 << 20];
        noise().fill(&mut x);
        let moment =
            |power: i32| x.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / x.len() as f64;
        for (power, wanted, tolerance) in
            [(1, 0.0, 0.005), (2, 1.0, 0.01), (3, 0.0, 0.02), (4, 3.0, 0.05)]
        {
            assert!((moment(power) - wanted).abs() < tolerance, "{power}: {}", moment(power));
        }
        let neighbours = x.windows(2).map(|x| f64::from(x[0] * x[1])).sum::<f64>();
        assert!((neighbours / x.len() as f64).abs() < 0.005);
    }

    #[test]
    fn a_part_is_the_same_whoever_draws_it() {
        let (mut whole, mut part) = (vec![0.0; 3000], vec![0.0; 701]);
        noise().fill(&mut whole);
        for first in [0, 1, 255, 1024, 2299] {
            noise().skip(first).fill(&mut part);
            assert_eq!(part, whole[first..first + 701], "{first}");
        }
    }
}
