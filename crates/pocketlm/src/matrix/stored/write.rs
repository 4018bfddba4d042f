//! Writing matrices and factors of their own numbers.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::matrix::dense::write as dense;
use crate::matrix::encoded::{Encoded, Factor, Shape, check, sorted, too_large};
use crate::matrix::panels::write as panels;
use crate::matrix::unstructured::write as unstructured;
use crate::spec::{Precision, Sparsity};

/// Encodes a factor of this shape, with rows in `order`.
pub(crate) fn encode(
    name: &str,
    order: Option<&[u32]>,
    factor: &Factor<'_>,
    shape: [usize; 2],
) -> Result<Encoded> {
    let Factor { rows, columns, weights, sparsity, precision } = *factor;
    let found = Shape { name: name.to_string(), rows, columns };
    if shape != [rows, columns] || rows == 0 || columns == 0 {
        let problem = format!("is {rows} x {columns} instead of {} x {}", shape[0], shape[1]);
        return Err(Error::matrix(name, problem));
    }
    check(&found, weights)?;
    let sorted = order.map(|order| sorted(order, weights, columns));
    let weights = sorted.as_deref().unwrap_or(weights);
    match sparsity {
        Sparsity::None => dense::encode(&found, weights, precision),
        Sparsity::Unstructured => unstructured::encode(&found, weights, precision),
        Sparsity::Panels => panels::encode(&found, weights, precision),
    }
}

/// The numbers `[rows, columns]` that the runtime reads back from a factor once it is packed.
///
/// # Errors
/// As [`Packer::form`](crate::pack::Packer::form).
pub fn round_trip_factor(factor: &Factor<'_>) -> Result<Vec<f32>> {
    let Factor { rows, columns, weights, sparsity, precision } = *factor;
    let shape = Shape { name: "the matrix".into(), rows, columns };
    check(&shape, weights)?;
    let mut out = vec![0.0; weights.len()];
    match sparsity {
        Sparsity::None => dense::read_back(weights, rows, columns, precision, &mut out),
        // A scale a row is the same with and without the zeros.
        Sparsity::Unstructured if unstructured::width(precision).is_some() => {
            dense::read_back(weights, rows, columns, precision, &mut out);
        }
        Sparsity::Unstructured => {
            unstructured::encode(&shape, weights, precision)?;
        }
        Sparsity::Panels => panels::read_back(&shape, weights, precision, &mut out)?,
    }
    match out.iter().all(|value| value.is_finite()) {
        true => Ok(out),
        false => Err(too_large(&shape.name)),
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
        Sparsity::Unstructured => unstructured::stored_bytes(rows, columns, kept, precision),
        Sparsity::Panels => panels::stored_bytes(rows, kept, precision),
    }
}
