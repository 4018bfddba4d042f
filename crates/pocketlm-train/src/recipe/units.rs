//! What belongs to a unit: the weights that go with one element of a layer's memory and output, or with one
//! dimension of the embedding, and that can only be taken out of a model together (Wen et al. 2018,
//! arXiv 1709.05027, section 3, "intrinsic sparse structures").
//!
//! A unit of a layer has a row of every gate's input and recurrent matrix, its biases and gains, and a column of
//! every matrix that reads it: the recurrent one and those above, or the cell's projection where there is one.

use crate::error::{Error, Result};
use crate::linear::{Entry, Parameters};
use crate::matrix::Forms;
use crate::settings::ModelConfig;

/// The units of a layer, or the dimensions of the embedding, or both where a tied softmax makes them one.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// What they are called: `cell.0`, `embedding`.
    pub names: Vec<String>,
    /// How many there are.
    pub width: usize,
    layer: Option<usize>,
    places: Vec<Place>,
}

/// Where the units lie in a matrix or vector.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    entry: String,
    /// Whether row `r` belongs to unit `r % width`.
    rows: bool,
    /// Whether column `c` belongs to unit `c % width`.
    columns: bool,
}

impl Units {
    /// All of a model, layer by layer, then the embedding's. A tied model without projections has the top layer's
    /// with the embedding's; one whose cells are projected cannot do without any dimension of the embedding.
    pub fn of(model: &ModelConfig) -> Vec<Self> {
        let top = model.hidden.len() - 1;
        let mut all: Vec<Self> = (0..=top).map(|k| Self::of_layer(model, k)).collect();
        if !model.tied || model.projection > 0 {
            let (names, width) = (vec!["embedding".to_owned()], model.embedding);
            let mut units = Self { names, width, layer: None, places: Vec::new() };
            units.add_embedding(model);
            all.push(units);
        } else if model.cell_projection == 0 {
            all[top].names.push("embedding".to_owned());
            all[top].add_embedding(model);
        }
        all
    }

    /// Those of the layers, for a penalty on them.
    ///
    /// # Errors
    /// When a matrix of a unit's weights has a structure.
    pub fn of_layers(model: &ModelConfig, forms: &Forms) -> Result<Vec<Self>> {
        let is_layer = |units: &Self| units.names[0] != "embedding";
        let layers: Vec<Self> = Self::of(model).into_iter().filter(is_layer).collect();
        layers.iter().try_for_each(|units| units.check(forms))?;
        Ok(layers)
    }

    fn of_layer(model: &ModelConfig, k: usize) -> Self {
        let (names, width) = (vec![format!("cell.{k}")], model.hidden[k]);
        let mut units = Self { names, width, layer: Some(k), places: Vec::new() };
        units.rows(format!("cell.{k}.input"));
        units.rows(format!("cell.{k}.recurrent"));
        units.columns(format!("cell.{k}.bias"));
        if model.layer_norm {
            units.columns(format!("cell.{k}.gain"));
        }
        if model.cell_projection > 0 {
            units.columns(format!("cell.{k}.projection"));
            return units;
        }
        units.columns(format!("cell.{k}.recurrent"));
        units.gated(model, k, 1);
        if k + 1 < model.hidden.len() {
            units.columns(format!("cell.{}.input", k + 1));
            units.gated(model, k + 1, 0);
        } else if model.projection > 0 {
            units.columns("projection".to_owned());
        } else if !model.tied {
            units.columns("softmax".to_owned());
        }
        units
    }

    fn add_embedding(&mut self, model: &ModelConfig) {
        self.columns("embedding".to_owned());
        self.columns("cell.0.input".to_owned());
        self.gated(model, 0, 0);
        if model.tied && model.projection > 0 {
            self.rows("projection".to_owned());
        }
    }

    /// The matrices of a layer's Mogrifier: those of even rounds have the input's elements as rows and the
    /// state's as columns, the others the other way round. `side` is 0 for the input, 1 for the state.
    fn gated(&mut self, model: &ModelConfig, k: usize, side: usize) {
        for round in 0..model.mogrifier {
            let matrix = format!("cell.{k}.mogrifier.{round}");
            if round % 2 == side { self.rows(matrix) } else { self.columns(matrix) }
        }
    }

    fn rows(&mut self, entry: String) {
        self.place(entry).rows = true;
    }

    fn columns(&mut self, entry: String) {
        self.place(entry).columns = true;
    }

    fn place(&mut self, entry: String) -> &mut Place {
        let found = self.places.iter().position(|place| place.entry == entry);
        let at = found.unwrap_or_else(|| {
            self.places.push(Place { entry, rows: false, columns: false });
            self.places.len() - 1
        });
        &mut self.places[at]
    }

    /// Refuses a model that does not have these units' weights as they are.
    ///
    /// # Errors
    /// [`Error::Config`] naming the matrix.
    pub fn check(&self, forms: &Forms) -> Result<()> {
        let decomposed = |place: &&Place| forms.structures.contains_key(&place.entry);
        let Some(place) = self.places.iter().find(decomposed) else { return Ok(()) };
        let what = format!(
            "of {} have weights in {}, which has a structure already: take units out before that",
            self.names[0], place.entry
        );
        Err(Error::config("units", what))
    }

