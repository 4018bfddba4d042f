//! Writing dense matrices.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::grouped::{self, Code, GROUP, Grouped, Levels};
use pocketlm_kernels::layout::{MAX_INTEGER_COLS, PANEL_ROWS, padded_rows, panels};
use pocketlm_kernels::{bytes, codebook, float16, float32, half, int8};

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::matrix::encoded::{Encoded, Factor, Shape, check, sorted, too_large};
use crate::matrix::planes::write as planes;
use crate::matrix::product_quantised::write as product_quantised;
use crate::spec::{Kernels, Precision, Sparsity};

/// Encodes `weights` `[rows, columns]`, all finite.
pub(crate) fn encode(shape: &Shape, weights: &[f32], precision: Precision) -> Result<Encoded> {
    let Shape { name, columns, .. } = shape;
    check_columns(name, *columns, precision)?;
    let arrays = match precision.kernels() {
        Kernels::Float32 => vec![encode_f32(shape, weights)],
        Kernels::Float16 => vec![encode_f16(shape, weights)?],
        Kernels::Int8 => encode_int8(shape, weights)?,
        Kernels::Codes(code) => encode_codes(shape, codes_of(shape, weights, code)?, GROUP),
        Kernels::Planes(count) => planes::encode(shape, weights, count)?,
        Kernels::Vectors(width) => product_quantised::encode(shape, weights, width)?,
    };
    Ok(Encoded::of_numbers(shape, (Sparsity::None, precision), arrays, ""))
}

/// Encodes `weights` with the scales `[rows, groups]` that come with them, whose groups are of 64 columns, or of all.
fn encode_given(
    shape: &Shape,
    weights: &[f32],
    scales: &[f32],
    (precision, code): (Precision, Option<Code>),
) -> Result<Encoded> {
    check_columns(&shape.name, shape.columns, precision)?;
    let scales: Vec<u16> = scales.iter().map(|&scale| half::from_f32(scale)).collect();
    if !scales.iter().all(|&scale| half::to_f32(scale).is_finite()) {
        return Err(too_large(&shape.name));
    }
    let form = (Sparsity::None, precision);
    let Some(code) = code else {
        let arrays = encode_given_int8(shape, weights, &scales);
        return Ok(Encoded::of_numbers(shape, form, arrays, ""));
    };
    let is_by_row = scales.len() == shape.rows && shape.columns > GROUP;
    let group = if is_by_row { code.padded_cols(shape.columns) } else { GROUP };
    let arrays = encode_codes(shape, scaled_codes(shape, weights, &scales, group, code), group);
    Ok(Encoded::of_groups(shape, form, arrays, Some(group), ""))
}

/// Whole multiples of the scales `[rows]`.
fn encode_given_int8(
    &Shape { rows, columns, .. }: &Shape,
    weights: &[f32],
    given: &[u16],
) -> Vec<Leaf> {
    let mut packed = vec![0; int8::len(rows, columns)];
    let mut scales = vec![0.0; padded_rows(rows)];
    scales.iter_mut().zip(given).for_each(|(scale, &given)| *scale = half::to_f32(given));
    int8::pack_scaled(weights, rows, columns, &scales, &mut packed);
    let shape = [panels(rows), int8::padded_cols(columns) / 4, PANEL_ROWS, 4];
    vec![Leaf::new("", Dtype::U8, &shape, packed), Leaf::f32("", &[padded_rows(rows)], &scales)]
}

/// Encodes a factor with the scales that come with it, with rows in `order`.
pub(crate) fn encode_scaled(
    shape: &Shape,
    order: Option<&[u32]>,
    factor: &Factor<'_>,
    scales: &[f32],
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    if factor.sparsity != Sparsity::None || !factor.precision.takes_scales() {
        let Factor { sparsity, precision, .. } = factor;
        let known = Precision::list(Precision::takes_scales);
        let problem = format!("is {sparsity} {precision} with scales: give none and {known}");
        return Err(Error::matrix(name, problem));
    }
    let code = factor.precision.even_code();
    let is_by_row = scales.len() == rows || code.is_none();
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
    check(shape, factor.weights)?;
    let form = (factor.precision, code);
    let Some(order) = order else { return encode_given(shape, factor.weights, scales, form) };
    let weights = sorted(order, factor.weights, columns);
    let scales = sorted(order, scales, groups);
    encode_given(shape, &weights, &scales, form)
}

