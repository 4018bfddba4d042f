//! The sixteen levels of a codebook: one-dimensional k-means (Lloyd 1982) over a matrix's weights, each
//! group divided by its mean magnitude.
//!
//! The weights are counted into narrow bins first, so that an iteration costs the same for any matrix.
//! The start are the quantiles, so the same matrix always gives the same levels.

use crate::code::Levels;

/// Bins over −[`REACH`]..[`REACH`] mean magnitudes; what lies beyond counts in the outermost.
const BINS: usize = 2048;
const REACH: f32 = 8.0;

/// Lloyd's iterations; they end early once the levels stand still.
const ITERATIONS: usize = 400;

/// The mass in each bin, and mass times value.
struct Histogram {
    mass: [f64; BINS],
    moment: [f64; BINS],
}

/// The levels that suit row-major `weights` `[rows, cols]` in groups of `group` columns: ascending, the
/// largest magnitude ±127. Weights must be finite.
///
/// # Panics
/// If `group` is zero.
pub fn levels(weights: &[f32], cols: usize, group: usize) -> Levels {
    let mut histogram = Histogram { mass: [0.0; BINS], moment: [0.0; BINS] };
    for row in weights.chunks(cols.max(1)) {
        row.chunks(group).for_each(|weights| histogram.add(weights));
    }
    let mut levels = histogram.quantiles();
    for _ in 0..ITERATIONS {
        let next = histogram.means(&levels);
        if next == levels {
            break;
        }
        levels = next;
    }
    to_bytes(&levels)
}

impl Histogram {
    /// Adds a group; its errors will count times the square of its scale.
    fn add(&mut self, weights: &[f32]) {
        let mean = weights.iter().map(|w| w.abs()).sum::<f32>() / weights.len() as f32;
        let (inverse, mass) = (crate::fit::inverse(mean), f64::from(mean) * f64::from(mean));
        for w in weights {
            let value = w * inverse;
            let bin = (value + REACH) * (BINS as f32 / (2.0 * REACH));
            let bin = (bin as i32).clamp(0, BINS as i32 - 1) as usize;
            self.mass[bin] += mass;
            self.moment[bin] += mass * f64::from(value);
        }
    }

    /// The middles of sixteen parts of equal mass.
    fn quantiles(&self) -> [f64; 16] {
        let total: f64 = self.mass.iter().sum();
        let (mut levels, mut below, mut bin) = ([0.0; 16], 0.0, 0);
        for (i, level) in levels.iter_mut().enumerate() {
            let wanted = total * (i as f64 + 0.5) / 16.0;
            while bin < BINS - 1 && below + self.mass[bin] < wanted {
                below += self.mass[bin];
                bin += 1;
            }
            *level = middle(bin);
        }
        levels
    }

    /// The means of what is nearest to each level; a level that nothing is nearest to stays.
    fn means(&self, levels: &[f64; 16]) -> [f64; 16] {
        let (mut next, mut bin) = (*levels, 0);
        for (i, next) in next.iter_mut().enumerate() {
            let border = levels.get(i + 1).map_or(f64::INFINITY, |above| (levels[i] + above) / 2.0);
            let (mut mass, mut moment) = (0.0, 0.0);
            while bin < BINS && middle(bin) < border {
                mass += self.mass[bin];
                moment += self.moment[bin];
                bin += 1;
            }
            if mass > 0.0 {
                *next = moment / mass;
            }
        }
        next
    }
}

/// The value in the middle of a bin.
fn middle(bin: usize) -> f64 {
    (bin as f64 + 0.5) * (2.0 * f64::from(REACH) / BINS as f64) - f64::from(REACH)
}

/// Stretches the levels to bytes.
fn to_bytes(levels: &[f64; 16]) -> Levels {
    let largest = levels.iter().fold(0.0f64, |largest, level| largest.max(level.abs()));
    let mut bytes = levels.map(|level| {
        let scaled = if largest > 0.0 { level / largest * 127.0 } else { 0.0 };
        (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i8
    });
    bytes.sort_unstable();
    bytes
}
