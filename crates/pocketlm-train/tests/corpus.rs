//! Reading text: counts, round trips, and what is said of bad input.

use pocketlm::raw::Case;
use pocketlm_train::corpus::{
    Corpus, EOS, Encoder, Error, Options, Source, Split, Text, UNK, Unit, Vocabulary,
};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const WORDS: Options = Options {
    unit: Unit::Word,
    text: Text::Tokenised,
    case: Case::True,
    max_vocab: None,
    min_count: None,
    unk: None,
    tokenizer: None,
};
const CHARS: Options = Options { unit: Unit::Char, ..WORDS };

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn splits(train: &str, valid: &str) -> TempDir {
    folder(&[("train.txt", train), ("valid.txt", valid), ("test.txt", "a\n")])
}

fn encoder(text: &str, options: Options) -> Encoder {
    Encoder::train(&Source::text("training text", text), &options).unwrap()
}

fn types(encoder: &Encoder) -> Vec<&str> {
    encoder.vocabulary().words().collect()
}

fn open(folder: &TempDir, options: &Options) -> Result<Corpus, Error> {
    Corpus::open(folder.path(), options)
}

/// The folder of a public corpus, if it is on this machine.
fn data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("POCKETLM_DATA").map_or(beside, PathBuf::from);
    let found = Some(root.join(name)).filter(|path| path.is_dir());
    if found.is_none() {
        eprintln!("skipped: no folder {name} under {} (set POCKETLM_DATA)", root.display());
    }
    found
}

fn assert_public_corpus(name: &str, tokens: [usize; 3], types: usize) {
    let Some(path) = data(name) else { return };
    let corpus = Corpus::open(&path, &WORDS).unwrap();
    let splits = [&corpus.train, &corpus.valid, &corpus.test];
    assert_eq!(splits.map(|split| split.ids.len()), tokens);
    assert_eq!(corpus.encoder.vocabulary().len(), types);
    assert_eq!(splits.map(|split| split.oov), [0; 3]);
    for (split, file) in splits.iter().zip(["train.txt", "valid.txt", "test.txt"]) {
        assert_eq!(split.bytes, fs::metadata(path.join(file)).unwrap().len());
        let eos = corpus.encoder.vocabulary().eos();
        assert_eq!(split.ids.iter().filter(|&&id| id == eos).count() as u64, split.lines);
    }
}

#[test]
fn penn_treebank_has_the_counts_of_the_literature() {
    assert_public_corpus("ptb", [929_589, 73_760, 82_430], 10_000);
}

#[test]
fn wikitext_2_has_the_counts_of_the_literature() {
    assert_public_corpus("wikitext-2", [2_088_628, 217_646, 245_569], 33_278);
}

#[test]
fn types_come_by_falling_frequency_then_by_bytes() {
    let encoder = encoder("b a c\nb Z\nb a\n", WORDS);
    assert_eq!(types(&encoder), [EOS, "b", "a", "Z", "c"]);
    assert_eq!(encoder.vocabulary().unk(), None);
    assert_eq!(encoder.vocabulary().id("a"), Some(2));
    assert_eq!(encoder.vocabulary().word(9), None);
}

#[test]
fn limits_map_rare_words_to_unk() {
    let text = "b a c\nb Z\nb a\n";
    let three = encoder(text, Options { max_vocab: Some(3), ..WORDS });
    assert_eq!(types(&three), [UNK, EOS, "b"], "the four dropped tokens count for <unk>");
    let twice = encoder(text, Options { min_count: Some(2), ..WORDS });
    assert_eq!(types(&twice), [EOS, "b", UNK, "a"]);
    let all = encoder(text, Options { min_count: Some(1), ..WORDS });
    assert_eq!(types(&all), [EOS, "b", "a", "Z", "c", UNK]);
}

