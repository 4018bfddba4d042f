//! Training by truncated back-propagation over parallel streams.
//!
//! A training is a function of its recipe, its data, its seed and its number of threads: the same four give
//! the same bytes, whether it ran through or was stopped and resumed any number of times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Checkpoint, Config, Provenance, TrainingState};
use crate::compress::Outline;
use crate::config::{Objective, Schedule};
use crate::corpus::{Corpus, Streams};
use crate::dropout::Dropout;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, evaluate};
use crate::matrix::Parametrization;
use crate::metrics::{Event, Metrics};
use crate::network::{Network, Window};
use crate::optimizer::{Optimizer, clip_scale, norm};
use crate::parameters::Parameters;
use crate::recipe::Recipe;

/// Reports of the training loss in an epoch.
const REPORTS_PER_EPOCH: usize = 20;

/// Where a training writes and how it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The checkpoint's folder.
    pub out: PathBuf,
    /// Seed of the initial parameters and of dropout.
    pub seed: u64,
    /// Time between two saves of the training state within an epoch.
    pub save_every: Duration,
}

/// Counters of a training, saved with its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: usize,
    /// Steps of each stream done in the current epoch.
    pub position: usize,
    /// Updates made.
    pub updates: u64,
    /// Sum of the negative log-likelihoods of the current epoch's tokens so far, in nats.
    pub epoch_loss: f64,
    /// Tokens of the current epoch so far.
    pub epoch_tokens: u64,
    /// Tokens since the start.
    pub tokens: u64,
    /// What a plateau schedule has multiplied the learning rate by.
    pub plateau: f64,
    /// Best validation so far: epoch (from 1) and mean negative log-likelihood in nats.
    pub best: Option<(usize, f64)>,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// It was asked to stop; the checkpoint can be resumed.
    Stopped,
}

/// A training under way.
pub struct Trainer<'a> {
    corpus: &'a Corpus,
    /// Its configuration, as in the checkpoint.
    pub config: Config,
    options: Options,
    network: Network,
    training: TrainingState,
    gradient: Parameters,
    parametrization: Parametrization,
    /// The matrices and their gradient, where they are not what is trained.
    dense: Option<(Parameters, Parameters)>,
    window: Window,
    /// Share of zeros that pruning has reached in this sitting.
    pruned: f64,
    /// Its counters.
    pub progress: Progress,
    metrics: Metrics,
    started: Instant,
    seconds_before: f64,
    saved: Instant,
}

