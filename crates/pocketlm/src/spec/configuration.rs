//! The configuration of a model, and the matrices that follow from it.

use alloc::format;
use alloc::vec::Vec;

use super::{CellKind, MatrixName, Part, Unit};
use crate::error::{Error, Result};

/// Largest width and largest number of layers that are read from a file.
const MAX_WIDTH: usize = 1 << 20;
const MAX_LAYERS: usize = 64;
/// Most rounds of a Mogrifier that are read from a file.
const MAX_ROUNDS: usize = 16;

/// The configuration of a model. From it follow the names and shapes of all its matrices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The kind of all cells.
    pub cell: CellKind,
    /// Width of the embedding.
    pub embedding: usize,
    /// Units of each layer, from the input up.
    pub hidden: Vec<usize>,
    /// Width `P` of the recurrent projection (LSTMP: Sak et al. 2014), 0 for none.
    pub cell_projection: usize,
    /// Width `Q` of the output projection, 0 for none.
    pub projection: usize,
    /// Whether the output layer uses the embedding's matrix.
    pub tied: bool,
    /// What a token is.
    pub unit: Unit,
    /// Whether the cells' pre-activations are normalised over their units (Ba et al. 2016).
    pub layer_norm: bool,
    /// Rounds in which a cell's input and state gate each other before a step (Melis et al. 2020), 0 for none.
    pub mogrifier: usize,
}

/// The name and shape that a configuration asks of a matrix, or of a bias (`columns` 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub name: MatrixName,
    /// Rows: values that come out.
    pub rows: usize,
    /// Columns: values that go in.
    pub columns: usize,
}

impl Configuration {
    /// Layers of cells.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.hidden.len()
    }

    /// Width of what layer `layer` gives: its projection or its units.
    #[must_use]
    pub fn output(&self, layer: usize) -> usize {
        if self.cell_projection > 0 { self.cell_projection } else { self.hidden[layer] }
    }

    /// Width of what layer `layer` takes in: the embedding or the layer below.
    #[must_use]
    pub fn input(&self, layer: usize) -> usize {
        if layer == 0 { self.embedding } else { self.output(layer - 1) }
    }

    /// Width of what the last layer gives.
    #[must_use]
    pub fn top(&self) -> usize {
        self.output(self.layers() - 1)
    }

    /// Width of what the output layer takes in: its projection or the last layer.
    #[must_use]
    pub fn softmax(&self) -> usize {
        if self.projection > 0 { self.projection } else { self.top() }
    }

    /// The matrices of a model with `types` types, in the order of the file.
    #[must_use]
    pub fn matrices(&self, types: usize) -> Vec<Expected> {
        let mut list = Vec::new();
        let mut add = |name, rows, columns| list.push(Expected { name, rows, columns });
        add(MatrixName::Embedding, types, self.embedding);
        for (k, &hidden) in self.hidden.iter().enumerate() {
            let rows = self.cell.gates() * hidden;
            let widths = [self.input(k), self.output(k)];
            add(MatrixName::Cell(k, Part::Input), rows, widths[0]);
            add(MatrixName::Cell(k, Part::Recurrent), rows, widths[1]);
            if self.cell_projection > 0 {
                add(MatrixName::Cell(k, Part::Projection), self.cell_projection, hidden);
            }
            for i in 0..self.mogrifier {
                let name = MatrixName::Cell(k, Part::Mogrifier(i));
                add(name, widths[i % 2], widths[1 - i % 2]);
            }
        }
        if self.projection > 0 {
            add(MatrixName::Projection, self.projection, self.top());
        }
        if !self.tied {
            add(MatrixName::Softmax, types, self.softmax());
        }
        list
    }

    /// The biases and gains of a model with `types` types, in the order of the file.
    #[must_use]
    pub fn biases(&self, types: usize) -> Vec<Expected> {
        let parts: &[Part] =
            if self.layer_norm { &[Part::Bias, Part::Gain] } else { &[Part::Bias] };
        let cells = self.hidden.iter().enumerate().flat_map(|(k, &hidden)| {
            parts.iter().map(move |&part| Expected {
                name: MatrixName::Cell(k, part),
                rows: self.cell.bias(hidden),
                columns: 1,
            })
        });
        let softmax = Expected { name: MatrixName::SoftmaxBias, rows: types, columns: 1 };
        cells.chain([softmax]).collect()
    }

    /// Refuses what no model can be: no layers, a width of 0, tied matrices of different widths.
    pub fn check(&self) -> Result<()> {
        let fault = |field: &str, problem: &str| {
            Err(Error::metadata(format!("configuration.{field}"), problem))
        };
        let is_width = |&width: &usize| (1..=MAX_WIDTH).contains(&width);
        if !is_width(&self.embedding) {
            return fault("embedding", "must be between 1 and 1048576");
        }
        if !(1..=MAX_LAYERS).contains(&self.hidden.len()) || !self.hidden.iter().all(is_width) {
            return fault("hidden", "must list 1 to 64 widths between 1 and 1048576");
        }
        if self.cell_projection > MAX_WIDTH {
            return fault("cell_projection", "must be at most 1048576");
        }
        if self.cell == CellKind::Gru && self.cell_projection > 0 {
            return fault("cell_projection", "must be 0 for the GRU, whose state is its output");
        }
        if self.cell == CellKind::Urnn {
            self.check_urnn()?;
        }
        if self.projection > MAX_WIDTH {
            return fault("projection", "must be at most 1048576");
        }
        if self.mogrifier > MAX_ROUNDS {
            return fault("mogrifier", "must be at most 16");
        }
        if self.tied && self.softmax() != self.embedding {
            return fault("tied", "needs an output layer as wide as the embedding");
        }
        Ok(())
    }

    /// Refuses what has no meaning for a uRNN, and units that are not two for each complex one.
    fn check_urnn(&self) -> Result<()> {
        let fault = |field: &str, problem: &str| {
            Err(Error::metadata(format!("configuration.{field}"), problem))
        };
        if self.hidden.iter().any(|width| width % 2 == 1) {
            return fault("hidden", "must be even for the uRNN, whose units are complex");
        }
        if self.cell_projection > 0 {
            return fault("cell_projection", "must be 0 for the uRNN, whose state is its output");
        }
        if self.layer_norm {
            return fault("layer_norm", "must be false for the uRNN");
        }
        if self.mogrifier > 0 {
            return fault("mogrifier", "must be 0 for the uRNN");
        }
        Ok(())
    }
}
