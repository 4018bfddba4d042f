//! Correction of slips against a search that knows no trie, and on any input.
#![cfg(feature = "correct")]

mod common;

use pocketlm::correct::{Lexicon, MAX_LETTERS, Slip, Speller, Typing, slips};
use pocketlm::ngram::{Order, Table};
use pocketlm::{Model, Session, Unit};
use proptest::prelude::*;

/// The cost of slips from `word` to `typed`, by the definition, over their first letters `i` and `j`.
fn cost(t: &Typing, word: &[char], typed: &[char], i: usize, j: usize) -> f32 {
    if i == 0 && j == 0 {
        return 0.0;
    }
    let near = |a, b| t.layout.are_near(a, b);
    let mut best = f32::INFINITY;
    if i > 0 {
        let twice = i > 1 && word[i - 1] == word[i - 2];
        let missing = if twice { t.doubled } else { t.missing };
        best = best.min(cost(t, word, typed, i - 1, j) + missing);
    }
    if j > 0 {
        let twice = j > 1 && typed[j - 1] == typed[j - 2];
        let beside = i > 0 && near(word[i - 1], typed[j - 1]);
        let extra = if twice {
            t.doubled
        } else if beside {
            t.beside
        } else {
            t.extra
        };
        best = best.min(cost(t, word, typed, i, j - 1) + extra);
    }
    if i > 0 && j > 0 {
        let (a, b) = (word[i - 1], typed[j - 1]);
        let changed = if near(a, b) { t.neighbour } else { t.other };
        best = best.min(cost(t, word, typed, i - 1, j - 1) + if a == b { 0.0 } else { changed });
    }
    if i > 1 && j > 1 && word[i - 1] != word[i - 2] {
        let swapped = word[i - 1] == typed[j - 2] && word[i - 2] == typed[j - 1];
        if swapped {
            best = best.min(cost(t, word, typed, i - 2, j - 2) + t.transposition);
        }
    }
    best
}

