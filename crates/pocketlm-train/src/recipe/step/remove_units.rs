//! Removal of whole units (Wen et al. 2018, arXiv 1709.05027): the rows of all gates of a hidden unit, and its column
//! in whatever reads it, leave the model together. What is left is a smaller dense model, which needs no sparse
//! format and no kernel of its own.
//!
//! With layer normalisation the mean and deviation are then those of the units that are left, so that even a unit
//! that is zero is missed a little.

use serde::{Deserialize, Serialize};

use super::declare::Declare;
use crate::error::{Error, Result};
use crate::recipe::outline::{Outline, matches};
use crate::recipe::units::Units;
use crate::settings::ModelConfig;

/// What a unit is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saliency {
    /// The root mean square of its weights.
    #[default]
    Norm,
    /// How much the loss of a token would change without it, to first order: the mean over windows of training text
    /// of |Σ gradient · weight| over its weights (Molchanov et al. 2019, arXiv 1906.10771, there squared).
    Taylor,
}

/// Which units compete with each other for being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those of one layer: each layer keeps the same share.
    #[default]
    Layer,
    /// All that are chosen.
    Global,
}

/// Takes the least salient units out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveUnits {
    /// Layers, `cell.0`, and `embedding` for its dimensions; `*` stands for any text.
    #[serde(default = "layers")]
    pub units: Vec<String>,
    /// Share of the units to take out; this or `below`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// The root mean square of a unit's weights below which it is taken out, as after a training with
    /// `train.group_lasso`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Which units compete.
    #[serde(default)]
    pub scope: Scope,
    /// What tells the least salient ones.
    #[serde(default)]
    pub saliency: Saliency,
}

fn layers() -> Vec<String> {
    vec!["cell.*".into()]
}

impl RemoveUnits {
    pub(crate) fn validate(&self) -> Result<()> {
        let limit = match (self.fraction, self.below) {
            (Some(share), None) if !(0.0..1.0).contains(&share) => {
                format!("is {share}: give a share, at least 0 and below 1")
            }
            (None, Some(size)) if !(size > 0.0 && size.is_finite()) => {
                return Err(Error::config(
                    "below",
                    format!("is {size}: give a finite number above 0"),
                ));
            }
            (None, Some(_)) if self.saliency == Saliency::Taylor => {
                return Err(Error::config("below", "is a size of weights: leave saliency out"));
            }
            (None, None) => "is missing: give the share of units to take out, or below".into(),
            (Some(_), Some(_)) => "and below are both given: give one of them".into(),
            _ => return Ok(()),
        };
        Err(Error::config("fraction", limit))
    }

    /// The units that the patterns name, which have their weights as they are.
    pub(crate) fn chosen(&self, outline: &Outline) -> Result<Vec<Units>> {
        let all = Units::of(&outline.model);
        let fits =
            |pattern: &String, units: &Units| units.names.iter().any(|name| matches(pattern, name));
        for pattern in &self.units {
            if !all.iter().any(|units| fits(pattern, units)) {
                return Err(Error::config("units", nothing(pattern, &all, &outline.model)));
            }
        }
        let chosen = |units: &Units| self.units.iter().any(|pattern| fits(pattern, units));
        let chosen: Vec<Units> = all.into_iter().filter(chosen).collect();
        if chosen.is_empty() {
            return Err(Error::config("units", "is empty: name some, or leave it out for cell.*"));
        }
        chosen.iter().try_for_each(|units| units.check(&outline.forms))?;
        Ok(chosen)
    }

    /// How many of so many a share is; one is always left.
    pub(crate) fn count(share: f64, width: usize) -> usize {
        ((width as f64 * share).round() as usize).min(width - 1)
    }
}

/// Why a pattern names no units.
fn nothing(pattern: &str, all: &[Units], model: &ModelConfig) -> String {
    if pattern == "embedding" {
        return format!(
            "has \"embedding\", which is tied to a softmax as wide as model.cell_projection ({}): \
             leave it out",
            model.cell_projection
        );
    }
    let names: Vec<&str> = all.iter().flat_map(|units| &units.names).map(|name| &**name).collect();
    format!("has {pattern:?}, which matches none of {}", names.join(", "))
}

impl Declare for RemoveUnits {
    /// Of units that compete across layers, or fall by their size, it is not known yet which fall: as if none did.
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.validate()?;
        for units in self.chosen(outline)? {
            if let (Some(share), Scope::Layer) = (self.fraction, self.scope) {
                let left = units.width - Self::count(share, units.width);
                units.shrink(&mut outline.model, left);
            }
        }
        outline.parametrization().map(drop)
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        let what = "is for trained models: from scratch set model.hidden";
        Err(Error::config("remove-units", what))
    }

    fn needs_text(&self) -> bool {
        self.saliency == Saliency::Taylor
    }
}
