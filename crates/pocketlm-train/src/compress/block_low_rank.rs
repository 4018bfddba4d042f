//! Block-wise low rank by word frequency (GroupReduce, Chen et al. 2018): the rows of embedding and softmax in
//! groups from frequent to rare words, each group two thin factors of a rank of its own.
//!
//! An error in a row counts by how often its word comes, and in the softmax by how often the inputs take its
//! direction. All groups share one budget of numbers: the next singular value is always the one that gains most of
//! the weighted error for each number that it costs.

use super::calibration::Calibration;
use super::context::{Apply, Context};
use super::leaves::{carry, put};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::linear::svd::{Factors, decompose_weighted};
use crate::matrix::{BlockLowRank as Form, Shape, Structure};
use crate::recipe::BlockLowRank;

impl BlockLowRank {
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

impl Apply for BlockLowRank {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let corpus =
            context.corpus.ok_or_else(|| Error::config("text", "is needed: give --data"))?;
        self.apply_by(model, &Calibration::measure(model, corpus)?, context)
    }

    fn apply_by(&self, model: &mut Checkpoint, by: &Calibration, _: &Context) -> Result<()> {
        let mut outline = model.outline();
        let mut found = Vec::new();
        for (name, shape) in outline.matrices(&self.matrices)? {
            let entry =
                model.parameters.find(&name).expect("the outline's names are the network's");
            let dense = &model.parameters.data[entry.range.clone()];
            let mut form = self.form(&name, shape)?;
            let factors = self.factors(&form, (&name, shape), dense, by)?;
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
    fn the_budget_goes_where_it_gains_most() {
        let (a, b) = ([9.0, 5.0, 4.0], [8.0, 1.0]);
        // 100 for the first of each; then 5² and 4² in the first list, at 10 each, before 1² at 90.
        assert_eq!(share_out(&[&a, &b], &[10, 90], 119), [2, 1]);
        assert_eq!(share_out(&[&a, &b], &[10, 90], 125), [3, 1]);
        assert_eq!(share_out(&[&a, &b], &[10, 90], 210), [3, 2]);
        assert_eq!(share_out(&[&a, &b], &[10, 90], 0), [1, 1]);
    }
}
