//! What a model is made of: its cells, their widths, and the matrices that follow from them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::json::Value;

/// Largest width and largest number of layers that are read from a file.
const MAX_WIDTH: usize = 1 << 20;
const MAX_LAYERS: usize = 64;
/// Most rounds of a Mogrifier that are read from a file.
const MAX_ROUNDS: usize = 16;

/// The kind of a recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000);
    /// gates `i, f, g, o`.
    Lstm,
    /// Gated recurrent unit (Cho et al. 2014) with the reset gate after the product, as in PyTorch and cuDNN;
    /// gates `r, z, n`.
    Gru,
    /// LSTM with coupled input and forget gates, `i = 1 - f` (Greff et al. 2015); gates `f, g, o`.
    Cifg,
    /// Unitary evolution recurrent network (Arjovsky et al. 2016): half as many complex units as numbers of state, no
    /// gates.
    Urnn,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Words between white space.
    Word,
    /// Single characters; a line's end is `<eos>`.
    Character,
    /// Pieces of byte-pair encoding; not yet packed.
    Bpe,
}

const CELLS: [(CellKind, &str); 4] = [
    (CellKind::Lstm, "lstm"),
    (CellKind::Gru, "gru"),
    (CellKind::Cifg, "cifg"),
    (CellKind::Urnn, "urnn"),
];
const UNITS: [(Unit, &str); 3] =
    [(Unit::Word, "word"), (Unit::Character, "character"), (Unit::Bpe, "bpe")];

fn name_of<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    table.iter().find(|entry| entry.0 == *value).map_or("", |entry| entry.1)
}

impl CellKind {
    /// Its name in a configuration: `lstm`, `gru`, `cifg` or `urnn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&CELLS, &self)
    }

    /// Gates, that is rows of the cell's matrices for each unit: 4, 3, 3, and 1 for the uRNN.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            CellKind::Lstm => 4,
            CellKind::Gru | CellKind::Cifg => 3,
            CellKind::Urnn => 1,
        }
    }

    /// Numbers of bias of a layer of so many units: as many as gates for each, and one more for the GRU
    /// (`b_r, b_z, b_n, b_hn`); for the uRNN one for each complex unit, of two of these units.
    #[must_use]
    pub fn bias(self, units: usize) -> usize {
        match self {
            CellKind::Lstm | CellKind::Gru => 4 * units,
            CellKind::Cifg => 3 * units,
            CellKind::Urnn => units / 2,
        }
    }
}

impl Unit {
    /// Its name in a configuration: `word`, `character` or `bpe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&UNITS, &self)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        named(&UNITS, name)
    }
}

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
    /// The name, as `cell.0.input`.
    pub name: String,
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
        let mut add = |name: String, rows, columns| list.push(Expected { name, rows, columns });
        add("embedding".into(), types, self.embedding);
        for (k, &hidden) in self.hidden.iter().enumerate() {
            let rows = self.cell.gates() * hidden;
            add(format!("cell.{k}.input"), rows, self.input(k));
            add(format!("cell.{k}.recurrent"), rows, self.output(k));
            if self.cell_projection > 0 {
                add(format!("cell.{k}.projection"), self.cell_projection, hidden);
            }
            let widths = [self.input(k), self.output(k)];
            for i in 0..self.mogrifier {
                add(format!("cell.{k}.mogrifier.{i}"), widths[i % 2], widths[1 - i % 2]);
            }
        }
        if self.projection > 0 {
            add("projection".into(), self.projection, self.top());
        }
        if !self.tied {
            add("softmax".into(), types, self.softmax());
        }
        list
    }

    /// The biases and gains of a model with `types` types, in the order of the file.
    #[must_use]
    pub fn biases(&self, types: usize) -> Vec<Expected> {
        let parts: &[&str] = if self.layer_norm { &["bias", "gain"] } else { &["bias"] };
        let cells = self.hidden.iter().enumerate().flat_map(|(k, &hidden)| {
            parts.iter().map(move |part| Expected {
                name: format!("cell.{k}.{part}"),
                rows: self.cell.bias(hidden),
                columns: 1,
            })
        });
        let softmax = Expected { name: "softmax.bias".into(), rows: types, columns: 1 };
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

    /// The configuration as JSON, as it stands in a packed model's metadata.
    #[must_use]
    pub fn to_json(&self) -> String {
        let hidden: Vec<_> = self.hidden.iter().map(|width| format!("{width}")).collect();
        let layer_norm = if self.layer_norm { ",\"layer_norm\":true" } else { "" };
        let mogrifier = match self.mogrifier {
            0 => String::new(),
            rounds => format!(",\"mogrifier\":{rounds}"),
        };
        format!(
            "{{\"cell\":\"{}\",\"embedding\":{},\"hidden\":[{}],\"cell_projection\":{},\
             \"projection\":{},\"tied\":{},\"unit\":\"{}\"{layer_norm}{mogrifier}}}",
            self.cell.name(),
            self.embedding,
            hidden.join(","),
            self.cell_projection,
            self.projection,
            self.tied,
            self.unit.name(),
        )
    }

    pub(crate) fn from_json(value: &Value<'_>) -> Result<Self> {
        let fault = |field: &str| {
            Error::metadata(format!("configuration.{field}"), "is missing or of the wrong kind")
        };
        let count = |field| value.get(field).and_then(Value::number).ok_or_else(|| fault(field));
        let text = |field| value.get(field).and_then(Value::string);
        let hidden = value
            .get("hidden")
            .and_then(Value::array)
            .map(|widths| widths.iter().map(Value::number).collect::<Option<Vec<_>>>());
        let configuration = Self {
            cell: text("cell").and_then(|name| named(&CELLS, name)).ok_or_else(|| fault("cell"))?,
            embedding: count("embedding")?,
            hidden: hidden.flatten().ok_or_else(|| fault("hidden"))?,
            cell_projection: count("cell_projection")?,
            projection: count("projection")?,
            tied: value.get("tied").and_then(Value::bool).ok_or_else(|| fault("tied"))?,
            unit: text("unit").and_then(Unit::from_name).ok_or_else(|| fault("unit"))?,
            layer_norm: match value.get("layer_norm") {
                None => false,
                Some(flag) => flag.bool().ok_or_else(|| fault("layer_norm"))?,
            },
            mogrifier: match value.get("mogrifier") {
                None => 0,
                Some(rounds) => rounds.number().ok_or_else(|| fault("mogrifier"))?,
            },
        };
        configuration.check()?;
        Ok(configuration)
    }
}

fn named<T: Copy>(table: &[(T, &str)], name: &str) -> Option<T> {
    table.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
}