impl<'a> Trainer<'a> {
    /// Starts a training in a new folder.
    ///
    /// # Errors
    /// When the folder holds a checkpoint already or cannot be written, or the recipe does not fit the data.
    pub fn start(corpus: &'a Corpus, recipe: Recipe, options: Options) -> Result<Self> {
        if options.out.join("config.json").exists() {
            let what = "holds a checkpoint already: resume it, or choose another folder";
            return Err(Error::checkpoint(&options.out, what));
        }
        std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out))?;
        let provenance = Provenance {
            data_sha256: corpus.sha256(),
            train_tokens: corpus.train.ids.len() as u64,
            seed: options.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let config = Config::new(recipe, &corpus.encoder, provenance)?;
        let mut trainer = Self::assemble(corpus, config, options)?;
        let (init, seed) = (trainer.config.recipe.train.init, trainer.options.seed);
        trainer.parametrization.initialise(&mut trainer.training.parameters, init, seed);
        trainer.begin()
    }

    /// Starts to train a model that is there already, in its forms, by a recipe with the same shape.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the text was read with another vocabulary.
    pub fn start_from(
        corpus: &'a Corpus,
        model: &Checkpoint,
        recipe: Recipe,
        options: Options,
    ) -> Result<Self> {
        if corpus.encoder.vocabulary().len() != model.config.vocabulary {
            return Err(Error::config(
                "the text",
                "was read with another vocabulary than the model's",
            ));
        }
        std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out))?;
        let mut config = Config { recipe, ..model.config.clone() };
        let mut outline = Outline::of(model);
        config.recipe.train.prune.iter().try_for_each(|gradual| gradual.declare(&mut outline))?;
        config.forms = outline.forms;
        let mut trainer = Self::assemble(corpus, config, options)?;
        trainer.training.parameters.data.copy_from_slice(&model.leaves.data);
        trainer.begin()
    }

    fn begin(mut self) -> Result<Self> {
        self.parametrization.mask(&self.training.parameters);
        self.corpus.encoder.save(&self.options.out)?;
        self.config.save(&self.options.out)?;
        self.save()?;
        Ok(self)
    }

    /// Takes up the training of a checkpoint where its last save left it.
    ///
    /// # Errors
    /// When the checkpoint has no training state, or was trained on other data.
    pub fn resume(corpus: &'a Corpus, mut options: Options) -> Result<Self> {
        let config = Config::load(&options.out)?;
        if config.provenance.data_sha256 != corpus.sha256() {
            let what = "was trained on other data: give the same --data to resume";
            return Err(Error::checkpoint(&options.out, what));
        }
        options.seed = config.provenance.seed;
        let mut trainer = Self::assemble(corpus, config, options)?;
        trainer.training.load(&trainer.options.out)?;
        trainer.parametrization.mask(&trainer.training.parameters);
        trainer.progress = serde_json::from_str(&trainer.training.progress).map_err(|e| {
            Error::checkpoint(&trainer.options.out, format!("has unreadable counters: {e}"))
        })?;
        trainer.training.optimizer.updates = trainer.progress.updates;
        trainer.seconds_before = trainer.progress.seconds;
        trainer.metrics.rewind(trainer.progress.updates, trainer.progress.epoch)?;
        Ok(trainer)
    }

    fn assemble(corpus: &'a Corpus, config: Config, options: Options) -> Result<Self> {
        let train = &config.recipe.train;
        let (network, dense) = Network::new(&config.recipe.model, config.vocabulary)?;
        let (parametrization, parameters) = Parametrization::new(&config.forms, &dense)?;
        let dense = (!parametrization.is_plain()).then(|| (dense.zeros_like(), dense));
        let mut window = network.window(train.steps, train.batch);
        window.penalties = train.penalties();
        let progress = Progress {
            epoch: 0,
            position: 0,
            updates: 0,
            epoch_loss: 0.0,
            epoch_tokens: 0,
            tokens: 0,
            plateau: 1.0,
            best: None,
            seconds: 0.0,
        };
        let gradient = parameters.zeros_like();
        let training = TrainingState {
            optimizer: Optimizer::new(train, &parameters),
            carried: network.zero_state(train.batch),
            parameters,
            progress: String::new(),
        };
        Ok(Self {
            corpus,
            metrics: Metrics::new(&options.out),
            gradient,
            parametrization,
            dense,
            config,
            options,
            network,
            training,
            window,
            pruned: 0.0,
            progress,
            started: Instant::now(),
            seconds_before: 0.0,
            saved: Instant::now(),
        })
    }

    /// Trains to the last epoch, or until `stop` says so after an update; `observe` sees every event.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss or gradient is not finite; when the checkpoint cannot be written.
    pub fn run(
        &mut self,
        stop: &dyn Fn() -> bool,
        observe: &mut dyn FnMut(&Event),
    ) -> Result<Outcome> {
        let train = self.config.recipe.train.clone();
        let streams = Streams::new(&self.corpus.train.ids, self.eos(), train.batch)?;
        let updates = streams.len().div_ceil(train.steps);
        let report_every = updates.div_ceil(REPORTS_PER_EPOCH);
        while self.progress.epoch < train.epochs {
            while self.progress.position < streams.len() {
                self.update(&streams)?;
                let event = self.training_event(&streams);
                if (self.progress.position.div_ceil(train.steps)).is_multiple_of(report_every) {
                    self.metrics.write(&event)?;
                }
                observe(&event);
                if stop() {
                    self.leave()?;
                    return Ok(Outcome::Stopped);
                }
                if self.saved.elapsed() >= self.options.save_every {
                    self.save()?;
                }
            }
            let event = self.end_epoch()?;
            observe(&event);
        }
        Ok(Outcome::Finished)
    }

    fn eos(&self) -> u32 {
        self.corpus.encoder.vocabulary().eos()
    }

    /// One window of every stream, one change of the parameters.
    fn update(&mut self, streams: &Streams) -> Result<()> {
        self.prune()?;
        self.materialise()?;
        let train = &self.config.recipe.train;
        let (steps, batch) = (train.steps, train.batch);
        let piece = streams.window(self.progress.position, steps);
        if piece.steps != self.window.steps {
            self.window = self.network.window(piece.steps, batch);
            self.window.penalties = self.config.recipe.train.penalties();
        }
        if self.progress.position == 0 {
            self.training.carried = self.network.zero_state(batch);
        }
        let scale = match train.objective {
            Objective::Window => 1.0 / batch as f32,
            Objective::Token => 1.0 / piece.targets.len() as f32,
        };
        let update = self.progress.updates + 1;
        let dropout = Dropout {
            rate: train.dropout,
            variational: train.variational,
            weights: train.weight_drop,
            seed: self.options.seed,
            update,
        };
        let training = &mut self.training;
        let (carried, window) = (&mut training.carried, &mut self.window);
        let (weights, gradient) = match &mut self.dense {
            Some((weights, gradient)) => (&*weights, gradient),
            None => (&training.parameters, &mut self.gradient),
        };
        self.network.forward(weights, &piece.inputs, carried, window, Some(dropout));
        let (inputs, targets) = (&piece.inputs, &piece.targets);
        let loss =
            self.network.loss_and_gradients(weights, gradient, inputs, targets, window, scale);
        if let Some((_, d_dense)) = &self.dense {
            self.parametrization.pull_back(&training.parameters, d_dense, &mut self.gradient);
        }
        let norm = norm(&self.gradient);
        let lr = self.learning_rate();
        self.check_finite("loss", loss, lr)?;
        self.check_finite("gradient norm", norm, lr)?;
        let shrink = clip_scale(norm, self.config.recipe.train.clip);
        let training = &mut self.training;
        training.optimizer.update(&mut training.parameters, &self.gradient, shrink, lr);
        self.progress.updates = update;
        self.progress.position += piece.steps;
        self.progress.epoch_loss += loss;
        self.progress.epoch_tokens += piece.targets.len() as u64;
        self.progress.tokens += piece.targets.len() as u64;
        Ok(())
    }

    fn materialise(&mut self) -> Result<()> {
        match &mut self.dense {
            Some((dense, _)) => self.parametrization.materialise(&self.training.parameters, dense),
            None => Ok(()),
        }
    }

    /// Prunes where the recipe asks for it and it is time.
    fn prune(&mut self) -> Result<()> {
        let Some(gradual) = &self.config.recipe.train.prune else { return Ok(()) };
        let last = self.done() >= gradual.until;
        if !self.progress.updates.is_multiple_of(gradual.every) && !last {
            return Ok(());
        }
        let sparsity = gradual.sparsity_at(self.done());
        if sparsity <= self.pruned {
            return Ok(());
        }
        self.pruned = sparsity;
        let config = &self.config;
        let (model, forms) = (config.recipe.model.clone(), config.forms.clone());
        let outline = Outline { model, vocabulary: config.vocabulary, forms };
        let leaves = &mut self.training.parameters;
        let vocabulary = self.corpus.encoder.vocabulary();
        gradual.step(sparsity).run(&outline, vocabulary, leaves)?;
        self.parametrization.mask(leaves);
        Ok(())
    }

    /// Share of the whole training that is done.
    fn done(&self) -> f64 {
        let train = &self.config.recipe.train;
        let length = self.corpus.train.ids.len() / train.batch;
        let within = self.progress.position as f64 / length as f64;
        (self.progress.epoch as f64 + within) / train.epochs as f64
    }

    fn check_finite(&self, what: &'static str, value: f64, lr: f64) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        let (epoch, update) = (self.progress.epoch + 1, self.progress.updates + 1);
        Err(Error::Diverged { what, epoch, update, lr })
    }

    /// The learning rate in force.
    fn learning_rate(&self) -> f64 {
        let train = &self.config.recipe.train;
        let epoch = self.progress.epoch;
        train.lr
            * match train.schedule {
                Schedule::Constant => 1.0,
                Schedule::Exponential { after, factor } => {
                    factor.powi((epoch + 1).saturating_sub(after) as i32)
                }
                Schedule::Plateau { .. } => self.progress.plateau,
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * self.done()).cos()),
            }
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn training_event(&self, streams: &Streams) -> Event {
        let progress = &self.progress;
        let loss = progress.epoch_loss / progress.epoch_tokens as f64;
        Event {
            split: "train",
            epoch: progress.epoch + 1,
            epochs: self.config.recipe.train.epochs,
            step: progress.updates,
            fraction: progress.position as f64 / streams.len() as f64,
            tokens: progress.tokens,
            seconds: self.seconds(),
            loss,
            perplexity: loss.exp(),
            lr: self.learning_rate(),
            best: None,
        }
    }

    /// Validates, keeps the model if it is the best, and saves.
    fn end_epoch(&mut self) -> Result<Event> {
        let eos = self.eos();
        self.materialise()?;
        let parameters = self.dense.as_ref().map_or(&self.training.parameters, |(dense, _)| dense);
        let valid: Evaluation = evaluate(&self.network, parameters, &self.corpus.valid, eos)?;
        let lr = self.learning_rate();
        self.check_finite("validation loss", valid.nll, lr)?;
        let best = self.progress.best.is_none_or(|(_, nll)| valid.nll < nll);
        self.progress.epoch += 1;
        if best {
            self.progress.best = Some((self.progress.epoch, valid.nll));
            checkpoint::save_model(&self.options.out, &self.training.parameters)?;
        } else if let Schedule::Plateau { factor } = self.config.recipe.train.schedule {
            self.progress.plateau *= factor;
        }
        self.progress.position = 0;
        self.progress.epoch_loss = 0.0;
        self.progress.epoch_tokens = 0;
        let event = Event {
            split: "valid",
            epoch: self.progress.epoch,
            epochs: self.config.recipe.train.epochs,
            step: self.progress.updates,
            fraction: 1.0,
            tokens: self.progress.tokens,
            seconds: self.seconds(),
            loss: valid.nll,
            perplexity: valid.perplexity,
            lr,
            best: Some(best),
        };
        self.metrics.write(&event)?;
        self.save()?;
        Ok(event)
    }

    /// Saves before a stop; a training without a validated model leaves its current one for use.
    fn leave(&mut self) -> Result<()> {
        if self.progress.best.is_none() {
            checkpoint::save_model(&self.options.out, &self.training.parameters)?;
        }
        self.save()
    }

    fn save(&mut self) -> Result<()> {
        self.progress.seconds = self.seconds();
        self.training.progress = serde_json::to_string(&self.progress).expect("counters are JSON");
        self.training.save(&self.options.out)?;
        self.saved = Instant::now();
        Ok(())
    }
}
