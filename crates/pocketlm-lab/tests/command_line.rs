//! The laboratory's program: rows on a small text, wrong requests, an interrupt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// A folder of this test program, empty at first.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs `pocketlm-lab` on one thread.
fn run(here: &Path, line: &str) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pocketlm-lab"));
    command.current_dir(here).args(line.split_whitespace()).args(["--threads", "1"]);
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command that must fail with this exit code and a message that has all these parts.
fn fails(here: &Path, line: &str, code: i32, parts: &[&str]) {
    let output = run(here, line);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{line}: {message}");
    for part in parts {
        assert!(message.contains(part), "{line}: no {part:?} in {message:?}");
    }
}

/// Three splits of a little text.
fn text(here: &Path) {
    fs::create_dir(here.join("text")).unwrap();
    let text = "the cat sat on the mat\na dog ran home\n".repeat(100);
    for split in ["train.txt", "valid.txt", "test.txt"] {
        fs::write(here.join("text").join(split), &text).unwrap();
    }
}

#[test]
fn wrong_requests() {
    let here = folder("wrong");
    fails(&here, "reproduce papers --data x", 2, &["papers", "paper"]);
    fails(&here, "reproduce paper --data x --rows orginal", 1, &["orginal", "original"]);
    fails(&here, "reproduce bases --data x --rows zaremba-small", 1, &["inan-small, inan-small-a"]);
    fails(&here, "reproduce bases --data x --model model", 1, &["--model is for", "field"]);
    text(&here);
    fails(&here, "reproduce paper --data text --rows lstm-650", 1, &["assets/inan-small-averaged"]);
}

#[test]
fn a_model_of_another_shape() {
    let here = folder("shape");
    text(&here);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/inan-small");
    let line = format!("reproduce field --base keyboard --data text --model {}", model.display());
    fails(&here, &line, 1, &["is no keyboard", "of that shape"]);
}

#[test]
fn an_estimate_is_stored_and_nothing_else_is_left() {
    let here = folder("estimate");
    text(&here);
    let output = run(&here, "reproduce bases --data text --rows inan-small,keyboard --estimate 2");
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("keyboard: about 0.0 hours"), "{said}");
    let stored = fs::read_to_string(here.join("results/bases.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let rows = stored["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["name"], &rows[0]["status"]), (&"inan-small".into(), &"not-run".into()));
    assert_eq!(fs::read_dir(here.join("runs")).unwrap().count(), 0);
}

#[test]
fn a_row_of_a_model_at_hand() {
    let here = folder("row");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/keyboard");
    fs::create_dir(here.join("text")).unwrap();
    for split in ["train.txt", "valid.txt", "test.txt"] {
        fs::write(here.join("text").join(split), "the company said\n".repeat(20)).unwrap();
    }
    let line = "reproduce field --base keyboard --rows int8 --data text --seconds 0.05 --model";
    let output = run(&here, &format!("{line} {}", model.display()));
    assert!(output.status.success(), "{}", stderr(&output));
    let stored = fs::read_to_string(here.join("results/field/keyboard/int8.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!((&stored["status"], &stored["parameters"]), (&"done".into(), &1_422_250.into()));
    assert!(here.join("runs/keyboard-int8.plm").is_file());
}

/// Ctrl-C ends it with 130, and says how to go on.
#[cfg(unix)]
#[test]
fn an_interrupt_saves() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let here = folder("interrupt");
    text(&here);
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("pocketlm-lab"))
        .current_dir(&here)
        .args(["reproduce", "bases", "--data", "text", "--rows", "inan-small,keyboard"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let epoch = lines.by_ref().find(|line| line.starts_with("  epoch 1/40")).unwrap();
    assert!(epoch.contains("min left; all rows: about ") && epoch.ends_with(" left"), "{epoch}");
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let last = lines.last().unwrap();
    assert_eq!(last, "stopped; the same command continues");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(here.join("runs/inan-small/training_state.safetensors").is_file());
}

#[test]
fn steps_of_training_are_timed() {
    let here = folder("bench");
    let small = "bench-train --vocabulary 50 --batch 2 --window 5 --hidden 8 --steps 2 --json";
    let output = run(&here, small);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["median_ms"].as_f64().unwrap() > 0.0 && report["threads"] == 1);
}
