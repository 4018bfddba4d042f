//! Small grammars whose languages can be listed, and the built-in one by sampling.

use super::*;
use std::collections::HashMap;

/// Empty alternatives, a rule used twice, and words shared between rules.
const FINITE: &str = "
S = 3 the N V | 1 Name V
N = 2 A cat | 1 dog
A = 1 old | 3
V = 1 sleeps | 1 sees Name E
E = 1 | 1 often
Name = 5 ann | 3 bob
";

/// Recursion at the centre and at the end.
const RECURSIVE: &str = "
S = 8 Name sleeps E | 1 if S , S
E = 6 | 1 and Name sleeps E
Name = 5 ann | 3 bob
";

/// All sentences of at least the probability `least`, with their probabilities, from all
/// leftmost derivations; a sentence with two derivations would come with the sum.
fn language(grammar: &Grammar, least: f64) -> HashMap<Vec<&str>, f64> {
    let mut sentences = HashMap::new();
    let mut open = vec![(1.0, Vec::new(), vec![Symbol::Rule(0)])];
    while let Some((probability, mut words, mut todo)) = open.pop() {
        match todo.pop() {
            _ if probability < least => {}
            None => *sentences.entry(words).or_insert(0.0) += probability,
            Some(Symbol::Word(word)) => {
                words.push(grammar.words[word].as_str());
                open.push((probability, words, todo));
            }
            Some(Symbol::Rule(rule)) => {
                open.extend(grammar.rules[rule].alternatives.iter().map(|taken| {
                    let rest = [todo.clone(), taken.body.iter().rev().copied().collect()].concat();
                    (probability * taken.probability, words.clone(), rest)
                }));
            }
        }
    }
    sentences
}

#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected} ± {tolerance}");
}

/// Without recursion the language is finite, and everything can be summed up.
#[test]
fn entropy_and_length_are_those_of_the_listed_language() {
    let grammar = Grammar::parse(FINITE).unwrap();
    let language = language(&grammar, 0.0);
    assert_close(language.values().sum(), 1.0, 1e-12);
    let entropy: f64 = language.values().map(|p| -p * p.ln()).sum();
    let length: f64 = language.iter().map(|(words, p)| p * (words.len() + 1) as f64).sum();
    assert_close(grammar.sentence_entropy(), entropy, 1e-12);
    assert_close(grammar.sentence_length(), length, 1e-12);
    assert_close(grammar.entropy_per_token(), entropy / length, 1e-12);
}

/// `S = p a S | (1 − p) b` is geometric: H = h(p) / (1 − p) nats, 1 / (1 − p) words and `<eos>`.
#[test]
fn recursion_has_the_geometric_closed_form() {
    let grammar = Grammar::parse("S = 3 a S | 1 b").unwrap();
    let nats = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
    assert_close(grammar.sentence_entropy(), 4.0 * nats, 1e-12);
    assert_close(grammar.sentence_length(), 5.0, 1e-12);
}

#[test]
fn surprisals_are_conditional_probabilities_of_the_listed_language() {
    let grammar = Grammar::parse(FINITE).unwrap();
    let language = language(&grammar, 0.0);
    let mut prefixes: HashMap<&[&str], f64> = HashMap::new();
    for (words, probability) in &language {
        (0..=words.len()).for_each(|n| *prefixes.entry(&words[..n]).or_default() += probability);
    }
    for (words, probability) in &language {
        let surprisals = grammar.surprisals(words).unwrap();
        for (n, surprisal) in surprisals.iter().enumerate() {
            let longer = words.get(..n + 1).map_or(*probability, |longer| prefixes[longer]);
            assert_close(*surprisal, -(longer / prefixes[&words[..n]]).ln(), 1e-12);
        }
    }
}

#[test]
fn surprisals_of_recursive_sentences_sum_to_their_probability() {
    let grammar = Grammar::parse(RECURSIVE).unwrap();
    let language = language(&grammar, 1e-5);
    assert!(language.len() > 50);
    for (words, probability) in &language {
        assert_close(grammar.surprisals(words).unwrap().iter().sum(), -probability.ln(), 1e-12);
    }
}

#[test]
fn what_is_not_of_the_language_has_no_surprisals() {
    let grammar = Grammar::parse(RECURSIVE).unwrap();
    for sentence in ["", "ann", "ann sleeps and", "ann sleeps sleeps", "if ann sleeps", "ann flies"]
    {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        assert_eq!(grammar.surprisals(&words), None, "{sentence}");
    }
}

#[test]
fn samples_have_the_frequencies_of_the_language() {
    let grammar = Grammar::parse(RECURSIVE).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let draws = 100_000;
    let mut counts: HashMap<Vec<&str>, f64> = HashMap::new();
    (0..draws).for_each(|_| *counts.entry(grammar.sample(&mut random)).or_default() += 1.0);
    for (words, probability) in language(&grammar, 1e-3) {
        let deviation = (probability * (1.0 - probability) / f64::from(draws)).sqrt();
        assert_close(counts[&words] / f64::from(draws), probability, 5.0 * deviation);
    }
}