#[test]
fn valid_and_test_add_no_types_and_their_unknown_words_are_counted() {
    let folder = splits("a b <unk>\na b\n", "a new new <unk>\n");
    let corpus = open(&folder, &WORDS).unwrap();
    assert_eq!(types(&corpus.encoder), [EOS, "a", "b", UNK]);
    assert_eq!(corpus.valid.ids, [1, 3, 3, 3, 0]);
    assert_eq!((corpus.valid.oov, corpus.train.oov), (2, 0), "a literal <unk> is known");
}

#[test]
fn every_line_ends_in_one_eos_blank_ones_too() {
    let encoder = encoder(" a b \n\n  \nb", WORDS);
    let split = encoder.read(&Source::text("text", " a b \r\n\n  \nb")).unwrap();
    let (a, b, eos) = (1, 2, 0);
    assert_eq!(types(&encoder), [EOS, "b", "a"]);
    assert_eq!(split.ids, [b, a, eos, eos, eos, a, eos]);
    assert_eq!((split.lines, split.bytes), (4, 12));
}

#[test]
fn characters_are_tokens_and_spaces_too() {
    let encoder = encoder("aé a\n\na", CHARS);
    assert_eq!(types(&encoder), [EOS, "a", " ", "é"]);
    let split = encoder.read(&Source::text("text", "aé a\n\na")).unwrap();
    assert_eq!(split.ids, [1, 3, 2, 1, 0, 0, 1, 0]);
    assert_eq!(encoder.decode(&split.ids), "aé a\n\na\n");
}

#[test]
fn what_a_person_types_may_be_the_start_of_a_sentence() {
    let encoder = encoder("a b\n", Options { min_count: Some(1), ..WORDS });
    let encoded = encoder.encode("a\r\nb zebra").unwrap();
    assert_eq!(encoder.decode(&encoded.ids), "a\nb <unk>");
    assert_eq!(encoded.oov, 1);
    assert!(encoder.encode("").unwrap().ids.is_empty());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_word() {
    let encoder = encoder("\u{feff}a b\n", WORDS);
    assert_eq!(types(&encoder), [EOS, "a", "b"]);
    let split = encoder.read(&Source::text("text", "\u{feff}a\n")).unwrap();
    assert_eq!(split.bytes, 5);
}

#[test]
fn a_single_file_is_cut_by_lines() {
    let text: String = (0..60).map(|line| format!("w{line}\n")).collect();
    let folder = folder(&[("all.txt", &text)]);
    let path = folder.path().join("all.txt");
    let corpus = Corpus::open(&path, &Options { min_count: Some(1), ..WORDS }).unwrap();
    let lines = [&corpus.train, &corpus.valid, &corpus.test].map(|split| split.lines);
    assert_eq!(lines, [54, 3, 3]);
    let text = |split: &Split| corpus.encoder.decode(&split.ids);
    let train = text(&corpus.train);
    assert!(train.starts_with("w0\n") && train.contains("w8\nw10\n") && train.ends_with("w58\n"));
    assert_eq!((corpus.valid.oov, corpus.test.oov), (3, 3));
    assert!(corpus.notes[0].contains("54 lines train, 3 validate, 3 test"), "{:?}", corpus.notes);
    let held_out = |split| {
        let source = Source::split(&path, split).unwrap();
        Encoder::train(&source, &WORDS).unwrap()
    };
    let words = |encoder: &Encoder| encoder.vocabulary().words().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&held_out("valid")), "<eos> w29 w49 w9");
    assert_eq!(words(&held_out("test")), "<eos> w19 w39 w59");
    let bytes = corpus.train.bytes + corpus.valid.bytes + corpus.test.bytes;
    assert_eq!(bytes, fs::metadata(path).unwrap().len());
}

#[test]
fn hashes_are_those_of_the_files() {
    let corpus = open(&splits("a b\n", "a\n"), &WORDS).unwrap();
    // printf 'a\n' | sha256sum
    let hash = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";
    assert_eq!((corpus.valid.sha256.as_str(), corpus.test.sha256.as_str()), (hash, hash));
    let other = open(&splits("a b\n", "b\n"), &WORDS).unwrap();
    assert_ne!(corpus.sha256(), other.sha256());
}

