//! How long the trainings of all rows that are asked for will still take.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pocketlm_cli::{epoch_line, note};
use pocketlm_train::matrix::Forms;
use pocketlm_train::recipe::Outline;
use pocketlm_train::recipe::Recipe;
use pocketlm_train::train::{Event, validations};

use crate::rows::TYPES;

/// One training, and those that come after it.
pub struct Queue {
    /// Of one epoch of this training.
    work: f64,
    /// Of all trainings that follow.
    later: f64,
}

impl Queue {
    /// The first of several trainings, each in its folder. One that several rows share counts once.
    pub fn of<'r>(mut trainings: impl Iterator<Item = (PathBuf, &'r Recipe)>) -> Self {
        let Some((folder, recipe)) = trainings.next() else {
            return Self { work: 1.0, later: 0.0 };
        };
        let mut seen = BTreeSet::from([folder]);
        let later = trainings.filter_map(|(folder, recipe)| {
            let done = validations(&folder).ok().and_then(|all| Some(all.last()?.epoch));
            let left = recipe.train.epochs.saturating_sub(done.unwrap_or(0));
            seen.insert(folder).then(|| work(recipe) * left as f64)
        });
        Self { work: work(recipe), later: later.sum() }
    }

    /// A line on standard error for the end of an epoch.
    pub fn show(&self, event: &Event) {
        let Some(line) = epoch_line(event) else { return };
        match self.minutes(event) {
            Some(minutes) => note!("{line}; all rows: about {} of training left", time(minutes)),
            None => note!("{line}"),
        }
    }

    /// Minutes of all trainings that are left, where others follow: as long for each number and epoch as this one took.
    fn minutes(&self, event: &Event) -> Option<f64> {
        let left = (event.epochs - event.epoch) as f64 * self.work + self.later;
        let rate = event.seconds / (event.epoch as f64 * self.work);
        (self.later > 0.0).then_some(left * rate / 60.0)
    }
}

fn time(minutes: f64) -> String {
    if minutes < 120.0 {
        format!("{minutes:.0} min")
    } else {
        format!("{:.1} hours", minutes / 60.0)
    }
}

/// Numbers that an epoch multiplies each token by. A row of the embedding is only looked up.
fn work(recipe: &Recipe) -> f64 {
    let model = recipe.model.clone();
    let looked_up = if model.tied { 0 } else { TYPES * model.embedding };
    let outline = Outline { model, vocabulary: TYPES, forms: Forms::default() };
    let numbers = outline.dense().map_or(0, |dense| dense.data.len());
    numbers.saturating_sub(looked_up).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(epoch: usize, epochs: usize, seconds: f64) -> Event {
        Event {
            split: "valid",
            epoch,
            epochs,
            step: 1,
            fraction: 1.0,
            tokens: 1,
            seconds,
            loss: 1.0,
            perplexity: 2.0,
            lr: 1.0,
            best: Some(true),
        }
    }

    #[test]
    fn what_follows_takes_as_long_for_each_number_and_epoch() {
        let small = Recipe::base("zaremba-small").unwrap();
        let large = Recipe::base("zaremba-medium").unwrap();
        let ratio = work(&large) * large.train.epochs as f64 / work(&small);
        let name = |name: &str| PathBuf::from(format!("/no/such/folder/{name}"));
        let queue =
            Queue::of([(name("a"), &small), (name("b"), &large), (name("a"), &small)].into_iter());
        let minutes = queue.minutes(&event(1, 13, 60.0)).unwrap();
        assert!((minutes / (12.0 + ratio) - 1.0).abs() < 1e-9, "{minutes}");
        let alone = Queue::of([(name("a"), &small), (name("a"), &small)].into_iter());
        assert!(alone.minutes(&event(1, 13, 60.0)).is_none());
        assert_eq!([time(95.4), time(480.0)], ["95 min", "8.0 hours"]);
    }
}
