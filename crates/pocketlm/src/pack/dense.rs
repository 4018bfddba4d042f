//! Encoding dense matrices: the writing half of [`crate::matrix`]'s `dense`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::grouped::{self, Code, GROUP, Grouped, Levels};
use pocketlm_kernels::layout::{MAX_INTEGER_COLS, PANEL_ROWS, padded_rows, panels};
use pocketlm_kernels::{bytes, codebook, float16, float32, half, int8};

use super::container::Leaf;
use super::{Encoded, Precision, planes, product_quantised};
use crate::configuration::Expected;
use crate::error::{Error, Result};
use crate::format::container::Dtype;

/// Encodes `weights` `[rows, columns]`, all finite.
pub(super) fn encode(
    expected: &Expected,
    weights: &[f32],
    precision: Precision,
) -> Result<Encoded> {
    let Expected { name, columns, .. } = expected;
    check_columns(*columns, precision).map_err(|problem| Error::matrix(name, problem))?;
    if let Some(count) = precision.planes() {
        let arrays = planes::encode(expected, weights, count)?;
        let extra = format!(",\"group\":{}", pocketlm_kernels::binary::GROUP);
        return Ok(described(expected, "none", precision, arrays, &extra));
    }
    if let Some(width) = precision.part() {
        let arrays = product_quantised::encode(expected, weights, width)?;
        return Ok(described(expected, "none", precision, arrays, ""));
    }
    let (arrays, extra) = match precision {
        Precision::F32 => (vec![encode_f32(expected, weights)], String::new()),
        Precision::F16 => (vec![encode_f16(expected, weights)?], String::new()),
        Precision::Int8 => (encode_int8(expected, weights)?, String::new()),
        _ => (encode_codes(expected, weights, precision, None)?, format!(",\"group\":{GROUP}")),
    };
    Ok(described(expected, "none", precision, arrays, &extra))
}

/// Encodes `weights` with the scales `[rows, groups]` that come with them, whose groups are of 64 columns, or of all.
pub(super) fn encode_scaled(
    expected: &Expected,
    weights: &[f32],
    scales: &[f32],
    precision: Precision,
) -> Result<Encoded> {
    check_columns(expected.columns, precision)
        .map_err(|problem| Error::matrix(&expected.name, problem))?;
    let scales: Vec<u16> = scales.iter().map(|&scale| half::from_f32(scale)).collect();
    if !scales.iter().all(|&scale| half::to_f32(scale).is_finite()) {
        return Err(too_large(&expected.name));
    }
    let Some(code) = precision.code() else {
        let arrays = encode_scaled_int8(expected, weights, &scales);
        return Ok(described(expected, "none", precision, arrays, ""));
    };
    let is_by_row = scales.len() == expected.rows && expected.columns > GROUP;
    let group = if is_by_row { code.padded_cols(expected.columns) } else { GROUP };
    let arrays = encode_codes(expected, weights, precision, Some((&scales, group)))?;
    Ok(described(expected, "none", precision, arrays, &format!(",\"group\":{group}")))
}

/// With the description of a matrix of its own numbers; `extra` are further fields.
pub(super) fn described(
    expected: &Expected,
    sparsity: &'static str,
    precision: Precision,
    arrays: Vec<Leaf>,
    extra: &str,
) -> Encoded {
    let Expected { name, rows, columns } = expected;
    let names: Vec<_> = arrays.iter().map(|leaf| format!("\"{}\"", leaf.name)).collect();
    let names = names.join(",");
    let description = format!(
        "{{\"name\":\"{name}\",\"rows\":{rows},\"columns\":{columns},\"structure\":\"dense\",\
         \"sparsity\":\"{sparsity}\",\"precision\":\"{}\",\"arrays\":[{names}]{extra}}}",
        precision.name(),
    );
    Encoded { description, sparsity, precision: precision.name(), arrays }
}

fn encode_f32(&Expected { ref name, rows, columns }: &Expected, weights: &[f32]) -> Leaf {
    let mut packed = vec![0.0; float32::len(rows, columns)];
    float32::pack(weights, rows, columns, &mut packed);
    Leaf::f32(name, &[panels(rows), columns, PANEL_ROWS], &packed)
}

