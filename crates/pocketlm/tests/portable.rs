//! Integer models give the same bits on every machine and with every version of the kernels.
//!
//! The expected numbers were computed once, on x86-64; a machine or a version that differs in any bit of a score
//! or in any suggestion fails here. One test only: the choice of the kernels is the process's.

mod common;

use common::{Parts, configurations};
use pocketlm::Session;
use pocketlm::pack::Precision;
use pocketlm_kernels::backend::{Backend, force};

const TEXT: &str = "the under a then Zug\nthem été an unknown";

/// FNV-1a over what is the same everywhere: scores to the last bit, suggested ids, states.
fn fingerprint(precision: Precision) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bits: u64| hash = (hash ^ bits).wrapping_mul(0x0000_0100_0000_01b3);
    for (seed, mut configuration) in configurations().into_iter().enumerate() {
        // Wider than a group of int4 and than any register, and no multiple of any block.
        configuration.hidden[0] = 141;
        let model = Parts::random(configuration, 333, 0.6, seed as u64).model(precision);
        let mut session = Session::new(&model);
        add(session.score(TEXT).unwrap().nll.to_bits());
        session.feed_text(TEXT).unwrap();
        session.suggest(5).iter().for_each(|found| add(found.id.into()));
        session.suggest_prefix("un", 5).iter().for_each(|found| add(found.probability.to_bits()));
        session.state().to_bytes().iter().for_each(|&byte| add(byte.into()));
        for score in model.score_batch(&[TEXT, "a", "the"]).unwrap() {
            add(score.nll.to_bits());
        }
    }
    hash
}

#[test]
fn integer_models_give_the_same_bits_everywhere() {
    for backend in Backend::available() {
        assert!(force(backend));
        let found = [Precision::Int8, Precision::Int4].map(fingerprint);
        assert_eq!(found.map(|hash| format!("{hash:016x}")), EXPECTED, "{}", backend.name());
    }
}

const EXPECTED: [&str; 2] = ["46639e0ccebf2199", "29acd514d23e1e1e"];
