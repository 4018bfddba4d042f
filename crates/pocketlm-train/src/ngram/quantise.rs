//! Few different numbers instead of many.

use pocketlm::ngram::Table;

use super::links::normalise;

/// Rounds that move the levels to the means of what they stand for.
const ROUNDS: usize = 20;
/// What a context leaves to words it has not seen stays at least this share of what it was, whatever rounding does.
const SHARE: f64 = 0.5;

/// Rounds the probabilities and back-off weights of all orders but single words so that each has at most
/// 2^`bits` different ones, `bits` 1 to 16.
///
/// Levels are the means of equally large parts of the sorted logarithms, moved by Lloyd's algorithm (1982) to the
/// least mean squared error. After the probabilities, back-off weights are set so that the distributions of the rounded
/// probabilities sum to one, and rounded themselves; 1 stays 1.
pub fn quantise(table: &mut Table, bits: u32) {
    let most = 1 << bits.clamp(1, 16);
    for order in table.orders.iter_mut().skip(1) {
        round(&mut order.probabilities, most);
    }
    normalise(table, SHARE);
    for order in table.orders.iter_mut().skip(1) {
        // ln 1 = 0 is a level of its own, that of n-grams that are no contexts.
        let mut weights: Vec<f32> = order.backoffs.iter().copied().filter(|&w| w != 0.0).collect();
        round(&mut weights, most - 1);
        let mut weights = weights.into_iter();
        for weight in order.backoffs.iter_mut().filter(|weight| **weight != 0.0) {
            *weight = weights.next().unwrap_or(0.0);
        }
    }
}

/// Rounds each value to the nearest of at most `most` levels.
fn round(values: &mut [f32], most: usize) {
    let levels = levels(values, most);
    for value in values {
        *value = levels[nearest(&levels, f64::from(*value))] as f32;
    }
}

/// The place of the level nearest to `value` among ascending levels.
fn nearest(levels: &[f64], value: f64) -> usize {
    let above = levels.partition_point(|&level| level < value);
    match above.checked_sub(1) {
        Some(below) if above == levels.len() => below,
        Some(below) if value - levels[below] <= levels[above] - value => below,
        _ => above,
    }
}

/// At most `most` ascending levels for `values`.
fn levels(values: &[f32], most: usize) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut different = sorted.clone();
    different.dedup();
    if different.len() <= most {
        return different;
    }
    // Sums of the first i values, so that the mean of any stretch is a difference.
    let mut sums = vec![0.0];
    sorted.iter().for_each(|value| sums.push(sums[sums.len() - 1] + value));
    let mean = |range: std::ops::Range<usize>| {
        (!range.is_empty()).then(|| (sums[range.end] - sums[range.start]) / range.len() as f64)
    };
    let even: Vec<_> = (0..=most).map(|part| part * sorted.len() / most).collect();
    let mut levels: Vec<f64> = even.windows(2).filter_map(|ends| mean(ends[0]..ends[1])).collect();
    for _ in 0..ROUNDS {
        let middle = |pair: &[f64]| f64::midpoint(pair[0], pair[1]);
        let cuts = levels.windows(2).map(|pair| sorted.partition_point(|v| *v <= middle(pair)));
        let cuts: Vec<_> = [0].into_iter().chain(cuts).chain([sorted.len()]).collect();
        levels = cuts.windows(2).filter_map(|ends| mean(ends[0]..ends[1])).collect();
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_stay_and_many_are_rounded_to_the_nearest_level() {
        let mut few = [0.5, -1.0, 0.5, 2.0];
        round(&mut few, 3);
        assert_eq!(few, [0.5, -1.0, 0.5, 2.0]);
        let many: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.731).sin()).collect();
        for most in [1, 2, 15, 256] {
            let mut rounded = many.clone();
            round(&mut rounded, most);
            let mut levels = rounded.clone();
            levels.sort_unstable_by(f32::total_cmp);
            levels.dedup();
            assert!(levels.len() <= most);
            for (value, rounded) in many.iter().zip(&rounded) {
                let error = |level: &f32| (level - value).abs();
                assert!(levels.iter().all(|level| error(rounded) <= error(level) + 1e-6));
            }
        }
    }
}
