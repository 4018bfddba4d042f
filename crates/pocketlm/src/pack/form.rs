//! Matrices in every form that the runtime has: the writing half of [`crate::matrix`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;
use pocketlm_kernels::grouped::GROUP;
use pocketlm_kernels::layout::PANEL_ROWS;

use super::container::Leaf;
use super::panels::Compact;
use super::{Encoded, Precision, blocks, check, dense, find, panels, unstructured};
use crate::configuration::Expected;
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::matrix::tensor_train::MAX_CORES;

/// Which numbers of a matrix the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sparsity {
    /// All.
    None,
    /// Those that are not zero, with their positions.
    Unstructured,
    /// Blocks of 16 rows × 1 column that are not all zero, in panels of 16 rows of the file: rows of `embedding`
    /// and `softmax` are in sorted order there ([`Packer::order`](super::Packer::order)), those of other
    /// matrices and factors as they are given.
    Panels,
}

impl Sparsity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Unstructured, Self::Panels];

    /// Its name: `none`, `unstructured` or `panels`.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["none", "unstructured", "panels"][self as usize]
    }

    /// The sparsity of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sparsity| sparsity.name() == name)
    }
}

/// A matrix whose own numbers are stored.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// Values that come out.
    pub rows: usize,
    /// Values that go in.
    pub columns: usize,
    /// Row-major `[rows, columns]`, zero where nothing is kept.
    pub weights: &'a [f32],
    /// Which numbers are stored.
    pub sparsity: Sparsity,
    /// How many bits each has. Unstructured factors have f32, f16 or int8, panels
    /// also int4.
    pub precision: Precision,
}

