//! Running log-sum-exp: the softmax's denominator without ever holding all logits.

use crate::backend::call;
use crate::layout::PANEL_ROWS;

/// ln Σ exp(x) over a stream of blocks.
///
/// ```
/// use pocketlm_kernels::softmax::LogSumExp;
/// let mut lse = LogSumExp::new();
/// lse.push(&[1.0, 2.0]);
/// lse.push(&[3.0]);
/// assert!((lse.value() - 3.407_605_964).abs() < 1e-6);
/// ```
///
/// The sum is kept as 2^exponent · Σ over 16 lanes; element i of a block goes to lane i % 16.
/// The exponent only grows, in whole steps, so rescaling the lanes is exact, and cutting the same
/// stream into other blocks of multiples of 16 gives the same bits (unless terms more than 2^125
/// smaller than the largest so far, which count as zero, decide a rounding).
///
/// −∞ contributes nothing. NaN anywhere, or an element above 2²⁰ (about a million), gives NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSumExp {
    /// A whole number, or −∞ while nothing but −∞ was pushed.
    exponent: f32,
    lanes: [f32; PANEL_ROWS],
}

/// Logits above this are refused: they would lose all precision in the exponential.
const LARGEST: f32 = 1_048_576.0;

impl LogSumExp {
    /// Of nothing: [`value`](Self::value) is −∞.
    pub const fn new() -> Self {
        LogSumExp { exponent: f32::NEG_INFINITY, lanes: [0.0; PANEL_ROWS] }
    }

    /// Takes in a block of logits (natural logarithms, not normalised).
    pub fn push(&mut self, block: &[f32]) {
        let largest = call!(max(block));
        if !(-LARGEST..=LARGEST).contains(&largest) {
            return self.push_unusual(block, largest);
        }
        let exponent = round_even(largest * core::f32::consts::LOG2_E);
        if exponent > self.exponent {
            self.rescale(self.exponent - exponent);
            self.exponent = exponent;
        }
        call!(exp_sums(block, self.exponent, &mut self.lanes));
    }

    /// A block without a usable maximum: too large, too small to matter, or NaN.
    fn push_unusual(&mut self, block: &[f32], largest: f32) {
        if largest > 0.0 || block.iter().any(|x| x.is_nan()) {
            self.lanes = [f32::NAN; PANEL_ROWS];
            self.exponent = 0.0;
        }
    }

    /// Takes in what another sum took in.
    ///
    /// Blocks may so be summed in any order, each apart, and merged in one order: the result depends
    /// on the order of merging alone.
    pub fn merge(&mut self, other: &LogSumExp) {
        let mut other = *other;
        if other.exponent > self.exponent {
            core::mem::swap(self, &mut other);
        }
        if other.exponent > f32::NEG_INFINITY {
            other.rescale(other.exponent - self.exponent);
            self.lanes.iter_mut().zip(other.lanes).for_each(|(lane, more)| *lane += more);
        }
    }

    fn rescale(&mut self, by: f32) {
        let factor = if by < -126.0 { 0.0 } else { power(by) };
        self.lanes.iter_mut().for_each(|lane| *lane *= factor);
    }

    /// ln Σ exp(x) of everything pushed, in nats.
    pub fn value(&self) -> f64 {
        let total: f64 = self.lanes.iter().fold(0.0, |sum, &lane| sum + f64::from(lane));
        if total == 0.0 {
            return f64::NEG_INFINITY;
        }
        if total.is_nan() {
            return f64::NAN;
        }
        f64::from(self.exponent) * core::f64::consts::LN_2 + ln(total)
    }
}

/// `x[i] = factor · exp(x[i] − shift)`: probabilities times a factor, where `shift` is the log-sum-exp of all `x`.
///
/// As exact as [`exp`](crate::activation::exp) of the rounded difference.
pub fn probabilities(x: &mut [f32], shift: f32, factor: f32) {
    call!(probabilities(x, shift, factor));
}

impl Default for LogSumExp {
    fn default() -> Self {
        Self::new()
    }
}

fn round_even(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    (x + ROUND) - ROUND
}

/// 2ⁿ for a whole n of −126 to 127.
fn power(n: f32) -> f32 {
    f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// The natural logarithm of a positive normal number, by a fixed sequence of operations:
/// x = 2ᵉ·m with m around 1, and ln m = 2·artanh((m − 1) / (m + 1)) as a series.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    // Moves the cut between exponents to √½.
    let shifted = bits.wrapping_sub(core::f64::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = (shifted as i64) >> 52;
    let m = f64::from_bits(bits.wrapping_sub((exponent as u64) << 52));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..12).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    2.0 * s * series + exponent as f64 * core::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn logarithm_is_right() {
        for i in 1..20_000 {
            for x in [f64::from(i) * 0.001, f64::from(i) * 1e30, 1e-30 / f64::from(i)] {
                let (got, want) = (ln(x), x.ln());
                assert!((got - want).abs() <= 1e-15 + want.abs() * 4e-16, "{x}: {got} {want}");
            }
        }
    }

    #[test]
    fn agrees_with_double_precision() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 * 0.3 - 12.0).collect();
        let mut lse = LogSumExp::new();
        logits.chunks(48).for_each(|block| lse.push(block));
        let want = logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        assert!((lse.value() - want).abs() < 1e-6, "{} {want}", lse.value());
    }

    #[test]
    fn cutting_differently_changes_no_bit() {
        let logits: Vec<f32> = (0..999).map(|i| ((i * 37) % 101) as f32 * 0.7 - 40.0).collect();
        let value = |block: usize| {
            let mut lse = LogSumExp::new();
            logits.chunks(block).for_each(|block| lse.push(block));
            lse.value().to_bits()
        };
        assert!([16, 64, 160, 1008].into_iter().all(|block| value(block) == value(2048)));
    }

    #[test]
    fn merging_is_pushing() {
        let logits: Vec<f32> = (0..500).map(|i| ((i * 37) % 101) as f32 * 0.7 - 40.0).collect();
        let (mut all, mut merged) = (LogSumExp::new(), LogSumExp::new());
        all.push(&logits);
        merged.merge(&LogSumExp::new());
        for block in logits.chunks(64) {
            let mut one = LogSumExp::new();
            one.push(block);
            merged.merge(&one);
        }
        assert!((merged.value() - all.value()).abs() < 1e-6);
        let mut broken = LogSumExp::new();
        broken.push(&[f32::NAN]);
        merged.merge(&broken);
        assert!(merged.value().is_nan());
        broken.merge(&all);
        assert!(broken.value().is_nan());
    }

    #[test]
    fn defined_at_the_edges() {
        let of = |x: &[f32]| {
            let mut lse = LogSumExp::new();
            lse.push(x);
            lse.value()
        };
        assert_eq!(of(&[]), f64::NEG_INFINITY);
        assert_eq!(of(&[f32::NEG_INFINITY; 20]), f64::NEG_INFINITY);
        assert_eq!(of(&[0.0, f32::NEG_INFINITY]), 0.0);
        assert!((of(&[-1e5]) + 1e5).abs() < 1e-2);
        assert!(of(&[1.0, f32::NAN]).is_nan());
        assert!(of(&[f32::NAN; 3]).is_nan());
        assert!(of(&[f32::INFINITY, 1.0]).is_nan());
        let mut lse = LogSumExp::new();
        lse.push(&[f32::NAN]);
        lse.push(&[100.0]);
        assert!(lse.value().is_nan());
    }
}
