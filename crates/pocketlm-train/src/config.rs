//! What a model is and how it is trained: the two tables of a recipe file.

use pocketlm::pack::unitary_fits;
use serde::{Deserialize, Serialize};

use crate::compress::prune::Gradual;
use crate::compress::{Method, Outline};
use crate::dropout::Variational;
use crate::error::{Error, Result};
use crate::network::Penalties;
use crate::regrowth::Regrowth;

/// Most recurrent layers.
const MOST_LAYERS: usize = 32;

/// Greatest width of a matrix, as the packed format has it.
const MOST_WIDTH: usize = 1 << 20;

/// Greatest forget bias, either way.
const MOST_BIAS: f64 = 1000.0;

/// Most rounds of a Mogrifier.
const MOST_ROUNDS: usize = 16;

/// The recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Long short-term memory with forget gate, no peepholes (Zaremba et al. 2014, section 3.1).
    Lstm,
    /// Gated recurrent unit in PyTorch's form, with the reset gate applied after the product.
    Gru,
    /// LSTM whose input gate is coupled to the forget gate, `i = 1 - f` (Greff et al. 2015, "CIFG").
    Cifg,
    /// Unitary evolution recurrent network (Arjovsky et al. 2016, equation 9): `h = modReLU(U h + W x, b)` with U
    /// unitary and half as many complex units as numbers of state. Its recurrent matrices are [`Unitary`] ones.
    ///
    /// [`Unitary`]: crate::matrix::Unitary
    Urnn,
}

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Kind of every recurrent layer.
    pub cell: CellKind,
    /// Width of the embedding.
    pub embedding: usize,
    /// Units of each recurrent layer, from the input up.
    pub hidden: Vec<usize>,
    /// Width of the recurrent projection inside each layer (Sak et al. 2014); 0 for none.
    #[serde(default)]
    pub cell_projection: usize,
    /// Width of a linear projection between the last layer and the softmax; 0 for none.
    #[serde(default)]
    pub projection: usize,
    /// Whether the softmax uses the embedding's matrix (Press & Wolf 2017).
    #[serde(default)]
    pub tied: bool,
    /// Whether each cell's pre-activations are normalised over its units (Ba et al. 2016).
    #[serde(default)]
    pub layer_norm: bool,
    /// Rounds in which a cell's input and state gate each other before a step (Melis et al. 2020); 0 for none.
    #[serde(default)]
    pub mogrifier: usize,
}

impl ModelConfig {
    /// Width of layer `k`'s output and of what it feeds back: its units, or the recurrent projection.
    pub fn output_width(&self, k: usize) -> usize {
        if self.cell_projection > 0 { self.cell_projection } else { self.hidden[k] }
    }

    /// Width of what enters layer `k`.
    pub fn input_width(&self, k: usize) -> usize {
        if k == 0 { self.embedding } else { self.output_width(k - 1) }
    }

    /// Width of what enters the softmax.
    pub fn softmax_width(&self) -> usize {
        if self.projection > 0 { self.projection } else { self.output_width(self.hidden.len() - 1) }
    }

    /// Checks that the sizes make a network.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        if self.embedding == 0 {
            return Err(Error::config("model.embedding", "is 0: give it at least 1"));
        }
        if self.hidden.is_empty() {
            return Err(Error::config("model.hidden", "is empty: give at least one layer"));
        }
        if self.hidden.len() > MOST_LAYERS {
            let what = format!("has {} layers: at most {MOST_LAYERS}", self.hidden.len());
            return Err(Error::config("model.hidden", what));
        }
        if let Some(k) = self.hidden.iter().position(|&h| h == 0) {
            let what = format!("has a layer of 0 units (layer {k}): give it at least 1");
            return Err(Error::config("model.hidden", what));
        }
        let fields = [
            ("embedding", self.embedding),
            ("cell_projection", self.cell_projection),
            ("projection", self.projection),
        ];
        for (field, width) in fields.into_iter().chain(self.hidden.iter().map(|&h| ("hidden", h))) {
            if width > MOST_WIDTH {
                let what = format!("has {width}: give at most {MOST_WIDTH}");
                return Err(Error::config(format!("model.{field}"), what));
            }
        }
        if self.cell == CellKind::Gru && self.cell_projection > 0 {
            let what = "is for lstm and cifg: a gru feeds its own memory back, set it to 0";
            return Err(Error::config("model.cell_projection", what));
        }
        if self.cell == CellKind::Urnn {
            self.validate_urnn()?;
        }
        if self.mogrifier > MOST_ROUNDS {
            let what = format!("is {}: give at most {MOST_ROUNDS} rounds", self.mogrifier);
            return Err(Error::config("model.mogrifier", what));
        }
        if self.tied && self.softmax_width() != self.embedding {
            let what = format!(
                "needs the softmax's input ({}) as wide as the embedding ({}): \
                 change one of them, or set model.projection = {}",
                self.softmax_width(),
                self.embedding,
                self.embedding
            );
            return Err(Error::config("model.tied", what));
        }
        Ok(())
    }
}

