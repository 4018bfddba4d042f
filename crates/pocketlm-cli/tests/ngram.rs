//! N-gram models from the command line: made, measured, used, written as text and read again, mixed.

mod common;

use std::fs;

use common::{SMALL, command, folder, json, print, splits, stderr};

/// A folder with a text and an n-gram model of it.
fn place(name: &str) -> std::path::PathBuf {
    let here = folder(name);
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 6_000).unwrap();
    json(&here, "ngram --data text --order 3 --min-count 2 -o three.plm --arpa three.arpa", &[]);
    here
}

/// Measuring goes by the ids of a file's special words, whatever these are called.
#[test]
fn special_words_go_by_their_ids() {
    let here = folder("special");
    let text = "the cat sat on the mat\nthe dog sat\n".repeat(20);
    splits(&here, "text", &text.replace("dog", "<unk>"));
    splits(&here, "asked", "the zebra sat\n");
    print(&here, "ngram --data text --order 2 -o plain.plm --arpa plain.arpa", &[]);
    let other = fs::read_to_string(here.join("plain.arpa")).unwrap().replace("<unk>", "rare");
    fs::write(here.join("other.arpa"), other).unwrap();
    print(&here, "import other.arpa -o other.plm --unk rare --bits 32", &[]);
    print(&here, "import plain.arpa -o same.plm --bits 32", &[]);
    let nll = |model: &str| {
        let row = json(&here, &format!("eval {model} --data asked"), &[]);
        assert_eq!(row["oov"], 1, "{model}");
        row["nll"].as_f64().unwrap()
    };
    assert!((nll("other.plm") - nll("same.plm")).abs() < 1e-6);
    let score = json(&here, "score -m other.plm", &["the zebra sat"]);
    let mean = score["nll_without_penalty"].as_f64().unwrap() / score["tokens"].as_f64().unwrap();
    assert!((mean - nll("other.plm")).abs() < 1e-6);
}