#[test]
fn encoders_are_saved_and_loaded() {
    let text = "to be or not to be \u{a0}é\n\tthat is\r \n";
    for unit in [Unit::Word, Unit::Char, Unit::Bpe] {
        let saved = encoder(text, Options { unit, ..WORDS });
        let folder = folder(&[]);
        saved.save(folder.path()).unwrap();
        let loaded = Encoder::load(folder.path(), unit).unwrap();
        assert_eq!(saved.vocabulary(), loaded.vocabulary());
        assert_eq!(saved.encode(text).unwrap(), loaded.encode(text).unwrap());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1 + usize::from(unit == Unit::Bpe)
        );
    }
}

#[test]
fn byte_pairs_are_learnt_the_same_every_time() {
    let text = "low lower lowest newer newest wide wider\n".repeat(9);
    let options = Options { unit: Unit::Bpe, max_vocab: Some(270), ..WORDS };
    let encoders = [encoder(&text, options.clone()), encoder(&text, options)];
    assert_eq!(encoders[0].vocabulary(), encoders[1].vocabulary());
    assert_eq!(encoders[0].vocabulary().len(), 270);
    assert!(encoders[0].encode("lower newest").unwrap().ids.len() < 12);
}

#[test]
fn an_eos_written_in_open_text_is_text() {
    let encoder = encoder("<eos> <eos>\n", Options { unit: Unit::Bpe, ..WORDS });
    let ids = encoder.encode("<eos>").unwrap().ids;
    assert!(!ids.contains(&encoder.vocabulary().eos()));
    assert_eq!(encoder.decode(&ids), "<eos>");
}