/// The form of a matrix.
#[derive(Debug, Clone)]
pub enum Form<'a> {
    /// Its own numbers.
    Dense(Factor<'a>),
    /// Its own numbers as codes of given scales; the file has it as any other dense matrix of codes.
    Scaled {
        /// The numbers, all kept, in int8, int4, int3, int2 or ternary.
        factor: Factor<'a>,
        /// `[rows, ⌈columns / 64⌉]`: the scale of each row and group of 64 columns; or `[rows]`: one for all of a
        /// row, which int8 always has. Rounded to half precision.
        scales: &'a [f32],
    },
    /// `left [rows, rank] · right [rank, columns]`
    LowRank {
        /// `[rows, rank]`
        left: Factor<'a>,
        /// `[rank, columns]`
        right: Factor<'a>,
    },
    /// A tensor train: with `i = (i_1, …, i_d)` and `j = (j_1, …, j_d)` in mixed radix, most significant first,
    /// `W[i, j] = G_1[:, i_1, j_1, :] · … · G_d[:, i_d, j_d, :]` (Novikov et al. 2015).
    TensorTrain {
        /// `m_1, …, m_d`, whose product is at least the number of rows.
        row_modes: &'a [usize],
        /// `n_1, …, n_d`, whose product is at least the number of columns.
        column_modes: &'a [usize],
        /// Core `k` as `[m_k r_k, r_{k-1} n_k]`: row `i_k r_k + β`, column `α n_k + j_k`.
        cores: Vec<Factor<'a>>,
    },
    /// Circulant blocks: element `r, c` of block `i, j` is element `(r − c) mod block` of its vector.
    BlockCirculant {
        /// Rows and columns of a block.
        block: usize,
        /// `[⌈rows / block⌉, ⌈columns / block⌉ · block]`: the vectors of a row of blocks one after the other.
        vectors: Factor<'a>,
    },
    /// Blocks of low displacement rank: block `i, j` is `Σ_k Z₁(g_k) · Z₋₁(h_k)` (Sindhwani et al. 2015).
    ToeplitzLike {
        /// Rows and columns of a block.
        block: usize,
        /// Terms of a block.
        rank: usize,
        /// `[blocks · rank, block]`: row `(i · ⌈columns / block⌉ + j) · rank + k` is g_k of block `i, j`.
        g: Factor<'a>,
        /// The same of h.
        h: Factor<'a>,
    },
    /// The real form `[re W, −im W; im W, re W]` of `W = D₃ R₂ F⁻¹ D₂ P R₁ F D₁` (Arjovsky et al. 2016, equation 6).
    Unitary {
        /// `[3, rows / 2]`: the phases of D₁, D₂, D₃ in radians.
        phases: Factor<'a>,
        /// `[4, rows / 2]`: the real and the imaginary part of the vector of R₁, then those of R₂.
        reflections: Factor<'a>,
    },
    /// Groups of rows, one below the other, each the product of a left and a right factor.
    BlockLowRank {
        /// `[rows of the group, rank]` and `[rank, columns]` for each group.
        groups: Vec<[Factor<'a>; 2]>,
    },
}

impl super::Packer {
    /// Adds the matrix `name` in this form. Rows, and those of a left factor, come in the caller's order of the
    /// words where they are words.
    ///
    /// # Errors
    /// [`Error::Matrix`] if the configuration asks for no such matrix, the sizes do not fit, a number is not
    /// finite or too large for the precision, or a sparse factor has a precision that it cannot have.
    pub fn form(&mut self, name: &str, form: &Form<'_>) -> Result<()> {
        let expected = find(self.configuration.matrices(self.words.len()), name)?;
        let order = is_by_word(name).then_some(&self.order[..]);
        let encoded = encode(&expected, order, form)?;
        self.matrices.insert(name.into(), encoded);
        Ok(())
    }

    /// The caller's row of each row of the file, for matrices whose rows are words: what
    /// [`sorted_order`](super::sorted_order) gives for the words. Blocks of 16 rows ([`Sparsity::Panels`]) are
    /// blocks of this order.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }
}

/// Encodes a matrix; `order` is the caller's row of each row of the file.
pub(super) fn encode(
    expected: &Expected,
    order: Option<&[u32]>,
    form: &Form<'_>,
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    match form {
        Form::Dense(factor) => encode_factor(name, order, factor, [rows, columns]),
        Form::Scaled { factor, scales } => encode_scaled(expected, order, factor, scales),
        Form::LowRank { left, right } => {
            let rank = left.columns;
            let left = encode_factor(&format!("{name}.left"), order, left, [rows, rank])?;
            let right = encode_factor(&format!("{name}.right"), None, right, [rank, columns])?;
            Ok(structured(expected, "low-rank", "", vec![left, right], Vec::new()))
        }
        Form::TensorTrain { row_modes, column_modes, cores } => {
            check_modes(name, "row", row_modes, rows, cores.len())?;
            check_modes(name, "column", column_modes, columns, cores.len())?;
            let mut rank = 1;
            let mut encoded = Vec::new();
            for (k, core) in cores.iter().enumerate() {
                let next = if k + 1 == cores.len() { 1 } else { core.rows / row_modes[k] };
                let shape = [next * row_modes[k], rank * column_modes[k]];
                encoded.push(encode_factor(&format!("{name}.core.{k}"), None, core, shape)?);
                rank = next;
            }
            let fields = format!(",\"row_modes\":{row_modes:?},\"column_modes\":{column_modes:?}");
            let (fields, arrays) = ordered(name, order, fields.replace(", ", ","));
            Ok(structured(expected, "tensor-train", &fields, encoded, arrays))
        }
        Form::BlockCirculant { block, vectors } => {
            blocks::encode_circulant(expected, order, *block, vectors)
        }
        Form::ToeplitzLike { block, rank, g, h } => {
            blocks::encode_toeplitz(expected, order, [*block, *rank], [g, h])
        }
        Form::Unitary { phases, reflections } => {
            blocks::encode_unitary(expected, order, phases, reflections)
        }
        Form::BlockLowRank { groups } => blocks::encode_low_rank(expected, order, groups),
    }
}

/// The fields of a structure that keeps the caller's order of rows, with the array that says where they went.
pub(super) fn ordered(
    name: &str,
    order: Option<&[u32]>,
    mut fields: String,
) -> (String, Vec<Leaf>) {
    let Some(order) = order else { return (fields, Vec::new()) };
    let array = format!("{name}.order");
    fields += &format!(",\"order\":\"{array}\"");
    let bytes = bytes::of_u32(order).to_vec();
    (fields, vec![Leaf::new(&array, Dtype::U32, &[order.len()], bytes)])
}

fn check_modes(name: &str, side: &str, modes: &[usize], size: usize, cores: usize) -> Result<()> {
    let product = modes.iter().try_fold(1usize, |product, &mode| product.checked_mul(mode));
    let fits = product.is_some_and(|product| product >= size && product / 4 <= size);
    let problem = if modes.len() != cores || !(2..=MAX_CORES).contains(&cores) {
        format!("has {cores} cores and {} {side} modes instead of 2 to {MAX_CORES}", modes.len())
    } else if !fits {
        format!("has {side} modes {modes:?}, whose product is not {size} to 4 x {size}")
    } else {
        return Ok(());
    };
    Err(Error::matrix(name, problem))
}

fn encode_scaled(
    expected: &Expected,
    order: Option<&[u32]>,
    factor: &Factor<'_>,
    scales: &[f32],
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    let even = matches!(
        factor.precision,
        Precision::Int8 | Precision::Int4 | Precision::Int3 | Precision::Int2 | Precision::Ternary
    );
    if !even || factor.sparsity != Sparsity::None {
        let (sparsity, precision) = (factor.sparsity.name(), factor.precision.name());
        let problem = format!(
            "is {sparsity} {precision} with scales: give none and int8, int4, int3, int2 or \
             ternary"
        );
        return Err(Error::matrix(name, problem));
    }
    let is_by_row = scales.len() == rows || factor.precision == Precision::Int8;
    let groups = if is_by_row { 1 } else { columns.div_ceil(GROUP) };
    if [factor.rows, factor.columns, scales.len()] != [rows, columns, rows * groups] {
        let problem = format!(
            "is {} x {} with {} scales instead of {rows} x {columns} with {}",
            factor.rows,
            factor.columns,
            scales.len(),
            rows * groups
        );
        return Err(Error::matrix(name, problem));
    }
    check(expected, factor.weights)?;
    let Some(order) = order else {
        return dense::encode_scaled(expected, factor.weights, scales, factor.precision);
    };
    let weights = super::sorted(order, factor.weights, columns);
    let scales = super::sorted(order, scales, groups);
    dense::encode_scaled(expected, &weights, &scales, factor.precision)
}

/// Encodes a factor of this shape, with rows in `order`.
pub(super) fn encode_factor(
    name: &str,
    order: Option<&[u32]>,
    factor: &Factor<'_>,
    shape: [usize; 2],
) -> Result<Encoded> {
    let Factor { rows, columns, weights, sparsity, precision } = *factor;
    let expected = Expected { name: name.to_string(), rows, columns };
    if shape != [rows, columns] || rows == 0 || columns == 0 {
        let problem = format!("is {rows} x {columns} instead of {} x {}", shape[0], shape[1]);
        return Err(Error::matrix(name, problem));
    }
    check(&expected, weights)?;
    let sorted = order.map(|order| super::sorted(order, weights, columns));
    let weights = sorted.as_deref().unwrap_or(weights);
    match sparsity {
        Sparsity::None => dense::encode(&expected, weights, precision),
        Sparsity::Unstructured => unstructured::encode(&expected, weights, precision),
        Sparsity::Panels => panels::encode(&expected, weights, precision),
    }
}

/// Whether the rows of a matrix are words.
pub(super) fn is_by_word(name: &str) -> bool {
    matches!(name, "embedding" | "softmax")
}

/// The description of a matrix made of factors, and all their arrays.
pub(super) fn structured(
    expected: &Expected,
    structure: &str,
    fields: &str,
    factors: Vec<Encoded>,
    more: Vec<Leaf>,
) -> Encoded {
    let same = |pick: &dyn Fn(&Encoded) -> &'static str| {
        let first = factors.first().map_or("mixed", pick);
        if factors.iter().all(|factor| pick(factor) == first) { first } else { "mixed" }
    };
    let precision = same(&|factor| factor.precision);
    let sparsity = same(&|factor| factor.sparsity);
    let Expected { name, rows, columns } = expected;
    let descriptions: Vec<_> = factors.iter().map(|factor| factor.description.as_str()).collect();
    let description = format!(
        "{{\"name\":\"{name}\",\"rows\":{rows},\"columns\":{columns},\"structure\":\"{structure}\",\
         \"sparsity\":\"{sparsity}\",\"precision\":\"{precision}\",\"arrays\":[]{fields},\
         \"factors\":[{}]}}",
        descriptions.join(","),
    );
    let arrays = factors.into_iter().flat_map(|factor| factor.arrays).chain(more);
    Encoded { description, sparsity, precision, arrays: arrays.collect() }
}

