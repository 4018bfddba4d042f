//! What each form of each matrix does to a model, one at a time.

use std::time::Instant;

use super::form::{self, Form};
use super::journal::Measured;
use super::knapsack::{self, Item, Limits};
use super::{Origin, Progress, Search, Settings, Tried, latency, packed};
use crate::checkpoint::Checkpoint;
use crate::compress::leaves::{carry, put};
use crate::compress::rate_distortion::{Coded, FIGURES, Matrix, loss, step};
use crate::compress::{Calibration, Context, apply_by};
use crate::error::Result;
use crate::matrix::Structure;
use crate::recipe::Step;
use crate::recipe::step::rate_distortion::structure;

/// A form whose estimate is so many times that of a smaller one is not tried.
const FAR: f64 = 2.0;
/// Sizes for which the choice is shown, over the budget.
const SIZES: [f64; 9] = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5];

/// The model that a round begins from.
pub struct Point {
    /// In its forms.
    pub model: Checkpoint,
    /// What it is.
    pub tried: Tried,
    /// The binary logarithm of the price of a bit in it, in nats.
    pub price: f64,
}

/// The forms of every matrix beside the model that the round began from.
pub struct Round {
    /// From 1.
    pub number: usize,
    /// Where it began.
    pub point: Point,
    /// The forms of each matrix that were tried, the one that it begins with first, and what they do.
    pub tables: Vec<Vec<(Form, Measured)>>,
    /// How many forms of each matrix were made.
    pub forms: Vec<usize>,
}

/// A form that is made and not measured yet.
struct Candidate {
    form: Form,
    measured: Measured,
    /// Of the dense matrix; none where the journal has it.
    numbers: Option<Vec<f32>>,
}

impl Round {
    /// Measures all forms; `seconds` is what the model of the beginning took.
    pub(super) fn measure(
        search: &mut Search,
        origin: &Origin,
        number: usize,
        start: Vec<Form>,
        point: Point,
        seconds: f64,
    ) -> Result<Self> {
        let calibration = Calibration::measure(origin.base, search.corpus)?;
        let outline = origin.base.outline();
        let all = origin.names.iter().zip(&start).map(|(name, own)| form::all(name, &outline, own));
        let all: Vec<Vec<Form>> = all.collect();
        let forms: Vec<usize> = all.iter().map(Vec::len).collect();
        let pace = Pace::new(forms.iter().sum(), seconds);
        let mut bench = Bench { search, origin, number, point: &point, calibration, pace };
        let mut tables = Vec::new();
        for ((matrix, own), forms) in origin.rates.matrices.iter().zip(&start).zip(all) {
            tables.push(bench.table(matrix, own, forms)?);
        }
        Ok(Self { number, point, tables, forms })
    }

    /// What the forms do, for the knapsack.
    pub fn groups(&self) -> Vec<Vec<Item>> {
        let item = |(_, measured): &(Form, Measured)| Item {
            loss: measured.rise.unwrap_or(f64::INFINITY),
            bytes: measured.bytes,
            micros: measured.micros,
        };
        self.tables.iter().map(|table| table.iter().map(item).collect()).collect()
    }

    /// What is left of the limits beside the model of the beginning.
    pub fn limits(&self, settings: &Settings) -> Limits {
        let own = &self.point.tried;
        let micros = settings.latency.map_or(f64::INFINITY, |limit| limit - own.micros[1]);
        Limits { bytes: settings.budget as i64 - own.bytes as i64, micros }
    }

    /// The forms with these numbers.
    pub fn chosen(&self, chosen: &[usize]) -> Vec<Form> {
        self.tables.iter().zip(chosen).map(|(table, &at)| table[at].0.clone()).collect()
    }

    /// The numbers of these forms, if all were measured in this round.
    pub fn numbers(&self, forms: &[Form]) -> Option<Vec<usize>> {
        let find = |(table, form): (&Vec<(Form, Measured)>, &Form)| {
            table.iter().position(|(own, _)| own == form)
        };
        self.tables.iter().zip(forms).map(find).collect()
    }

    /// Bytes and loss on the validation text of the best choices for sizes around the budget.
    pub fn frontier(&self, budget: usize) -> Vec<(usize, f64)> {
        let (own, groups) = (&self.point.tried, self.groups());
        let mut points: Vec<(usize, f64)> = Vec::new();
        for size in SIZES {
            let bytes = (size * budget as f64) as i64 - own.bytes as i64;
            let limits = Limits { bytes, micros: f64::INFINITY };
            let Some(chosen) = knapsack::solve(&groups, limits) else { continue };
            let sum = knapsack::sum(&groups, &chosen);
            let point = ((own.bytes as i64 + sum.bytes) as usize, own.valid + sum.loss);
            if points.last() != Some(&point) {
                points.push(point);
            }
        }
        points
    }
}

