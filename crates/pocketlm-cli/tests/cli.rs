//! The program from end to end: train, evaluate, pack, use; interrupted, killed and resumed.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command as Process, ExitStatus, Stdio};

use common::{SMALL, command, folder, json, print, shared, splits};
use predicates::prelude::*;
use serde_json::Value;

fn has(object: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(object.get(field).is_some_and(|v| !v.is_null()), "{field} in {object}");
    }
}

fn near(a: &Value, b: &Value, relative: f64) {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    assert!((a / b - 1.0).abs() < relative, "{a} {b}");
}

const EVALUATION: &str = "model data tokens nll perplexity bits_per_token bits_per_byte \
     recall_at_1 recall_at_3 oov seconds tokens_per_second";

#[test]
fn train_evaluate_pack_and_inspect() {
    let here = folder("end-to-end");
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 3_000).unwrap();
    // So short a text leaves words of the others unknown: rare words become <unk>.
    let train = format!("train --data text --out model --min-count 2 {SMALL}");
    let report = json(&here, &train, &[]);
    has(&report, "model parameters valid test seconds config machine best_epoch");
    assert_eq!(report["finished"], true);
    let row = json(&here, "eval model --data text", &[]);
    has(&row, EVALUATION);
    assert_eq!(row["nll"], report["test"]["nll"]);
    assert!(row["oov"].as_u64().unwrap() > 0);
    let (nll, perplexity) = (row["nll"].as_f64().unwrap(), row["perplexity"].as_f64().unwrap());
    assert!((nll.exp() / perplexity - 1.0).abs() < 1e-9);
    for (precision, relative) in [("f32", 1e-4), ("f16", 1e-3), ("int8", 0.02), ("int4", 0.3)] {
        let file = format!("{precision}.plm");
        print(&here, &format!("pack model -o {file} --precision {precision} --data text"), &[]);
        let packed = json(&here, &format!("eval {file} --data text"), &[]);
        has(&packed, EVALUATION);
        near(&packed["perplexity"], &row["perplexity"], relative);
        assert_eq!(packed["oov"], row["oov"]);
        inspect(&here, &file, precision, &packed);
    }
}

#[test]
fn compress_by_flags_and_by_recipe() {
    let here = folder("compress");
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 3_000).unwrap();
    json(&here, &format!("train --data text --out model --min-count 2 {SMALL}"), &[]);
    let plan = print(&here, "compress model --plan --all", &[]);
    assert!(plan.contains("low-rank") && plan.contains("quantise int8"), "{plan}");
    let flags =
        "compress model -o a.plm --prune 0.8 --matrices softmax --quantise int8 --data text";
    let report = json(&here, flags, &[]);
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "prune", "quantise"]);
    let bytes = |step: &Value| step["bytes"].as_u64().unwrap();
    assert!(bytes(&steps[1]) < bytes(&steps[0]) && bytes(&steps[2]) < bytes(&steps[0]));
    let evaluated = json(&here, "eval a.plm --data text --split valid", &[]);
    near(&evaluated["perplexity"], &steps[2]["valid_perplexity"], 1e-9);
    let recipe = "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 3\n\
                  [[step]]\nmethod = \"fine-tune\"\nepochs = 1\n";
    fs::write(here.join("small.toml"), recipe).unwrap();
    let by_recipe =
        "compress model -o b.plm --recipe small.toml --data text --checkpoint-out smaller";
    print(&here, by_recipe, &[]);
    let inspected = json(&here, "inspect b.plm", &[]);
    let matrices = inspected["matrices"].as_array().unwrap();
    let softmax = matrices.iter().find(|m| m["name"] == "softmax").unwrap();
    assert_eq!(softmax["structure"], "low-rank");
    assert!(inspected["recipe"].as_str().unwrap().contains("fine-tune"));
    // The compressed checkpoint is one like any other.
    let row = json(&here, "eval smaller --data text --split valid", &[]);
    let packed = json(&here, "eval b.plm --data text --split valid", &[]);
    near(&row["perplexity"], &packed["perplexity"], 1e-4);
    print(&here, "suggest -m b.plm the -k 2", &[]);
}

fn inspect(here: &Path, file: &str, precision: &str, evaluated: &Value) {
    let object = json(here, &format!("inspect --verify {file}"), &[]);
    has(&object, "format_version bytes bytes_without_vocabulary parameters vocabulary provenance");
    assert_eq!(object["bytes"], fs::metadata(here.join(file)).unwrap().len());
    let matrices = object["matrices"].as_array().unwrap();
    let softmax = matrices.iter().find(|m| m["name"] == "softmax").unwrap();
    has(softmax, "rows columns structure sparsity parameters bytes");
    assert_eq!(softmax["precision"], precision);
    assert_eq!(softmax["rows"], object["vocabulary"]);
    let figures = object["perplexity"].as_array().unwrap();
    let test = figures.iter().find(|f| f["data"] == "text/test").unwrap();
    near(&test["value"], &evaluated["perplexity"], 1e-12);
    let table = print(here, &format!("inspect {file}"), &[]);
    assert!(table.contains("cell.0.recurrent") && table.contains("text/test"), "{table}");
}

