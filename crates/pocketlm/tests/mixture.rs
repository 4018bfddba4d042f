//! Mixtures against the sum of what their parts say.

mod common;

use common::malformed::{replaced, says};
use common::{Parts, configuration, ngram, tiny_parts};
use pocketlm::ngram::Table;
use pocketlm::pack::{Notes, Precision, entropy_coded, mixture};
use pocketlm::{CellKind, Error, Model, Random, Sampler, Sampling, Session, State};
use proptest::prelude::*;

const TYPES: usize = 40;

/// A table of n-grams whose distributions sum to one: single words alone.
fn unigrams() -> Model {
    let table = ngram::table(1, TYPES, 0, 3);
    let mut order = table.orders[0].clone();
    let total: f32 = order.probabilities.iter().map(|p| p.exp()).sum();
    order.probabilities.iter_mut().for_each(|p| *p -= total.ln());
    ngram::model(&Table { orders: vec![order], ..table })
}

fn gru(precision: Precision) -> Model {
    Parts::random(configuration(CellKind::Gru, 0, 0, true), TYPES, 0.4, 9).model(precision)
}

/// Three models and their weights.
fn parts(precision: Precision) -> Vec<(f64, Model)> {
    vec![(0.5, tiny_parts().model(precision)), (0.3, unigrams()), (0.2, gru(precision))]
}

fn bytes(parts: &[(f64, Model)]) -> Vec<u8> {
    let parts: Vec<_> = parts.iter().map(|(weight, model)| (*weight, model)).collect();
    mixture(&parts, &Notes::default()).unwrap()
}

fn mixed(parts: &[(f64, Model)]) -> Model {
    Model::from_bytes(bytes(parts)).unwrap()
}

/// What the parts' own sessions come to after `fed`, for every token.
fn wanted(parts: &[(f64, Model)], fed: &[u32]) -> Vec<f64> {
    let mut all = vec![0.0; TYPES];
    for (weight, model) in parts {
        let mut session = Session::new(model);
        fed.iter().for_each(|&token| session.feed(token).unwrap());
        let mut own = vec![0.0; TYPES];
        session.log_probabilities(&mut own).unwrap();
        all.iter_mut().zip(own).for_each(|(sum, own)| *sum += weight * f64::from(own).exp());
    }
    all
}

proptest! {
    #[test]
    fn probabilities_are_the_weighted_sum_and_sum_to_one(
        fed in prop::collection::vec(0u32..TYPES as u32, 0..12),
    ) {
        let parts = parts(Precision::F32);
        let model = mixed(&parts);
        let mut session = Session::new(&model);
        fed.iter().for_each(|&token| session.feed(token).unwrap());
        let mut all = vec![0.0; TYPES];
        session.log_probabilities(&mut all).unwrap();
        let wanted = wanted(&parts, &fed);
        let total: f64 = all.iter().map(|&p| f64::from(p).exp()).sum();
        prop_assert!((total - 1.0).abs() < 1e-5, "{total}");
        for (id, (found, wanted)) in (0..).zip(all.iter().zip(&wanted)) {
            prop_assert!((f64::from(*found) - wanted.ln()).abs() < 1e-5, "{found} {wanted}");
            let alone = session.log_probability_of(id).unwrap();
            prop_assert!((alone - wanted.ln()).abs() < 1e-5, "{alone} {wanted}");
        }
    }
}

