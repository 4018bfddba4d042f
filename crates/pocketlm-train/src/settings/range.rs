//! Numbers that a setting may have.

use crate::error::{Error, Result};

/// Checks that `value` is a probability below one.
///
/// # Errors
/// [`Error::Config`] naming the field.
pub(crate) fn probability(field: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(field, format!("is {value}: give a number at least 0 and below 1")))
}

pub(crate) fn positive(field: &str, value: f64) -> Result<()> {
    if value > 0.0 && fits(value) {
        return Ok(());
    }
    Err(Error::config(field, format!("is {value}: give a finite number above 0")))
}

/// Whether it is a finite number in single precision too, in which weights are.
fn fits(value: f64) -> bool {
    (value as f32).is_finite()
}

pub(crate) fn not_negative(field: &str, value: f64) -> Result<()> {
    if value >= 0.0 && fits(value) {
        return Ok(());
    }
    Err(Error::config(field, format!("is {value}: give a finite number, 0 or more")))
}
