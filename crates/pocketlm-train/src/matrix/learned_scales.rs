//! Learned scales (LSQ; Esser et al. 2020, arXiv 1902.08153): a matrix of a few bits whose scales, one for each row
//! and group of columns as in the packed file, are trained together with its weights.
//!
//! A weight `v` of scale `s` becomes `q(v / s) s` (equations 1 and 2), where `q` takes the nearest level of the code.
//! Backward the rounding is passed straight through: within the range of the levels the derivative is 1 for the weight
//! and `q(v / s) - v / s` for the scale, beyond it 0 and `q(v / s)` (equations 5 and 3). The scale's gradient is
//! multiplied by `1 / sqrt(N Q)`, with `N` weights of that scale and the highest level `Q` (section 2.2).
//!
//! [`LearnedScales::whole_rows`] gives a row one scale, which int8 always has.
//!
//! Scales are rounded to half precision, which is passed straight through as well: what training computes with is what
//! the file holds, bit for bit.

use pocketlm::Precision;
use pocketlm_kernels::grouped::{Code, GROUP, Levels, Rounding};
use pocketlm_kernels::{half, int8};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};

/// Codes of few bits with scales that are trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedScales {
    /// `int8`, or one with an [even code](Precision::even_code).
    pub precision: Precision,
    /// Whether all columns of a row share a scale, instead of 64; with int8 they do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_rows: bool,
}

impl LearnedScales {
    /// Columns that share a scale, of so many.
    fn group(&self, columns: usize) -> usize {
        if self.whole_rows { columns } else { GROUP }
    }
}

/// A code's lowest and highest level, and how numbers come to levels.
struct Grid {
    low: f32,
    high: f32,
    /// None for whole numbers (int8).
    rounding: Option<Rounding>,
}

impl Grid {
    fn of(precision: Precision) -> Self {
        let of_code = |code: Code| {
            let steps = code.steps()?;
            let (low, high) = (f32::from(steps.offset), f32::from(steps.highest()));
            Some(Self { low, high, rounding: Some(Rounding::new(code, &Levels::default())) })
        };
        let whole = Self { low: -127.0, high: 127.0, rounding: None };
        precision.even_code().and_then(of_code).unwrap_or(whole)
    }

    /// The scale of a group that loses least; for int8 the one that clips nothing.
    fn scale(&self, weights: &[f32]) -> f32 {
        match &self.rounding {
            Some(rounding) => rounding.scale(weights),
            None => weights.iter().fold(0.0f32, |most, w| most.max(w.abs())) / self.high,
        }
    }

    /// Writes the level nearest to `w / scale` for each of `weights`.
    fn levels(&self, weights: &[f32], scale: f32, levels: &mut [f32]) {
        match &self.rounding {
            Some(rounding) => rounding.levels(weights, scale, levels),
            None => levels.iter_mut().zip(weights).for_each(|(l, &w)| *l = int8::level(w, scale)),
        }
    }

    /// Sets `d_weights` of one group to their gradients; returns that of the scale.
    fn pull_back(&self, weights: &[f32], scale: f32, d: &[f32], d_weights: &mut [f32]) -> f32 {
        let scale = stored(scale);
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let mut levels = vec![0.0; weights.len()];
        self.levels(weights, scale, &mut levels);
        let mut sum = 0.0;
        for (((w, d), d_weight), level) in weights.iter().zip(d).zip(d_weights).zip(&levels) {
            let x = w * inverse;
            let within = f32::from(u8::from(self.low < x && x < self.high));
            *d_weight = within * d;
            sum += d * (*level - within * x);
        }
        sum / (weights.len() as f32 * self.high).sqrt()
    }
}

/// A scale as the packed file has it.
fn stored(scale: f32) -> f32 {
    half::to_f32(half::from_f32(scale))
}

impl Structured for LearnedScales {
    fn check(&self, _: Shape) -> Result<()> {
        if self.precision == Precision::Int8 && self.whole_rows
            || self.precision.even_code().is_some()
        {
            return Ok(());
        }
        let what = format!(
            "is {}, which has no scales to learn: give {}",
            self.precision,
            Precision::list(|precision| precision.even_code().is_some())
        );
        Err(Error::config("precision", what))
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let Shape { rows, columns } = shape;
        let groups = columns.div_ceil(self.group(columns));
        vec![
            LeafShape { suffix: ".weights".into(), rows, columns },
            LeafShape { suffix: ".scales".into(), rows, columns: groups },
        ]
    }

