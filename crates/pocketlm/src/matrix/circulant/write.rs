//! Writing block-circulant matrices.

use alloc::format;
use alloc::vec;

use crate::error::Result;
use crate::matrix::encoded::{Encoded, Factor, Shape, ordered, unfit};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

/// Whether a matrix `[rows, columns]` can have circulant blocks of this size: from 1 to 1024, and not so large that
/// a product would work on more than 4,194,304 numbers at once.
#[must_use]
pub fn circulant_fits(rows: usize, columns: usize, block: usize) -> bool {
    let turned = || rows.max(columns).checked_next_multiple_of(block)?.checked_mul(block);
    (1..=super::MAX_BLOCK).contains(&block)
        && turned().is_some_and(|numbers| numbers <= super::MAX_TURNED)
}

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    block: usize,
    vectors: &Factor<'_>,
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    if !circulant_fits(rows, columns, block) {
        return Err(unfit(name, &format!("blocks of {block}")));
    }
    let of_vectors = [rows.div_ceil(block), columns.div_ceil(block) * block];
    let vectors =
        encode_factor(&Structure::BlockCirculant.factor(name, 0), None, vectors, of_vectors)?;
    let (fields, arrays) = ordered(name, order, format!(",\"block\":{block}"));
    Ok(Encoded::of_factors(shape, Structure::BlockCirculant, &fields, vec![vectors], arrays))
}
