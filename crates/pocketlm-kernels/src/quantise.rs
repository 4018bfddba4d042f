//! Activations to 8 bits.
//!
//! A vector x becomes integers q in −127..=127 and one scale, so that x ≈ q·scale. Integer products
//! take q padded with zeros to the matrix's columns, the scale, and sums of q, which undo the offset
//! in the stored weights.

use crate::backend::call;

/// Vectors whose largest magnitude is below this (2⁻¹⁰⁰) quantise to zero.
const TINY: f32 = f32::from_bits((127 - 100) << 23);

/// The largest magnitude in `x`; 0 for none, NaN if there is one.
pub fn max_abs(x: &[f32]) -> f32 {
    call!(max_abs(x))
}

/// Quantises `x` to its full range and returns the scale: [`quantise_within`] its [`max_abs`].
///
/// # Panics
/// If `q` is shorter than `x`.
pub fn quantise(x: &[f32], q: &mut [i8]) -> f32 {
    quantise_within(x, max_abs(x), q)
}

/// Quantises `x`, clipped to ±`limit`: `q = round(clip(x) · (127 / limit))`, ties to even, and the
/// returned scale is `limit / 127`, each operation rounded once to f32. What `q` has beyond `x` is
/// set to zero.
///
/// A limit below 2⁻¹⁰⁰ gives zeros and the scale 0. A limit that is infinite or NaN gives zeros and
/// the scale NaN, so that products with it are NaN: seen at once, never a wild number. If `x` holds
/// NaN and `limit` is finite, the integer in that place is unspecified (but within range).
///
/// # Panics
/// If `q` is shorter than `x`.
pub fn quantise_within(x: &[f32], limit: f32, q: &mut [i8]) -> f32 {
    assert!(q.len() >= x.len(), "{} places for {} activations", q.len(), x.len());
    if (TINY..f32::INFINITY).contains(&limit) {
        call!(quantise(x, limit, q));
        return limit / 127.0;
    }
    q.fill(0);
    if limit < TINY { 0.0 } else { f32::NAN }
}

/// The sum of each run of `group` elements of `q` (the last run may be shorter) into `sums`.
///
/// For int8 products take `group = q.len()`: one sum.
///
/// # Panics
/// If `group` is zero or `sums` is not as long as there are groups.
pub fn sums(q: &[i8], group: usize, sums: &mut [i32]) {
    assert!(group > 0, "a group has at least one column");
    let groups = q.len().div_ceil(group);
    assert!(sums.len() == groups, "{} places for {groups} sums", sums.len());
    call!(sums(q, group, sums));
}

/// The sum of all of `q`, as the int8 products take it.
pub fn sum(q: &[i8]) -> i32 {
    let mut total = [0];
    if !q.is_empty() {
        sums(q, q.len(), &mut total);
    }
    total[0]
}