#[test]
fn suggestions_are_the_likeliest_words_of_the_sum() {
    let parts = parts(Precision::Int8);
    let model = mixed(&parts);
    let mut session = Session::new(&model);
    for token in [3, 30, 7, 7, 21] {
        session.feed(token).unwrap();
    }
    let wanted = wanted(&parts, &[3, 30, 7, 7, 21]);
    let is_hidden = |id: u32| model.vocabulary().is_special(id);
    let mut order: Vec<u32> = (0..TYPES as u32).filter(|&id| !is_hidden(id)).collect();
    order.sort_by(|&a, &b| wanted[b as usize].total_cmp(&wanted[a as usize]));
    let found: Vec<_> = session.suggest(4).unwrap().iter().map(|s| (s.id, s.probability)).collect();
    assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), order[..4]);
    assert!(found.iter().all(|&(id, p)| (p - wanted[id as usize]).abs() < 1e-5), "{found:?}");
    let range = model.vocabulary().prefix("the");
    let total: f64 = range.clone().map(|id| wanted[id as usize]).sum();
    let best = session.suggest_prefix("the", 1).unwrap().iter().next().unwrap();
    assert!(range.contains(&best.id));
    assert!((best.probability - wanted[best.id as usize] / total).abs() < 1e-5);
    // What was hidden in one answer is there in the next.
    assert_eq!(session.suggest(4).unwrap().iter().map(|s| s.id).collect::<Vec<_>>(), order[..4]);
}

#[test]
fn every_way_to_score_gives_the_same() {
    let parts = parts(Precision::Int8);
    let model = mixed(&parts);
    let texts = ["the under a", "then été Zug", "", "a a a an zebra", "the under an"];
    let scores = model.score_batch(&texts).unwrap();
    for (text, score) in texts.iter().zip(&scores) {
        let mut each = Vec::new();
        let alone = Session::new(&model).score_each(text, |_, p| each.push(p)).unwrap();
        assert!((alone.nll - score.nll).abs() < 1e-9, "{text}: {} {}", alone.nll, score.nll);
        assert_eq!((alone.tokens, alone.oov), (score.tokens, score.oov));
        let eos = model.vocabulary().eos();
        let ids = model.vocabulary().tokens(text).map(|token| model.vocabulary().resolve(token));
        let ids: Vec<u32> = ids.map(Result::unwrap).chain([eos]).collect();
        let mut in_blocks = Vec::new();
        Session::new(&model).evaluate_each(ids.iter().copied(), |p| in_blocks.push(p)).unwrap();
        let (ranked, _) = Session::new(&model).evaluate_with_recall(ids.iter().copied()).unwrap();
        assert!((ranked.nll - alone.nll).abs() < 1e-9);
        for (a, b) in each.iter().zip(&in_blocks) {
            assert!((a - b).abs() < 1e-9);
        }
        assert_eq!(each.len(), in_blocks.len());
    }
    let long: Vec<u32> = (0..100).map(|at| at * 7 % TYPES as u32).collect();
    let mut whole = Session::new(&model);
    let score = whole.evaluate(long.iter().copied()).unwrap();
    let mut single = Session::new(&model);
    let mut nll = 0.0;
    for &token in &long {
        nll -= single.log_probability_of(token).unwrap();
        single.feed(token).unwrap();
    }
    assert!((score.nll - nll).abs() < 1e-9 && whole.state() == single.state());
}

#[test]
fn states_branch_and_are_saved() {
    let model = mixed(&parts(Precision::Int8));
    let mut session = Session::new(&model);
    session.feed_text("the under").unwrap();
    let here = session.state().clone();
    let mut saved = vec![0; model.saved_size()];
    session.save(&mut saved).unwrap();
    let before = session.log_probability("a").unwrap();
    session.feed_text("été then").unwrap();
    session.set_state(&here).unwrap();
    assert_eq!(session.log_probability("a").unwrap().to_bits(), before.to_bits());
    let mut other = Session::new(&model);
    other.restore(&saved).unwrap();
    assert_eq!(other.log_probability("a").unwrap().to_bits(), before.to_bits());
    let bytes = here.to_bytes();
    assert_eq!(State::from_bytes(&model, &bytes).unwrap(), here);
    assert!(matches!(State::from_bytes(&model, &bytes[4..]), Err(Error::State { .. })));
    assert!(model.state_len() > model.parts()[0].model.state_len());
}

#[test]
fn samples_are_drawn_from_the_sum() {
    let parts = parts(Precision::F32);
    let model = mixed(&parts);
    let mut session = Session::new(&model);
    let mut sampler =
        Sampler::new(&model, Sampling { unknown: true, ..Sampling::default() }).unwrap();
    let mut random = Random::new(4);
    let wanted = wanted(&parts, &[]);
    let mut counts = vec![0.0; TYPES];
    let draws = 20_000;
    for _ in 0..draws {
        counts[session.sample(&mut sampler, &mut random).unwrap() as usize] += 1.0;
    }
    for (count, wanted) in counts.iter().zip(&wanted) {
        let deviation = (wanted * (1.0 - wanted) / f64::from(draws)).sqrt();
        assert!((count / f64::from(draws) - wanted).abs() < 5.0 * deviation);
    }
}

