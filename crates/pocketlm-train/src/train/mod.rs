//! Training by truncated back-propagation over parallel streams.
//!
//! A training is a function of its recipe, its data, its seed and its number of threads: the same four give
//! the same bytes, whether it ran through or was stopped and resumed any number of times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Checkpoint, Config, Provenance};
use crate::corpus::{Corpus, Streams};
use crate::cuda::{Device, Tokens, Twin};
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::lock::Lock;
use crate::matrix::{Noise, Parametrization};
use crate::memory;
use crate::network::dropout::{Dropout, Site};
use crate::network::{Network, Window};
use crate::recipe::{Outline, Prune, Recipe, declare_sparsity};
use crate::settings::{Objective, Schedule, TrainConfig};

pub(crate) mod average;
mod distillation;
pub(crate) mod evaluate;
mod extend;
mod folder;
mod group_lasso;
mod grow;
mod magnitude;
mod metrics;
pub(crate) mod optimizer;
mod regrowth;
mod schedule;
mod state;

pub use distillation::Taught;
pub use evaluate::{Evaluation, Sums, evaluate, evaluate_on};
pub use extend::extend;
pub use folder::{check_resumable, is_begun};
pub use group_lasso::GroupLasso;
pub use grow::grow;
pub use metrics::{Event, Measured, Validation, measurements, validations};
pub use optimizer::{Optimizer, clip_scale, norm};

