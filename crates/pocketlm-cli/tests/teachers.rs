//! Learning from trained models, and files of a given size.

mod common;

use std::fs;
use std::path::Path;

use common::{SMALL, command, folder, json, print, stderr};
use predicates::prelude::*;
use serde_json::Value;

/// A folder with a text, a model of it and a larger one.
fn models(name: &str) -> std::path::PathBuf {
    let here = folder(name);
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 3_000).unwrap();
    let train = |out: &str, more: &str| {
        print(&here, &format!("train --data text --min-count 2 --out {out} {SMALL} {more}"), &[]);
    };
    train("small", "");
    train("large", "--set model.hidden=[40] --set embedding=32");
    here
}

fn perplexity(here: &Path, model: &str) -> f64 {
    let row: Value = json(here, &format!("eval {model} --data text --split valid"), &[]);
    row["perplexity"].as_f64().unwrap()
}

#[test]
fn a_model_is_taught_by_another_and_made_as_small_as_asked() {
    let here = models("taught");
    let line = "train --data text --from small --teacher large --set distillation.ngram=2 --epochs 2 \
                --out taught";
    let output = command(&here, line, &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("large + ") && said.contains("2-grams; perplexity"), "{said}");
    assert!(perplexity(&here, "taught") < perplexity(&here, "small"));
    print(&here, "pack taught -o int8.plm", &[]);
    let size = |file: &str| fs::metadata(here.join(file)).unwrap().len();
    let budget = size("int8.plm") * 3 / 4;
    let line = format!(
        "compress taught --data text --budget {budget} -o fits.plm --fine-tune 1 --lr 0.01"
    );
    print(&here, &line, &["--teacher", "large"]);
    assert!(size("fits.plm") <= budget && size("fits.plm") > budget * 9 / 10, "{budget}");
    assert!(perplexity(&here, "fits.plm") < 1.2 * perplexity(&here, "taught"));
}

#[test]
fn what_cannot_be_is_said_before_the_work() {
    let here = models("not-taught");
    let fails = |line: &str, parts: &[&str]| {
        let mut assert = command(&here, line, &[]).assert().failure();
        for part in parts {
            assert = assert.stderr(predicate::str::contains(*part));
        }
    };
    fails("train --data text --from small --teacher lage --out x", &["lage"]);
    fails(
        "train --data text --max-vocab 90 --teacher large --out x",
        &["large", "same vocabulary"],
    );
    fails("compress small --budget 100kB -o x.plm", &["--data"]);
    fails("compress small --budget 0 -o x.plm --data text", &["give a size above 0"]);
    fails("compress small --budget 1kB -o x.plm --data text", &["the smallest possible is"]);
    fails("compress small --budget 9kB --quantise int4 -o x.plm --data text", &["cannot be used"]);
    fails("compress small --quantise int4 --teacher large -o x.plm --data text", &["--fine-tune"]);
    assert!(!here.join("x").exists() && !here.join("x.plm").exists());
}