proptest! {
    #[test]
    fn words_survive_a_round_trip(lines in prop::collection::vec("[a-zé]{1,3}( [a-z]{1,3}){0,5}", 1..9)) {
        let text = lines.join("\n");
        let encoder = encoder(&text, WORDS);
        prop_assert_eq!(encoder.decode(&encoder.encode(&text).unwrap().ids), text);
    }

    #[test]
    fn characters_survive_a_round_trip(text in "x[^\r]{0,40}") {
        let encoder = encoder(&text, CHARS);
        prop_assert_eq!(encoder.decode(&encoder.encode(&text).unwrap().ids), text);
    }

    #[test]
    fn byte_pairs_survive_a_round_trip(line in "[^\n]{0,60}") {
        let text = "the quick brown fox and the lazy dog\n".repeat(3);
        let options = Options { unit: Unit::Bpe, max_vocab: Some(300), ..WORDS };
        let encoder = encoder(&text, options);
        prop_assert_eq!(encoder.decode(&encoder.encode(&line).unwrap().ids), line);
    }

    #[test]
    fn vocabularies_survive_a_round_trip(text in "x[^\r]{0,40}") {
        let encoder = encoder(&text, CHARS);
        let folder = folder(&[]);
        encoder.save(folder.path()).unwrap();
        let loaded = Vocabulary::load(&folder.path().join("vocab.txt")).unwrap();
        prop_assert_eq!(&loaded, encoder.vocabulary());
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Corpus::open(Path::new("no/such/text"), &WORDS).unwrap_err();
    assert!(matches!(&error, Error::Missing { path } if path == Path::new("no/such/text")));
    assert!(error.to_string().contains("no/such/text"));
}

#[test]
fn a_folder_without_splits_is_refused() {
    let error = open(&folder(&[("readme", "hi\n")]), &WORDS).unwrap_err();
    assert!(matches!(&error, Error::NoSplit { split: "train", found, .. } if found.is_empty()));
    let error = open(&folder(&[("train.txt", "a\n"), ("test.txt", "a\n")]), &WORDS).unwrap_err();
    assert!(matches!(&error, Error::NoSplit { split: "valid", .. }));
    assert!(error.to_string().contains("it has only train.txt, test.txt"), "{error}");
}

#[test]
fn one_split_of_a_folder_needs_no_other() {
    let folder = folder(&[("test.txt", "a\n")]);
    assert!(Source::split(folder.path(), "test").is_ok());
}

#[test]
fn an_empty_file_is_refused() {
    for empty in ["", "\u{feff}"] {
        let error = open(&splits(empty, "a\n"), &WORDS).unwrap_err();
        assert!(matches!(&error, Error::Empty { path } if path.ends_with("train.txt")));
        let error = open(&splits("a b\n", empty), &WORDS).unwrap_err();
        assert!(matches!(&error, Error::Empty { path } if path.ends_with("valid.txt")));
        let single = folder(&[("text", empty)]);
        let error = Corpus::open(&single.path().join("text"), &WORDS).unwrap_err();
        assert!(matches!(error, Error::Empty { .. }));
    }
}

#[test]
fn a_file_of_few_lines_cannot_be_cut() {
    let folder = folder(&[("text", "one long line\nand another")]);
    let error = Corpus::open(&folder.path().join("text"), &WORDS).unwrap_err();
    assert!(matches!(error, Error::TooFewLines { lines: 2, .. }));
}

#[test]
fn bytes_that_are_not_utf8_are_located() {
    for unit in [Unit::Word, Unit::Char, Unit::Bpe] {
        let folder = splits("a b\n", "a\n");
        fs::write(folder.path().join("train.txt"), b"caf\xc3\xa9\nna\xefve\n").unwrap();
        let error = open(&folder, &Options { unit, ..WORDS }).unwrap_err();
        assert!(
            matches!(&error, Error::NotUtf8 { path, line: 2, offset: 8 } if path.ends_with("train.txt")),
            "{error}"
        );
    }
    let folder = folder(&[]);
    let path = folder.path().join("vocab.txt");
    fs::write(&path, b"<eos>\nna\xefve\n").unwrap();
    let error = Vocabulary::load(&path).unwrap_err();
    assert!(matches!(error, Error::NotUtf8 { line: 2, offset: 8, .. }));
}

#[test]
fn a_vocabulary_of_one_word_is_refused() {
    let error = open(&splits("\n\n", "\n"), &WORDS).unwrap_err();
    assert!(matches!(&error, Error::OneWord { word, .. } if word == EOS), "{error}");
}

#[test]
fn unknown_words_without_unk_are_located() {
    let error = open(&splits("a b\n", "a\n\nb zebra\n"), &WORDS).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownWord { path, line: 3, word }
            if path.ends_with("valid.txt") && word == "zebra"),
        "{error}"
    );
    assert!(error.to_string().contains("--min-count"));
    let error = encoder("a b\n", WORDS).encode("a\nzebra").unwrap_err();
    assert!(matches!(&error, Error::UnknownWord { line: 2, word, .. } if word == "zebra"));
}

#[test]
fn a_vocabulary_too_small_is_refused() {
    for (unit, asked, needed) in [(Unit::Word, 0, 2), (Unit::Char, 1, 2), (Unit::Bpe, 256, 257)] {
        let options = Options { unit, max_vocab: Some(asked), ..WORDS };
        let error = open(&splits("a b\n", "a\n"), &options).unwrap_err();
        assert!(
            matches!(error, Error::MaxVocab { asked: a, least, .. } if (a, least) == (asked, needed))
        );
    }
}

