//! Magnitude pruning (Han et al. 2015), at once or along the cubic schedule of Zhu & Gupta 2017.

use pocketlm::pack::Sparsity;
use serde::{Deserialize, Serialize};

use super::declare::Declare;
use crate::error::Result;
use crate::linear::Entry;
use crate::matrix::Forms;
use crate::recipe::outline::Outline;
use crate::settings::sparsity::check_pruning;
use crate::settings::{Gradual, Regrowth, Scope, TrainConfig};

/// Sets the smallest numbers to zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// Leaves, or matrices for all their leaves; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Share of the numbers that become zero.
    pub sparsity: f64,
    /// Which numbers compete.
    #[serde(default)]
    pub scope: Scope,
    /// `unstructured`: single numbers; `panels`: blocks of 16 rows and one column, by their norm.
    #[serde(default = "unstructured")]
    pub pattern: Sparsity,
}

fn unstructured() -> Sparsity {
    Sparsity::Unstructured
}

impl Prune {
    /// The pruning to a share of zeros on the way of a training.
    pub fn on_the_way(gradual: &Gradual, sparsity: f64) -> Self {
        let (matrices, scope, pattern) = (gradual.matrices.clone(), gradual.scope, gradual.pattern);
        Self { matrices, sparsity, scope, pattern }
    }

    /// By magnitude to the share of a training that is sparse all along: where a trained model starts from, and what
    /// makes leaves sparse.
    pub fn of_regrowth(regrowth: &Regrowth) -> Self {
        let (matrices, sparsity) = (regrowth.matrices.clone(), regrowth.sparsity);
        Self { matrices, sparsity, scope: Scope::Matrix, pattern: Sparsity::Unstructured }
    }

    /// Checks its numbers.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        check_pruning(self.sparsity, self.pattern)
    }
}

impl Declare for Prune {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.validate()?;
        let chosen = outline.leaves(&self.matrices)?;
        mark(&mut outline.forms, &chosen, self.pattern);
        Ok(())
    }
}

/// Makes the leaves sparse that become so on the way of a training or are all along.
///
/// # Errors
/// When a setting names no leaf.
pub(crate) fn declare_sparsity(train: &TrainConfig, outline: &mut Outline) -> Result<()> {
    let gradual = train.prune.iter().map(|gradual| Prune::on_the_way(gradual, gradual.sparsity));
    let regrowth = train.regrowth.iter().map(Prune::of_regrowth);
    gradual.chain(regrowth).try_for_each(|prune| prune.declare(outline))
}

fn mark(forms: &mut Forms, leaves: &[Entry], pattern: Sparsity) {
    for leaf in leaves {
        forms.leaves.entry(leaf.name.clone()).or_default().sparsity = pattern;
    }
}