#[test]
fn ambiguous_grammars_are_refused() {
    for (text, rule, word) in [
        ("S = 1 a b | 1 a c", "S", "a"),
        ("S = 1 A | 1 B\nA = 1 a\nB = 1 a", "S", "a"),
        ("S = 1 A a\nA = 1 a | 1", "A", "a"),
        ("S = 1 | 1 A\nA = 1 a | 1", "S", "<eos>"),
        ("S = 1 S a | 1 a", "S", "a"),
    ] {
        let expected = Error::Ambiguous { rule: rule.into(), word: word.into() };
        assert_eq!(Grammar::parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn endless_grammars_are_refused() {
    for text in ["S = 1 a S", "S = 1 a S S | 1 b", "S = 3 a S S | 1 b", "S = 1 S"] {
        assert_eq!(Grammar::parse(text).unwrap_err(), Error::Endless, "{text}");
    }
}

#[test]
fn bad_notation_is_located() {
    for (text, at) in [
        ("", 1),
        ("# only this", 1),
        ("S = 1 a\nnonsense", 2),
        ("S = a", 1),
        ("S = 0 a", 1),
        ("S = nan a", 1),
        ("S = 1 a |", 1),
        ("s = 1 a", 1),
        ("S T = 1 a", 1),
        ("S = 1 a\n\nS = 1 b", 3),
    ] {
        let error = Grammar::parse(text).unwrap_err();
        assert!(matches!(&error, Error::Syntax { line, .. } if *line == at), "{text}: {error}");
    }
    let expected = Error::Undefined { line: 2, name: "Who".into() };
    assert_eq!(Grammar::parse("S = 1 A\nA = 1 Who").unwrap_err(), expected);
}

/// The mean over many sentences against the closed form, in standard errors.
#[test]
fn sampled_english_has_the_computed_entropy_and_length() {
    let grammar = Grammar::english();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let sentences: Vec<_> = (0..100_000).map(|_| grammar.sample(&mut random)).collect();
    let nats: Vec<f64> = sentences
        .iter()
        .map(|sentence| grammar.surprisals(sentence).unwrap().iter().sum())
        .collect();
    let lengths: Vec<f64> = sentences.iter().map(|sentence| (sentence.len() + 1) as f64).collect();
    assert_mean(&nats, grammar.sentence_entropy());
    assert_mean(&lengths, grammar.sentence_length());
    // Their ratio, by the mean of what would be zero.
    let rate = grammar.entropy_per_token();
    assert_mean(&nats.iter().zip(&lengths).map(|(h, l)| h - rate * l).collect::<Vec<_>>(), 0.0);
}

#[track_caller]
fn assert_mean(values: &[f64], expected: f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    assert_close(mean, expected, 4.0 * (variance / count).sqrt());
}

#[test]
fn english_has_the_promised_size_and_uses_every_rule() {
    let grammar = Grammar::english();
    assert!((500..2000).contains(&grammar.words().len()), "{} words", grammar.words().len());
    let mut reached = vec![false; grammar.rules.len()];
    let mut todo = vec![0];
    while let Some(rule) = todo.pop() {
        if !std::mem::replace(&mut reached[rule], true) {
            let symbols = grammar.rules[rule].alternatives.iter().flat_map(|taken| &taken.body);
            todo.extend(symbols.filter_map(|symbol| match symbol {
                Symbol::Rule(rule) => Some(*rule),
                Symbol::Word(_) => None,
            }));
        }
    }
    let unused = reached.iter().zip(&grammar.rules).filter(|(reached, _)| !**reached);
    let unused: Vec<_> = unused.map(|(_, rule)| rule.name.as_str()).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn agreement_holds_over_a_distance() {
    let grammar = Grammar::english();
    let known = |text: &str| grammar.surprisals(&text.split(' ').collect::<Vec<_>>()).is_some();
    assert!(known("the cooks who live near the old oven taste the soup with their spoon"));
    assert!(!known("the cooks who live near the old oven tastes the soup with their spoon"));
    assert!(!known("the cooks who live near the old oven taste the soup with her spoon"));
    assert!(known("anna tastes the soup that is in the kitchen because she is hungry"));
    assert!(!known("anna tastes the soup that is in the kitchen because he is hungry"));
    assert!(!known("anna tastes the soup that is in the harbour"));
    assert!(known("an apprentice sands a bench") && !known("a apprentice sands a bench"));
}

/// The text is a reference others may quote figures on: it must never change unnoticed.
#[test]
fn the_same_seed_gives_the_same_text_for_ever() {
    let corpus = corpus(1, 20_000).unwrap();
    let known = "6f23859314dce1c874f4e857b1a144935a03e682f7cdd7b9296e3e9861bfc90b";
    assert_eq!(corpus.sha256(), known);
    assert_ne!(corpus.sha256(), super::corpus(2, 20_000).unwrap().sha256());
}

#[test]
fn text_in_memory_is_the_text_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/for/it");
    write_splits(&folder, 3, 20_000).unwrap();
    let memory = super::corpus(3, 20_000).unwrap();
    let files = Corpus::open_with(&folder, memory.encoder.clone()).unwrap();
    assert_eq!((files.sha256(), &files.train), (memory.sha256(), &memory.train));
    assert!((20_000..20_100).contains(&files.train.ids.len()));
    assert!((2_000..2_100).contains(&files.test.ids.len()));
    assert_ne!(files.valid.ids, files.test.ids);
}
