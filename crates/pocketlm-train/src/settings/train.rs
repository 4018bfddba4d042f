//! How a network is trained: the table `[train]` of a recipe.

use serde::{Deserialize, Serialize};

use super::distillation::Distillation;
use super::range::{not_negative, positive, probability};
use super::sparsity::{Gradual, Regrowth};
use crate::error::{Error, Result};

/// Greatest forget bias, either way.
const MOST_BIAS: f64 = 1000.0;

/// The rule that turns a gradient into a change of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Plain stochastic gradient descent.
    Sgd,
    /// Adam (Kingma & Ba 2015), weight decay added to the gradient.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW,
}

/// What the gradient is the gradient of. Both are means over the streams of a batch; they differ by a
/// factor of the window's length, which matters to plain SGD and to gradient clipping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Negative log-likelihood summed over the window's steps (Zaremba et al. 2014).
    Window,
    /// Mean negative log-likelihood of a token (PyTorch's default).
    Token,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// Never.
    Constant,
    /// Multiplied by `factor` at the start of each epoch past the first `after`.
    Exponential {
        /// Epochs at the full rate.
        after: usize,
        /// Multiplier of each further epoch.
        factor: f64,
    },
    /// Multiplied by `factor` each time that `patience` epochs in a row have not improved on the best validation.
    Plateau {
        /// Multiplier.
        factor: f64,
        /// Those epochs; 1 unless given.
        #[serde(default = "one")]
        patience: usize,
    },
    /// Half a cosine from the full rate to zero over the whole training.
    Cosine,
    /// The same over every `epochs` epochs, each time from `factor` times the rate before (warm restarts, Loshchilov &
    /// Hutter 2017, equation 5).
    Restarts {
        /// Epochs between two restarts.
        epochs: usize,
        /// Multiplier of each restart.
        factor: f64,
    },
}

/// Which mean of the parameters along the training is validated and kept, in place of the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Average {
    /// Exponential moving average, `a = decay a + (1 - decay) p` after each update; early on the decay is
    /// `(1 + n) / (10 + n)` after `n` updates, if that is smaller.
    Ema {
        /// What is kept of the average at each update.
        decay: f64,
    },
    /// The plain mean of the parameters after each update from the start of an epoch on (Izmailov et al. 2018).
    Swa {
        /// That epoch, from 1.
        from: usize,
    },
    /// The same from the first epoch that validates worse than the best of all but the last `patience`
    /// (NT-ASGD; Merity et al. 2018, algorithm 1).
    NtAsgd {
        /// The paper's n.
        patience: usize,
    },
}

/// The augmented loss (Inan, Khosravi & Socher 2017, section 3): the divergence of the prediction from
/// `softmax(E e / temperature)`, with `E` the embedding and `e` the target's row of it, both at that temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmented {
    /// The paper's gamma: the loss's weight over the temperature.
    pub weight: f64,
    /// The paper's tau.
    pub temperature: f64,
}

/// Variational dropout (Gal & Ghahramani 2016): a stream keeps its mask through all steps of a window. Each
/// field is a probability of zeroing; what is kept is scaled up, so that the mean stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variational {
    /// Words: the embedding of a type is zero wherever the type stands in the batch (section 4.2).
    pub word: f64,
    /// What enters the first layer.
    pub input: f64,
    /// What enters each further layer.
    pub between: f64,
    /// What each layer feeds back to itself, as all gates see it.
    pub state: f64,
    /// What leaves the top layer.
    pub output: f64,
}

impl Variational {
    /// None.
    pub const NONE: Self = Self { word: 0.0, input: 0.0, between: 0.0, state: 0.0, output: 0.0 };

    /// Whether it zeroes activations where dropout between layers does.
    pub fn masks_activations(&self) -> bool {
        self.input > 0.0 || self.between > 0.0 || self.output > 0.0
    }

    /// Checks that each rate is a probability below one.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) naming the field.
    pub fn validate(&self) -> Result<()> {
        probability("train.variational.word", self.word)?;
        probability("train.variational.input", self.input)?;
        probability("train.variational.between", self.between)?;
        probability("train.variational.state", self.state)?;
        probability("train.variational.output", self.output)
    }
}

