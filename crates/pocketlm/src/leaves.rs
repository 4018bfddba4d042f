//! The leaf arrays of a file, found by name and checked against what a reader expects of them.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::Cell;

use pocketlm_kernels::half;

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
    room: Cell<usize>,
    /// Multiplications that they may take for a token.
    work: Cell<usize>,
}

/// A model may take this much memory besides its file, and more for each byte of the file.
const ROOM: [usize; 2] = [64 << 20, 64];

/// A token may take so many multiplications, and more for each byte of the file.
const WORK: [usize; 2] = [u32::MAX as usize, 256];

impl<'a> Leaves<'a> {
    /// The arrays of a file, of which `decoded` are in memory already.
    pub(crate) fn new(
        header: &'a Header,
        storage: &'a Arc<Storage>,
        decoded: &'a Arc<Storage>,
    ) -> Self {
        let limit =
            |[all, each]: [usize; 2]| storage.len().saturating_mul(each).saturating_add(all);
        let room = Cell::new(limit(ROOM).saturating_sub(decoded.len()));
        Self { header, storage, decoded, room, work: Cell::new(limit(WORK)) }
    }

    /// Those of a part of the file that `header` describes, with what room and work is left.
    pub(crate) fn part<'b>(&'b self, header: &'b Header) -> Leaves<'b> {
        let (storage, decoded) = (self.storage, self.decoded);
        Leaves { header, storage, decoded, room: self.room.clone(), work: self.work.clone() }
    }

    /// Goes on with what room and work a part has left.
    pub(crate) fn take_back(&self, part: &Leaves<'_>) {
        self.room.set(part.room.get());
        self.work.set(part.work.get());
    }

    /// Takes room for `bytes` bytes of memory that the matrix `name` is about to ask for.
    pub(crate) fn take(&self, name: &str, bytes: usize) -> Result<()> {
        spend(&self.room, bytes).ok_or_else(|| {
            let problem =
                "takes more memory, with all before it, than a file of this size may ask for";
            Error::matrix(name, problem)
        })
    }

    /// The same of multiplications that it makes for a token.
    pub(crate) fn work(&self, name: &str, multiplications: usize) -> Result<()> {
        spend(&self.work, multiplications).ok_or_else(|| {
            let problem =
                "makes more work, with all before it, than a file of this size may ask for";
            Error::matrix(name, problem)
        })
    }
}

fn spend(left: &Cell<usize>, amount: usize) -> Option<()> {
    left.set(left.get().checked_sub(amount)?);
    Some(())
}

impl Leaves<'_> {
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

    /// The array `name` of finite half-precision numbers with this shape.
    pub(crate) fn halves(&self, name: &str, shape: &[usize]) -> Result<Array> {
        let array = self.array(name, Dtype::F16, shape)?;
        match array.u16().iter().position(|&bits| !half::to_f32(bits).is_finite()) {
            None => Ok(array),
            Some(at) => Err(Error::array(name, format!("element {at} is not a finite number"))),
        }
    }

    /// The array `name` of `parts + 1` offsets, which begin with zero and never fall.
    pub(crate) fn offsets(&self, name: &str, parts: usize) -> Result<Array> {
        let array = self.array(name, Dtype::U32, &[parts + 1])?;
        let offsets = array.u32();
        if offsets[0] == 0 && offsets.windows(2).all(|pair| pair[0] <= pair[1]) {
            return Ok(array);
        }
        Err(Error::array(name, "does not begin with zero, or falls"))
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
