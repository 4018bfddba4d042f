//! N-gram models against KenLM, whose figures `tests/oracle/kenlm.py` stores; ARPA files there and back; pruning and
//! rounding.

use std::fs;
use std::path::{Path, PathBuf};

use pocketlm::ngram::Table;
use pocketlm::pack::Notes;
use pocketlm::{Model, Session};
use pocketlm_train::corpus::{Encoder, Options, Source, Split, Unit};
use pocketlm_train::error::Error;
use pocketlm_train::grammar;
use pocketlm_train::ngram::{Estimate, Settings, arpa, estimate, quantise};
use proptest::prelude::*;
use serde_json::Value;

/// Words, with an `<unk>` whether the text has one or not, as KenLM's models have.
const OPTIONS: Options =
    Options { unit: Unit::Word, max_vocab: None, min_count: Some(1), unk: None };

fn settings(order: usize) -> Settings {
    Settings { order, cutoffs: Vec::new(), prune: 0.0, discounts: None }
}

fn text(text: &str) -> (Encoder, Split) {
    let source = Source::text("the text", text);
    let encoder = Encoder::train(&source, &OPTIONS).unwrap();
    let split = encoder.read(&source).unwrap();
    (encoder, split)
}

fn model(table: &Table) -> Model {
    let model = Model::from_bytes(table.pack(&Notes::default()).unwrap()).unwrap();
    model.verify().unwrap();
    model
}

/// log10 p of each token of a text, every line from its beginning.
fn log10s(model: &Model, text: &str) -> Vec<f64> {
    let ids =
        model.vocabulary().lines(text).map(|token| model.vocabulary().resolve(token).unwrap());
    let mut all = Vec::new();
    let push = |nats: f64| all.push(nats / std::f64::consts::LN_10);
    Session::new(model).evaluate_each(ids, push).unwrap();
    all
}

fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/fixtures");
    serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn discounts(case: &Value) -> Vec<[f64; 3]> {
    let amounts = |list: &Value| numbers(list).try_into().unwrap();
    case["discounts"].as_array().unwrap().iter().map(amounts).collect()
}

/// The greatest difference of two lists of one length.
fn worst(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_word_is_as_likely_as_kenlm_says() {
    let fixture = fixture("kenlm.json");
    let (encoder, train) = text(fixture["train"].as_str().unwrap());
    let test = fixture["test"].as_str().unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let order = case["order"].as_u64().unwrap() as usize;
        let cutoffs = numbers(&case["cutoffs"]).into_iter().map(|cutoff| cutoff as u32).collect();
        let given = Settings { discounts: Some(discounts(case)), cutoffs, ..settings(order) };
        let Estimate { table, .. } = estimate(&encoder, &train, &given).unwrap();
        let wanted = numbers(&case["log10"]);
        let found = log10s(&model(&table), test);
        let off = worst(&found, &wanted);
        assert!(off < 1e-5, "order {order}, cut-offs {:?}: {off}", given.cutoffs);
        // With its own discounts it differs by what one n-gram of each order makes.
        let own = Settings { discounts: None, ..given };
        let Estimate { table, discounts: estimated, .. } =
            estimate(&encoder, &train, &own).unwrap();
        let off = worst(&log10s(&model(&table), test), &wanted);
        assert!(off < 0.05, "order {order}: {off}");
        for (estimated, given) in estimated.iter().zip(discounts(case)).skip(1) {
            assert!(worst(&estimated.amounts, &given) < 0.05, "{estimated:?} {given:?}");
        }
    }
}

/// The folder of Penn Treebank, if it is on this machine.
fn ptb() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("POCKETLM_DATA").map_or(beside, PathBuf::from);
    let folder = root.join("ptb");
    if !folder.is_dir() {
        eprintln!("skipped: no folder ptb under {} (set POCKETLM_DATA)", root.display());
        return None;
    }
    Some(folder)
}

#[test]
fn penn_treebank_as_kenlm_has_it() {
    let Some(folder) = ptb() else { return };
    let fixture = fixture("kenlm_ptb.json");
    let source = Source::split(&folder, "train").unwrap();
    let encoder = Encoder::train(&source, &Options::default()).unwrap();
    let train = encoder.read(&source).unwrap();
    let test = fs::read_to_string(folder.join("test.txt")).unwrap();
    let given = Settings { discounts: Some(discounts(&fixture)), ..settings(5) };
    let found = log10s(&model(&estimate(&encoder, &train, &given).unwrap().table), &test);
    let first = numbers(&fixture["log10"]);
    let off = worst(&found[..first.len()], &first);
    assert!(off < 1e-4, "{off}");
    assert_eq!(found.len() as u64, fixture["tokens"].as_u64().unwrap());
    let all = fixture["log10_of_all"].as_f64().unwrap();
    assert!((found.iter().sum::<f64>() - all).abs() < 0.5);
    let own = log10s(&model(&estimate(&encoder, &train, &settings(5)).unwrap().table), &test);
    let perplexity = 10f64.powf(-own.iter().sum::<f64>() / own.len() as f64);
    assert!((perplexity - 141.2).abs() < 0.1, "{perplexity}");
}

