//! What each step of a compression cost and gained.

use pocketlm::Model;
use serde::Serialize;

use super::{Context, packed_loss};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::pack::pack_in_memory;

/// The state of a model after a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// The method, `start` before the first.
    pub step: &'static str,
    /// Bytes of the packed file.
    pub bytes: usize,
    /// The same without the vocabulary.
    pub bytes_without_vocabulary: usize,
    /// Numbers that describe the model, biases included.
    pub parameters: usize,
    /// Perplexity of the packed bytes on the validation split, where there is text.
    pub valid_perplexity: Option<f64>,
    /// Seconds that the step itself took.
    pub seconds: f64,
    /// Each matrix.
    pub matrices: Vec<MatrixReport>,
}

/// A matrix after a step.
#[derive(Clone, Debug, Serialize)]
pub struct MatrixReport {
    /// Its name.
    pub name: String,
    /// Structure, sparsity and precision as the file has them.
    pub form: String,
    /// Bytes of its arrays in the file.
    pub bytes: usize,
    /// `‖W - W'‖ / ‖W‖` (Frobenius), `W` before and `W'` after the step; 0 where that means nothing.
    pub relative_error: f64,
}

impl std::fmt::Display for StepReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} bytes", self.step, self.bytes)?;
        self.valid_perplexity.map_or(Ok(()), |p| write!(f, ", valid perplexity {p:.2}"))
    }
}

pub(super) fn of_start(model: &Checkpoint, context: &Context) -> Result<StepReport> {
    of_step("start", 0.0, &model.parameters, model, context)
}

pub(super) fn of_step(
    step: &'static str,
    seconds: f64,
    before: &Parameters,
    model: &Checkpoint,
    context: &Context,
) -> Result<StepReport> {
    let fault = |e: pocketlm::Error| Error::config("the packed model", e.to_string());
    let bytes = pack_in_memory(model).map_err(fault)?;
    let packed = Model::from_bytes(bytes.clone()).map_err(fault)?;
    let matrices = packed.matrices().into_iter().map(|info| MatrixReport {
        relative_error: relative_error(&info.name, before, &model.parameters),
        form: format!("{} {} {}", info.structure, info.sparsity, info.precision),
        bytes: info.file_bytes,
        name: info.name,
    });
    let valid = match context.corpus {
        Some(corpus) => Some(packed_loss(bytes.clone(), model, &corpus.valid)?.exp()),
        None => None,
    };
    Ok(StepReport {
        step,
        seconds,
        bytes: bytes.len(),
        bytes_without_vocabulary: packed.bytes() - packed.vocabulary_bytes(),
        parameters: packed.parameters(),
        valid_perplexity: valid,
        matrices: matrices.collect(),
    })
}

fn relative_error(name: &str, before: &Parameters, after: &Parameters) -> f64 {
    let numbers = |all: &Parameters| all.find(name).map(|e| all.data[e.range.clone()].to_vec());
    let (Some(a), Some(b)) = (numbers(before), numbers(after)) else { return 0.0 };
    if a.len() == b.len() { relative_distance(&a, &b) } else { 0.0 }
}

/// `‖a - b‖ / ‖a‖`; 0 of a matrix that is zero.
pub(super) fn relative_distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let total: f64 = a.iter().map(|&a| square(a)).sum();
    if total > 0.0 { (error / total).sqrt() } else { 0.0 }
}
