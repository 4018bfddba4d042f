//! Named matrices in safetensors files.

use std::collections::HashMap;
use std::path::Path;

use pocketlm::pack::write_file_with;
use pocketlm_kernels::half;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::error::{Error, Result};
use crate::linear::{Entry, Parameters};

/// The single metadata key of our safetensors files.
pub(crate) const METADATA: &str = "pocketlm";

pub(crate) fn view(shape: Vec<usize>, data: &[f32]) -> TensorView<'_> {
    TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(data)).expect("shape fits the data")
}

pub(crate) fn shape(entry: &Entry) -> Vec<usize> {
    if entry.vector { vec![entry.columns] } else { vec![entry.rows, entry.columns] }
}

pub(crate) fn views<'a>(
    prefix: &str,
    names: &Parameters,
    data: &'a [f32],
) -> Vec<(String, TensorView<'a>)> {
    let named = |entry: &Entry| {
        let numbers = &data[entry.range.clone()];
        (format!("{prefix}{}", entry.name), view(shape(entry), numbers))
    };
    names.entries().iter().map(named).collect()
}

pub(crate) fn write(path: &Path, tensors: Vec<(String, TensorView)>, metadata: &str) -> Result<()> {
    let metadata = HashMap::from([(METADATA.to_owned(), metadata.to_owned())]);
    let bytes = serialize(tensors, Some(metadata)).map_err(std::io::Error::other);
    let written = bytes.and_then(|bytes| write_file_with(path, |file| file.write_all(&bytes)));
    written.map_err(Error::io(path))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io(path))
}

pub(crate) fn foreign(path: &Path, error: &safetensors::SafeTensorError) -> Error {
    Error::checkpoint(path, format!("is truncated or no safetensors file: {error}"))
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| foreign(path, &e))
}

pub(crate) fn fill(
    path: &Path,
    tensors: &SafeTensors,
    prefix: &str,
    parameters: &mut Parameters,
) -> Result<()> {
    for at in 0..parameters.entries().len() {
        let entry = parameters.entries()[at].clone();
        let name = format!("{prefix}{}", entry.name);
        copy(path, tensors, &name, &shape(&entry), &mut parameters.data[entry.range.clone()])?;
    }
    Ok(())
}

/// Copies a tensor of the expected shape; refuses numbers that are not finite.
pub(crate) fn copy(
    path: &Path,
    tensors: &SafeTensors,
    name: &str,
    shape: &[usize],
    out: &mut [f32],
) -> Result<()> {
    let tensor = tensors.tensor(name).map_err(|_| {
        Error::checkpoint(path, format!("has no tensor {name}: it is of another model"))
    })?;
    let dtype = tensor.dtype();
    if tensor.shape() != shape || !matches!(dtype, Dtype::F32 | Dtype::F16) {
        let what = format!(
            "has {name} as {dtype:?} {:?}, the model needs F32 or F16 {shape:?}",
            tensor.shape()
        );
        return Err(Error::checkpoint(path, what));
    }
    let bytes = tensor.data();
    if dtype == Dtype::F32 {
        for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().expect("chunks of four"));
        }
    } else {
        for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            *value = half::to_f32(u16::from_le_bytes(bytes.try_into().expect("chunks of two")));
        }
    }
    if let Some(at) = out.iter().position(|x| !x.is_finite()) {
        return Err(Error::checkpoint(
            path,
            format!("has a number in {name} that is not finite (at {at})"),
        ));
    }
    Ok(())
}
