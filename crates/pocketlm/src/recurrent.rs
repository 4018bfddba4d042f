//! A recurrent model: its configuration and matrices, over the bytes of the file.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::cell::Layer;
use crate::error::{Error, Result};
use crate::format::metadata::{self, Description};
use crate::leaves::Leaves;
use crate::matrix::Matrix;
use crate::spec::{Configuration, Expected, MatrixName, Part};
use crate::storage::Array;

/// Vectors that go through a matrix at once, those of several steps where they are known: weights are read once for all.
pub(crate) const VECTORS: usize = 128;

/// Bytes that a session or a batch takes for each unit of a width, in four buffers.
const WIDTH: usize = 4 * VECTORS * size_of::<f32>();

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
        let descriptions = metadata::matrices(&leaves.header.metadata)?;
        let parts = Parts {
            descriptions: descriptions.into_iter().map(|d| (d.name.parse().ok(), d)).collect(),
            expected: configuration.matrices(types),
            leaves,
        };
        parts.once()?;
        // Every other width has a bias of its length in the file.
        let Configuration { embedding, cell_projection, projection, .. } = configuration;
        leaves.take("(all)", WIDTH * (embedding + cell_projection + projection))?;
        let projection =
            (configuration.projection > 0).then(|| parts.matrix(MatrixName::Projection));
        let softmax = (!configuration.tied).then(|| parts.matrix(MatrixName::Softmax));
        let model = Self {
            embedding: parts.matrix(MatrixName::Embedding)?,
            layers: parts.layers(&configuration)?,
            projection: projection.transpose()?,
            softmax: softmax.transpose()?,
            softmax_bias: parts.vector(MatrixName::SoftmaxBias, types)?,
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
    /// With what their names name, if anything.
    descriptions: Vec<(Option<MatrixName>, Description<'a>)>,
    expected: Vec<Expected>,
    leaves: &'a Leaves<'a>,
}

impl Parts<'_> {
    /// Refuses a matrix that is described twice. One more description than there are matrices has such a one, or one
    /// that nobody asks for.
    fn once(&self) -> Result<()> {
        let some = self.descriptions.iter().take(self.expected.len() + 1);
        for (at, (_, d)) in some.enumerate() {
            if self.descriptions[..at].iter().any(|(_, other)| other.name == d.name) {
                return Err(Error::matrix(&d.name, "is described twice"));
            }
        }
        Ok(())
    }

    /// Refuses matrices that the configuration does not ask for.
    fn asked(&self) -> Result<()> {
        let is_asked = |name| self.expected.iter().any(|expected| Some(expected.name) == name);
        match self.descriptions.iter().find(|(name, _)| !is_asked(*name)) {
            None => Ok(()),
            Some((_, d)) => Err(Error::matrix(&d.name, "is described, but nothing asks for it")),
        }
    }

    /// The matrix `name`, with the shape that the configuration gives it.
    fn matrix(&self, name: MatrixName) -> Result<Matrix> {
        let missing =
            || Error::matrix(name.to_string(), "is missing, but the configuration asks for it");
        let description = self.descriptions.iter().find(|(found, _)| *found == Some(name));
        let (_, description) = description.ok_or_else(missing)?;
        let expected = self.expected.iter().find(|expected| expected.name == name);
        let expected = expected.ok_or_else(missing)?;
        let (found, wanted) =
            ([description.rows, description.columns], [expected.rows, expected.columns]);
        if found != wanted {
            let problem = alloc::format!("is {found:?}, but the configuration asks for {wanted:?}");
            return Err(Error::matrix(&description.name, problem));
        }
        let matrix = Matrix::open(description, self.leaves)?;
        self.leaves.work(&description.name, matrix.operations())?;
        Ok(matrix)
    }

    /// The bias or gain `name` of so many numbers.
    fn vector(&self, name: MatrixName, length: usize) -> Result<Array> {
        self.leaves.finite(&name.to_string(), &[length])
    }

    fn layers(&self, configuration: &Configuration) -> Result<Vec<Layer>> {
        let layers = configuration.hidden.iter().enumerate().map(|(k, &hidden)| {
            let matrix = |part| self.matrix(MatrixName::Cell(k, part));
            let length = configuration.cell.bias(hidden);
            let vector = |part| self.vector(MatrixName::Cell(k, part), length);
            let projected = configuration.cell_projection > 0;
            Ok(Layer {
                kind: configuration.cell,
                hidden,
                input: matrix(Part::Input)?,
                recurrent: matrix(Part::Recurrent)?,
                projection: projected.then(|| matrix(Part::Projection)).transpose()?,
                bias: vector(Part::Bias)?,
                gain: configuration.layer_norm.then(|| vector(Part::Gain)).transpose()?,
                rounds: (0..configuration.mogrifier)
                    .map(|i| matrix(Part::Mogrifier(i)))
                    .collect::<Result<_>>()?,
            })
        });
        layers.collect()
    }
}
