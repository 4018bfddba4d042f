//! The session equals an independent computation of the model's equations in double precision.

mod common;

use common::{Parts, Reference, configurations};
use pocketlm::pack::Precision;
use pocketlm::{CellKind, Session, Unit};

const TEXT: [&str; 6] = ["the", "été", "under", "<unk>", "a", "them"];

#[test]
fn distributions_equal_the_equations_for_every_configuration() {
    for (seed, configuration) in configurations().into_iter().enumerate() {
        let parts = Parts::random(configuration, 40, 0.8, seed as u64);
        let model = parts.model(Precision::F32);
        let mut session = Session::new(&model);
        let mut reference = Reference::new(&parts);
        let mut found = vec![0.0; 40];
        for word in TEXT {
            session.log_probabilities(&mut found).unwrap();
            let wanted = reference.log_probabilities();
            for (word, wanted) in parts.words.iter().zip(&wanted) {
                let id = model.vocabulary().id(word).unwrap() as usize;
                assert!((f64::from(found[id]) - wanted).abs() < 2e-5, "{:?}", parts.configuration);
                let one = session.log_probability(word).unwrap();
                assert!((one - wanted).abs() < 2e-5, "{:?} {word}", parts.configuration);
            }
            assert_eq!(session.feed_text(word), Ok(0));
            reference.feed(word);
        }
    }
}

#[test]
fn scores_equal_the_equations() {
    for (seed, configuration) in configurations().into_iter().enumerate() {
        let parts = Parts::random(configuration, 40, 0.8, 100 + seed as u64);
        let model = parts.model(Precision::F32);
        let mut session = Session::new(&model);
        let wanted = -Reference::new(&parts).score(&TEXT);
        let score = session.score(&TEXT.join(" ")).unwrap();
        assert_eq!((score.tokens, score.oov), (7, 0));
        assert!((score.nll - wanted).abs() < 1e-4, "{score:?} {wanted}");
    }
}

#[test]
fn half_precision_is_close_and_integers_are_closer_than_their_steps() {
    for (precision, bound) in
        [(Precision::F16, 0.01), (Precision::Int8, 0.1), (Precision::Int4, 1.0)]
    {
        for (seed, configuration) in configurations().into_iter().enumerate() {
            let parts = Parts::random(configuration, 40, 0.8, 200 + seed as u64);
            let model = parts.model(precision);
            let wanted = -Reference::new(&parts).score(&TEXT);
            let score = Session::new(&model).score(&TEXT.join(" ")).unwrap();
            let error = (score.nll - wanted).abs();
            // Nothing bounds the numbers that a uRNN gives by one.
            let bound =
                if parts.configuration.cell == CellKind::Urnn { 2.0 * bound } else { bound };
            assert!(error < bound, "{precision:?} {:?}: {error}", parts.configuration);
        }
    }
}

#[test]
fn character_models_take_characters() {
    let mut parts = common::tiny_parts();
    parts.configuration.unit = Unit::Character;
    let alphabet = "abcdefghijklmnopqrstuvwxyzäöüß ABCDEFGHI";
    parts.words = alphabet.chars().map(String::from).collect();
    parts.words[0] = "<eos>".into();
    let model = parts.model(Precision::F32);
    let mut reference = Reference::new(&parts);
    let wanted = -reference.score(&["b", "ä", " ", "c"]) - reference.score(&["d"]);
    let score = Session::new(&model).score("bä c\nd").unwrap();
    assert_eq!(score.tokens, 7);
    assert!((score.nll - wanted).abs() < 1e-4);
}
