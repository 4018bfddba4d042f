//! Layouts: how programs name the tensors of a recurrent language model.
//!
//! A layout maps each name to a [`Part`] of a model. To add one: a struct with [`Layout`], and its line in [`LAYOUTS`].

/// What a tensor is in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The embedding, `[words, width]`.
    Embedding,
    /// Something of a recurrent layer: of layer `.1` of module `.0`, where programs stack layers both ways.
    Layer(usize, usize, Piece),
    /// The linear projection before the softmax, `[width, top]`.
    Projection,
    /// The output layer's weight, `[words, top]`.
    Softmax,
    /// The output layer's bias, `[words]`.
    SoftmaxBias,
    /// Nothing that the model computes with beside the others; why.
    Copy(&'static str),
}

/// A tensor of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// `weight_ih`, `[gates * units, input]`.
    Input,
    /// `weight_hh`, `[gates * units, output]`.
    Recurrent,
    /// `weight_hr`, `[output, units]`.
    Projection,
    /// `bias_ih`, `[gates * units]`.
    InputBias,
    /// `bias_hh`, `[gates * units]`.
    RecurrentBias,
    /// The gains of layer normalisation.
    Gain,
    /// The matrix of a Mogrifier's round.
    Mogrifier(usize),
}

/// How a program names tensors.
pub trait Layout: Sync {
    /// What `--layout` calls it.
    fn name(&self) -> &'static str;
    /// Whose names they are, in a line.
    fn about(&self) -> &'static str;
    /// What the tensor of this name is, if it is one of this layout. Wrappers' prefixes and `_raw` are cut off before.
    fn part(&self, name: &str) -> Option<Part>;
}

/// All layouts of tensors.
pub const LAYOUTS: &[&dyn Layout] = &[&PyTorch, &Awd, &Icefall, &HuggingFace];

/// The tensors of `nn.LSTM` and `nn.GRU` by what follows the module's name.
fn recurrent(module: usize, name: &str) -> Option<Part> {
    let (kind, layer) = name.rsplit_once("_l")?;
    let piece = match kind {
        "weight_ih" => Piece::Input,
        "weight_hh" => Piece::Recurrent,
        "weight_hr" => Piece::Projection,
        "bias_ih" => Piece::InputBias,
        "bias_hh" => Piece::RecurrentBias,
        _ => return None,
    };
    Some(Part::Layer(module, layer.parse().ok()?, piece))
}

/// The tensors of an embedding and a linear layer of these names.
fn ends(name: &str, embeddings: &[&str], softmaxes: &[&str]) -> Option<Part> {
    let (module, tensor) = name.rsplit_once('.')?;
    match tensor {
        "weight" if embeddings.contains(&module) => Some(Part::Embedding),
        "weight" if softmaxes.contains(&module) => Some(Part::Softmax),
        "bias" if softmaxes.contains(&module) => Some(Part::SoftmaxBias),
        _ => None,
    }
}

/// `NAME.K.REST`: K and REST.
fn numbered<'n>(name: &'n str, of: &str) -> Option<(usize, &'n str)> {
    let (number, rest) = name.strip_prefix(of)?.strip_prefix('.')?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// One recurrent module between an embedding and a linear layer.
struct PyTorch;

impl Layout for PyTorch {
    fn name(&self) -> &'static str {
        "pytorch"
    }

    fn about(&self) -> &'static str {
        "word_language_model of PyTorch's examples: encoder, rnn, decoder; other usual names of these"
    }

    fn part(&self, name: &str) -> Option<Part> {
        const EMBEDDINGS: [&str; 7] =
            ["encoder", "embedding", "embeddings", "embed", "emb", "word_embeddings", "lookup"];
        const RECURRENT: [&str; 4] = ["rnn", "lstm", "gru", "recurrent"];
        const SOFTMAXES: [&str; 9] = [
            "decoder",
            "linear",
            "fc",
            "out",
            "output",
            "softmax",
            "lm_head",
            "head",
            "classifier",
        ];
        let (module, tensor) = name.rsplit_once('.')?;
        if RECURRENT.contains(&module) {
            return recurrent(0, tensor);
        }
        ends(name, &EMBEDDINGS, &SOFTMAXES)
    }
}

/// A module for each layer, within what drops weights.
struct Awd;

impl Layout for Awd {
    fn name(&self) -> &'static str {
        "awd"
    }

    fn about(&self) -> &'static str {
        "awd-lstm-lm and fastai: encoder, rnns.K.module, decoder, weights dropped from _raw"
    }

    fn part(&self, name: &str) -> Option<Part> {
        // fastai's sequence of an encoder and a decoder.
        let name = name.strip_prefix("0.").or_else(|| name.strip_prefix("1.")).unwrap_or(name);
        if name == "encoder_dp.emb.weight" {
            return Some(Part::Copy("the encoder's weight again"));
        }
        match numbered(name, "rnns") {
            Some((k, rest)) => recurrent(k, rest.strip_prefix("module.").unwrap_or(rest)),
            None => ends(name, &["encoder"], &["decoder"]),
        }
    }
}

/// The language models of next-generation Kaldi.
struct Icefall;

impl Layout for Icefall {
    fn name(&self) -> &'static str {
        "icefall"
    }

    fn about(&self) -> &'static str {
        "RnnLmModel of icefall: input_embedding, rnn, output_linear"
    }

    fn part(&self, name: &str) -> Option<Part> {
        match name.strip_prefix("rnn.") {
            Some(tensor) => recurrent(0, tensor),
            None => ends(name, &["input_embedding"], &["output_linear"]),
        }
    }
}

/// What `pocketlm export` writes: a module for each layer.
struct HuggingFace;

impl Layout for HuggingFace {
    fn name(&self) -> &'static str {
        "huggingface"
    }

    fn about(&self) -> &'static str {
        "a folder of pocketlm export: embedding, layers.K, projection, softmax, beside a config.json"
    }

    fn part(&self, name: &str) -> Option<Part> {
        let Some((k, rest)) = numbered(name, "layers") else {
            return match name {
                "projection.weight" => Some(Part::Projection),
                _ => ends(name, &["embedding"], &["softmax"]),
            };
        };
        match rest.strip_prefix("mogrifier.") {
            Some(round) => Some(Part::Layer(k, 0, Piece::Mogrifier(round.parse().ok()?))),
            None if rest == "gain" => Some(Part::Layer(k, 0, Piece::Gain)),
            None => recurrent(k, rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_knows_its_own_names() {
        let names = [
            ("pytorch", "rnn.weight_ih_l1", Part::Layer(0, 1, Piece::Input)),
            ("pytorch", "decoder.bias", Part::SoftmaxBias),
            ("awd", "rnns.2.module.weight_hh_l0", Part::Layer(2, 0, Piece::Recurrent)),
            ("awd", "0.rnns.1.weight_hh_l0", Part::Layer(1, 0, Piece::Recurrent)),
            ("awd", "1.decoder.weight", Part::Softmax),
            ("icefall", "input_embedding.weight", Part::Embedding),
            ("icefall", "rnn.weight_hr_l0", Part::Layer(0, 0, Piece::Projection)),
            ("huggingface", "layers.3.mogrifier.4", Part::Layer(3, 0, Piece::Mogrifier(4))),
            ("huggingface", "projection.weight", Part::Projection),
        ];
        for (layout, name, part) in names {
            let layout = LAYOUTS.iter().find(|known| known.name() == layout).unwrap();
            assert_eq!(layout.part(name), Some(part), "{name}");
        }
        assert!(LAYOUTS.iter().all(|layout| layout.part("optimizer.step").is_none()));
    }
}
