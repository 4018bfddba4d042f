//! Error-compensated rounding (Frantar et al. 2022, GPTQ): the columns of a matrix are rounded one after the other,
//! and what a column loses is made up for by the columns that are still to come, as far as the inputs of training
//! text go together.
//!
//! For a row w and inputs of second moment H, the loss of a change d is dᵀ H d. Once column j is rounded, off by e,
//! the others lose least if each further column c changes by −e U[j, c] / U[j, j], with the upper Cholesky factor U
//! of H⁻¹ (their equation 3 and step 3).

use nalgebra::DMatrix;
use pocketlm::pack::Precision;
use pocketlm_kernels::grouped::{GROUP, Levels, Rounding};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Share of the mean of H's diagonal that is added to it (Frantar et al. 2022, section 4).
const DAMPING: f64 = 0.01;

/// How the numbers of a row are rounded.
#[expect(clippy::large_enum_variant, reason = "one for each matrix that is rounded")]
pub enum Grid {
    /// To whole multiples of the largest magnitude / 127.
    Int8,
    /// To a code's levels, with a scale for each group of columns.
    Codes(Rounding),
}

impl Grid {
    /// The grid of a precision, if rounding to it can be compensated: those whose levels do not depend on what the
    /// other rows are rounded to.
    pub fn of(precision: Precision) -> Option<Self> {
        if precision == Precision::Int8 {
            return Some(Self::Int8);
        }
        let code = precision.even_code()?;
        Some(Self::Codes(Rounding::new(code, &Levels::default())))
    }

    /// Columns that share a scale, of so many.
    fn group(&self, columns: usize) -> usize {
        match self {
            Self::Int8 => columns,
            Self::Codes(_) => GROUP,
        }
    }

    fn scale(&self, weights: &[f32]) -> f32 {
        match self {
            Self::Int8 => largest(weights).1 / 127.0,
            Self::Codes(rounding) => rounding.scale(weights),
        }
    }

    fn round(&self, w: f32, scale: f32) -> f32 {
        match self {
            Self::Int8 if scale > 0.0 => (w / scale).round().clamp(-127.0, 127.0) * scale,
            Self::Int8 => 0.0,
            Self::Codes(rounding) => rounding.round(w, scale),
        }
    }
}

/// Where the largest magnitude is, and what it is.
fn largest(weights: &[f32]) -> (usize, f32) {
    let better = |best: (usize, f32), (at, w): (usize, &f32)| {
        if w.abs() > best.1 { (at, w.abs()) } else { best }
    };
    weights.iter().enumerate().fold((0, 0.0), better)
}

/// Rounds `weights` `[_, columns]` to the grid with as little loss as may be on inputs of second moment `moment`
/// `[columns, columns]`.
///
/// # Errors
/// When the moment is not finite.
pub fn compensate(weights: &mut [f32], columns: usize, moment: &[f64], grid: &Grid) -> Result<()> {
    let spread = spread(moment, columns)?;
    weights.par_chunks_mut(columns).for_each(|row| round_row(row, &spread, grid));
    Ok(())
}

/// Row j holds U[j, c] / U[j, j] for the columns c from j on.
fn spread(moment: &[f64], n: usize) -> Result<Vec<f32>> {
    Ok(spread_and_gain(moment, n)?.0)
}

/// The same, and for each column 1 / U[j, j]²: what a unit of its error costs once the later columns have made up for
/// what they can.
pub(super) fn spread_and_gain(moment: &[f64], n: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let fault = || Error::config("the calibration text", "gives inputs that are not finite");
    let mean = (0..n).map(|k| moment[k * n + k]).sum::<f64>() / n as f64;
    // Inputs that are all zero say nothing: plain rounding.
    let ridge = if mean > 0.0 { DAMPING * mean } else { 1.0 };
    let damped = |i: usize, j: usize| moment[i * n + j] + if i == j { ridge } else { 0.0 };
    let inverse = DMatrix::from_fn(n, n, damped).cholesky().ok_or_else(fault)?.inverse();
    let upper = inverse.cholesky().ok_or_else(fault)?.l().transpose();
    let element = |j: usize, c: usize| if c < j { 0.0 } else { upper[(j, c)] / upper[(j, j)] };
    let spread = (0..n * n).map(|at| element(at / n, at % n) as f32).collect();
    let gain = (0..n).map(|j| upper[(j, j)].powi(-2) as f32).collect();
    Ok((spread, gain))
}

