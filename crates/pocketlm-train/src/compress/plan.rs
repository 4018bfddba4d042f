//! What the options would cost in bytes and lose of the weights, before anything runs.
//!
//! An option is worth more the more bytes it saves of the model and the less it changes its matrix. Savings are counted
//! from a model in int8, which is how models are packed by default and loses nothing that can be measured; losses are
//! `‖W - W'‖ / ‖W‖` (Frobenius). What a loss does to the quality of the model is another matter, which only a text tells.

use std::time::{Duration, Instant};

use pocketlm::pack::{Factor, Precision, Sparsity, factor_bytes, round_trip_factor};
use pocketlm::spec::Kernels;
use rayon::prelude::*;
use serde::Serialize;

use super::report::relative_distance;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::linear::Entry;
use crate::matrix::{
    BlockCirculant, LearnedScales, LowRank, Shape, Structure, TensorTrain, ToeplitzLike,
};
use crate::recipe::{self, Prune, Structural};
use crate::settings::Scope;

/// The options for the matrices of a model, the best first.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Bytes of all matrices in int8: what savings are counted from.
    pub bytes_in_int8: usize,
    /// How many errors were left out since their decomposition takes too long.
    pub unmeasured: usize,
    /// All options: those that save bytes by their gain, then those whose error is not known by what they save, then
    /// those that save nothing.
    pub choices: Vec<Choice>,
}

/// What one option would leave of one matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The matrix.
    pub matrix: String,
    /// The option, as a step of a recipe would name it.
    pub option: String,
    /// Numbers that are kept.
    pub parameters: usize,
    /// Bytes of its arrays.
    pub bytes: usize,
    /// Bytes by which the model gets smaller than with the matrix in int8.
    pub saved: i64,
    /// `‖W - W'‖ / ‖W‖`; none where it was not measured.
    pub relative_error: Option<f64>,
    /// Bytes saved for each per cent of relative error.
    pub gain: Option<f64>,
}

impl Choice {
    /// Its place among the others, the least first.
    fn key(&self) -> (u8, f64) {
        match self.gain {
            Some(gain) if self.saved > 0 => (0, -gain),
            None if self.saved > 0 => (1, -(self.saved as f64)),
            _ => (2, -(self.saved as f64)),
        }
    }
}

const SPARSITIES: [f64; 4] = [0.5, 0.8, 0.9, 0.95];
const RATIOS: [f64; 3] = [0.5, 0.25, 0.1];
/// Relative errors below count as this one: nobody will see them.
const LEAST_ERROR: f64 = 1e-3;
/// Operations of a decomposition that are sure to be done in a second.
const OPERATIONS_A_SECOND: f64 = 5e8;

/// All options for every matrix of a model. Bytes of pruned matrices are those of the expected positions; all others
/// are exact. Errors are measured within about the time `within`, the quickest first; without it none are.
///
/// # Errors
/// When the model holds numbers that are not finite.
pub fn plan(model: &Checkpoint, within: Option<Duration>) -> Result<Plan> {
    let entries = model.parameters.entries().iter().filter(|entry| !entry.vector);
    let mut all: Vec<(&Entry, Candidate)> = entries
        .flat_map(|entry| candidates(entry).into_iter().map(move |candidate| (entry, candidate)))
        .collect();
    all.sort_by(|(_, a), (_, b)| a.work.total_cmp(&b.work));
    let begun = Instant::now();
    let measured = all.par_iter().with_max_len(1).map(|(entry, candidate)| {
        let needed = Duration::from_secs_f64(candidate.work / OPERATIONS_A_SECOND);
        let error = match within.filter(|&within| begun.elapsed() + needed <= within) {
            Some(_) => Some(candidate.error(model, entry)?),
            None => None,
        };
        Ok(choice(entry, candidate, error))
    });
    let mut choices = measured.collect::<Result<Vec<Choice>>>()?;
    choices.sort_by(|a, b| {
        let ((first, x), (second, y)) = (a.key(), b.key());
        first.cmp(&second).then(x.total_cmp(&y)).then_with(|| a.matrix.cmp(&b.matrix))
    });
    let entries = model.parameters.entries().iter().filter(|entry| !entry.vector);
    let unmeasured = choices.iter().filter(|choice| choice.relative_error.is_none()).count();
    Ok(Plan { bytes_in_int8: entries.map(in_int8).sum(), unmeasured, choices })
}

fn choice(entry: &Entry, candidate: &Candidate, relative_error: Option<f64>) -> Choice {
    let saved = in_int8(entry) as i64 - candidate.bytes as i64;
    Choice {
        matrix: entry.name.clone(),
        option: candidate.name.clone(),
        parameters: candidate.parameters,
        bytes: candidate.bytes,
        saved,
        relative_error,
        gain: relative_error.map(|error| saved as f64 / (100.0 * error.max(LEAST_ERROR))),
    }
}

fn in_int8(entry: &Entry) -> usize {
    dense_bytes(entry.rows, entry.columns, Precision::Int8)
}

fn dense_bytes(rows: usize, columns: usize, precision: Precision) -> usize {
    factor_bytes(rows, columns, rows * columns, Sparsity::None, precision)
}

