//! A small real Fourier transform of many vectors at once.
//!
//! Length n is a power of two. Element t of lane l lies at `t · lanes + l`, so that every step runs over
//! consecutive numbers. A spectrum X of real numbers has n/2 + 1 bins, of which the first and the last are real:
//! it lies in the same n rows, X₀ in row 0, X_{n/2} in row 1, real and imaginary part of X_k in rows 2k and 2k + 1.
//!
//! Two halves of the input make one complex transform of half the length (Cooley & Tukey 1965; the real trick as
//! in Press et al., Numerical Recipes, section 12.3). Plain arithmetic in a fixed order, twiddle factors
//! included: the same numbers on every machine.

use alloc::vec::Vec;

/// The transform of one length.
#[derive(Debug)]
pub(crate) struct Fft {
    length: usize,
    /// cos and sin of 2πk/n for k below n/2.
    twiddles: Vec<[f32; 2]>,
}

/// A complex number of each lane: real parts and imaginary parts.
type Pair<'a> = (&'a mut [f32], &'a mut [f32]);

impl Fft {
    /// For vectors of `length` numbers, a power of two from 2 on.
    pub(crate) fn new(length: usize) -> Self {
        debug_assert!(length.is_power_of_two() && length > 1);
        Self { length, twiddles: (0..length / 2).map(|k| turn(k, length)).collect() }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Numbers to spectra, in place.
    pub(crate) fn forward(&self, lanes: usize, data: &mut [f32]) {
        self.complex(lanes, data, -1.0);
        let (re, im) = pair(&mut data[..2 * lanes], lanes);
        each(re, im, |re, im| (re + im, re - im));
        self.each_couple(lanes, data, |[c, s], [zr, zi], [yr, yi]| {
            let (er, ei) = ((zr + yr) * 0.5, (zi - yi) * 0.5);
            let (or, oi) = ((zi + yi) * 0.5, (yr - zr) * 0.5);
            let (tr, ti) = (c * or + s * oi, c * oi - s * or);
            ([er + tr, ei + ti], [er - tr, ti - ei])
        });
    }

    /// Spectra to numbers, in place.
    pub(crate) fn inverse(&self, lanes: usize, data: &mut [f32]) {
        let scale = 2.0 / self.length as f32;
        let half = 0.5 * scale;
        let (re, im) = pair(&mut data[..2 * lanes], lanes);
        each(re, im, |first, last| ((first + last) * half, (first - last) * half));
        self.each_couple(lanes, data, |[c, s], [zr, zi], [yr, yi]| {
            let (er, ei) = ((zr + yr) * half, (zi - yi) * half);
            let (tr, ti) = ((zr - yr) * half, (zi + yi) * half);
            let (or, oi) = (c * tr - s * ti, c * ti + s * tr);
            ([er - oi, ei + or], [er + oi, or - ei])
        });
        // The middle bin, which has no other half, was scaled by none of these.
        if self.length > 2 {
            let at = self.length / 2 * lanes;
            data[at..at + 2 * lanes].iter_mut().for_each(|x| *x *= scale);
        }
        self.complex(lanes, data, 1.0);
    }

    /// Replaces bins k and n/2 − k, for each k between the ends; the middle one by its conjugate.
    fn each_couple(
        &self,
        lanes: usize,
        data: &mut [f32],
        change: impl Fn([f32; 2], [f32; 2], [f32; 2]) -> ([f32; 2], [f32; 2]),
    ) {
        let bins = self.length / 2;
        for k in 1..bins.div_ceil(2) {
            let (low, high) = data.split_at_mut(2 * (bins - k) * lanes);
            let (zr, zi) = pair(&mut low[2 * k * lanes..][..2 * lanes], lanes);
            let (yr, yi) = pair(&mut high[..2 * lanes], lanes);
            for l in 0..lanes {
                let (z, y) = change(self.twiddles[k], [zr[l], zi[l]], [yr[l], yi[l]]);
                ([zr[l], zi[l]], [yr[l], yi[l]]) = (z, y);
            }
        }
        if bins > 1 {
            let at = (bins + 1) * lanes;
            data[at..at + lanes].iter_mut().for_each(|x| *x = -*x);
        }
    }

    /// The complex transform of half the length, not scaled, with e^(sign · 2πi/n): real and imaginary part of
    /// element k of lane l lie at `2k · lanes + l` and `(2k + 1) · lanes + l`.
    pub(crate) fn complex(&self, lanes: usize, data: &mut [f32], sign: f32) {
        let count = self.length / 2;
        for k in 0..count {
            let other = reversed(k, count);
            if k < other {
                let (low, high) = data.split_at_mut(2 * other * lanes);
                low[2 * k * lanes..][..2 * lanes].swap_with_slice(&mut high[..2 * lanes]);
            }
        }
        let mut size = 2;
        while size <= count {
            for block in data.chunks_exact_mut(2 * size * lanes) {
                let (low, high) = block.split_at_mut(size * lanes);
                let both = low.chunks_exact_mut(2 * lanes).zip(high.chunks_exact_mut(2 * lanes));
                for (j, (low, high)) in both.enumerate() {
                    let [c, s] = self.twiddles[j * (self.length / size)];
                    butterfly(pair(low, lanes), pair(high, lanes), [c, sign * s]);
                }
            }
            size *= 2;
        }
    }
}

/// The rows of real and of imaginary parts.
fn pair(rows: &mut [f32], lanes: usize) -> Pair<'_> {
    rows.split_at_mut(lanes)
}

fn each(re: &mut [f32], im: &mut [f32], change: impl Fn(f32, f32) -> (f32, f32)) {
    for (re, im) in re.iter_mut().zip(im) {
        (*re, *im) = change(*re, *im);
    }
}