/// The numbers `[rows, columns]` that the runtime reads back from a factor once it is packed.
///
/// # Errors
/// As [`Packer::form`](super::Packer::form).
pub fn round_trip_factor(factor: &Factor<'_>) -> Result<Vec<f32>> {
    let Factor { rows, columns, weights, sparsity, precision } = *factor;
    let expected = Expected { name: "the matrix".into(), rows, columns };
    check(&expected, weights)?;
    let mut out = vec![0.0; weights.len()];
    match sparsity {
        Sparsity::None => dense::read_back(weights, rows, columns, precision, &mut out),
        // A scale a row is the same with and without the zeros.
        Sparsity::Unstructured if unstructured::width(precision).is_some() => {
            dense::read_back(weights, rows, columns, precision, &mut out);
        }
        Sparsity::Unstructured => {
            unstructured::encode(&expected, weights, precision)?;
        }
        Sparsity::Panels => {
            panels::unit(&expected.name, precision)?;
            let blocks = out.chunks_mut(PANEL_ROWS * columns);
            for (out, panel) in blocks.zip(panels::compact(weights, columns)) {
                round_trip_panel(&panel, columns, precision, out);
            }
        }
    }
    match out.iter().all(|value| value.is_finite()) {
        true => Ok(out),
        false => Err(dense::too_large(&expected.name)),
    }
}