/// How long is left.
struct Pace {
    begun: Instant,
    done: usize,
    all: usize,
    /// Of a model made whole.
    whole: f64,
}

impl Pace {
    fn new(all: usize, whole: f64) -> Self {
        Self { begun: Instant::now(), done: 0, all, whole }
    }

    fn left(&self) -> f64 {
        let each = self.begun.elapsed().as_secs_f64() / self.done.max(1) as f64;
        each * (self.all - self.done) as f64 + super::TRIES as f64 * self.whole
    }
}

/// What it takes to measure forms.
struct Bench<'a, 'b> {
    search: &'a mut Search<'b>,
    origin: &'a Origin<'a>,
    number: usize,
    point: &'a Point,
    calibration: Calibration,
    pace: Pace,
}

impl Bench<'_, '_> {
    /// The forms of a matrix that are worth a choice.
    fn table(
        &mut self,
        matrix: &Matrix,
        own: &Form,
        forms: Vec<Form>,
    ) -> Result<Vec<(Form, Measured)>> {
        let mut all = Vec::new();
        let mut split: Option<(Step, Checkpoint)> = None;
        for form in forms {
            all.push(match self.search.journal.form(self.number, &matrix.name, &form.name()) {
                Some(known) => Candidate { measured: known.clone(), form, numbers: None },
                None => self.make(matrix, own, form, &mut split)?,
            });
        }
        let tried: Vec<bool> = all.iter().map(|candidate| is_worth(candidate, &all)).collect();
        let mut table = Vec::new();
        for (at, (mut candidate, is_tried)) in all.into_iter().zip(tried).enumerate() {
            if let Some(numbers) = candidate.numbers.take() {
                if is_tried || at == 0 {
                    self.search.check_stop()?;
                    let rise = self.rise(matrix, own, &candidate.form, &numbers)?;
                    candidate.measured.rise = Some(rise);
                }
                self.search.journal.add_form(candidate.measured.clone())?;
            }
            self.pace.done += 1;
            let left = self.pace.left();
            if at > 0 {
                (self.search.observe)(&Progress::Form(&candidate.measured, left));
            }
            if candidate.measured.rise.is_some() {
                table.push((candidate.form, candidate.measured));
            }
        }
        Ok(table)
    }

    /// Makes a form of a matrix in a model that else is the one of the beginning, and counts its bytes.
    fn make(
        &self,
        matrix: &Matrix,
        own: &Form,
        form: Form,
        split: &mut Option<(Step, Checkpoint)>,
    ) -> Result<Candidate> {
        self.search.check_stop()?;
        let before = self.numbers(matrix);
        let (model, numbers) = if form == *own {
            (None, before.to_vec())
        } else if let Form::Rate(weight) = form {
            let mut weighed = matrix.clone();
            weighed.scale(weight);
            let coded = weighed.source().code(self.point.price.exp2() as f32);
            (Some(self.coded(matrix, &coded)?), coded.numbers())
        } else {
            let steps = if let Form::Steps(steps) = &form { &steps[..] } else { &[] };
            let made = self.stepped(steps, split)?;
            let range = made.parameters.find(&matrix.name).expect("a matrix").range.clone();
            (Some(self.grafted(matrix, &made)?), made.parameters.data[range].to_vec())
        };
        let (bytes, micros) = match model {
            Some(model) => self.sizes(&model)?,
            None => (0, 0.0),
        };
        let measured = Measured {
            round: self.number,
            matrix: matrix.name.clone(),
            form: form.name(),
            bytes,
            estimate: matrix.cost(&numbers) - matrix.cost(before),
            rise: None,
            micros,
        };
        Ok(Candidate { form, measured, numbers: Some(numbers) })
    }

    /// Bytes of the file and microseconds a word, over those of the beginning.
    fn sizes(&self, model: &Checkpoint) -> Result<(i64, f64)> {
        let bytes = packed(model)?;
        let more = (bytes.len() + FIGURES) as i64 - self.point.tried.bytes as i64;
        let micros = match self.search.settings.latency {
            Some(_) => latency::micros_a_word(bytes)? - self.point.tried.micros[1],
            None => 0.0,
        };
        Ok((more, micros))
    }

    /// The numbers of a matrix in the model of the beginning.
    fn numbers(&self, matrix: &Matrix) -> &[f32] {
        let parameters = &self.point.model.parameters;
        &parameters.data[parameters.find(&matrix.name).expect("a matrix of it").range.clone()]
    }

