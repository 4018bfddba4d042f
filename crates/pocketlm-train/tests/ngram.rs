//! N-gram models against KenLM, whose figures `tests/oracle/kenlm.py` stores; ARPA files there and back; pruning and
//! rounding.

#[path = "../../../fuzz/exercise_arpa.rs"]
mod exercise;

use std::fs;
use std::path::{Path, PathBuf};

use pocketlm::ngram::Table;
use pocketlm::pack::Notes;
use pocketlm::raw::Case;
use pocketlm::{Model, Session};
use pocketlm_train::corpus::{Encoder, Options, Source, Split, Text, Unit};
use pocketlm_train::error::Error;
use pocketlm_train::grammar;
use pocketlm_train::ngram::arpa::{FLOOR, Import, Options as Reading, Unknown};
use pocketlm_train::ngram::{
    Estimate, Settings, arpa, estimate, quantise, renormalise, round_each,
};
use proptest::prelude::*;
use serde_json::Value;

/// Words, with an `<unk>` whether the text has one or not, as KenLM's models have.
const OPTIONS: Options = Options {
    unit: Unit::Word,
    text: Text::Tokenised,
    case: Case::True,
    max_vocab: None,
    min_count: Some(1),
    unk: None,
    tokenizer: None,
};

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

/// What the bytes of a file give.
fn import(bytes: &[u8], options: Reading) -> Result<Import, Error> {
    arpa::read_from(bytes, Path::new("model.arpa"), options)
}

fn read(text: &str) -> Result<Table, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.arpa");
    fs::write(&path, text).unwrap();
    Ok(arpa::read(&path, Reading { closed: true, ..Reading::default() })?.table)
}

/// The file made by hand with the first `from` replaced by `to`.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?}");
    GOOD.replacen(from, to, 1)
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
    let says = |from: &str, to: &str, line: u64, part: &str| match read(&changed(from, to)) {
        Err(Error::Line { line: found, what, path }) => {
            assert!(what.contains(part), "{what:?} does not say {part:?}");
            assert_eq!(found, line, "{what}");
            assert!(path.ends_with("model.arpa"));
        }
        other => panic!("{from:?} to {to:?}: {other:?}"),
    };
    says("\\data\\", "\\date\\", 23, "no ARPA file");
    says("ngram 2=3", "ngram 3=3", 5, "`ngram 2=COUNT`");
    says("ngram 2=3", "ngram 2=x", 5, "`ngram 2=COUNT`");
    says("ngram 3=1", "ngram 3=1\nngram 4=0\nngram 5=0\nngram 6=0\nngram 7=0", 10, "order 7");
    says(
        "ngram 1=4",
        "ngram 1=5",
        14,
        "`\\2-grams:` stands in the place of an n-gram (n-gram 5 of the 5",
    );
    says("ngram 1=4", "ngram 1=3", 12, "stands where `\\2-grams:` should");
    says("ngram 2=3", "ngram 2=4", 19, "n-gram 4 of the 4");
    says("\\2-grams:", "\\3-grams:", 14, "sections out of order");
    says("\n\\3-grams:\n-0.05\t<s> a </s>\n\n\\end\\\n", "", 18, "cut off");
    says("-0.5\t<s> a", "-1e39\t<s> a", 16, "\"-1e39\" is too large for an f32");
    says("-1.5\t<unk>", "-1.5e38\t<unk>", 9, "too large for an f32");
    says("-0.4\ta", "-inf\ta", 12, "\"-inf\" is not a finite number");
    says("0\t<s>", "x\t<s>", 10, "\"x\" is not a finite number");
    says("\\end\\", "", 23, "without `\\end\\`");
    says("-0.5\t<s> a", "nan\t<s> a", 16, "\"nan\" is not a finite number");
    says("-0.5\t<s> a", "-inf\t<s> a", 16, "not a finite number");
    says("-0.5\t<s> a\t-0.1", "-0.5\t<s> a\tinf", 16, "not a finite number");
    says("-0.5\t<s> a", "0.5\t<s> a", 16, "above 0");
    says("-0.5\t<s> a", "-0.5", 16, "2 fields");
    says("-0.6\ta a", "-0.6\t<s> a", 17, "same n-gram as in line 16");
    says("-0.4\ta\t-0.2", "-0.4\t<unk>", 12, "`<unk>` comes twice, first in line 9");
    says("-0.6\ta a", "-0.6\ta b", 17, "`b` is not among the 1-grams");
    says("-0.05\t<s> a </s>", "-0.05\t<s> a </s>\t-1", 20, "highest order");
    says("-0.8\t</s>", "-0.8\tb", 12, "without </s>");
    says("-0.4\ta\t-0.2", "-0.4\t<eos>\t-0.2", 12, "rename it");
}

