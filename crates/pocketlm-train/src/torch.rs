//! A model by the names and in the shapes of PyTorch's modules: what is written for PyTorch, and how its biases differ.
//!
//! Gates are stacked as here: LSTM `i, f, g, o`, GRU `r, z, n`; a CIFG, which PyTorch lacks, has `f, g, o`. PyTorch adds
//! two biases in each gate, of the input and of the state. Here there is one, but in the GRU's candidate, whose reset
//! gate multiplies the state's share with its bias.

use crate::linear::Parameters;
use crate::settings::{CellKind, ModelConfig};

/// An array of PyTorch's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub data: Vec<f32>,
}

/// The bias of a layer of `units` units from PyTorch's two, each `[gates * units]`.
///
/// # Panics
/// If a bias is of another length.
pub fn joined_bias(cell: CellKind, units: usize, input: &[f32], recurrent: &[f32]) -> Vec<f32> {
    assert!([input, recurrent].iter().all(|bias| bias.len() == cell.gates() * units));
    // A zero adds nothing, not even a sign to another zero, so that what was written comes back to the bit.
    let sum = |(&a, &b): (&f32, &f32)| if b == 0.0 { a } else { a + b };
    let added = if cell == CellKind::Gru { 2 * units } else { input.len() };
    let sums = input[..added].iter().zip(recurrent).map(sum);
    sums.chain(input[added..].iter().copied()).chain(recurrent[added..].iter().copied()).collect()
}

/// PyTorch's two biases, each `[gates * units]`, from that of a layer: the second is zero but for the GRU's candidate.
///
/// # Panics
/// If the bias is of another length.
pub fn split_bias(cell: CellKind, units: usize, bias: &[f32]) -> [Vec<f32>; 2] {
    assert_eq!(bias.len(), cell.blocks() * units);
    let rows = cell.gates() * units;
    let mut recurrent = vec![0.0; rows];
    let apart = &bias[rows..];
    recurrent[rows - apart.len()..].copy_from_slice(apart);
    [bias[..rows].to_vec(), recurrent]
}

/// The tensors of a model: `embedding.weight`, of each layer `layers.K.weight_ih_l0` and so on, `projection.weight`,
/// `softmax.weight` (none where it is tied to the embedding) and `softmax.bias`.
///
/// What PyTorch's layers lack keeps its name here: `layers.K.gain` of layer normalisation, `layers.K.mogrifier.I`.
///
/// # Panics
/// If the parameters are not of this shape, or the cell is the uRNN, whose matrix is no plain one.
pub fn tensors(model: &ModelConfig, parameters: &Parameters) -> Vec<(String, Tensor)> {
    assert_ne!(model.cell, CellKind::Urnn, "a unitary matrix is made of other numbers");
    let mut all = Vec::new();
    for entry in parameters.entries() {
        let data = &parameters.data[entry.range.clone()];
        let shape =
            if entry.vector { vec![entry.columns] } else { vec![entry.rows, entry.columns] };
        let layer = entry.name.strip_prefix("cell.").and_then(|rest| rest.split_once('.'));
        let Some((k, part)) = layer else {
            let name =
                if entry.vector { entry.name.clone() } else { format!("{}.weight", entry.name) };
            all.push((name, Tensor { shape, data: data.to_vec() }));
            continue;
        };
        let name = |part: &str| format!("layers.{k}.{part}");
        if part == "bias" {
            let units = model.hidden[k.parse::<usize>().expect("the number of a layer")];
            let [input, recurrent] = split_bias(model.cell, units, data);
            for (part, data) in [("bias_ih_l0", input), ("bias_hh_l0", recurrent)] {
                all.push((name(part), Tensor { shape: vec![data.len()], data }));
            }
            continue;
        }
        let part = match part {
            "input" => "weight_ih_l0",
            "recurrent" => "weight_hh_l0",
            "projection" => "weight_hr_l0",
            other => other,
        };
        all.push((name(part), Tensor { shape, data: data.to_vec() }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Two biases of a layer of three units become one, which becomes two that mean the same.
        #[test]
        fn biases_that_are_split_join_again(numbers in prop::collection::vec(any::<f32>(), 12)) {
            for cell in [CellKind::Lstm, CellKind::Gru, CellKind::Cifg] {
                let bias = &numbers[..3 * cell.blocks()];
                let [input, recurrent] = split_bias(cell, 3, bias);
                let again = joined_bias(cell, 3, &input, &recurrent);
                let bits = |list: &[f32]| list.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&again), bits(bias));
            }
        }
    }

    #[test]
    fn a_gru_keeps_the_candidates_biases_apart() {
        let (input, recurrent) = ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]);
        assert_eq!(joined_bias(CellKind::Gru, 1, &input, &recurrent), [11.0, 22.0, 3.0, 30.0]);
        assert_eq!(joined_bias(CellKind::Cifg, 1, &input, &recurrent), [11.0, 22.0, 33.0]);
    }
}