#[test]
fn several_models_and_splits_make_a_table() {
    let line = "eval open-model packed.plm --data open --split valid --split test";
    let table = print(shared(), line, &[]);
    let rows: Vec<&str> =
        table.lines().filter(|l| l.contains("-model") || l.contains(".plm")).collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(table.contains("perplexity") && rows[0].contains("valid"), "{table}");
    let results = json(shared(), line, &[]);
    results["results"].as_array().unwrap().iter().for_each(|row| has(row, EVALUATION));
}

#[test]
fn suggestions_from_arguments_and_from_standard_input() {
    for model in ["open-model", "packed.plm"] {
        let answer = json(shared(), &format!("suggest -m {model} -k 3"), &["the cat"]);
        assert_eq!(answer["context"], "the cat");
        let list = answer["suggestions"].as_array().unwrap();
        assert_eq!((list.len(), &list[0]["word"]), (3, &Value::from("sat")));
        let sum: f64 = list.iter().map(|s| s["probability"].as_f64().unwrap()).sum();
        assert!(sum > 0.3 && sum <= 1.0 + 1e-6, "{answer}");
        let answer = json(shared(), &format!("suggest -m {model} --prefix m"), &["sat on the"]);
        assert_eq!(answer["suggestions"].as_array().unwrap().len(), 1);
        assert_eq!(answer["suggestions"][0]["word"], "mat");
        let lines = command(shared(), &format!("suggest -m {model} --json"), &[])
            .write_stdin("the cat\na dog\n")
            .assert()
            .success();
        let text = String::from_utf8(lines.get_output().stdout.clone()).unwrap();
        let words: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(words.len(), 2);
        assert_eq!(words[1]["suggestions"][0]["word"], "ran");
    }
}

#[test]
fn completion_takes_the_last_word_as_its_beginning() {
    let answer = json(shared(), "complete -m packed.plm", &["the cat s"]);
    assert_eq!(answer["suggestions"][0]["word"], "sat");
    assert_eq!(answer["prefix"], "s");
    command(shared(), "complete -m packed.plm", &["the zz"])
        .assert()
        .success()
        .stderr(predicate::str::contains("no word of the vocabulary starts with \"zz\""));
}

#[test]
fn scores_count_the_end_and_unknown_words() {
    let score = |model: &str, text| json(shared(), &format!("score -m {model}"), &[text]);
    for model in ["open-model", "packed.plm"] {
        let known = score(model, "the cat sat on the mat");
        assert_eq!((&known["tokens"], &known["oov"]), (&Value::from(7), &Value::from(0)));
        let nll = known["nll"].as_f64().unwrap();
        assert!((known["perplexity"].as_f64().unwrap() / (nll / 7.0).exp() - 1.0).abs() < 1e-9);
        let unknown = score(model, "the zebra sat on the mat");
        assert_eq!(unknown["oov"], 1);
        assert!(unknown["nll"].as_f64().unwrap() > nll);
    }
}

#[test]
fn same_seed_same_text() {
    let draw = |seed: &str| {
        print(
            shared(),
            &format!("generate -m packed.plm -n 5 --tokens 20 --temperature 5 --seed {seed}"),
            &["the"],
        )
    };
    assert_eq!(draw("3"), draw("3"));
    assert_ne!(draw("3"), draw("4"));
    assert_eq!(draw("3").lines().count(), 5);
    let greedy =
        print(shared(), "generate -m packed.plm --temperature 0.001 --top-k 1", &["the cat"]);
    assert!(greedy.starts_with("the cat sat"), "{greedy}");
}

#[test]
fn bench_reports_speed_and_its_bound() {
    let report = json(shared(), "bench packed.plm --seconds 0.2", &[]);
    has(
        &report,
        "model threads backend tokens_per_second p50_us p99_us open_ms bound_tokens_per_second",
    );
    assert!(report["p50_us"].as_f64() <= report["p99_us"].as_f64());
}