#[test]
fn a_coded_mixture_is_the_same_model() {
    let large = |seed| {
        let mut configuration = configuration(CellKind::Lstm, 0, 0, false);
        configuration.hidden = vec![60, 50];
        Parts::random(configuration, 300, 0.05, seed).bytes(Precision::Int4)
    };
    let open = |bytes: Vec<u8>| Model::from_bytes(bytes).unwrap();
    let files = [large(1), large(2)];
    let plain = bytes(&files.clone().map(|file| (0.5, open(file))));
    let coded = entropy_coded(&plain).unwrap();
    assert!(coded.len() < plain.len());
    // What is coded can be mixed too.
    let parts = files.map(|file| (0.5, open(entropy_coded(&file).unwrap())));
    assert!(parts.iter().all(|part| part.1.coded_bytes().coded > 0));
    assert!(bytes(&parts) == plain);
    let [plain, coded] = [plain, coded].map(|bytes| {
        let model = open(bytes);
        model.verify().unwrap();
        model.score_batch(&["the under a word"]).unwrap()[0].nll.to_bits()
    });
    assert_eq!(plain, coded);
}

#[test]
fn the_vocabulary_is_stored_once() {
    let parts = parts(Precision::Int8);
    let names: Vec<_> = mixed(&parts).arrays().into_iter().map(|array| array.name).collect();
    assert_eq!(names.iter().filter(|name| name.contains("vocabulary.text")).count(), 1);
    assert!(names.contains(&"0.softmax".to_string()) && names.contains(&"2.embedding".to_string()));
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let [one, two] = [tiny_parts().model(Precision::Int8), gru(Precision::Int8)];
    let refuse = |parts: &[(f64, &Model)], part: &str| {
        let text = mixture(parts, &Notes::default()).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    refuse(&[(1.0, &one)], "2 to 8");
    refuse(&[(0.5, &one), (0.6, &two)], "no shares of 1");
    refuse(&[(1.5, &one), (-0.5, &two)], "no shares of 1");
    refuse(&[(f64::NAN, &one), (0.5, &two)], "mixture");
    let other = Parts::random(configuration(CellKind::Gru, 0, 0, true), 41, 0.4, 9);
    refuse(&[(0.5, &one), (0.5, &other.model(Precision::Int8))], "other words");
    let nested = mixed(&parts(Precision::Int8));
    refuse(&[(0.5, &one), (0.5, &nested)], "of a mixture");
}

#[test]
fn files_made_wrong_are_refused() {
    let bytes = bytes(&parts(Precision::Int8));
    says(replaced(&bytes, "[0.5,0.3,0.2]", "[0.5,0.3,0.3]"), &["mixture", "no shares of 1"]);
    says(replaced(&bytes, "[0.5,0.3,0.2]", "[0.5,0.6,-0.1]"), &["mixture", "no shares of 1"]);
    says(replaced(&bytes, "[0.5,0.3,0.2]", "[1.0]"), &["mixture", "2 to 8"]);
    says(replaced(&bytes, "[0.5,0.3,0.2]", "[0.5,0.3,\\\"a\\\"]"), &["mixture", "2 to 8"]);
    says(replaced(&bytes, "[0.5,0.3,0.2]", "[0.4,0.2,0.2,0.2]"), &["configuration", "missing"]);
    says(replaced(&bytes, "\"1.ngram\"", "\"1.mixture\""), &["mixture in a mixture"]);
    says(replaced(&bytes, "\"1.ngram\"", "\"ngram\""), &["stands beside another model"]);
    says(
        replaced(&bytes, "\"2.softmax.bias\"", "\"2.softmaxxbias\""),
        &["softmax.bias", "missing"],
    );
}
