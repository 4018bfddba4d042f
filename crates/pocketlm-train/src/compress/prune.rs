//! Magnitude pruning at once.

use super::context::{Apply, Context};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::recipe::{Declare, Prune};

impl Apply for Prune {
    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        let mut outline = model.outline();
        let mut leaves = model.leaves.clone();
        self.run(&outline, model.encoder.vocabulary(), &mut leaves)?;
        self.declare(&mut outline)?;
        model.reform(outline.forms, leaves)
    }
}
