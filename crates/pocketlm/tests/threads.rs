//! Sharing products out among threads changes no bit.
#![cfg(feature = "threads")]

mod common;

use common::{Parts, configuration};
use pocketlm::pack::Precision;
use pocketlm::{CellKind, Model, Session};

/// The bits of all log-probabilities after a text.
fn log_probabilities(model: &Model) -> Vec<u32> {
    let mut session = Session::new(model);
    session.feed_text("the under a").unwrap();
    let mut found = vec![0.0; model.vocabulary().len()];
    session.log_probabilities(&mut found).unwrap();
    found.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_pool_gives_the_numbers_of_one_thread() {
    let mut configuration = configuration(CellKind::Lstm, 0, 0, false);
    // Large enough for both the cell's matrices and the softmax to be shared out.
    configuration.hidden = vec![400];
    let parts = Parts::random(configuration, 2200, 0.1, 1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for precision in Precision::ALL {
        let model = parts.model(precision);
        let alone = log_probabilities(&model);
        assert_eq!(pool.install(|| log_probabilities(&model)), alone, "{precision:?}");
    }
}