/// The sum over the vocabulary after each of some tokens of a text: the greatest difference from 1.
fn sums(model: &Model, ids: &[u32]) -> f64 {
    let mut session = Session::new(model);
    let mut all = vec![0.0; model.vocabulary().len()];
    let mut worst: f64 = 0.0;
    for &id in ids {
        session.log_probabilities(&mut all).unwrap();
        let sum: f64 = all.iter().map(|&value| f64::from(value).exp()).sum();
        worst = worst.max((sum - 1.0).abs());
        session.feed(id).unwrap();
    }
    worst
}

/// A text, its model, and ids of another text in the model's order.
fn grammar_model(settings: &Settings) -> (Estimate, Vec<u32>) {
    let corpus = grammar::corpus(3, 20_000).unwrap();
    let estimate = estimate(&corpus.encoder, &corpus.train, settings).unwrap();
    let own = corpus.encoder.vocabulary();
    let rank = |&id: &u32| {
        let word = own.word(id).unwrap();
        estimate.table.words.binary_search_by(|other| other.as_str().cmp(word)).unwrap() as u32
    };
    let ids = corpus.test.ids.iter().map(rank).collect();
    (estimate, ids)
}

fn perplexity(model: &Model, ids: &[u32]) -> f64 {
    Session::new(model).evaluate(ids.iter().copied()).unwrap().perplexity()
}

#[test]
fn probabilities_sum_to_one() {
    for order in 1..=6 {
        let (estimate, ids) = grammar_model(&settings(order));
        assert!(sums(&model(&estimate.table), &ids[..300]) < 1e-5, "order {order}");
    }
    let cut = Settings { cutoffs: vec![0, 1, 2], ..settings(4) };
    let (estimate, ids) = grammar_model(&cut);
    assert!(estimate.table.orders[3].len() < estimate.counted[3]);
    assert!(sums(&model(&estimate.table), &ids[..300]) < 1e-5);
}

#[test]
fn pruned_models_are_smaller_in_step_and_still_sum_to_one() {
    let (full, ids) = grammar_model(&settings(4));
    let sizes = |table: &Table| table.orders.iter().map(|order| order.len()).collect::<Vec<_>>();
    let mut before = sizes(&full.table);
    let mut quality = perplexity(&model(&full.table), &ids);
    for prune in [1e-8, 1e-6, 1e-5, 1e-4] {
        let (estimate, ids) = grammar_model(&Settings { prune, ..settings(4) });
        let model = model(&estimate.table);
        assert!(sums(&model, &ids[..300]) < 1e-4, "{prune}");
        let after = sizes(&estimate.table);
        assert!(after.iter().zip(&before).all(|(a, b)| a <= b), "{after:?} {before:?}");
        assert_eq!(after[0], before[0], "single words stay");
        let perplexity = perplexity(&model, &ids);
        assert!(perplexity > 0.97 * quality, "{prune}: {perplexity} {quality}");
        (before, quality) = (after, perplexity);
    }
    assert!(before[1] < full.table.orders[1].len());
}

#[test]
fn rounded_models_keep_their_quality_and_nearly_sum_to_one() {
    let (full, ids) = grammar_model(&settings(4));
    let exact = perplexity(&model(&full.table), &ids);
    let mut bytes = usize::MAX;
    for (bits, loss, sum) in [(12, 2e-3, 0.02), (8, 0.01, 0.2), (4, 0.1, 1.5)] {
        let mut table = full.table.clone();
        quantise(&mut table, bits);
        let model = model(&table);
        assert!((perplexity(&model, &ids) / exact - 1.0).abs() < loss, "{bits} bits");
        assert!(sums(&model, &ids[..300]) < sum, "{bits} bits");
        let orders = model.orders();
        assert!(orders[1..].iter().all(|o| o.probability_bits <= bits && o.backoff_bits <= bits));
        assert!(model.bytes() < bytes);
        bytes = model.bytes();
    }
}

