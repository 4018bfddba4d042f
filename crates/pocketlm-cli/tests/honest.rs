//! Figures that count no unknown word as a success, and vocabularies that grow.

mod common;

use std::fs;
use std::path::Path;

use common::{command, folder, json, print, shared, stderr};
use serde_json::Value;

const EXACT: &str = "--hidden 16 --set embedding=16 --set batch=4 --set steps=10 --epochs 10 --set optimizer=adam \
     --set lr=0.02 --set schedule={kind=\"constant\"}";

fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("{key} in {object}"))
}

/// A text of which a ninth of the words are rare, each spelt in its own way.
fn rare_words(folder: &Path) {
    let animal = |i: usize| ["cat", "dog", "bird", "fish", "cow"][i * i % 97 % 5];
    let line = |i: usize| format!("the {} sat on w{i}x\na dog ran home\n", animal(i));
    let text = |from: usize| (from..from + 60).map(line).collect::<String>();
    let data = folder.join("text");
    fs::create_dir_all(&data).unwrap();
    for (split, from) in [("train", 100), ("valid", 200), ("test", 300)] {
        fs::write(data.join(format!("{split}.txt")), text(from)).unwrap();
    }
}

#[test]
fn unknown_words_and_line_ends_are_no_words() {
    let here = folder("honest-recall");
    rare_words(&here);
    let report = json(&here, &format!("train --data text --min-count 2 --out model {EXACT}"), &[]);
    print(&here, "pack model -o model.plm --precision f32", &[]);
    let rows =
        ["model", "model.plm"].map(|model| json(&here, &format!("eval {model} --data text"), &[]));
    for row in &rows {
        // 11 tokens in two lines: two ends, one unknown word, eight words.
        assert_eq!(
            (&row["tokens"], &row["words"], &row["oov"]),
            (&660.into(), &480.into(), &60.into())
        );
        assert!((number(row, "unknown_share") - 60.0 / 540.0).abs() < 1e-9);
        let hits = |recall: &str, of: &str| number(row, recall) * number(row, of);
        // What is no word brings up to 180 hits more.
        let more = hits("recall_at_1", "tokens") - hits("word_recall_at_1", "words");
        assert!((0.0..=180.0).contains(&more), "{row}");
        assert!(number(row, "recall_at_1") > number(row, "word_recall_at_1"), "{row}");
        assert!(number(row, "word_recall_at_3") >= number(row, "word_recall_at_1"));
        // w300x and its like: about as many bits as letters make, and in bits per byte.
        let bits = number(row, "spelling_bits");
        assert!(60.0 * 20.0 < bits && bits < 60.0 * 60.0, "{row}");
        let bytes = fs::metadata(here.join("text/test.txt")).unwrap().len() as f64;
        let without = number(row, "bits_per_byte_without_spelling");
        assert!((number(row, "bits_per_byte") - without - bits / bytes).abs() < 1e-9);
        assert!((without * bytes - number(row, "bits_per_token") * 660.0).abs() < 1e-6);
    }
    for key in
        ["words", "oov", "word_recall_at_1", "word_recall_at_3", "spelling_bits", "unknown_share"]
    {
        assert_eq!(rows[0][key], rows[1][key], "{key}");
        assert_eq!(rows[0][key], report["test"][key], "{key}");
    }
    let mixed = json(&here, "eval model --mix model.plm --weight 0.5 --data text", &[]);
    for key in ["words", "word_recall_at_1", "spelling_bits"] {
        assert_eq!(mixed[key], rows[0][key], "{key}");
    }
    let table = print(&here, "eval model --data text", &[]);
    assert!(table.contains("recall@1 words") && table.contains("11.1 %"), "{table}");
}

#[test]
fn silent_tokens_of_raw_text_are_no_words() {
    let here = folder("honest-raw");
    // Twenty lines of one <join>, one <lower>, four words and a mark, and an end.
    fs::write(
        here.join("raw.txt"),
        "Well, you can.\nso we 5km and you.\nNow so we go.\n".repeat(60),
    )
    .unwrap();
    let train = format!("train --data raw.txt --out model {EXACT}");
    print(&here, &train, &[]);
    print(&here, "pack model -o model.plm --precision f32", &[]);
    let rows = ["model", "model.plm"]
        .map(|model| json(&here, &format!("eval {model} --data raw.txt"), &[]));
    let vocabulary = fs::read_to_string(here.join("model/vocab.txt")).unwrap();
    let silent =
        ["<join>", "<lower>"].iter().filter(|name| vocabulary.contains(*name)).count() as f64;
    assert!(silent > 0.0, "{vocabulary}");
    for row in &rows {
        assert_eq!(number(row, "words"), number(row, "tokens") - 180.0 - 60.0 * silent, "{row}");
        assert_eq!(row["word_recall_at_1"], rows[0]["word_recall_at_1"]);
    }
}

