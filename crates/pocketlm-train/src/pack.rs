//! From a checkpoint to the bytes of a packed model.

use pocketlm::pack::{Packer, Precision};
use pocketlm::{CellKind as PackedCell, Configuration, Perplexity, Provenance, Unit as PackedUnit};

use crate::checkpoint::Checkpoint;
use crate::config::CellKind;
use crate::corpus::{EOS, UNK, Unit};

/// The configuration as the runtime has it.
fn configuration(checkpoint: &Checkpoint, unit: PackedUnit) -> Configuration {
    let model = &checkpoint.config.recipe.model;
    Configuration {
        cell: match model.cell {
            CellKind::Lstm => PackedCell::Lstm,
            CellKind::Gru => PackedCell::Gru,
            CellKind::Cifg => PackedCell::Cifg,
        },
        embedding: model.embedding,
        hidden: model.hidden.clone(),
        cell_projection: model.cell_projection,
        projection: model.projection,
        tied: model.tied,
        unit,
    }
}

/// Packs the model with every matrix in `precision` (biases stay f32); `perplexity` are figures to remember in
/// the file.
///
/// # Errors
/// [`pocketlm::Error::Unsupported`] for a model of byte pairs.
pub fn pack(
    checkpoint: &Checkpoint,
    precision: Precision,
    perplexity: Vec<Perplexity>,
) -> Result<Vec<u8>, pocketlm::Error> {
    let unit = match checkpoint.config.unit {
        Unit::Word => PackedUnit::Word,
        Unit::Char => PackedUnit::Character,
        Unit::Bpe => PackedUnit::Bpe,
    };
    pack_as(checkpoint, unit, precision, perplexity)
}

/// Packs the model for use within this process, in f32. Pieces of byte pairs count as words: only the
/// checkpoint's own encoder cuts text into them.
///
/// # Errors
/// When the runtime refuses a matrix.
pub fn pack_in_memory(checkpoint: &Checkpoint) -> Result<Vec<u8>, pocketlm::Error> {
    let unit = match checkpoint.config.unit {
        Unit::Word | Unit::Bpe => PackedUnit::Word,
        Unit::Char => PackedUnit::Character,
    };
    pack_as(checkpoint, unit, Precision::F32, Vec::new())
}

fn pack_as(
    checkpoint: &Checkpoint,
    unit: PackedUnit,
    precision: Precision,
    perplexity: Vec<Perplexity>,
) -> Result<Vec<u8>, pocketlm::Error> {
    let vocabulary = checkpoint.encoder.vocabulary();
    let words: Vec<&str> = vocabulary.words().collect();
    let unk = vocabulary.unk().map(|_| UNK);
    let mut packer = Packer::new(configuration(checkpoint, unit), &words, EOS, unk)?;
    for entry in checkpoint.parameters.entries() {
        let numbers = &checkpoint.parameters.data[entry.range.clone()];
        if entry.vector {
            packer.bias(&entry.name, numbers)?;
        } else {
            packer.matrix(&entry.name, numbers, precision)?;
        }
    }
    let origin = &checkpoint.config.provenance;
    packer.provenance(Provenance {
        training_data: format!("sha256:{}", origin.data_sha256),
        tool: format!("pocketlm {}", origin.version),
        ..Provenance::default()
    });
    for figure in perplexity {
        packer.perplexity(figure)?;
    }
    packer.finish()
}
