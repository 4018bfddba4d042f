//! Low rank with a shared right factor: what a layer gives is projected once, for its own recurrence and for
//! what comes above it (Lu, Sindhwani & Sainath 2016; Prabhavalkar et al. 2016, section 3).
//!
//! Where softmax and embedding are one matrix, its rows become as wide as the projections, and the first layer reads
//! them so: what the softmax knows of a word's direction is what the embedding has of it.
//!
//! The result is an LSTM with recurrent projections (Sak et al. 2014), `model.cell_projection`, which is also how
//! such a model is trained from scratch.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, must_be_dense};
use crate::error::{Error, Result};
use crate::recipe::outline::Outline;
use crate::settings::{CellKind, ModelConfig};

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
pub(crate) fn reader(outline: &Outline, k: usize) -> String {
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
pub(crate) fn narrows_embedding(model: &ModelConfig) -> bool {
    model.tied && model.projection == 0
}

impl SharedLowRank {
    pub(crate) fn check(&self, outline: &Outline) -> Result<()> {
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
            must_be_dense(outline, &format!("cell.{k}.recurrent"))?;
            must_be_dense(outline, &reader(outline, k))?;
        }
        if narrows_embedding(model) {
            must_be_dense(outline, "cell.0.input")?;
        }
        Ok(())
    }
}

impl Declare for SharedLowRank {
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
}
