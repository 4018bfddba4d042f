//! Sums of vectors.

use crate::backend::call;

/// `sums[i] += x[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn add(sums: &mut [f32], x: &[f32]) {
    assert!(sums.len() == x.len(), "{} numbers to add to {}", x.len(), sums.len());
    call!(add(sums, x));
}
