//! From a checkpoint to the bytes of a packed model.

use pocketlm::pack::{Factor, Form, Packer, Precision, entropy_coded};
use pocketlm::{Configuration, Perplexity, Provenance, Unit as PackedUnit};

use crate::checkpoint::Checkpoint;
use crate::corpus::{EOS, UNK, Unit};
use crate::linear::Entry;
use crate::matrix::parametrization::factor;
use crate::matrix::{LeafForm, Structure};
use crate::recipe::CompressionRecipe;

/// The configuration as the runtime has it.
fn configuration(checkpoint: &Checkpoint, unit: PackedUnit) -> Configuration {
    let model = &checkpoint.config.recipe.model;
    Configuration {
        cell: model.cell,
        embedding: model.embedding,
        hidden: model.hidden.clone(),
        cell_projection: model.cell_projection,
        projection: model.projection,
        tied: model.tied,
        unit,
        layer_norm: model.layer_norm,
        mogrifier: model.mogrifier,
    }
}

/// Packs the model in its own forms for use within this process.
///
/// # Errors
/// When the runtime refuses a matrix.
pub fn pack_in_memory(checkpoint: &Checkpoint) -> Result<Vec<u8>, pocketlm::Error> {
    pack(checkpoint, None, Vec::new())
}

/// Packs the model in its own forms (biases stay f32), or with every leaf in `precision` where one is given;
/// `perplexity` are figures to remember in the file. The file is entropy-coded where the forms say so.
///
/// # Errors
/// [`pocketlm::Error::Unsupported`] for a form that the runtime does not have.
pub fn pack(
    checkpoint: &Checkpoint,
    precision: Option<Precision>,
    perplexity: Vec<Perplexity>,
) -> Result<Vec<u8>, pocketlm::Error> {
    let vocabulary = checkpoint.encoder.vocabulary();
    let unit = match checkpoint.config.unit {
        Unit::Word => PackedUnit::Word,
        Unit::Raw(case) => PackedUnit::raw(case),
        Unit::Char => PackedUnit::Character,
        Unit::Bpe | Unit::SentencePiece => PackedUnit::Subword,
    };
    let unk = vocabulary.unk().map(|_| UNK);
    let mut packer = Packer::new(configuration(checkpoint, unit), &vocabulary.bytes(), EOS, unk)?;
    checkpoint.encoder.tokenizer().map_or(Ok(()), |tokenizer| packer.tokenizer(tokenizer))?;
    packer.names(&checkpoint.encoder.names().collect::<Vec<_>>())?;
    let leaves = &checkpoint.leaves;
    for bias in leaves.entries().iter().filter(|entry| entry.vector) {
        packer.bias(&bias.name, &leaves.data[bias.range.clone()])?;
    }
    for (name, structure, entries) in checkpoint.parametrization.matrices(leaves) {
        let leaf = |entry: &Entry| {
            let mut form = checkpoint.config.forms.leaf(&entry.name);
            form.precision = precision.unwrap_or(form.precision);
            factor(entry, form, &leaves.data[entry.range.clone()])
        };
        let mut factors = entries.iter().map(leaf);
        let mut next = || factors.next().expect("as many leaves as the structure has");
        let form = match structure {
            None => Form::Dense(next()),
            Some(Structure::LearnedScales(form)) => match precision {
                None => {
                    let factor = Factor { precision: form.precision, ..next() };
                    Form::Scaled { factor, scales: next().weights }
                }
                Some(precision) => Form::Dense(as_dense(checkpoint, name, precision)),
            },
            Some(Structure::VariationalDropout(_)) => {
                Form::Dense(as_dense(checkpoint, name, precision.unwrap_or(Precision::F32)))
            }
            Some(Structure::LowRank(_)) => Form::LowRank { left: next(), right: next() },
            Some(Structure::DiagonalLowRank(_)) => {
                Form::DiagonalLowRank { left: next(), right: next(), diagonal: next() }
            }
            Some(Structure::TensorTrain(train)) => Form::TensorTrain {
                row_modes: &train.row_modes,
                column_modes: &train.column_modes,
                cores: factors.collect(),
            },
            Some(Structure::BlockCirculant(form)) => {
                Form::BlockCirculant { block: form.block, vectors: next() }
            }
            Some(Structure::ToeplitzLike(form)) => {
                let (block, rank) = (form.block, form.rank);
                Form::ToeplitzLike { block, rank, g: next(), h: next() }
            }
            Some(Structure::Unitary(_)) => Form::Unitary { phases: next(), reflections: next() },
            Some(Structure::BlockLowRank(form)) => {
                let groups = form.ranks.iter().map(|_| [next(), next()]).collect();
                Form::BlockLowRank { groups }
            }
        };
        packer.form(name, &form)?;
    }
    let origin = &checkpoint.config.provenance;
    packer.recipe(&recipe_text(checkpoint));
    let hash = &origin.data_sha256;
    packer.provenance(Provenance {
        // What another program trained has none.
        training_data: if hash.is_empty() { String::new() } else { format!("sha256:{hash}") },
        tool: format!("pocketlm {}", origin.version),
        ..Provenance::default()
    });
    for figure in perplexity {
        packer.perplexity(figure)?;
    }
    let plain = packer.finish()?;
    if checkpoint.config.forms.entropy { entropy_coded(&plain) } else { Ok(plain) }
}

/// A matrix as the network has it, whatever its leaves are.
fn as_dense<'a>(checkpoint: &'a Checkpoint, name: &str, precision: Precision) -> Factor<'a> {
    let entry = checkpoint.parameters.find(name).expect("a matrix of the model");
    let form = LeafForm { precision, ..LeafForm::default() };
    factor(entry, form, &checkpoint.parameters.data[entry.range.clone()])
}

/// How the model was trained, then the steps that compressed it, as TOML.
fn recipe_text(checkpoint: &Checkpoint) -> String {
    let training = toml::to_string(&checkpoint.config.recipe).expect("a recipe is TOML");
    let steps = CompressionRecipe { step: checkpoint.config.compression.clone() };
    if steps.step.is_empty() { training } else { format!("{training}\n{}", steps.to_toml()) }
}
