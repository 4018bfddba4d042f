//! Compression: a recipe's steps rewrite the forms of a model's matrices one after the other.
//!
//! The keys of a step and what it makes of a model's shape are in [`recipe`](crate::recipe); here is what it does to
//! the numbers.

use std::time::Instant;

use pocketlm::{Model, Session};

use crate::checkpoint::Checkpoint;
use crate::corpus::Split;
use crate::error::{Error, Result};
use crate::recipe::step::for_each_step;
use crate::recipe::{CompressionRecipe, Step};

mod block_low_rank;
mod calibration;
mod compensate;
mod context;
mod entropy;
mod fine_tune;
pub(crate) mod leaves;
mod low_rank;
mod plan;
mod prune;
mod quantise;
pub(crate) mod rate_distortion;
mod remove_units;
mod report;
mod shared_low_rank;
mod structure;
mod variational_dropout;

use context::Apply;

pub(crate) use calibration::Calibration;
pub use context::Context;
pub use plan::{Choice, Plan, plan};
pub use report::{MatrixReport, StepReport};

macro_rules! define_operations {
    ($($(#[$doc:meta])* $name:literal => $step:ident),* $(,)?) => {
        fn operations(step: &Step) -> &dyn Apply {
            match step {
                $(Step::$step(step) => step),*
            }
        }
    };
}

for_each_step!(define_operations);

/// Compresses a model by the steps of a recipe; `observe` sees the report of each when it is done.
///
/// # Errors
/// Before any work when a step does not fit the model or the text is missing; later when a training fails or
/// is stopped, after which the same call goes on where it was.
pub fn compress(
    mut model: Checkpoint,
    recipe: &CompressionRecipe,
    context: &Context,
    observe: &mut dyn FnMut(&StepReport),
) -> Result<(Checkpoint, Vec<StepReport>)> {
    recipe.check(&model.outline(), context.corpus)?;
    let mut reports = vec![report::of_start(&model, context)?];
    observe(&reports[0]);
    for (at, step) in recipe.step.iter().enumerate() {
        let before = model.parameters.clone();
        let context = Context { step: at, ..*context };
        let begun = Instant::now();
        apply(&mut model, step, &context)?;
        let seconds = begun.elapsed().as_secs_f64();
        let report = report::of_step(step.name(), seconds, &before, &model, &context)?;
        observe(&report);
        reports.push(report);
    }
    Ok((model, reports))
}

/// Takes a model through one step.
///
/// # Errors
/// As [`compress`].
pub fn apply(model: &mut Checkpoint, step: &Step, context: &Context) -> Result<()> {
    operations(step).apply(model, context)?;
    model.config.compression.push(step.clone());
    Ok(())
}

/// Takes a model through one step by statistics of it that were measured before; the step is not noted.
pub(crate) fn apply_by(
    model: &mut Checkpoint,
    step: &Step,
    calibration: &Calibration,
    context: &Context,
) -> Result<()> {
    operations(step).apply_by(model, calibration, context)
}

/// Mean negative log-likelihood in nats of a text under the packed bytes of a model, by the runtime.
///
/// # Errors
/// When the model cannot be packed.
pub fn packed_loss(bytes: Vec<u8>, model: &Checkpoint, text: &Split) -> Result<f64> {
    let fault = |e: pocketlm::Error| Error::config("the packed model", e.to_string());
    let packed = Model::from_bytes(bytes).map_err(fault)?;
    let vocabulary = model.encoder.vocabulary();
    let ids: Vec<u32> = vocabulary
        .bytes()
        .into_iter()
        .map(|word| packed.vocabulary().id_of(word).expect("the packed vocabulary is the model's"))
        .collect();
    let text = text.ids.iter().map(|&id| ids[id as usize]);
    let score = Session::new(&packed).evaluate(text).map_err(fault)?;
    Ok(score.nll / score.tokens as f64)
}
