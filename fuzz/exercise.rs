//! What is done with every input: by the fuzzer, and by the ordinary tests with the seeds.

use pocketlm::{Model, Random, Sampler, Sampling, Session};

/// Opens `bytes` as a model and, if it opens, uses it in every way. Returns whether it opened.
pub fn exercise(bytes: &[u8]) -> bool {
    let Ok(model) = Model::from_bytes(bytes.to_vec()) else { return false };
    let _ = model.verify();
    assert!(!model.arrays().is_empty() && model.matrices().is_empty() != model.orders().is_empty());
    let _ = model.ngrams();
    let vocabulary = model.vocabulary();
    let mut buffer = Vec::new();
    for id in 0..(vocabulary.len() as u32).min(100) {
        let word = vocabulary.word(id, &mut buffer).expect("an id below the number of types");
        assert_eq!(vocabulary.id(word), Some(id), "a word is found under its id");
    }
    let mut session = Session::new(&model);
    let _ = session.feed_text("the cat\nsat on nothing");
    for token in [0, 7, vocabulary.len() as u32 - 1, u32::MAX] {
        let _ = session.feed(token);
    }
    if let Ok(found) = session.suggest(5) {
        assert!(found.iter().all(|found| !found.word.is_empty() && found.probability.is_finite()));
    }
    if let Ok(found) = session.suggest_prefix("t", 5) {
        assert!(found.iter().all(|found| found.word.starts_with('t')));
    }
    assert!(session.score("the cat").map_or(true, |score| score.nll.is_finite()));
    let _ = session.evaluate([0, 1, vocabulary.eos()]);
    let _ = model.score_batch(&["the cat", "sat"]);
    let mut sampler = Sampler::new(&model, Sampling::default()).expect("the default is possible");
    let _ = session.sample(&mut sampler, &mut Random::new(1));
    true
}
