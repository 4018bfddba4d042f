//! The parts of a model, put together from tensors whose names are known; their shapes say what the model is.

use std::collections::BTreeMap;
use std::path::Path;

use super::layout::{Part, Piece};
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::network::Network;
use crate::settings::{CellKind, ModelConfig};
use crate::torch::{Tensor, joined_bias};

/// Tensors by what they are in a model.
pub(super) struct Parts<'a> {
    pub(super) path: &'a Path,
    pub(super) tensors: &'a Tensors,
    /// The names of the tensors.
    pub(super) names: BTreeMap<Part, &'a str>,
}

/// The tensors of a layer.
struct Layer<'a> {
    at: (usize, usize),
    input: &'a Tensor,
    units: usize,
    gates: usize,
    /// Width of its output.
    output: usize,
}

impl<'a> Parts<'a> {
    fn fault(&self, what: String) -> Error {
        Error::checkpoint(self.path, what)
    }

    /// The name of a part in the file, or what it should be.
    fn name(&self, part: Part) -> String {
        match self.names.get(&part) {
            Some(name) => (*name).to_owned(),
            None => format!("the {}", describe(part)),
        }
    }

    fn find(&self, part: Part) -> Option<&'a Tensor> {
        self.names.get(&part).map(|&name| &self.tensors[name])
    }

    /// A tensor of so many dimensions, none of them 0, with finite numbers.
    fn take(&self, part: Part, dimensions: usize) -> Result<Option<&'a Tensor>> {
        let Some(tensor) = self.find(part) else { return Ok(None) };
        let (name, shape) = (self.name(part), &tensor.shape);
        if shape.len() != dimensions || shape.contains(&0) {
            let what =
                format!("has {name} as {shape:?}: {} has {dimensions} dimensions", describe(part));
            return Err(self.fault(what));
        }
        if let Some(at) = tensor.data.iter().position(|x| !x.is_finite()) {
            let what = format!(
                "has a number in {name} that is not finite (at {at}): the training diverged; take an earlier save"
            );
            return Err(self.fault(what));
        }
        Ok(Some(tensor))
    }

    fn matrix(&self, part: Part) -> Result<&'a Tensor> {
        self.take(part, 2)?.ok_or_else(|| {
            let what = format!("has no {}: it is cut short, or of another layout", describe(part));
            self.fault(what)
        })
    }

    /// Refuses a tensor of another shape than the others need.
    fn check(&self, part: Part, tensor: &Tensor, shape: &[usize], because: &str) -> Result<()> {
        if tensor.shape == shape {
            return Ok(());
        }
        let what = format!(
            "has {} as {:?}, where {because} needs {shape:?}",
            self.name(part),
            tensor.shape
        );
        Err(self.fault(what))
    }

    /// The layers from the input up.
    fn layers(&self) -> Result<Vec<Layer<'a>>> {
        let ats = self.names.keys().filter_map(|part| match part {
            Part::Layer(module, layer, _) => Some((*module, *layer)),
            _ => None,
        });
        let mut ats: Vec<_> = ats.collect();
        ats.dedup();
        self.check_order(&ats)?;
        ats.into_iter().map(|at| self.layer(at)).collect()
    }

    /// Refuses layers between which one is missing.
    fn check_order(&self, ats: &[(usize, usize)]) -> Result<()> {
        let mut next = [(0, 0); 2];
        for &(module, layer) in ats {
            if !next.contains(&(module, layer)) {
                let name = self.name(Part::Layer(module, layer, Piece::Input));
                let what = format!(
                    "has {name}, but no layer right before it: a part of the file is missing"
                );
                return Err(self.fault(what));
            }
            next = [(module, layer + 1), (module + 1, 0)];
        }
        Ok(())
    }

    fn layer(&self, at: (usize, usize)) -> Result<Layer<'a>> {
        let part = |piece| Part::Layer(at.0, at.1, piece);
        let input = self.matrix(part(Piece::Input))?;
        let recurrent = self.matrix(part(Piece::Recurrent))?;
        let projection = self.take(part(Piece::Projection), 2)?;
        let output = recurrent.shape[1];
        let units = projection.map_or(output, |projection| projection.shape[1]);
        let (rows, name) = (input.shape[0], self.name(part(Piece::Input)));
        let gates = rows / units;
        if gates == 1 && rows == units {
            let what = format!("has a plain RNN in {name}, without gates: take an LSTM or a GRU");
            return Err(self.fault(what));
        }
        if ![3, 4].contains(&gates) || rows != gates * units {
            let what = format!(
                "has {rows} rows in {name}, which are neither the four gates of an LSTM nor the three of a GRU or a CIFG \
                 of {units} units, the width of {}",
                self.name(part(if projection.is_some() {
                    Piece::Projection
                } else {
                    Piece::Recurrent
                }))
            );
            return Err(self.fault(what));
        }
        self.check(part(Piece::Recurrent), recurrent, &[rows, output], &name)?;
        if let Some(projection) = projection {
            let because = self.name(part(Piece::Recurrent));
            self.check(part(Piece::Projection), projection, &[output, units], &because)?;
        }
        Ok(Layer { at, input, units, gates, output })
    }

    /// What the cells are: four gates are an LSTM's; three a GRU's, or with a projection, or if so told, a CIFG's.
    fn cell(&self, layers: &[Layer], told: Option<CellKind>) -> Result<CellKind> {
        let first = &layers[0];
        let name = |layer: &Layer| self.name(Part::Layer(layer.at.0, layer.at.1, Piece::Input));
        if let Some(other) = layers.iter().find(|layer| layer.gates != first.gates) {
            let what = format!(
                "has {} gates in {} and {} in {}: all layers must be of one kind",
                first.gates,
                name(first),
                other.gates,
                name(other)
            );
            return Err(self.fault(what));
        }
        let is_projected = self.projection(first).is_some();
        match (first.gates, told) {
            (gates, Some(kind)) if gates == kind.gates() && kind != CellKind::Urnn => Ok(kind),
            (gates, Some(kind)) => {
                let what = format!(
                    "has {gates} gates in {}, where a {kind} has {}",
                    name(first),
                    kind.gates()
                );
                Err(self.fault(what))
            }
            (4, None) => Ok(CellKind::Lstm),
            (_, None) if is_projected => Ok(CellKind::Cifg),
            (_, None) => Ok(CellKind::Gru),
        }
    }

    fn projection(&self, layer: &Layer) -> Option<&'a Tensor> {
        self.find(Part::Layer(layer.at.0, layer.at.1, Piece::Projection))
    }

    /// Width of the projection that all layers have, or 0.
    fn cell_projection(&self, layers: &[Layer]) -> Result<usize> {
        let widths: Vec<_> =
            layers.iter().map(|layer| self.projection(layer).map_or(0, |p| p.shape[0])).collect();
        if widths.windows(2).any(|pair| pair[0] != pair[1]) {
            let what = format!(
                "has layers of the projections {widths:?} (0 for none): all must have the same"
            );
            return Err(self.fault(what));
        }
        Ok(widths[0])
    }

    /// Rounds of the Mogrifier: as many as any layer has.
    fn rounds(&self) -> usize {
        let rounds = self.names.keys().filter_map(|part| match part {
            Part::Layer(_, _, Piece::Mogrifier(round)) => Some(round.saturating_add(1)),
            _ => None,
        });
        rounds.max().unwrap_or(0)
    }

    /// Checks that each layer takes what the one below it gives.
    fn check_widths(&self, layers: &[Layer], embedding: usize) -> Result<()> {
        let (mut below, mut width) = (self.name(Part::Embedding), embedding);
        for layer in layers {
            let part = |piece| Part::Layer(layer.at.0, layer.at.1, piece);
            let shape = [layer.input.shape[0], width];
            self.check(part(Piece::Input), layer.input, &shape, &below)?;
            (below, width) = (self.name(part(Piece::Recurrent)), layer.output);
        }
        Ok(())
    }

    /// The output layer's weight, if it is not that of the embedding.
    pub(super) fn own_softmax(&self) -> Result<Option<&'a Tensor>> {
        let embedding = self.matrix(Part::Embedding)?;
        let bits = |tensor: &Tensor| tensor.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let softmax = self.take(Part::Softmax, 2)?;
        Ok(softmax.filter(|own| own.shape != embedding.shape || bits(own) != bits(embedding)))
    }

    /// The shape of the model.
    pub(super) fn model(&self, told: Option<CellKind>) -> Result<ModelConfig> {
        let embedding = self.matrix(Part::Embedding)?;
        let layers = self.layers()?;
        if layers.is_empty() {
            return Err(self.fault("has no recurrent layer (weight_ih_l0 …)".into()));
        }
        self.check_widths(&layers, embedding.shape[1])?;
        let is_normalised = |layer: &Layer| Part::Layer(layer.at.0, layer.at.1, Piece::Gain);
        let model = ModelConfig {
            cell: self.cell(&layers, told)?,
            embedding: embedding.shape[1],
            hidden: layers.iter().map(|layer| layer.units).collect(),
            cell_projection: self.cell_projection(&layers)?,
            projection: self.take(Part::Projection, 2)?.map_or(0, |projection| projection.shape[0]),
            tied: self.own_softmax()?.is_none(),
            layer_norm: layers.iter().any(|layer| self.names.contains_key(&is_normalised(layer))),
            mogrifier: self.rounds(),
        };
        if model.tied && model.softmax_width() != model.embedding {
            let what = format!(
                "has no {} of its own, and {} of width {} cannot serve, since {} units enter the softmax",
                describe(Part::Softmax),
                self.name(Part::Embedding),
                model.embedding,
                model.softmax_width()
            );
            return Err(self.fault(what));
        }
        model.validate().map_err(|error| self.fault(error.to_string()))?;
        Ok(model)
    }

    /// The numbers of a model of this shape.
    pub(super) fn parameters(&self, model: &ModelConfig) -> Result<Parameters> {
        let words = self.matrix(Part::Embedding)?.shape[0];
        let (_, mut parameters) = Network::new(model, words)?;
        let layers = self.layers()?;
        for entry in parameters.entries().to_vec() {
            let shape =
                if entry.vector { vec![entry.columns] } else { vec![entry.rows, entry.columns] };
            let numbers =
                match entry.name.strip_prefix("cell.").and_then(|rest| rest.split_once('.')) {
                    Some((k, "bias")) => self.bias(&layers[layer_number(k)], model.cell)?,
                    Some((k, piece)) => {
                        let (module, layer) = layers[layer_number(k)].at;
                        self.numbers(Part::Layer(module, layer, piece_of(piece)), &shape)?
                    }
                    None => self.numbers(top_part(&entry.name), &shape)?,
                };
            parameters.data[entry.range].copy_from_slice(&numbers);
        }
        Ok(parameters)
    }

    /// The numbers of a part; zeros for an output layer without a bias.
    fn numbers(&self, part: Part, shape: &[usize]) -> Result<Vec<f32>> {
        match self.take(part, shape.len())? {
            Some(tensor) => {
                self.check(part, tensor, shape, "the rest of the model")?;
                Ok(tensor.data.clone())
            }
            None if part == Part::SoftmaxBias => Ok(vec![0.0; shape[0]]),
            None => Err(self.fault(format!("has no {}", describe(part)))),
        }
    }

    fn bias(&self, layer: &Layer, cell: CellKind) -> Result<Vec<f32>> {
        let rows = layer.gates * layer.units;
        let one = |piece| {
            let part = Part::Layer(layer.at.0, layer.at.1, piece);
            let Some(tensor) = self.take(part, 1)? else { return Ok(vec![0.0; rows]) };
            let because = self.name(Part::Layer(layer.at.0, layer.at.1, Piece::Input));
            self.check(part, tensor, &[rows], &because)?;
            Ok::<_, Error>(tensor.data.clone())
        };
        let (input, recurrent) = (one(Piece::InputBias)?, one(Piece::RecurrentBias)?);
        let bias = joined_bias(cell, layer.units, &input, &recurrent);
        if bias.iter().any(|x| !x.is_finite()) {
            let name = self.name(Part::Layer(layer.at.0, layer.at.1, Piece::InputBias));
            return Err(self.fault(format!("has a sum of {name} and its like that is not finite")));
        }
        Ok(bias)
    }
}