#[test]
fn characters_and_subwords_train_speak_and_are_packed() {
    let here = folder("units");
    splits(&here, "text", &common::closed_text());
    for (unit, more) in [("char", ""), ("bpe", "--max-vocab 280")] {
        print(&here, &format!("train --data text --out {unit} --unit {unit} {more} {SMALL}"), &[]);
        print(&here, &format!("pack {unit} -o {unit}.plm --precision f32"), &[]);
        for model in [unit.to_owned(), format!("{unit}.plm")] {
            let answer = json(&here, &format!("suggest -m {model} -k 4"), &["the ca"]);
            assert_eq!(answer["suggestions"].as_array().unwrap().len(), 4, "{answer}");
            let completed = json(&here, &format!("complete -m {model} -k 4"), &["the ca"]);
            assert_eq!(
                (&completed["context"], &completed["prefix"]),
                (&"the".into(), &"ca".into())
            );
            let words = completed["suggestions"].as_array().unwrap();
            let starts = |word: &Value| word["word"].as_str().unwrap().starts_with("ca");
            assert!(!words.is_empty() && words.iter().all(starts), "{completed}");
            has(&completed, "left_out");
            has(&json(&here, &format!("score -m {model}"), &["the cat"]), "nll perplexity tokens");
            let text = print(&here, &format!("generate -m {model} --tokens 30"), &["the"]);
            assert!(text.starts_with("the"));
            has(&json(&here, &format!("eval {model} --data text"), &[]), EVALUATION);
        }
        let [checkpoint, packed] =
            ["", ".plm"].map(|end| json(&here, &format!("eval {unit}{end} --data text"), &[]));
        near(&packed["perplexity"], &checkpoint["perplexity"], 1e-4);
        near(&packed["bits_per_byte"], &checkpoint["bits_per_byte"], 1e-4);
    }
    let compress = "compress bpe --prune 0.5 --data text -o small.plm";
    print(&here, compress, &[]);
    has(&json(&here, "eval small.plm --data text", &[]), EVALUATION);
}

#[test]
fn a_dry_run_prints_a_recipe_that_can_be_given_back() {
    let here = folder("dry-run");
    let dry = "train --data none --out none --dry-run";
    let recipe = print(&here, &format!("{dry} --model keyboard --lr 0.5 --set batch=7"), &[]);
    assert!(recipe.contains("lr = 0.5") && recipe.contains("batch = 7"), "{recipe}");
    fs::write(here.join("my.toml"), &recipe).unwrap();
    assert_eq!(print(&here, &format!("{dry} --recipe my.toml"), &[]), recipe);
    assert!(!here.join("none").exists());
}

#[test]
fn a_training_can_start_from_another_one_on_other_text() {
    let here = folder("from");
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 3_000).unwrap();
    pocketlm_train::grammar::write_splits(&here.join("other"), 2, 3_000).unwrap();
    let first = json(&here, &format!("train --data text --out model --max-vocab 300 {SMALL}"), &[]);
    let from = "train --data other --from model --out more --lr 0.1 --epochs 2 --seed 5";
    let more = json(&here, from, &[]);
    assert_eq!(more["config"]["recipe"]["model"], first["config"]["recipe"]["model"]);
    assert_eq!(more["config"]["provenance"]["seed"], 5);
    assert_ne!(
        more["config"]["provenance"]["data_sha256"],
        first["config"]["provenance"]["data_sha256"]
    );
    let before = json(&here, "eval model --data other", &[]);
    let perplexity = |value: &Value| value["perplexity"].as_f64().unwrap();
    assert!(perplexity(&more["test"]) < perplexity(&before), "{more} {before}");
    // What is done can be resumed, by the same text and seed.
    json(&here, "train --data other --out more --resume", &[]);
}

/// A training of some seconds.
const LONG: &str = "train --data text --out model --hidden 8 --set embedding=8 --set batch=4 --set steps=5 \
     --set dropout=0.1 --epochs 60 --progress json --save-every 0 --json";

/// Starts a training, waits for its first epoch, sends it a signal; what it printed and how it ended.
fn signalled(here: &Path, signal: &str) -> (ExitStatus, String, String) {
    let mut child = Process::new(assert_cmd::cargo::cargo_bin!("pocketlm"))
        .current_dir(here)
        .args(LONG.split_whitespace())
        .args(["--threads", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let (mut first, mut rest, mut report) = (String::new(), String::new(), String::new());
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("\"epoch\":1"), "{first}");
    let id = child.id().to_string();
    assert!(Process::new("kill").args([signal, &id]).status().unwrap().success());
    lines.read_to_string(&mut rest).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    (child.wait().unwrap(), report, rest)
}

fn resumed_equals_uninterrupted(here: &Path) {
    let model = |name: &str| fs::read(here.join(name).join("model.safetensors")).unwrap();
    let resumed = print(here, &format!("{LONG} --resume"), &[]);
    assert!(resumed.contains("\"finished\": true"), "{resumed}");
    print(here, &LONG.replace("--out model", "--out whole").replace("--save-every 0", ""), &[]);
    assert!(model("model") == model("whole"), "the resumed model differs");
}

#[test]
fn an_interrupt_leaves_a_checkpoint_that_can_be_resumed() {
    let here = folder("interrupt");
    splits(&here, "text", &common::closed_text());
    let (status, report, errors) = signalled(&here, "-INT");
    assert_eq!(status.code(), Some(130), "{errors}");
    assert!(report.contains("\"finished\": false"), "{report}");
    assert!(errors.contains("--resume"), "{errors}");
    resumed_equals_uninterrupted(&here);
}

#[test]
fn a_killed_training_can_be_resumed() {
    let here = folder("kill");
    splits(&here, "text", &common::closed_text());
    let (status, report, _) = signalled(&here, "-KILL");
    assert_eq!((status.code(), report.as_str()), (None, ""));
    resumed_equals_uninterrupted(&here);
}
