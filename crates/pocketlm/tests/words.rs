//! Whole words from subwords and characters, against sums over all spellings.

mod common;

use common::subword::{characters, subwords};
use pocketlm::pack::Precision;
use pocketlm::subword::words::{Place, WordSearch};
use pocketlm::{Error, Model, Session, State};

fn open(bytes: Vec<u8>) -> Model {
    Model::from_bytes(bytes).unwrap()
}

/// Sums over all spellings, by plain recursion.
struct Exact<'m> {
    session: Session<&'m Model>,
    pieces: Vec<Vec<u8>>,
}

impl<'m> Exact<'m> {
    fn new(model: &'m Model) -> Self {
        let mut pieces: Vec<Vec<u8>> = model.vocabulary().all_bytes().collect();
        pieces[model.vocabulary().eos() as usize].clear();
        Self { session: Session::new(model), pieces }
    }

    fn after(&mut self, state: &State) -> Vec<f64> {
        let mut row = vec![0.0; self.pieces.len()];
        self.session.set_state(state).unwrap();
        self.session.log_probabilities(&mut row).unwrap();
        row.into_iter().map(|own| f64::from(own).exp()).collect()
    }

    fn fed(&mut self, state: &State, token: usize) -> State {
        self.session.set_state(state).unwrap();
        self.session.feed(token as u32).unwrap();
        self.session.state().clone()
    }

    /// The probability of these bytes and then the end of a word; a script without spaces ends it by itself.
    fn word(&mut self, state: &State, rest: &[u8], ends_itself: bool) -> f64 {
        if rest.is_empty() && ends_itself {
            return 1.0;
        }
        let ends = |piece: &[u8]| {
            piece.first().is_none_or(|byte| {
                byte.is_ascii_whitespace()
                    || byte.is_ascii_control()
                    || byte.is_ascii_punctuation() && !b"'-_".contains(byte)
            })
        };
        let row = self.after(state);
        let mut sum = 0.0;
        for (token, &p) in row.iter().enumerate() {
            let piece = self.pieces[token].clone();
            if rest.is_empty() {
                sum += if ends(&piece) { p } else { 0.0 };
            } else if !piece.is_empty() && rest.starts_with(&piece) {
                let next = self.fed(state, token);
                sum += p * self.word(&next, &rest[piece.len()..], ends_itself);
            }
        }
        sum
    }

    /// The probability of all that begins with these bytes.
    fn beginning(&mut self, state: &State, rest: &[u8]) -> f64 {
        let row = self.after(state);
        let mut sum = 0.0;
        for (token, &p) in row.iter().enumerate() {
            let piece = self.pieces[token].clone();
            if piece.starts_with(rest) {
                sum += p;
            } else if !piece.is_empty() && rest.starts_with(&piece) {
                let next = self.fed(state, token);
                sum += p * self.beginning(&next, &rest[piece.len()..]);
            }
        }
        sum
    }
}

#[test]
fn probabilities_are_those_of_all_spellings_but_for_what_was_left_out() {
    let models = (0..4).flat_map(|seed| [subwords(seed), characters(seed)].map(open));
    let mut exactly = 0;
    for model in models {
        let mut session = Session::new(&model);
        let (mut search, mut exact) = (WordSearch::new(&model).unwrap(), Exact::new(&model));
        session.feed_text("a").unwrap();
        let state = session.state().clone();
        for typed in ["a", "b", " a", "ab", "t", " th", "ca", "é"] {
            let place = Place { typed: typed.into(), is_fresh: false };
            let Ok(words) = search.suggest(&mut session, &place, 5) else { panic!("{typed}") };
            assert_eq!(session.state(), &state);
            assert_eq!(search.suggest(&mut session, &place, 5).unwrap(), words);
            let all = exact.beginning(&state, typed.as_bytes());
            if all == 0.0 {
                assert!(words.found.is_empty(), "{typed} cannot be spelt");
                continue;
            }
            let space = &typed[..typed.len() - typed.trim_start().len()];
            let mut probability = |word: &str| {
                let text = format!("{space}{word}");
                exact.word(
                    &state,
                    text.as_bytes(),
                    word.ends_with('字') && model.vocabulary().len() < 20,
                ) / all
            };
            for found in &words.found {
                assert!(found.word.starts_with(typed.trim_start()), "{typed} {found:?}");
                let own = probability(&found.word);
                assert!(found.probability <= own + 1e-5, "{typed} {found:?} {own}");
                assert!(
                    own <= found.probability + words.left_out + 1e-5,
                    "{typed} {found:?} {own} {}",
                    words.left_out
                );
                exactly += u32::from((own - found.probability).abs() < 1e-3 * own);
            }
            let last = words.found.last().map_or(0.0, |found| found.probability);
            for word in ["a", "ab", "b", "the", "then", "th", "cat", "é", "éa", "a字"] {
                let is_missing = words.found.iter().all(|found| found.word != word);
                if is_missing && word.starts_with(typed.trim_start()) {
                    assert!(
                        probability(word) <= last + words.left_out + 1e-5,
                        "{typed} {word} {words:?}"
                    );
                }
            }
        }
    }
    assert!(exactly > 20, "most words are found in all their spellings: {exactly}");
}

#[test]
fn places_are_where_words_are_typed() {
    let model = open(subwords(1));
    let vocabulary = model.vocabulary();
    let within = |text| {
        let (context, place) = Place::within(vocabulary, text);
        (context, place.typed)
    };
    assert_eq!(within("the ca"), ("the", " ca".into()));
    assert_eq!(within("the "), ("the", " ".into()));
    assert_eq!(within("the  ca"), ("the ", " ca".into()));
    assert_eq!(within("don't"), ("", "don't".into()));
    assert_eq!(within("he (we"), ("he (", "we".into()));
    assert_eq!(within("a\nb"), ("a\n", "b".into()));
    assert_eq!(within("ok, “né"), ("ok, “", "né".into()));
    assert_eq!(within(""), ("", String::new()));
    let after = |text, prefix| {
        let (context, place) = Place::with_prefix(vocabulary, text, prefix);
        (context, place.typed, place.is_fresh)
    };
    assert_eq!(after("the", ""), ("the", String::new(), true));
    assert_eq!(after("the ", ""), ("the", " ".into(), false));
    assert_eq!(after("the", "ca"), ("the", " ca".into(), false));
    assert_eq!(after("(", "ca"), ("(", "ca".into(), false));
    assert_eq!(after("", "ca"), ("", "ca".into(), false));
}

#[test]
fn a_fresh_word_does_not_go_on_with_the_last_one() {
    let model = open(characters(3));
    let mut session = Session::new(&model);
    session.feed_text("ab").unwrap();
    let mut search = WordSearch::new(&model).unwrap();
    let mut first = |is_fresh| {
        let place = Place { typed: String::new(), is_fresh };
        let words = search.suggest(&mut session, &place, 3).unwrap();
        assert!(
            words.found.iter().all(|found| !found.word.contains(' ') && !found.word.is_empty())
        );
        words.found.iter().map(|found| found.probability).sum::<f64>()
    };
    assert!(first(true) < 1.0 && first(false) <= 1.0 + 1e-6);
}

#[test]
fn models_of_words_are_refused() {
    let error = WordSearch::new(&common::tiny(Precision::F32)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}
