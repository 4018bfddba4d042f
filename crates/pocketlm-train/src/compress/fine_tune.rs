//! Fine-tuning: training goes on in the forms that the model has by now.

use pocketlm::pack::write_file_with;
use sha2::{Digest, Sha256};
use toml::Table;

use super::context::{Apply, Context};
use crate::checkpoint::Checkpoint;
use crate::corpus::{Corpus, hex};
use crate::error::{Error, Result};
use crate::recipe::FineTune;
use crate::train::{Outcome, Trainer, is_begun};

/// What a training starts from and how it goes on, as one hash in hexadecimal.
fn origin(model: &Checkpoint, train: &Table, corpus: &Corpus) -> String {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(&model.config).expect("a configuration is JSON"));
    digest.update(bytemuck::cast_slice::<f32, u8>(&model.leaves.data));
    digest.update(train.to_string());
    digest.update(corpus.sha256());
    hex(&digest.finalize())
}

impl Apply for FineTune {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let corpus = context.corpus.expect("asked for by needs_text");
        let mut recipe = self.recipe(&model.config.recipe)?;
        let options = context.training(model.config.provenance.seed);
        let origin = origin(model, &self.train, corpus);
        let mark = options.out.join("made_from");
        let is_same = std::fs::read_to_string(&mark).is_ok_and(|text| text == origin);
        if is_begun(&options.out) && !is_same {
            // What is left there of another model, other steps or other text.
            std::fs::remove_dir_all(&options.out).map_err(Error::io(&options.out))?;
        }
        let mut trainer = if is_begun(&options.out) {
            Trainer::resume(corpus, options.clone())?
        } else {
            // Without its own keys a training does not prune, whatever the one before did, nor shrink units, nor ask the
            // teachers of the one before, which may be gone.
            if !self.train.contains_key("distillation") {
                recipe.train.distillation = None;
            }
            if !self.train.contains_key("prune") {
                recipe.train.prune = None;
            }
            if !self.train.contains_key("regrowth") {
                recipe.train.regrowth = None;
            }
            if !self.train.contains_key("group_lasso") {
                recipe.train.group_lasso = 0.0;
            }
            let trainer = Trainer::start_from(corpus, model, recipe, options.clone())?;
            write_file_with(&mark, |file| file.write_all(origin.as_bytes()))
                .map_err(Error::io(&mark))?;
            trainer
        };
        if trainer.run(context.stop, &mut |event| (context.observe)(event))? == Outcome::Stopped {
            return Err(Error::Stopped { work: options.out });
        }
        *model = Checkpoint::load(&options.out)?;
        Ok(())
    }
}
