//! Raw text from the command line: trained on, packed, used.

mod common;

use std::fs;

use common::{command, folder, json, print, stderr};

const LINES: &str = "Hello, how are you?\n\"I am well,\" said Ann. \"And you?\"\nWell, I don't know (yet).\n\
    We saw Ann's well-known dog; it cost $5.\n";

#[test]
fn raw_text_becomes_suggestions_that_a_person_would_type() {
    let here = folder("raw");
    fs::write(here.join("mine.txt"), LINES.repeat(60)).unwrap();
    let train = "train --data mine.txt --hidden 16 --set embedding=16 --epochs 20 --set batch=4 --out model";
    let output = command(&here, train, &[]).output().unwrap();
    let notes = stderr(&output);
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains("raw text") && notes.contains("Hello , how are you ?"), "{notes}");
    print(&here, "pack model -o model.plm --precision f32", &[]);
    let first = |model: &str, text: &str| {
        let found = json(&here, &format!("suggest -m {model}"), &[text]);
        found["suggestions"][0]["word"].as_str().unwrap().to_owned()
    };
    for model in ["model", "model.plm"] {
        assert_eq!(first(model, "Hello,"), "how");
        assert_eq!(first(model, "Hello, how are"), "you");
        assert_eq!(first(model, "Hello, how are you"), "?");
        assert_eq!(first(model, "Well, I"), "don't");
        let found = json(&here, &format!("complete -m {model}"), &["We saw an"]);
        assert_eq!(found["prefix"], "an");
        assert_eq!(found["suggestions"][0]["word"], "Ann's");
        let found = json(&here, &format!("complete -m {model}"), &["He"]);
        assert_eq!(found["suggestions"][0]["word"], "Hello");
    }
    // The checkpoint by the trainer, the file by the runtime: the same tokens, the same figure.
    let [own, packed] = ["model", "model.plm"]
        .map(|model| json(&here, &format!("eval {model} --data mine.txt"), &[]));
    assert_eq!(own["tokens"], packed["tokens"]);
    let nll = |row: &serde_json::Value| row["nll"].as_f64().unwrap();
    assert!((nll(&own) - nll(&packed)).abs() < 1e-4, "{own} {packed}");
    let drawn = print(&here, "generate -m model.plm --temperature 0 -n 1", &["Hello,"]);
    assert_eq!(drawn.trim_end(), "Hello, how are you?");
    let inspected = json(&here, "inspect model.plm --verify", &[]);
    assert!(inspected["vocabulary"].as_u64().unwrap() > 20, "{inspected}");
}

#[test]
fn an_n_gram_model_of_raw_text_is_used_as_any() {
    let here = folder("raw-ngram");
    fs::write(here.join("mine.txt"), LINES.repeat(40)).unwrap();
    print(&here, "ngram --data mine.txt --order 3 -o three.plm", &[]);
    let found = json(&here, "suggest -m three.plm", &["Well, I"]);
    assert_eq!(found["suggestions"][0]["word"], "don't");
}

/// A text that the model knows by heart saves most keys; what is typed and saved adds up.
#[test]
fn typing_counts_the_keys_that_suggestions_save() {
    let here = folder("raw-typing");
    fs::write(here.join("mine.txt"), LINES.repeat(40)).unwrap();
    print(&here, "ngram --data mine.txt --order 5 -o five.plm", &[]);
    fs::write(here.join("typed.txt"), "Hello, how are you?\n").unwrap();
    let row = json(&here, "eval five.plm --data typed.txt --typing", &[]);
    // Hello, how are you?
    assert_eq!((row["words"].as_u64(), row["keys"].as_u64()), (Some(4), Some(19)));
    // One key for each of the last three words, and one to five for the first.
    let saved = 19.0 * row["saved_at_3"].as_f64().unwrap();
    assert!((8.0 - 1e-9..=12.0 + 1e-9).contains(&saved), "{row}");
    assert!(row["saved_at_1"].as_f64() <= row["saved_at_3"].as_f64());
    assert_eq!(row["never"], 0.0);
    let table = print(&here, "eval five.plm --data typed.txt --typing", &[]);
    assert!(table.contains("saved@3"), "{table}");
    let output =
        command(&here, "eval five.plm --data typed.txt --typing --mix five.plm", &[]).output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}
