//! Entropy-constrained quantisation: codes of whole rows at one price for every bit.

use std::collections::BTreeMap;

use pocketlm::Precision;
use serde::{Deserialize, Serialize};

use super::declare::{Declare, must_be_free};
use crate::error::{Error, Result};
use crate::matrix::{LearnedScales, Structure};
use crate::recipe::outline::Outline;

/// Mean bits that can be asked for.
pub(crate) const BITS: std::ops::RangeInclusive<f64> = 0.5..=4.5;

/// Highest code of int4; −8 is left out, so that the code is the same both ways.
pub(crate) const NARROW: i32 = 7;

/// Codes matrices at one price for every bit. The packed file is entropy-coded from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateDistortion {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Mean bits of a weight, scales included: 0.5 to 4.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
    /// Instead of `bits`: how many bytes the whole packed file has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// How much the errors of a matrix count beside those of others, by its name: 1 where nothing is said. Twice as much
    /// is a quarter of a bit more. `pocketlm search` finds them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
}

/// How small the model is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// By mean bits of a weight.
    Bits(f64),
    /// By bytes of the file.
    Bytes(usize),
}

impl RateDistortion {
    fn check_weights<'a>(&self, matrices: impl Iterator<Item = &'a str>) -> Result<()> {
        let names: Vec<&str> = matrices.collect();
        for (name, weight) in &self.weights {
            if !names.contains(&name.as_str()) {
                let what = format!("has {name:?}, which is none of {}", names.join(", "));
                return Err(Error::config("weights", what));
            }
            if !(1e-6..=1e6).contains(weight) {
                let what = format!("gives {name} {weight}: give a number above 0, such as 2");
                return Err(Error::config("weights", what));
            }
        }
        Ok(())
    }

    pub(crate) fn target(&self) -> Result<Target> {
        match (self.bits, self.bytes) {
            (Some(bits), None) if BITS.contains(&bits) => Ok(Target::Bits(bits)),
            (Some(bits), None) => {
                Err(Error::config("bits", format!("is {bits}: give 0.5 to 4.5 bits a weight")))
            }
            (None, Some(bytes)) => Ok(Target::Bytes(bytes)),
            (None, None) => {
                let what =
                    "is missing: give the mean bits of a weight, or bytes for the whole file";
                Err(Error::config("bits", what))
            }
            (Some(_), Some(_)) => {
                Err(Error::config("bits", "and bytes are both given: give one of them"))
            }
        }
    }
}

/// The structure of a matrix whose codes are at most `limit`.
pub(crate) fn structure(limit: i32) -> Structure {
    let precision = if limit <= NARROW { Precision::Int4 } else { Precision::Int8 };
    Structure::LearnedScales(LearnedScales { precision, whole_rows: true })
}

impl Declare for RateDistortion {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.target()?;
        let chosen = outline.matrices(&self.matrices)?;
        self.check_weights(chosen.iter().map(|(name, _)| &**name))?;
        for (name, _) in chosen {
            if outline.forms.structures.contains_key(&name) {
                let what = format!(
                    "has {name}, which an earlier step gave another structure: name the others, or put this step \
                     before that one; factors take quantise with compensate"
                );
                return Err(Error::config("matrices", what));
            }
            must_be_free(outline, &name, ": leave that step out, or name the others")?;
            outline.forms.restructure(name, structure(NARROW));
        }
        outline.forms.entropy = true;
        outline.parametrization().map(drop)
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        let what = "is for trained models: from scratch take quantise and entropy";
        Err(Error::config("rate-distortion", what))
    }

    fn needs_text(&self) -> bool {
        true
    }
}
