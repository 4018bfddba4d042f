//! Multi-bit binary codes: a group of weights as a sum of scaled signs, w ≈ Σ_k α_k b_k with b_k ∈ {−1, 1}ⁿ, found
//! by alternating minimisation (Xu et al. 2018, section 3).
//!
//! Each k is a **plane**: a matrix of [`Code::Binary`] with scales of its own. The product with the whole is the
//! products with the planes, one added after the other.

use crate::code::{Code, scales_len};
use crate::half;
use crate::layout::PANEL_ROWS;

pub use crate::code::BINARY_GROUP as GROUP;

/// Most planes of a code.
pub const MAX_PLANES: usize = 4;

/// Rounds of alternation at most; they end early where they change nothing.
const ROUNDS: usize = 24;

/// Scales of the planes of one group; those beyond the planes of a code are zero.
pub type Scales = [f32; MAX_PLANES];

/// The greedy start (Xu et al. 2018, equation 4): each plane takes the signs and the mean magnitude of what the
/// planes before it leave.
pub fn greedy(weights: &[f32], planes: usize) -> Scales {
    let mut scales = Scales::default();
    for plane in 0..planes {
        let rest = |w: &f32| {
            scales[..plane].iter().fold(*w, |w, scale| if w < 0.0 { w + scale } else { w - scale })
        };
        let sum: f64 = weights.iter().map(|w| f64::from(rest(w).abs())).sum();
        scales[plane] = (sum / weights.len().max(1) as f64) as f32;
    }
    scales
}

/// One round: the nearest codes for these scales, then the best scales for those codes (Xu et al. 2018, algorithm 2
/// and equation 5). Their squared error is never larger than before.
pub fn alternate(weights: &[f32], planes: usize, scales: &Scales) -> Scales {
    let table = Table::new(planes, scales);
    let (mut counts, mut sums) = ([0u32; CODES], [0.0f64; CODES]);
    for &w in weights {
        let place = table.place(w);
        counts[place] += 1;
        sums[place] += f64::from(w);
    }
    // Normal equations: Σ b bᵀ and Σ w b.
    let (mut gram, mut moment) = ([[0.0f64; MAX_PLANES]; MAX_PLANES], [0.0f64; MAX_PLANES]);
    for (place, &code) in table.codes.iter().enumerate().take(1 << planes) {
        for i in 0..planes {
            moment[i] += sums[place] * sign(code, i);
            for (j, sum) in gram[i].iter_mut().enumerate().take(planes) {
                *sum += f64::from(counts[place]) * sign(code, i) * sign(code, j);
            }
        }
    }
    solve(gram, moment, planes).unwrap_or(*scales)
}

/// The squared error of the nearest codes.
pub fn error(weights: &[f32], planes: usize, scales: &Scales) -> f64 {
    let table = Table::new(planes, scales);
    let error = |w: &f32| {
        let error = f64::from(w - value(table.nearest(*w), planes, scales));
        error * error
    };
    weights.iter().map(error).sum()
}

/// The scales of a group, as half-precision numbers.
fn fit(weights: &[f32], planes: usize) -> [u16; MAX_PLANES] {
    let mut scales = greedy(weights, planes);
    for _ in 0..ROUNDS {
        let next = alternate(weights, planes, &scales);
        if next == scales {
            break;
        }
        scales = next;
    }
    scales.map(half::from_f32)
}

/// Codes of the most planes.
const CODES: usize = 1 << MAX_PLANES;

/// The codes by their values, ascending, and the borders between them.
struct Table {
    codes: [u8; CODES],
    borders: [f32; CODES - 1],
}

impl Table {
    fn new(planes: usize, scales: &Scales) -> Self {
        let mut codes: [u8; CODES] = core::array::from_fn(|code| code as u8);
        let value = |code: u8| value(code, planes, scales);
        let used = &mut codes[..1 << planes];
        used.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
        let mut borders = [f32::INFINITY; CODES - 1];
        for (border, pair) in borders.iter_mut().zip(used.windows(2)) {
            *border = (value(pair[0]) + value(pair[1])) * 0.5;
        }
        Self { codes, borders }
    }

