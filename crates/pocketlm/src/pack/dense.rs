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
    let Expected { name, rows, columns } = expected;
    let (rows, columns) = (*rows, *columns);
    if columns > MAX_INTEGER_COLS && matches!(precision, Precision::Int8 | Precision::Int4) {
        let problem = format!("has more than {MAX_INTEGER_COLS} columns; take f32 or f16");
        return Err(Error::matrix(name, problem));
    }
    let float = [panels(rows), columns, PANEL_ROWS];
    let scales = format!("{name}.scales");
    let (extra, arrays) = match precision {
        Precision::F32 => {
            let mut packed = vec![0.0; float32::len(rows, columns)];
            float32::pack(weights, rows, columns, &mut packed);
            (String::new(), vec![Leaf::f32(name, &float, &packed)])
        }
        Precision::F16 => {
            let mut packed = vec![0; float16::len(rows, columns)];
            float16::pack(weights, rows, columns, &mut packed);
            check_half(name, &packed)?;
            let packed = bytes::of_u16(&packed).to_vec();
            (String::new(), vec![Leaf::new(name, Dtype::F16, &float, packed)])
        }
        Precision::Int8 => {
            let mut packed = vec![0; int8::len(rows, columns)];
            let mut row_scales = vec![0.0; padded_rows(rows)];
            int8::pack(weights, rows, columns, &mut packed, &mut row_scales);
            let shape = [panels(rows), int8::padded_cols(columns) / 4, PANEL_ROWS, 4];
            let packed = Leaf::new(name, Dtype::U8, &shape, packed);
            let row_scales = Leaf::f32(&scales, &[padded_rows(rows)], &row_scales);
            (String::new(), vec![packed, row_scales])
        }
        Precision::Int4 => {
            // The scales are half-precision numbers: beyond their range nothing would be left.
            let range = 7.0 * half::to_f32(0x7bff);
            if weights.iter().any(|weight| weight.abs() > range) {
                return Err(too_large(name));
            }
            let group = int4::GROUP;
            let mut packed = vec![0; int4::len(rows, columns)];
            let mut group_scales = vec![0; int4::scales_len(rows, columns, group)];
            int4::pack(weights, rows, columns, group, &mut packed, &mut group_scales);
            let shape = [panels(rows), int4::padded_cols(columns) / 8, PANEL_ROWS, 4];
            let packed = Leaf::new(name, Dtype::U8, &shape, packed);
            let shape = [panels(rows), columns.div_ceil(group), PANEL_ROWS];
            let group_scales = bytes::of_u16(&group_scales).to_vec();
            let group_scales = Leaf::new(&scales, Dtype::F16, &shape, group_scales);
            (format!(",\"group\":{group}"), vec![packed, group_scales])
        }
    };
    let names: Vec<_> = arrays.iter().map(|leaf| format!("\"{}\"", leaf.name)).collect();
    let names = names.join(",");
    let description = format!(
        "{{\"name\":\"{name}\",\"rows\":{rows},\"columns\":{columns},\"structure\":\"dense\",\
         \"sparsity\":\"none\",\"precision\":\"{}\",\"arrays\":[{names}]{extra}}}",
        precision.name(),
    );
    Ok(Encoded { description, arrays })
}

/// Refuses half-precision numbers that became infinite.
fn check_half(name: &str, values: &[u16]) -> Result<()> {
    match values.iter().all(|&bits| half::to_f32(bits).is_finite()) {
        true => Ok(()),
        false => Err(too_large(name)),
    }
}

fn too_large(name: &str) -> Error {
    Error::matrix(name, "has values too large for half precision; take f32")
}
