//! The tensors of a file, as f32.

use std::collections::BTreeMap;
use std::path::Path;

use pocketlm_kernels::half;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::checkpoint::tensors::read;
use crate::error::{Error, Result};
use crate::torch::Tensor;

/// The tensors of a model by their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Three lines of Python that make of a pickled file what is read here.
const CONVERSION: &str = "import torch; from safetensors.torch import save_file\n  \
    state = torch.load(\"model.pt\", map_location=\"cpu\", weights_only=True)\n  \
    save_file({name: x.clone() for name, x in state.items()}, \"model.safetensors\")";

/// Reads a safetensors file; tensors that are not of floating-point numbers are left out and named beside.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is cut or of another kind, with what converts a pickled one.
pub(super) fn load(path: &Path) -> Result<(Tensors, Vec<String>)> {
    let bytes = read(path)?;
    if is_pickled(&bytes) {
        let what = format!(
            "is pickled by PyTorch, which would run whatever code is in it: convert it where you trust it:\n  \
             {CONVERSION}\nTo convert a whole pickled module see docs/import.md."
        );
        return Err(Error::checkpoint(path, what));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
        Error::checkpoint(
            path,
            format!("is cut or no safetensors file: {error}; copy or save it anew"),
        )
    })?;
    let (mut floats, mut others) = (Tensors::new(), Vec::new());
    for (name, view) in tensors.tensors() {
        match numbers(&view) {
            Some(data) => {
                floats.insert(name, Tensor { shape: view.shape().to_vec(), data });
            }
            None => others.push(name),
        }
    }
    Ok((floats, others))
}

/// Whether a file is a zip archive or a pickle, as `torch.save` writes them.
fn is_pickled(bytes: &[u8]) -> bool {
    // The length of a safetensors header may begin as a pickle does; the header itself begins with a brace.
    let is_safetensors = bytes.get(8) == Some(&b'{');
    bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 1..=5, ..]) && !is_safetensors
}

fn numbers(tensor: &TensorView) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    Some(match tensor.dtype() {
        Dtype::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect()
        }
        Dtype::F64 => {
            let wide =
                bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight")));
            wide.map(|x| x as f32).collect()
        }
        Dtype::F16 => halves().map(half::to_f32).collect(),
        // The upper half of an f32.
        Dtype::BF16 => halves().map(|b| f32::from_bits(u32::from(b) << 16)).collect(),
        _ => return None,
    })
}
