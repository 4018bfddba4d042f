//! Learning from teachers: the table `[train.distillation]` of a recipe.

use serde::{Deserialize, Serialize};

use super::range::positive;
use crate::error::{Error, Result};
use crate::ngram::MAX_ORDER;

/// Most types of a teacher's distribution that are kept.
const MOST_KEPT: usize = 4096;

/// What a network learns beside the text: the mean of what other models predict (Hinton, Vinyals & Dean 2015,
/// *Distilling the Knowledge in a Neural Network*, section 2; the mean of several, section 3).
///
/// The loss of a token is `share` of its negative log-likelihood and, for the rest, `T^2 KL(q || p)` at temperature
/// `T`, where `q` are the teachers' probabilities and `p` the network's. Of `q` the likeliest types are kept; all others
/// count as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Recurrent models, checkpoints or packed files, from the folder in which the training is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<String>,
    /// Order of an n-gram model of the training text that teaches too; 0 for none. It has seen the text, so each part of
    /// it is predicted from the counts of all others.
    #[serde(default)]
    pub ngram: usize,
    /// Those parts.
    #[serde(default = "ten")]
    pub parts: usize,
    /// Weights of the teachers in their order, the n-grams' last; fitted on the validation text unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f64>,
    /// Share of the text's own word in the loss, from 0 to 1.
    #[serde(default = "half")]
    pub share: f64,
    /// What `share` has become at the end of the training; it changes linearly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_share: Option<f64>,
    /// Temperature `T` of both distributions.
    #[serde(default = "unity")]
    pub temperature: f64,
    /// Types of the teachers' distribution that are kept for each token.
    #[serde(default = "most")]
    pub keep: usize,
    /// File that keeps them, which several trainings may share; in the training's folder unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
}

impl Distillation {
    /// Teachers in all.
    pub fn count(&self) -> usize {
        self.teachers.len() + usize::from(self.ngram > 0)
    }

    /// The share of the text's own word when `done` of the training is over.
    pub fn share_at(&self, done: f64) -> f64 {
        let last = self.last_share.unwrap_or(self.share);
        self.share + (last - self.share) * done
    }

    /// Checks what needs no files.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the fix.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field: &str, what: String| {
            Err(Error::config(format!("train.distillation.{field}"), what))
        };
        if self.count() == 0 {
            return refuse("teachers", "is empty: name a model, or set ngram = 5".into());
        }
        if self.ngram > MAX_ORDER {
            return refuse("ngram", format!("is {}: give at most {MAX_ORDER}", self.ngram));
        }
        if self.ngram > 0 && self.parts < 2 {
            let what = "is less than 2: each part is predicted from the counts of the others";
            return refuse("parts", what.into());
        }
        for share in [Some(self.share), self.last_share].into_iter().flatten() {
            if !(0.0..=1.0).contains(&share) {
                return refuse("share", format!("is {share}: give a number from 0 to 1"));
            }
        }
        positive("train.distillation.temperature", self.temperature)?;
        if !(1..=MOST_KEPT).contains(&self.keep) {
            return refuse("keep", format!("is {}: give 1 to {MOST_KEPT}", self.keep));
        }
        self.validate_weights()
    }

    fn validate_weights(&self) -> Result<()> {
        let field = "train.distillation.weights";
        if self.weights.is_empty() {
            return Ok(());
        }
        if self.weights.len() != self.count() {
            let what = format!("are {} for {} teachers", self.weights.len(), self.count());
            return Err(Error::config(field, what));
        }
        let is_share = |weight: &f64| (0.0..=1.0).contains(weight);
        let sum: f64 = self.weights.iter().sum();
        if !self.weights.iter().all(is_share) || (sum - 1.0).abs() > 1e-6 {
            let what = format!("sum to {sum}: give shares from 0 to 1 that sum to 1");
            return Err(Error::config(field, what));
        }
        Ok(())
    }
}

fn ten() -> usize {
    10
}

fn half() -> f64 {
    0.5
}

fn unity() -> f64 {
    1.0
}

fn most() -> usize {
    64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Distillation {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_teach_is_named_with_its_field() {
        let cases = [
            ("", "teachers is empty"),
            ("teachers = ['a']\nshare = 1.5", "share is 1.5"),
            ("teachers = ['a']\nlast_share = -0.1", "share is -0.1"),
            ("teachers = ['a']\ntemperature = 0", "temperature is 0"),
            ("teachers = ['a']\nkeep = 0", "keep is 0"),
            ("teachers = ['a']\nweights = [0.5, 0.5]", "weights are 2 for 1"),
            ("teachers = ['a', 'b']\nweights = [0.5, 0.6]", "weights sum to 1.1"),
            ("ngram = 9", "ngram is 9"),
            ("ngram = 5\nparts = 1", "parts is less than 2"),
        ];
        for (text, want) in cases {
            let text = text.replace("temperature = 0", "temperature = 0.0");
            let message = read(&text).validate().unwrap_err().to_string();
            assert!(message.contains(want), "{text}: {message}");
        }
        assert!(read("teachers = ['a']\nngram = 5\nweights = [0.5, 0.5]").validate().is_ok());
    }

    #[test]
    fn the_share_changes_linearly() {
        let with = read("ngram = 5\nshare = 0.2\nlast_share = 0.6");
        assert_eq!([0.0, 0.5, 1.0].map(|done| with.share_at(done)), [0.2, 0.4, 0.6]);
        assert_eq!(read("ngram = 5").share_at(0.7), 0.5);
    }
}
