//! Encoding matrices of structured blocks: the writing half of [`crate::matrix`]'s `circulant`,
//! `toeplitz` and `block_low_rank`, and unitary ones.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Encoded;
use super::form::{Factor, encode_factor, ordered, structured};
use crate::configuration::Expected;
use crate::error::{Error, Result};
use crate::matrix::block_low_rank::MAX_GROUPS;
use crate::matrix::circulant;
use crate::matrix::toeplitz::Sizes;
use crate::matrix::unitary;

/// Whether a matrix `[rows, columns]` can have circulant blocks of this size: from 1 to 1024, and not so large that
/// a product would work on more than 4,194,304 numbers at once.
#[must_use]
pub fn circulant_fits(rows: usize, columns: usize, block: usize) -> bool {
    let turned = || rows.max(columns).checked_next_multiple_of(block)?.checked_mul(block);
    (1..=circulant::MAX_BLOCK).contains(&block)
        && turned().is_some_and(|numbers| numbers <= circulant::MAX_TURNED)
}

/// Whether a matrix `[rows, columns]` can have Toeplitz-like blocks of this size and rank: a size from 1 to 16,384,
/// a rank from 1 to the size, and not so many that a product would work on more than 4,194,304 numbers at once.
#[must_use]
pub fn toeplitz_fits(rows: usize, columns: usize, block: usize, rank: usize) -> bool {
    Sizes::new([rows, columns], block, rank).is_some()
}

/// Whether a square matrix of this size can be unitary: a power of two from 2 to 32,768.
#[must_use]
pub fn unitary_fits(size: usize) -> bool {
    unitary::fits(size)
}

fn unfit(name: &str, what: &str) -> Error {
    Error::matrix(name, format!("has {what}, which are none, too large, or too many"))
}

pub(super) fn encode_circulant(
    expected: &Expected,
    order: Option<&[u32]>,
    block: usize,
    vectors: &Factor<'_>,
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    if !circulant_fits(rows, columns, block) {
        return Err(unfit(name, &format!("blocks of {block}")));
    }
    let shape = [rows.div_ceil(block), columns.div_ceil(block) * block];
    let vectors = encode_factor(&format!("{name}.blocks"), None, vectors, shape)?;
    let (fields, arrays) = ordered(name, order, format!(",\"block\":{block}"));
    Ok(structured(expected, "block-circulant", &fields, vec![vectors], arrays))
}

pub(super) fn encode_toeplitz(
    expected: &Expected,
    order: Option<&[u32]>,
    [block, rank]: [usize; 2],
    [g, h]: [&Factor<'_>; 2],
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    if !toeplitz_fits(rows, columns, block, rank) {
        return Err(unfit(name, &format!("blocks of {block} of rank {rank}")));
    }
    let terms = rows.div_ceil(block) * columns.div_ceil(block) * rank;
    let g = encode_factor(&format!("{name}.circulant"), None, g, [terms, block])?;
    let h = encode_factor(&format!("{name}.skew"), None, h, [terms, block])?;
    let (fields, arrays) = ordered(name, order, format!(",\"block\":{block},\"rank\":{rank}"));
    Ok(structured(expected, "toeplitz-like", &fields, vec![g, h], arrays))
}

pub(super) fn encode_unitary(
    expected: &Expected,
    order: Option<&[u32]>,
    phases: &Factor<'_>,
    reflections: &Factor<'_>,
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    if rows != columns || !unitary_fits(rows) {
        let problem =
            format!("is {rows} x {columns}, but a unitary matrix is square, and its size");
        return Err(Error::matrix(name, format!("{problem} a power of two from 2 to 32768")));
    }
    let n = rows / 2;
    let phases = encode_factor(&format!("{name}.phases"), None, phases, [3, n])?;
    let reflections = encode_factor(&format!("{name}.reflections"), None, reflections, [4, n])?;
    let (fields, arrays) = ordered(name, order, String::new());
    Ok(structured(expected, "unitary", &fields, vec![phases, reflections], arrays))
}

pub(super) fn encode_low_rank(
    expected: &Expected,
    order: Option<&[u32]>,
    groups: &[[Factor<'_>; 2]],
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    let all: usize = groups.iter().map(|[left, _]| left.rows).sum();
    if all != rows || groups.len() > MAX_GROUPS {
        let problem = format!("has {} groups of {all} rows", groups.len());
        let wanted = format!("up to {MAX_GROUPS} groups of {rows} rows");
        return Err(Error::matrix(name, format!("{problem} instead of {wanted}")));
    }
    let mut factors = Vec::new();
    for (at, [left, right]) in groups.iter().enumerate() {
        let [l, r] = [[left.rows, left.columns], [left.columns, columns]];
        factors.push(encode_factor(&format!("{name}.left.{at}"), None, left, l)?);
        factors.push(encode_factor(&format!("{name}.right.{at}"), None, right, r)?);
    }
    let (fields, arrays) = ordered(name, order, String::new());
    Ok(structured(expected, "block-low-rank", &fields, factors, arrays))
}
