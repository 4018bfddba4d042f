//! Writing Toeplitz-like matrices.

use alloc::format;
use alloc::vec;

use crate::error::Result;
use crate::matrix::encoded::{Encoded, Factor, Shape, ordered, unfit};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

/// Whether a matrix `[rows, columns]` can have Toeplitz-like blocks of this size and rank: a size from 1 to 16,384,
/// a rank from 1 to the size, and not so many that a product would work on more than 4,194,304 numbers at once.
#[must_use]
pub fn toeplitz_fits(rows: usize, columns: usize, block: usize, rank: usize) -> bool {
    super::Sizes::new([rows, columns], block, rank).is_some()
}

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    [block, rank]: [usize; 2],
    [g, h]: [&Factor<'_>; 2],
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    if !toeplitz_fits(rows, columns, block, rank) {
        return Err(unfit(name, &format!("blocks of {block} of rank {rank}")));
    }
    let terms = rows.div_ceil(block) * columns.div_ceil(block) * rank;
    let g = encode_factor(&Structure::ToeplitzLike.factor(name, 0), None, g, [terms, block])?;
    let h = encode_factor(&Structure::ToeplitzLike.factor(name, 1), None, h, [terms, block])?;
    let (fields, arrays) = ordered(name, order, format!(",\"block\":{block},\"rank\":{rank}"));
    Ok(Encoded::of_factors(shape, Structure::ToeplitzLike, &fields, vec![g, h], arrays))
}