fn encode_f32(&Shape { rows, columns, .. }: &Shape, weights: &[f32]) -> Leaf {
    let mut packed = vec![0.0; float32::len(rows, columns)];
    float32::pack(weights, rows, columns, &mut packed);
    Leaf::f32("", &[panels(rows), columns, PANEL_ROWS], &packed)
}

fn encode_f16(&Shape { ref name, rows, columns }: &Shape, weights: &[f32]) -> Result<Leaf> {
    let mut packed = vec![0; float16::len(rows, columns)];
    float16::pack(weights, rows, columns, &mut packed);
    if !packed.iter().all(|&bits| half::to_f32(bits).is_finite()) {
        return Err(too_large(name));
    }
    let shape = [panels(rows), columns, PANEL_ROWS];
    Ok(Leaf::new("", Dtype::F16, &shape, bytes::of_u16(&packed).to_vec()))
}

fn encode_int8(&Shape { ref name, rows, columns }: &Shape, weights: &[f32]) -> Result<Vec<Leaf>> {
    let mut packed = vec![0; int8::len(rows, columns)];
    let mut scales = vec![0.0; padded_rows(rows)];
    int8::pack(weights, rows, columns, &mut packed, &mut scales);
    check_int8(name, &scales)?;
    let shape = [panels(rows), int8::padded_cols(columns) / 4, PANEL_ROWS, 4];
    Ok(vec![Leaf::new("", Dtype::U8, &shape, packed), Leaf::f32("", &[padded_rows(rows)], &scales)])
}

/// Refuses scales whose largest number, 127 of them, is infinite when it is read back.
pub(crate) fn check_int8(name: &str, scales: &[f32]) -> Result<()> {
    if scales.iter().all(|scale| (127.0 * scale).is_finite()) {
        return Ok(());
    }
    Err(Error::matrix(name, "has values too large for int8; take f32"))
}

fn encode_codes(&Shape { rows, columns, .. }: &Shape, codes: Codes, group: usize) -> Vec<Leaf> {
    let Codes { code, bytes: packed, scales, levels } = codes;
    let lines = code.len(PANEL_ROWS, columns) / (PANEL_ROWS * 4);
    let shape = [panels(rows), lines, PANEL_ROWS, 4];
    let packed = Leaf::new("", Dtype::U8, &shape, packed);
    let shape = [panels(rows), columns.div_ceil(group), PANEL_ROWS];
    let scales = bytes::of_u16(&scales).to_vec();
    let mut leaves = vec![packed, Leaf::new("", Dtype::F16, &shape, scales)];
    if code == Code::Codebook {
        let levels = levels.map(i8::cast_unsigned);
        leaves.push(Leaf::new("", Dtype::I8, &[levels.len()], levels.to_vec()));
    }
    leaves
}

/// The codes of a matrix that is refused if a number is too large.
fn codes_of(shape: &Shape, weights: &[f32], code: Code) -> Result<Codes> {
    let codes = codes(weights, shape.rows, shape.columns, code);
    codes.ok_or_else(|| too_large(&shape.name))
}

/// The arrays of a matrix of codes.
struct Codes {
    code: Code,
    bytes: Vec<u8>,
    scales: Vec<u16>,
    levels: Levels,
}

/// Packs `weights`, or nothing if one of them is beyond what half-precision scales can reach.
fn codes(weights: &[f32], rows: usize, columns: usize, code: Code) -> Option<Codes> {
    let range = f32::from(code.reach()) * half::to_f32(0x7bff);
    if weights.iter().any(|weight| weight.abs() > range) {
        return None;
    }
    let levels = match code {
        Code::Codebook => codebook::levels(weights, columns, GROUP),
        _ => Levels::default(),
    };
    let mut bytes = vec![0; code.len(rows, columns)];
    let mut scales = vec![0; grouped::scales_len(rows, columns, GROUP)];
    grouped::pack(code, &levels, weights, rows, columns, GROUP, &mut bytes, &mut scales);
    Some(Codes { code, bytes, scales, levels })
}