/// Terms of the loss beside the likelihood; each is scaled as if the likelihood were a mean over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalties {
    /// See [`Augmented`].
    pub augmented: Option<Augmented>,
    /// Weight of the mean square of the top layer's output after dropout.
    pub activation: f64,
    /// Weight of the mean square of that output's change between steps, before dropout.
    pub temporal: f64,
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Parallel streams.
    pub batch: usize,
    /// Tokens of each stream between two updates (the window of truncated back-propagation).
    pub steps: usize,
    /// Passes over the training split.
    pub epochs: usize,
    /// The update rule.
    pub optimizer: OptimizerKind,
    /// Learning rate of the first epoch.
    pub lr: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// Updates over which the learning rate rises linearly to its value.
    #[serde(default)]
    pub warmup: u64,
    /// Windows whose mean gradient makes one update.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Whether the windows' lengths vary: half of `steps` one time in twenty, and around that by a normal
    /// deviation of 5; the learning rate goes with the length (Merity et al. 2018, section 4.1).
    #[serde(default)]
    pub random_steps: bool,
    /// Probability that a stream's state is set to zero before a window (Melis et al. 2018).
    #[serde(default)]
    pub state_reset: f64,
    /// A mean of the parameters to use in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<Average>,
    /// Greatest Euclidean norm of the gradient; 0 for no clipping.
    pub clip: f64,
    /// L2 penalty (SGD, Adam) or decoupled decay (AdamW).
    #[serde(default)]
    pub weight_decay: f64,
    /// Gradient of the sum over the window or of the mean over tokens.
    pub objective: Objective,
    /// Probability of zeroing an activation between layers, not in the recurrence (Zaremba et al. 2014).
    #[serde(default)]
    pub dropout: f64,
    /// Dropout whose masks stay the same through a window.
    #[serde(default)]
    pub variational: Variational,
    /// Probability of zeroing a recurrent weight for a window (DropConnect; Merity et al. 2018, section 2).
    #[serde(default)]
    pub weight_drop: f64,
    /// A second loss, towards words whose embeddings are near the target's (Inan et al. 2017).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augmented: Option<Augmented>,
    /// What is learnt from other models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
    /// Weight of the mean square of the top layer's output after dropout (AR; Merity et al. 2018, section 4.6).
    #[serde(default)]
    pub activation_penalty: f64,
    /// Weight of the mean square of its change from one step to the next, before dropout (TAR; the same).
    #[serde(default)]
    pub temporal_penalty: f64,
    /// Weight of the sum over the layers' units of the Euclidean norm of each unit's weights, which makes units
    /// that are not needed small ([`group_lasso`](crate::train::GroupLasso); Wen et al. 2018). It is added to the
    /// objective as it is.
    #[serde(default)]
    pub group_lasso: f64,
    /// Adam's decay of the first and second moment (Kingma & Ba 2015, algorithm 1).
    #[serde(default = "default_betas")]
    pub betas: [f64; 2],
    /// Every parameter starts uniform in `[-init, init]`.
    pub init: f64,
    /// What is added to the biases of the forget gates at the start (Jozefowicz et al. 2015).
    #[serde(default)]
    pub forget_bias: f64,
    /// Pruning on the way (Zhu & Gupta 2017).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Gradual>,
    /// A model that is sparse all along, with numbers that fall and others that grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regrowth: Option<Regrowth>,
}

impl TrainConfig {
    /// The terms of the loss beside the likelihood.
    pub fn penalties(&self) -> Penalties {
        Penalties {
            augmented: self.augmented,
            activation: self.activation_penalty,
            temporal: self.temporal_penalty,
        }
    }

    /// Checks that the numbers can train something.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("batch", self.batch),
            ("steps", self.steps),
            ("epochs", self.epochs),
            ("accumulate", self.accumulate),
        ] {
            if value == 0 {
                return Err(Error::config(format!("train.{field}"), "is 0: give it at least 1"));
            }
        }
        positive("train.lr", self.lr)?;
        positive("train.init", self.init)?;
        not_negative("train.clip", self.clip)?;
        not_negative("train.weight_decay", self.weight_decay)?;
        probability("train.dropout", self.dropout)?;
        probability("train.weight_drop", self.weight_drop)?;
        probability("train.state_reset", self.state_reset)?;
        self.variational.validate()?;
        if self.dropout > 0.0 && (self.variational.masks_activations()) {
            let what =
                "is drawn at each step, train.variational once a window: set one of them to 0";
            return Err(Error::config("train.dropout", what));
        }
        if let Some(augmented) = &self.augmented {
            not_negative("train.augmented.weight", augmented.weight)?;
            positive("train.augmented.temperature", augmented.temperature)?;
        }
        if let Some(distillation) = &self.distillation {
            distillation.validate()?;
        }
        not_negative("train.activation_penalty", self.activation_penalty)?;
        not_negative("train.temporal_penalty", self.temporal_penalty)?;
        not_negative("train.group_lasso", self.group_lasso)?;
        for beta in self.betas {
            probability("train.betas", beta)?;
        }
        if self.forget_bias.abs() > MOST_BIAS || self.forget_bias.is_nan() {
            let what = format!(
                "is {}: give a number from -{MOST_BIAS} to {MOST_BIAS}, where the gate has long been open or shut",
                self.forget_bias
            );
            return Err(Error::config("train.forget_bias", what));
        }
        if let Some(Average::Ema { decay }) = self.average {
            probability("train.average.decay", decay)?;
        }
        if let Some(gradual) = &self.prune {
            gradual.validate()?;
        }
        if let Some(regrowth) = &self.regrowth {
            regrowth.validate()?;
            if self.prune.is_some() {
                let what = "removes what train.regrowth lets grow: leave one of them out";
                return Err(Error::config("train.prune", what));
            }
        }
        if self.average.is_some() && (self.prune.is_some() || self.regrowth.is_some()) {
            let what = "would bring back what train.prune or train.regrowth has removed: leave one of them out";
            return Err(Error::config("train.average", what));
        }
        match self.schedule {
            Schedule::Plateau { patience: 0, .. } => {
                Err(Error::config("train.schedule.patience", "is 0: give it at least 1"))
            }
            Schedule::Restarts { epochs: 0, .. } => {
                Err(Error::config("train.schedule.epochs", "is 0: give it at least 1"))
            }
            Schedule::Exponential { factor, .. }
            | Schedule::Plateau { factor, .. }
            | Schedule::Restarts { factor, .. } => positive("train.schedule.factor", factor),
            Schedule::Constant | Schedule::Cosine => Ok(()),
        }
    }
}

fn one() -> usize {
    1
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}
