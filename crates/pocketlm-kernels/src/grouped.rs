//! Products with weights of a few bits, one half-precision scale per row and group of columns.
//!
//! A weight is stored as a short code; its value is `levels[code] · scale[row, group]`, where the levels
//! are whole numbers of one byte: fixed ones for the [`Code`]s of even steps, sixteen of the matrix's own
//! for [`Code::Codebook`]. Layout: see [`layout`](crate::layout). Products are specified to the bit:
//!
//! `out[r] = out[r] + (((f32(s₀)·scale[r, 0]) + f32(s₁)·scale[r, 1]) + …) · q_scale`
//!
//! with s_g the exact integer sum of `levels[code[r, c]]·q[c]` over group g, groups added in ascending
//! order starting from zero, and every operation rounded once.

use crate::backend::call;
#[cfg(feature = "host")]
use crate::fit::Grid;
use crate::half;
use crate::layout::{MAX_INTEGER_COLS, PANEL_ROWS, padded_rows, panels};

/// Columns per scale of all codes but binary ones, unless a model says otherwise.
pub const GROUP: usize = 64;

/// The same of a plane of a binary code.
pub const BINARY_GROUP: usize = 128;

/// What each code stands for; of codes of fewer bits only the first places count.
pub type Levels = [i8; 16];

