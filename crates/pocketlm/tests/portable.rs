//! Integer models give the same bits on every machine and with every version of the kernels.
//!
//! The expected numbers were computed once, on x86-64; a machine or a version that differs in any bit of a score
//! or in any suggestion fails here. One test only: the choice of the kernels is the process's.

mod common;

use common::{Parts, configurations};
use pocketlm::pack::Precision;
use pocketlm::{Configuration, Model, Session};
use pocketlm_kernels::backend::{Backend, force};

const TEXT: &str = "the under a then Zug\nthem été an unknown";

/// Models of every cell, with and without projections.
fn models(precision: Precision) -> Vec<Model> {
    let configurations = configurations().into_iter().step_by(3).enumerate();
    let model = |(seed, mut configuration): (usize, Configuration)| {
        // Wider than a group of int4 and than any register, and no multiple of any block.
        configuration.hidden[0] = 77;
        Parts::random(configuration, 133, 0.6, seed as u64).model(precision)
    };
    configurations.map(model).collect()
}

/// FNV-1a over what is the same everywhere: scores to the last bit, suggested ids, states.
fn fingerprint(models: &[Model]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bits: u64| hash = (hash ^ bits).wrapping_mul(0x0000_0100_0000_01b3);
    for model in models {
        let mut session = Session::new(model);
        add(session.score(TEXT).unwrap().nll.to_bits());
        session.feed_text(TEXT).unwrap();
        session.suggest(5).iter().for_each(|found| add(found.id.into()));
        session.suggest_prefix("un", 5).iter().for_each(|found| add(found.probability.to_bits()));
        session.state().to_bytes().iter().for_each(|&byte| add(byte.into()));
        for score in model.score_batch(&[TEXT, "a", "the"]).unwrap() {
            add(score.nll.to_bits());
        }
    }
    format!("{hash:016x}")
}

#[test]
fn integer_models_give_the_same_bits_everywhere() {
    let integers = Precision::ALL.into_iter().filter(|precision| precision.is_integer());
    let models: Vec<_> = integers.map(models).collect();
    for backend in Backend::available() {
        assert!(force(backend));
        let found: Vec<_> = models.iter().map(|models| fingerprint(models)).collect();
        assert_eq!(found, EXPECTED, "{}", backend.name());
    }
}

/// In the order of `Precision::ALL`.
const EXPECTED: [&str; 8] = [
    "91c156594a3110cd",
    "fc1bc9978351a119",
    "03d76bf14f3622e5",
    "32fcd0a6bea16b21",
    "696ecf1693394d98",
    "a52b2eee83a1aac4",
    "4cf9da7594b22ebf",
    "f28ecb6b6f205bba",
];
