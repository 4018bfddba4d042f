//! Sweeps from end to end: interrupted, killed and resumed, nothing is done twice.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{command, folder, json, print, stderr};
use predicates::prelude::*;
use serde_json::Value;

/// Two trials; the second is long enough to be caught in the middle.
const SPEC: &str = r#"
seed = 3
[model]
embedding = 8
hidden = [8]
[train]
batch = 4
steps = 10
[grid]
"train.epochs" = [1, 60]
"#;

const LINE: &str = "sweep spec.toml --data text --out sweep --jobs 1 --min-count 2";

fn text(here: &Path) {
    pocketlm_train::grammar::write_splits(&here.join("text"), 1, 3_000).unwrap();
}

fn changed(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// The metrics of a trial: one event a step and split, in their order.
fn metrics(trial: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(trial.join("metrics.jsonl")).unwrap();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        (event["split"].as_str().unwrap().to_owned(), event["step"].as_u64().unwrap())
    };
    text.lines().map(event).collect()
}

/// Starts the sweep, and sends it `signal` once the second trial has validated.
fn signalled(here: &Path, signal: &str) {
    let mut process = Process::new(assert_cmd::cargo::cargo_bin!("pocketlm"));
    process.current_dir(here).args(LINE.split_whitespace()).args(["--threads", "1"]);
    let mut sweep = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let metrics = here.join("sweep/002/metrics.jsonl");
    let start = Instant::now();
    while !fs::read_to_string(&metrics).is_ok_and(|text| text.contains("\"valid\"")) {
        assert!(start.elapsed() < Duration::from_secs(300), "the second trial never validates");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = sweep.id().to_string();
    assert!(Process::new("kill").args([signal, &id]).status().unwrap().success());
    sweep.wait().unwrap();
}

fn resumed_repeats_nothing(signal: &str) {
    let here = folder(&format!("sweep{signal}"));
    text(&here);
    fs::write(here.join("spec.toml"), SPEC).unwrap();
    signalled(&here, signal);
    let [first, second] = ["001", "002"].map(|name| here.join("sweep").join(name));
    assert!(first.join("result.json").exists() && !second.join("result.json").exists());
    let files = ["result.json", "model.safetensors", "metrics.jsonl", "training_state.safetensors"];
    let times = files.map(|name| changed(&first.join(name)));
    let report = json(&here, LINE, &[]);
    assert_eq!(files.map(|name| changed(&first.join(name))), times, "the first trial ran again");
    let trials = report["trials"].as_array().unwrap();
    assert!(trials.iter().all(|trial| trial["state"] == "finished"), "{report}");
    // Every step of the second one was made once, and it is what it would have been.
    let events = metrics(&second);
    assert_eq!(events.iter().filter(|(split, _)| split == "valid").count(), 60);
    assert!(
        events.windows(2).all(|pair| pair[0].1 <= pair[1].1 && pair[0] != pair[1]),
        "{events:?}"
    );
    let whole =
        "train --data text --min-count 2 --seed 3 --recipe sweep/002/recipe.toml --out whole";
    print(&here, whole, &[]);
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(model(&second) == model(&here.join("whole")), "the resumed model differs");
    // All done: nothing is left to run.
    let last = changed(&second.join("training_state.safetensors"));
    assert_eq!(json(&here, LINE, &[])["trials"], report["trials"]);
    assert_eq!(changed(&second.join("training_state.safetensors")), last);
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was() {
    resumed_repeats_nothing("-INT");
}

#[test]
fn a_killed_sweep_stops_its_trials_and_goes_on_where_they_were() {
    resumed_repeats_nothing("-KILL");
}

#[test]
fn the_table_is_sorted_by_validation_and_says_what_diverged() {
    let here = folder("sweep-table");
    text(&here);
    let spec = SPEC.replace("\"train.epochs\" = [1, 60]", "train.lr = [0.001, 1e30, 0.5]");
    let spec = spec.replace("[train]", "[train]\nepochs = 1\nclip = 0.0");
    fs::write(here.join("spec.toml"), spec).unwrap();
    let table = print(&here, "sweep spec.toml --data text --out sweep --min-count 2", &[]);
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].contains("0.5") && rows[1].contains("0.001"), "{table}");
    assert!(rows[2].contains("diverged"), "{table}");
    let stored: Value =
        serde_json::from_str(&fs::read_to_string(here.join("sweep/sweep.json")).unwrap()).unwrap();
    let best = &stored["trials"][0];
    assert_eq!((&best["trial"], &best["settings"]["train.lr"]), (&3.into(), &0.5.into()));
    assert!(best["recall_at_1"].as_f64().unwrap() > 0.0 && best.get("test").is_none());
}

