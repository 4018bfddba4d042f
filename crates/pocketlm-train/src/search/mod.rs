//! The best model for a number of bytes: which form each matrix gets.
//!
//! A round begins from a model that fits: at first all matrices coded at one price of a bit
//! ([`RateDistortion`]). For each matrix it makes every form of `form`, counts the bytes of the whole file, estimates by
//! second moments of the training text what the form costs, and runs the start of the validation text for those that no
//! other one beats by far (`round`): text that the model has not learnt, since on the other one a model that fits it
//! well loses several times as much by the same errors, and not in the same matrices. Rises of the loss are taken to add up, which makes the choice a knapsack (`knapsack`), solved
//! exactly; the few best choices are made whole and measured on the validation text. The next round begins from the best
//! of them, where forms may cost otherwise. A training, if one is asked for, comes between: structures and zeros stay, and
//! what is coded or rounded is chosen once more.
//!
//! All that is measured is kept in a file (`journal`), so a search that was stopped ends at the same bytes.

use std::path::Path;
use std::time::Instant;

use pocketlm::pack::write_file_with;
use sha2::{Digest, Sha256};
use toml::Table;

use crate::checkpoint::Checkpoint;
use crate::compress::rate_distortion::{FIGURES, Rates, check, loss};
use crate::compress::{Context, apply, packed_loss};
use crate::corpus::{Corpus, hex};
use crate::error::{Error, Result};
use crate::linear::Entry;
use crate::lock::Lock;
use crate::pack::pack_in_memory;
use crate::recipe::step::rate_distortion::Target;
use crate::recipe::{CompressionRecipe, Declare, FineTune, RateDistortion, Step, check_text};

mod explain;
mod form;
mod journal;
mod knapsack;
mod latency;
mod round;

pub use explain::{Alternative, Explanation};
pub use journal::{Measured, Tried};

use form::Form;
use journal::Journal;
use knapsack::Item;
use round::{Point, Round};

/// The binary logarithm of the price of a bit where no matrix is coded at one yet.
const PRICE: f64 = -20.0;
/// Choices that are made whole in each round.
const TRIES: usize = 3;
/// Choices that are looked at for each of them, since some make the same model.
const CHOICES: usize = 4;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of the whole packed file at most.
    pub budget: usize,
    /// Microseconds a word on this machine at most, one stream on one thread.
    pub latency: Option<f64>,
    /// Keys of a [`FineTune`] step, to train the best model so far and choose once more.
    pub fine_tune: Option<Table>,
    /// Rounds before and after the training at most; a round that finds nothing better is the last.
    pub rounds: usize,
}

/// What was found.
pub struct Found {
    /// The model.
    pub model: Checkpoint,
    /// The steps that make it of the one that the search began with.
    pub recipe: CompressionRecipe,
    /// Why each matrix has its form.
    pub explanations: Vec<Explanation>,
    /// All forms that were measured.
    pub forms: Vec<Measured>,
    /// All models that were made.
    pub models: Vec<Tried>,
}

/// What a search tells on its way.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A form was measured; about so many seconds are left of the round.
    Form(&'a Measured, f64),
    /// A model was made; whether it is the best so far.
    Model(&'a Tried, bool),
    /// What the forms of a round promise: bytes of the file, and loss of a token of the validation text, in nats.
    Frontier(&'a [(usize, f64)]),
}

impl std::fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Form(form, left) => {
                write!(f, "  {}: {}: {:+} bytes, ", form.matrix, form.form, form.bytes)?;
                match form.rise {
                    Some(rise) => write!(f, "{rise:+.4} nats (estimate {:+.4})", form.estimate)?,
                    None => write!(f, "estimate {:+.4} nats: left out", form.estimate)?,
                }
                write!(f, "; {} left in this round", duration(*left))
            }
            Self::Model(model, is_best) => {
                let mark = if *is_best { ", the best so far" } else { "" };
                let perplexity = model.valid.exp();
                write!(f, "{} bytes, valid perplexity {perplexity:.2}", model.bytes)?;
                if model.micros[1] > 0.0 {
                    write!(f, ", {:.0} us a word", model.micros[1])?;
                }
                write!(f, "{mark}")
            }
            Self::Frontier(points) => {
                let point = |(bytes, loss): &(usize, f64)| format!("{bytes}: {:.2}", loss.exp());
                let points: Vec<String> = points.iter().map(point).collect();
                write!(f, "bytes: valid perplexity that the forms promise: {}", points.join(", "))
            }
        }
    }
}