    /// Calls `see` with the unit and the place among all numbers of each weight that belongs to one; a weight
    /// between a unit and itself comes once.
    pub fn each(&self, parameters: &Parameters, mut see: impl FnMut(usize, usize)) {
        for place in &self.places {
            let entry = parameters.find(&place.entry).expect("the units of this model");
            self.each_of(place, entry, &mut see);
        }
    }

    fn each_of(&self, place: &Place, entry: &Entry, see: &mut impl FnMut(usize, usize)) {
        for row in 0..entry.rows {
            let (first, own) = (entry.range.start + row * entry.columns, row % self.width);
            if place.rows {
                (first..first + entry.columns).for_each(|at| see(own, at));
            }
            if place.columns {
                for block in (0..entry.columns).step_by(self.width) {
                    let others = (0..self.width).filter(|&unit| !place.rows || unit != own);
                    others.for_each(|unit| see(unit, first + block + unit));
                }
            }
        }
    }

    /// How many weights a unit has.
    pub fn size(&self, parameters: &Parameters) -> usize {
        let mut count = 0;
        self.each(parameters, |_, _| count += 1);
        count / self.width
    }

    /// The Euclidean norm of each unit's weights.
    pub fn norms(&self, parameters: &Parameters) -> Vec<f64> {
        let mut squares = vec![0.0; self.width];
        self.each(parameters, |unit, at| squares[unit] += f64::from(parameters.data[at]).powi(2));
        squares.into_iter().map(f64::sqrt).collect()
    }

    /// Notes in `model` that `count` of them are left.
    pub fn shrink(&self, model: &mut ModelConfig, count: usize) {
        if let Some(k) = self.layer {
            model.hidden[k] = count;
        }
        if self.names.iter().any(|name| name == "embedding") {
            model.embedding = count;
            if model.tied && model.projection > 0 {
                model.projection = count;
            }
        }
    }

    /// Takes the rows and columns of `entry` off the lists that belong to units other than `kept`.
    pub fn strike(
        &self,
        entry: &Entry,
        kept: &[bool],
        rows: &mut Vec<usize>,
        columns: &mut Vec<usize>,
    ) {
        let Some(place) = self.places.iter().find(|place| place.entry == entry.name) else {
            return;
        };
        if place.rows {
            rows.retain(|row| kept[row % self.width]);
        }
        if place.columns {
            columns.retain(|column| kept[column % self.width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::recipe::Recipe;
    use crate::settings::CellKind;

    fn config() -> ModelConfig {
        let base = Recipe::base("zaremba-small").unwrap().model;
        ModelConfig { embedding: 5, hidden: vec![7, 6], ..base }
    }

    fn sizes(model: &ModelConfig) -> Vec<(String, usize)> {
        let (_, parameters) = Network::new(model, 11).unwrap();
        let size = |units: &Units| (units.names.join(" "), units.size(&parameters));
        Units::of(model).iter().map(size).collect()
    }

    #[test]
    fn a_unit_has_the_rows_columns_and_biases_of_its_own() {
        let named = |found: Vec<(String, usize)>, expected: &[(&str, usize)]| {
            let found: Vec<_> = found.iter().map(|(name, size)| (&**name, *size)).collect();
            assert_eq!(found, expected);
        };
        let plain = config();
        // Rows of 5 and 7, a bias for each gate; columns in the recurrent matrix but for its own rows, and above.
        let below = 4 * (5 + 7 + 1) + 4 * 6 + 4 * 6;
        let above = 4 * (7 + 6 + 1) + 4 * 5 + 11;
        named(sizes(&plain), &[("cell.0", below), ("cell.1", above), ("embedding", 11 + 4 * 7)]);
        let gru = ModelConfig { cell: CellKind::Gru, ..plain.clone() };
        let below = 3 * (5 + 7) + 4 + 3 * 6 + 3 * 6;
        assert_eq!(sizes(&gru)[0].1, below);
        let projected = ModelConfig { cell_projection: 4, layer_norm: true, ..plain.clone() };
        assert_eq!(sizes(&projected)[0].1, 4 * (5 + 4 + 2) + 4);
        let tied = ModelConfig { embedding: 6, tied: true, ..plain };
        let above = 4 * (7 + 6 + 1) + 4 * 5 + 11 + 4 * 7;
        named(sizes(&tied)[1..].to_vec(), &[("cell.1 embedding", above)]);
    }

    #[test]
    fn of_a_tied_model_with_projected_cells_only_the_cells_have_units() {
        let model = ModelConfig { cell_projection: 5, tied: true, ..config() };
        let names: Vec<_> = Units::of(&model).into_iter().flat_map(|units| units.names).collect();
        assert_eq!(names, ["cell.0", "cell.1"]);
    }
}