fn layer_number(k: &str) -> usize {
    k.parse().expect("the number of a layer")
}

/// The piece that a matrix of a layer is here.
fn piece_of(name: &str) -> Piece {
    match name {
        "input" => Piece::Input,
        "recurrent" => Piece::Recurrent,
        "projection" => Piece::Projection,
        "gain" => Piece::Gain,
        _ => {
            let round = name.strip_prefix("mogrifier.").and_then(|round| round.parse().ok());
            Piece::Mogrifier(round.expect("a matrix of a layer"))
        }
    }
}

fn top_part(name: &str) -> Part {
    match name {
        "embedding" => Part::Embedding,
        "projection" => Part::Projection,
        "softmax" => Part::Softmax,
        _ => Part::SoftmaxBias,
    }
}

/// A part in words.
pub(super) fn describe(part: Part) -> String {
    match part {
        Part::Embedding => "weight of an embedding".into(),
        Part::Projection => "projection before the output layer".into(),
        Part::Softmax => "weight of an output layer".into(),
        Part::SoftmaxBias => "bias of the output layer".into(),
        Part::Copy(why) => why.into(),
        Part::Layer(module, layer, piece) => {
            // Numbers of names may be any.
            let layer = module.saturating_add(layer);
            let piece = match piece {
                Piece::Input => "weight_ih",
                Piece::Recurrent => "weight_hh",
                Piece::Projection => "weight_hr",
                Piece::InputBias => "bias_ih",
                Piece::RecurrentBias => "bias_hh",
                Piece::Gain => "gain",
                Piece::Mogrifier(round) => {
                    return format!("matrix of round {round} of layer {layer}");
                }
            };
            format!("{piece} of layer {layer}")
        }
    }
}