/// `40 s`, `3 min`
fn duration(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Finds the forms of the matrices of `model` with which it is best within its limits.
///
/// The folder `context.work` keeps what was measured, and the best model so far as `best.plm` with its recipe
/// `best.toml`.
///
/// # Errors
/// Before any work when the budget is too small, with the smallest that can be met, or the text is missing;
/// [`Error::Stopped`] when it was stopped, after which the same call goes on where it was.
pub fn search(
    model: &Checkpoint,
    settings: &Settings,
    context: &Context,
    observe: &mut dyn FnMut(&Progress),
) -> Result<Found> {
    let corpus = context.corpus.ok_or_else(|| Error::config("text", "is needed: give --data"))?;
    check_text(corpus)?;
    let held_out = Corpus { train: corpus.valid.clone(), ..corpus.clone() };
    check_text(&held_out)?;
    check_settings(model, settings)?;
    let _lock = Lock::acquire(context.work)?;
    let journal = Journal::open(context.work, &hash(model, settings, corpus))?;
    let mut search = Search {
        settings,
        context,
        corpus,
        held_out: &held_out,
        journal,
        best: None,
        explanations: Vec::new(),
        observe,
    };
    search.rounds(model, &[], None)?;
    if let Some(keys) = &settings.fine_tune {
        search.tune(model, keys)?;
    }
    search.finish(model)
}

fn check_settings(model: &Checkpoint, settings: &Settings) -> Result<()> {
    let outline = model.outline();
    if let Some(keys) = &settings.fine_tune {
        FineTune { train: keys.clone() }.declare(&mut outline.clone())?;
    }
    let names = outline.matrices(&["*".to_owned()])?;
    let is_rate = |name: &&String| form::first(name, &outline).is_rate();
    let matrices: Vec<String> =
        names.iter().map(|(name, _)| name).filter(is_rate).cloned().collect();
    if matrices.is_empty() {
        let what = "has no matrix that is not compressed yet: give the trained model";
        return Err(Error::config("the checkpoint", what));
    }
    let (bits, bytes) = (None, Some(settings.budget));
    let step = RateDistortion { matrices, bits, bytes, weights: Default::default() };
    check(&step, Target::Bytes(settings.budget), &mut model.clone()).map_err(|e| match e {
        Error::Config { field, what } if field == "bytes" => Error::config("--budget", what),
        other => other,
    })
}

/// Of all that decides what a search finds.
fn hash(model: &Checkpoint, settings: &Settings, corpus: &Corpus) -> String {
    let mut digest = Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(serde_json::to_vec(&model.config).expect("a configuration is JSON"));
    digest.update(bytemuck::cast_slice::<f32, u8>(&model.leaves.data));
    digest.update(corpus.sha256());
    digest.update(format!("{settings:?}"));
    hex(&digest.finalize())
}

/// The best model so far.
struct Best {
    forms: Vec<Form>,
    steps: Vec<Step>,
    tried: Tried,
    /// None where it was made before the search was stopped.
    model: Option<Checkpoint>,
}

/// A choice that was made whole.
struct Made {
    model: Option<Checkpoint>,
    tried: Tried,
    /// The binary logarithm of the price of a bit.
    price: Option<f64>,
}

struct Search<'a> {
    settings: &'a Settings,
    context: &'a Context<'a>,
    corpus: &'a Corpus,
    /// The same with the validation text in the place of the training text.
    held_out: &'a Corpus,
    journal: Journal,
    best: Option<Best>,
    explanations: Vec<Explanation>,
    observe: &'a mut dyn FnMut(&Progress),
}

