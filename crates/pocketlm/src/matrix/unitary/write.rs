//! Writing unitary matrices.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::error::{Error, Result};
use crate::matrix::encoded::{Encoded, Factor, Shape, ordered};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

/// Whether a square matrix of this size can be unitary: a power of two from 2 to 32,768.
#[must_use]
pub fn unitary_fits(size: usize) -> bool {
    super::fits(size)
}

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    phases: &Factor<'_>,
    reflections: &Factor<'_>,
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    if rows != columns || !unitary_fits(rows) {
        let problem =
            format!("is {rows} x {columns}, but a unitary matrix is square, and its size");
        return Err(Error::matrix(name, format!("{problem} a power of two from 2 to 32768")));
    }
    let n = rows / 2;
    let phases = encode_factor(&Structure::Unitary.factor(name, 0), None, phases, [3, n])?;
    let reflections =
        encode_factor(&Structure::Unitary.factor(name, 1), None, reflections, [4, n])?;
    let (fields, arrays) = ordered(name, order, String::new());
    Ok(Encoded::of_factors(shape, Structure::Unitary, &fields, vec![phases, reflections], arrays))
}
