//! Low rank with a shared right factor: what a layer gives is projected once, for its own recurrence and for
//! what comes above it (Lu, Sindhwani & Sainath 2016; Prabhavalkar et al. 2016, section 3).
//!
//! Where softmax and embedding are one matrix, its rows become as wide as the projections, and the first layer reads
//! them so: what the softmax knows of a word's direction is what the embedding has of it.
//!
//! The result is an LSTM with recurrent projections (Sak et al. 2014), `model.cell_projection`, which is also how
//! such a model is trained from scratch.

use serde::{Deserialize, Serialize};

use super::low_rank::{carry, put};
use super::{Context, Method, Outline};
use crate::checkpoint::Checkpoint;
use crate::compress::calibration::Calibration;
use crate::config::{CellKind, ModelConfig};
use crate::error::{Error, Result};
use crate::matrix::Forms;
use crate::matrix::svd::{Balance, decompose, decompose_weighted};

/// Gives every layer a projection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedLowRank {
    /// Width of the projections.
    pub rank: usize,
    /// Whether the error counts by how often the training text takes each direction.
    #[serde(default)]
    pub weighted: bool,
}

/// The matrix that takes what the last of `layers` layers gives, or layer `k + 1`'s.
fn reader(outline: &Outline, k: usize) -> String {
    if k + 1 < outline.model.hidden.len() {
        format!("cell.{}.input", k + 1)
    } else if outline.model.projection > 0 {
        "projection".into()
    } else if outline.model.tied {
        "embedding".into()
    } else {
        "softmax".into()
    }
}

/// Whether the embedding takes the width of the projections.
fn narrows_embedding(model: &ModelConfig) -> bool {
    model.tied && model.projection == 0
}

impl SharedLowRank {
    fn check(&self, outline: &Outline) -> Result<()> {
        let model = &outline.model;
        let refuse = |what: &str| Err(Error::config("shared-low-rank", what));
        if matches!(model.cell, CellKind::Gru | CellKind::Urnn) {
            return refuse("is for lstm and cifg: a gru and a urnn feed their own memory back");
        }
        if model.cell_projection > 0 {
            return refuse("finds model.cell_projection set: the layers are projected already");
        }
        let least = model.hidden.iter().copied().min().unwrap_or(0);
        if !(1..=least).contains(&self.rank) {
            let what = format!("is {}: give a number from 1 to {least}", self.rank);
            return Err(Error::config("rank", what));
        }
        for k in 0..model.hidden.len() {
            super::must_be_dense(outline, &format!("cell.{k}.recurrent"))?;
            super::must_be_dense(outline, &reader(outline, k))?;
        }
        if narrows_embedding(model) {
            super::must_be_dense(outline, "cell.0.input")?;
        }
        Ok(())
    }
}

impl Method for SharedLowRank {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.check(outline)?;
        outline.model.cell_projection = self.rank;
        if narrows_embedding(&outline.model) {
            outline.model.embedding = self.rank;
        }
        Ok(())
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        let what = "is for trained models: from scratch set model.cell_projection";
        Err(Error::config("shared-low-rank", what))
    }

    fn needs_text(&self) -> bool {
        self.weighted
    }

    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let before = Outline::of(model);
        self.check(&before)?;
        let calibration = match (self.weighted, context.corpus) {
            (true, Some(corpus)) => Some(Calibration::measure(model, corpus)?),
            _ => None,
        };
        let mut after = Outline { forms: Forms::default(), ..before.clone() };
        self.declare(&mut after)?;
        let (_, mut leaves) = after.parametrization()?;
        carry(&model.parameters, &mut leaves);
        let numbers = |name: &str| {
            let entry = model.parameters.find(name).expect("a matrix of the network");
            &model.parameters.data[entry.range.clone()]
        };
        let layers = before.model.hidden.len();
        // What the first layer reads of an embedding that is narrower now.
        let mut inputs = numbers("cell.0.input").to_vec();
        for (k, &hidden) in before.model.hidden.iter().enumerate() {
            let (recurrent, reader) = (format!("cell.{k}.recurrent"), reader(&before, k));
            let stacked = [numbers(&recurrent), numbers(&reader)].concat();
            let size = (stacked.len() / hidden, hidden);
            // An embedding's own input is a word; the softmax's is what the recurrence reads.
            let moment = calibration
                .as_ref()
                .and_then(|c| c.moment(&reader).or_else(|| c.moment(&recurrent)));
            let factors = match moment {
                None => decompose(&stacked, size, Balance::Both, |_| self.rank)?,
                Some(moment) => {
                    decompose_weighted(&stacked, size, Some(moment), None, |_| self.rank)?
                }
            };
            let split = numbers(&recurrent).len() / hidden * self.rank;
            put(&mut leaves, &recurrent, &factors.left[..split]);
            put(&mut leaves, &reader, &factors.left[split..]);
            put(&mut leaves, &format!("cell.{k}.projection"), &factors.right);
            if k + 1 == layers && narrows_embedding(&before.model) {
                inputs = times_transposed(&inputs, &factors.right, hidden);
            }
        }
        put(&mut leaves, "cell.0.input", &inputs);
        model.reshape(after.model, before.forms, leaves)
    }
}

/// `a bᵀ` of two row-major matrices with rows of `width` numbers.
fn times_transposed(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| {
        x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>() as f32
    };
    a.chunks_exact(width).flat_map(|x| b.chunks_exact(width).map(move |y| dot(x, y))).collect()
}