fn round_row(row: &mut [f32], spread: &[f32], grid: &Grid) {
    let n = row.len();
    // An int8 scale is the largest magnitude's: that one keeps its place, so that the packer finds the scale again.
    let fixed = matches!(grid, Grid::Int8).then(|| largest(row).0);
    let mut scale = 0.0;
    for j in 0..n {
        let group = grid.group(n);
        if j % group == 0 {
            scale = grid.scale(&row[j..n.min(j + group)]);
        }
        let rounded = match fixed {
            Some(at) if at == j => (127.0 * scale).copysign(row[j]),
            _ => grid.round(row[j], scale),
        };
        let lost = row[j] - rounded;
        row[j] = rounded;
        let later = row[j + 1..].iter_mut().zip(&spread[j * n + j + 1..(j + 1) * n]);
        later.for_each(|(w, share)| *w -= lost * share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::testing::noise as numbers;
    use pocketlm::pack::{Factor, Sparsity, round_trip_factor};
    use proptest::prelude::*;

    /// Second moment of inputs that go together: each a mix of a few.
    fn moment(columns: usize, seed: u64) -> Vec<f64> {
        let (causes, count) = (3, 200);
        let (mix, draws) =
            (numbers(causes * columns, seed), numbers(count * (causes + columns), !seed));
        let mut sum = vec![0.0; columns * columns];
        for draw in draws.chunks(causes + columns) {
            let x: Vec<f64> = (0..columns)
                .map(|c| {
                    let mixed: f32 = (0..causes).map(|k| draw[k] * mix[k * columns + c]).sum();
                    f64::from(mixed + 0.1 * draw[causes + c])
                })
                .collect();
            (0..columns * columns).for_each(|at| sum[at] += x[at / columns] * x[at % columns]);
        }
        sum
    }

    fn packed(weights: &[f32], columns: usize, precision: Precision) -> Vec<f32> {
        let rows = weights.len() / columns;
        let sparsity = Sparsity::None;
        round_trip_factor(&Factor { rows, columns, weights, sparsity, precision }).unwrap()
    }

    fn loss(a: &[f32], b: &[f32], columns: usize, moment: &[f64]) -> f64 {
        let row = |(a, b): (&[f32], &[f32])| {
            let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| f64::from(a - b)).collect();
            (0..columns * columns)
                .map(|at| d[at / columns] * d[at % columns] * moment[at])
                .sum::<f64>()
        };
        a.chunks(columns).zip(b.chunks(columns)).map(row).sum()
    }

    fn precisions() -> impl Iterator<Item = Precision> {
        Precision::ALL.into_iter().filter(|precision| precision.takes_scales())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// What was rounded is what the packer makes of it, but for the odd group whose scale it fits anew.
        #[test]
        fn compensated_numbers_are_the_packers(columns in 20usize..150, seed: u64) {
            let moment = moment(columns, seed);
            for precision in precisions() {
                let mut ours = numbers(12 * columns, seed ^ 5);
                compensate(&mut ours, columns, &moment, &Grid::of(precision).unwrap()).unwrap();
                let found = packed(&ours, columns, precision);
                let pairs = found.iter().zip(&ours);
                let moved = pairs.clone().filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
                prop_assert!(10 * moved <= ours.len(), "{precision:?}: {moved} of {}", ours.len());
                // Half a step of three bits, for numbers up to one.
                for (a, b) in pairs {
                    prop_assert!((a - b).abs() <= 0.15, "{precision:?}: {a} {b}");
                }
            }
        }
    }

    /// Over many matrices: a single unlucky one may gain nothing.
    #[test]
    fn compensated_rounding_loses_less() {
        for precision in precisions() {
            let (mut ours, mut plain) = (0.0, 0.0);
            for seed in 0..16 {
                let columns = 30 + 7 * seed as usize;
                let (moment, weights) = (moment(columns, seed), numbers(12 * columns, seed ^ 5));
                let mut moved = weights.clone();
                compensate(&mut moved, columns, &moment, &Grid::of(precision).unwrap()).unwrap();
                ours += loss(&packed(&moved, columns, precision), &weights, columns, &moment);
                plain += loss(&packed(&weights, columns, precision), &weights, columns, &moment);
            }
            assert!(ours < 0.8 * plain, "{precision:?}: {ours} {plain}");
        }
    }

    #[test]
    fn inputs_that_do_not_go_together_change_nothing() {
        let columns = 64;
        let mut moment = vec![0.0; columns * columns];
        (0..columns).for_each(|k| moment[k * columns + k] = 1.0 + k as f64);
        let weights = numbers(3 * columns, 9);
        let mut ours = weights.clone();
        compensate(&mut ours, columns, &moment, &Grid::of(Precision::Int4).unwrap()).unwrap();
        assert_eq!(
            packed(&ours, columns, Precision::Int4),
            packed(&weights, columns, Precision::Int4)
        );
    }
}
