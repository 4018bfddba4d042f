//! Magnitude pruning (Han et al. 2015), at once or along the cubic schedule of Zhu & Gupta 2017.

use pocketlm::pack::{Sparsity, sorted_order};
use serde::{Deserialize, Serialize};

use super::{Context, Method, Outline};
use crate::checkpoint::Checkpoint;
use crate::corpus::Vocabulary;
use crate::error::{Error, Result};
use crate::matrix::{Forms, sparsity_name};
use crate::parameters::{Entry, Parameters};

/// Rows of a block of the pattern `panels`: those of a panel of the packed file.
const PANEL: usize = 16;

/// Which numbers compete with each other for being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those of one matrix: each keeps the same share.
    #[default]
    Matrix,
    /// Those of all chosen matrices.
    Global,
}

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
    #[serde(default = "unstructured", with = "sparsity_name")]
    pub pattern: Sparsity,
}

fn unstructured() -> Sparsity {
    Sparsity::Unstructured
}

/// Pruning in the course of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradual {
    /// As in [`Prune`].
    pub matrices: Vec<String>,
    /// Share of the numbers that are zero in the end.
    pub sparsity: f64,
    /// As in [`Prune`].
    #[serde(default)]
    pub scope: Scope,
    /// As in [`Prune`].
    #[serde(default = "unstructured", with = "sparsity_name")]
    pub pattern: Sparsity,
    /// Share of the training after which the last number falls.
    #[serde(default = "half")]
    pub until: f64,
    /// Updates between two prunings.
    #[serde(default = "hundred")]
    pub every: u64,
}

fn half() -> f64 {
    0.5
}

fn hundred() -> u64 {
    100
}

impl Gradual {
    /// The share of zeros when the share `done` of the training is done: `s (1 - (1 - t)³)` for the share `t` of
    /// the pruning's time (Zhu & Gupta 2017, equation 1, from a dense start).
    pub fn sparsity_at(&self, done: f64) -> f64 {
        let t = (done / self.until).clamp(0.0, 1.0);
        self.sparsity * (1.0 - (1.0 - t).powi(3))
    }

    /// The pruning to a share of zeros.
    pub fn step(&self, sparsity: f64) -> Prune {
        let (matrices, scope, pattern) = (self.matrices.clone(), self.scope, self.pattern);
        Prune { matrices, sparsity, scope, pattern }
    }

    /// Gives the chosen leaves their pattern.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.step(self.sparsity).declare(outline)
    }

    /// Checks its numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        self.step(self.sparsity).validate()?;
        if !(self.until > 0.0 && self.until <= 1.0) {
            let what = format!("is {}: give a share of the training, above 0, up to 1", self.until);
            return Err(Error::config("until", what));
        }
        if self.every == 0 {
            return Err(Error::config("every", "is 0: give the updates between two prunings"));
        }
        Ok(())
    }
}

impl Prune {
    fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.sparsity) {
            let what = format!("is {}: give a share, at least 0 and below 1", self.sparsity);
            return Err(Error::config("sparsity", what));
        }
        if self.pattern == Sparsity::None {
            return Err(Error::config("pattern", "is none: give unstructured or panels"));
        }
        Ok(())
    }

    /// Sets the smallest of the chosen numbers of `leaves` to zero.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn run(
        &self,
        outline: &Outline,
        vocabulary: &Vocabulary,
        leaves: &mut Parameters,
    ) -> Result<()> {
        self.validate()?;
        let chosen = outline.leaves(&self.matrices)?;
        let units = chosen.iter().map(|entry| self.units(entry, vocabulary, &leaves.data));
        let mut groups: Vec<Vec<Unit>> = units.collect();
        if self.scope == Scope::Global {
            groups = vec![groups.concat()];
        }
        for group in &mut groups {
            for unit in smallest(group, self.sparsity) {
                unit.places().for_each(|at| leaves.data[at] = 0.0);
            }
        }
        Ok(())
    }

    /// What is kept or falls as one: numbers, or blocks of them.
    fn units(&self, entry: &Entry, vocabulary: &Vocabulary, data: &[f32]) -> Vec<Unit> {
        if self.pattern != Sparsity::Panels {
            let unit = |at: usize| Unit { size: data[at].abs(), places: Places::One(at) };
            return entry.range.clone().map(unit).collect();
        }
        let order = file_order(entry, vocabulary);
        let block = |rows: &[usize], column: usize| {
            let at = |row: &usize| entry.range.start + row * entry.columns + column;
            let places: Box<[usize]> = rows.iter().map(at).collect();
            let sum: f32 = places.iter().map(|&at| data[at] * data[at]).sum();
            let size = (sum / places.len() as f32).sqrt();
            Unit { size, places: Places::Block(places) }
        };
        let panels = order.chunks(PANEL);
        panels.flat_map(|rows| (0..entry.columns).map(move |column| block(rows, column))).collect()
    }
}