#[test]
fn what_does_not_fit_is_said_before_anything_runs() {
    let here = folder("sweep-bad");
    text(&here);
    fs::write(here.join("spec.toml"), SPEC.replace("train.epochs", "train.epoch")).unwrap();
    let fails = |line: &str, code: i32, what: &str| {
        let output = command(&here, line, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(predicate::str::contains(what).eval(&stderr(&output)), "{}", stderr(&output));
    };
    fails(LINE, 2, "spec.toml:10");
    assert!(!here.join("sweep").exists());
    fs::write(here.join("spec.toml"), SPEC.replace("60", "2")).unwrap();
    fails(&LINE.replace("--jobs 1", "--jobs 3"), 2, "--jobs does not fit 1 cores");
    let trials = print(&here, "sweep spec.toml --data text --out sweep --dry-run", &[]);
    assert_eq!(trials, "1: train.epochs = 1\n2: train.epochs = 2\n");
    print(&here, LINE, &[]);
    fs::write(here.join("spec.toml"), SPEC.replace("60", "3")).unwrap();
    fails(LINE, 1, "holds a trial with other settings");
    fs::write(here.join("spec.toml"), SPEC.replace("60", "2").replace("seed = 3", "seed = 4"))
        .unwrap();
    fails(LINE, 1, "is of another seed");
}

/// Three steps of one trained model.
const COMPRESSION: &str = r#"
checkpoint = "model"
[[step]]
method = "low-rank"
matrices = ["softmax"]
rank = 2
[[step]]
method = "quantise"
matrices = ["*"]
precision = "int8"
[grid]
"step.1.rank" = [2, 4]
"step.2.precision" = ["int8", "int4"]
"#;

#[test]
fn compressions_in_parts_are_those_of_the_whole() {
    let here = folder("sweep-compress");
    text(&here);
    let shape = "--min-count 2 --epochs 1 --hidden 8 --set embedding=8";
    print(&here, &format!("train --data text --out model {shape}"), &[]);
    fs::write(here.join("spec.toml"), COMPRESSION).unwrap();
    let line = |rest: &str| format!("sweep spec.toml --data text {rest}");
    let whole = json(&here, &line("--out whole --jobs 1"), &[]);
    let trials = |report: &Value| report["trials"].as_array().unwrap().clone();
    assert_eq!(trials(&whole).len(), 4);
    assert!(trials(&whole).iter().all(|trial| trial["bytes"].as_u64().unwrap() > 1000));
    // Parts write no table; what one has done, another need not.
    print(&here, &line("--out parts --jobs 1 --shard 1/2"), &[]);
    assert!(!here.join("parts/sweep.json").exists() && !here.join("parts/002").exists());
    let early = json(&here, &line("--out parts --collect"), &[]);
    let waiting = trials(&early).iter().filter(|trial| trial["state"] == "waiting").count();
    assert_eq!(waiting, 2);
    let third = changed(&here.join("parts/003/result.json"));
    print(&here, &line("--out parts --jobs 1 --trial 2,3,4"), &[]);
    assert_eq!(changed(&here.join("parts/003/result.json")), third, "the third trial ran again");
    let collected = json(&here, &line("--out parts --collect"), &[]);
    for (a, b) in trials(&whole).iter().zip(trials(&collected)) {
        assert_eq!((&a["trial"], &a["bytes"]), (&b["trial"], &b["bytes"]));
        assert_eq!(a["valid_perplexity"], b["valid_perplexity"]);
    }
    for number in ["001", "004"] {
        let [a, b] = ["whole", "parts"]
            .map(|name| fs::read(here.join(name).join(number).join("model.plm")).unwrap());
        assert!(a == b, "trial {number} has other bytes");
    }
    assert!(print(&here, &line("--out whole"), &[]).contains("step.2.precision"));
    for (rest, part) in [
        ("--out x --trial 5", "trials 1 to 4"),
        ("--out x --shard 5/4", "1/4 to 4/4"),
        ("--out x --shard 9/9", "fewer than parts"),
        ("--out x --max-vocab 5", "cut as the model"),
        ("--out x --trial 1 --collect", "cannot be used with"),
    ] {
        let output = command(&here, &line(rest), &[]).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(part), "{}", stderr(&output));
    }
    let wrong = COMPRESSION.replace("[2, 4]", "[2, 400]");
    fs::write(here.join("spec.toml"), wrong).unwrap();
    let output = command(&here, &line("--out x --jobs 1"), &[]).output().unwrap();
    assert!(stderr(&output).contains("trial 3 (step.1.rank = 400"), "{}", stderr(&output));
}