#[test]
fn unknown_words_of_the_text_itself_are_counted_and_not_spelt() {
    let output = command(shared(), "eval open-model packed.plm --data open", &[]).output().unwrap();
    let notes = stderr(&output);
    assert_eq!(notes.matches("cannot be spelt: 3; bits/byte").count(), 1, "{notes}");
    let row = json(shared(), "eval packed.plm --data open", &[]);
    assert_eq!((&row["unspelt"], &row["oov"]), (&3.into(), &0.into()));
    assert_eq!(row["bits_per_byte"], row["bits_per_byte_without_spelling"]);
    assert!((number(&row, "unknown_share") - 3.0 / 200.0).abs() < 1e-9, "{row}");
}

#[test]
fn unknown_words_cost_their_spelling_in_a_score() {
    let score =
        |text: &str, how: &str| json(shared(), &format!("score -m packed.plm {how}"), &[text]);
    let (known, unknown) = ("the cat sat on the mat", "zyxxy zyxxy zyxxy zyxxy zyxxy zyxxy");
    let (sentence, spelt) = (score(known, ""), score(unknown, ""));
    assert_eq!(number(&sentence, "unk_penalty"), 0.0);
    assert_eq!(sentence["nll"], sentence["nll_without_penalty"]);
    assert!(number(&spelt, "nll") > number(&sentence, "nll") + 100.0, "{spelt}");
    let penalty = number(&spelt, "nll") - number(&spelt, "nll_without_penalty");
    assert!((penalty - number(&spelt, "unk_penalty")).abs() < 1e-9);
    let none = score(unknown, "--unk-penalty none");
    assert_eq!(none["nll"], spelt["nll_without_penalty"]);
    let fixed = score(unknown, "--unk-penalty 7.5");
    assert!((number(&fixed, "nll") - number(&none, "nll") - 45.0).abs() < 1e-9);
    // The checkpoint has the same words, so the same spelling; so has a mixture.
    let mixed = json(shared(), "score -m open-model --mix packed.plm", &[unknown]);
    let own = json(shared(), "score -m open-model", &[unknown]);
    assert_eq!(mixed["unk_penalty"], spelt["unk_penalty"]);
    assert_eq!(own["unk_penalty"], spelt["unk_penalty"]);
    let line = print(shared(), "score -m packed.plm", &["a zyxxy ran"]);
    assert!(line.contains("oov 1 (+") && line.contains(" nats)"), "{line}");
    for wrong in ["-1", "nan", "much"] {
        let output =
            command(shared(), "score -m packed.plm --unk-penalty", &[wrong, "a"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(
            stderr(&output).contains("give auto, none, or a number of nats"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_vocabulary_grows_with_a_new_text() {
    let here = folder("honest-extend");
    rare_words(&here);
    print(&here, &format!("train --data text --min-count 2 --out model {EXACT}"), &[]);
    fs::write(
        here.join("new.txt"),
        "the zebra sat on a yak\nthe yak ran home\nthe zebra ran xi\n".repeat(40),
    )
    .unwrap();
    let output = command(&here, "train --data new.txt --from model --epochs 1 --out plain", &[])
        .output()
        .unwrap();
    let notes = stderr(&output);
    assert!(output.status.success() && notes.contains("warning: "), "{notes}");
    assert!(notes.contains("--extend-vocab N"), "{notes}");
    let train = "train --data new.txt --from model --epochs 4 --extend-vocab 2 --out wider";
    let output = command(&here, train, &[]).output().unwrap();
    let notes = stderr(&output);
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains("2 new words join the vocabulary: yak zebra"), "{notes}");
    let [before, after] = ["model", "wider"]
        .map(|model| fs::read_to_string(here.join(model).join("vocab.txt")).unwrap());
    assert_eq!(after, format!("{before}yak\nzebra\n"));
    let [plain, wider] =
        ["plain", "wider"].map(|model| json(&here, &format!("eval {model} --data new.txt"), &[]));
    assert!(number(&wider, "oov") < number(&plain, "oov"));
    assert!(number(&wider, "bits_per_byte") < number(&plain, "bits_per_byte"), "{wider} {plain}");
    // A resumed training has the words already.
    let more = "train --data new.txt --from model --epochs 5 --extend-vocab 2 --out wider --resume";
    let output = command(&here, more, &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    print(&here, "pack wider -o wider.plm", &[]);
    assert_eq!(json(&here, "score -m wider.plm", &["a zebra"])["oov"], 0);
    let alone =
        command(&here, "train --data new.txt --extend-vocab 2 --out x", &[]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
    assert!(stderr(&alone).contains("--from"), "{}", stderr(&alone));
}