/// A unigram model in which all words are as likely.
fn model(words: &[String]) -> Model {
    let mut all: Vec<String> =
        words.iter().cloned().chain(["<eos>".into(), "<unk>".into()]).collect();
    all.sort();
    all.dedup();
    let id = |word: &str| all.iter().position(|own| own == word).unwrap() as u32;
    let (eos, unk) = (id("<eos>"), id("<unk>"));
    let order = Order {
        words: (0..all.len() as u32).collect(),
        probabilities: vec![-(all.len() as f32).ln(); all.len()],
        backoffs: Vec::new(),
        children: Vec::new(),
    };
    let (unit, names) = (Unit::Word, Vec::new());
    common::ngram::model(&Table {
        words: all,
        eos,
        unk: Some(unk),
        unit,
        names,
        orders: vec![order],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_walk_finds_what_a_search_of_all_words_finds(
        words in prop::collection::btree_set("[a-d]{1,5}", 1..90),
        typed in "[a-d]{1,5}",
    ) {
        let words: Vec<String> = words.into_iter().collect();
        let model = model(&words);
        let typing = Typing::default();
        let found = slips(model.vocabulary(), &typing, &typed);
        let typed: Vec<char> = typed.chars().collect();
        let all = words.iter().filter_map(|word| {
            let letters: Vec<char> = word.chars().collect();
            let cost = cost(&typing, &letters, &typed, letters.len(), typed.len());
            let id = model.vocabulary().id(word)?;
            (cost <= typing.bound).then_some(Slip { id, cost })
        });
        let mut all: Vec<Slip> = all.collect();
        all.sort_by_key(|slip| slip.id);
        prop_assert_eq!(found.len(), all.len());
        for (a, b) in found.iter().zip(&all) {
            prop_assert!(a.id == b.id && (a.cost - b.cost).abs() < 1e-4, "{a:?} {b:?}");
        }
    }

    /// With more words the shares of `<unk>` are still one, and so is all that may have been meant.
    #[test]
    fn with_a_lexicon_and_own_words_all_sums_to_one(
        typed in "[a-c]{1,6}",
        more in prop::collection::btree_set("[a-c]{1,5}", 1..40),
        own in prop::collection::btree_set("[a-c]{1,5}", 0..5),
    ) {
        let model = model(&["abc", "cab"].map(String::from));
        let more: Vec<String> = more.into_iter().collect();
        let lexicon = Lexicon::new(crate::model(&more), &model).unwrap();
        let own: Vec<(&str, f64)> = own.iter().map(|word| (&**word, 0.1)).collect();
        let speller = Speller { lexicon: Some(&lexicon), own: &own, ..Speller::default() };
        let mut session = Session::new(&model);
        let found = session.correct_with(&speller, &typed, 1000).unwrap();
        let sum = found.as_typed + found.words.iter().map(|word| word.probability).sum::<f64>();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        prop_assert_eq!(&found, &session.correct_with(&speller, &typed, 1000).unwrap());
        prop_assert!((0.0..=1.0).contains(&lexicon.rest()));
    }

    #[test]
    fn any_text_is_no_typist_or_one_that_can_be_used(text in "([a-z]{3,13} [-0-9.einfa]{1,6}\n){0,4}") {
        if let Ok(typing) = Typing::from_text(&text) {
            let model = model(&["abc", "cab"].map(String::from));
            let found = Session::new(&model).correct_by(&typing, "abd", 9).unwrap();
            let sum = found.as_typed + found.words.iter().map(|word| word.probability).sum::<f64>();
            prop_assert!((sum - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_fit_of_any_pairs_is_a_typist(pairs in prop::collection::vec(("\\PC{1,8}", "\\PC{1,8}"), 0..20)) {
        let pairs = pairs.iter().map(|(typed, meant)| (typed.as_str(), meant.as_str()));
        let fitted = Typing::default().fit(pairs);
        prop_assert_eq!(Typing::from_text(&fitted.to_string()), Ok(fitted));
    }

    #[test]
    fn any_text_is_answered_with_a_distribution(typed in "\\PC{0,12}", k in 0usize..5) {
        let words = ["the", "of", "Ofen", "öfen", "é", "ﬃ", "İ"].map(String::from);
        let model = model(&words);
        let found = Session::new(&model).correct(&typed, k).unwrap();
        let sum = found.as_typed + found.words.iter().map(|word| word.probability).sum::<f64>();
        prop_assert!(sum <= 1.0 + 1e-9 && found.words.len() <= k);
        prop_assert!(found.words.iter().all(|word| word.probability >= 0.0 && word.word != typed));
    }
}

#[test]
fn costs_are_the_same_there_and_back_where_the_slip_is() {
    let words = ["form", "from", "sit", "sot", "cafe", "café"].map(String::from);
    let model = model(&words);
    let cost = |typed: &str, word: &str| {
        let id = model.vocabulary().id(word);
        let found = slips(model.vocabulary(), &Typing::default(), typed);
        found.iter().find(|slip| Some(slip.id) == id).map(|slip| slip.cost)
    };
    for (a, b) in [("form", "from"), ("sit", "sot"), ("cafe", "café")] {
        assert!(cost(a, b).is_some() && cost(a, b) == cost(b, a), "{a} {b}");
        assert_eq!(cost(a, a), Some(0.0));
    }
}

#[test]
fn case_spaces_and_lengths() {
    let words = ["the", "of", "house"].map(String::from);
    let model = model(&words);
    let mut session = Session::new(&model);
    let mut best = |typed: &str| {
        let found = session.correct(typed, 1).unwrap();
        found.words.first().map(|word| word.word.clone())
    };
    assert_eq!(best("teh").as_deref(), Some("the"));
    assert_eq!(best("Teh").as_deref(), Some("The"));
    assert_eq!(best("TEH").as_deref(), Some("THE"));
    assert_eq!(best("ofthe").as_deref(), Some("of the"));
    for nothing in ["", "two words", &"e".repeat(MAX_LETTERS + 1), &"é".repeat(10_000)] {
        assert_eq!(best(nothing), None);
    }
}

#[test]
fn correction_leaves_the_state() {
    let model = model(&["the", "of", "house"].map(String::from));
    let mut session = Session::new(&model);
    session.feed_text("the").unwrap();
    let before = session.state().clone();
    session.correct("ofthe", 3).unwrap();
    assert_eq!(session.state(), &before);
}
