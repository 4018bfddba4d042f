//! N-gram models against a plain map of n-grams, and files against the tables they were made from.

mod common;

use common::ngram::{Reference, model, table};
use pocketlm::pack::Notes;
use pocketlm::{Error, Model, Random, Sampler, Sampling, Session, State};
use proptest::prelude::*;

/// Tokens that come in a model's n-grams and tokens that do not, with ends of lines.
fn stream(types: usize, eos: u32, length: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    let mut token = |at: usize| match at % 11 {
        10 => eos,
        _ => (random.unit() * random.unit() * types as f64) as u32,
    };
    (0..length).map(&mut token).collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-5
}

#[test]
fn every_probability_is_that_of_the_plain_map() {
    for order in 1..=6 {
        let table = table(order, 40, 0, order as u64);
        let (model, reference) = (model(&table), Reference::new(&table));
        model.verify().unwrap();
        let mut session = Session::new(&model);
        let mut fed = vec![table.eos];
        let mut all = vec![0.0; 40];
        for token in stream(40, table.eos, 300, 7) {
            session.log_probabilities(&mut all).unwrap();
            for id in 0..40 {
                let wanted = reference.log_probability(&fed, id);
                let found = session.log_probability_of(id).unwrap();
                assert!(close(found, wanted), "order {order}, {fed:?} {id}: {found} {wanted}");
                assert!(close(all[id as usize].into(), wanted), "order {order}, {fed:?} {id}");
            }
            session.feed(token).unwrap();
            fed.push(token);
        }
    }
}

#[test]
fn suggestions_are_the_likeliest_words() {
    let table = table(4, 60, 0, 3);
    let model = model(&table);
    let mut session = Session::new(&model);
    for token in stream(60, table.eos, 50, 2) {
        session.feed(token).unwrap();
        let mut all = vec![0.0; 60];
        session.log_probabilities(&mut all).unwrap();
        let hidden = |id: &u32| model.vocabulary().is_special(*id);
        let mut order: Vec<u32> = (0..60).filter(|id| !hidden(id)).collect();
        order.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
        let found: Vec<_> =
            session.suggest(5).unwrap().iter().map(|s| (s.id, s.probability)).collect();
        assert_eq!(found.iter().map(|s| s.0).collect::<Vec<_>>(), order[..5]);
        for (id, probability) in found {
            assert!(close(probability.ln(), all[id as usize].into()));
        }
        let range = model.vocabulary().prefix("th");
        let mass: f64 = range.clone().map(|id| f64::from(all[id as usize]).exp()).sum();
        let order: Vec<u32> = order.into_iter().filter(|id| range.contains(id)).collect();
        let found = session.suggest_prefix("th", 3).unwrap();
        for (found, id) in found.iter().zip(order) {
            assert_eq!(found.id, id);
            assert!(close(found.probability, f64::from(all[id as usize]).exp() / mass));
        }
    }
}

#[test]
fn scores_are_those_of_feeding_word_by_word() {
    let table = table(3, 50, 0, 5);
    let model = model(&table);
    let (text, rest) = ("the then under a\nZug nonsense été", "an unheard of word");
    let mut session = Session::new(&model);
    let mut plain = |text: &str| {
        session.reset();
        let eos = pocketlm::Token { text: "", id: Some(table.eos) };
        let mut nll = 0.0;
        for token in model.vocabulary().tokens(text).chain([eos]) {
            let id = model.vocabulary().resolve(token).unwrap();
            nll -= session.log_probability_of(id).unwrap();
            session.feed(id).unwrap();
        }
        nll
    };
    let wanted = [plain(text), plain(rest)];
    let batch = model.score_batch(&[text, rest]).unwrap();
    session.feed_text("the a").unwrap();
    let state = session.state().clone();
    let score = session.score(text).unwrap();
    assert_eq!(*session.state(), state, "scoring leaves the state alone");
    assert_eq!((score.tokens, score.oov), (9, 1));
    assert!(close(score.nll, wanted[0]) && close(batch[0].nll, wanted[0]));
    assert!(close(batch[1].nll, wanted[1]));
    let ids = model.vocabulary().lines(text).map(|token| model.vocabulary().resolve(token));
    let ids: Vec<u32> = ids.collect::<Result<_, _>>().unwrap();
    session.reset();
    assert!(close(session.evaluate(ids).unwrap().nll, wanted[0]));
}

