//! Encoding dense matrices: the writing half of [`crate::matrix`]'s `dense`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::layout::{MAX_INTEGER_COLS, PANEL_ROWS, padded_rows, panels};
use pocketlm_kernels::{bytes, float16, float32, half, int4, int8};

use super::container::Leaf;
use super::{Encoded, Precision};
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
    let is_integer = matches!(precision, Precision::Int8 | Precision::Int4);
    if *columns > MAX_INTEGER_COLS && is_integer {
        let problem = format!("has more than {MAX_INTEGER_COLS} columns; take f32 or f16");
        return Err(Error::matrix(name, problem));
    }
    let (arrays, extra) = match precision {
        Precision::F32 => (vec![encode_f32(expected, weights)], String::new()),
        Precision::F16 => (vec![encode_f16(expected, weights)?], String::new()),
        Precision::Int8 => (encode_int8(expected, weights), String::new()),
        Precision::Int4 => (encode_int4(expected, weights)?, format!(",\"group\":{}", int4::GROUP)),
    };
    Ok(described(expected, "none", precision, arrays, &extra))
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

fn encode_int8(&Expected { ref name, rows, columns }: &Expected, weights: &[f32]) -> Vec<Leaf> {
    let mut packed = vec![0; int8::len(rows, columns)];
    let mut scales = vec![0.0; padded_rows(rows)];
    int8::pack(weights, rows, columns, &mut packed, &mut scales);
    let shape = [panels(rows), int8::padded_cols(columns) / 4, PANEL_ROWS, 4];
    vec![
        Leaf::new(name, Dtype::U8, &shape, packed),
        Leaf::f32(&format!("{name}.scales"), &[padded_rows(rows)], &scales),
    ]
}

fn encode_int4(
    &Expected { ref name, rows, columns }: &Expected,
    weights: &[f32],
) -> Result<Vec<Leaf>> {
    // The scales are half-precision numbers: beyond their range nothing would be left.
    let range = 7.0 * half::to_f32(0x7bff);
    if weights.iter().any(|weight| weight.abs() > range) {
        return Err(too_large(name));
    }
    let group = int4::GROUP;
    let mut packed = vec![0; int4::len(rows, columns)];
    let mut scales = vec![0; int4::scales_len(rows, columns, group)];
    int4::pack(weights, rows, columns, group, &mut packed, &mut scales);
    let shape = [panels(rows), int4::padded_cols(columns) / 8, PANEL_ROWS, 4];
    let packed = Leaf::new(name, Dtype::U8, &shape, packed);
    let shape = [panels(rows), columns.div_ceil(group), PANEL_ROWS];
    let scales = bytes::of_u16(&scales).to_vec();
    Ok(vec![packed, Leaf::new(&format!("{name}.scales"), Dtype::F16, &shape, scales)])
}

pub(super) fn too_large(name: &str) -> Error {
    Error::matrix(name, "has values too large for half precision; take f32")
}
