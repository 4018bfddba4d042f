//! Fine-tuning: training goes on in the forms that the model has by now.

use pocketlm::pack::{Precision, write_file_with};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Table;

use super::{Context, Method, Outline};
use crate::checkpoint::Checkpoint;
use crate::corpus::{Corpus, hex};
use crate::error::{Error, Result};
use crate::group_lasso::GroupLasso;
use crate::recipe::{Draft, Recipe};
use crate::train::{Outcome, Trainer, is_begun};

/// Trains on. Its keys are those of a recipe's table `[train]`, over the settings that the model was trained
/// with; `prune` makes it prune on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FineTune {
    #[serde(flatten)]
    train: Table,
}

impl FineTune {
    /// The recipe of the training.
    fn recipe(&self, base: &Recipe) -> Result<Recipe> {
        let mut draft = Draft::of(base);
        for (key, value) in &self.train {
            draft = draft.value(&format!("train.{key}"), value.clone())?;
        }
        draft.finish()
    }
}

/// What a training starts from and how it goes on, as one hash in hexadecimal.
fn origin(model: &Checkpoint, train: &Table, corpus: &Corpus) -> String {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(&model.config).expect("a configuration is JSON"));
    digest.update(bytemuck::cast_slice::<f32, u8>(&model.leaves.data));
    digest.update(train.to_string());
    digest.update(corpus.sha256());
    hex(&digest.finalize())
}

/// Whether rounding to a precision is too slow to be done for every batch.
fn is_found_anew(precision: Precision) -> bool {
    matches!(precision, Precision::Product4 | Precision::Product8)
}

impl Method for FineTune {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        let mut leaves = outline.forms.leaves.iter();
        if let Some((name, form)) = leaves.find(|(_, form)| is_found_anew(form.precision)) {
            let what = format!(
                "comes after {name} was made {}, whose vectors would be sought anew for every batch: tune first",
                form.precision.name()
            );
            return Err(Error::config("fine-tune", what));
        }
        // Any base will do to see whether the keys are those of a training.
        let recipe = self.recipe(&Recipe::base("zaremba-small")?)?;
        if recipe.train.group_lasso > 0.0 {
            GroupLasso::new(recipe.train.group_lasso, &outline.model, &outline.forms)?;
        }
        recipe.train.declare_sparsity(outline)
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        Err(Error::config(
            "fine-tune",
            "is a step of compression: from scratch there is nothing to tune",
        ))
    }

    fn needs_text(&self) -> bool {
        true
    }

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
            // Without its own keys a training does not prune, whatever the one before did, nor shrink units.
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
