//! Rescoring against sessions that score one hypothesis after the other.

mod common;

use common::{Parts, configurations, tiny, tiny_parts};
use pocketlm::pack::Precision;
use pocketlm::{Error, Hypothesis, Model, Session, Weights};
use proptest::prelude::*;

/// What a session says of each token of `ids`, from the beginning of a text.
fn alone(model: &Model, ids: &[u32]) -> Vec<f64> {
    let mut all = Vec::new();
    Session::new(model).evaluate_each(ids.iter().copied(), |value| all.push(value)).unwrap();
    all
}

fn agrees(model: &Model, hypotheses: &[Vec<u32>], tolerance: f64) {
    let scores = model.score_hypotheses(hypotheses).unwrap();
    assert_eq!(scores.len(), hypotheses.len());
    for (ids, found) in hypotheses.iter().zip(scores) {
        let wanted = alone(model, ids);
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= tolerance, "{ids:?}: {found} {wanted}");
        }
    }
}

/// Hypotheses that part early and late, one that begins another, equal ones and one without any token.
fn lists() -> Vec<Vec<u32>> {
    let long: Vec<u32> = (0..50).map(|i| i * 7 % 40).collect();
    let mut lists = vec![vec![], vec![3], vec![3, 4, 5], long.clone(), vec![3, 4], vec![3, 4, 5]];
    for at in 0..50 {
        let mut other = long.clone();
        other[at] = (other[at] + 1) % 40;
        lists.push(other);
    }
    // More than are taken through the model side by side.
    lists.extend((0..600).map(|i| vec![i % 40, i / 40, i % 7]));
    lists
}

#[test]
fn every_cell_gives_what_a_session_gives() {
    for configuration in configurations() {
        let model = Parts::random(configuration, 40, 0.4, 3).model(Precision::F32);
        agrees(&model, &lists()[..56], 1e-4);
    }
}

#[test]
fn integer_matrices_agree_to_the_bit() {
    for precision in [Precision::Int8, Precision::Int4, Precision::Ternary] {
        agrees(&tiny(precision), &lists(), 0.0);
    }
}

#[test]
fn n_grams_agree_to_the_bit() {
    let model = common::ngram::model(&common::ngram::table(3, 40, 0, 5));
    let types = model.vocabulary().len() as u32;
    let lists: Vec<Vec<u32>> =
        lists().iter().map(|ids| ids.iter().map(|id| id % types).collect()).collect();
    agrees(&model, &lists, 0.0);
}

proptest! {
    #[test]
    fn any_hypotheses_in_any_order(
        lists in prop::collection::vec(prop::collection::vec(0u32..4, 0..6), 0..80),
    ) {
        agrees(&tiny(Precision::Int8), &lists, 0.0);
    }
}

#[test]
fn the_total_is_what_its_parts_come_to() {
    let model = tiny(Precision::Int8);
    let heard = ["the under a", "then été", "the", "", "zebra them"];
    let hypotheses: Vec<_> =
        heard.iter().zip(1..).map(|(text, n)| Hypothesis { text, score: f64::from(n) }).collect();
    let weights =
        Weights { lm_scale: 0.7, insertion_penalty: 0.3, length_bonus: 0.2, unk_penalty: 2.0 };
    let ranked = model.rescore(&hypotheses, &weights).unwrap();
    assert!(ranked.windows(2).all(|pair| pair[0].total >= pair[1].total));
    let mut places: Vec<_> = ranked.iter().map(|rescored| rescored.index).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2, 3, 4]);
    let (words, letters) = ([3.0, 2.0, 1.0, 0.0, 2.0], [9.0, 7.0, 3.0, 0.0, 9.0]);
    let mut session = Session::new(&model);
    for rescored in &ranked {
        let at = rescored.index;
        let score = session.score(heard[at]).unwrap();
        assert_eq!((rescored.score.tokens, rescored.score.oov), (score.tokens, score.oov));
        let wanted = (at + 1) as f64 - 0.7 * (score.nll + 2.0 * score.oov as f64) - 0.3 * words[at]
            + 0.2 * letters[at];
        assert!((rescored.total - wanted).abs() < 1e-9, "{rescored:?} {wanted}");
    }
}

#[test]
fn equals_stay_in_order() {
    let model = tiny(Precision::Int8);
    let hypotheses = [Hypothesis { text: "the", score: 0.0 }; 4];
    let ranked = model.rescore(&hypotheses, &Weights::default()).unwrap();
    assert!(ranked.iter().map(|rescored| rescored.index).eq(0..4));
    assert!(model.rescore(&[], &Weights::default()).unwrap().is_empty());
}

#[test]
fn faults_are_errors() {
    let model = tiny(Precision::Int8);
    let error = model.score_hypotheses(&[vec![1], vec![40]]).unwrap_err();
    assert!(matches!(error, Error::Token { .. }), "{error}");
    for score in [f64::NAN, f64::INFINITY] {
        let error = model.rescore(&[Hypothesis { text: "a", score }], &Weights::default());
        assert!(matches!(error, Err(Error::NotFinite { .. })));
    }
    let mut parts = tiny_parts();
    parts.weights.values_mut().flatten().for_each(|weight| *weight *= 1e30);
    let model = parts.model(Precision::F32);
    let error = model.score_hypotheses(&[vec![1, 2, 3]]).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
}
