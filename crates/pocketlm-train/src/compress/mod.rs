//! Compression: a recipe's steps rewrite the forms of a model's matrices one after the other.
//!
//! A new method is one file here that implements [`Method`], and one line in `methods!`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pocketlm::{Model, Session};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::corpus::{Corpus, Split};
use crate::cuda::Device;
use crate::error::{Error, Result};
use crate::metrics::Event;
use crate::train::Options;

pub mod block_circulant;
pub mod block_low_rank;
pub mod calibration;
pub mod compensate;
pub mod entropy;
pub mod fine_tune;
pub mod kronecker;
pub mod learned_scales;
pub mod low_rank;
pub mod outline;
pub mod plan;
pub mod prune;
pub mod quantise;
pub mod rate_distortion;
pub mod recipe;
pub mod remove_units;
pub mod report;
pub mod shared_low_rank;
pub mod structure;
pub mod tensor_train;
pub mod toeplitz_like;
pub mod variational_dropout;

pub use outline::Outline;
pub use recipe::CompressionRecipe;
pub use report::{MatrixReport, StepReport};

/// What a step of a recipe does.
pub trait Method {
    /// What the model will look like after it. Everything that can be wrong is found here, before any work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key and the mend.
    fn declare(&self, outline: &mut Outline) -> Result<()>;

    /// The same for a model that is not trained yet.
    ///
    /// # Errors
    /// When the method needs a trained model, or as [`declare`](Self::declare).
    fn declare_untrained(&self, outline: &mut Outline) -> Result<()> {
        self.declare(outline)
    }

    /// Whether it cannot do without the training text.
    fn needs_text(&self) -> bool {
        false
    }

    /// Does it.
    ///
    /// # Errors
    /// When the model does not fit the settings, or its training fails.
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()>;
}

/// The registry: a line for each method.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:literal => $variant:ident($type:ty)),* $(,)?) => {
        /// A step of a recipe, by its key `method`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method")]
        pub enum Step {
            $($(#[$doc])* #[serde(rename = $name)] $variant($type)),*
        }

        impl Step {
            /// Names of all methods.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name),*
                }
            }

            /// What it does.
            pub fn method(&self) -> &dyn Method {
                match self {
                    $(Self::$variant(step) => step),*
                }
            }

            /// The step of this name with these keys.
            fn read(name: &str, keys: toml::Table) -> Option<std::result::Result<Self, toml::de::Error>> {
                match name {
                    $($name => Some(keys.try_into().map(Self::$variant)),)*
                    _ => None,
                }
            }
        }
    };
}

methods! {
    /// Sets small numbers to zero.
    "prune" => Prune(prune::Prune),
    /// Takes whole units out.
    "remove-units" => RemoveUnits(remove_units::RemoveUnits),
    /// Sets to zero what training finds that the text does not need.
    "variational-dropout" => VariationalDropout(variational_dropout::VariationalDropout),
    /// Fewer bits a number.
    "quantise" => Quantise(quantise::Quantise),
    /// As few bits a number as its loss is worth.
    "rate-distortion" => RateDistortion(rate_distortion::RateDistortion),
    /// Few bits a number, with scales that are trained.
    "learned-scales" => LearnedScales(learned_scales::LearnedScales),
    /// Two thin factors.
    "low-rank" => LowRank(low_rank::LowRank),
    /// A projection in each layer.
    "shared-low-rank" => SharedLowRank(shared_low_rank::SharedLowRank),
    /// A chain of small cores.
    "tensor-train" => TensorTrain(tensor_train::TensorTrain),
    /// Groups of words, each of two thin factors.
    "block-low-rank" => BlockLowRank(block_low_rank::BlockLowRank),
    /// A sum of Kronecker products.
    "kronecker" => Kronecker(kronecker::Kronecker),
    /// Circulant blocks.
    "block-circulant" => BlockCirculant(block_circulant::BlockCirculant),
    /// Blocks of low displacement rank.
    "toeplitz-like" => ToeplitzLike(toeplitz_like::ToeplitzLike),
    /// More training.
    "fine-tune" => FineTune(fine_tune::FineTune),
    /// The file entropy-coded.
    "entropy" => Entropy(entropy::Entropy),
}

/// How large a decomposition is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// By its rank.
    Rank(usize),
    /// By the share of energy that it keeps.
    Energy(f64),
    /// By its numbers over the matrix's.
    Ratio(f64),
    /// By its numbers.
    Numbers(usize),
}

impl Size {
    fn one_of(all: &[Option<Self>]) -> Result<Self> {
        let mut given = all.iter().flatten();
        match (given.next(), given.next()) {
            (Some(&Self::Ratio(ratio)), None) if !(ratio > 0.0 && ratio.is_finite()) => {
                Err(Error::config("ratio", format!("is {ratio}: give a number above 0")))
            }
            (Some(&size), None) => Ok(size),
            (None, _) => {
                Err(Error::config("rank", "is missing: give the rank, or a ratio, or another size"))
            }
            _ => Err(Error::config(
                "rank",
                "is given twice: give one of rank, energy, ratio and bytes",
            )),
        }
    }
}

/// Refuses a matrix that has a structure already.
fn must_be_dense(outline: &Outline, matrix: &str) -> Result<()> {
    if outline.forms.structures.contains_key(matrix) {
        let what = format!("has {matrix}, which an earlier step has decomposed already");
        return Err(Error::config("matrices", what));
    }
    Ok(())
}

/// What the steps work with.
pub struct Context<'a> {
    /// Text to calibrate, to fine-tune and to validate on.
    pub corpus: Option<&'a Corpus>,
    /// Folder for the checkpoint of each fine-tuning.
    pub work: &'a Path,
    /// What fine-tunings run on.
    pub device: Device,
    /// Which step it is, from 0.
    pub step: usize,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Sees the events of trainings.
    pub observe: &'a dyn Fn(&Event),
}

impl Context<'_> {
    fn training(&self, seed: u64) -> Options {
        let out: PathBuf = self.work.join(format!("step-{}", self.step + 1));
        Options { out, seed, save_every: Duration::from_secs(120), device: self.device }
    }
}

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
    recipe.check(&Outline::of(&model), context.corpus)?;
    let mut reports = vec![report::of_start(&model, context)?];
    observe(&reports[0]);
    for (at, step) in recipe.step.iter().enumerate() {
        let before = model.parameters.clone();
        let context = Context { step: at, ..*context };
        let begun = Instant::now();
        step.method().apply(&mut model, &context)?;
        let seconds = begun.elapsed().as_secs_f64();
        model.config.compression.push(step.clone());
        let report = report::of_step(step.name(), seconds, &before, &model, &context)?;
        observe(&report);
        reports.push(report);
    }
    Ok((model, reports))
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
        .words()
        .map(|word| packed.vocabulary().id(word).expect("the packed vocabulary is the model's"))
        .collect();
    let text = text.ids.iter().map(|&id| ids[id as usize]);
    let score = Session::new(&packed).evaluate(text).map_err(fault)?;
    Ok(score.nll / score.tokens as f64)
}