fn encode_f16(&Expected { ref name, rows, columns }: &Expected, weights: &[f32]) -> Result<Leaf> {
    let mut packed = vec![0; float16::len(rows, columns)];
    float16::pack(weights, rows, columns, &mut packed);
    if !packed.iter().all(|&bits| half::to_f32(bits).is_finite()) {
        return Err(too_large(name));
    }
    let shape = [panels(rows), columns, PANEL_ROWS];
    Ok(Leaf::new(name, Dtype::F16, &shape, bytes::of_u16(&packed).to_vec()))
}

fn encode_int8(
    &Expected { ref name, rows, columns }: &Expected,
    weights: &[f32],
) -> Result<Vec<Leaf>> {
    let mut packed = vec![0; int8::len(rows, columns)];
    let mut scales = vec![0.0; padded_rows(rows)];
    int8::pack(weights, rows, columns, &mut packed, &mut scales);
    check_int8(name, &scales)?;
    let shape = [panels(rows), int8::padded_cols(columns) / 4, PANEL_ROWS, 4];
    Ok(vec![
        Leaf::new(name, Dtype::U8, &shape, packed),
        Leaf::f32(&format!("{name}.scales"), &[padded_rows(rows)], &scales),
    ])
}

/// Whole multiples of the scales `[rows]`.
fn encode_scaled_int8(
    &Expected { ref name, rows, columns }: &Expected,
    weights: &[f32],
    given: &[u16],
) -> Vec<Leaf> {
    let mut packed = vec![0; int8::len(rows, columns)];
    let mut scales = vec![0.0; padded_rows(rows)];
    scales.iter_mut().zip(given).for_each(|(scale, &given)| *scale = half::to_f32(given));
    int8::pack_scaled(weights, rows, columns, &scales, &mut packed);
    let shape = [panels(rows), int8::padded_cols(columns) / 4, PANEL_ROWS, 4];
    vec![
        Leaf::new(name, Dtype::U8, &shape, packed),
        Leaf::f32(&format!("{name}.scales"), &[padded_rows(rows)], &scales),
    ]
}

/// Refuses scales whose largest number, 127 of them, is infinite when it is read back.
pub(super) fn check_int8(name: &str, scales: &[f32]) -> Result<()> {
    if scales.iter().all(|scale| (127.0 * scale).is_finite()) {
        return Ok(());
    }
    Err(Error::matrix(name, "has values too large for int8; take f32"))
}

fn encode_codes(
    &Expected { ref name, rows, columns }: &Expected,
    weights: &[f32],
    precision: Precision,
    given: Option<(&[u16], usize)>,
) -> Result<Vec<Leaf>> {
    let Some(code) = precision.code() else { return Ok(Vec::new()) };
    let group = given.map_or(GROUP, |(_, group)| group);
    let codes = match given {
        Some((given, _)) => Some(scaled_codes(weights, given, [rows, columns], group, code)),
        None => codes(weights, rows, columns, code),
    };
    let Codes { bytes: packed, scales, levels } = codes.ok_or_else(|| too_large(name))?;
    let lines = code.len(PANEL_ROWS, columns) / (PANEL_ROWS * 4);
    let shape = [panels(rows), lines, PANEL_ROWS, 4];
    let packed = Leaf::new(name, Dtype::U8, &shape, packed);
    let shape = [panels(rows), columns.div_ceil(group), PANEL_ROWS];
    let scales = bytes::of_u16(&scales).to_vec();
    let scales = Leaf::new(&format!("{name}.scales"), Dtype::F16, &shape, scales);
    let mut leaves = vec![packed, scales];
    if code == Code::Codebook {
        let levels = levels.map(i8::cast_unsigned);
        let name = format!("{name}.levels");
        leaves.push(Leaf::new(&name, Dtype::I8, &[levels.len()], levels.to_vec()));
    }
    Ok(leaves)
}

/// The arrays of a matrix of codes.
struct Codes {
    bytes: Vec<u8>,
    scales: Vec<u16>,
    levels: Levels,
}

