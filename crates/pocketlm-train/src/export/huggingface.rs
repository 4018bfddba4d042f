//! A folder in the layout of the Hugging Face hub: `config.json`, `model.safetensors` with PyTorch's names, the words.

use std::path::Path;

use pocketlm::pack::write_file_with;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::Export;
use crate::checkpoint::replace_folder;
use crate::checkpoint::tensors::view;
use crate::corpus::{EOS, UNK, Unit};
use crate::error::{Error, Result};
use crate::settings::CellKind;
use crate::torch::tensors;

/// Writes the folder, in the place of whatever it held.
///
/// # Errors
/// [`Error::Config`] for a model that PyTorch's names cannot say; when the folder cannot be written.
pub fn write(export: &Export, folder: &Path) -> Result<()> {
    if export.model.cell == CellKind::Urnn {
        let what = "is a urnn, whose unitary matrix PyTorch has no name for: export it as ONNX";
        return Err(Error::config("the model", what));
    }
    if export.encoder.unit().is_subword() && !export.encoder.has_tokenizer_file() {
        let what =
            "is a packed one, which does not hold its tokenizer's file: export the checkpoint";
        return Err(Error::config("the model", what));
    }
    replace_folder(folder, |new| {
        export.encoder.save(new)?;
        save(&new.join("config.json"), &pretty(&config(export)))?;
        if export.encoder.unit() == Unit::Word {
            save(&new.join("tokenizer.json"), &pretty(&tokenizer(export)))?;
        }
        save(&new.join("model.safetensors"), &weights(export))
    })
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file_with(path, |file| file.write_all(bytes)).map_err(Error::io(path))
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn config(export: &Export) -> serde_json::Value {
    let (model, vocabulary) = (&export.model, export.encoder.vocabulary());
    json!({
        "model_type": "pocketlm",
        "cell": model.cell,
        "gate_order": match model.cell {
            CellKind::Lstm => "i, f, g, o",
            CellKind::Gru => "r, z, n",
            CellKind::Cifg => "f, g, o",
            CellKind::Urnn => "",
        },
        "embedding_size": model.embedding,
        "hidden_sizes": model.hidden,
        "proj_size": model.cell_projection,
        "projection_size": model.projection,
        "tie_word_embeddings": model.tied,
        "layer_norm": model.layer_norm,
        "mogrifier_rounds": model.mogrifier,
        "dtype": "float32",
        "unit": export.encoder.unit(),
        "vocab_size": vocabulary.len(),
        "vocab_sha256": vocabulary.sha256(),
        "eos_token_id": vocabulary.eos(),
        "unk_token_id": vocabulary.unk(),
        "pocketlm_version": env!("CARGO_PKG_VERSION"),
    })
}

/// What the package `tokenizers` reads: words between white space.
fn tokenizer(export: &Export) -> serde_json::Value {
    let vocabulary = export.encoder.vocabulary();
    let ids: serde_json::Map<_, _> = vocabulary
        .words()
        .zip(0..)
        .map(|(word, id): (&str, u32)| (word.to_owned(), id.into()))
        .collect();
    let special = |id: Option<u32>, content: &str| {
        id.map(|id| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        })
    };
    let added: Vec<_> = [special(Some(vocabulary.eos()), EOS), special(vocabulary.unk(), UNK)]
        .into_iter()
        .flatten()
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": ids, "unk_token": UNK },
    })
}

fn weights(export: &Export) -> Vec<u8> {
    let tensors = tensors(&export.model, &export.parameters);
    let views: Vec<(&str, TensorView)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), view(tensor.shape.clone(), &tensor.data)))
        .collect();
    let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize(views, Some(metadata)).expect("shapes fit their data")
}
