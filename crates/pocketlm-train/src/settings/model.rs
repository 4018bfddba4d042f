//! The shape of a network: the table `[model]` of a recipe.

pub use pocketlm::CellKind;
use pocketlm::pack::unitary_fits;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most recurrent layers.
const MOST_LAYERS: usize = 32;

/// Greatest width of a matrix, as the packed format has it.
const MOST_WIDTH: usize = 1 << 20;

/// Most rounds of a Mogrifier.
const MOST_ROUNDS: usize = 16;

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Kind of every recurrent layer.
    pub cell: CellKind,
    /// Width of the embedding.
    pub embedding: usize,
    /// Units of each recurrent layer, from the input up.
    pub hidden: Vec<usize>,
    /// Width of the recurrent projection inside each layer (Sak et al. 2014); 0 for none.
    #[serde(default)]
    pub cell_projection: usize,
    /// Width of a linear projection between the last layer and the softmax; 0 for none.
    #[serde(default)]
    pub projection: usize,
    /// Whether the softmax uses the embedding's matrix (Press & Wolf 2017).
    #[serde(default)]
    pub tied: bool,
    /// Whether each cell's pre-activations are normalised over its units (Ba et al. 2016).
    #[serde(default)]
    pub layer_norm: bool,
    /// Rounds in which a cell's input and state gate each other before a step (Melis et al. 2020); 0 for none.
    #[serde(default)]
    pub mogrifier: usize,
}

impl ModelConfig {
    /// Width of layer `k`'s output and of what it feeds back: its units, or the recurrent projection.
    pub fn output_width(&self, k: usize) -> usize {
        if self.cell_projection > 0 { self.cell_projection } else { self.hidden[k] }
    }

    /// Width of what enters layer `k`.
    pub fn input_width(&self, k: usize) -> usize {
        if k == 0 { self.embedding } else { self.output_width(k - 1) }
    }

    /// Width of what enters the softmax.
    pub fn softmax_width(&self) -> usize {
        if self.projection > 0 { self.projection } else { self.output_width(self.hidden.len() - 1) }
    }

    /// Checks that the sizes make a network.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        if self.embedding == 0 {
            return Err(Error::config("model.embedding", "is 0: give it at least 1"));
        }
        if self.hidden.is_empty() {
            return Err(Error::config("model.hidden", "is empty: give at least one layer"));
        }
        if self.hidden.len() > MOST_LAYERS {
            let what = format!("has {} layers: at most {MOST_LAYERS}", self.hidden.len());
            return Err(Error::config("model.hidden", what));
        }
        if let Some(k) = self.hidden.iter().position(|&h| h == 0) {
            let what = format!("has a layer of 0 units (layer {k}): give it at least 1");
            return Err(Error::config("model.hidden", what));
        }
        let fields = [
            ("embedding", self.embedding),
            ("cell_projection", self.cell_projection),
            ("projection", self.projection),
        ];
        for (field, width) in fields.into_iter().chain(self.hidden.iter().map(|&h| ("hidden", h))) {
            if width > MOST_WIDTH {
                let what = format!("has {width}: give at most {MOST_WIDTH}");
                return Err(Error::config(format!("model.{field}"), what));
            }
        }
        if self.cell == CellKind::Gru && self.cell_projection > 0 {
            let what = "is for lstm and cifg: a gru feeds its own memory back, set it to 0";
            return Err(Error::config("model.cell_projection", what));
        }
        if self.cell == CellKind::Urnn {
            self.validate_urnn()?;
        }
        if self.mogrifier > MOST_ROUNDS {
            let what = format!("is {}: give at most {MOST_ROUNDS} rounds", self.mogrifier);
            return Err(Error::config("model.mogrifier", what));
        }
        if self.tied && self.softmax_width() != self.embedding {
            let what = format!(
                "needs the softmax's input ({}) as wide as the embedding ({}): \
                 change one of them, or set model.projection = {}",
                self.softmax_width(),
                self.embedding,
                self.embedding
            );
            return Err(Error::config("model.tied", what));
        }
        Ok(())
    }
}

impl ModelConfig {
    fn validate_urnn(&self) -> Result<()> {
        if let Some(width) = self.hidden.iter().find(|&&width| !unitary_fits(width)) {
            let what = format!("has {width}: a layer of a urnn is a power of two from 2 to 32768");
            return Err(Error::config("model.hidden", what));
        }
        let refuse = |field: &str, what: &str| Err(Error::config(format!("model.{field}"), what));
        if self.cell_projection > 0 {
            return refuse("cell_projection", "is for lstm and cifg: set it to 0 for a urnn");
        }
        if self.layer_norm {
            return refuse("layer_norm", "would change moduli that a urnn keeps: set it to false");
        }
        if self.mogrifier > 0 {
            return refuse("mogrifier", "would change moduli that a urnn keeps: set it to 0");
        }
        Ok(())
    }
}