/// Lines of a long file go to their splits in blocks from ten places.
#[test]
fn a_long_file_is_cut_into_blocks() {
    let text: String = (0..4000).map(|line| format!("w{line}\n")).collect();
    let folder = folder(&[("all.txt", &text)]);
    let path = folder.path().join("all.txt");
    let cut = Source::split(&path, "test").unwrap().cut().unwrap();
    assert_eq!((cut.lines, cut.block, cut.counts()), (4000, 20, [3600, 200, 200]));
    let test = Encoder::train(&Source::split(&path, "test").unwrap(), &WORDS).unwrap();
    for place in 0..10 {
        let first = 400 * place + 380;
        assert!(test.vocabulary().id(&format!("w{first}")).is_some(), "{first}");
        assert!(test.vocabulary().id(&format!("w{}", first - 1)).is_none(), "{first}");
    }
    // All of it where it is measured, not cut.
    let whole = Source::measured(&path, "test").unwrap();
    assert!(test.read(&whole).unwrap_err().to_string().contains("w0"));
}

#[test]
fn what_is_no_text_is_named() {
    for (bytes, what) in [
        (&b"\x1f\x8b\x08\0"[..], "gzip"),
        (b"\xff\xfea\0\n\0", "UTF-16"),
        (b"PK\x03\x04", "zip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"a\0 \0b\0\n\0c\0\n\0", "utf-16le"),
    ] {
        let folder = folder(&[]);
        let path = folder.path().join("all.txt");
        fs::write(&path, bytes).unwrap();
        let message = Corpus::open(&path, &WORDS).unwrap_err().to_string();
        assert!(message.contains(what) && message.contains("all.txt"), "{message}");
    }
}

#[test]
fn unknown_words_are_known_by_their_usual_spellings() {
    let text = "a <UNK> b\n[unk] a\nb <Unknown>\n";
    let encoder = encoder(text, WORDS);
    assert_eq!(types(&encoder), ["<eos>", "<unk>", "a", "b"]);
    assert_eq!(encoder.notes().len(), 3);
    assert!(
        encoder.notes()[0].contains(r#"1 times "<UNK>": taken as <unk>"#),
        "{:?}",
        encoder.notes()
    );
    let split = encoder.read(&Source::text("text", "a <UNK> c\n")).unwrap();
    assert_eq!((split.ids.len(), split.oov), (4, 1));
    let named = Encoder::train(
        &Source::text("text", "a oov b\n"),
        &Options { unk: Some("oov".into()), ..WORDS },
    );
    assert_eq!(types(&named.unwrap()), ["<eos>", "<unk>", "a", "b"]);
}

#[test]
fn marks_of_a_sentence_are_no_words() {
    let folder = splits("<s> a b </s>\n a </s>\nb <eos>\n<s>\n", "<s> a\n");
    let corpus = open(&folder, &WORDS).unwrap();
    assert_eq!(types(&corpus.encoder), ["<eos>", "a", "b"]);
    assert_eq!(corpus.encoder.decode(&corpus.train.ids), "a b\na\nb\n\n");
    assert_eq!((corpus.train.marked, corpus.valid.marked, corpus.test.marked), (4, 1, 0));
    assert!(corpus.notes[0].contains("train.txt: 4 lines with <s>"), "{:?}", corpus.notes);
    let many = encoder("<S> <bos> a </S> <EOS>\n</s> b <|endoftext|>\n", WORDS);
    assert_eq!(types(&many), ["<eos>", "a", "b"]);
    // Only whole words are marks, and only at the ends.
    let within = encoder("<s>a </s> b\n", WORDS);
    assert_eq!(types(&within), ["</s>", "<eos>", "<s>a", "b"]);
}

#[test]
fn characters_that_the_training_text_lacks_become_unknown() {
    let folder = splits("ab c\n", "a\tb\n");
    let corpus = open(&folder, &CHARS).unwrap();
    assert_eq!(types(&corpus.encoder), ["\u{20}", "<eos>", "a", "b", "c", "<unk>"]);
    assert_eq!((corpus.valid.oov, corpus.test.oov), (1, 0));
    assert!(corpus.notes[0].contains(r#"valid.txt: line 1: "\t""#), "{:?}", corpus.notes);
    assert!(open(&splits("ab\n", "a\n"), &CHARS).unwrap().encoder.vocabulary().unk().is_none());
}

#[test]
fn words_that_no_model_takes_are_refused_where_they_stand() {
    let text = format!("a b\n{} a\n", "x".repeat(5000));
    let source = Source::text("text", text.as_str());
    let message = Encoder::train(&source, &WORDS).unwrap_err().to_string();
    assert!(message.contains("line 2: a word of 5000 bytes"), "{message}");
    let encoder = encoder(&text, Options { min_count: Some(1), ..WORDS });
    assert_eq!(types(&encoder), ["<eos>", "a", "<unk>", "b"]);
}

#[test]
fn a_vocabulary_that_was_rewritten_with_carriage_returns_is_read() {
    let folder = folder(&[("vocab.txt", "\u{feff}<eos>\r\na\r\nb\r\n")]);
    let vocabulary = Vocabulary::load(&folder.path().join("vocab.txt")).unwrap();
    assert_eq!(vocabulary.words().collect::<Vec<_>>(), ["<eos>", "a", "b"]);
}

#[test]
fn a_folder_without_a_test_split_trains() {
    let folder = folder(&[("train.txt", "a b\n"), ("valid.txt", "a\n")]);
    let corpus = open(&folder, &WORDS).unwrap();
    assert!(corpus.test.ids.is_empty());
    let error = corpus.require_test(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::NoSplit { split: "test", found, .. } if found.len() == 2));
}

#[test]
fn a_tokenizer_that_is_cut_off_is_refused() {
    let encoder =
        encoder("a b c a b\n", Options { unit: Unit::Bpe, max_vocab: Some(260), ..WORDS });
    let folder = folder(&[]);
    encoder.save(folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Encoder::load(folder.path(), Unit::Bpe).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }), "{length}: {error}");
    }
}