impl ModelConfig {
    fn validate_urnn(&self) -> Result<()> {
        if let Some(width) = self.hidden.iter().find(|&&width| !unitary_fits(width)) {
            let what = format!("has {width}: a layer of a urnn is a power of two from 2 to 32768");
            return Err(Error::config("model.hidden", what));
        }
        let refuse = |field: &str, what: &str| Err(Error::config(format!("model.{field}"), what));
        if self.cell_projection > 0 {
            return refuse("cell_projection", "is for lstm and cifg: set it to 0 for a urnn");
        }
        if self.layer_norm {
            return refuse("layer_norm", "would change moduli that a urnn keeps: set it to false");
        }
        if self.mogrifier > 0 {
            return refuse("mogrifier", "would change moduli that a urnn keeps: set it to 0");
        }
        Ok(())
    }
}

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
    /// Weight of the mean square of the top layer's output after dropout (AR; Merity et al. 2018, section 4.6).
    #[serde(default)]
    pub activation_penalty: f64,
    /// Weight of the mean square of its change from one step to the next, before dropout (TAR; the same).
    #[serde(default)]
    pub temporal_penalty: f64,
    /// Weight of the sum over the layers' units of the Euclidean norm of each unit's weights, which makes units
    /// that are not needed small ([`group_lasso`](crate::group_lasso); Wen et al. 2018). It is added to the
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

    /// Makes the leaves sparse that become so on the way or are all along.
    ///
    /// # Errors
    /// When a setting names no leaf.
    pub fn declare_sparsity(&self, outline: &mut Outline) -> Result<()> {
        self.prune.iter().try_for_each(|gradual| gradual.declare(outline))?;
        self.regrowth.iter().try_for_each(|regrowth| regrowth.pruning().declare(outline))
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

/// Checks that `value` is a probability below one.
///
/// # Errors
/// [`Error::Config`] naming the field.
pub fn probability(field: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(field, format!("is {value}: give a number at least 0 and below 1")))
}

fn positive(field: &str, value: f64) -> Result<()> {
    if value > 0.0 && fits(value) {
        return Ok(());
    }
    Err(Error::config(field, format!("is {value}: give a finite number above 0")))
}

/// Whether it is a finite number in single precision too, in which weights are.
fn fits(value: f64) -> bool {
    (value as f32).is_finite()
}

fn not_negative(field: &str, value: f64) -> Result<()> {
    if value >= 0.0 && fits(value) {
        return Ok(());
    }
    Err(Error::config(field, format!("is {value}: give a finite number, 0 or more")))
}

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;

    #[test]
    fn hidden_of_zero_names_the_layer() {
        let mut model = Recipe::base("zaremba-small").unwrap().model;
        model.hidden = vec![200, 0];
        let message = model.validate().unwrap_err().to_string();
        assert!(message.contains("model.hidden") && message.contains("layer 1"), "{message}");
    }

    #[test]
    fn tied_of_unequal_widths_tells_the_mend() {
        let mut model = Recipe::base("zaremba-small").unwrap().model;
        model.tied = true;
        model.embedding = 64;
        let message = model.validate().unwrap_err().to_string();
        assert!(message.contains("model.projection = 64"), "{message}");
    }

    #[test]
    fn learning_rate_of_nan_is_refused() {
        let mut train = Recipe::base("zaremba-small").unwrap().train;
        train.lr = f64::NAN;
        assert!(train.validate().unwrap_err().to_string().contains("train.lr"));
    }
}
