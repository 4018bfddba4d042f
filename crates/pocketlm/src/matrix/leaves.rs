//! The leaf arrays of a file, found by name and checked against what a reader expects of them.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::Cell;

use crate::error::{Error, Result};
use crate::format::container::{Dtype, Header};
use crate::storage::{Array, Storage};

/// All arrays of an open file.
pub(crate) struct Leaves<'a> {
    pub(crate) header: &'a Header,
    pub(crate) storage: &'a Arc<Storage>,
    /// What was decoded of them.
    pub(crate) decoded: &'a Arc<Storage>,
    /// Bytes of memory that what is still to be opened may take.
    pub(crate) room: Cell<usize>,
}

/// A model may take this much memory besides its file, and [`PER_BYTE`] bytes more for each byte of the file.
pub(crate) const ROOM: usize = 64 << 20;
const PER_BYTE: usize = 64;

impl<'a> Leaves<'a> {
    /// The arrays of a file, of which `decoded` are in memory already.
    pub(crate) fn new(
        header: &'a Header,
        storage: &'a Arc<Storage>,
        decoded: &'a Arc<Storage>,
    ) -> Self {
        let room = storage.len().saturating_mul(PER_BYTE).saturating_add(ROOM);
        Self { header, storage, decoded, room: Cell::new(room.saturating_sub(decoded.len())) }
    }

    /// Takes room for `bytes` bytes of memory that the matrix `name` is about to ask for.
    pub(crate) fn take(&self, name: &str, bytes: usize) -> Result<()> {
        let Some(left) = self.room.get().checked_sub(bytes) else {
            let problem = format!(
                "takes {bytes} bytes of memory: with all before it more than {ROOM} and {PER_BYTE} times the file"
            );
            return Err(Error::matrix(name, problem));
        };
        self.room.set(left);
        Ok(())
    }

    /// The array `name`, if it has this dtype and shape.
    pub(crate) fn array(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Array> {
        let (array, found) = self.any(name, dtype)?;
        if found == shape {
            return Ok(array);
        }
        Err(Error::array(name, format!("has shape {found:?} instead of {shape:?}")))
    }

    /// The array `name` if it has this dtype, and its shape.
    pub(crate) fn any(&self, name: &str, dtype: Dtype) -> Result<(Array, &[usize])> {
        let entry = self.header.arrays.get(name).ok_or_else(|| Error::array(name, "is missing"))?;
        if entry.dtype != dtype {
            let (found, wanted) = (entry.dtype.name(), dtype.name());
            return Err(Error::array(name, format!("is {found} instead of {wanted}")));
        }
        let array = match &entry.decoded {
            None => Array::new(self.storage, entry.range.clone()),
            Some(place) => Array::new(self.decoded, place.clone()),
        };
        let array = array.ok_or_else(|| Error::array(name, "lies outside the file"))?;
        Ok((array, &entry.shape))
    }

    /// The array `name` of finite `f32` with this shape.
    pub(crate) fn finite(&self, name: &str, shape: &[usize]) -> Result<Array> {
        let array = self.array(name, Dtype::F32, shape)?;
        match array.f32().iter().position(|value| !value.is_finite()) {
            None => Ok(array),
            Some(at) => Err(Error::array(name, format!("element {at} is not a finite number"))),
        }
    }
}

/// The arrays that a description lists, of which there must be `N`.
pub(crate) fn names<'a, const N: usize>(
    matrix: &str,
    arrays: &'a [String],
) -> Result<&'a [String; N]> {
    let problem = || format!("lists {} arrays instead of {N}", arrays.len());
    arrays.try_into().map_err(|_| Error::matrix(matrix, problem()))
}