    /// The place of the nearest code: as many borders as lie below `w`.
    #[inline]
    fn place(&self, w: f32) -> usize {
        self.borders.iter().map(|&border| usize::from(border < w)).sum()
    }

    /// The nearest code, a bit for each plane from the lowest.
    fn nearest(&self, w: f32) -> u8 {
        self.codes[self.place(w)]
    }
}

/// What a code stands for: `((±α₀) ± α₁) ± …`, each sum rounded.
pub fn value(code: u8, planes: usize, scales: &Scales) -> f32 {
    let signed = |plane: usize| if code >> plane & 1 == 1 { scales[plane] } else { -scales[plane] };
    (1..planes).fold(signed(0), |sum, plane| sum + signed(plane))
}

fn sign(code: u8, plane: usize) -> f64 {
    if code >> plane & 1 == 1 { 1.0 } else { -1.0 }
}

/// The solution of `gram x = moment`, by elimination with pivots; none where planes are the same or opposites.
fn solve(
    mut gram: [[f64; MAX_PLANES]; MAX_PLANES],
    mut moment: [f64; MAX_PLANES],
    planes: usize,
) -> Option<Scales> {
    let least = 1e-9 * gram[0][0];
    for k in 0..planes {
        let pivot = (k..planes).max_by(|&a, &b| gram[a][k].abs().total_cmp(&gram[b][k].abs()))?;
        gram.swap(k, pivot);
        moment.swap(k, pivot);
        if gram[k][k].abs() <= least {
            return None;
        }
        for row in k + 1..planes {
            let factor = gram[row][k] / gram[k][k];
            let upper = gram[k];
            let columns = gram[row].iter_mut().zip(upper).take(planes).skip(k);
            columns.for_each(|(x, above)| *x -= factor * above);
            moment[row] -= factor * moment[k];
        }
    }
    for k in (0..planes).rev() {
        let known: f64 = (k + 1..planes).map(|column| gram[k][column] * moment[column]).sum();
        moment[k] = (moment[k] - known) / gram[k][k];
    }
    Some(moment.map(|scale| scale as f32))
}

/// Packs row-major `weights` `[rows, cols]` into `planes` matrices of [`Code::Binary`]: their codes one after the
/// other in `bytes`, and so their scales. Weights must be finite.
///
/// # Panics
/// If `weights` is not `rows · cols` long, `bytes` not `planes` times [`Code::len`], `scales` not `planes` times
/// [`scales_len`], `planes` not from 1 to [`MAX_PLANES`], or `group` no positive multiple of 32.
pub fn pack(
    planes: usize,
    weights: &[f32],
    [rows, cols]: [usize; 2],
    group: usize,
    bytes: &mut [u8],
    scales: &mut [u16],
) {
    let (size, count) = (Code::Binary.len(rows, cols), scales_len(rows, cols, group));
    assert!((1..=MAX_PLANES).contains(&planes), "{planes} planes");
    assert!(weights.len() == rows * cols, "{} weights for [{rows}, {cols}]", weights.len());
    assert!(bytes.len() == planes * size && scales.len() == planes * count, "lengths of planes");
    assert!(group > 0 && group.is_multiple_of(Code::Binary.block()), "a group of {group} columns");
    bytes.fill(0);
    scales.fill(0);
    let (step, groups) = (Code::Binary.len(PANEL_ROWS, cols), cols.div_ceil(group));
    for (row, weights) in weights.chunks_exact(cols.max(1)).enumerate() {
        let (panel, r) = (row / PANEL_ROWS, row % PANEL_ROWS);
        for (g, weights) in weights.chunks(group).enumerate() {
            let halves = fit(weights, planes);
            let table = Table::new(planes, &halves.map(half::to_f32));
            for (plane, scale) in halves.into_iter().enumerate().take(planes) {
                scales[plane * count + (panel * groups + g) * PANEL_ROWS + r] = scale;
                let start = plane * size + panel * step + Code::Binary.len(PANEL_ROWS, g * group);
                for (c, &w) in weights.iter().enumerate() {
                    let code = table.nearest(w) >> plane & 1;
                    Code::Binary.put(&mut bytes[start..], r, c, code);
                }
            }
        }
    }
}
