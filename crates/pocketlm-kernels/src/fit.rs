//! The scale of a group of weights that loses least, by squared error.
//!
//! With the codes fixed, the best scale is Σ w·q / Σ q², and what it leaves of Σ w² is
//! Σ w² − (Σ w·q)² / Σ q²: one pass over the weights both judges a scale and mends it.

use crate::code::{Code, Levels, Steps};
use crate::half;

/// Sums run in this many lanes (element i in lane i % 16), so that the compiler vectorises them.
const LANES: usize = 16;

/// How often the best scale of those tried is mended.
const REFINEMENTS: usize = 2;

/// The levels that a weight divided by its scale is rounded to.
#[allow(clippy::large_enum_variant, reason = "no allocation here, and only one of them at a time")]
pub enum Grid {
    /// Even steps.
    Even(Even),
    /// Sixteen ascending levels.
    Table(Table),
}

/// The levels (n + shift) · step for the whole numbers n of `low..=high`.
pub struct Even {
    low: f32,
    high: f32,
    shift: f32,
    step: f32,
    /// Scales tried, from the one that clips nothing times `first` down to that times `last`.
    tries: u16,
    first: f32,
    last: f32,
}

/// Sixteen ascending levels, and the nearest of them for each half step of the axis.
pub struct Table {
    levels: Levels,
    nearest: [u8; 512],
}

/// 1 / scale, or 0.
#[inline(always)]
pub fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

impl Grid {
    /// The grid of a code; `levels` are a codebook's.
    pub fn new(code: Code, levels: &Levels) -> Self {
        let Some(steps) = code.steps() else { return Self::Table(Table::new(levels)) };
        // Scales tried, from the one that clips nothing times the first factor down to that times the second.
        let tries = match code {
            Code::Int5 => (14, 1.07, 0.68),
            Code::Int4 => (14, 1.14, 0.54),
            Code::Int3 => (14, 1.3, 0.45),
            Code::Int2 => (12, 1.0, 0.3),
            Code::Ternary => (12, 1.0, 0.2),
            Code::Binary | Code::Codebook => (8, 1.0, 0.2),
        };
        Self::Even(Even::new(steps, tries))
    }

    /// The code of a weight.
    #[inline]
    pub fn code(&self, w: f32, inverse: f32) -> u8 {
        match self {
            Self::Even(even) => (even.number(w, inverse) - even.low) as u8,
            Self::Table(table) => table.code(w, inverse),
        }
    }

    /// Writes the level of each weight.
    pub fn levels(&self, weights: &[f32], inverse: f32, levels: &mut [f32]) {
        let pairs = levels.iter_mut().zip(weights);
        match self {
            // The sum has no zero with a sign, as the levels of codes have none.
            Self::Even(even) => pairs.for_each(|(l, &w)| *l = even.level(w, inverse) + 0.0),
            Self::Table(table) => pairs.for_each(|(l, &w)| *l = table.level(w, inverse)),
        }
    }
}

impl Even {
    fn new(steps: Steps, (tries, first, last): (u16, f32, f32)) -> Self {
        let low = steps.offset.div_euclid(steps.step);
        let step = f32::from(steps.step);
        let shift = f32::from(steps.offset.rem_euclid(steps.step)) / step;
        let high = f32::from(low + steps.count - 1);
        Self { low: f32::from(low), high, shift, step, tries, first, last }
    }

    /// The whole number n of the nearest level, ties to even.
    #[inline(always)]
    fn number(&self, w: f32, inverse: f32) -> f32 {
        const ROUND: f32 = 12_582_912.0;
        let scaled = w * inverse * (1.0 / self.step) - self.shift;
        let scaled = if scaled < self.high { scaled } else { self.high };
        let scaled = if scaled > self.low { scaled } else { self.low };
        (scaled + ROUND) - ROUND
    }

    #[inline(always)]
    fn level(&self, w: f32, inverse: f32) -> f32 {
        (self.number(w, inverse) + self.shift) * self.step
    }

    #[inline(always)]
    fn fit(&self, weights: &[f32]) -> u16 {
        // The lowest level is the one of the largest magnitude: the largest weight takes it, so the
        // scale may be negative.
        let naive = largest(weights) / ((self.low + self.shift) * self.step);
        let one_sided = self.low + self.high + 2.0 * self.shift == 0.0;
        let signs: &[f32] = if one_sided { &[1.0] } else { &[1.0, -1.0] };
        let fall = (self.last / self.first - 1.0) / f32::from(self.tries - 1);
        let mut best = (f32::NEG_INFINITY, naive);
        for i in 0..self.tries {
            let scale = naive * self.first * (1.0 + fall * f32::from(i));
            for sign in signs {
                best = better(best, sums(weights, scale * sign, |w, i| self.level(w, i)));
            }
        }
        finish(weights, naive, best.1, |w, inverse| self.level(w, inverse))
    }
}

