//! The weights of an open model, for other programs.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::matrix::{Matrix, Scratch};
use crate::model::Model;
use crate::recurrent::Recurrent;
use crate::spec::{MatrixName, Part};

impl Model {
    /// The weights of a recurrent model as the file's precision has left them: the name and the numbers, row-major, of
    /// each matrix of [`Configuration::matrices`](crate::Configuration::matrices), then of each bias and gain. `None` for
    /// an n-gram model.
    #[must_use]
    pub fn weights(&self) -> Option<Vec<(String, Vec<f32>)>> {
        let (model, types) = (self.recurrent()?, self.vocabulary().len());
        let matrices = model.configuration.matrices(types).into_iter();
        let matrices =
            matrices.map(|matrix| (matrix.name.to_string(), dense(model.matrix(matrix.name))));
        let biases = model.configuration.biases(types).into_iter();
        let biases = biases.map(|bias| (bias.name.to_string(), model.vector(bias.name).to_vec()));
        Some(matrices.chain(biases).collect())
    }
}

/// All numbers of a matrix, whatever its form.
fn dense(matrix: &Matrix) -> Vec<f32> {
    let mut scratch = Scratch::default();
    matrix.reserve(1, &mut scratch);
    let mut numbers = vec![0.0; matrix.rows() * matrix.columns()];
    for (row, out) in numbers.chunks_exact_mut(matrix.columns()).enumerate() {
        matrix.row(row, &mut scratch, out);
    }
    numbers
}

const OWN: &str = "a name of this configuration";

impl Recurrent {
    fn matrix(&self, name: MatrixName) -> &Matrix {
        match name {
            MatrixName::Embedding => &self.embedding,
            MatrixName::Projection => self.projection.as_ref().expect(OWN),
            MatrixName::Softmax | MatrixName::SoftmaxBias => self.softmax(),
            MatrixName::Cell(k, part) => match part {
                Part::Recurrent => &self.layers[k].recurrent,
                Part::Projection => self.layers[k].projection.as_ref().expect(OWN),
                Part::Mogrifier(round) => &self.layers[k].rounds[round],
                Part::Input | Part::Bias | Part::Gain => &self.layers[k].input,
            },
        }
    }

    fn vector(&self, name: MatrixName) -> &[f32] {
        match name {
            MatrixName::Cell(k, Part::Gain) => self.layers[k].gain.as_ref().expect(OWN).f32(),
            MatrixName::Cell(k, _) => self.layers[k].bias.f32(),
            _ => self.softmax_bias.f32(),
        }
    }
}