/// How weights become codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 4 bits, −8 to 7.
    Int4,
    /// 3 bits, −4 to 3.
    Int3,
    /// 2 bits: −3, −1, 1, 3. Four even steps around zero have 0.119 of a normal distribution's variance as
    /// their squared error (Max 1960, table I); −2 to 1 have 0.149 at best.
    Int2,
    /// 2 bits: −1, 0, 1 (the fourth code, 2, is never written).
    Ternary,
    /// 4 bits, sixteen levels that the matrix brings along.
    Codebook,
    /// 1 bit: −1 or 1. A plane of a binary code ([`binary`](crate::binary)).
    Binary,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Int4, Self::Int3, Self::Int2, Self::Ternary, Self::Codebook, Self::Binary];

    /// Bits of a code.
    pub const fn bits(self) -> usize {
        match self {
            Self::Int4 | Self::Codebook => 4,
            Self::Int3 => 3,
            Self::Int2 | Self::Ternary => 2,
            Self::Binary => 1,
        }
    }

    /// Columns that lie together: columns are padded to a multiple of it, and so is a group.
    pub const fn block(self) -> usize {
        match self {
            Self::Int4 | Self::Codebook => 8,
            Self::Int3 | Self::Binary => 32,
            Self::Int2 | Self::Ternary => 16,
        }
    }

    /// Columns per scale, unless a model says otherwise: a binary code has a scale for each of its planes, so
    /// more columns share one.
    pub const fn usual_group(self) -> usize {
        if matches!(self, Self::Binary) { BINARY_GROUP } else { GROUP }
    }

    /// Columns as stored. Quantised vectors have this length.
    pub const fn padded_cols(self, cols: usize) -> usize {
        cols.next_multiple_of(self.block())
    }

    /// Bytes of codes that a matrix `[rows, cols]` takes (without its scales).
    ///
    /// # Panics
    /// If they do not fit in a `usize`.
    pub const fn len(self, rows: usize, cols: usize) -> usize {
        let codes = padded_rows(rows).checked_mul(self.padded_cols(cols));
        codes.expect("the matrix is larger than the address space") / 8 * self.bits()
    }

    /// The levels; all zero for [`Code::Codebook`], whose levels are the matrix's own.
    pub const fn levels(self) -> Levels {
        match self {
            Self::Int4 => [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7],
            Self::Int3 => [-4, -3, -2, -1, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Int2 => [-3, -1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Ternary => [-1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Codebook => [0; 16],
            Self::Binary => [-1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// Where the code of row `r` and column `c` of a panel lies: the byte and the shift of its bits (for
    /// [`Code::Int3`] of its low two bits).
    #[inline]
    const fn place(self, r: usize, c: usize) -> (usize, usize) {
        let byte = r * 4 + c % 4;
        match self {
            Self::Int4 | Self::Codebook => (c / 8 * 64 + byte, c % 8 / 4 * 4),
            Self::Int2 | Self::Ternary => (c / 16 * 64 + byte, c % 16 / 4 * 2),
            Self::Int3 => (c / 32 * 192 + c % 32 / 16 * 64 + byte, c % 16 / 4 * 2),
            Self::Binary => (c / 32 * 64 + byte, c % 32 / 4),
        }
    }

    /// Where the third bit of an [`Code::Int3`] lies.
    #[inline]
    const fn third(r: usize, c: usize) -> (usize, usize) {
        (c / 32 * 192 + 128 + r * 4 + c % 4, (c % 16 / 4 * 2 + 2 + c % 32 / 16) % 8)
    }

    /// The code in row `r` and column `c`.
    #[inline]
    pub(crate) fn get(self, panel: &[u8], r: usize, c: usize) -> u8 {
        let (at, shift) = self.place(r, c);
        let code = panel[at] >> shift;
        if self != Self::Int3 {
            return code & ((1 << self.bits()) - 1);
        }
        let (at, shift) = Self::third(r, c);
        code & 3 | (panel[at] >> shift & 1) << 2
    }

    #[inline]
    #[cfg(feature = "host")]
    pub(crate) fn put(self, panel: &mut [u8], r: usize, c: usize, code: u8) {
        let (at, shift) = self.place(r, c);
        let mask = [1, 3, 3, 15][self.bits() - 1];
        panel[at] = panel[at] & !(mask << shift) | (code & mask) << shift;
        if self == Self::Int3 {
            let (at, shift) = Self::third(r, c);
            panel[at] = panel[at] & !(1 << shift) | (code >> 2) << shift;
        }
    }
}

/// A matrix, or a range of its panels.
#[derive(Clone, Copy, Debug)]
pub struct Grouped<'a> {
    /// How weights are coded.
    pub code: Code,
    /// The codes.
    pub bytes: &'a [u8],
    /// Half-precision scales `[panels, groups, 16]`.
    pub scales: &'a [u16],
    /// Columns per scale.
    pub group: usize,
    /// The levels: [`Code::levels`], or the matrix's own for a codebook (of the others only
    /// [`row`](Self::row) reads them).
    pub levels: &'a Levels,
}

/// Scales of a matrix `[rows, cols]`.
///
/// # Panics
/// If they do not fit in a `usize`, or `group` is zero.
pub const fn scales_len(rows: usize, cols: usize, group: usize) -> usize {
    padded_rows(rows)
        .checked_mul(cols.div_ceil(group))
        .expect("the matrix is larger than the address space")
}

/// Packs row-major `weights` `[rows, cols]` into `bytes` and `scales`.
///
/// Each row of a group gets, of many tried, the scale with the smallest sum of squared errors once it
/// is rounded to half precision; it is never worse than the scale that just clips nothing. `levels` are
/// those of the code, or [`codebook::levels`](crate::codebook::levels), ascending. Weights must be finite.
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
        let levels = if code == Code::Codebook { *levels } else { code.levels() };
        Self { code, grid: Grid::new(code, &levels), levels }
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
        f32::from(self.levels[usize::from(code)]) * scale
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
                put(y, f32::from(self.levels[usize::from(code.get(blocks, r, c))]) * scale);
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
    /// than [`MAX_INTEGER_COLS`] columns.
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

fn check(code: Code, bytes: &[u8], scales: &[u16], group: usize, cols: usize, rows: usize) {
    let block = code.block();
    assert!(group > 0 && group.is_multiple_of(block), "a group of {group} columns");
    assert!(cols.is_multiple_of(block), "{cols} columns are no multiple of {block}");
    assert!(cols <= MAX_INTEGER_COLS, "{cols} columns: at most {MAX_INTEGER_COLS}");
    assert!(bytes.len() == code.len(rows, cols), "{} bytes for [{rows}, {cols}]", bytes.len());
    let expected = panels(rows) * cols.div_ceil(group) * PANEL_ROWS;
    assert!(scales.len() == expected, "{} scales, not {expected}", scales.len());
}
