//! Writing a mixture.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{MAX_PARTS, prefix};
use crate::error::{Error, Result};
use crate::format::container::write::{self as container, Leaf};
use crate::format::metadata;
use crate::leaves::Leaves;
use crate::model::{Kind, Model};
use crate::pack::Notes;

/// What a part says of itself that stays in the file.
const KEPT: [&str; 6] =
    ["configuration", "matrices", "ngram", "recipe", "provenance", "perplexity"];

/// One packed model that gives p(w | h) = Σ weight · p_m(w | h) for models over the same words. The vocabulary is stored
/// once, all arrays plain; [`entropy_coded`](crate::pack::entropy_coded) makes it smaller.
///
/// # Errors
/// [`Error::Metadata`] if there are fewer than two parts or more than eight, the weights are no shares of 1, a part is a
/// mixture itself, or two of them have other words or cut text otherwise.
pub fn mixture(parts: &[(f64, &Model)], notes: &Notes) -> Result<Vec<u8>> {
    let fault = |problem: String| Error::metadata("mixture", problem);
    if !(2..=MAX_PARTS).contains(&parts.len()) {
        return Err(fault(format!("of {} models: it takes 2 to {MAX_PARTS}", parts.len())));
    }
    let first = parts[0].1;
    for (at, (_, model)) in parts.iter().enumerate() {
        if matches!(model.kind, Kind::Mixture(_)) {
            return Err(fault(format!("of a mixture: part {at} is one")));
        }
        if !model.vocabulary().is_same(first.vocabulary()) {
            return Err(fault(format!("of models of other words: those of part {at} differ")));
        }
    }
    let weights: Vec<_> = parts.iter().map(|(weight, _)| weight.to_string()).collect();
    if parts.iter().any(|(_, model)| subwords(model) != subwords(first)) {
        return Err(fault("of models whose tokenizers differ".to_string()));
    }
    let mut fields = alloc::vec![("mixture".to_string(), format!("[{}]", weights.join(",")))];
    let mut leaves = Vec::new();
    for (at, (_, model)) in parts.iter().enumerate() {
        let prefix = prefix(at);
        let kept = KEPT.iter().filter_map(|&key| Some((key, model.header.metadata.get(key)?)));
        fields.extend(kept.map(|(key, value)| (prefix.clone() + key, value.clone())));
        for leaf in arrays(model)? {
            if !is_shared(&leaf.name) {
                leaves.push(Leaf { name: prefix.clone() + &leaf.name, ..leaf });
            } else if at == 0 {
                leaves.push(leaf);
            }
        }
    }
    fields.extend(first.header.metadata.get("subwords").map(|s| ("subwords".into(), s.clone())));
    let vocabulary = first.vocabulary();
    let special = (vocabulary.len(), vocabulary.eos(), vocabulary.unk());
    let has_names = metadata::vocabulary(&first.header.metadata)?.names.is_some();
    let all = notes.metadata(Vec::new(), special, has_names);
    let own = fields.iter().map(|(key, value)| (key.as_str(), value.clone()));
    let fields: Vec<_> = all.into_iter().chain(own).collect();
    let file = container::write(&fields, &leaves.iter().collect::<Vec<_>>())?;
    // The weights are checked as a reader does.
    Model::from_bytes(file.clone())?;
    Ok(file)
}

/// What a file says of its tokenizer, if it has one, and its arrays.
fn subwords(model: &Model) -> (Option<&String>, Vec<Leaf>) {
    let entry = model.header.metadata.get("subwords");
    let of = |leaf: &Leaf| leaf.name.starts_with("subwords.");
    (entry, arrays(model).unwrap_or_default().into_iter().filter(of).collect())
}

/// Whether an array is of the vocabulary, which all parts share.
fn is_shared(name: &str) -> bool {
    name.starts_with("vocabulary.") || name.starts_with("subwords.")
}

/// All arrays of a model, plain, in the order of its file.
fn arrays(model: &Model) -> Result<Vec<Leaf>> {
    let leaves = Leaves::new(&model.header, &model.storage, &model.decoded);
    let mut entries: Vec<_> = model.header.arrays.iter().collect();
    entries.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
    let leaf = |(name, entry): (&String, &crate::format::container::Entry)| {
        let (array, shape) = leaves.any(name, entry.dtype)?;
        Ok(Leaf::new(name, entry.dtype, shape, array.bytes().to_vec()))
    };
    entries.into_iter().map(leaf).collect()
}
