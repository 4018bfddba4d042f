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
        round_weights(&mut order.backoffs, most - 1, round);
    }
}

/// Rounds the probabilities and back-off weights of all orders but single words to at most 2^`bits` different ones each,
/// `bits` 1 to 16, and changes nothing else: numbers of which there are no more different ones stay what they are, and
/// sums of distributions what they were but for the rounding.
///
/// Half of the levels to begin with are equally far from one another, so that the few numbers that lie far from all
/// others (the −99 that some programs write for zero) keep a level nearby.
pub fn round_each(table: &mut Table, bits: u32) {
    let most = 1 << bits.clamp(1, 16);
    for order in table.orders.iter_mut().skip(1) {
        round_spread(&mut order.probabilities, most);
        let has_one = order.backoffs.contains(&0.0);
        round_weights(&mut order.backoffs, most - usize::from(has_one), round_spread);
    }
}

/// Rounds back-off weights to `most` levels and ln 1 = 0, that of n-grams that are no contexts.
fn round_weights(weights: &mut [f32], most: usize, round: fn(&mut [f32], usize)) {
    let mut others: Vec<f32> = weights.iter().copied().filter(|&w| w != 0.0).collect();
    round(&mut others, most);
    let mut others = others.into_iter();
    for weight in weights.iter_mut().filter(|weight| **weight != 0.0) {
        *weight = others.next().unwrap_or(0.0);
    }
}

/// Rounds each value to the nearest of at most `most` levels.
fn round(values: &mut [f32], most: usize) {
    let levels = levels(values, most, even);
    to_nearest(values, &levels);
}

/// The same from levels of which half are equally far from one another.
fn round_spread(values: &mut [f32], most: usize) {
    let levels = levels(values, most, spread);
    to_nearest(values, &levels);
}

fn to_nearest(values: &mut [f32], levels: &[f64]) {
    for value in values {
        *value = levels[nearest(levels, f64::from(*value))] as f32;
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

/// At most `most` ascending levels for `values`, moved from where `start` puts them.
fn levels(values: &[f32], most: usize, start: fn(&[f64], usize) -> Vec<usize>) -> Vec<f64> {
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
    let mut levels: Vec<f64> =
        start(&sorted, most).windows(2).filter_map(|ends| mean(ends[0]..ends[1])).collect();
    for _ in 0..ROUNDS {
        let middle = |pair: &[f64]| f64::midpoint(pair[0], pair[1]);
        let cuts = levels.windows(2).map(|pair| sorted.partition_point(|v| *v <= middle(pair)));
        let cuts: Vec<_> = [0].into_iter().chain(cuts).chain([sorted.len()]).collect();
        levels = cuts.windows(2).filter_map(|ends| mean(ends[0]..ends[1])).collect();
    }
    levels
}

/// Where each of `most` equally large parts of the sorted values begins, and their end.
fn even(sorted: &[f64], most: usize) -> Vec<usize> {
    (0..=most).map(|part| part * sorted.len() / most).collect()
}

/// The same of parts of which half are equally large and half equally wide.
fn spread(sorted: &[f64], most: usize) -> Vec<usize> {
    let wide = most / 2;
    let (least, width) = (sorted[0], (sorted[sorted.len() - 1] - sorted[0]) / wide.max(1) as f64);
    let cut = |part: usize| sorted.partition_point(|&v| v < least + part as f64 * width);
    let mut cuts: Vec<_> = (1..wide).map(cut).chain(even(sorted, most - wide)).collect();
    cuts.sort_unstable();
    cuts
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