    /// The base after these steps; what the first one made is kept for the next form that begins with it.
    fn stepped(
        &self,
        steps: &[Step],
        split: &mut Option<(Step, Checkpoint)>,
    ) -> Result<Checkpoint> {
        let context = Context { step: 0, ..*self.search.context };
        let Some((first, rest)) = steps.split_first() else { return Ok(self.origin.base.clone()) };
        if split.as_ref().is_none_or(|(known, _)| known != first) {
            let mut model = self.origin.base.clone();
            apply_by(&mut model, first, &self.calibration, &context)?;
            *split = Some((first.clone(), model));
        }
        let (_, model) = split.as_ref().expect("it was just made");
        let mut model = model.clone();
        for step in rest {
            apply_by(&mut model, step, &self.calibration, &context)?;
        }
        Ok(model)
    }

    /// The model of the beginning with these codes of a matrix.
    fn coded(&self, matrix: &Matrix, coded: &Coded) -> Result<Checkpoint> {
        let (weights, scales) =
            (coded.numbers(), coded.steps.iter().map(|&at| step(at)).collect::<Vec<f32>>());
        let name = &matrix.name;
        let leaves = [(format!("{name}.weights"), weights), (format!("{name}.scales"), scales)];
        self.with(name, Some(structure(coded.limit)), &leaves, None)
    }

    /// The model of the beginning with a matrix as another model has it.
    fn grafted(&self, matrix: &Matrix, from: &Checkpoint) -> Result<Checkpoint> {
        let own = from.leaves.entries().iter().filter(|leaf| is_of(&matrix.name, &leaf.name));
        let leaves =
            own.map(|leaf| (leaf.name.clone(), from.leaves.data[leaf.range.clone()].to_vec()));
        let structure = from.config.forms.structures.get(&matrix.name).cloned();
        self.with(&matrix.name, structure, &leaves.collect::<Vec<_>>(), Some(from))
    }

    /// The model of the beginning with another form of a matrix, whose leaves have the forms that they have in `from`.
    fn with(
        &self,
        matrix: &str,
        structure: Option<Structure>,
        numbers: &[(String, Vec<f32>)],
        from: Option<&Checkpoint>,
    ) -> Result<Checkpoint> {
        let mut model = self.point.model.clone();
        let mut outline = model.outline();
        let forms = &mut outline.forms;
        forms.structures.remove(matrix);
        forms.leaves.retain(|leaf, _| !is_of(matrix, leaf));
        forms.structures.extend(structure.map(|structure| (matrix.to_owned(), structure)));
        let own = from.iter().flat_map(|from| &from.config.forms.leaves);
        let own = own.filter(|(leaf, _)| is_of(matrix, leaf));
        forms.leaves.extend(own.map(|(leaf, form)| (leaf.clone(), *form)));
        let (_, mut leaves) = outline.parametrization()?;
        carry(&model.leaves, &mut leaves);
        numbers.iter().for_each(|(name, numbers)| put(&mut leaves, name, numbers));
        model.reform(outline.forms, leaves)?;
        Ok(model)
    }

    /// By how much the loss of the start of the validation text rises with another form of a matrix.
    fn rise(&self, matrix: &Matrix, own: &Form, form: &Form, numbers: &[f32]) -> Result<f64> {
        if form == own {
            return Ok(0.0);
        }
        let before = self.numbers(matrix);
        let mut weights = self.point.model.parameters.clone();
        let range = weights.find(&matrix.name).expect("a matrix of it").range.clone();
        weights.data[range].copy_from_slice(numbers);
        // Only codes at a common price hand their mean errors to a bias.
        let shifted =
            |form: &Form, numbers| if form.is_rate() { numbers } else { matrix.weights() };
        matrix.shift_between(shifted(own, before), shifted(form, numbers), &mut weights);
        let model = &self.point.model;
        Ok(loss(model, &weights, self.search.held_out)? - self.point.tried.measured)
    }
}

/// Whether no other form is smaller, not slower, and by far better by estimate.
fn is_worth(own: &Candidate, all: &[Candidate]) -> bool {
    // Estimates are differences: the best of all is where they are counted from.
    let least = all.iter().map(|other| other.measured.estimate).fold(f64::INFINITY, f64::min);
    let own = &own.measured;
    !all.iter().map(|other| &other.measured).any(|other| {
        other.bytes < own.bytes
            && other.micros <= own.micros
            && FAR * (other.estimate - least) < own.estimate - least
    })
}

/// Whether a leaf is a matrix or one of its factors.
fn is_of(matrix: &str, leaf: &str) -> bool {
    leaf.strip_prefix(matrix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
