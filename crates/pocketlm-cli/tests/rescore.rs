//! `rescore`: formats, weights, reports, and lists that are damaged.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{command, folder, json, print, shared, stderr};
use serde_json::Value;

const GOOD: &str = "the cat sat on the mat";
const BAD: &str = "mat the on sat cat the";

fn model() -> String {
    shared().join("packed.plm").display().to_string()
}

/// A folder with a list.
fn place(name: &str, list: &str) -> PathBuf {
    let here = folder(name);
    fs::write(here.join("list"), list).unwrap();
    here
}

fn rescore(here: &Path, flags: &str) -> String {
    print(here, &format!("rescore list -m {} {flags}", model()), &[])
}

fn report(here: &Path, flags: &str) -> Value {
    json(here, &format!("rescore list -m {} --write none {flags}", model()), &[])
}

fn fails(name: &str, list: &[u8], flags: &str, parts: &[&str]) {
    let here = folder(name);
    fs::write(here.join("list"), list).unwrap();
    let line = format!("rescore list -m {} -o out {flags}", model());
    let output = command(&here, &line, &[]).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(!here.join("out").exists(), "nothing is half-written");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message:?}");
    }
}

/// An utterance whose second hypothesis is right and 5 nats less likely to the recogniser.
fn utterance(id: &str) -> String {
    format!(r#"{{"id":"{id}","ref":"{GOOD}","hyps":["{BAD}","{GOOD}"],"score":[-10,-15]}}"#)
}

#[test]
fn the_model_outweighs_the_recogniser() {
    let here = place("json", &format!("{}\n\n{}\n", utterance("a"), utterance("b")));
    assert_eq!(rescore(&here, "--lm-scale 1"), format!("a\t{GOOD}\nb\t{GOOD}\n"));
    assert_eq!(rescore(&here, "--lm-scale 0"), format!("a\t{BAD}\nb\t{BAD}\n"));
    let report = report(&here, "--lm-scale 1");
    let rates = &report["rates"];
    assert_eq!(rates["after"]["value"], 0.0);
    assert_eq!(rates["oracle"]["value"], 0.0);
    assert!(rates["before"]["value"].as_f64().unwrap() > 0.5);
    assert_eq!(rates["improved"], 1.0);
    assert_eq!((&report["utterances"], &report["hypotheses"]), (&2.into(), &4.into()));
}

#[test]
fn every_format_says_the_same() {
    let here = place("tabs", &format!("a\t-10\t{BAD}\na\t-15\t{GOOD}\nb\t-3\t{GOOD}\n"));
    let wanted = format!("a\t{GOOD}\nb\t{GOOD}\n");
    assert_eq!(rescore(&here, "--lm-scale 1"), wanted);
    fs::write(
        here.join("list"),
        format!("a\t-4\t-6\t{BAD}\na\t-9\t-6\t{GOOD}\nb\t-1\t-2\t{GOOD}\n"),
    )
    .unwrap();
    assert_eq!(rescore(&here, "--lm-scale 1"), wanted);
    fs::write(here.join("list"), format!("a-1 {BAD}\na-2 {GOOD}\nb-1 {GOOD}\n")).unwrap();
    fs::write(here.join("ac"), "a-1 4\na-2 9\nb-1 1\n").unwrap();
    fs::write(here.join("lm"), "a-1 6\na-2 6\nb-1 2\n").unwrap();
    fs::write(here.join("text"), format!("b {GOOD}\na {GOOD}\n")).unwrap();
    let flags = "--lm-scale 1 --am-cost ac --lm-cost lm --ref text";
    assert_eq!(rescore(&here, flags), wanted);
    assert_eq!(report(&here, flags)["rates"]["after"]["value"], 0.0);
    // What the recogniser's own model says counts as much as it is told to.
    assert_eq!(rescore(&here, "--lm-scale 0 --am-cost ac --lm-cost lm").lines().count(), 2);
}

#[test]
fn a_ranked_list_can_be_rescored_again() {
    let here = place("ranked", &utterance("a"));
    let ranked = rescore(&here, "--lm-scale 1 --write ranked");
    let object: Value = serde_json::from_str(&ranked).unwrap();
    assert_eq!(object["hyps"][0], GOOD);
    assert_eq!(object["ref"], GOOD);
    assert!(object["score"][0].as_f64() > object["score"][1].as_f64());
    fs::write(here.join("list"), ranked).unwrap();
    assert_eq!(rescore(&here, "--lm-scale 0"), format!("a\t{GOOD}\n"));
}

#[test]
fn scores_are_those_of_score() {
    let here = place("scores", &utterance("a"));
    let scores = rescore(&here, "--lm-scale 0.5 --insertion-penalty 0.25 --write scores");
    let object: Value = serde_json::from_str(&scores).unwrap();
    let alone = json(&here, &format!("score -m {}", model()), &[GOOD]);
    let nll = alone["nll"].as_f64().unwrap();
    let close = |found: &Value, wanted: f64| (found.as_f64().unwrap() - wanted).abs() < 1e-4;
    assert!(close(&object["log_probability"][1], -nll), "{object} {alone}");
    assert!(close(&object["score"][1], -15.0 - 0.5 * nll - 0.25 * 6.0), "{object} {alone}");
}

#[test]
fn weights_are_fitted_and_then_applied() {
    let list: String = (0..20).map(|i| utterance(&i.to_string()) + "\n").collect();
    let here = place("tune", &list);
    let report = report(&here, "--tune list");
    assert_eq!(report["tuned"]["rates"]["after"]["value"], 0.0);
    assert_eq!(report["rates"]["after"]["value"], 0.0);
    assert!(report["weights"]["lm_scale"].as_f64().unwrap() > 0.0);
    // What is given is not fitted.
    let given =
        self::report(&here, "--tune list --lm-scale 0 --insertion-penalty 0 --length-bonus 0");
    assert_eq!(given["weights"]["lm_scale"], 0.0);
    assert_eq!(given["rates"]["after"], given["rates"]["before"]);
}

#[test]
fn case_and_punctuation_are_a_choice() {
    let list = r#"{"id":1,"ref":"the cat","hyps":["The, cat!"]}"#;
    let here = place("normal", list);
    assert_eq!(report(&here, "")["rates"]["before"]["value"], 0.0);
    assert_eq!(report(&here, "--case keep")["rates"]["before"]["value"], 0.5);
    assert_eq!(report(&here, "--punctuation keep")["rates"]["before"]["value"], 1.0);
}

#[test]
fn ten_thousand_hypotheses_of_one_utterance() {
    let hyps: Vec<String> = (0..10_000).map(|i| format!("the cat {i} sat")).collect();
    let list = serde_json::json!({ "id": "many", "ref": "the cat 7 sat", "hyps": hyps });
    let here = place("many", &list.to_string());
    let report = report(&here, "");
    assert_eq!(report["hypotheses"], 10_000);
    assert_eq!(report["rates"]["oracle"]["value"], 0.0);
}

#[test]
fn an_empty_hypothesis_is_one() {
    let list = r#"{"id":"a","ref":"the cat","hyps":["","the cat"],"score":[0,-1]}"#;
    let here = place("nothing", list);
    assert_eq!(rescore(&here, "--lm-scale 0"), "a\t\n");
    assert_eq!(report(&here, "--lm-scale 0")["rates"]["after"]["value"], 1.0);
}

#[test]
fn damaged_json_gets_its_line_and_the_mend() {
    let good = utterance("a");
    let cases: [(&str, &[&str]); 9] = [
        (r#"{"id":"b","hyps":["a"#, &["list: line 2", "not an utterance in JSON", "\"hyps\": […]"]),
        (r#"{"id":"b","hyps":["a","b"],"score":[1]}"#, &["line 2", "2 hypotheses and 1 numbers"]),
        (r#"{"id":"b","hyps":["a"],"score":[NaN]}"#, &["line 2", "finite number for each"]),
        (r#"{"id":"b","hyps":["a"],"score":[null]}"#, &["line 2", "not an utterance"]),
        (r#"{"id":"b","hyps":["a"],"score":[1e999]}"#, &["line 2"]),
        (r#"{"id":"b","hyps":[],"score":[]}"#, &["line 2", "no hypothesis"]),
        (r#"{"id":"b","hyps":["a"]}"#, &["line 2", "no scores where line 1 has a score"]),
        (r#"{"id":"b","hyps":["a"],"am":[1]}"#, &["line 2", "\"am\" and \"lm\" belong together"]),
        (r#"{"id":"b"}"#, &["line 2", "missing field `hyps`"]),
    ];
    for (line, parts) in cases {
        fails("damaged-json", format!("{good}\n{line}\n").as_bytes(), "", parts);
    }
    fails("damaged-json", b"", "", &["list", "there is no hypothesis in it"]);
    fails("damaged-json", b"{\"hyps\":[\"caf\xe9\"]}", "", &["line 1", "not UTF-8", "iconv"]);
}

#[test]
fn damaged_tables_get_their_line_and_the_mend() {
    fails(
        "damaged-table",
        b"a\tnan\tthe cat\n",
        "",
        &["a score of hypothesis 1 of \"a\" is not a finite number"],
    );
    fails(
        "damaged-table",
        b"a\tx\tthe cat\n",
        "",
        &["line 1", "\"x\" is no number", "name, score, text"],
    );
    fails("damaged-table", b"a\t1\t2\t3\tthe\n", "", &["line 1", "5 columns", "2 to 4"]);
    fails(
        "damaged-table",
        b"a\t1\tthe\na\tthe\n",
        "",
        &["line 2", "no scores where the line before has a score"],
    );
    fails("damaged-table", b"utterance the cat\n", "", &["line 1", "does not end in -N"]);
}

#[test]
fn files_beside_a_list_must_agree_with_it() {
    let here = place("beside", "a-1 the cat\na-2 the\n");
    let cases = [
        ("a-1 1\n", "the file ends before the cost of \"a-2\""),
        ("a-1 1\nb-1 2\n", "the cost of \"b-1\" where that of \"a-2\" is next"),
        ("a-1 1\na-2 x\n", "\"x\" is no number"),
    ];
    for (costs, wanted) in cases {
        fs::write(here.join("ac"), costs).unwrap();
        fs::write(here.join("lm"), "a-1 1\na-2 2\n").unwrap();
        let line = format!("rescore list -m {} --am-cost ac --lm-cost lm", model());
        let output = command(&here, &line, &[]).output().unwrap();
        let message = stderr(&output);
        assert!(!output.status.success() && message.contains(wanted), "{message}");
        assert!(message.contains("ac: "), "{message}");
    }
    for (text, wanted) in
        [("b the cat\n", "no reference for the utterance \"a\""), ("a x\na y\n", "already")]
    {
        fs::write(here.join("text"), text).unwrap();
        let line = format!("rescore list -m {} --ref text", model());
        let message = stderr(&command(&here, &line, &[]).output().unwrap());
        assert!(message.contains(wanted) && message.contains("text: "), "{message}");
    }
    let line = format!("rescore list -m {} --tune list", model());
    let message = stderr(&command(&here, &line, &[]).output().unwrap());
    assert!(message.contains("has no reference to fit the weights to"), "{message}");
}
