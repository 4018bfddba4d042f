//! A recurrent model: its configuration and matrices, over the bytes of the file.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cell::Layer;
use crate::configuration::{Configuration, Expected};
use crate::error::{Error, Result};
use crate::format::metadata::{self, Description};
use crate::json::Value;
use crate::matrix::{self, Leaves, Matrix, factor_name};
use crate::storage::Array;

/// Bytes that a session or a batch takes for each unit of a width: four buffers of 32 vectors.
const WIDTH: usize = 4 * 32 * size_of::<f32>();

/// A token may take so many multiplications, and [`WORK_PER_BYTE`] more for each byte of the file.
const WORK: usize = u32::MAX as usize;
const WORK_PER_BYTE: usize = 256;

/// What a recurrent model computes with.
#[derive(Debug)]
pub(crate) struct Recurrent {
    pub(crate) configuration: Configuration,
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) projection: Option<Matrix>,
    /// `None` where the embedding is used.
    softmax: Option<Matrix>,
    pub(crate) softmax_bias: Array,
    /// What the file says of each matrix and factor.
    pub(crate) forms: Vec<(String, Form)>,
}

/// What the file says of a matrix, in its words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pub(crate) structure: String,
    pub(crate) sparsity: String,
    pub(crate) precision: String,
    /// Its arrays, those of its factors among them.
    pub(crate) arrays: Vec<String>,
}

impl Recurrent {
    /// The matrices and biases that `configuration` asks for.
    pub(crate) fn open(
        configuration: Configuration,
        types: usize,
        leaves: &Leaves<'_>,
    ) -> Result<Self> {
        let parts = Parts {
            descriptions: metadata::matrices(&leaves.header.metadata)?,
            expected: configuration.matrices(types),
            leaves,
        };
        // Every other width has a bias of its length in the file.
        let Configuration { embedding, cell_projection, projection, .. } = configuration;
        leaves.take("(all)", WIDTH * (embedding + cell_projection + projection))?;
        let projection = (configuration.projection > 0).then(|| parts.matrix("projection"));
        let softmax = (!configuration.tied).then(|| parts.matrix("softmax"));
        let model = Self {
            embedding: parts.matrix("embedding")?,
            layers: parts.layers(&configuration)?,
            projection: projection.transpose()?,
            softmax: softmax.transpose()?,
            softmax_bias: leaves.finite("softmax.bias", &[types])?,
            forms: parts.forms(),
            configuration,
        };
        parts.check()?;
        model.check_work(leaves.storage.len())?;
        Ok(model)
    }

    /// Refuses a model of which a token takes more work than a file of `bytes` bytes may ask for.
    fn check_work(&self, bytes: usize) -> Result<()> {
        let limit = bytes.saturating_mul(WORK_PER_BYTE).saturating_add(WORK);
        let mut all = 0usize;
        for (name, matrix) in self.named() {
            all = all.saturating_add(matrix.operations());
            if all > limit {
                let problem = alloc::format!(
                    "makes {all} multiplications a token with those before it: more than {WORK} and {WORK_PER_BYTE} \
                     for each byte of the file"
                );
                return Err(Error::matrix(name, problem));
            }
        }
        Ok(())
    }

    /// Numbers of a state: those of all layers.
    pub(crate) fn state_len(&self) -> usize {
        self.layers.iter().map(Layer::state).sum()
    }

    /// The matrix of the output layer.
    pub(crate) fn softmax(&self) -> &Matrix {
        self.softmax.as_ref().unwrap_or(&self.embedding)
    }

    /// Width of what the last layer gives.
    pub(crate) fn top(&self) -> usize {
        self.configuration.top()
    }
}

/// What a model is put together from.
struct Parts<'a> {
    /// In the order of their names.
    descriptions: Vec<Description<'a>>,
    expected: Vec<Expected>,
    leaves: &'a Leaves<'a>,
}

impl Parts<'_> {
    fn description(&self, name: &str) -> Option<&Description<'_>> {
        self.descriptions.iter().find(|description| description.name == name)
    }

    /// Refuses matrices that the configuration does not ask for.
    fn check(&self) -> Result<()> {
        let is_asked = |d: &Description<'_>| self.expected.iter().any(|e| e.name == d.name);
        match self.descriptions.iter().find(|&description| !is_asked(description)) {
            None => Ok(()),
            Some(d) => Err(Error::matrix(
                &d.name,
                "is described, but the configuration has no such matrix",
            )),
        }
    }

    /// The matrix `name`, with the shape that the configuration gives it.
    fn matrix(&self, name: &str) -> Result<Matrix> {
        let missing = || Error::matrix(name, "is missing, but the configuration asks for it");
        let description = self.description(name).ok_or_else(missing)?;
        let expected = self.expected.iter().find(|expected| expected.name == name);
        let expected = expected.ok_or_else(missing)?;
        let (found, wanted) =
            ([description.rows, description.columns], [expected.rows, expected.columns]);
        if found != wanted {
            let problem = alloc::format!("is {found:?}, but the configuration asks for {wanted:?}");
            return Err(Error::matrix(name, problem));
        }
        Matrix::open(description, self.leaves)
    }

    fn layers(&self, configuration: &Configuration) -> Result<Vec<Layer>> {
        let layers = configuration.hidden.iter().enumerate().map(|(k, &hidden)| {
            let matrix = |part: &str| self.matrix(&alloc::format!("cell.{k}.{part}"));
            let length = configuration.cell.bias(hidden);
            let vector = |part| self.leaves.finite(&alloc::format!("cell.{k}.{part}"), &[length]);
            let projected = configuration.cell_projection > 0;
            Ok(Layer {
                kind: configuration.cell,
                hidden,
                input: matrix("input")?,
                recurrent: matrix("recurrent")?,
                projection: projected.then(|| matrix("projection")).transpose()?,
                bias: vector("bias")?,
                gain: configuration.layer_norm.then(|| vector("gain")).transpose()?,
                rounds: (0..configuration.mogrifier)
                    .map(|i| matrix(&alloc::format!("mogrifier.{i}")))
                    .collect::<Result<_>>()?,
            })
        });
        layers.collect()
    }

    /// The form of every matrix and every factor of one.
    fn forms(&self) -> Vec<(String, Form)> {
        let form = |d: &Description<'_>| Form {
            structure: d.structure.clone(),
            sparsity: d.sparsity.clone(),
            precision: d.precision.clone(),
            arrays: d.arrays.clone(),
        };
        let mut forms = Vec::new();
        for description in &self.descriptions {
            let name = &description.name;
            // What has no factors has none to list; what has, has been opened.
            let factors = matrix::factors(description).unwrap_or_default();
            let mut whole = form(description);
            let order = description.fields.get("order").and_then(Value::string);
            whole.arrays.extend(order.map(String::from));
            for (k, factor) in factors.iter().enumerate() {
                whole.arrays.extend(factor.arrays.iter().cloned());
                forms.push((factor_name(name, &description.structure, k), form(factor)));
            }
            forms.push((name.clone(), whole));
        }
        forms
    }
}