/// Numbers that share their fate.
#[derive(Clone, Debug)]
struct Unit {
    /// Root mean square of the numbers.
    size: f32,
    /// Where they lie among all numbers.
    places: Places,
}

#[derive(Clone, Debug)]
enum Places {
    One(usize),
    Block(Box<[usize]>),
}

impl Unit {
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let places = match &self.places {
            Places::One(at) => std::slice::from_ref(at),
            Places::Block(all) => all,
        };
        places.iter().copied()
    }
}

/// The rows of a leaf in the order in which the packed file has them: those of words by the words' bytes.
fn file_order(entry: &Entry, vocabulary: &Vocabulary) -> Vec<usize> {
    let by_word = ["embedding", "softmax", "embedding.left", "softmax.left"];
    if !by_word.contains(&&*entry.name) {
        return (0..entry.rows).collect();
    }
    let words: Vec<&str> = vocabulary.words().collect();
    sorted_order(&words).into_iter().map(|at| at as usize).collect()
}

/// Exactly the share `sparsity` of `units`, rounded to a whole number: the smallest, and of equals the first.
fn smallest(units: &mut [Unit], sparsity: f64) -> &[Unit] {
    let count = (units.len() as f64 * sparsity).round() as usize;
    if count == 0 {
        return &[];
    }
    let first = |unit: &Unit| unit.places().next();
    units.select_nth_unstable_by(count - 1, |a, b| {
        a.size.total_cmp(&b.size).then_with(|| first(a).cmp(&first(b)))
    });
    &units[..count]
}

impl Method for Prune {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.validate()?;
        let chosen = outline.leaves(&self.matrices)?;
        mark(&mut outline.forms, &chosen, self.pattern);
        Ok(())
    }

    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        let mut outline = Outline::of(model);
        let mut leaves = model.leaves.clone();
        self.run(&outline, model.encoder.vocabulary(), &mut leaves)?;
        self.declare(&mut outline)?;
        model.reform(outline.forms, leaves)
    }
}

fn mark(forms: &mut Forms, leaves: &[Entry], pattern: Sparsity) {
    for leaf in leaves {
        forms.leaves.entry(leaf.name.clone()).or_default().sparsity = pattern;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_promised_count_falls_and_it_is_the_smallest(
            numbers in prop::collection::vec(-4i32..5, 1..200), sparsity in 0.0f64..0.999,
        ) {
            let unit = |(at, &x): (usize, &i32)| Unit { size: x.abs() as f32, places: Places::One(at) };
            let mut units: Vec<Unit> = numbers.iter().enumerate().map(unit).collect();
            let fallen = smallest(&mut units, sparsity).len();
            prop_assert_eq!(fallen, (numbers.len() as f64 * sparsity).round() as usize);
            let most = units[..fallen].iter().map(|unit| unit.size).fold(0.0, f32::max);
            prop_assert!(units[fallen..].iter().all(|unit| unit.size >= most));
        }
    }

    #[test]
    fn the_cubic_schedule_is_fast_first_and_ends_in_time() {
        let gradual = Gradual {
            matrices: vec!["*".into()],
            sparsity: 0.8,
            scope: Scope::Matrix,
            pattern: Sparsity::Unstructured,
            until: 0.5,
            every: 1,
        };
        assert_eq!(gradual.sparsity_at(0.0), 0.0);
        assert!((gradual.sparsity_at(0.25) - 0.7).abs() < 1e-9);
        assert_eq!(gradual.sparsity_at(0.5), 0.8);
        assert_eq!(gradual.sparsity_at(1.0), 0.8);
    }
}
