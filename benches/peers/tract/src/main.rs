//! tract on one thread: the ONNX graph in f32, its inputs fixed to one stream and one word.

#[path = "../../protocol.rs"]
mod protocol;

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use protocol::{Peer, Result};

struct Tract {
    plan: Arc<TypedRunnableModel>,
    /// Shape of each state, in the order of the inputs behind the word.
    shapes: Vec<[usize; 3]>,
    state: TVec<TValue>,
}

fn open(path: &str) -> Result<Tract> {
    let mut model = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_path(path)?;
    model.set_input_fact(0, i64::fact([1, 1]).into())?;
    let mut shapes = Vec::new();
    for input in 1..model.input_outlets()?.len() {
        let width = model.input_fact(input)?.shape.dim(2).and_then(|d| d.concretize());
        let width = width.ok_or("a state has no known width")?.to_usize()?;
        model.set_input_fact(input, f32::fact([1, 1, width]).into())?;
        shapes.push([1, 1, width]);
    }
    let plan = model.into_optimized()?.into_runnable()?;
    Ok(Tract { plan, shapes, state: tvec!() })
}

impl Peer for Tract {
    fn reset(&mut self) -> Result<()> {
        let zeros = self.shapes.iter().map(|shape| Tensor::zero::<f32>(shape));
        self.state = zeros.map(|zero| Ok(zero?.into())).collect::<TractResult<_>>()?;
        Ok(())
    }

    fn feed(&mut self, word: u32) -> Result<Vec<f32>> {
        let mut inputs: TVec<TValue> = tvec!(tensor2(&[[i64::from(word)]]).into());
        inputs.append(&mut self.state);
        self.state = self.plan.run(inputs)?;
        let log_probabilities = self.state.pop().ok_or("the model gives nothing")?;
        Ok(log_probabilities.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    protocol::run(&arguments, open)
}
