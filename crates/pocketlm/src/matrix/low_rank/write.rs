//! Writing low-rank matrices.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::Result;
use crate::matrix::encoded::{Encoded, Factor, Shape};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    [left, right]: [&Factor<'_>; 2],
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    let rank = left.columns;
    let factor = |k| Structure::LowRank.factor(name, k);
    let left = encode_factor(&factor(0), order, left, [rows, rank])?;
    let right = encode_factor(&factor(1), None, right, [rank, columns])?;
    Ok(Encoded::of_factors(shape, Structure::LowRank, "", vec![left, right], Vec::new()))
}
