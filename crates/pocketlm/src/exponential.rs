//! exp in double precision for a few values, and ln of many, where `core` has none.

/// exp(x), relative error below 1e-15; 0 below −708, infinite above 709, NaN for NaN.
///
/// x = n·ln 2 + r (Cody and Waite 1980), and the Taylor series of exp(r) for |r| ≤ ln 2 / 2.
pub(crate) fn exp(x: f64) -> f64 {
    /// Adding and subtracting 1.5·2⁵² rounds to the nearest integer.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x < -708.0 {
        return 0.0;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    let n = (x * core::f64::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = (1..=14).rev().fold(1.0, |sum, k| 1.0 + sum * r / f64::from(k));
    // Two factors, since 2^1023 · 2 alone would overflow the exponent field.
    series * 2.0 * f64::from_bits(((n as i64 + 1022) as u64) << 52)
}

/// ln of each number, none of them negative, with an error of a few units in the last place; of those below the normal
/// ones it is that of the smallest of these.
///
/// x = 2ᵉ·m with m from √½ to √2, and ln m = 2·artanh((m − 1) / (m + 1)) as a series.
pub(crate) fn ln_all(numbers: &mut [f32]) {
    const TERMS: [f32; 5] = [1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    for x in numbers {
        let bits = x.max(f32::MIN_POSITIVE).to_bits() as i32;
        let exponent = (bits - core::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
        let m = f32::from_bits((bits - (exponent << 23)) as u32);
        let s = (m - 1.0) / (m + 1.0);
        let series = TERMS.iter().fold(0.0, |sum, term| sum * (s * s) + term);
        *x = 2.0 * s * series + exponent as f32 * core::f32::consts::LN_2;
    }
}

#[cfg(test)]
mod tests {
    use super::{exp, ln_all};

    #[test]
    fn logarithms_agree_with_the_standard_library() {
        for bits in (0..0x3f80_0000u32).step_by(1013) {
            let x = f32::from_bits(bits);
            let mut got = [x];
            ln_all(&mut got);
            let want = f64::from(x.max(f32::MIN_POSITIVE)).ln();
            assert!((f64::from(got[0]) - want).abs() <= 3e-7 * (1.0 + want.abs()), "{x}");
        }
    }

    #[test]
    fn agrees_with_the_standard_library() {
        for i in -70_800..70_900 {
            let x = f64::from(i) * 0.01;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-15, "{x}");
        }
        assert!(exp(f64::NAN).is_nan());
        assert_eq!([exp(-1e9), exp(0.0), exp(1e9)], [0.0, 1.0, f64::INFINITY]);
    }
}
