//! Checkpoints as named arrays.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArrayDyn};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Encoder, Vocabulary};
use pocketlm_train::error::Result;
use pocketlm_train::import::{Options, Tensors, assemble};
use pocketlm_train::settings::CellKind;
use pocketlm_train::torch::{Tensor, tensors};
use pyo3::prelude::*;

use crate::error::{check_exists, raise};

/// Writes a checkpoint from its words and the arrays of PyTorch's modules, by the names of a module of `to_torch`.
#[pyfunction]
pub(crate) fn write_checkpoint(
    py: Python<'_>,
    folder: PathBuf,
    words: Vec<String>,
    arrays: HashMap<String, PyReadonlyArrayDyn<'_, f32>>,
) -> PyResult<()> {
    let tensors: Tensors = arrays
        .iter()
        .map(|(name, array)| {
            let array = array.as_array();
            let (shape, data) = (array.shape().to_vec(), array.iter().copied().collect());
            (name.clone(), Tensor { shape, data })
        })
        .collect();
    py.detach(|| checkpoint(words, &tensors)?.save(&folder)).map_err(raise)
}

fn checkpoint(words: Vec<String>, tensors: &Tensors) -> Result<Checkpoint> {
    let (model, list) = (Path::new("the model"), Path::new("the list of words"));
    let encoder = Encoder::words(Vocabulary::from_words(words, list)?);
    let options = Options { layout: Some("huggingface".into()), ..Options::default() };
    Ok(assemble((model, tensors), (list, encoder), &options)?.checkpoint)
}

/// The arrays of a checkpoint by their names.
type Arrays<'py> = HashMap<String, Bound<'py, PyAny>>;

/// Words, shape (JSON) and dense matrices of a checkpoint, by PyTorch's names; none of a uRNN, which PyTorch lacks.
#[pyfunction]
pub(crate) fn read_checkpoint(
    py: Python<'_>,
    folder: PathBuf,
) -> PyResult<(Vec<String>, String, Arrays<'_>)> {
    check_exists(&folder)?;
    let checkpoint = py.detach(|| Checkpoint::load(&folder)).map_err(raise)?;
    let words = checkpoint.encoder.vocabulary().words().map(str::to_owned).collect();
    let model = &checkpoint.config.recipe.model;
    let shape = serde_json::to_string(model).map_err(raise)?;
    let mut arrays = HashMap::new();
    if model.cell != CellKind::Urnn {
        for (name, Tensor { shape, data }) in tensors(model, &checkpoint.parameters) {
            let array: Bound<'_, PyArray1<f32>> = data.into_pyarray(py);
            arrays.insert(name, array.reshape(shape)?.into_any());
        }
    }
    Ok((words, shape, arrays))
}