#[test]
fn a_damaged_vocabulary_is_refused() {
    let folder = folder(&[]);
    let path = folder.path().join("vocab.txt");
    for (text, at) in
        [("a\nb\n", 2), ("<eos>\na\na\n", 3), ("<eos>\n\na\n", 2), ("<eos>\r\na\n", 2)]
    {
        fs::write(&path, text).unwrap();
        let error = Vocabulary::load(&path).unwrap_err();
        assert!(matches!(error, Error::BadVocabulary { line, .. } if line == at), "{error}");
    }
    fs::write(&path, "<eos>\n").unwrap();
    assert!(matches!(Vocabulary::load(&path).unwrap_err(), Error::OneWord { .. }));
    fs::write(&path, "").unwrap();
    assert!(matches!(Vocabulary::load(&path).unwrap_err(), Error::Empty { .. }));
}

#[test]
fn a_foreign_tokenizer_is_refused() {
    let text = "low lower lowest\n";
    let saved = encoder(text, Options { unit: Unit::Bpe, max_vocab: Some(260), ..WORDS });
    let folder = folder(&[]);
    saved.save(folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let load = || Encoder::load(folder.path(), Unit::Bpe).unwrap_err();
    fs::remove_file(&path).unwrap();
    assert!(matches!(load(), Error::Missing { .. }));
    fs::write(&path, "{").unwrap();
    assert!(matches!(load(), Error::Tokenizer { .. }));
    saved.save(folder.path()).unwrap();
    encoder(text, WORDS).save(folder.path()).unwrap();
    assert!(matches!(load(), Error::BadVocabulary { .. }));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let error = encoder("a b\n", WORDS).save(Path::new("no/such/folder")).unwrap_err();
    assert!(matches!(&error, Error::Write { path, .. } if path.ends_with("vocab.txt")), "{error}");
}

const RAW: Options = Options { text: Text::Raw, ..WORDS };

/// "Hello," and "Hello" have the same type, and so has a word wherever its sentence begins.
#[test]
fn raw_text_has_words_and_marks() {
    let text = "Hello, my dog barks. The dog (a big one) saw May.\nMay I see the dog? I may.\n";
    let raw = encoder(text, RAW);
    let same = |line: &str| raw.encode(line).unwrap().ids;
    assert_eq!(same("Hello")[0], same("Hello,")[0]);
    assert_eq!(types(&raw).iter().filter(|word| word.eq_ignore_ascii_case("the")).count(), 1);
    // As often with a capital as without one elsewhere: the small form.
    let id = |word: &str| raw.vocabulary().id(word);
    assert_eq!(same("May I")[0], id("may").unwrap());
    assert_eq!(raw.decode(&same("The dog (a big one) saw May.")), "The dog (a big one) saw May.");
}

#[test]
fn names_keep_their_capital() {
    let text = "I saw Mark and Mark.\nMark saw a mark.\nWe saw Mark.\nThe end, the end.\n";
    let raw = encoder(text, RAW);
    assert_eq!(raw.names().collect::<Vec<_>>(), ["Mark"]);
    let ids = raw.encode("Mark saw. The end").unwrap().ids;
    let words: Vec<_> = ids.iter().map(|&id| raw.vocabulary().word(id).unwrap()).collect();
    assert_eq!(words, ["Mark", "saw", ".", "the", "end"]);
    let folder = tempfile::tempdir().unwrap();
    raw.save(folder.path()).unwrap();
    let again = Encoder::load(folder.path(), raw.unit()).unwrap();
    assert_eq!(again.encode("Mark saw. The end").unwrap().ids, ids);
    fs::write(folder.path().join("names.txt"), "Nobody\n").unwrap();
    let error = Encoder::load(folder.path(), raw.unit()).unwrap_err().to_string();
    assert!(error.contains("names.txt") && error.contains("Nobody"), "{error}");
}

#[test]
fn text_is_taken_for_what_it_looks_like() {
    let unit = |text: &str| encoder(text, Options { text: Text::Auto, ..WORDS });
    for raw in ["Well, yes.\nNo!\n", "Hello you\nNice day today\n", "i saw it, he said.\n"] {
        assert_eq!(unit(raw).unit(), Unit::Raw(Case::True), "{raw}");
    }
    for tokenised in
        ["well , yes .\n", "we do n't know , Mr. <unk> said .\n", "a b c\n", "The N @-@ th .\n"]
    {
        assert_eq!(unit(tokenised).unit(), Unit::Word, "{tokenised}");
    }
    let notes = |text, asked| encoder(text, Options { text: asked, ..WORDS }).notes().join("\n");
    assert!(notes("we do n't know\n", Text::Raw).contains("looks tokenised"));
    assert!(notes("Well, yes.\nNo!\n", Text::Tokenised).contains("looks raw"));
    assert!(notes("Well, yes.\nNo!\n", Text::Auto).contains("Well , yes ."));
}

#[test]
fn rare_types_of_raw_text_become_unknown() {
    let text = "One two, two.\nOne two.\n";
    let raw = encoder(text, Options { min_count: Some(2), ..RAW });
    let encoded = raw.encode("three two").unwrap();
    assert_eq!((encoded.oov, encoded.ids.len()), (1, 2));
}

/// What a combining accent stands over is one character, however it was written.
#[test]
fn raw_text_is_composed() {
    let raw = encoder("Café au lait.\nA café.\n", RAW);
    assert_eq!(raw.encode("cafe\u{301}").unwrap(), raw.encode("café").unwrap());
}

/// There are always words to come that the training text lacks; and blank lines part paragraphs.
#[test]
fn raw_text_has_unknown_words_and_no_blank_lines() {
    let raw = encoder("One, two.\n\n \nTwo, one.\n", RAW);
    assert!(raw.vocabulary().unk().is_some());
    let split = raw.read(&Source::text("t", "One three.\n\nTwo.\n")).unwrap();
    let eos = raw.vocabulary().eos();
    assert_eq!(split.ids.iter().filter(|&&id| id == eos).count(), 2);
    assert_eq!(split.oov, 1);
}