use distillation::Lessons;
use folder::{begin_in, change};
use metrics::Metrics;
use schedule::{learning_rate, random_steps};
use state::TrainingState;

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
    /// What it runs on: in this sitting, since a checkpoint goes on on any.
    pub device: Device,
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
    /// Parameters that the mean holds, where the recipe asks for one.
    #[serde(default)]
    pub averaged: u64,
    /// Validation losses of the epochs so far, in nats.
    #[serde(default)]
    pub validations: Vec<f64>,
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
    _lock: Lock,
    corpus: &'a Corpus,
    /// Its configuration, as in the checkpoint.
    pub config: Config,
    options: Options,
    network: Network,
    training: TrainingState,
    gradient: Parameters,
    /// Mean of the gradients of an update's windows, where there are several.
    mean_gradient: Option<Parameters>,
    parametrization: Parametrization,
    /// The matrices and their gradient, where they are not what is trained.
    dense: Option<(Parameters, Parameters)>,
    window: Window,
    /// The network on another device, which does what the window else does.
    pub(crate) twin: Option<Twin>,
    /// The penalty of large units, where the recipe asks for it.
    group_lasso: Option<GroupLasso>,
    /// What teachers say, where the recipe asks for them.
    lessons: Option<Lessons>,
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
        let lock = begin_in(&options.out)?;
        let config = Config::new(recipe, &corpus.encoder, provenance(corpus, &options))?;
        let mut trainer = Self::assemble(lock, corpus, config, options)?;
        let (init, seed) = (trainer.config.recipe.train.init, trainer.options.seed);
        let leaves = &mut trainer.training.parameters;
        trainer.parametrization.initialise(leaves, init, seed);
        trainer.network.offset(leaves, trainer.config.recipe.train.forget_bias);
        if let Some(regrowth) = &trainer.config.recipe.train.regrowth {
            let mut random = trainer.dropout(0).random(Site::Regrowth);
            regrowth.scatter(&trainer.outline(), &mut trainer.training.parameters, &mut random)?;
        }
        trainer.begin()
    }

    /// Starts to train a model that is there already, in its forms, by a recipe of the same shape or of a wider one, to
    /// which it [grows](crate::train::grow).
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the text was read with another vocabulary or the model cannot grow to the
    /// recipe's shape.
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
        let grown = (recipe.model != model.config.recipe.model)
            .then(|| grow(model, &recipe.model, recipe.train.init, options.seed))
            .transpose()?;
        let model = grown.as_ref().unwrap_or(model);
        let lock = begin_in(&options.out)?;
        let provenance = provenance(corpus, &options);
        let mut config = Config { recipe, provenance, ..model.config.clone() };
        let mut outline = model.outline();
        declare_sparsity(&config.recipe.train, &mut outline)?;
        config.forms = outline.forms.clone();
        let mut trainer = Self::assemble(lock, corpus, config, options)?;
        trainer.training.parameters.data.copy_from_slice(&model.leaves.data);
        if let Some(regrowth) = &trainer.config.recipe.train.regrowth {
            let leaves = &mut trainer.training.parameters;
            Prune::of_regrowth(regrowth).run(&outline, corpus.encoder.vocabulary(), leaves)?;
        }
        trainer.begin()
    }

    fn begin(mut self) -> Result<Self> {
        self.parametrization.mask(&self.training.parameters);
        // The configuration first: by it a start that is cut off is known as one.
        self.config.save(&self.options.out)?;
        self.corpus.encoder.save(&self.options.out)?;
        self.save()?;
        Ok(self)
    }

    /// Resumes the training of a checkpoint from its last save.
    ///
    /// # Errors
    /// When the checkpoint has no training state, or was trained on other data.
    pub fn resume(corpus: &'a Corpus, options: Options) -> Result<Self> {
        Self::resume_by(corpus, None, options)
    }

    /// Resumes it by a recipe with another number of epochs or another learning rate.
    ///
    /// # Errors
    /// As [`resume`](Self::resume), and naming the setting when the recipe differs in any other, or has fewer epochs
    /// than are done.
    pub fn resume_with(corpus: &'a Corpus, recipe: &Recipe, options: Options) -> Result<Self> {
        Self::resume_by(corpus, Some(recipe), options)
    }

    fn resume_by(
        corpus: &'a Corpus,
        recipe: Option<&Recipe>,
        mut options: Options,
    ) -> Result<Self> {
        check_resumable(&options.out)?;
        let lock = Lock::acquire(&options.out)?;
        let mut config = Config::load(&options.out)?;
        let changed = recipe.map(|recipe| change(&mut config.recipe, recipe)).transpose()?;
        let types = corpus.encoder.vocabulary().len();
        if config.vocabulary != types {
            let what = format!("has {} types, its vocab.txt {types}", config.vocabulary);
            return Err(Error::checkpoint(&options.out.join("config.json"), what));
        }
        if config.provenance.data_sha256 != corpus.sha256() {
            let what = "was trained on other data: give the same --data to resume";
            return Err(Error::checkpoint(&options.out, what));
        }
        options.seed = config.provenance.seed;
        let known = config.provenance.devices.len();
        let mut trainer = Self::assemble(lock, corpus, config, options)?;
        if trainer.config.provenance.devices.len() > known {
            trainer.config.save(&trainer.options.out)?;
        }
        trainer.training.load(&trainer.options.out)?;
        trainer.parametrization.mask(&trainer.training.parameters);
        trainer.progress = serde_json::from_str(&trainer.training.progress).map_err(|e| {
            Error::checkpoint(&trainer.options.out, format!("has unreadable counters: {e}"))
        })?;
        trainer.training.optimizer.updates = trainer.progress.updates;
        trainer.seconds_before = trainer.progress.seconds;
        let (done, asked) = (trainer.progress.epoch, trainer.config.recipe.train.epochs);
        if asked < done {
            let what = format!("is {asked}: {done} epochs are done already, give at least as many");
            return Err(Error::config("train.epochs", what));
        }
        if changed == Some(true) {
            trainer.config.save(&trainer.options.out)?;
        }
        trainer.metrics.rewind(trainer.progress.updates, trainer.progress.epoch)?;
        Ok(trainer)
    }

    fn assemble(
        lock: Lock,
        corpus: &'a Corpus,
        mut config: Config,
        options: Options,
    ) -> Result<Self> {
        let length = Streams::new(&corpus.train.ids, 0, config.recipe.train.batch)?.len();
        let (network, dense) = Network::new(&config.recipe.model, config.vocabulary)?;
        // A window has no more steps than the text.
        let steps = config.recipe.train.steps.min(length);
        check_memory(&network, dense.data.len(), steps, config.recipe.train.batch)?;
        let twin = Twin::open(options.device, &network, &dense)?;
        if let Some(twin) = &twin {
            config.provenance.add_device(twin.device());
        }
        let train = &config.recipe.train;
        let (parametrization, parameters) = Parametrization::new(&config.forms, &dense)?;
        let dense = (!parametrization.is_plain()).then(|| (dense.zeros_like(), dense));
        let mut window = network.window(steps, train.batch);
        window.penalties = train.penalties();
        let group_lasso = group_lasso(&config)?;
        let lessons = lessons(&config, corpus, &options)?;
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
            averaged: 0,
            validations: Vec::new(),
        };
        let gradient = parameters.zeros_like();
        let training = TrainingState {
            optimizer: Optimizer::new(train, &parameters),
            carried: network.zero_state(train.batch),
            average: train.average.map(|_| parameters.zeros_like()),
            parameters,
            progress: String::new(),
        };
        Ok(Self {
            _lock: lock,
            corpus,
            metrics: Metrics::new(&options.out),
            mean_gradient: (train.accumulate > 1).then(|| gradient.zeros_like()),
            gradient,
            parametrization,
            dense,
            config,
            options,
            network,
            training,
            window,
            twin,
            group_lasso,
            lessons,
            pruned: 0.0,
            progress,
            started: Instant::now(),
            seconds_before: 0.0,
            saved: Instant::now(),
        })
    }

    /// Asks the teachers, where the recipe has any, what they say of the training text; what an earlier sitting has asked
    /// is kept. `begin` hears of them before the long part, `observe` which share of it is done. Returns whether all is:
    /// not if `stop` said so. [`run`](Self::run) does it too.
    ///
    /// # Errors
    /// When a teacher's numbers overflow, or the file of their answers cannot be written or is another's.
    pub fn prepare(
        &mut self,
        stop: &dyn Fn() -> bool,
        begin: &mut dyn FnMut(&Taught),
        observe: &mut dyn FnMut(f64),
    ) -> Result<bool> {
        match &mut self.lessons {
            Some(lessons) => lessons.prepare(self.corpus, stop, begin, observe),
            None => Ok(true),
        }
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
        if !self.prepare(stop, &mut |_| {}, &mut |_| {})? {
            self.leave()?;
            return Ok(Outcome::Stopped);
        }
        let train = self.config.recipe.train.clone();
        let streams = Streams::new(&self.corpus.train.ids, self.eos(), train.batch)?;
        let report_every = streams.len().div_ceil(REPORTS_PER_EPOCH);
        while self.progress.epoch < train.epochs {
            while self.progress.position < streams.len() {
                let reports = self.progress.position / report_every;
                self.update(&streams)?;
                let event = self.training_event(&streams);
                if self.progress.position / report_every > reports {
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

    /// One change of the parameters, from the mean gradient of one window of every stream or of several.
    fn update(&mut self, streams: &Streams) -> Result<()> {
        self.prune()?;
        self.regrow()?;
        self.materialise(false)?;
        let lr = self.learning_rate();
        let (mut windows, before) = (0, self.progress.position);
        while windows < self.config.recipe.train.accumulate
            && self.progress.position < streams.len()
        {
            let loss = self.window(streams, windows as u64)?;
            self.check_finite("loss", loss, lr)?;
            self.progress.epoch_loss += loss;
            windows += 1;
            self.gather(windows);
        }
        if let Some(lasso) = &self.group_lasso {
            lasso.add_gradient(&self.training.parameters, &mut self.gradient);
        }
        self.diverge();
        let holds = self.holds();
        let norm = match &self.twin {
            Some(twin) if holds => twin.norm()?,
            _ => norm(&self.gradient),
        };
        self.check_finite("gradient norm", norm, lr)?;
        let train = &self.config.recipe.train;
        let shrink = clip_scale(norm, train.clip);
        let steps = self.progress.position - before;
        let usual = train.steps * windows;
        let lr = if train.random_steps { lr * steps as f64 / usual as f64 } else { lr };
        let training = &mut self.training;
        match &mut self.twin {
            Some(twin) if holds => twin.update(&mut training.optimizer, shrink, lr)?,
            _ => {
                let (parameters, gradient) = (&mut training.parameters, &self.gradient);
                training.optimizer.update(parameters, gradient, shrink, lr);
            }
        }
        self.average();
        self.progress.updates += 1;
        Ok(())
    }

    /// Whether the parameters stay on another device between two saves.
    fn holds(&self) -> bool {
        self.twin.is_some()
            && self.dense.is_none()
            && needs_only_optimiser(&self.config.recipe.train)
    }

    /// Brings back the parameters from another device, if that holds them.
    fn fetch(&mut self) -> Result<()> {
        let Some(twin) = &self.twin else { return Ok(()) };
        let training = &mut self.training;
        twin.fetch(&mut training.parameters, &mut training.optimizer)
    }

    /// Where the random numbers of an update's window come from.
    fn dropout(&self, part: u64) -> Dropout {
        let train = &self.config.recipe.train;
        Dropout {
            rate: train.dropout,
            variational: train.variational,
            weights: train.weight_drop,
            seed: self.options.seed,
            update: self.progress.updates * train.accumulate as u64 + part + 1,
        }
    }

    /// Forward and backward through the next window; returns its summed loss in nats.
    fn window(&mut self, streams: &Streams, part: u64) -> Result<f64> {
        let (dropout, done) = (self.dropout(part), self.done());
        let train = &self.config.recipe.train;
        let batch = train.batch;
        let mut random = dropout.random(Site::Streams);
        let steps =
            if train.random_steps { random_steps(train.steps, &mut random) } else { train.steps };
        let piece = streams.window(self.progress.position, steps);
        if piece.steps != self.window.steps && self.twin.is_none() {
            self.window = self.network.window(piece.steps, batch);
            self.window.penalties = train.penalties();
        }
        if self.progress.position == 0 {
            self.training.carried = self.network.zero_state(batch);
        }
        if train.state_reset > 0.0 {
            self.training.carried.reset(batch, |_| random.random::<f64>() < train.state_reset);
        }
        if let Some(lessons) = &mut self.lessons {
            let mut lesson = self.window.lesson.take().unwrap_or_default();
            let place = (self.progress.position, piece.steps);
            lessons.lesson(streams, place, done, &mut lesson)?;
            self.window.lesson = Some(lesson);
        }
        let scale = match train.objective {
            Objective::Window => 1.0 / batch as f32,
            Objective::Token => 1.0 / piece.targets.len() as f32,
        };
        let (penalties, holds) = (train.penalties(), self.holds());
        let training = &mut self.training;
        let (carried, window) = (&mut training.carried, &mut self.window);
        let (weights, gradient) = match &mut self.dense {
            Some((weights, gradient)) => (&*weights, gradient),
            None => (&training.parameters, &mut self.gradient),
        };
        let (inputs, targets, dropout) = (&piece.inputs, &piece.targets, Some(dropout));
        let loss = if let Some(twin) = &mut self.twin {
            let tokens = Tokens { batch, inputs, targets };
            let matrices = if holds {
                twin.hold(&training.parameters, &training.optimizer)?;
                None
            } else {
                Some((weights, gradient))
            };
            twin.train(matrices, tokens, carried, dropout, (scale, penalties))?
        } else {
            self.network.forward(weights, inputs, carried, window, dropout);
            self.network.loss_and_gradients(weights, gradient, inputs, targets, window, scale)
        };
        if let Some((dense, d_dense)) = &self.dense {
            let leaves = &training.parameters;
            self.parametrization.pull_back(leaves, dense, d_dense, &mut self.gradient);
        }
        self.progress.position += piece.steps;
        self.progress.epoch_tokens += piece.targets.len() as u64;
        self.progress.tokens += piece.targets.len() as u64;
        Ok(loss)
    }

    /// Makes the gradient the mean of `windows` of them, of which it was the last.
    fn gather(&mut self, windows: usize) {
        let Some(mean) = &mut self.mean_gradient else { return };
        let share = 1.0 / windows as f32;
        for (mean, last) in mean.data.iter_mut().zip(&mut self.gradient.data) {
            *mean = if windows == 1 { *last } else { *mean + share * (*last - *mean) };
            *last = *mean;
        }
    }

    /// Adds the gradient of the divergence of what is drawn from its prior: an epoch's updates have it once, as they
    /// have the loss of each token once.
    fn diverge(&mut self) {
        if !self.parametrization.is_stochastic() {
            return;
        }
        let (train, tokens) = (&self.config.recipe.train, self.corpus.train.ids.len() as f64);
        let weight = match train.objective {
            Objective::Window => train.steps as f64 / tokens,
            Objective::Token => 1.0 / tokens,
        };
        let epochs = self.done() * train.epochs as f64;
        let (leaves, gradient) = (&self.training.parameters, &mut self.gradient);
        self.parametrization.add_divergence_gradient(leaves, weight, epochs, gradient);
    }

    /// Takes the parameters into their mean, where the recipe asks for one and it has begun.
    fn average(&mut self) {
        let (Some(average), Some(mean)) =
            (self.config.recipe.train.average, &mut self.training.average)
        else {
            return;
        };
        if average::begins(average, self.progress.epoch + 1, &self.progress.validations) {
            let parameters = &self.training.parameters.data;
            average::take(average, self.progress.averaged, &mut mean.data, parameters);
            self.progress.averaged += 1;
        }
    }

    /// The parameters that are validated and kept: the last ones or their mean.
    fn kept(&self) -> &Parameters {
        match &self.training.average {
            Some(average) if self.progress.averaged > 0 => average,
            _ => &self.training.parameters,
        }
    }

    /// Makes the dense matrices, for an update of the parameters in training or of those that are kept.
    fn materialise(&mut self, kept: bool) -> Result<()> {
        let Some((mut dense, gradient)) = self.dense.take() else { return Ok(()) };
        let done = if kept {
            self.parametrization.materialise(self.kept(), &mut dense)
        } else {
            let noise = Noise::new(self.dropout(0).random(Site::Matrices));
            self.parametrization.sample(&self.training.parameters, &noise, &mut dense)
        };
        self.dense = Some((dense, gradient));
        done
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
        let outline = self.outline();
        let leaves = &mut self.training.parameters;
        let vocabulary = self.corpus.encoder.vocabulary();
        Prune::on_the_way(gradual, sparsity).run(&outline, vocabulary, leaves)?;
        self.parametrization.mask(leaves);
        Ok(())
    }

    /// Exchanges numbers where the recipe asks for it and it is time.
    fn regrow(&mut self) -> Result<()> {
        let Some(regrowth) = &self.config.recipe.train.regrowth else { return Ok(()) };
        let (updates, share) = (self.progress.updates, regrowth.exchange_at(self.done()));
        if updates == 0 || !updates.is_multiple_of(regrowth.every) || share == 0.0 {
            return Ok(());
        }
        let (outline, mut random) = (self.outline(), self.dropout(0).random(Site::Regrowth));
        let leaves = &mut self.training.parameters;
        regrowth.exchange(share, &outline, leaves, &mut random)?;
        self.parametrization.mask(leaves);
        Ok(())
    }

    /// The matrices and their forms.
    fn outline(&self) -> Outline {
        let config = &self.config;
        let (model, forms) = (config.recipe.model.clone(), config.forms.clone());
        Outline { model, vocabulary: config.vocabulary, forms }
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
        let best = self.progress.best.map(|(epoch, _)| epoch);
        Err(Error::Diverged { folder: self.options.out.clone(), best, what, epoch, update, lr })
    }

    /// The learning rate in force.
    pub fn learning_rate(&self) -> f64 {
        let Progress { epoch, updates, plateau, .. } = self.progress;
        learning_rate(&self.config.recipe.train, epoch, self.done(), updates, plateau)
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

    /// Epochs after which weights are no longer taken away. A model from before that is no rival for a later one: it
    /// has more of them.
    fn settled(&self) -> f64 {
        let train = &self.config.recipe.train;
        let pruned = train.prune.as_ref().map_or(0.0, |gradual| gradual.until);
        let share = if self.parametrization.is_stochastic() { 1.0 } else { pruned };
        share * train.epochs as f64
    }

    /// Validates, keeps the model if it is the best, and saves.
    fn end_epoch(&mut self) -> Result<Event> {
        let eos = self.eos();
        self.fetch()?;
        self.materialise(true)?;
        let mut twin = self.twin.take();
        let parameters = self.dense.as_ref().map_or(self.kept(), |(dense, _)| dense);
        let valid = &self.corpus.valid;
        let valid = evaluate_on(twin.as_mut(), &self.network, parameters, valid, eos)?;
        self.twin = twin;
        let lr = self.learning_rate();
        self.check_finite("validation loss", valid.nll, lr)?;
        if !self.kept().data.iter().all(|weight| weight.is_finite()) {
            self.check_finite("a weight", f64::NAN, lr)?;
        }
        let settled = self.settled();
        let best = self
            .progress
            .best
            .is_none_or(|(epoch, nll)| valid.nll < nll || (epoch as f64) < settled);
        self.progress.epoch += 1;
        self.progress.validations.push(valid.nll);
        if best {
            self.progress.best = Some((self.progress.epoch, valid.nll));
            checkpoint::save_model(&self.options.out, self.kept(), &self.config.forms)?;
        } else if let Schedule::Plateau { factor, patience } = self.config.recipe.train.schedule {
            let since = self.progress.epoch - self.progress.best.map_or(0, |(epoch, _)| epoch);
            if since.is_multiple_of(patience) {
                self.progress.plateau *= factor;
            }
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
        self.fetch()?;
        if self.progress.best.is_none() {
            checkpoint::save_model(&self.options.out, self.kept(), &self.config.forms)?;
        }
        self.save()
    }

    fn save(&mut self) -> Result<()> {
        self.fetch()?;
        self.progress.seconds = self.seconds();
        self.training.progress = serde_json::to_string(&self.progress).expect("counters are JSON");
        self.training.save(&self.options.out)?;
        self.saved = Instant::now();
        Ok(())
    }
}

/// The teachers that a recipe asks for.
fn lessons(config: &Config, corpus: &Corpus, options: &Options) -> Result<Option<Lessons>> {
    let Some(distillation) = &config.recipe.train.distillation else { return Ok(None) };
    if options.device != Device::Cpu {
        let what = "is for the processor alone: leave out --device, or the teachers";
        return Err(Error::config("train.distillation", what));
    }
    Lessons::open(distillation, corpus, &options.out).map(Some)
}

/// The penalty that a recipe asks for.
fn group_lasso(config: &Config) -> Result<Option<GroupLasso>> {
    let (weight, model) = (config.recipe.train.group_lasso, &config.recipe.model);
    (weight > 0.0).then(|| GroupLasso::new(weight, model, &config.forms)).transpose()
}

/// Refuses trainings that no memory has room for: parameters, gradient, moments, and the buffers of a window.
fn check_memory(network: &Network, parameters: usize, steps: usize, batch: usize) -> Result<()> {
    let model = &network.config;
    let layers = (0..model.hidden.len()).map(|k| {
        // Gates, memory and their gradients, what enters and leaves.
        10 * model.hidden[k] + 2 * (model.input_width(k) + model.output_width(k))
    });
    let row = layers.sum::<usize>() + 3 * model.projection;
    let window = 4 * (steps as u128) * (batch as u128) * (row as u128);
    memory::check("train.batch times train.steps", "windows", window)?;
    memory::check("the model's shape", "a training", window + 16 * parameters as u128)
}

/// Where a training that starts now is from.
fn provenance(corpus: &Corpus, options: &Options) -> Provenance {
    Provenance {
        data_sha256: corpus.sha256(),
        train_tokens: corpus.train.ids.len() as u64,
        seed: options.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        devices: Vec::new(),
    }
}

/// Whether nothing but the optimiser changes the parameters between two updates, and nothing else here looks at them or
/// at their gradient. Every setting is named, so that a new one has to say which it is.
fn needs_only_optimiser(train: &TrainConfig) -> bool {
    let TrainConfig {
        // What the window, the loss and the optimiser do, wherever the parameters are.
        batch: _,
        steps: _,
        epochs: _,
        optimizer: _,
        lr: _,
        schedule: _,
        warmup: _,
        random_steps: _,
        state_reset: _,
        clip: _,
        weight_decay: _,
        objective: _,
        dropout: _,
        variational: _,
        augmented: _,
        distillation: _,
        activation_penalty: _,
        temporal_penalty: _,
        betas: _,
        init: _,
        forget_bias: _,
        // What reads or changes them here.
        accumulate,
        average,
        weight_drop,
        group_lasso,
        prune,
        regrowth,
    } = train;
    *accumulate == 1
        && average.is_none()
        && *weight_drop == 0.0
        && *group_lasso == 0.0
        && prune.is_none()
        && regrowth.is_none()
}
