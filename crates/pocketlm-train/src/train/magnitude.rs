//! Magnitude pruning of leaves: the smallest numbers, or blocks of them, become zero.

use pocketlm::pack::{Sparsity, sorted_order};

use crate::corpus::Vocabulary;
use crate::error::Result;
use crate::linear::{Entry, Parameters};
use crate::recipe::{Outline, Prune};
use crate::settings::Scope;

/// Rows of a block of the pattern `panels`: those of a panel of the packed file.
const PANEL: usize = 16;

impl Prune {
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

    /// One matrix with the smallest of its numbers set to zero.
    pub(crate) fn pruned(
        &self,
        entry: &Entry,
        vocabulary: &Vocabulary,
        matrix: &[f32],
    ) -> Vec<f32> {
        let own = Entry { range: 0..matrix.len(), ..entry.clone() };
        let mut pruned = matrix.to_vec();
        for unit in smallest(&mut self.units(&own, vocabulary, matrix), self.sparsity) {
            unit.places().for_each(|at| pruned[at] = 0.0);
        }
        pruned
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
    sorted_order(&vocabulary.bytes()).into_iter().map(|at| at as usize).collect()
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
}
