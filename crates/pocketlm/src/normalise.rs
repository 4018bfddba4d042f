//! Layer normalisation of pre-activations (Ba, Kiros & Hinton 2016), the same to the bit on every machine.

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// For each row of `rows` `[.., gain.len()]` and each block of `hidden` numbers in it: takes off the mean,
/// divides by the deviation, multiplies by `gain` and adds `bias`.
pub(crate) fn normalise(rows: &mut [f32], hidden: usize, gain: &[f32], bias: &[f32]) {
    let affine = gain.chunks_exact(hidden).zip(bias.chunks_exact(hidden)).cycle();
    for (block, (gain, bias)) in rows.chunks_exact_mut(hidden).zip(affine) {
        let mean = sum(block, |x| x) / hidden as f64;
        let variance = sum(block, |x| (x - mean) * (x - mean)) / hidden as f64;
        let (mean, inverse) = (mean as f32, inverse_root(variance + EPSILON) as f32);
        for (x, (gain, bias)) in block.iter_mut().zip(gain.iter().zip(bias)) {
            *x = gain * ((*x - mean) * inverse) + bias;
        }
    }
}

/// The sum of `of(x)` in eight lanes, a fixed order.
fn sum(block: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    for chunk in block.chunks(lanes.len()) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += of(f64::from(x)));
    }
    lanes.iter().sum()
}

/// `1 / sqrt(x)` for a normal positive `x` by Newton's iteration from a guess on its bits (Lomont 2003), since
/// `core` has no square root.
pub(crate) fn inverse_root(x: f64) -> f64 {
    let guess = f64::from_bits(0x5fe6_eb50_c7b5_37a9 - (x.to_bits() >> 1));
    (0..5).fold(guess, |y, _| y * (1.5 - 0.5 * x * y * y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_root_is_exact_to_the_last_places() {
        for x in [1e-5, 0.3, 1.0, 2.0, 77.7, 1e12, 1e300] {
            assert!((inverse_root(x) * x.sqrt() - 1.0).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn blocks_have_the_bias_as_mean_and_the_gain_as_deviation() {
        let mut row: [f32; 22] = core::array::from_fn(|i| (i as f32 * 1.7).sin() * 9.0 + 4.0);
        let (mut gain, mut bias) = ([2.0; 22], [0.5; 22]);
        gain[11..].fill(0.1);
        bias[11..].fill(-3.0);
        normalise(&mut row, 11, &gain, &bias);
        for (block, (gain, bias)) in row.chunks(11).zip([(2.0, 0.5), (0.1, -3.0)]) {
            let mean = block.iter().sum::<f32>() / 11.0;
            let square = block.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 11.0;
            assert!((mean - bias).abs() < 1e-5 && (square.sqrt() - gain).abs() < 1e-5);
        }
    }

    #[test]
    fn equal_numbers_become_the_bias() {
        let mut row = [7.0; 5];
        normalise(&mut row, 5, &[3.0; 5], &[0.25; 5]);
        assert_eq!(row, [0.25; 5]);
    }
}