/// Writes the numbers of a compact panel to their places in `out` `[rows, columns]`.
fn round_trip_panel(panel: &Compact, columns: usize, precision: Precision, out: &mut [f32]) {
    let (rows, kept) = (out.len() / columns, panel.columns.len());
    if kept == 0 {
        return;
    }
    let mut read = vec![0.0; panel.weights.len()];
    dense::read_back(&panel.weights, rows, kept, precision, &mut read);
    for (out, read) in out.chunks_exact_mut(columns).zip(read.chunks_exact(kept)) {
        for (&column, value) in panel.columns.iter().zip(read) {
            out[usize::from(column)] = *value;
        }
    }
}

/// Bytes of a factor's arrays.
///
/// Exact if all numbers are kept. For [`Sparsity::Panels`], with 16 numbers of `kept` for each block of 16 rows
/// (those beyond the last row counted), an upper bound: as if every panel had as much padding as it can have.
/// For [`Sparsity::Unstructured`] an estimate, as if the kept numbers lay evenly.
#[must_use]
pub fn factor_bytes(
    rows: usize,
    columns: usize,
    kept: usize,
    sparsity: Sparsity,
    precision: Precision,
) -> usize {
    match sparsity {
        Sparsity::None => dense::stored_bytes(rows, columns, precision),
        Sparsity::Unstructured => unstructured_bytes(rows, columns, kept, precision),
        Sparsity::Panels => panel_bytes(rows, kept, precision),
    }
}

fn unstructured_bytes(rows: usize, columns: usize, kept: usize, precision: Precision) -> usize {
    let width = unstructured::width(precision).unwrap_or(1);
    let fillers = (rows * columns / 256).saturating_sub(kept);
    let deltas = (kept + fillers) * (1 + width);
    let bitmap = rows * crate::matrix::unstructured::bitmap_width(columns) + kept * width;
    let scales = if precision == Precision::Int8 { 4 * rows } else { 0 };
    deltas.min(bitmap) + 4 * (rows + 1) + scales
}

fn panel_bytes(rows: usize, kept: usize, precision: Precision) -> usize {
    let (panels, blocks) = (rows.div_ceil(PANEL_ROWS), kept.div_ceil(PANEL_ROWS));
    let unit = crate::matrix::panels::unit(precision.name()).unwrap_or(1);
    let padded = blocks + panels * (unit - 1);
    let numbers = match precision {
        Precision::F32 => 64 * padded,
        Precision::F16 => 32 * padded,
        Precision::Int8 => 16 * padded + 64 * panels,
        _ => 8 * padded + 32 * (blocks / GROUP + panels),
    };
    numbers + 2 * padded + 4 * (panels + 1)
}