/// An option before its error is known.
struct Candidate {
    name: String,
    parameters: usize,
    bytes: usize,
    /// Operations that its error takes, roughly.
    work: f64,
    change: Change,
}

/// What it does to the matrix.
enum Change {
    Round(Precision),
    Prune(Prune, Precision),
    Restructure(Structure, Precision),
}

impl Candidate {
    /// `‖W - W'‖ / ‖W‖`
    fn error(&self, model: &Checkpoint, entry: &Entry) -> Result<f64> {
        let dense = &model.parameters.data[entry.range.clone()];
        let (rows, columns) = (entry.rows, entry.columns);
        let round = |rows, columns, weights: &[f32], sparsity, precision| {
            let factor = Factor { rows, columns, weights, sparsity, precision };
            let fault = |e: pocketlm::Error| Error::config(&*entry.name, e.to_string());
            round_trip_factor(&factor).map_err(fault)
        };
        let changed = match &self.change {
            Change::Round(precision) => round(rows, columns, dense, Sparsity::None, *precision)?,
            Change::Prune(step, precision) => {
                let pruned = step.pruned(entry, model.encoder.vocabulary(), dense);
                round(rows, columns, &pruned, step.pattern, *precision)?
            }
            Change::Restructure(structure, precision) => {
                let (structure, shape) = (structure.operations(), Shape { rows, columns });
                let leaves = structure.leaves(shape).into_iter();
                let leaves =
                    leaves.zip(structure.decompose(dense, shape)?).map(|(leaf, numbers)| {
                        round(leaf.rows, leaf.columns, &numbers, Sparsity::None, *precision)
                    });
                let leaves = leaves.collect::<Result<Vec<_>>>()?;
                let leaves: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
                let mut changed = vec![0.0; dense.len()];
                structure.materialise(&leaves, shape, &mut changed);
                changed
            }
        };
        Ok(relative_distance(dense, &changed))
    }
}

fn candidates(entry: &Entry) -> Vec<Candidate> {
    let shape = Shape { rows: entry.rows, columns: entry.columns };
    let numbers = (shape.rows * shape.columns) as f64;
    let dense = Precision::ALL.into_iter().map(|precision| Candidate {
        name: format!("quantise {}", precision.name()),
        parameters: shape.rows * shape.columns,
        bytes: dense_bytes(shape.rows, shape.columns, precision),
        work: numbers * effort(precision),
        change: Change::Round(precision),
    });
    let patterns = [
        (Sparsity::Unstructured, Precision::F32),
        (Sparsity::Unstructured, Precision::Int8),
        (Sparsity::Panels, Precision::Int8),
    ];
    let pruned = patterns.into_iter().flat_map(|(pattern, precision)| {
        SPARSITIES.map(|sparsity| {
            let kept = (numbers * (1.0 - sparsity)).round() as usize;
            let matrices = vec![entry.name.clone()];
            let step = Prune { matrices, sparsity, scope: Scope::Matrix, pattern };
            Candidate {
                name: format!("prune {sparsity} {} {}", pattern.name(), precision.name()),
                parameters: kept,
                bytes: factor_bytes(shape.rows, shape.columns, kept, pattern, precision),
                work: 50.0 * numbers,
                change: Change::Prune(step, precision),
            }
        })
    });
    let structured = RATIOS.into_iter().flat_map(|ratio| structures(&entry.name, shape, ratio));
    let structured = structured.flat_map(|(name, structure)| {
        [Precision::F32, Precision::Int8].map(|precision| {
            let leaves = structure.operations().leaves(shape);
            let leaves = leaves.iter();
            let sizes: Vec<_> = leaves.map(|leaf| (leaf.rows, leaf.columns)).collect();
            Candidate {
                name: format!("{name} {}", precision.name()),
                parameters: sizes.iter().map(|(rows, columns)| rows * columns).sum(),
                bytes: sizes.iter().map(|&(m, n)| dense_bytes(m, n, precision)).sum(),
                work: work(&structure, shape),
                change: Change::Restructure(structure.clone(), precision),
            }
        })
    });
    let codes = Precision::ALL.into_iter().filter(|precision| precision.even_code().is_some());
    let scaled = codes.map(|precision| {
        let structure = Structure::LearnedScales(LearnedScales { precision, whole_rows: false });
        let leaves = structure.operations().leaves(shape);
        Candidate {
            name: format!("learned-scales {}", precision.name()),
            parameters: leaves.iter().map(|leaf| leaf.rows * leaf.columns).sum(),
            // The scales are those that the precision has in any case.
            bytes: dense_bytes(shape.rows, shape.columns, precision),
            work: work(&structure, shape),
            change: Change::Restructure(structure, Precision::F32),
        }
    });
    dense.chain(pruned).chain(structured).chain(scaled).collect()
}

