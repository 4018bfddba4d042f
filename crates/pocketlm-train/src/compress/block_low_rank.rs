//! Block-wise low rank by word frequency (GroupReduce, Chen et al. 2018): the rows of embedding and softmax in
//! groups from frequent to rare words, each group two thin factors of a rank of its own.
//!
//! An error in a row counts by how often its word comes, and in the softmax by how often the inputs take its
//! direction. All groups share one budget of numbers: the next singular value is always the one that gains most of
//! the weighted error for each number that it costs.

use serde::{Deserialize, Serialize};

use super::low_rank::{carry, put};
use super::{Context, Method, Outline, calibration::Calibration, structure};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::matrix::svd::{Factors, decompose_weighted};
use crate::matrix::{BlockLowRank as Form, Shape, Structure};

/// Splits the rows of matrices into groups, and each group in two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockLowRank {
    /// Matrices whose rows are words; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Numbers of all factors over those of the matrix.
    pub ratio: f64,
    /// Number of groups, each twice as large as the one before it.
    #[serde(default = "five")]
    pub groups: usize,
}

fn five() -> usize {
    5
}

impl BlockLowRank {
    /// The groups, and ranks by which each takes the same share of the budget.
    fn form(&self, name: &str, shape: Shape) -> Result<Form> {
        if !["embedding", "softmax"].contains(&name) {
            let what = format!("has {name}, whose rows are no words: give embedding, softmax");
            return Err(Error::config("matrices", what));
        }
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            let what = format!("is {}: give a share, above 0, up to 1", self.ratio);
            return Err(Error::config("ratio", what));
        }
        let most = 16.min(shape.rows);
        if !(1..=most).contains(&self.groups) {
            let what = format!("is {}: give a number from 1 to {most}", self.groups);
            return Err(Error::config("groups", what));
        }
        let rows = sizes(shape.rows, self.groups);
        let rank = |rows: usize| {
            let room = self.ratio * (rows * shape.columns) as f64;
            ((room / (rows + shape.columns) as f64) as usize).min(rows).min(shape.columns)
        };
        let ranks: Vec<usize> = rows.iter().map(|&rows| rank(rows)).collect();
        if ranks.contains(&0) {
            let what =
                format!("is {}, which leaves no room in a group of {name} for rank 1", self.ratio);
            return Err(Error::config("ratio", what));
        }
        Ok(Form { rows, ranks })
    }

    /// The factors of each group, cut where the budget of all is spent.
    fn factors(
        &self,
        form: &Form,
        (name, shape): (&str, Shape),
        dense: &[f32],
        calibration: &Calibration,
    ) -> Result<Vec<Factors>> {
        let weights = calibration.frequencies();
        let mut all = Vec::new();
        for (_, own, rows) in form.groups(shape) {
            let part = &dense[rows.start * shape.columns..rows.end * shape.columns];
            let size = (own.rows, own.columns);
            let (moment, weights) = (calibration.moment(name), Some(&weights[rows]));
            let most = own.rows.min(own.columns);
            all.push(decompose_weighted(part, size, moment, weights, |_| most)?);
        }
        let budget = (self.ratio * (shape.rows * shape.columns) as f64) as usize;
        let costs: Vec<usize> = form.rows.iter().map(|rows| rows + shape.columns).collect();
        let values: Vec<&[f64]> =
            all.iter().map(|factors| &factors.values[..factors.rank]).collect();
        let ranks = share_out(&values, &costs, budget);
        for (factors, rank) in all.iter_mut().zip(ranks) {
            factors.truncate(rank);
        }
        Ok(all)
    }
}

/// Sizes of groups, each about twice as large as the one before, together `rows`.
fn sizes(rows: usize, groups: usize) -> Vec<usize> {
    let parts = (1u64 << groups) - 1;
    let end = |group: usize| {
        let share = ((1u64 << (group + 1)) - 1) as f64 / parts as f64;
        // Every group has a row.
        ((rows as f64 * share).round() as usize).clamp(group + 1, rows - (groups - 1 - group))
    };
    let ends: Vec<usize> = (0..groups).map(end).collect();
    let starts = std::iter::once(&0).chain(&ends);
    ends.iter().zip(starts).map(|(end, start)| end - start).collect()
}

/// How many of each list of singular values to keep, at least one, where each costs so many numbers: the greatest
/// squares for their cost first, as far as the budget goes.
fn share_out(values: &[&[f64]], costs: &[usize], budget: usize) -> Vec<usize> {
    let mut ranks = vec![1; values.len()];
    let mut left = budget.saturating_sub(costs.iter().sum());
    let gain = |group: usize, rank: usize| values[group][rank].powi(2) / costs[group] as f64;
    loop {
        let open = (0..values.len()).filter(|&g| ranks[g] < values[g].len() && costs[g] <= left);
        let next = open.max_by(|&a, &b| gain(a, ranks[a]).total_cmp(&gain(b, ranks[b])));
        let Some(group) = next else { return ranks };
        ranks[group] += 1;
        left -= costs[group];
    }
}

impl Method for BlockLowRank {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        structure::declare(outline, &self.matrices, |name, shape| {
            self.form(name, shape).map(Structure::BlockLowRank)
        })
    }

    fn needs_text(&self) -> bool {
        true
    }

    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let corpus =
            context.corpus.ok_or_else(|| Error::config("text", "is needed: give --data"))?;
        let calibration = Calibration::measure(model, corpus)?;
        let mut outline = Outline::of(model);
        let mut found = Vec::new();
        for (name, shape) in outline.matrices(&self.matrices)? {
            let entry =
                model.parameters.find(&name).expect("the outline's names are the network's");
            let dense = &model.parameters.data[entry.range.clone()];
            let mut form = self.form(&name, shape)?;
            let factors = self.factors(&form, (&name, shape), dense, &calibration)?;
            form.ranks = factors.iter().map(|factors| factors.rank).collect();
            outline.forms.restructure(name.clone(), Structure::BlockLowRank(form));
            found.push((name, factors));
        }
        let (_, mut leaves) = outline.parametrization()?;
        carry(&model.leaves, &mut leaves);
        for (name, groups) in found {
            for (at, factors) in groups.iter().enumerate() {
                put(&mut leaves, &format!("{name}.left.{at}"), &factors.left);
                put(&mut leaves, &format!("{name}.right.{at}"), &factors.right);
            }
        }
        model.reform(outline.forms, leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_double_and_make_up_the_whole() {
        assert_eq!(sizes(31, 5), [1, 2, 4, 8, 16]);
        assert_eq!(sizes(10_000, 5), [323, 645, 1290, 2581, 5161]);
        for (rows, groups) in [(5, 5), (6, 5), (40, 4), (33_278, 7), (1, 1)] {
            let sizes = sizes(rows, groups);
            assert_eq!(sizes.iter().sum::<usize>(), rows);
            assert!(sizes.iter().all(|&size| size > 0), "{sizes:?}");
        }
    }

    #[test]
    fn the_budget_goes_where_it_gains_most() {
        let (a, b) = ([9.0, 5.0, 4.0], [8.0, 1.0]);
        // 100 for the first of each; then 5² and 4² in the first list, at 10 each, before 1² at 90.
        assert_eq!(share_out(&[&a, &b], &[10, 90], 119), [2, 1]);
        assert_eq!(share_out(&[&a, &b], &[10, 90], 125), [3, 1]);
        assert_eq!(share_out(&[&a, &b], &[10, 90], 210), [3, 2]);
        assert_eq!(share_out(&[&a, &b], &[10, 90], 0), [1, 1]);
    }
}
