//! A recurrent model: its configuration and matrices, over the bytes of the file.

use alloc::vec::Vec;

use crate::cell::Layer;
use crate::configuration::{Configuration, Expected};
use crate::error::{Error, Result};
use crate::format::metadata::{self, Description};
use crate::matrix::{Leaves, Matrix};
use crate::storage::Array;

/// Bytes that a session or a batch takes for each unit of a width: four buffers of 32 vectors.
const WIDTH: usize = 4 * 32 * size_of::<f32>();

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
        parts.once()?;
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
            configuration,
        };
        parts.asked()?;
        Ok(model)
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
    descriptions: Vec<Description<'a>>,
    expected: Vec<Expected>,
    leaves: &'a Leaves<'a>,
}

impl Parts<'_> {
    fn description(&self, name: &str) -> Option<&Description<'_>> {
        self.descriptions.iter().find(|description| description.name == name)
    }

    /// Refuses a matrix that is described twice. One more description than there are matrices has such a one, or one
    /// that nobody asks for.
    fn once(&self) -> Result<()> {
        let some = self.descriptions.iter().take(self.expected.len() + 1);
        for (at, d) in some.enumerate() {
            if self.descriptions[..at].iter().any(|other| other.name == d.name) {
                return Err(Error::matrix(&d.name, "is described twice"));
            }
        }
        Ok(())
    }

    /// Refuses matrices that the configuration does not ask for.
    fn asked(&self) -> Result<()> {
        let is_asked = |d: &Description<'_>| self.expected.iter().any(|e| e.name == d.name);
        match self.descriptions.iter().find(|&description| !is_asked(description)) {
            None => Ok(()),
            Some(d) => Err(Error::matrix(&d.name, "is described, but nothing asks for it")),
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
        let matrix = Matrix::open(description, self.leaves)?;
        self.leaves.work(name, matrix.operations())?;
        Ok(matrix)
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
}