#[test]
fn made_measured_and_used_as_any_model() {
    let here = place("ngram-use");
    let report =
        json(&here, "ngram --data text --order 4 --min-count 2 --prune 1e-5 -o four.plm", &[]);
    assert_eq!(report["ngrams"].as_array().unwrap().len(), 4);
    assert!(report["ngrams"][3].as_u64() < report["counted"][3].as_u64());
    let row = json(&here, "eval four.plm --data text", &[]);
    let stored = &report["written"]["perplexity"][1];
    assert_eq!(stored["value"], row["perplexity"]);
    assert_eq!(stored["tokens"], row["tokens"]);
    assert!(row["recall_at_3"].as_f64() > row["recall_at_1"].as_f64());
    let inspected = json(&here, "inspect four.plm --verify", &[]);
    assert_eq!(inspected["bytes"], report["written"]["bytes"]);
    assert_eq!(inspected["orders"].as_array().unwrap().len(), 4);
    assert!(print(&here, "inspect four.plm", &[]).contains("bits of back-off"));
    let found = json(&here, "suggest -m four.plm the -k 4", &[]);
    assert_eq!(found["suggestions"].as_array().unwrap().len(), 4);
    let found = json(&here, "complete -m four.plm", &["the d"]);
    for suggestion in found["suggestions"].as_array().unwrap() {
        assert!(suggestion["word"].as_str().unwrap().starts_with('d'));
    }
    let score = json(&here, "score -m four.plm", &["the dogs bark"]);
    assert_eq!(score["tokens"], 4);
    let drawn = print(&here, "generate -m four.plm --seed 3 -n 2", &[]);
    assert_eq!(drawn.lines().count(), 2);
    assert_eq!(drawn, print(&here, "generate -m four.plm --seed 3 -n 2", &[]));
    let speed = json(&here, "bench four.plm --seconds 0.1", &[]);
    assert!(speed["tokens_per_second"].as_f64().unwrap() > 0.0);
    assert!(speed["bound_tokens_per_second"].is_null());
    let speed = json(&here, "bench four.plm --seconds 0.1 --data text", &[]);
    assert!(speed["tokens_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn arpa_files_there_and_back() {
    let here = place("ngram-arpa");
    json(&here, "import three.arpa -o exact.plm --bits 32 --data text", &[]);
    json(&here, "export exact.plm -o again.arpa", &[]);
    assert_eq!(
        fs::read(here.join("three.arpa")).unwrap(),
        fs::read(here.join("again.arpa")).unwrap()
    );
    let [exact, rounded] = ["exact.plm", "three.plm"]
        .map(|file| json(&here, &format!("eval {file} --data text"), &[])["nll"].as_f64().unwrap());
    assert!((exact - rounded).abs() < 0.01, "{exact} {rounded}");
}

#[test]
fn mixed_with_a_recurrent_model() {
    let here = place("ngram-mix");
    json(&here, &format!("train --data text --out model --min-count 2 {SMALL}"), &[]);
    let own = json(&here, "eval model --data text", &[]);
    let other = json(&here, "eval three.plm --data text", &[]);
    let mixed = json(&here, "eval model --mix three.plm --data text", &[]);
    let nll = |row: &serde_json::Value| row["nll"].as_f64().unwrap();
    assert!(nll(&mixed) < nll(&own).min(nll(&other)) + 0.01);
    assert!((0.0..=1.0).contains(&mixed["weight"].as_f64().unwrap()));
    for (weight, alone) in [("0", &own), ("1", &other)] {
        let line = format!("eval model --mix three.plm --weight {weight} --data text");
        assert!((nll(&json(&here, &line, &[])) - nll(alone)).abs() < 1e-4);
    }
    let [first, second, half] = ["", "three.plm", "--mix three.plm"].map(|how| {
        let line = match how {
            "three.plm" => "score -m three.plm".to_owned(),
            how => format!("score -m model {how}"),
        };
        nll(&json(&here, &line, &["the dogs bark"]))
    });
    // Each of the four tokens has at least half of what the better model gives it.
    assert!(half <= first.min(second) + 4.0 * std::f64::consts::LN_2);
}

#[test]
fn a_mixture_is_a_file_that_every_command_takes() {
    let here = place("mixture");
    json(&here, &format!("train --data text --out model --min-count 2 {SMALL}"), &[]);
    print(&here, "pack model --precision int8 -o model.plm", &[]);
    let said = notes(&here, "mix model.plm three.plm --data text -o both.plm");
    assert!(said.contains("model.plm") && said.contains("text/test: perplexity"), "{said}");
    let nll = |line: &str| json(&here, line, &[])["nll"].as_f64().unwrap();
    let apart = nll("eval model.plm --mix three.plm --data text");
    assert!((nll("eval both.plm --data text") - apart).abs() < 1e-6);
    let stored = json(&here, "inspect both.plm --verify", &[]);
    assert!((stored["perplexity"][1]["value"].as_f64().unwrap() - apart.exp()).abs() < 1e-3);
    assert_eq!(stored["parts"].as_array().unwrap().len(), 2);
    let shown = print(&here, "inspect both.plm", &[]);
    assert!(shown.contains("part with weight") && shown.contains("0.embedding"), "{shown}");
    assert_eq!(print(&here, "suggest -m both.plm -k 3", &["the"]).lines().count(), 3);
    assert!(!print(&here, "complete -m both.plm -k 1", &["the d"]).is_empty());
    assert!(print(&here, "generate -m both.plm --tokens 5 --seed 1", &[]).split(' ').count() >= 4);
    print(&here, "bench both.plm --seconds 0.1", &[]);
    notes(&here, "mix model three.plm --weights 0.25,0.75 --entropy -o given.plm");
    let score = nll("score -m given.plm the");
    assert!((score - nll("score -m model --mix three.plm --weight 0.75 the")).abs() < 1e-6);
    for (line, part) in [
        ("mix model.plm -o x.plm", "2"),
        ("mix model.plm three.plm -o x.plm", "--weights"),
        ("mix model.plm three.plm --weights 0.5,0.6 -o x.plm", "together 1"),
        ("mix model.plm three.plm --weights 1 -o x.plm", "one for each"),
        ("mix both.plm three.plm --weights 0.5,0.5 -o x.plm", "of a mixture"),
        ("mix model.plm none.plm --weights 0.5,0.5 -o x.plm", "none.plm"),
        ("mix model.plm three.plm --weights 0.5,0.5 -o three.plm", "exists"),
        ("mix model.plm three.plm --weights 0.5,0.5 -o three.plm --force", "read by this command"),
    ] {
        let output = command(&here, line, &[]).output().unwrap();
        assert!(
            !output.status.success() && stderr(&output).contains(part),
            "{line}: {}",
            stderr(&output)
        );
    }
    assert!(!here.join("x.plm").exists());
}

/// A small ARPA file whose distributions do not sum to one.
const ARPA: &str = "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-99\t<s>\t-0.2\n-0.9\t</s>\n-1.0\tyes\t-0.3\n\
    -1.1\tno\t-0.25\n\n\\2-grams:\n-0.4\t<s> yes\n-0.5\tyes </s>\n\n\\end\\\n";

/// What a command that succeeds says on standard error.
fn notes(here: &std::path::Path, line: &str) -> String {
    let output = command(here, line, &[]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    stderr(&output)
}

#[test]
fn an_import_keeps_the_numbers_of_the_file_unless_it_is_asked_to_mend_them() {
    let here = folder("ngram-import");
    fs::write(here.join("small.arpa"), ARPA).unwrap();
    let nll =
        |name: &str| json(&here, &format!("score -m {name} no"), &[])["nll"].as_f64().unwrap();
    // no after <s>, then the end after no.
    let wanted = (0.2 + 1.1 + 0.25 + 0.9) * std::f64::consts::LN_10;
    for bits in [4, 8, 16, 32] {
        notes(&here, &format!("import small.arpa -o o.plm --bits {bits} --force"));
        assert!((nll("o.plm") - wanted).abs() < 1e-5, "{bits}: {}", nll("o.plm"));
    }
    let said = notes(&here, "import small.arpa -o mended.plm --renormalise");
    assert!(said.contains("3 of 3 distributions were off"), "{said}");
    assert!((nll("mended.plm") - wanted).abs() > 0.5);
    let report =
        json(&here, "import small.arpa -o mended.plm --renormalise --force --bits 32", &[]);
    assert_eq!(report["sums"]["contexts"], 3);
}

#[test]
fn an_import_says_what_it_filled_in_or_left_out() {
    let here = folder("ngram-import-notes");
    fs::write(here.join("small.arpa"), ARPA).unwrap();
    let said = notes(&here, "import small.arpa -o o.plm");
    assert!(said.contains("log10 p = -100") && said.contains("--unk"), "{said}");
    let score = json(&here, "score -m o.plm", &["zebra"]);
    let wanted = (0.2 + 100.0 + 0.9) * std::f64::consts::LN_10;
    assert!((score["nll_without_penalty"].as_f64().unwrap() - wanted).abs() < 1e-3, "{score}");
    assert_eq!(score["oov"], 1);
    // A model that is to have no unknown word gets an error, and no advice that cannot be followed.
    assert!(notes(&here, "import small.arpa -o closed.plm --closed").contains("no unknown word"));
    let output = command(&here, "score -m closed.plm zebra", &[]).output().unwrap();
    assert!(!output.status.success() && !stderr(&output).contains("train"), "{}", stderr(&output));
    let marks = ARPA
        .replace("ngram 2=2", "ngram 2=4")
        .replace("yes </s>", "yes </s>\n-1\tyes <s>\n-1\t</s> no");
    fs::write(here.join("marks.arpa"), marks.replace("\tno\t", "\t<UNK>\t")).unwrap();
    let said = notes(&here, "import marks.arpa -o marks.plm");
    assert!(said.contains("left out 2 n-grams") && said.contains("\"<UNK>\""), "{said}");
    let found = json(&here, "suggest -m marks.plm yes -k 9", &[]);
    let words = found["suggestions"].as_array().unwrap().iter().map(|found| found["word"].clone());
    assert_eq!(words.collect::<Vec<_>>(), ["yes"]);
}

#[test]
fn what_cannot_be_done_says_why() {
    let here = place("ngram-wrong");
    let fails = |line: &str, parts: &[&str]| {
        let output = command(&here, line, &[]).output().unwrap();
        let message = stderr(&output);
        assert!(!output.status.success() && !message.contains("panicked"), "{line}: {message}");
        for part in parts {
            assert!(message.contains(part), "{line}: no {part:?} in {message:?}");
        }
    };
    fails("ngram --data text -o three.plm", &["three.plm exists", "--force"]);
    fails("ngram --data text -o new.plm --order 7", &["order is 7", "1 to 6"]);
    fails("ngram --data text -o new.plm --bits 20", &["--bits is 20"]);
    fails("ngram --data text -o new.plm --cutoffs 0,2,1", &["cutoffs"]);
    fails("import text/train.txt -o new.plm", &["text/train.txt: line", "no ARPA file"]);
    fails("export three.plm -o three.arpa", &["three.arpa exists"]);
    fails("eval three.plm --weight 0.5 --data text", &["--mix"]);
    fails("eval three.plm --mix three.plm --weight 2 --data text", &["from 0 to 1"]);
    json(&here, "ngram --data text --order 2 --max-vocab 50 -o few.plm", &[]);
    fails("eval three.plm --mix few.plm --data text", &["the same words"]);
    assert!(!here.join("new.plm").exists());
}
