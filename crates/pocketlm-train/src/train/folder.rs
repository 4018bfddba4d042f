//! The folder of a training: what may be begun in it, what resumed, what changed.

use std::path::Path;

use crate::checkpoint::{Config, MODEL, TRAINING_STATE};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::recipe::Recipe;

/// Takes a folder for a new training. A start that was cut off before its first save is no training yet.
pub(super) fn begin_in(out: &Path) -> Result<Lock> {
    let refuse = |what: &str| Err(Error::checkpoint(out, what));
    let lock = Lock::acquire(out)?;
    match (is_begun(out), out.join(MODEL).exists()) {
        (true, true) => {
            refuse("holds a training already: add --resume to resume it, or give another folder")
        }
        (true, false) => refuse(
            "holds a training that has not finished an epoch yet: add --resume to resume it; to start afresh, \
             remove the folder or give another",
        ),
        (false, true) => refuse("holds a model already: give another folder"),
        (false, false) => {
            let has = |name: &str| out.join(name).exists();
            let is_ours = !has("config.json") || Config::load(out).is_ok();
            if !is_ours || (!has("config.json") && (has("vocab.txt") || has("metrics.jsonl"))) {
                return refuse(
                    "holds files of something else, which a training would replace: give another folder",
                );
            }
            let metrics = out.join("metrics.jsonl");
            if metrics.exists() {
                std::fs::remove_file(&metrics).map_err(Error::io(&metrics))?;
            }
            Ok(lock)
        }
    }
}

/// Takes the epochs and the learning rate of another recipe into that of a training; whether they are others.
pub(super) fn change(recipe: &mut Recipe, asked: &Recipe) -> Result<bool> {
    const CHANGEABLE: [&str; 2] = ["train.epochs", "train.lr"];
    let differences = recipe.differences(asked);
    let fixed = differences.iter().find(|(key, ..)| !CHANGEABLE.contains(&key.as_str()));
    if let Some((key, own, theirs)) = fixed {
        let what = format!(
            "is {own} in this training and cannot become {theirs}: --resume takes other epochs and another learning \
             rate; train with --from for all else"
        );
        return Err(Error::config(key, what));
    }
    (recipe.train.epochs, recipe.train.lr) = (asked.train.epochs, asked.train.lr);
    Ok(!differences.is_empty())
}

/// Whether a folder holds a training that can be resumed.
pub fn is_begun(folder: &Path) -> bool {
    folder.join(TRAINING_STATE).exists()
}

/// Checks that there is a training to be resumed.
///
/// # Errors
/// [`Error::Checkpoint`] saying what there is instead.
pub fn check_resumable(out: &Path) -> Result<()> {
    if is_begun(out) {
        return Ok(());
    }
    let has = |name: &str| out.join(name).exists();
    let what = if has(MODEL) {
        "has a model but no training state: it cannot be resumed; --from trains on from its weights"
    } else if has("config.json") {
        "nothing to resume: the training was cut off before its first save; leave out --resume to start it"
    } else {
        "nothing to resume: there is no training in it; leave out --resume to start one"
    };
    Err(Error::checkpoint(out, what))
}
