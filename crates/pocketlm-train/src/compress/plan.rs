//! What the options would cost in bytes, before anything runs.

use pocketlm::pack::{Precision, Sparsity, factor_bytes};
use serde::Serialize;

use crate::error::Result;
use crate::matrix::{BlockCirculant, LowRank, Shape, Structure, TensorTrain, ToeplitzLike};
use crate::recipe::Outline;

/// The bytes that one option would leave of one matrix.
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
}

const SPARSITIES: [f64; 4] = [0.5, 0.8, 0.9, 0.95];
const RATIOS: [f64; 3] = [0.5, 0.25, 0.1];

/// All options for every matrix of a model. Bytes of pruned matrices are those of the expected positions; all
/// others are exact.
///
/// # Errors
/// When the outline makes no network.
pub fn plan(outline: &Outline) -> Result<Vec<Choice>> {
    let mut all = Vec::new();
    for (matrix, shape) in outline.matrices(&["*".into()])? {
        for (option, parameters, bytes) in choices(shape) {
            all.push(Choice { matrix: matrix.clone(), option, parameters, bytes });
        }
    }
    Ok(all)
}

fn choices(shape: Shape) -> Vec<(String, usize, usize)> {
    let Shape { rows, columns } = shape;
    let numbers = rows * columns;
    let dense = Precision::ALL.into_iter().map(|precision| {
        let bytes = factor_bytes(rows, columns, numbers, Sparsity::None, precision);
        (format!("quantise {}", precision.name()), numbers, bytes)
    });
    let patterns = [
        (Sparsity::Unstructured, Precision::F32),
        (Sparsity::Unstructured, Precision::Int8),
        (Sparsity::Panels, Precision::Int8),
    ];
    let pruned = patterns.into_iter().flat_map(|(pattern, precision)| {
        SPARSITIES.map(|sparsity| {
            let kept = (numbers as f64 * (1.0 - sparsity)).round() as usize;
            let bytes = factor_bytes(rows, columns, kept, pattern, precision);
            let name = format!("prune {sparsity} {} {}", pattern.name(), precision.name());
            (name, kept, bytes)
        })
    });
    let structured = RATIOS.into_iter().flat_map(|ratio| structures(shape, ratio));
    let structured = structured.flat_map(|(name, structure)| {
        [Precision::F32, Precision::Int8].map(|precision| {
            let leaves = structure.operations().leaves(shape);
            let parameters = leaves.iter().map(|leaf| leaf.rows * leaf.columns).sum();
            let bytes = |rows, columns| {
                factor_bytes(rows, columns, rows * columns, Sparsity::None, precision)
            };
            let bytes = leaves.iter().map(|leaf| bytes(leaf.rows, leaf.columns)).sum();
            (format!("{name} {}", precision.name()), parameters, bytes)
        })
    });
    dense.chain(pruned).chain(structured).collect()
}

/// The structures of about `ratio` times the numbers of a matrix.
fn structures(shape: Shape, ratio: f64) -> Vec<(String, Structure)> {
    let room = ratio * (shape.rows * shape.columns) as f64;
    let rank = (room / (shape.rows + shape.columns) as f64) as usize;
    let low_rank = (rank > 0).then_some(Structure::LowRank(LowRank { rank }));
    let low_rank = low_rank.map(|form| (format!("low-rank {rank}"), form));
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
    let blocks = [circulant, toeplitz].into_iter();
    let blocks = blocks.filter(|(_, form)| form.operations().check(shape).is_ok());
    low_rank.into_iter().chain(train).chain(blocks).collect()
}
