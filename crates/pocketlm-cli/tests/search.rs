//! `pocketlm search` from the outside.

mod common;

use std::fs;

use common::{command, json, print, shared, stderr};
use predicates::prelude::*;

/// A budget that the small model of `shared` can meet.
const BUDGET: &str = "6500";

#[test]
fn a_search_writes_a_model_and_its_recipe() {
    let here = shared();
    let line = format!("search open-model --budget {BUDGET} --data open -o found.plm --explain");
    let text = print(here, &line, &[]);
    for part in ["embedding", "bits a weight", "larger:", "smaller:", "open/test"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let size = fs::metadata(here.join("found.plm")).unwrap().len();
    assert!(size <= BUDGET.parse().unwrap(), "{size}");
    assert!(!here.join("found.search").exists(), "there is nothing to resume");
    // What it chose can be read, edited and made again.
    let again = "compress open-model --recipe found.toml --data open -o again.plm";
    print(here, again, &[]);
    assert!(fs::read(here.join("again.plm")).unwrap() == fs::read(here.join("found.plm")).unwrap());
    // What is there is not replaced.
    let output = command(here, &line, &[]).output().unwrap();
    assert!(stderr(&output).contains("found.plm exists: give --force"), "{}", stderr(&output));
}

#[test]
fn a_report_holds_every_measurement() {
    let here = shared();
    let line = format!("search open-model --budget {BUDGET} --data open -o json.plm --rounds 1");
    let report = json(here, &line, &[]);
    assert_eq!(report["bytes"], fs::metadata(here.join("json.plm")).unwrap().len());
    assert!(report["forms"].as_array().unwrap().len() > 40);
    assert!(report["models"].as_array().unwrap().len() > 1);
    assert!(report["explanations"][0]["matrix"].is_string());
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let here = shared();
    let fails = |line: &str, code: i32, expected: &str| {
        command(here, line, &[]).assert().code(code).stderr(predicate::str::contains(expected));
    };
    let rest = "--data open -o x.plm";
    fails(&format!("search open-model --budget 0 {rest}"), 2, "give a size above 0");
    fails(&format!("search open-model --budget 5XB {rest}"), 2, "a unit of kB, MB");
    fails(&format!("search open-model --budget 100 {rest}"), 2, "the smallest possible is");
    fails(&format!("search open-model --budget 9kB --latency 200 {rest}"), 2, "200us");
    fails(&format!("search open-model --budget 9kB --teacher a.plm {rest}"), 2, "--fine-tune");
    fails(
        &format!("search open-model --budget {BUDGET} --fine-tune 1 --teacher none.plm {rest}"),
        1,
        "none.plm: no such file",
    );
    fails(&format!("search packed.plm --budget 9kB {rest}"), 1, "give the folder of a checkpoint");
    fails("search open-model --budget 9kB --data nowhere -o x.plm", 1, "nowhere");
    assert!(!here.join("x.plm").exists() && !here.join("x.toml").exists());
}
