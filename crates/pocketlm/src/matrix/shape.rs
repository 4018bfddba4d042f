//! What the shapes of matrices may be, and where the panels of one lie.

use alloc::format;
use core::ops::Range;

use pocketlm_kernels::grouped::Code;
use pocketlm_kernels::layout::MAX_INTEGER_COLS;

use crate::error::{Error, Result};
use crate::format::metadata::Description;
use crate::json::Value;

/// Most columns of a sparse matrix: positions are 16 bits.
const MAX_SPARSE_COLUMNS: usize = 1 << u16::BITS;

/// Refuses a sparse matrix of more columns than positions tell apart.
pub(crate) fn check_sparse(name: &str, columns: usize) -> Result<()> {
    if columns <= MAX_SPARSE_COLUMNS {
        return Ok(());
    }
    Err(Error::matrix(name, format!("is sparse with more than {MAX_SPARSE_COLUMNS} columns")))
}

/// Refuses a matrix of more columns than integer sums hold.
pub(crate) fn check_integers(name: &str, columns: usize) -> Result<()> {
    if columns <= MAX_INTEGER_COLS {
        return Ok(());
    }
    Err(Error::matrix(name, format!("has more than {MAX_INTEGER_COLS} columns of integers")))
}

/// Columns that share a scale.
pub(crate) fn group(description: &Description<'_>, code: Code) -> Result<usize> {
    let block = code.block();
    let group = description.fields.get("group").and_then(Value::number);
    let problem = || format!("has no group, or one that is no multiple of {block}");
    group
        .filter(|&group| group > 0 && group.is_multiple_of(block) && group <= MAX_INTEGER_COLS)
        .ok_or_else(|| Error::matrix(&description.name, problem()))
}

/// The panels `panels`, each of `size` elements.
pub(crate) fn part<'a, T>(all: &'a [T], size: usize, panels: &Range<usize>) -> &'a [T] {
    &all[panels.start * size..panels.end * size]
}
