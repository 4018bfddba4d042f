//! A matrix with what errors in it cost.

use std::collections::HashMap;

use super::coder::{Coded, Metric, Source, deviation, nearest_step};
use super::statistics::{self, Moments};
use crate::checkpoint::Checkpoint;
use crate::compress::calibration::add_moment;
use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::matrix::Shape;
use pocketlm::CellKind;

/// Steps at which the rise of the loss is measured, over the standard deviation of a row.
const REFERENCE: f32 = 0.6;
/// The least rise that is believed, in nats: below it is what the text's length leaves to chance.
const NOISE: f64 = 1e-4;
/// How much the input side of a tied embedding weighs beside its output side.
const INPUT_SIDE: f64 = 0.5;

/// What training text says of a model.
#[derive(Clone)]
pub struct Evidence {
    /// Of what the matrices are multiplied with.
    pub moments: HashMap<String, Moments>,
    /// Mean squared gradients of the rows of matrices and the numbers of biases.
    pub information: HashMap<String, Vec<f64>>,
    /// How often each word comes.
    pub frequencies: Vec<f64>,
    /// Mean loss of a token in nats.
    pub loss: f64,
}

impl Evidence {
    /// Runs the model over the start of the training text.
    ///
    /// # Errors
    /// When the text has no word that the model knows.
    pub fn measure(model: &Checkpoint, corpus: &Corpus) -> Result<Self> {
        Ok(Self {
            moments: statistics::moments(model, corpus)?,
            information: statistics::information(model, corpus)?,
            frequencies: statistics::frequencies(corpus, model.config.vocabulary),
            loss: statistics::loss(model, &model.parameters, corpus)?,
        })
    }
}

/// A matrix that is coded.
#[derive(Clone)]
pub struct Matrix {
    /// Its name.
    pub name: String,
    columns: usize,
    weights: Vec<f32>,
    metric: Metric,
    rows: Vec<f32>,
    /// The bias that takes up mean errors, and the mean of the inputs.
    shift: Option<(String, Vec<f64>)>,
}

impl Matrix {
    /// The matrix `name` of a model.
    ///
    /// # Errors
    /// When the text gives inputs that are not finite.
    pub fn new(model: &Checkpoint, name: &str, shape: Shape, evidence: &Evidence) -> Result<Self> {
        let entry = model.parameters.find(name).expect("the outline's names are the network's");
        let weights = model.parameters.data[entry.range.clone()].to_vec();
        if weights.iter().any(|x| !x.is_finite()) {
            return Err(Error::config(name, "holds numbers that are not finite"));
        }
        let shift = bias(model, name).and_then(|bias| {
            let inputs = if name == "embedding" { "softmax" } else { name };
            Some((bias, evidence.moments.get(inputs)?.mean.clone()))
        });
        let rows = if is_by_word(name) {
            evidence.frequencies.clone()
        } else {
            evidence.information.get(name).cloned().unwrap_or_else(|| vec![1.0; shape.rows])
        };
        let mean = rows.iter().sum::<f64>() / rows.len() as f64;
        // A row without a gradient in this text still counts a little.
        let relative = |x: f64| {
            if mean > 0.0 {
                (x / mean).max(1e-2 * f64::from(u8::from(!is_by_word(name))))
            } else {
                1.0
            }
        };
        Ok(Self {
            name: name.to_owned(),
            columns: shape.columns,
            weights,
            metric: Metric::new(&moment(model, name, shape.columns, evidence), shape.columns)?,
            rows: rows.into_iter().map(|x| relative(x) as f32).collect(),
            shift,
        })
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// It and what errors cost, for the coder.
    pub fn source(&self) -> Source<'_> {
        Source { weights: &self.weights, metric: &self.metric, rows: &self.rows }
    }

    /// Rounded to steps of so many standard deviations of each row.
    pub fn rounded(&self, share: f32) -> Coded {
        let step = |row: &[f32]| nearest_step(share * deviation(row));
        self.source().round(self.weights.chunks(self.columns).map(step).collect())
    }

    /// Brings the cost of errors to nats: by how much the loss rises if this matrix alone is rounded.
    ///
    /// # Errors
    /// When the text has no word that the model knows.
    pub fn weigh(
        &mut self,
        model: &Checkpoint,
        corpus: &Corpus,
        evidence: &Evidence,
    ) -> Result<()> {
        let coded = self.rounded(REFERENCE);
        let numbers = coded.numbers();
        let mut weights = model.parameters.clone();
        let range = weights.find(&self.name).expect("its own name").range.clone();
        weights.data[range].copy_from_slice(&numbers);
        self.shift(&numbers, &mut weights);
        let rise = (statistics::loss(model, &weights, corpus)? - evidence.loss).max(NOISE);
        if coded.distortion > 0.0 {
            let factor = (rise / coded.distortion) as f32;
            self.rows.iter_mut().for_each(|row| *row *= factor);
        }
        Ok(())
    }