/// Packs `weights` with the scales `given` `[rows, groups]`.
fn scaled_codes(shape: &Shape, weights: &[f32], given: &[u16], group: usize, code: Code) -> Codes {
    let &Shape { rows, columns, .. } = shape;
    let levels = Levels::default();
    let mut bytes = vec![0; code.len(rows, columns)];
    let mut scales = vec![0; grouped::scales_len(rows, columns, group)];
    let (to, places) = (&mut bytes, &mut scales);
    grouped::pack_scaled(code, &levels, weights, given, rows, columns, group, to, places);
    Codes { code, bytes, scales, levels }
}

fn check_columns(name: &str, columns: usize, precision: Precision) -> Result<()> {
    if columns <= MAX_INTEGER_COLS || !precision.is_integer() {
        return Ok(());
    }
    let problem = format!("has more than {MAX_INTEGER_COLS} columns; take f32 or f16");
    Err(Error::matrix(name, problem))
}

/// The numbers `[rows, columns]` that the runtime reads back from the dense matrix of row-major `weights`
/// packed in this precision: what fake quantisation computes with.
///
/// # Errors
/// [`Error::Matrix`] (of the name `weights`) if there are too few or too many weights, one is not finite or
/// too large for the precision, or there are too many columns for it.
pub fn round_trip(
    weights: &[f32],
    rows: usize,
    columns: usize,
    precision: Precision,
) -> Result<Vec<f32>> {
    let name = "weights";
    check(&Shape { name: name.into(), rows, columns }, weights)?;
    check_columns(name, columns, precision)?;
    let mut back = vec![0.0; weights.len()];
    read_back(weights, rows, columns, precision, &mut back);
    match back.iter().all(|value| value.is_finite()) {
        true => Ok(back),
        false => Err(too_large(name)),
    }
}

/// Writes what is read back from `weights` `[rows, columns]` packed in this precision; what is too large
/// for it becomes infinite or NaN.
pub(crate) fn read_back(
    weights: &[f32],
    rows: usize,
    columns: usize,
    precision: Precision,
    back: &mut [f32],
) {
    match precision.kernels() {
        Kernels::Planes(count) => planes::read_back(weights, rows, columns, count, back),
        Kernels::Vectors(width) => product_quantised::read_back(weights, columns, width, back),
        Kernels::Float32 => back.copy_from_slice(weights),
        Kernels::Float16 => {
            for (back, &weight) in back.iter_mut().zip(weights) {
                *back = half::to_f32(half::from_f32(weight));
            }
        }
        Kernels::Int8 => {
            let mut packed = vec![0; int8::len(rows, columns)];
            let mut scales = vec![0.0; padded_rows(rows)];
            int8::pack(weights, rows, columns, &mut packed, &mut scales);
            int8::unpack(&packed, &scales, columns, back);
        }
        Kernels::Codes(code) => match codes(weights, rows, columns, code) {
            None => back.fill(f32::NAN),
            Some(Codes { bytes, scales, levels, .. }) => {
                let (bytes, scales, levels) = (&bytes, &scales, &levels);
                Grouped { code, bytes, scales, group: GROUP, levels }.unpack(columns, back);
            }
        },
    }
}

/// Bytes of the arrays of a dense matrix `[rows, columns]` in this precision, without packing it.
///
/// # Panics
/// If they do not fit in a `usize`.
#[must_use]
pub fn stored_bytes(rows: usize, columns: usize, precision: Precision) -> usize {
    match precision.kernels() {
        Kernels::Float32 => 4 * float32::len(rows, columns),
        Kernels::Float16 => 2 * float16::len(rows, columns),
        Kernels::Int8 => int8::len(rows, columns) + 4 * padded_rows(rows),
        Kernels::Codes(code) => {
            let levels = if code == Code::Codebook { size_of::<Levels>() } else { 0 };
            code.len(rows, columns) + 2 * grouped::scales_len(rows, columns, GROUP) + levels
        }
        Kernels::Planes(count) => planes::stored_bytes(rows, columns, count),
        Kernels::Vectors(width) => product_quantised::stored_bytes(rows, columns, width),
    }
}