#[test]
fn settings_that_make_no_model() {
    let (encoder, train) = text("a b\nb a\n");
    for (settings, field) in [
        (settings(0), "order"),
        (settings(7), "order"),
        (Settings { cutoffs: vec![1], ..settings(2) }, "cutoffs"),
        (Settings { cutoffs: vec![0, 2, 1], ..settings(3) }, "cutoffs"),
        (Settings { prune: f64::NAN, ..settings(2) }, "prune"),
        (Settings { discounts: Some(vec![[0.5, 1.0, 1.5]]), ..settings(2) }, "discounts"),
        (Settings { discounts: Some(vec![[1.5, 1.0, 1.5]]), ..settings(1) }, "discounts"),
    ] {
        match estimate(&encoder, &train, &settings) {
            Err(Error::Config { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{settings:?}: {other:?}"),
        }
    }
}

// --------------------------------------------------------------------------------- ARPA files

const GOOD: &str = "made by hand\n\n\\data\\\nngram 1=4\nngram 2=3\nngram 3=1\n\n\\1-grams:\n\
    -1.5\t<unk>\n0\t<s>\t-0.3\n-0.8\t</s>\n-0.4\ta\t-0.2\n\n\\2-grams:\n-0.2\ta </s>\n-0.5\t<s> a\t-0.1\n\
    -0.6\ta a\n\n\\3-grams:\n-0.05\t<s> a </s>\n\n\\end\\\n";

fn read(text: &str) -> Result<Table, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.arpa");
    fs::write(&path, text).unwrap();
    arpa::read(&path)
}

#[test]
fn a_file_made_by_hand() {
    let table = read(GOOD).unwrap();
    assert_eq!(table.words, ["<eos>", "<unk>", "a"]);
    assert_eq!((table.eos, table.unk), (0, Some(1)));
    let found = log10s(&model(&table), "a\na a\nb\n");
    // a; </s> from 3-gram | a; a a: backed off from <s> a; </s> after a | <unk>; </s>
    let wanted = [-0.5, -0.05, -0.5, -0.1 - 0.6, -0.2, -0.3 - 1.5, -0.8];
    assert!(worst(&found, &wanted) < 1e-6, "{found:?}");
}

#[test]
fn files_that_are_wrong_get_a_line() {
    let says = |from: &str, to: &str, line: u64, part: &str| {
        assert!(GOOD.contains(from), "{from:?}");
        match read(&GOOD.replacen(from, to, 1)) {
            Err(Error::Arpa { line: found, what, path }) => {
                assert!(what.contains(part), "{what:?} does not say {part:?}");
                assert_eq!(found, line, "{what}");
                assert!(path.ends_with("model.arpa"));
            }
            other => panic!("{from:?} to {to:?}: {other:?}"),
        }
    };
    says("\\data\\", "\\date\\", 23, "no ARPA file");
    says("ngram 2=3", "ngram 3=3", 5, "`ngram 2=COUNT`");
    says("ngram 2=3", "ngram 2=x", 5, "`ngram 2=COUNT`");
    says("ngram 3=1", "ngram 3=1\nngram 4=0\nngram 5=0\nngram 6=0\nngram 7=0", 10, "order 7");
    says("ngram 1=4", "ngram 1=5", 13, "0 fields");
    says("ngram 1=4", "ngram 1=3", 12, "stands where `\\2-grams:` should");
    says("ngram 2=3", "ngram 2=4", 18, "n-gram 4 of the 4");
    says("\\2-grams:", "\\3-grams:", 14, "sections out of order");
    says("\n\\3-grams:\n-0.05\t<s> a </s>\n\n\\end\\\n", "", 18, "cut off");
    says("\\end\\", "", 23, "without `\\end\\`");
    says("-0.5\t<s> a", "nan\t<s> a", 16, "\"nan\" is not a finite number");
    says("-0.5\t<s> a", "-inf\t<s> a", 16, "not a finite number");
    says("-0.5\t<s> a\t-0.1", "-0.5\t<s> a\tinf", 16, "not a finite number");
    says("-0.5\t<s> a", "0.5\t<s> a", 16, "above 0");
    says("-0.5\t<s> a", "-0.5", 16, "2 fields");
    says("-0.6\ta a", "-0.6\t<s> a", 17, "same n-gram as in line 16");
    says("-0.4\ta\t-0.2", "-0.4\t<unk>", 12, "`<unk>` comes twice, first in line 9");
    says("-0.6\ta a", "-0.6\ta b", 17, "`b` is not among the 1-grams");
    says("-0.6\ta a", "-0.6\ta <s>", 17, "`<s>` in the midst");
    says("-0.05\t<s> a </s>", "-0.05\t<s> </s> a", 20, "`</s>` in the midst");
    says("-0.05\t<s> a </s>", "-0.05\ta <unk> a", 20, "context `a <unk>` is not among the 2-grams");
    says("-0.05\t<s> a </s>", "-0.05\t<s> a </s>\t-1", 20, "highest order");
    says("-0.8\t</s>", "-0.8\tb", 12, "without </s>");
    says("-0.4\ta\t-0.2", "-0.4\t<eos>\t-0.2", 12, "rename it");
}

#[test]
fn words_that_an_arpa_file_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.arpa");
    let (encoder, train) = text("a <s> b\n");
    let table = estimate(&encoder, &train, &settings(2)).unwrap().table;
    let message = arpa::check(&table, &path).unwrap_err().to_string();
    assert!(message.contains("model.arpa") && message.contains("\"<s>\""), "{message}");
    assert!(!path.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn an_arpa_file_gives_back_its_model(order in 1usize..=6, seed in 0u64..1000, prune: bool) {
        let corpus = grammar::corpus(seed, 2_000).unwrap();
        let prune = if prune { 1e-5 } else { 0.0 };
        let settings = Settings { prune, ..settings(order) };
        let table = estimate(&corpus.encoder, &corpus.train, &settings).unwrap().table;
        let mut text = Vec::new();
        arpa::write(&table, &mut text).unwrap();
        let back = read(std::str::from_utf8(&text).unwrap()).unwrap();
        prop_assert_eq!(&back, &table);
        prop_assert_eq!(&model(&back).ngrams().unwrap(), &table);
    }
}
