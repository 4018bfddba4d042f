//! Trainings for the tests: stopped where a test wants it.

use std::cell::Cell;

use pocketlm_train::train::{Outcome, Trainer};

/// Runs for so many updates at most; whether the training is finished.
pub fn sit(trainer: &mut Trainer, updates: usize) -> bool {
    let done = Cell::new(0);
    let stop = || {
        done.set(done.get() + 1);
        done.get() >= updates
    };
    trainer.run(&stop, &mut |_| ()).unwrap() == Outcome::Finished
}
