//! What the tests of all structures share.

use proptest::prelude::TestCaseError;

use super::structured::{Shape, Structured};

/// Numbers from −1 to 1.
pub fn numbers(length: usize, seed: u32) -> Vec<f32> {
    let next = |i: u32| {
        let x = (i ^ seed).wrapping_mul(2_654_435_761);
        ((x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..length as u32).map(next).collect()
}

/// The same from a wider seed.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let next = |i: usize| {
        let x = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
        let x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (x >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(next).collect()
}

/// The dense matrix of these leaves.
pub fn dense(structure: &dyn Structured, leaves: &[Vec<f32>], shape: Shape) -> Vec<f32> {
    let leaves: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
    let mut out = vec![0.0; shape.rows * shape.columns];
    structure.materialise(&leaves, shape, &mut out);
    out
}

/// The squared distance of the matrix of these leaves from `wanted`.
pub fn distance(
    structure: &dyn Structured,
    leaves: &[Vec<f32>],
    shape: Shape,
    wanted: &[f32],
) -> f64 {
    let found = dense(structure, leaves, shape);
    found.iter().zip(wanted).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// A random matrix that has the structure comes back from its projection.
pub fn round_trip(
    structure: &dyn Structured,
    shape: Shape,
    seed: u32,
    tolerance: f32,
) -> Result<(), TestCaseError> {
    let leaves = structure.leaves(shape).into_iter().enumerate();
    let leaves = leaves.map(|(k, leaf)| numbers(leaf.rows * leaf.columns, seed ^ (k as u32 * 77)));
    let wanted = dense(structure, &leaves.collect::<Vec<_>>(), shape);
    let found = dense(structure, &structure.decompose(&wanted, shape).unwrap(), shape);
    let size = wanted.iter().fold(1.0f32, |most, x| most.max(x.abs()));
    for (a, b) in found.iter().zip(&wanted) {
        let near = (a - b).abs() <= tolerance * size;
        if !near {
            return Err(TestCaseError::fail(format!("{a} instead of {b}")));
        }
    }
    Ok(())
}