#[test]
fn states_branch_are_stored_and_hold_no_more_than_matters() {
    let table = table(4, 40, 0, 6);
    let model = model(&table);
    let mut session = Session::new(&model);
    session.feed_text("the then").unwrap();
    let state = session.state().clone();
    let before = session.log_probability("a").unwrap();
    session.feed_text("under a\nthem").unwrap();
    session.set_state(&State::from_bytes(&model, &state.to_bytes()).unwrap()).unwrap();
    assert_eq!(session.log_probability("a").unwrap(), before);
    // What stands in the line before makes no difference.
    let mut other = Session::new(&model);
    other.feed_text("under\n").unwrap();
    session.reset();
    assert_eq!(other.state(), session.state());
    // Nor does a token out of range, or a state of another model.
    let mut bytes = state.to_bytes();
    bytes[..4].copy_from_slice(&40f32.to_le_bytes());
    assert!(matches!(State::from_bytes(&model, &bytes), Err(Error::State { .. })));
    bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(State::from_bytes(&model, &bytes), Err(Error::State { .. })));
    assert!(matches!(session.feed(40), Err(Error::Token { .. })));
    let wider = common::ngram::model(&common::ngram::table(4, 60, 0, 6));
    let mut foreign = Session::new(&wider);
    foreign.feed(59).unwrap();
    session.set_state(foreign.state()).unwrap();
    assert!(session.suggest(3).unwrap().len() == 3);
}

#[test]
fn samples_follow_the_distribution_and_the_seed() {
    let model = model(&table(3, 40, 0, 8));
    let mut session = Session::new(&model);
    let mut sampler = Sampler::new(&model, Sampling { temperature: 0.0, ..Sampling::default() });
    let sampler = sampler.as_mut().unwrap();
    let best = session.sample(sampler, &mut Random::new(1)).unwrap();
    session.hide(&[]);
    let unk = model.vocabulary().unk().unwrap();
    let first = session.suggest(2).unwrap().iter().map(|s| s.id).find(|&id| id != unk);
    assert_eq!(Some(best), first);
}

#[test]
fn what_the_file_says_of_itself() {
    let table = table(3, 50, 20, 9);
    let model = model(&table);
    let orders = model.orders();
    assert_eq!(orders.len(), 3);
    for (info, order) in orders.iter().zip(&table.orders) {
        assert_eq!(info.ngrams, order.len());
        assert_eq!(info.probability_bits, if info.order == 1 { 32 } else { 5 });
    }
    assert!(model.configuration().is_none() && model.matrices().is_empty());
    let all: usize = orders.iter().map(|order| order.bytes).sum();
    assert!(all + model.vocabulary().bytes() + model.header_bytes() <= model.bytes());
    let numbers: usize = table.orders.iter().map(|o| o.len() + o.backoffs.len()).sum();
    assert_eq!(model.parameters(), numbers);
    assert!(matches!(model.row("embedding", 0, &mut []), Err(Error::Matrix { .. })));
    assert!(matches!(model.bias("softmax.bias"), Err(Error::Matrix { .. })));
}

#[test]
fn tables_that_are_no_tries_are_refused() {
    let good = table(3, 40, 0, 1);
    let refused = |change: &dyn Fn(&mut pocketlm::ngram::Table), part: &str| {
        let mut table = good.clone();
        change(&mut table);
        let text = table.pack(&Notes::default()).unwrap_err().to_string();
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    };
    refused(&|t| t.words.swap(0, 1), "order of their bytes");
    refused(&|t| t.eos = 40, "<eos> or <unk>");
    refused(&|t| t.orders.clear(), "1 to 6");
    refused(&|t| t.orders[0].words.swap(0, 1), "all ids in order");
    refused(&|t| t.orders[1].probabilities[3] = f32::NAN, "order 2: a number is not finite");
    refused(&|t| t.orders[1].backoffs.clear(), "order 2: its lists");
    refused(&|t| t.orders[0].children[3] += 100_000, "order 1: its children");
    refused(&|t| t.orders[2].words.fill(7), "order 2: tokens after a context");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_file_gives_back_its_table(
        order in 1usize..=6,
        types in 20usize..200,
        levels in prop::sample::select(vec![0u64, 1, 2, 3, 100, 300]),
        seed: u64,
    ) {
        let table = table(order, types, levels, seed);
        let bytes = table.pack(&Notes::default()).unwrap();
        prop_assert_eq!(&bytes, &table.pack(&Notes::default()).unwrap());
        let model = Model::from_bytes(bytes).unwrap();
        model.verify().unwrap();
        prop_assert_eq!(model.ngrams().unwrap(), table);
    }
}
