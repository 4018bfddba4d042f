//! Fine-tuning: training goes on in the forms that the model has by now.

use pocketlm::Precision;
use pocketlm::spec::Kernels;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::declare::Declare;
use super::prune::declare_sparsity;
use crate::error::{Error, Result};
use crate::recipe::outline::Outline;
use crate::recipe::units::Units;
use crate::recipe::{Draft, Recipe};

/// Trains on. Its keys are those of a recipe's table `[train]`, over the settings that the model was trained
/// with; `prune` makes it prune on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FineTune {
    #[serde(flatten)]
    pub(crate) train: Table,
}

impl FineTune {
    /// The recipe of the training.
    pub(crate) fn recipe(&self, base: &Recipe) -> Result<Recipe> {
        let mut draft = Draft::of(base);
        for (key, value) in &self.train {
            draft = draft.value(&format!("train.{key}"), value.clone())?;
        }
        draft.finish()
    }
}

/// Whether rounding to a precision is too slow to be done for every batch.
fn is_found_anew(precision: Precision) -> bool {
    matches!(precision.kernels(), Kernels::Vectors(_))
}

impl Declare for FineTune {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        let mut leaves = outline.forms.leaves.iter();
        if let Some((name, form)) = leaves.find(|(_, form)| is_found_anew(form.precision)) {
            let what = format!(
                "comes after {name} was made {}, whose vectors would be sought anew for every batch: tune first",
                form.precision.name()
            );
            return Err(Error::config("fine-tune", what));
        }
        // Any base will do to see whether the keys are those of a training.
        let recipe = self.recipe(&Recipe::base("zaremba-small")?)?;
        if recipe.train.group_lasso > 0.0 {
            Units::of_layers(&outline.model, &outline.forms)?;
        }
        declare_sparsity(&recipe.train, outline)
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        Err(Error::config(
            "fine-tune",
            "is a step of compression: from scratch there is nothing to tune",
        ))
    }

    fn needs_text(&self) -> bool {
        true
    }
}
