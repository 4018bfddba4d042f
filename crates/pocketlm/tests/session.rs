//! What a session promises: suggestions, states, scores and samples against one another.

mod common;

use common::{Parts, configurations, tiny, tiny_parts};
use pocketlm::pack::Precision;
use pocketlm::{Error, Model, Random, Recall, SUGGESTIONS, Sampler, Sampling, Session, State};

const TEXTS: [&str; 5] = ["the under a", "", "then Zug\nthem", "an", "a a a a a a a a a a a"];

/// All words with their probabilities, best first.
fn sorted(session: &mut Session<&Model>) -> Vec<(u32, f64)> {
    let mut found = vec![0.0; session.model().vocabulary().len()];
    session.log_probabilities(&mut found).unwrap();
    let mut list: Vec<(u32, f64)> =
        (0..).zip(found).map(|(id, value)| (id, f64::from(value).exp())).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list
}

fn word(model: &Model, id: u32) -> String {
    model.vocabulary().word(id, &mut Vec::new()).unwrap().to_string()
}

#[test]
fn suggestions_are_the_best_of_the_distribution() {
    for precision in Precision::ALL {
        let model = tiny(precision);
        let mut session = Session::new(&model);
        session.feed_text("the under").unwrap();
        let mut wanted = sorted(&mut session);
        wanted.retain(|&(id, _)| !model.vocabulary().is_special(id));
        for k in [0, 1, 3, 38, 1000] {
            let found: Vec<_> = session
                .suggest(k)
                .unwrap()
                .iter()
                .map(|s| (s.id, s.word.to_string(), s.probability))
                .collect();
            assert_eq!(found.len(), k.min(38));
            for ((id, text, probability), wanted) in found.into_iter().zip(&wanted) {
                assert_eq!((id, text), (wanted.0, word(&model, wanted.0)));
                assert!((probability - wanted.1).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn suggestions_with_a_prefix_are_renormalised_over_its_words() {
    let model = tiny(Precision::Int8);
    let mut session = Session::new(&model);
    session.feed_text("under").unwrap();
    let all = sorted(&mut session);
    for prefix in ["", "t", "the", "then", "é", "un", "x", "<", "\u{10ffff}", "я"] {
        let with: Vec<_> =
            all.iter().filter(|(id, _)| word(&model, *id).starts_with(prefix)).collect();
        let total: f64 = with.iter().map(|(_, probability)| probability).sum();
        let wanted = with.iter().filter(|(id, _)| !model.vocabulary().is_special(*id));
        let found = session.suggest_prefix(prefix, 50).unwrap();
        assert_eq!(found.len(), wanted.clone().count(), "{prefix}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(found.id, wanted.0);
            assert!((found.probability - wanted.1 / total).abs() < 1e-6);
        }
    }
}

#[test]
fn what_is_hidden_is_the_callers_choice() {
    let model = tiny(Precision::F32);
    let mut session = Session::new(&model);
    let all: Vec<u32> = sorted(&mut session).iter().map(|entry| entry.0).collect();
    session.hide(&[]);
    assert_eq!(session.suggest(40).unwrap().iter().map(|s| s.id).collect::<Vec<_>>(), all);
    session.hide(&[all[2], all[0], 4_000_000_000]);
    assert_eq!(
        session.suggest(2).unwrap().iter().map(|s| s.id).collect::<Vec<_>>(),
        [all[1], all[3]]
    );
}

#[test]
fn more_suggestions_than_there_is_room_for_are_given_too() {
    let parts = Parts::random(tiny_parts().configuration, 300, 0.5, 3);
    let model = parts.model(Precision::F32);
    let mut session = Session::new(&model);
    assert_eq!(session.suggest(SUGGESTIONS * 3).unwrap().len(), SUGGESTIONS * 3);
    assert_eq!(session.suggest(2).unwrap().len(), 2);
    assert_eq!(session.suggest(1000).unwrap().len(), 298);
}

#[test]
fn a_state_can_be_put_back_stored_and_compared() {
    let model = tiny(Precision::Int4);
    let mut session = Session::new(&model);
    session.feed_text("the").unwrap();
    let here = session.state().clone();
    let wanted = session.log_probability("a").unwrap();
    let stored = here.to_bytes();
    assert_eq!(stored.len(), here.size());
    session.feed_text("under them").unwrap();
    assert_ne!(*session.state(), here);
    session.set_state(&State::from_bytes(&model, &stored).unwrap()).unwrap();
    assert_eq!(*session.state(), here);
    assert_eq!(session.log_probability("a"), Ok(wanted));
    session.reset();
    assert_eq!(session.state(), Session::new(&model).state());
}

#[test]
fn a_foreign_state_is_refused() {
    let model = tiny(Precision::F32);
    let mut configuration = configurations().remove(0);
    configuration.hidden.push(5);
    let other = Parts::random(configuration, 40, 0.5, 1).model(Precision::F32);
    let mut session = Session::new(&model);
    let foreign = State::zero(&other);
    assert!(matches!(session.set_state(&foreign), Err(Error::State { .. })));
    let bytes = State::zero(&model).to_bytes();
    for cut in [0, 1, bytes.len() - 1, bytes.len() - 4] {
        assert!(matches!(State::from_bytes(&model, &bytes[..cut]), Err(Error::State { .. })));
    }
    let mut damaged = bytes;
    damaged[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(State::from_bytes(&model, &damaged), Err(Error::State { .. })));
}

#[test]
fn a_saved_state_is_restored_by_its_own_model_only() {
    let ngrams = |seed| common::ngram::model(&common::ngram::table(3, 300, 100, seed));
    for (model, other) in [(tiny(Precision::Int8), tiny(Precision::Int4)), (ngrams(1), ngrams(2))] {
        let mut session = Session::new(&model);
        session.feed_text("the under").unwrap();
        let (here, mut saved) = (session.state().clone(), vec![0; model.saved_size()]);
        session.save(&mut saved).unwrap();
        assert!(matches!(session.save(&mut saved[1..]), Err(Error::Length { .. })));
        session.feed_text("them").unwrap();
        let there = session.state().clone();
        for cut in [0, 3, 7, 8, saved.len() - 1] {
            assert!(matches!(session.restore(&saved[..cut]), Err(Error::State { .. })));
        }
        let mut damaged = saved.clone();
        damaged[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(matches!(session.restore(&damaged), Err(Error::State { .. })));
        assert_eq!(*session.state(), there);
        session.restore(&saved).unwrap();
        assert_eq!(*session.state(), here);
        // Of the same size, yet not of this model.
        assert_eq!(other.saved_size(), model.saved_size());
        assert_eq!(
            Session::new(&other).restore(&saved),
            Err(Error::State { problem: "it is of another model" })
        );
    }
}

#[test]
fn a_score_tells_of_each_token() {
    let model = tiny(Precision::Int8);
    let mut session = Session::new(&model);
    let (mut nll, mut tokens) = (0.0, Vec::new());
    let text = "the nonsense a";
    let score = session.score_each(text, |token, log_probability| {
        nll -= log_probability;
        tokens.push((token.text.to_owned(), token.id.is_some()));
    });
    assert_eq!(score.as_ref().map(|score| score.nll), Ok(nll));
    assert_eq!(score, session.score(text));
    let wanted = [("the", true), ("nonsense", false), ("a", true), ("", true)];
    assert!(tokens.iter().map(|(text, known)| (&**text, *known)).eq(wanted));
    session.feed_text("under").unwrap();
    let mut next = Vec::new();
    session.score_next_each("the", |_, log_probability| next.push(log_probability)).unwrap();
    assert_eq!(next, [session.log_probability("the").unwrap()]);
}

#[test]
fn a_text_is_completed_as_its_parts_are() {
    let model = tiny(Precision::Int8);
    let mut session = Session::new(&model);
    session.feed_text("not from the beginning").unwrap();
    for (text, context, typed) in [("the under th", "the under", "th"), ("the ", "the", "")] {
        let mut found = Vec::new();
        session.complete(text, 3, |word, p| found.push((word.to_owned(), p))).unwrap();
        let mut other = Session::new(&model);
        other.feed_text(context).unwrap();
        let wanted = other.suggest_prefix(typed, 3).unwrap();
        let wanted: Vec<_> = wanted.iter().map(|s| (s.word.to_owned(), s.probability)).collect();
        assert!(!wanted.is_empty());
        if !typed.is_empty() {
            assert_eq!(found, wanted);
        }
        assert!(found.iter().map(|(word, _)| word).eq(wanted.iter().map(|(word, _)| word)));
    }
}

#[test]
fn a_model_of_characters_completes_whole_words() {
    use pocketlm::subword::words::{Place, WordSearch};

    let bytes = include_bytes!("../../../fuzz/seeds/open/characters-int4.plm");
    let model = Model::from_bytes(bytes.to_vec()).unwrap();
    let (mut session, mut other) = (Session::new(&model), Session::new(&model));
    let mut search = WordSearch::new(&model).unwrap();
    let texts = model.vocabulary().words().map(|letter| format!("a {letter}"));
    let mut some = false;
    for text in texts.chain(["a ".to_owned()]) {
        let mut found = Vec::new();
        session.complete(&text, 3, |word, p| found.push((word.to_owned(), p))).unwrap();
        let (context, place) = Place::within(model.vocabulary(), &text);
        other.reset();
        other.feed_text(context).unwrap();
        let wanted = search.suggest(&mut other, &place, 3).unwrap().found;
        let wanted: Vec<_> = wanted.into_iter().map(|one| (one.word, one.probability)).collect();
        assert_eq!(found, wanted, "{text:?}");
        some |= !found.is_empty();
    }
    assert!(some);
}

#[test]
fn scoring_leaves_the_state_alone() {
    let model = tiny(Precision::F32);
    let mut session = Session::new(&model);
    session.feed_text("the").unwrap();
    let (here, wanted) = (session.state().clone(), session.log_probability("a").unwrap());
    session.score("then under").unwrap();
    assert_eq!(session.score_next("a").unwrap().nll, -wanted);
    assert_eq!(*session.state(), here);
    assert_eq!(session.log_probability("a"), Ok(wanted));
}

#[test]
fn the_score_of_a_text_is_that_of_its_parts() {
    let model = tiny(Precision::Int8);
    let mut session = Session::new(&model);
    let whole = session.score("the under a").unwrap();
    let mut parts = 0.0;
    for word in ["the", "under", "a", "\n"] {
        parts += session.score_next(word).unwrap().nll;
        session.feed_text(word).unwrap();
    }
    assert_eq!((whole.nll, whole.tokens), (parts, 4));
    assert_eq!(session.score("the under a\n"), Ok(whole));
}

#[test]
fn unknown_words_are_counted_and_scored_as_unk() {
    let model = tiny(Precision::F32);
    let mut session = Session::new(&model);
    let (known, unknown) =
        (session.score("the <unk> a").unwrap(), session.score("the nonsense a").unwrap());
    assert_eq!((known.oov, unknown.oov), (0, 1));
    assert_eq!(known.nll, unknown.nll);
    assert_eq!(session.feed_text("x the y"), Ok(2));
}

#[test]
fn without_unk_an_unknown_word_is_an_error() {
    let mut parts = tiny_parts();
    parts.words[0] = "zebra".into();
    let model = parts.model(Precision::F32);
    let mut session = Session::new(&model);
    let wanted = Err(Error::UnknownWord { word: "nonsense".into() });
    assert_eq!(session.score("the nonsense"), wanted);
    assert_eq!(model.score_batch(&["the", "the nonsense"]).map(|_| ()), wanted.map(|_| ()));
    assert!(session.feed_text("nonsense").is_err());
    assert!(session.log_probability("nonsense").is_err());
    assert!(session.score("the zebra").is_ok());
}

#[test]
fn tokens_out_of_range_are_errors() {
    let model = tiny(Precision::F32);
    let mut session = Session::new(&model);
    let wanted = Error::Token { token: 40, types: 40 };
    assert_eq!(session.feed(40), Err(wanted.clone()));
    assert_eq!(session.log_probability_of(40), Err(wanted.clone()));
    assert_eq!(session.evaluate([1, 40]), Err(wanted));
    assert_eq!(
        session.log_probabilities(&mut [0.0; 39]),
        Err(Error::Length { given: 39, needed: 40 })
    );
    assert_eq!(model.vocabulary().word(40, &mut Vec::new()), None);
}

/// Negative log-likelihood of `ids` one by one.
fn stepwise(model: &Model, ids: &[u32]) -> f64 {
    let mut session = Session::new(model);
    ids.iter().fold(0.0, |sum, &id| {
        let sum = sum - session.log_probability_of(id).unwrap();
        session.feed(id).unwrap();
        sum
    })
}

fn ids(model: &Model, count: usize) -> Vec<u32> {
    let mut random = Random::new(9);
    (0..count).map(|_| (random.bits() % model.vocabulary().len() as u64) as u32).collect()
}

#[test]
fn evaluation_in_blocks_is_that_of_single_steps() {
    for (seed, configuration) in configurations().into_iter().enumerate() {
        for precision in Precision::ALL {
            let parts = Parts::random(configuration.clone(), 300, 0.7, seed as u64);
            let model = parts.model(precision);
            let ids = ids(&model, 77);
            let wanted = stepwise(&model, &ids);
            let mut session = Session::new(&model);
            let found = session.evaluate(ids.iter().copied()).unwrap();
            assert_eq!((found.tokens, found.oov), (77, 0));
            if precision.is_integer() {
                assert_eq!(found.nll, wanted, "{precision:?} {:?}", parts.configuration);
            } else {
                assert!((found.nll - wanted).abs() < 1e-3);
            }
            session.reset();
            let first = session.evaluate(ids[..40].iter().copied()).unwrap();
            let second = session.evaluate(ids[40..].iter().copied()).unwrap();
            assert!((first.nll + second.nll - wanted).abs() < 1e-3);
        }
    }
}

#[test]
fn recall_is_that_of_the_sorted_distribution() {
    for (seed, configuration) in configurations().into_iter().enumerate() {
        let model = Parts::random(configuration, 300, 0.7, seed as u64).model(Precision::Int8);
        let mut session = Session::new(&model);
        let mut distribution = vec![0.0; model.vocabulary().len()];
        let mut random = Random::new(3);
        let (mut ids, mut wanted) = (Vec::new(), Recall::default());
        for _ in 0..70 {
            session.log_probabilities(&mut distribution).unwrap();
            let mut order: Vec<u32> = (0..distribution.len() as u32).collect();
            order.sort_by(|&a, &b| distribution[b as usize].total_cmp(&distribution[a as usize]));
            let rank = (random.bits() % 6) as usize;
            wanted.add(rank);
            ids.push(order[rank]);
            session.feed(order[rank]).unwrap();
        }
        session.reset();
        let (score, found) = session.evaluate_with_recall(ids.iter().copied()).unwrap();
        assert_eq!(found, wanted);
        session.reset();
        assert_eq!(score, session.evaluate(ids).unwrap());
    }
}

#[test]
fn scores_of_many_texts_are_those_of_each() {
    for (seed, configuration) in configurations().into_iter().enumerate() {
        for precision in Precision::ALL {
            let model = Parts::random(configuration.clone(), 40, 0.7, seed as u64).model(precision);
            let texts: Vec<String> =
                (0..80).map(|i| TEXTS[i % 5].to_string() + &" the".repeat(i % 7)).collect();
            let found = model.score_batch(&texts).unwrap();
            let mut session = Session::new(&model);
            for (text, found) in texts.iter().zip(found) {
                let wanted = session.score(text).unwrap();
                if precision.is_integer() {
                    assert_eq!(found, wanted);
                }
                assert!((found.nll - wanted.nll).abs() < 1e-3);
                assert_eq!((found.tokens, found.oov), (wanted.tokens, wanted.oov));
            }
        }
    }
    assert_eq!(tiny(Precision::F32).score_batch::<&str>(&[]), Ok(vec![]));
}

#[test]
fn samples_follow_the_distribution() {
    let model = tiny(Precision::F32);
    let mut session = Session::new(&model);
    let sampling = Sampling { unknown: true, ..Sampling::default() };
    let mut sampler = Sampler::new(&model, sampling).unwrap();
    let mut random = Random::new(7);
    let mut counts = [0u32; 40];
    let draws = 20_000;
    for _ in 0..draws {
        counts[session.sample(&mut sampler, &mut random).unwrap() as usize] += 1;
    }
    let chi_square: f64 = sorted(&mut session)
        .into_iter()
        .map(|(id, p)| (p, f64::from(counts[id as usize]) / f64::from(draws)))
        .map(|(p, found)| (found - p).powi(2) / p * f64::from(draws))
        .sum();
    // 39 degrees of freedom: above 80 comes once in ten thousand seeds.
    assert!(chi_square < 80.0, "{chi_square}");
}

#[test]
fn samples_keep_to_the_best() {
    let model = tiny(Precision::F32);
    let mut session = Session::new(&model);
    let best = sorted(&mut session);
    let unk = model.vocabulary().unk().unwrap();
    let best: Vec<_> = best.into_iter().filter(|entry| entry.0 != unk).collect();
    let total: f64 = best.iter().map(|entry| entry.1).sum();
    let mut random = Random::new(1);
    let mut drawn = |sampling| {
        let mut sampler = Sampler::new(&model, sampling).unwrap();
        let mut seen: Vec<u32> =
            (0..2000).map(|_| session.sample(&mut sampler, &mut random).unwrap()).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    let ids = |count: usize| {
        let mut ids: Vec<u32> = best[..count].iter().map(|entry| entry.0).collect();
        ids.sort_unstable();
        ids
    };
    let base = Sampling::default();
    assert_eq!(drawn(Sampling { top_k: 3, ..base }), ids(3));
    assert_eq!(drawn(Sampling { temperature: 0.0, ..base }), ids(1));
    assert_eq!(drawn(Sampling { temperature: 0.001, ..base }), ids(1));
    let half = (best[0].1 + best[1].1 / 2.0) / total;
    assert_eq!(drawn(Sampling { top_p: half, ..base }), ids(2));
    assert_eq!(drawn(base).len(), 39);
}

#[test]
fn impossible_sampling_is_refused() {
    let model = tiny(Precision::F32);
    let base = Sampling::default();
    for sampling in [
        Sampling { temperature: -1.0, ..base },
        Sampling { temperature: f64::NAN, ..base },
        Sampling { temperature: f64::INFINITY, ..base },
        Sampling { top_p: 0.0, ..base },
        Sampling { top_p: 1.1, ..base },
        Sampling { top_p: f64::NAN, ..base },
    ] {
        assert!(matches!(Sampler::new(&model, sampling), Err(Error::Sampling { .. })));
    }
}

#[test]
fn random_numbers_are_those_of_splitmix64() {
    // The reference implementation's first values for the seed 1234567 (Vigna, splitmix64.c).
    let mut random = Random::new(1_234_567);
    let found: Vec<u64> = (0..3).map(|_| random.bits()).collect();
    assert_eq!(found, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
}

#[test]
fn a_session_may_own_or_share_its_model() {
    let model = std::sync::Arc::new(tiny(Precision::F32));
    let mut shared = Session::new(model.clone());
    let handle = std::thread::spawn(move || Session::new(model).log_probability("the"));
    assert_eq!(shared.log_probability("the"), handle.join().unwrap());
    assert_eq!(Session::new(tiny(Precision::F32)).suggest(1).unwrap().len(), 1);
}

#[test]
fn marks_of_a_sentence_are_never_suggested_nor_drawn() {
    let mut parts = tiny_parts();
    for (at, mark) in [(5, "<s>"), (6, "</s>")] {
        parts.words[at] = mark.into();
    }
    let model = parts.model(Precision::F32);
    let is_mark = |word: &str| ["<s>", "</s>", "<unk>", "<eos>"].contains(&word);
    let mut session = Session::new(&model);
    let found = session.suggest(40).unwrap();
    assert_eq!(found.len(), 36);
    assert!(found.iter().all(|found| !is_mark(found.word)));
    assert!(session.suggest_prefix("<", 5).unwrap().is_empty());
    let mut sampler = Sampler::new(&model, Sampling::default()).unwrap();
    let (mut random, mut buffer) = (Random::new(1), Vec::new());
    for _ in 0..2000 {
        let token = session.sample(&mut sampler, &mut random).unwrap();
        let word = model.vocabulary().word(token, &mut buffer).unwrap();
        assert!(word == "<eos>" || !is_mark(word), "{word}");
    }
}
