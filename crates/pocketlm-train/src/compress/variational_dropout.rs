//! Sparse variational dropout and automatic relevance determination: training that finds out which weights the text
//! needs, see [`VariationalDropout`](Form); those that it does not need are zero afterwards.
//!
//! Rate and optimiser are the training's: the divergence of a weight is small against its share of the loss, so that plain
//! SGD hardly moves a variance; take Adam.

use super::context::{Apply, Context};
use super::leaves::{carry, put};
use super::structure::decompose;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::recipe::VariationalDropout;
use crate::recipe::step::variational_dropout::{names, settle};

impl Apply for VariationalDropout {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        decompose(model, &self.matrices, |_, _| Ok(self.form()))?;
        self.train.apply(model, context)?;
        let mut outline = model.outline();
        let chosen = names(&outline, &self.matrices)?;
        settle(&mut outline, &chosen);
        let (_, mut leaves) = outline.parametrization()?;
        carry(&model.leaves, &mut leaves);
        for name in &chosen {
            let entry = model.parameters.find(name).expect("a matrix of the model");
            put(&mut leaves, name, &model.parameters.data[entry.range.clone()]);
        }
        model.reform(outline.forms, leaves)
    }
}