impl Search<'_> {
    /// Rounds from `base`, which `prefix` has made of the trained model, until one finds nothing better.
    fn rounds(
        &mut self,
        base: &Checkpoint,
        prefix: &[Step],
        start: Option<Vec<Form>>,
    ) -> Result<()> {
        let outline = base.outline();
        let names = outline.matrices(&["*".to_owned()])?;
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        let uniform = || names.iter().map(|name| form::first(name, &outline)).collect();
        let mut start: Vec<Form> = start.unwrap_or_else(uniform);
        let rates = Rates::measure(&["*".to_owned()], base, self.corpus)?;
        let mut price = PRICE;
        let first = self.journal_rounds(prefix) + 1;
        for number in first..first + self.settings.rounds {
            let origin = Origin { base, prefix, rates: &rates, names: &names };
            let begun = Instant::now();
            let made = self.make(&origin, number, &start, None)?;
            price = made.price.unwrap_or(price);
            self.note(&origin, &start, &made)?;
            let model = match made.model {
                Some(model) => model,
                None => self.build(&origin, &origin.steps(&start, self.settings.budget))?.0,
            };
            let point = Point { model, tried: made.tried, price };
            let seconds = begun.elapsed().as_secs_f64();
            let round = Round::measure(self, &origin, number, start.clone(), point, seconds)?;
            let found = self.choose(&origin, &round)?;
            match found {
                Some(forms) if forms != start => start = forms,
                _ => break,
            }
        }
        Ok(())
    }

    /// Rounds that are numbered before those after `prefix`: a training begins anew.
    fn journal_rounds(&self, prefix: &[Step]) -> usize {
        if prefix.is_empty() { 0 } else { self.settings.rounds }
    }

    /// Makes the best choices of a round whole; gives the best of all, if it is one of this round.
    fn choose(&mut self, origin: &Origin, round: &Round) -> Result<Option<Vec<Form>>> {
        (self.observe)(&Progress::Frontier(&round.frontier(self.settings.budget)));
        // Weights that differ by a common factor only make the same model.
        let budget = self.settings.budget;
        let mut made = vec![origin.steps(&round.chosen(&vec![0; round.tables.len()]), budget)];
        for chosen in
            knapsack::several(&round.groups(), round.limits(self.settings), CHOICES * TRIES)
        {
            let forms = round.chosen(&chosen);
            let steps = origin.steps(&forms, budget);
            if made.len() > TRIES || made.contains(&steps) {
                continue;
            }
            made.push(steps);
            let promised = knapsack::sum(&round.groups(), &chosen);
            let whole = self.make(origin, round.number, &forms, Some((&round.point, promised)))?;
            self.note(origin, &forms, &whole)?;
        }
        let best = self.best.as_ref().filter(|best| best.steps.starts_with(origin.prefix));
        let best = best.filter(|best| best.forms.len() == origin.names.len());
        if let Some(best) = best
            && let Some(chosen) = round.numbers(&best.forms)
        {
            self.explanations = explain::explain(round, &chosen);
        }
        if self.best.is_none() {
            self.check_latency(round)?;
        }
        Ok(best.map(|best| best.forms.clone()))
    }

    fn check_latency(&self, round: &Round) -> Result<()> {
        let Some(limit) = self.settings.latency else { return Ok(()) };
        let least =
            |group: &Vec<Item>| group.iter().map(|item| item.micros).fold(f64::MAX, f64::min);
        let least = round.point.tried.micros[1] + round.groups().iter().map(least).sum::<f64>();
        let what = format!(
            "is {limit:.0} us, which no form keeps here: the shortest is about {least:.0} us a word; give more, or \
             search from a model of fewer units"
        );
        Err(Error::config("--latency", what))
    }

    /// Trains the best model so far in its structures, and chooses the rest once more.
    fn tune(&mut self, model: &Checkpoint, keys: &Table) -> Result<()> {
        let names = model.outline().matrices(&["*".to_owned()])?;
        let Some(best) = &self.best else { return Ok(()) };
        let forms: Vec<(&str, &Form)> =
            names.iter().map(|(name, _)| &**name).zip(&best.forms).collect();
        let mut prefix = form::structures(&forms);
        prefix.push(Step::FineTune(FineTune { train: keys.clone() }));
        // What is left of a form once its structure is there.
        let left = |form: &Form| match form {
            Form::Steps(steps) => Form::Steps(
                steps.iter().filter(|step| matches!(step, Step::Quantise(_))).cloned().collect(),
            ),
            other => other.clone(),
        };
        let start = best.forms.iter().map(left).collect();
        let mut base = model.clone();
        for (at, step) in prefix.iter().enumerate() {
            apply(&mut base, step, &Context { step: at, ..*self.context })?;
        }
        self.rounds(&base, &prefix, Some(start))
    }

    fn finish(mut self, model: &Checkpoint) -> Result<Found> {
        let best = self.best.take().expect("the first round found one, or was an error");
        let found = match best.model {
            Some(found) => found,
            None => {
                let mut found = model.clone();
                for (at, step) in best.steps.iter().enumerate() {
                    apply(&mut found, step, &Context { step: at, ..*self.context })?;
                }
                found
            }
        };
        Ok(Found {
            model: found,
            recipe: CompressionRecipe { step: best.steps },
            explanations: self.explanations,
            forms: self.journal.forms().cloned().collect(),
            models: self.journal.models().cloned().collect(),
        })
    }

    fn check_stop(&self) -> Result<()> {
        if (self.context.stop)() {
            return Err(Error::Stopped { work: self.context.work.to_owned() });
        }
        Ok(())
    }

    /// Makes a choice whole and measures it, or finds it in the journal. `promised` are the model that its forms were
    /// measured beside, and what they come to.
    fn make(
        &mut self,
        origin: &Origin,
        round: usize,
        forms: &[Form],
        promised: Option<(&Point, Item)>,
    ) -> Result<Made> {
        let steps = origin.steps(forms, self.settings.budget);
        let recipe = origin.recipe(&steps).to_toml();
        // The start of a round is made in any case: its price is needed.
        if let (Some(tried), Some(_)) = (self.journal.model(&recipe), promised) {
            return Ok(Made { model: None, tried: tried.clone(), price: None });
        }
        let (model, price) = self.build(origin, &steps)?;
        if let Some(tried) = self.journal.model(&recipe) {
            return Ok(Made { model: Some(model), tried: tried.clone(), price });
        }
        self.check_stop()?;
        let tried = self.measure(&model, round, recipe, promised)?;
        Ok(Made { model: Some(model), tried, price })
    }

    fn measure(
        &self,
        model: &Checkpoint,
        round: usize,
        recipe: String,
        promised: Option<(&Point, Item)>,
    ) -> Result<Tried> {
        let packed = packed(model)?;
        let measured = loss(model, &model.parameters, self.held_out)?;
        let micros = match self.settings.latency {
            Some(_) => latency::micros_a_word(packed.clone())?,
            None => 0.0,
        };
        let (predicted, promised) = match promised {
            Some((point, item)) => {
                (point.tried.measured + item.loss, point.tried.micros[1] + item.micros)
            }
            None => (measured, micros),
        };
        Ok(Tried {
            round,
            recipe,
            bytes: packed.len() + FIGURES,
            predicted,
            measured,
            valid: packed_loss(packed, model, &self.corpus.valid)?,
            micros: [promised, micros],
        })
    }

    /// Takes the base through the steps, and gives the price of a bit that the last one found.
    fn build(&self, origin: &Origin, steps: &[Step]) -> Result<(Checkpoint, Option<f64>)> {
        let mut model = origin.base.clone();
        let mut price = None;
        for (at, step) in steps.iter().enumerate() {
            let Step::RateDistortion(settings) = step else {
                let step_number = origin.prefix.len() + at;
                apply(&mut model, step, &Context { step: step_number, ..*self.context })?;
                continue;
            };
            let measured;
            let rates = if at == 0 {
                origin.rates
            } else {
                measured = Rates::measure(&settings.matrices, &model, self.corpus)?;
                &measured
            };
            price = Some(rates.reach(settings, settings.target()?, &mut model)?);
            model.config.compression.push(step.clone());
        }
        Ok((model, price))
    }

    /// Notes a model, and keeps it where it is the best so far and within the limits.
    fn note(&mut self, origin: &Origin, forms: &[Form], made: &Made) -> Result<()> {
        let tried = &made.tried;
        let fits = tried.bytes <= self.settings.budget
            && self.settings.latency.is_none_or(|limit| tried.micros[1] <= limit);
        let is_better = self.best.as_ref().is_none_or(|best| tried.valid < best.tried.valid);
        if fits && is_better {
            let steps = [origin.prefix, &origin.steps(forms, self.settings.budget)].concat();
            let forms = forms.to_vec();
            self.best =
                Some(Best { forms, steps, tried: tried.clone(), model: made.model.clone() });
        }
        if self.journal.model(&tried.recipe).is_none() {
            if let Some(model) = made.model.as_ref().filter(|_| fits && is_better) {
                keep(self.context.work, "best.plm", &packed(model)?)?;
                keep(self.context.work, "best.toml", tried.recipe.as_bytes())?;
            }
            self.journal.add_model(tried.clone())?;
        }
        (self.observe)(&Progress::Model(tried, fits && is_better));
        Ok(())
    }
}

fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    write_file_with(&path, |file| file.write_all(bytes)).map_err(Error::io(&path))
}

fn packed(model: &Checkpoint) -> Result<Vec<u8>> {
    pack_in_memory(model).map_err(|e| Error::config("the packed model", e.to_string()))
}

/// Where the rounds begin.
struct Origin<'a> {
    /// The model before its forms are chosen.
    base: &'a Checkpoint,
    /// The steps that made it.
    prefix: &'a [Step],
    rates: &'a Rates,
    /// Of the matrices.
    names: &'a [String],
}

impl Origin<'_> {
    /// The steps that give the matrices these forms.
    fn steps(&self, forms: &[Form], budget: usize) -> Vec<Step> {
        let pairs: Vec<(&str, &Form)> = self.names.iter().map(String::as_str).zip(forms).collect();
        let entries = self.base.parameters.entries().iter().filter(|entry| !entry.vector);
        let size = |entry: &&Entry| entry.rows * entry.columns;
        let largest = entries.max_by_key(size).map_or("", |entry| &*entry.name);
        form::recipe(&pairs, largest, budget)
    }

    /// All steps from the trained model on.
    fn recipe(&self, steps: &[Step]) -> CompressionRecipe {
        CompressionRecipe { step: [self.prefix, steps].concat() }
    }
}