impl Table {
    fn new(levels: &Levels) -> Self {
        let mut nearest = [0; 512];
        for (place, nearest) in nearest.iter_mut().enumerate() {
            // The border between two levels is half their sum.
            let twice = place as i32 - 256;
            let above = |pair: &&[i8]| i32::from(pair[0]) + i32::from(pair[1]) <= twice;
            *nearest = levels.windows(2).take_while(above).count() as u8;
        }
        Self { levels: *levels, nearest }
    }

    #[inline(always)]
    fn code(&self, w: f32, inverse: f32) -> u8 {
        let twice = w * inverse * 2.0 + 256.0;
        self.nearest[(twice as i32).clamp(0, 511) as usize]
    }

    #[inline(always)]
    fn level(&self, w: f32, inverse: f32) -> f32 {
        f32::from(self.levels[usize::from(self.code(w, inverse) & 15)])
    }

    #[inline(always)]
    fn fit(&self, weights: &[f32]) -> u16 {
        let naive = largest(weights).abs() / 127.0;
        let mut best = (f32::NEG_INFINITY, naive);
        for i in 0..6u8 {
            let scale = naive * (1.05 - 0.1 * f32::from(i));
            best = better(best, sums(weights, scale, |w, i| self.level(w, i)));
        }
        finish(weights, naive, best.1, |w, inverse| self.level(w, inverse))
    }
}

/// The half-precision scale with the least sum of squared errors for these weights.
#[inline(always)]
pub fn fit(grid: &Grid, weights: &[f32]) -> u16 {
    match grid {
        Grid::Even(even) => even.fit(weights),
        Grid::Table(table) => table.fit(weights),
    }
}

/// The weight of the largest magnitude.
#[inline(always)]
fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0f32, |m, &w| if w.abs() > m.abs() { w } else { m })
}

/// Of a scale and its merit, and the sums of another: the better.
#[inline(always)]
fn better(best: (f32, f32), [wq, qq]: [f32; 2]) -> (f32, f32) {
    let merit = wq * (wq / qq);
    if merit > best.0 { (merit, wq / qq) } else { best }
}

/// Mends `scale`; of what comes and of `naive`, each rounded to half precision, the one that loses
/// less.
#[inline(always)]
fn finish(weights: &[f32], naive: f32, scale: f32, level: impl Fn(f32, f32) -> f32 + Copy) -> u16 {
    let mut scale = scale;
    for _ in 0..REFINEMENTS {
        let [wq, qq] = sums(weights, scale, level);
        scale = if qq > 0.0 { wq / qq } else { scale };
    }
    let (fitted, naive) = (half::from_f32(scale), half::from_f32(naive));
    let loss = |scale| squared_error(weights, half::to_f32(scale), level);
    if loss(fitted) <= loss(naive) { fitted } else { naive }
}

/// Adds up `terms(w)` over all weights, each of the sums in lanes. Terms of a weight beyond the last
/// whole sixteen count for themselves alone.
#[inline(always)]
fn add_up<const N: usize>(weights: &[f32], terms: impl Fn(f32) -> [f32; N]) -> [f32; N] {
    let mut lanes = [[0.0f32; LANES]; N];
    let (chunks, rest) = weights.as_chunks::<LANES>();
    for chunk in chunks {
        for (i, &w) in chunk.iter().enumerate() {
            let terms = terms(w);
            for n in 0..N {
                lanes[n][i] += terms[n];
            }
        }
    }
    for (i, &w) in rest.iter().enumerate() {
        let terms = terms(w);
        for n in 0..N {
            lanes[n][i] += terms[n];
        }
    }
    lanes.map(|lanes| lanes.iter().fold(0.0, |sum, &lane| sum + lane))
}

/// Σ w·q and Σ q² with the levels q that `scale` gives.
#[inline(always)]
fn sums(weights: &[f32], scale: f32, level: impl Fn(f32, f32) -> f32) -> [f32; 2] {
    let inverse = inverse(scale);
    add_up(weights, |w| {
        let q = level(w, inverse);
        [w * q, q * q]
    })
}

#[inline(always)]
fn squared_error(weights: &[f32], scale: f32, level: impl Fn(f32, f32) -> f32) -> f32 {
    let inverse = inverse(scale);
    let [error] = add_up(weights, |w| {
        let error = w - level(w, inverse) * scale;
        [error * error]
    });
    error
}
