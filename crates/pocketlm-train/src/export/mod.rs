//! Models for other programs: ONNX files, and folders in the layout of the Hugging Face hub.

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::corpus::Encoder;
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::network::Network;
use crate::settings::ModelConfig;

pub mod huggingface;
pub mod onnx;

/// A recurrent model with dense matrices, whatever described them.
pub struct Export {
    /// Its shape.
    pub model: ModelConfig,
    /// Its words, whose ids are those of the file that is written.
    pub encoder: Encoder,
    /// Its matrices.
    pub parameters: Parameters,
}

impl From<Checkpoint> for Export {
    fn from(checkpoint: Checkpoint) -> Self {
        let Checkpoint { config, encoder, parameters, .. } = checkpoint;
        Self { model: config.recipe.model, encoder, parameters }
    }
}

impl Export {
    /// Reads the weights of a packed model back, as its precision has left them, with the ids of the packed file;
    /// `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for an n-gram model, and where two types have one name.
    pub fn packed(packed: &pocketlm::Model, path: &Path) -> Result<Self> {
        let configuration = packed.configuration().ok_or_else(|| {
            Error::checkpoint(path, "is an n-gram model: only ARPA files are written of it")
        })?;
        let model = ModelConfig {
            cell: configuration.cell,
            embedding: configuration.embedding,
            hidden: configuration.hidden.clone(),
            cell_projection: configuration.cell_projection,
            projection: configuration.projection,
            tied: configuration.tied,
            layer_norm: configuration.layer_norm,
            mogrifier: configuration.mogrifier,
        };
        let encoder = Encoder::packed(packed, path)?;
        let (_, mut parameters) = Network::new(&model, encoder.vocabulary().len())?;
        let fault = |error: pocketlm::Error| Error::checkpoint(path, error.to_string());
        for entry in parameters.entries().to_vec() {
            let numbers = &mut parameters.data[entry.range];
            if entry.vector {
                numbers.copy_from_slice(packed.bias(&entry.name).map_err(fault)?);
                continue;
            }
            for (row, out) in numbers.chunks_exact_mut(entry.columns).enumerate() {
                packed.row(&entry.name, row, out).map_err(fault)?;
            }
        }
        Ok(Self { model, encoder, parameters })
    }
}