#[test]
fn files_of_other_kinds_say_what_they_are() {
    let says = |bytes: &[u8], parts: &[&str]| {
        let message = import(bytes, Reading::default()).unwrap_err().to_string();
        for part in parts.iter().chain(&["model.arpa"]) {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    };
    let utf16 = |order: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain("\\data\\\n".encode_utf16());
        units.flat_map(order).collect()
    };
    for mark in [true, false] {
        says(&utf16(u16::to_le_bytes, mark), &["UTF-16", "iconv -f utf-16"]);
        says(&utf16(u16::to_be_bytes, mark), &["UTF-16", "iconv -f utf-16"]);
    }
    says(b"\xfd7zXZ\0\0", &["compressed", "unpack"]);
    says(b"\x28\xb5\x2f\xfd\x04", &["compressed", "unpack"]);
    says(b"BZh91AY", &["compressed", "unpack"]);
    says(b"caf\xe9\n", &["line 1", "iconv -f latin1"]);
    says(&[b'a'; 2 << 20], &["line 1", "more than a megabyte"]);
    says(b"", &["line 1", "no ARPA file"]);
    let whole = gzip(GOOD);
    says(&whole[..whole.len() / 2], &["compressed data is damaged or cut off"]);
}

/// What gzip makes of a text.
fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn the_same_model_however_the_file_is_written() {
    let table = read(GOOD).unwrap();
    let same = |bytes: &[u8]| {
        let found = import(bytes, Reading::default()).unwrap();
        assert_eq!(
            found,
            Import { table: table.clone(), unknown: Unknown::Given, left_out: 0, added: 0 }
        );
    };
    same(gzip(GOOD).as_slice());
    same([gzip(&GOOD[..50]), gzip(&GOOD[50..])].concat().as_slice());
    same(format!("\u{feff}{GOOD}").as_bytes());
    same(GOOD.replacen("made by hand\n\n", "\u{feff}", 1).as_bytes());
    same(GOOD.replace('\n', "\r\n").as_bytes());
    same(GOOD.replace('\n', " \t\n").as_bytes());
    // Blank lines anywhere.
    same(GOOD.replace('\n', "\n \n\n").as_bytes());
    for unused in ["-99", "-inf", "-1e400", "5"] {
        same(changed("0\t<s>", &format!("{unused}\t<s>")).as_bytes());
    }
}

#[test]
fn words_end_at_space_and_tab_alone() {
    for space in ['\u{a0}', '\u{3000}', '\u{b}', '\u{c}', '\u{2028}', '\u{85}'] {
        for word in [format!("a{space}b"), space.to_string(), format!("a{space}")] {
            let text = GOOD.replace("\ta", &format!("\t{word}")).replace(" a", &format!(" {word}"));
            let table = read(&text).unwrap();
            assert!(table.words.contains(&word), "{word:?} {:?}", table.words);
            assert_eq!(table.orders[1].len(), 3);
            let mut back = Vec::new();
            arpa::write(&table, &mut back).unwrap();
            assert_eq!(read(std::str::from_utf8(&back).unwrap()).unwrap(), table);
            arpa::check(&table, Path::new("model.arpa")).unwrap();
        }
    }
}

#[test]
fn marks_where_no_sentence_has_them_are_left_out() {
    let plain = read(GOOD).unwrap();
    for (misplaced, counts) in [
        ("-0.6\ta a\n-2\ta <s>", "ngram 2=4"),
        ("-0.6\ta a\n-2\t</s> a\t-0.5", "ngram 2=4"),
        ("-0.6\ta a\n-2\t</s> <s>\n-3\t</s> </s>", "ngram 2=5"),
        ("-0.6\ta a\n-2\t<s> <s>\t-1\n-3\t</s> b", "ngram 2=5"),
    ] {
        let text = changed("-0.6\ta a", misplaced).replace("ngram 2=3", counts);
        let found = import(text.as_bytes(), Reading::default()).unwrap();
        assert_eq!(found.table, plain);
        assert_eq!(found.left_out, misplaced.lines().count() - 1);
    }
    let text = changed("ngram 3=1", "ngram 3=3")
        .replace("-0.05\t<s> a </s>", "-0.05\t<s> a </s>\n-1\t<s> </s> a\n-1\t<s> <s> a");
    let found = import(text.as_bytes(), Reading::default()).unwrap();
    assert_eq!((found.table, found.left_out), (plain, 2));
}

