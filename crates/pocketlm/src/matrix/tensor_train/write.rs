//! Writing tensor trains.

use alloc::format;
use alloc::vec::Vec;

use super::MAX_CORES;
use crate::error::{Error, Result};
use crate::matrix::encoded::{Encoded, Factor, Shape, ordered};
use crate::matrix::stored::write::encode as encode_factor;
use crate::spec::Structure;

pub(crate) fn encode(
    shape: &Shape,
    order: Option<&[u32]>,
    [row_modes, column_modes]: [&[usize]; 2],
    cores: &[Factor<'_>],
) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    check_modes(name, "row", row_modes, rows, cores.len())?;
    check_modes(name, "column", column_modes, columns, cores.len())?;
    let mut rank = 1;
    let mut encoded = Vec::new();
    for (k, core) in cores.iter().enumerate() {
        let next = if k + 1 == cores.len() { 1 } else { core.rows / row_modes[k] };
        let shape = [next * row_modes[k], rank * column_modes[k]];
        encoded.push(encode_factor(&Structure::TensorTrain.factor(name, k), None, core, shape)?);
        rank = next;
    }
    let fields = format!(",\"row_modes\":{row_modes:?},\"column_modes\":{column_modes:?}");
    let (fields, arrays) = ordered(name, order, fields.replace(", ", ","));
    Ok(Encoded::of_factors(shape, Structure::TensorTrain, &fields, encoded, arrays))
}

fn check_modes(name: &str, side: &str, modes: &[usize], size: usize, cores: usize) -> Result<()> {
    let product = modes.iter().try_fold(1usize, |product, &mode| product.checked_mul(mode));
    let fits = product.is_some_and(|product| product >= size && product / 4 <= size);
    let problem = if modes.len() != cores || !(2..=MAX_CORES).contains(&cores) {
        format!("has {cores} cores and {} {side} modes instead of 2 to {MAX_CORES}", modes.len())
    } else if !fits {
        format!("has {side} modes {modes:?}, whose product is not {size} to 4 x {size}")
    } else {
        return Ok(());
    };
    Err(Error::matrix(name, problem))
}
