//! exp, sigmoid and tanh over slices, in place.
//!
//! Each is a fixed sequence of additions, multiplications and divisions, without fused
//! multiply-add, so every machine gives the same bits.

use crate::backend::call;

/// `x[i] = exp(x[i])`.
///
/// Relative error below 2e-7. Below −86.9 exactly 0, above 88.72284 +∞; NaN stays NaN.
pub fn exp(x: &mut [f32]) {
    call!(exp(x));
}

/// `x[i] = 1 / (1 + exp(−x[i]))`.
///
/// Relative error below 2e-7 from −86 on; below, the result goes to 0 (exactly 0 from −88.73 on),
/// with steps of the smallest numbers. Always within 0..=1. NaN stays NaN.
pub fn sigmoid(x: &mut [f32]) {
    call!(sigmoid(x));
}

/// `x[i] = tanh(x[i])`.
///
/// Relative error below 2e-7, near zero too. Always within −1..=1, with the sign of `x` (zero keeps its sign); NaN stays NaN.
pub fn tanh(x: &mut [f32]) {
    call!(tanh(x));
}
