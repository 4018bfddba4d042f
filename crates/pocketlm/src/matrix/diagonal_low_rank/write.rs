//! Writing matrices of a diagonal and low rank.

use alloc::string::String;
use alloc::vec;

use crate::error::Result;
use crate::matrix::encoded::{Encoded, Factor, Shape, ordered};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    [left, right, diagonal]: [&Factor<'_>; 3],
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    let rank = left.columns;
    let factor = |k| Structure::DiagonalLowRank.factor(name, k);
    let left = encode_factor(&factor(0), order, left, [rows, rank])?;
    let right = encode_factor(&factor(1), None, right, [rank, columns])?;
    let diagonal = encode_factor(&factor(2), order, diagonal, [rows, 1])?;
    let (fields, arrays) = ordered(name, order, String::new());
    let factors = vec![left, right, diagonal];
    Ok(Encoded::of_factors(shape, Structure::DiagonalLowRank, &fields, factors, arrays))
}