    /// The weights as they are, with the scales that lose least.
    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        if dense.iter().any(|x| !x.is_finite()) {
            return Err(Error::config("the matrix", "holds numbers that are not finite"));
        }
        let (grid, group) = (Grid::of(self.precision), self.group(shape.columns));
        let rows = dense.par_chunks(shape.columns);
        let scales = rows.flat_map_iter(|row| row.chunks(group).map(|part| grid.scale(part)));
        Ok(vec![dense.to_vec(), scales.collect()])
    }

    fn terms(&self) -> usize {
        1
    }

    fn depth(&self, _: usize) -> usize {
        1
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        let (columns, grid) = (shape.columns, Grid::of(self.precision));
        let group = self.group(columns);
        let rows = leaves[0].par_chunks(columns).zip(leaves[1].par_chunks(columns.div_ceil(group)));
        out.par_chunks_mut(columns).zip(rows).for_each(|(out, (weights, scales))| {
            let groups = out.chunks_mut(group).zip(weights.chunks(group)).zip(scales);
            for ((out, weights), &scale) in groups {
                let scale = stored(scale);
                grid.levels(weights, scale, out);
                out.iter_mut().for_each(|out| *out *= scale);
            }
        });
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let (columns, grid) = (shape.columns, Grid::of(self.precision));
        let group = self.group(columns);
        let groups = columns.div_ceil(group);
        let [d_weights, d_scales] = d_leaves else { return };
        let rows = leaves[0].par_chunks(columns).zip(leaves[1].par_chunks(groups));
        let rows = rows.zip(d_dense.par_chunks(columns));
        let d_rows = d_weights.par_chunks_mut(columns).zip(d_scales.par_chunks_mut(groups));
        d_rows.zip(rows).for_each(|((d_weights, d_scales), ((weights, scales), d))| {
            let parts = d_weights.chunks_mut(group).zip(weights.chunks(group)).zip(d.chunks(group));
            for (((d_weights, weights), d), (d_scale, scale)) in
                parts.zip(d_scales.iter_mut().zip(scales))
            {
                *d_scale = grid.pull_back(weights, *scale, d, d_weights);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::testing::noise;
    use pocketlm::pack::{Factor, Sparsity, round_trip_factor};

    fn precisions() -> impl Iterator<Item = Precision> {
        Precision::ALL.into_iter().filter(|precision| precision.even_code().is_some())
    }

    const SHAPE: Shape = Shape { rows: 5, columns: 150 };

    /// Equations 1, 2, 3 and 5, number by number, of so many bits, signed; for int2 with its levels at odd places.
    fn by_the_paper(precision: Precision, v: f64, s: f64) -> (f64, f64, f64) {
        let (below, above) = magnitudes(precision);
        let clipped = (v / s).clamp(-below, above);
        let level = match precision {
            Precision::Int2 => 2.0 * ((clipped - 1.0) / 2.0).round() + 1.0,
            _ => clipped.round(),
        };
        if -below < v / s && v / s < above {
            (level * s, 1.0, -v / s + level)
        } else {
            (level * s, 0.0, if v / s <= -below { -below } else { above })
        }
    }

    /// Q_N and Q_P.
    fn magnitudes(precision: Precision) -> (f64, f64) {
        match precision {
            Precision::Int2 => (3.0, 3.0),
            Precision::Ternary => (1.0, 1.0),
            _ => {
                let half = f64::from(1 << (precision.bits() - 1));
                (half, half - 1.0)
            }
        }
    }

    #[test]
    fn values_and_gradients_are_the_papers() {
        let Shape { rows, columns } = SHAPE;
        for precision in precisions() {
            let form = LearnedScales { precision, whole_rows: false };
            let leaves = form.decompose(&noise(rows * columns, 3), SHAPE).unwrap();
            let (weights, mut scales) = (&leaves[0], leaves[1].clone());
            // Small ones clip much, and negative ones are scales too.
            scales.iter_mut().step_by(2).for_each(|s| *s *= 0.4);
            scales.iter_mut().step_by(3).for_each(|s| *s *= -1.0);
            let d = noise(rows * columns, 4);
            let (mut dense, mut d_weights) = (vec![0.0; d.len()], vec![0.0; d.len()]);
            let mut d_scales = vec![0.0; scales.len()];
            form.materialise(&[weights, &scales], SHAPE, &mut dense);
            let own = &mut [&mut d_weights[..], &mut d_scales[..]];
            form.pull_back(&[weights, &scales], SHAPE, &d, own);
            let groups = columns.div_ceil(GROUP);
            let mut sums = vec![0.0; scales.len()];
            for at in 0..d.len() {
                let group = at / columns * groups + at % columns / GROUP;
                let (v, s) = (f64::from(weights[at]), f64::from(stored(scales[group])));
                let (value, to_weight, to_scale) = by_the_paper(precision, v, s);
                assert!((f64::from(dense[at]) - value).abs() < 1e-6, "{precision:?} {v} {s}");
                assert_eq!(f64::from(d_weights[at]), to_weight * f64::from(d[at]));
                sums[group] += to_scale * f64::from(d[at]);
            }
            let (_, highest) = magnitudes(precision);
            for (at, (got, sum)) in d_scales.iter().zip(sums).enumerate() {
                let count = if at % groups == groups - 1 { columns % GROUP } else { GROUP };
                let want = sum / (count as f64 * highest).sqrt();
                assert!((f64::from(*got) - want).abs() < 1e-5, "{precision:?}: {got} {want}");
            }
        }
    }

    #[test]
    fn at_first_it_is_plain_rounding() {
        let Shape { rows, columns } = SHAPE;
        for precision in precisions() {
            let dense = noise(rows * columns, 5);
            let leaves =
                LearnedScales { precision, whole_rows: false }.decompose(&dense, SHAPE).unwrap();
            let mut ours = vec![0.0; dense.len()];
            let views: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
            LearnedScales { precision, whole_rows: false }.materialise(&views, SHAPE, &mut ours);
            let sparsity = Sparsity::None;
            let factor = Factor { rows, columns, weights: &dense, sparsity, precision };
            assert_eq!(ours, round_trip_factor(&factor).unwrap());
        }
    }
}
