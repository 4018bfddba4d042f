//! A trained model that learns new words: new rows of the embedding and of the softmax, to be trained on.
//!
//! Until now the model has said `<unk>` where one of the new words came. So each begins as `<unk>` is, and takes the
//! share of its probability that it has of the unknown words in the new text: the row is that of `<unk>`, the bias that
//! of `<unk>` plus the logarithm of the share. What stays unknown keeps the rest. So at first nothing else changes: the
//! words that were there have the probabilities that they had.

use crate::checkpoint::Checkpoint;
use crate::corpus::Extension;
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::matrix::Parametrization;
use crate::network::Network;

/// The matrices with a row for each type.
const MATRICES: [&str; 2] = ["embedding", "softmax"];
const BIAS: &str = "softmax.bias";

/// `model` with the new words of an extension of its vocabulary.
///
/// Without a type for unknown words the new ones begin as the mean of the rarest tenth of the types.
///
/// # Errors
/// [`Error::Config`] where the embedding or the softmax has a structure.
///
/// # Panics
/// If the extension is of another vocabulary.
pub fn extend(model: &Checkpoint, extension: &Extension) -> Result<Checkpoint> {
    let types = extension.encoder.vocabulary().len();
    let before = model.config.vocabulary;
    assert_eq!(types, before + extension.counts.len(), "an extension of the model's vocabulary");
    let structured =
        MATRICES.into_iter().find(|name| model.config.forms.structures.contains_key(*name));
    if let Some(name) = structured {
        let what = format!(
            "has a structure in place of the matrix {name}, which takes no new rows: extend the model that it was \
             compressed from, and compress that again"
        );
        return Err(Error::config("the model to start from", what));
    }
    let mut config = model.config.clone();
    config.vocabulary = types;
    let (network, parameters) = Network::new(&config.recipe.model, types)?;
    let (parametrization, mut leaves) = Parametrization::new(&config.forms, &parameters)?;
    let rows = Rows::of(model);
    for entry in leaves.entries().to_vec() {
        let old = model.leaves.find(&entry.name).expect("the same leaves");
        let (kept, added) = leaves.data[entry.range.clone()].split_at_mut(old.range.len());
        kept.copy_from_slice(&model.leaves.data[old.range.clone()]);
        if entry.name == BIAS {
            rows.share(extension, kept, added);
        } else if !added.is_empty() {
            let row = rows.mean(&model.leaves, &entry.name, entry.columns);
            added.chunks_exact_mut(entry.columns).for_each(|new| new.copy_from_slice(&row));
        }
    }
    let forms = config.forms.clone();
    let (encoder, numbers) = (extension.encoder.clone(), leaves.clone());
    let mut extended =
        Checkpoint { config, encoder, network, parameters, leaves: numbers, parametrization };
    extended.reform(forms, leaves)?;
    Ok(extended)
}

/// The old types that new ones begin as.
enum Rows {
    Unknown(usize),
    /// The last ones, which are the rarest.
    Last(usize),
}

impl Rows {
    fn of(model: &Checkpoint) -> Self {
        match model.encoder.vocabulary().unk() {
            Some(unk) => Self::Unknown(unk as usize),
            None => Self::Last(model.config.vocabulary.div_ceil(10)),
        }
    }

    /// The mean of these rows of a matrix.
    fn mean(&self, leaves: &Parameters, name: &str, columns: usize) -> Vec<f32> {
        let entry = leaves.find(name).expect("the same leaves");
        let numbers = &leaves.data[entry.range.clone()];
        let rows = match *self {
            Self::Unknown(row) => &numbers[row * columns..][..columns],
            Self::Last(n) => &numbers[numbers.len() - n * columns..],
        };
        let mut mean = vec![0.0; columns];
        for row in rows.chunks_exact(columns) {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
        }
        let n = (rows.len() / columns) as f32;
        mean.iter_mut().for_each(|mean| *mean /= n);
        mean
    }

    /// The biases of the new words, and that of `<unk>`, which gives them a part of its probability.
    fn share(&self, extension: &Extension, old: &mut [f32], new: &mut [f32]) {
        let unk = match *self {
            Self::Unknown(unk) if !new.is_empty() => unk,
            Self::Unknown(_) => return,
            Self::Last(n) => {
                let mean = old[old.len() - n..].iter().sum::<f32>() / n as f32;
                return new.fill(mean);
            }
        };
        // One more than there are, since there will be others.
        let rest = extension.unknown as f64 + 1.0;
        let all = rest + extension.counts.iter().map(|&count| count as f64).sum::<f64>();
        let whole = f64::from(old[unk]);
        let of = |count: f64| (whole + (count / all).ln()) as f32;
        new.iter_mut().zip(&extension.counts).for_each(|(bias, &count)| *bias = of(count as f64));
        old[unk] = of(rest);
    }
}
