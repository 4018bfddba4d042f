//! Products with weights of a few bits, one half-precision scale per row and group of columns.
//!
//! A weight is stored as a short code; its value is `level · scale[row, group]`, where the levels are
//! whole numbers of one byte: [fixed ones](Code::steps) for the [`Code`]s of even steps, sixteen of the
//! matrix's own for [`Code::Codebook`]. Layout: see [`layout`](crate::layout). Products are specified to the bit:
//!
//! `out[r] = out[r] + (((f32(s₀)·scale[r, 0]) + f32(s₁)·scale[r, 1]) + …) · q_scale`
//!
//! with s_g the exact integer sum of `level[r, c]·q[c]` over group g, groups added in ascending
//! order starting from zero, and every operation rounded once.

use crate::backend::call;
use crate::code::check;
pub use crate::code::{BINARY_GROUP, Code, GROUP, Grouped, Levels, Steps, scales_len};
#[cfg(feature = "host")]
use crate::fit::Grid;
use crate::half;
use crate::layout::PANEL_ROWS;

/// Packs row-major `weights` `[rows, cols]` into `bytes` and `scales`.
///
/// Each row of a group gets, of many tried, the scale with the smallest sum of squared errors once it
/// is rounded to half precision; it is never worse than the scale that just clips nothing. `levels` are
/// [`codebook::levels`](crate::codebook::levels), ascending, where the code is a codebook. Weights must be finite.
///
/// # Panics
/// If `weights` is not `rows · cols` long, `bytes` not [`Code::len`], `scales` not [`scales_len`], or
/// `group` no positive multiple of [`Code::block`].
#[cfg(feature = "host")]
#[expect(clippy::too_many_arguments, reason = "flat slices in, flat slices out")]
pub fn pack(
    code: Code,
    levels: &Levels,
    weights: &[f32],
    rows: usize,
    cols: usize,
    group: usize,
    bytes: &mut [u8],
    scales: &mut [u16],
) {
    let grid = Grid::new(code, levels);
    let fitted = |_: usize, weights: &[f32]| call!(fit(&grid, weights));
    pack_by(code, &grid, weights, [rows, cols], group, bytes, scales, fitted);
}

/// The same with the scales that `given` `[rows, groups]` has, instead of those that lose least.
///
/// # Panics
/// As [`pack`], or if `given` does not have a scale for each row and group.
#[cfg(feature = "host")]
#[expect(clippy::too_many_arguments, reason = "flat slices in, flat slices out")]
pub fn pack_scaled(
    code: Code,
    levels: &Levels,
    weights: &[f32],
    given: &[u16],
    rows: usize,
    cols: usize,
    group: usize,
    bytes: &mut [u8],
    scales: &mut [u16],
) {
    let grid = Grid::new(code, levels);
    assert!(given.len() == rows * cols.div_ceil(group), "{} scales are given", given.len());
    pack_by(code, &grid, weights, [rows, cols], group, bytes, scales, |at, _| given[at]);
}

/// Packs with the scales that `scale` gives for the number of a row's group among all and its weights.
#[cfg(feature = "host")]
#[expect(clippy::too_many_arguments, reason = "flat slices in, flat slices out")]
fn pack_by(
    code: Code,
    grid: &Grid,
    weights: &[f32],
    [rows, cols]: [usize; 2],
    group: usize,
    bytes: &mut [u8],
    scales: &mut [u16],
    scale: impl Fn(usize, &[f32]) -> u16,
) {
    assert!(weights.len() == rows * cols, "{} weights for [{rows}, {cols}]", weights.len());
    check(code, bytes, scales, group, code.padded_cols(cols), rows);
    bytes.fill(if code == Code::Int4 { 0x88 } else { 0 });
    scales.fill(0);
    let (step, groups) = (code.len(PANEL_ROWS, cols), cols.div_ceil(group));
    for (row, weights) in weights.chunks_exact(cols.max(1)).enumerate() {
        let (panel, r) = (row / PANEL_ROWS, row % PANEL_ROWS);
        for (g, weights) in weights.chunks(group).enumerate() {
            let scale = scale(row * groups + g, weights);
            scales[(panel * groups + g) * PANEL_ROWS + r] = scale;
            let blocks = &mut bytes[panel * step + code.len(PANEL_ROWS, g * group)..];
            let inverse = crate::fit::inverse(half::to_f32(scale));
            for (c, &w) in weights.iter().enumerate() {
                code.put(blocks, r, c, grid.code(w, inverse));
            }
        }
    }
}

/// Rounds number by number what [`pack`] rounds group by group.
#[cfg(feature = "host")]
pub struct Rounding {
    code: Code,
    grid: Grid,
    levels: Levels,
}