#[test]
fn contexts_that_are_missing_are_added_with_their_probability() {
    // Orders 2 and 3 lack what the 4-grams continue; `b` follows only `<s> a` and `a`.
    let text = "\\data\\\nngram 1=5\nngram 2=2\nngram 3=1\nngram 4=3\n\\1-grams:\n-2\t<unk>\n-99\t<s>\t-0.3\n\
        -0.8\t</s>\n-0.4\ta\t-0.2\n-0.5\tb\t-0.1\n\\2-grams:\n-0.3\ta b\t-0.05\n-0.2\t<s> a\t-0.15\n\
        \\3-grams:\n-0.1\ta b a\t-0.25\n\\4-grams:\n-0.01\ta b a b\n-0.02\t<s> a b </s>\n-0.03\tb b a a\n\
        \\end\\\n";
    let found = import(text.as_bytes(), Reading::default()).unwrap();
    // <s> a b; b b, b b a.
    assert_eq!((found.added, found.left_out), (3, 0));
    let sizes: Vec<_> = found.table.orders.iter().map(|order| order.len()).collect();
    assert_eq!(sizes, [4, 3, 3, 3]);
    let found = log10s(&model(&found.table), "a b\nb b a a\na b a b\n");
    let ends = [-0.2, -0.15 - 0.3, -0.02];
    // b after <s>: weights of <s>; b b: of b; a after b b: of b (weight of b b is 1), by the added b b a; then the
    // 4-gram; </s> after a: b a a is nowhere, nor a a.
    let second = [-0.3 - 0.5, -0.1 - 0.5, -0.1 - 0.4, -0.03, -0.2 - 0.8];
    let third = [-0.2, -0.15 - 0.3, -0.1, -0.01, -0.05 - 0.1 - 0.8];
    // a after <s> a b, whose weight is 1, is that after a b.
    let wanted = [&ends[..], &second, &third].concat();
    assert!(worst(&found, &wanted) < 1e-5, "{found:?} {wanted:?}");
}

#[test]
fn the_unknown_word_in_every_spelling() {
    let unknown = |spelling: &str, options: Reading| {
        let text = changed("<unk>", spelling);
        let Import { table, unknown, .. } = import(text.as_bytes(), options).unwrap();
        let model = model(&table);
        let mut session = Session::new(&model);
        let all = session.suggest(10).unwrap();
        let words: Vec<_> = all.iter().map(|found| found.word.to_owned()).collect();
        (table.unk.map(|id| table.words[id as usize].clone()), unknown, words)
    };
    let plain = Reading::default();
    for spelling in ["<UNK>", "<Unk>", "[UNK]", "[unk]", "<unknown>", "<UNKNOWN>"] {
        let (word, from, suggested) = unknown(spelling, plain);
        assert_eq!(word.as_deref(), Some(spelling));
        assert_eq!(from, Unknown::Spelled(spelling.into()));
        assert_eq!(suggested, ["a"]);
    }
    let named = Reading { unknown: Some("OOV"), ..plain };
    assert_eq!(unknown("OOV", named), (Some("OOV".into()), Unknown::Given, vec!["a".into()]));
    let message = import(GOOD.as_bytes(), named).unwrap_err().to_string();
    assert!(message.contains("`OOV`, the unknown word, is not among the 1-grams"), "{message}");
    // A file with both has an <unk>.
    let both = changed("-1.5\t<unk>", "-1.5\t<unk>\n-1.6\t<UNK>").replace("1=4", "1=5");
    assert_eq!(import(both.as_bytes(), plain).unwrap().unknown, Unknown::Given);
}

#[test]
fn a_file_without_an_unknown_word_gets_one_that_no_text_is_likely_with() {
    let text = changed("-1.5\t<unk>\n", "").replace("1=4", "1=3");
    let found = import(text.as_bytes(), Reading::default()).unwrap();
    assert_eq!(found.unknown, Unknown::Added);
    let scores = log10s(&model(&found.table), "a z a\n");
    // After an unknown word nothing is known.
    assert!(worst(&scores, &[-0.5, -0.1 - 0.2 + FLOOR, -0.4, -0.2]) < 1e-4, "{scores:?}");
    let closed = Reading { closed: true, ..Reading::default() };
    let found = import(text.as_bytes(), closed).unwrap();
    assert_eq!((found.table.unk, found.unknown), (None, Unknown::None));
}

