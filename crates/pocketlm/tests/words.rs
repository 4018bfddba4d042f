//! Whole words from subwords and characters, against sums over all spellings.

mod common;

use common::{Parts, configuration};
use pocketlm::pack::{Packer, Precision};
use pocketlm::subword::words::{Place, WordSearch};
use pocketlm::subword::{Rules, Tokenizer};
use pocketlm::{CellKind, Error, Model, Session, State, Unit};

/// Byte-level pieces: all bytes, and these with the merges that make them.
const MERGES: [(&str, &str); 11] = [
    ("t", "h"),
    ("th", "e"),
    (" ", "th"),
    (" th", "e"),
    ("c", "a"),
    (" ", "ca"),
    (" ca", "t"),
    ("e", "n"),
    ("é", "e"),
    (" the", "n"),
    (".", "."),
];

/// A random model over these pieces; `seed` draws its weights.
fn subwords(seed: u32) -> Model {
    let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    pieces.push("<eos>".into());
    pieces.push("é".into());
    let mut pairs = vec![(vec![0xc3], vec![0xa9])];
    for (left, right) in MERGES {
        pieces.push([left, right].concat().into());
        pairs.push((left.into(), right.into()));
    }
    pieces.sort();
    pieces.dedup();
    let id = |piece: &Vec<u8>| pieces.iter().position(|other| other == piece).unwrap() as u32;
    let merges = pairs.iter().map(|(left, right)| [id(left), id(right)]).collect();
    let rules = Rules::ByteLevel { merges, prefix_space: false };
    let tokenizer = Tokenizer::new(&pieces, None, vec![id(&"<eos>".into())], rules).unwrap();
    model(Unit::Subword, &pieces, seed, Some(&tokenizer))
}

fn characters(seed: u32) -> Model {
    let words: Vec<Vec<u8>> = ["<eos>", " ", "a", "b", "字", ".", "'", "é"].map(Into::into).into();
    model(Unit::Character, &words, seed, None)
}

fn model(unit: Unit, words: &[Vec<u8>], seed: u32, tokenizer: Option<&Tokenizer>) -> Model {
    let own = pocketlm::Configuration { unit, ..configuration(CellKind::Lstm, 0, 0, false) };
    // Weights are drawn for as many words; only their names differ.
    let parts = Parts::random(own.clone(), words.len(), 2.0, seed.into());
    let mut packer = Packer::new(own.clone(), words, "<eos>", None).unwrap();
    for matrix in own.matrices(words.len()) {
        packer
            .matrix(matrix.name, &parts.weights[&matrix.name.to_string()], Precision::F32)
            .unwrap();
    }
    for bias in own.biases(words.len()) {
        packer.bias(bias.name, &parts.weights[&bias.name.to_string()]).unwrap();
    }
    if let Some(tokenizer) = tokenizer {
        packer.tokenizer(tokenizer).unwrap();
    }
    Model::from_bytes(packer.finish().unwrap()).unwrap()
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
        for token in 0..self.pieces.len() {
            let piece = self.pieces[token].clone();
            if rest.is_empty() {
                sum += if ends(&piece) { row[token] } else { 0.0 };
            } else if !piece.is_empty() && rest.starts_with(&piece) {
                let next = self.fed(state, token);
                sum += row[token] * self.word(&next, &rest[piece.len()..], ends_itself);
            }
        }
        sum
    }

    /// The probability of all that begins with these bytes.
    fn beginning(&mut self, state: &State, rest: &[u8]) -> f64 {
        let row = self.after(state);
        let mut sum = 0.0;
        for token in 0..self.pieces.len() {
            let piece = self.pieces[token].clone();
            if piece.starts_with(rest) {
                sum += row[token];
            } else if !piece.is_empty() && rest.starts_with(&piece) {
                let next = self.fed(state, token);
                sum += row[token] * self.beginning(&next, &rest[piece.len()..]);
            }
        }
        sum
    }
}

#[test]
fn probabilities_are_those_of_all_spellings_but_for_what_was_left_out() {
    let models = (0..4).flat_map(|seed| [subwords(seed), characters(seed)]);
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
    let model = subwords(1);
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
    let model = characters(3);
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
