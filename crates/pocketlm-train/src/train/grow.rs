//! A trained model made wider without a change of what it computes, to be trained on: the idea of Net2Net (Chen,
//! Goodfellow & Shlens 2016, arXiv 1511.05641).
//!
//! Theirs splits units in two. Here the new units read at random and nothing that was there reads them: each matrix
//! keeps its numbers, its new rows are random, and its new columns are zero in the old rows. Training finds uses for
//! them from the first update on.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::linear::{Entry, Parameters, fill_uniform};
use crate::matrix::Forms;
use crate::network::Network;
use crate::settings::{CellKind, ModelConfig};

/// `model` in a wider shape, its new numbers uniform in `[-init, init]`.
///
/// Embedding and layers may become wider, a layer may get a recurrent projection at least as wide as it was, and a tied
/// softmax may become a matrix of its own.
///
/// # Errors
/// [`Error::Config`] naming what cannot grow.
pub fn grow(model: &Checkpoint, shape: &ModelConfig, init: f64, seed: u64) -> Result<Checkpoint> {
    let from = &model.config.recipe.model;
    check(from, shape)?;
    if !model.config.forms.structures.is_empty() {
        let what = "has matrices with a structure, which do not grow";
        return Err(Error::config("the model to start from", what));
    }
    let (network, mut numbers) = Network::new(shape, model.config.vocabulary)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    fill_uniform(&mut random, &mut numbers.data, init);
    for entry in numbers.entries().to_vec() {
        let new = &mut numbers.data[entry.range.clone()];
        fill(new, &entry, &model.leaves, from, shape);
    }
    let mut config = model.config.clone();
    config.recipe.model = shape.clone();
    config.forms = Forms::default();
    let (encoder, leaves) = (model.encoder.clone(), numbers.clone());
    let (parametrization, _) = crate::matrix::Parametrization::new(&config.forms, &numbers)?;
    Ok(Checkpoint { config, encoder, network, parameters: numbers, leaves, parametrization })
}

fn check(from: &ModelConfig, to: &ModelConfig) -> Result<()> {
    let refuse = |field: &str, what: String| Err(Error::config(format!("model.{field}"), what));
    if (from.cell, from.hidden.len()) != (to.cell, to.hidden.len()) {
        let what = "is another than that of the model to start from, which keeps its cells and their number";
        return refuse("cell", what.to_owned());
    }
    if from.cell == CellKind::Urnn || [from, to].iter().any(|m| m.layer_norm || m.mogrifier > 0) {
        let what = "does not grow as a urnn, with layer_norm or with mogrifier";
        return refuse("hidden", what.to_owned());
    }
    if to.tied && !from.tied {
        return refuse("tied", "is not so in the model to start from".to_owned());
    }
    if (from.projection == 0) != (to.projection == 0) {
        return refuse("projection", "is not so in the model to start from".to_owned());
    }
    let mut widths = vec![
        ("embedding", from.embedding, to.embedding),
        ("projection", from.projection, to.projection),
    ];
    for k in 0..from.hidden.len() {
        widths.push(("hidden", from.hidden[k], to.hidden[k]));
        widths.push(("cell_projection", from.output_width(k), to.output_width(k)));
    }
    if from.cell_projection > 0 && to.cell_projection == 0 {
        return refuse("cell_projection", "is there in the model to start from".to_owned());
    }
    match widths.into_iter().find(|(_, before, after)| after < before) {
        Some((field, before, after)) => {
            let what =
                format!("gives a width of {after} where the model to start from has {before}");
            refuse(field, what)
        }
        None => Ok(()),
    }
}

/// Puts the old numbers of a matrix into the new one, which is random, and zeros where old rows would read new columns.
fn fill(new: &mut [f32], entry: &Entry, leaves: &Parameters, from: &ModelConfig, to: &ModelConfig) {
    let name = entry.name.as_str();
    // A softmax of its own begins as the tied one was.
    let source = if name == "softmax" && from.tied { "embedding" } else { name };
    let Some(old) = leaves.find(source) else {
        return begin_projection(new, entry, name, from);
    };
    let numbers = &leaves.data[old.range.clone()];
    if entry.vector {
        let blocks = blocks(name, entry.columns, to);
        let (was, is) = (old.columns / blocks, entry.columns / blocks);
        for block in 0..blocks {
            new[block * is..][..was].copy_from_slice(&numbers[block * was..][..was]);
        }
        return;
    }
    let blocks = blocks(name, entry.rows, to);
    let (was, is) = (old.rows / blocks, entry.rows / blocks);
    // What is zero on one side may be random on the other: new columns of a tied embedding are zero, since the softmax
    // would read new units through them; else it is the first layer that passes them over.
    let stays_random = if to.tied { name == "cell.0.input" } else { name == "embedding" };
    for block in 0..blocks {
        for row in 0..was {
            let into = &mut new[(block * is + row) * entry.columns..][..entry.columns];
            let (kept, added) = into.split_at_mut(old.columns);
            kept.copy_from_slice(&numbers[(block * was + row) * old.columns..][..old.columns]);
            if !stays_random {
                added.fill(0.0);
            }
        }
    }
}

/// A recurrent projection where there was none: the old units pass it as they are.
fn begin_projection(new: &mut [f32], entry: &Entry, name: &str, from: &ModelConfig) {
    let layer = name.strip_prefix("cell.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let units = layer.map_or(0, |k: usize| from.hidden[k]);
    for row in 0..units {
        let row_of = &mut new[row * entry.columns..][..entry.columns];
        row_of.fill(0.0);
        row_of[row] = 1.0;
    }
}

/// Equal parts of a matrix's rows that grow each for itself: the gates of a cell.
fn blocks(name: &str, rows: usize, shape: &ModelConfig) -> usize {
    let mut parts = name.split('.');
    let (Some("cell"), Some(k), Some("input" | "recurrent" | "bias")) =
        (parts.next(), parts.next(), parts.next())
    else {
        return 1;
    };
    rows / shape.hidden[k.parse::<usize>().expect("a layer's number")]
}