#[test]
fn rounding_alone_keeps_the_numbers_of_a_file() {
    // Sums are far from one: renormalising would change every score.
    let table = read(GOOD).unwrap();
    for bits in [3, 4, 8, 16] {
        let mut rounded = table.clone();
        round_each(&mut rounded, bits);
        assert_eq!(rounded, table, "{bits}");
    }
    let (full, ids) = grammar_model(&settings(3));
    let own = log10s_of(&model(&full.table), &ids);
    for (bits, most) in [(16, 1e-3), (8, 0.15), (6, 0.6)] {
        let mut rounded = full.table.clone();
        // One number far from all others, as SRILM writes zero.
        rounded.orders[1].probabilities[0] = -99.0 * std::f32::consts::LN_10;
        round_each(&mut rounded, bits);
        assert!((rounded.orders[1].probabilities[0] + 227.9).abs() < 2.0, "{bits}");
        rounded.orders[1].probabilities[0] = full.table.orders[1].probabilities[0];
        assert_eq!(rounded.orders[0], full.table.orders[0]);
        let off = worst(&log10s_of(&model(&rounded), &ids), &own);
        assert!(off < most, "{bits} bits: {off}");
    }
}

/// log10 p of each of these tokens.
fn log10s_of(model: &Model, ids: &[u32]) -> Vec<f64> {
    let mut all = Vec::new();
    let push = |nats: f64| all.push(nats / std::f64::consts::LN_10);
    Session::new(model).evaluate_each(ids.iter().copied(), push).unwrap();
    all
}

#[test]
fn renormalising_says_how_far_the_sums_were_off() {
    let (full, ids) = grammar_model(&settings(3));
    let mut table = full.table.clone();
    let off = renormalise(&mut table);
    assert_eq!(off.off, 0);
    assert!((off.worst - 1.0).abs() < 1e-3 && off.contexts > 100, "{off:?}");
    let mut table = read(GOOD).unwrap();
    let off = renormalise(&mut table);
    // Single words; after <s>, after a; after <s> a.
    assert_eq!(off.contexts, 4);
    assert!(off.off >= 3 && (off.worst - 1.0).abs() > 0.2, "{off:?}");
    assert!(sums(&model(&table), &[2, 2, 0, 1, 2]) < 1e-4);
    let mut rounded = full.table;
    renormalise(&mut rounded);
    quantise(&mut rounded, 8);
    assert!(sums(&model(&rounded), &ids[..300]) < 0.2);
}

#[test]
fn every_seed_of_the_fuzzer_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/arpa");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = path.file_name().unwrap().to_string_lossy().starts_with("found-");
        assert!(exercise::exercise(&fs::read(&path).unwrap()) || found, "{}", path.display());
        count += 1;
    }
    assert!(count >= 8, "seeds are missing");
}

/// What stands in ARPA files, and what should not.
const PIECES: [&str; 16] = [
    "\\data\\",
    "\\1-grams:",
    "\\2-grams:",
    "\\end\\",
    "ngram 2=2",
    "<s>",
    "</s>",
    "<unk>",
    "a",
    "\t",
    " ",
    "\n",
    "-99",
    "1e39",
    "-inf",
    "\u{feff}",
];

/// A text with some lines or places changed.
fn damaged(text: &[u8], changes: &[(u8, usize, usize)]) -> Vec<u8> {
    let mut text = text.to_vec();
    for &(kind, at, other) in changes {
        let (at, piece) = (at % (text.len() + 1), PIECES[other % PIECES.len()].bytes());
        let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let (line, target) = (at % lines.len().max(1), other % lines.len().max(1));
        match kind % 5 {
            _ if lines.is_empty() => {}
            0 => lines.swap(line, target),
            1 => drop(lines.remove(line)),
            2 => lines.insert(line, lines[target]),
            3 => {
                text.splice(at..at, piece);
                continue;
            }
            _ => {
                text.drain(at..(at + 1).min(text.len()));
                continue;
            }
        }
        text = lines.concat();
    }
    text
}

proptest! {
    #[test]
    fn damaged_files_are_refused_or_read(
        which in 0usize..8,
        changes in proptest::collection::vec((0u8..5, 0usize..500, 0usize..500), 1..6),
    ) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/arpa");
        let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        seeds.sort();
        exercise::exercise(&damaged(&fs::read(&seeds[which]).unwrap(), &changes));
    }
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