/// Packs `weights`, or nothing if one of them is beyond what half-precision scales can reach.
fn codes(weights: &[f32], rows: usize, columns: usize, code: Code) -> Option<Codes> {
    let furthest = match code {
        Code::Int4 => 7.0,
        Code::Int3 | Code::Int2 => 3.0,
        Code::Ternary => 1.0,
        Code::Codebook => 127.0,
        Code::Binary => 1.0,
    };
    let range = furthest * half::to_f32(0x7bff);
    if weights.iter().any(|weight| weight.abs() > range) {
        return None;
    }
    let levels = match code {
        Code::Codebook => codebook::levels(weights, columns, GROUP),
        _ => code.levels(),
    };
    let mut bytes = vec![0; code.len(rows, columns)];
    let mut scales = vec![0; grouped::scales_len(rows, columns, GROUP)];
    grouped::pack(code, &levels, weights, rows, columns, GROUP, &mut bytes, &mut scales);
    Some(Codes { bytes, scales, levels })
}

/// Packs `weights` with the scales `given` `[rows, groups]`.
fn scaled_codes(
    weights: &[f32],
    given: &[u16],
    [rows, columns]: [usize; 2],
    group: usize,
    code: Code,
) -> Codes {
    let levels = code.levels();
    let mut bytes = vec![0; code.len(rows, columns)];
    let mut scales = vec![0; grouped::scales_len(rows, columns, group)];
    let (to, places) = (&mut bytes, &mut scales);
    grouped::pack_scaled(code, &levels, weights, given, rows, columns, group, to, places);
    Codes { bytes, scales, levels }
}

fn check_columns(columns: usize, precision: Precision) -> Result<(), String> {
    if columns <= MAX_INTEGER_COLS || !precision.is_integer() {
        return Ok(());
    }
    Err(format!("has more than {MAX_INTEGER_COLS} columns; take f32 or f16"))
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
    super::check(&Expected { name: name.into(), rows, columns }, weights)?;
    check_columns(columns, precision).map_err(|problem| Error::matrix(name, problem))?;
    let mut back = vec![0.0; weights.len()];
    read_back(weights, rows, columns, precision, &mut back);
    match back.iter().all(|value| value.is_finite()) {
        true => Ok(back),
        false => Err(too_large(name)),
    }
}

/// Writes what is read back from `weights` `[rows, columns]` packed in this precision; what is too large
/// for it becomes infinite or NaN.
pub(super) fn read_back(
    weights: &[f32],
    rows: usize,
    columns: usize,
    precision: Precision,
    back: &mut [f32],
) {
    if let Some(count) = precision.planes() {
        return planes::read_back(weights, rows, columns, count, back);
    }
    if let Some(width) = precision.part() {
        return product_quantised::read_back(weights, columns, width, back);
    }
    match (precision, precision.code()) {
        (Precision::F32, _) => back.copy_from_slice(weights),
        (Precision::F16, _) => {
            for (back, &weight) in back.iter_mut().zip(weights) {
                *back = half::to_f32(half::from_f32(weight));
            }
        }
        (_, None) => {
            let mut packed = vec![0; int8::len(rows, columns)];
            let mut scales = vec![0.0; padded_rows(rows)];
            int8::pack(weights, rows, columns, &mut packed, &mut scales);
            int8::unpack(&packed, &scales, columns, back);
        }
        (_, Some(code)) => match codes(weights, rows, columns, code) {
            None => back.fill(f32::NAN),
            Some(Codes { bytes, scales, levels }) => {
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
    if let Some(count) = precision.planes() {
        return planes::stored_bytes(rows, columns, count);
    }
    if let Some(width) = precision.part() {
        return product_quantised::stored_bytes(rows, columns, width);
    }
    match (precision, precision.code()) {
        (Precision::F32, _) => 4 * float32::len(rows, columns),
        (Precision::F16, _) => 2 * float16::len(rows, columns),
        (_, None) => int8::len(rows, columns) + 4 * padded_rows(rows),
        (_, Some(code)) => {
            let levels = if code == Code::Codebook { size_of::<Levels>() } else { 0 };
            code.len(rows, columns) + 2 * grouped::scales_len(rows, columns, GROUP) + levels
        }
    }
}

pub(super) fn too_large(name: &str) -> Error {
    Error::matrix(name, "has values too large for half precision; take f32")
}
