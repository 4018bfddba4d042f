//! How much is taken off a count.

use serde::Serialize;

/// What is taken off the counts 1, 2 and from 3 on of one order (Chen and Goodman 1998, equation 26).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Discounts {
    /// For n-grams counted once, twice, and three times or more.
    pub amounts: [f64; 3],
    /// Whether the text was too small or too regular for an estimate, so that 0.5, 1 and 1.5 were taken, as
    /// `lmplz --discount_fallback` does.
    pub is_fallback: bool,
}

impl Discounts {
    /// Estimates the discounts from how many n-grams have the counts 1 to 4.
    ///
    /// `lmplz` (KenLM 0.3.0, the end of `AdjustCounts::Run`) differs by one n-gram: it takes the last of each lower
    /// order, in its own order, with how often it comes instead of with its adjusted count. On Penn Treebank that
    /// changes the third amount of single words from 1.26227 to 1.26492.
    pub(super) fn estimate(counts: &[u32]) -> Self {
        let mut n = [0.0; 5];
        for &count in counts.iter().filter(|&&count| (1..=4).contains(&count)) {
            n[count as usize] += 1.0;
        }
        let y = n[1] / (n[1] + 2.0 * n[2]);
        let amount = |j: usize| j as f64 - (j + 1) as f64 * y * n[j + 1] / n[j];
        let amounts = [amount(1), amount(2), amount(3)];
        let fits = |(j, amount): (usize, &f64)| (0.0..=(j + 1) as f64).contains(amount);
        if amounts.iter().enumerate().all(fits) {
            return Self { amounts, is_fallback: false };
        }
        Self { amounts: [0.5, 1.0, 1.5], is_fallback: true }
    }

    /// These very amounts.
    pub(super) fn given(amounts: [f64; 3]) -> Self {
        Self { amounts, is_fallback: false }
    }

    /// What is taken off `count`, which is not 0.
    pub(super) fn of(&self, count: u32) -> f64 {
        self.amounts[count.clamp(1, 3) as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_by_hand() {
        // n1 = 4, n2 = 2, n3 = 2, n4 = 1: y = 1/2.
        let found = Discounts::estimate(&[1, 1, 2, 1, 3, 3, 4, 1, 2, 7]);
        assert_eq!(found.amounts, [0.5, 0.5, 2.0]);
        assert!(!found.is_fallback);
    }

    #[test]
    fn too_few_counts_fall_back() {
        for counts in [&[][..], &[1, 1], &[1, 2, 5], &[1, 2, 3, 3, 3, 4]] {
            assert!(Discounts::estimate(counts).is_fallback, "{counts:?}");
        }
    }
}
