//! Checkpoints as named arrays.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArrayDyn};
use pocketlm_train::checkpoint::{Checkpoint, Config, Provenance};
use pocketlm_train::corpus::{Encoder, Vocabulary};
use pocketlm_train::error::{Error, Result};
use pocketlm_train::linear::Parameters;
use pocketlm_train::matrix::Parametrization;
use pocketlm_train::network::Network;
use pocketlm_train::recipe::{Draft, Recipe};
use pyo3::prelude::*;

use crate::error::{check_exists, raise};

/// Shape and row-major numbers of an array.
type Array = (Vec<usize>, Vec<f32>);

/// Writes a checkpoint from its words and arrays; `shape` is the recipe's table `model` as JSON.
#[pyfunction]
pub(crate) fn write_checkpoint(
    py: Python<'_>,
    folder: PathBuf,
    words: Vec<String>,
    shape: &str,
    arrays: HashMap<String, PyReadonlyArrayDyn<'_, f32>>,
) -> PyResult<()> {
    let arrays: BTreeMap<String, Array> = arrays
        .iter()
        .map(|(name, array)| {
            let array = array.as_array();
            (name.clone(), (array.shape().to_vec(), array.iter().copied().collect()))
        })
        .collect();
    py.detach(|| checkpoint(&folder, words, shape, &arrays)?.save(&folder)).map_err(raise)
}

fn checkpoint(
    folder: &Path,
    words: Vec<String>,
    shape: &str,
    arrays: &BTreeMap<String, Array>,
) -> Result<Checkpoint> {
    let encoder = Encoder::words(Vocabulary::from_words(words, &folder.join("vocab.txt"))?);
    let provenance = Provenance {
        data_sha256: String::new(),
        train_tokens: 0,
        seed: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        devices: vec!["PyTorch".to_owned()],
    };
    let config = Config::new(recipe(shape)?, &encoder, provenance)?;
    let (network, parameters) = Network::new(&config.recipe.model, config.vocabulary)?;
    let (parametrization, mut leaves) = Parametrization::new(&config.forms, &parameters)?;
    fill(&mut leaves, arrays)?;
    let parameters = leaves.clone();
    Ok(Checkpoint { config, encoder, network, parameters, leaves, parametrization })
}

/// A recipe with this shape and the settings of a base model for a training that goes on.
fn recipe(shape: &str) -> Result<Recipe> {
    let fault = |e: serde_json::Error| Error::config("model", format!("is no shape: {e}"));
    let shape: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(shape).map_err(fault)?;
    let mut draft = Draft::base("zaremba-small")?;
    for (key, value) in shape {
        let fault = |e| Error::config(&key, format!("is no setting: {e}"));
        let value = toml::Value::try_from(value).map_err(fault)?;
        draft = draft.value(&format!("model.{key}"), value)?;
    }
    draft.finish()
}

/// Copies the arrays into their places.
fn fill(leaves: &mut Parameters, arrays: &BTreeMap<String, Array>) -> Result<()> {
    if let Some(name) = arrays.keys().find(|name| leaves.find(name).is_none()) {
        return Err(Error::config(name, "is no matrix of this model"));
    }
    for entry in leaves.entries().to_vec() {
        let missing = || Error::config(&entry.name, "is missing");
        let (shape, numbers) = arrays.get(&entry.name).ok_or_else(missing)?;
        let wanted = shape_of(entry.vector, entry.rows, entry.columns);
        if *shape != wanted {
            let what = format!("has the shape {shape:?}, but this model needs {wanted:?}");
            return Err(Error::config(&entry.name, what));
        }
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(Error::config(&entry.name, "holds a number that is not finite"));
        }
        leaves.data[entry.range].copy_from_slice(numbers);
    }
    Ok(())
}

fn shape_of(vector: bool, rows: usize, columns: usize) -> Vec<usize> {
    if vector { vec![columns] } else { vec![rows, columns] }
}

/// The arrays of a checkpoint by their names.
type Arrays<'py> = HashMap<String, Bound<'py, PyAny>>;

/// Words, shape (JSON) and dense matrices of a checkpoint.
#[pyfunction]
pub(crate) fn read_checkpoint(
    py: Python<'_>,
    folder: PathBuf,
) -> PyResult<(Vec<String>, String, Arrays<'_>)> {
    check_exists(&folder)?;
    let model = py.detach(|| Checkpoint::load(&folder)).map_err(raise)?;
    let words = model.encoder.vocabulary().words().map(str::to_owned).collect();
    let shape = serde_json::to_string(&model.config.recipe.model).map_err(raise)?;
    let mut arrays = HashMap::new();
    for entry in model.parameters.entries() {
        let numbers = model.parameters.data[entry.range.clone()].to_vec();
        let array: Bound<'_, PyArray1<f32>> = numbers.into_pyarray(py);
        let shape = shape_of(entry.vector, entry.rows, entry.columns);
        arrays.insert(entry.name.clone(), array.reshape(shape)?.into_any());
    }
    Ok((words, shape, arrays))
}
