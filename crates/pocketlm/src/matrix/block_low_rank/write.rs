//! Writing matrices of low rank by groups of rows.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::matrix::encoded::{Encoded, Factor, Shape, ordered};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    groups: &[[Factor<'_>; 2]],
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    let most = super::MAX_GROUPS;
    let all: usize = groups.iter().map(|[left, _]| left.rows).sum();
    if all != rows || groups.len() > most {
        let problem = format!("has {} groups of {all} rows", groups.len());
        let wanted = format!("up to {most} groups of {rows} rows");
        return Err(Error::matrix(name, format!("{problem} instead of {wanted}")));
    }
    let mut factors = Vec::new();
    for [left, right] in groups {
        let [l, r] = [[left.rows, left.columns], [left.columns, columns]];
        for (factor, shape) in [(left, l), (right, r)] {
            let name = Structure::BlockLowRank.factor(name, factors.len());
            factors.push(encode_factor(&name, None, factor, shape)?);
        }
    }
    let (fields, arrays) = ordered(name, order, String::new());
    Ok(Encoded::of_factors(shape, Structure::BlockLowRank, &fields, factors, arrays))
}