    /// Lets errors count so many times as much.
    pub fn scale(&mut self, weight: f64) {
        self.rows.iter_mut().for_each(|row| *row *= weight as f32);
    }

    /// The numbers before they were coded, row-major.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// By how much the loss rises, in nats, with these numbers in place of its own: the second-order estimate.
    pub fn cost(&self, numbers: &[f32]) -> f64 {
        self.source().cost(numbers)
    }

    /// Adds to a bias what the matrix has lost of its product with the mean input, now that it has these `numbers`.
    pub fn shift(&self, numbers: &[f32], biases: &mut Parameters) {
        self.shift_between(&self.weights, numbers, biases);
    }

    /// The same where the matrix had numbers of another coding before.
    pub fn shift_between(&self, before: &[f32], numbers: &[f32], biases: &mut Parameters) {
        let Some((bias, mean)) = &self.shift else { return };
        let Some(range) = biases.find(bias).map(|entry| entry.range.clone()) else { return };
        let rows = before.chunks(self.columns).zip(numbers.chunks(self.columns));
        for (bias, (was, is)) in biases.data[range].iter_mut().zip(rows) {
            let pairs = was.iter().zip(is).zip(mean);
            *bias += pairs.map(|((a, b), mean)| f64::from(a - b) * mean).sum::<f64>() as f32;
        }
    }
}

fn is_by_word(matrix: &str) -> bool {
    matches!(matrix, "embedding" | "softmax")
}

/// The bias, row by row, of what a matrix gives, where it has one.
fn bias(model: &Checkpoint, matrix: &str) -> Option<String> {
    let shape = &model.config.recipe.model;
    let output = if shape.tied { "embedding" } else { "softmax" };
    if matrix == output {
        return Some("softmax.bias".to_owned());
    }
    // The others have biases of another order, or normalise before them.
    let is_plain = matches!(shape.cell, CellKind::Lstm | CellKind::Cifg) && !shape.layer_norm;
    let (cell, role) = matrix.rsplit_once('.')?;
    (is_plain && matches!(role, "input" | "recurrent")).then(|| format!("{cell}.bias"))
}

/// The second moment of what the errors of a matrix meet.
fn moment(model: &Checkpoint, name: &str, columns: usize, evidence: &Evidence) -> Vec<f64> {
    let inputs = |name: &str| {
        let moments = evidence.moments.get(name)?;
        let is_centred = name == "softmax" || bias(model, name).is_some();
        Some(if is_centred { moments.centred() } else { moments.second.clone() })
    };
    let of_inputs = match name {
        "embedding" if model.config.recipe.model.tied => inputs("softmax"),
        "embedding" => None,
        _ => return inputs(name).unwrap_or_else(|| identity(columns)),
    };
    let felt = felt(model, columns, evidence);
    match of_inputs {
        None => felt,
        Some(outputs) => {
            let [whole, share] = [1.0 / trace(&outputs), INPUT_SIDE / trace(&felt)];
            outputs.iter().zip(&felt).map(|(x, y)| whole * x + share * y).collect()
        }
    }
}

/// `Vᵀ diag(ω) V` of the first cell's input matrix V: what an error of an embedding becomes there, each row as much as it
/// counts.
fn felt(model: &Checkpoint, columns: usize, evidence: &Evidence) -> Vec<f64> {
    let name = "cell.0.input";
    let (entry, information) = (model.parameters.find(name), evidence.information.get(name));
    let (Some(entry), Some(information)) = (entry, information) else { return identity(columns) };
    let mut rows = model.parameters.data[entry.range.clone()].to_vec();
    let mean = information.iter().sum::<f64>() / information.len().max(1) as f64;
    for (row, information) in rows.chunks_mut(columns).zip(information) {
        let root = (information / mean.max(f64::MIN_POSITIVE)).sqrt() as f32;
        row.iter_mut().for_each(|x| *x *= root);
    }
    let mut sum = Vec::new();
    add_moment(&mut sum, &rows, columns);
    sum
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|at| f64::from(u8::from(at / n == at % n))).collect()
}

fn trace(moment: &[f64]) -> f64 {
    let n = moment.len().isqrt();
    moment.iter().step_by(n + 1).sum::<f64>().max(f64::MIN_POSITIVE)
}