/// a, b to a + w b, a − w b.
fn butterfly((ar, ai): Pair<'_>, (br, bi): Pair<'_>, [c, s]: [f32; 2]) {
    let low = ar.iter_mut().zip(ai);
    for ((ar, ai), (br, bi)) in low.zip(br.iter_mut().zip(bi)) {
        let (tr, ti) = (c * *br - s * *bi, c * *bi + s * *br);
        (*br, *bi) = (*ar - tr, *ai - ti);
        (*ar, *ai) = (*ar + tr, *ai + ti);
    }
}

/// The bits of `k` in reverse, of as many as number `count` things.
fn reversed(k: usize, count: usize) -> usize {
    match count.trailing_zeros() {
        0 => k,
        bits => k.reverse_bits() >> (usize::BITS - bits),
    }
}

/// cos and sin of 2πk/n, for k below n/2.
fn turn(k: usize, n: usize) -> [f32; 2] {
    cos_sin(k as f64 / n as f64)
}

/// cos and sin of so many whole turns: of an angle of the first eighth of the circle, by their power series.
pub(crate) fn cos_sin(turns: f64) -> [f32; 2] {
    let share = turns % 1.0;
    if share < 0.0 {
        let [c, s] = cos_sin(-share);
        return [c, -s];
    }
    if share > 0.5 {
        let [c, s] = cos_sin(1.0 - share);
        return [c, -s];
    }
    if share > 0.25 {
        let [c, s] = cos_sin(0.5 - share);
        return [-c, s];
    }
    let swapped = share > 0.125;
    let share = if swapped { 0.25 - share } else { share };
    let angle = 2.0 * core::f64::consts::PI * share;
    let (mut term, mut sums) = (1.0, [0.0f64; 2]);
    for power in 0..20u32 {
        let sign = if power / 2 % 2 == 0 { 1.0 } else { -1.0 };
        sums[power as usize % 2] += sign * term;
        term *= angle / f64::from(power + 1);
    }
    let [c, s] = sums.map(|sum| sum as f32);
    if swapped { [s, c] } else { [c, s] }
}

/// The product of two complex numbers, real and imaginary part; of two pairs of real numbers in the first two rows
/// of a spectrum, counted as bin 0.
#[inline(always)]
pub(crate) fn times(bin: usize, [ar, ai]: [f32; 2], [br, bi]: [f32; 2]) -> [f32; 2] {
    if bin == 0 { [ar * br, ai * bi] } else { [ar * br - ai * bi, ar * bi + ai * br] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = crate::Random::new(seed);
        (0..count).map(|_| random.unit() as f32 * 2.0 - 1.0).collect()
    }

    /// Bin `k` of lane `l`, by the definition.
    fn bin(data: &[f32], (n, lanes): (usize, usize), k: usize, l: usize) -> [f64; 2] {
        let mut sum = [0.0; 2];
        for t in 0..n {
            let angle = -2.0 * core::f64::consts::PI * (k * t % n) as f64 / n as f64;
            sum[0] += f64::from(data[t * lanes + l]) * angle.cos();
            sum[1] += f64::from(data[t * lanes + l]) * angle.sin();
        }
        sum
    }

    proptest! {
        #[test]
        fn spectra_are_those_of_the_definition_and_come_back(power in 1u32..10, lanes in 1usize..6, seed: u64) {
            let n = 1usize << power;
            let data = numbers(n * lanes, seed);
            let mut spectrum = data.clone();
            let fft = Fft::new(n);
            fft.forward(lanes, &mut spectrum);
            for k in 0..=n / 2 {
                for l in 0..lanes {
                    let [re, im] = bin(&data, (n, lanes), k, l);
                    let at = |row: usize| f64::from(spectrum[row * lanes + l]);
                    let found = match k {
                        0 => [at(0), 0.0],
                        k if k == n / 2 => [at(1), 0.0],
                        _ => [at(2 * k), at(2 * k + 1)],
                    };
                    prop_assert!((found[0] - re).abs() < 1e-4 && (found[1] - im).abs() < 1e-4, "{k} {found:?} {re} {im}");
                }
            }
            fft.inverse(lanes, &mut spectrum);
            for (a, b) in data.iter().zip(&spectrum) {
                prop_assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }

        #[test]
        fn products_of_spectra_are_circular_convolutions(power in 1u32..7, lanes in 1usize..4, seed: u64) {
            let n = 1usize << power;
            let (a, b) = (numbers(n * lanes, seed), numbers(n * lanes, !seed));
            let (mut x, mut y, mut out) = (a.clone(), b.clone(), vec![0.0; n * lanes]);
            let fft = Fft::new(n);
            fft.forward(lanes, &mut x);
            fft.forward(lanes, &mut y);
            for k in 0..n / 2 {
                for l in 0..lanes {
                    let (re, im) = (2 * k * lanes + l, (2 * k + 1) * lanes + l);
                    [out[re], out[im]] = times(k, [x[re], x[im]], [y[re], y[im]]);
                }
            }
            fft.inverse(lanes, &mut out);
            for t in 0..n {
                for l in 0..lanes {
                    let terms = (0..n).map(|s| a[s * lanes + l] * b[(t + n - s) % n * lanes + l]);
                    let wanted: f32 = terms.sum();
                    prop_assert!((out[t * lanes + l] - wanted).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn twiddles_are_cosines_and_sines() {
        for n in [2, 4, 8, 64, 4096] {
            for k in 0..n / 2 {
                let angle = 2.0 * core::f64::consts::PI * k as f64 / n as f64;
                let [c, s] = turn(k, n);
                assert!((f64::from(c) - angle.cos()).abs() < 1e-7, "{k} {n}");
                assert!((f64::from(s) - angle.sin()).abs() < 1e-7, "{k} {n}");
            }
        }
    }
}