/// The structures of about `ratio` times the numbers of a matrix, as steps of recipes make them.
fn structures(name: &str, shape: Shape, ratio: f64) -> Vec<(String, Structure)> {
    let room = ratio * (shape.rows * shape.columns) as f64;
    let rank = (room / (shape.rows + shape.columns) as f64) as usize;
    let low_rank = (rank > 0).then_some(Structure::LowRank(LowRank { rank }));
    let low_rank = low_rank.map(|form| (format!("low-rank {rank}"), form));
    let matrices = vec![name.to_owned()];
    let step =
        recipe::DiagonalLowRank { matrices: matrices.clone(), rank: None, ratio: Some(ratio) };
    let diagonal = step.form(name, shape).ok();
    let diagonal = diagonal.map(|form| (format!("diagonal-low-rank {ratio}"), form));
    let step = recipe::BlockLowRank { matrices: matrices.clone(), ratio, groups: 5 };
    let groups = step.form(name, shape).ok();
    let groups =
        groups.map(|form| (format!("block-low-rank {ratio}"), Structure::BlockLowRank(form)));
    let step = recipe::Kronecker { matrices, left: None, terms: None, ratio: Some(ratio) };
    let kronecker = step.form(name, shape).ok().map(|form| {
        let terms = match &form {
            Structure::TensorTrain(train) => train.ranks[0],
            _ => 0,
        };
        (format!("kronecker {terms}"), form)
    });
    let train = TensorTrain::within(shape, 3, room as usize);
    let train = train.map(|form| {
        let rank = form.ranks.iter().max().copied().unwrap_or(0);
        (format!("tensor-train {rank}"), Structure::TensorTrain(form))
    });
    let block = (1.0 / ratio).round() as usize;
    let circulant = Structure::BlockCirculant(BlockCirculant { block });
    let circulant = (format!("block-circulant {block}"), circulant);
    let block = shape.rows.min(shape.columns);
    let blocks = shape.rows.div_ceil(block) * shape.columns.div_ceil(block);
    let rank = room as usize / (2 * blocks * block);
    let toeplitz = Structure::ToeplitzLike(ToeplitzLike { block, rank });
    let toeplitz = (format!("toeplitz-like {rank}"), toeplitz);
    let all = low_rank.into_iter().chain(diagonal).chain(groups).chain(train).chain(kronecker);
    let all = all.chain([circulant, toeplitz]);
    all.filter(|(_, form)| form.operations().check(shape).is_ok()).collect()
}

/// Operations to find the code of a number.
fn effort(precision: Precision) -> f64 {
    match precision.kernels() {
        Kernels::Float32 | Kernels::Float16 | Kernels::Int8 => 2.0,
        Kernels::Vectors(_) => 3000.0,
        Kernels::Codes(_) | Kernels::Planes(_) => 200.0,
    }
}

/// Operations of a decomposition, roughly.
fn work(structure: &Structure, shape: Shape) -> f64 {
    let (rows, columns) = (shape.rows as f64, shape.columns as f64);
    // Through the eigenvectors of the smaller Gram matrix.
    let svd = |rows: f64, columns: f64| {
        let least = rows.min(columns);
        rows * columns * least + 12.0 * least.powi(3)
    };
    match structure {
        Structure::LowRank(_) => svd(rows, columns),
        // A decomposition for each of a few rounds.
        Structure::DiagonalLowRank(_) => 6.0 * svd(rows, columns),
        Structure::BlockLowRank(form) => {
            form.rows.iter().map(|&rows| svd(rows as f64, columns)).sum()
        }
        Structure::TensorTrain(train) => {
            let modes: Vec<f64> = train
                .row_modes
                .iter()
                .zip(&train.column_modes)
                .map(|(m, n)| (m * n) as f64)
                .collect();
            let before = |k: usize| if k == 0 { 1.0 } else { train.ranks[k - 1] as f64 };
            let one = |k: usize| svd(before(k) * modes[k], modes[k + 1..].iter().product());
            (0..train.ranks.len()).map(one).sum()
        }
        Structure::ToeplitzLike(form) => {
            let (n, rank) = (form.block as f64, form.rank as f64);
            let blocks = (rows / n).ceil() * (columns / n).ceil();
            // Transforms and the first decomposition, then rounds of least squares.
            blocks * (40.0 * n.powi(3) + 300.0 * (n * rank).powi(2))
        }
        _ => 200.0 * rows * columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Step;

    #[test]
    fn every_method_that_changes_a_matrix_alone_is_an_option() {
        let entry = |name: &str| Entry {
            name: name.into(),
            rows: 1000,
            columns: 200,
            range: 0..200_000,
            vector: false,
        };
        let found = candidates(&entry("softmax"));
        // The others change the shape of the model, or the file, or need a training, or weigh all matrices together.
        let others = [
            "remove-units",
            "shared-low-rank",
            "variational-dropout",
            "fine-tune",
            "entropy",
            "rate-distortion",
        ];
        for method in Step::NAMES.iter().filter(|method| !others.contains(method)) {
            let is_own = |candidate: &&Candidate| candidate.name.starts_with(&format!("{method} "));
            assert!(found.iter().any(|candidate| is_own(&candidate)), "{method}");
        }
        // Whose rows are no words has no groups of them.
        let cell = candidates(&entry("cell.0.input"));
        assert!(cell.iter().all(|candidate| !candidate.name.starts_with("block-low-rank")));
    }
}
