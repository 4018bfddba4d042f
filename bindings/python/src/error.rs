//! Errors as exceptions, with the texts of the library.

use std::fmt::Display;

use pyo3::exceptions::{PyFileNotFoundError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    pocketlm,
    Error,
    PyValueError,
    "A model, text or recipe that cannot be used; says which, where and how to mend it."
);

/// For `map_err`: an exception of this module with the error's own text.
pub(crate) fn raise(error: impl Display) -> PyErr {
    Error::new_err(error.to_string())
}

/// Refuses a path where nothing is, as Python does.
pub(crate) fn check_exists(path: &std::path::Path) -> PyResult<()> {
    if path.exists() {
        return Ok(());
    }
    Err(PyFileNotFoundError::new_err(format!("{}: no such file or folder", path.display())))
}