#[cfg(feature = "host")]
impl Rounding {
    /// For a code and its levels, as [`pack`] takes them.
    pub fn new(code: Code, levels: &Levels) -> Self {
        Self { code, grid: Grid::new(code, levels), levels: *levels }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The scale that [`pack`] gives a group of these weights.
    pub fn scale(&self, weights: &[f32]) -> f32 {
        half::to_f32(call!(fit(&self.grid, weights)))
    }

    /// Writes the level nearest to `w / scale` for each of `weights`.
    pub fn levels(&self, weights: &[f32], scale: f32, levels: &mut [f32]) {
        self.grid.levels(weights, crate::fit::inverse(scale), levels);
    }

    /// The nearest number that the code has with this scale.
    #[inline]
    pub fn round(&self, w: f32, scale: f32) -> f32 {
        let code = self.grid.code(w, crate::fit::inverse(scale));
        f32::from(self.code.level(code, &self.levels)) * scale
    }
}

impl Grouped<'_> {
    /// Row `row` as numbers, `level · scale`, into `out` `[cols]`.
    ///
    /// # Panics
    /// If the matrix does not hold that row with `out.len()` columns.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        self.each(row, out, |y, value| *y = value);
    }

    /// Adds row `row` to `out` `[cols]`, as the further planes of a binary code are.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    pub fn add_row(&self, row: usize, out: &mut [f32]) {
        self.each(row, out, |y, value| *y += value);
    }

    #[inline(always)]
    fn each(&self, row: usize, out: &mut [f32], put: impl Fn(&mut f32, f32)) {
        let Self { code, group, .. } = *self;
        let (panel, r) = (row / PANEL_ROWS, row % PANEL_ROWS);
        let (step, groups) = (code.len(PANEL_ROWS, out.len()), out.len().div_ceil(group));
        let bytes = &self.bytes[panel * step..][..step];
        let scales = &self.scales[panel * groups * PANEL_ROWS..][..groups * PANEL_ROWS];
        for (g, out) in out.chunks_mut(group).enumerate() {
            let scale = half::to_f32(scales[g * PANEL_ROWS + r]);
            let blocks = &bytes[code.len(PANEL_ROWS, g * group)..];
            for (c, y) in out.iter_mut().enumerate() {
                put(y, f32::from(code.level(code.get(blocks, r, c), self.levels)) * scale);
            }
        }
    }

    /// The whole matrix row-major into `out` `[rows, cols]`.
    ///
    /// # Panics
    /// If `out.len()` is no multiple of `cols`, or the matrix has other lengths.
    pub fn unpack(&self, cols: usize, out: &mut [f32]) {
        self.check(self.code.padded_cols(cols), out.len() / cols.max(1));
        for (r, out) in out.chunks_exact_mut(cols.max(1)).enumerate() {
            self.row(r, out);
        }
    }

    /// Adds the product with one quantised vector to `out` `[rows]`.
    ///
    /// `q` has [`Code::padded_cols`] elements, `q_scale` is its scale, `q_sums` the sums of its groups
    /// (see [`quantise::sums`](crate::quantise::sums)); wrong sums give wrong numbers.
    ///
    /// # Panics
    /// If the lengths do not fit, the group is no positive multiple of [`Code::block`], or there are more
    /// than [`MAX_INTEGER_COLS`](crate::layout::MAX_INTEGER_COLS) columns.
    pub fn matvec(&self, q: &[i8], q_scale: f32, q_sums: &[i32], out: &mut [f32]) {
        self.check(q.len(), out.len());
        assert!(q_sums.len() == q.len().div_ceil(self.group), "{} sums of groups", q_sums.len());
        call!(grouped_matvec(*self, q, q_scale, q_sums, out));
    }

    /// Adds the products with a batch of quantised vectors: `q` `[batch, padded_cols]`, `q_scales`
    /// `[batch]`, `q_sums` `[batch, groups]`, `out` `[batch, rows]`. Bit for bit what
    /// [`matvec`](Self::matvec) gives for each.
    ///
    /// # Panics
    /// As [`matvec`](Self::matvec).
    pub fn matmul(&self, q: &[i8], q_scales: &[f32], q_sums: &[i32], out: &mut [f32]) {
        let batch = q_scales.len();
        if batch == 0 {
            assert!(q.is_empty() && q_sums.is_empty() && out.is_empty(), "an empty batch");
            return;
        }
        let ragged = !q.len().is_multiple_of(batch) || !out.len().is_multiple_of(batch);
        assert!(!ragged, "ragged batch of {batch}");
        let (cols, rows) = (q.len() / batch, out.len() / batch);
        self.check(cols, rows);
        let groups = cols.div_ceil(self.group);
        let sums = batch * groups;
        assert!(q_sums.len() == sums, "{} sums of groups, not {sums}", q_sums.len());
        #[cfg(feature = "batch")]
        call!(grouped_matmul(*self, q, q_scales, q_sums, out));
        #[cfg(not(feature = "batch"))]
        for b in 0..batch {
            let (q, out) = (&q[b * cols..][..cols], &mut out[b * rows..][..rows]);
            self.matvec(q, q_scales[b], &q_sums[b * groups..][..groups], out);
        }
    }

    fn check(&self, cols: usize, rows: usize) {
        check(self.code, self.bytes, self.scales, self.group, cols, rows);
    }
}
