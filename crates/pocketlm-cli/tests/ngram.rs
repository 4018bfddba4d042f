//! N-gram models from the command line: made, measured, used, written as text and read again, mixed.

mod common;

use std::fs;

use common::{SMALL, command, folder, json, print, stderr};

/// A folder with a text and an n-gram model of it.
fn place(name: &str) -> std::path::PathBuf {
    let here = folder(name);
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 6_000).unwrap();
    json(&here, "ngram --data text --order 3 --min-count 2 -o three.plm --arpa three.arpa", &[]);
    here
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
    let found = json(&here, "suggest four.plm the -k 4", &[]);
    assert_eq!(found["suggestions"].as_array().unwrap().len(), 4);
    let found = json(&here, "complete four.plm", &["the d"]);
    for suggestion in found["suggestions"].as_array().unwrap() {
        assert!(suggestion["word"].as_str().unwrap().starts_with('d'));
    }
    let score = json(&here, "score four.plm", &["the dogs bark"]);
    assert_eq!(score["tokens"], 4);
    let drawn = print(&here, "generate four.plm --seed 3 -n 2", &[]);
    assert_eq!(drawn.lines().count(), 2);
    assert_eq!(drawn, print(&here, "generate four.plm --seed 3 -n 2", &[]));
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
            "three.plm" => "score three.plm".to_owned(),
            how => format!("score model {how}"),
        };
        nll(&json(&here, &line, &["the dogs bark"]))
    });
    // Each of the four tokens has at least half of what the better model gives it.
    assert!(half <= first.min(second) + 4.0 * std::f64::consts::LN_2);
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
