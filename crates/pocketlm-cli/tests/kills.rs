//! Commands that are killed at random moments: nothing is half-written, nothing is left over, and the same command
//! again ends at the same bytes.
//!
//! Ten kills of each command; `POCKETLM_KILLS=100` for more.

#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{folder, splits};

fn kills() -> u64 {
    std::env::var("POCKETLM_KILLS").map_or(10, |n| n.parse().expect("a number of kills"))
}

/// Starts a command, kills it after `moment`, unless it has ended, and returns whether it was killed.
fn killed(here: &Path, line: &str, moment: Duration) -> bool {
    let mut child = start(here, line);
    std::thread::sleep(moment);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

fn start(here: &Path, line: &str) -> std::process::Child {
    Command::new(assert_cmd::cargo::cargo_bin!("pocketlm"))
        .current_dir(here)
        .args(line.split_whitespace())
        .args(["--threads", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn succeeds(here: &Path, line: &str) -> Duration {
    let begin = Instant::now();
    assert!(start(here, line).wait().unwrap().success(), "{line}");
    begin.elapsed()
}

/// The files below a folder that are named `names`, or all, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Moments from 0 to beyond the end of a command, spread evenly and deterministically (the golden ratio's multiples).
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    (1..=kills()).map(move |n| whole.mul_f64(1.1 * (n as f64 * 0.618_033_988_75).fract()))
}

/// A file that one command makes: after a kill it is not there or whole, and the command again makes the same bytes
/// and leaves nothing beside them.
fn one_file(name: &str, prepare: impl Fn(&Path), line: &str, made: &str) {
    let here = folder(name);
    splits(&here, "text", &common::closed_text().repeat(20));
    prepare(&here);
    let whole = succeeds(&here, &line.replace("OUT", made));
    let right = fs::read(here.join(made)).unwrap();
    let before = files(&here);
    let mut interrupted = 0;
    for moment in moments(whole) {
        fs::remove_file(here.join(made)).unwrap();
        let line = line.replace("OUT", made);
        interrupted += u32::from(killed(&here, &line, moment));
        if let Ok(bytes) = fs::read(here.join(made)) {
            assert!(bytes == right, "{made} is whole or not there, {moment:?}");
        }
        succeeds(&here, &format!("{line} --force"));
        let after = files(&here);
        let (after, before): (Vec<_>, Vec<_>) = (after.keys().collect(), before.keys().collect());
        assert_eq!(after, before, "nothing is left over, {moment:?}");
        assert!(fs::read(here.join(made)).unwrap() == right, "the same bytes, {moment:?}");
    }
    assert!(interrupted > 0, "a kill came before the end");
}

const SMALL: &str = "--hidden 16 --set embedding=16 --set batch=4 --set steps=10";

fn train_model(here: &Path) {
    succeeds(here, &format!("train --data text --out model {SMALL} --epochs 1"));
}

#[test]
fn pack() {
    one_file("kill-pack", train_model, "pack model -o OUT --data text", "x.plm");
}

#[test]
fn ngram() {
    one_file("kill-ngram", |_| {}, "ngram --data text --order 4 -o OUT", "x.plm");
}

#[test]
fn compress() {
    let line = "compress model --prune 0.5 --fine-tune 2 --data text --work w -o OUT";
    let here = folder("kill-compress");
    splits(&here, "text", &common::closed_text().repeat(5));
    train_model(&here);
    let line = line.replace("OUT", "x.plm") + " --checkpoint-out smaller --force";
    let whole = succeeds(&here, &line);
    let right = (fs::read(here.join("x.plm")).unwrap(), files(&here.join("smaller")));
    for moment in moments(whole) {
        fs::remove_dir_all(here.join("w")).unwrap();
        killed(&here, &line, moment);
        assert!(fs::read(here.join("x.plm")).unwrap() == right.0, "{moment:?}");
        succeeds(&here, &line);
        assert!(fs::read(here.join("x.plm")).unwrap() == right.0, "{moment:?}");
        assert!(files(&here.join("smaller")) == right.1, "{moment:?}");
        let mut names: Vec<_> =
            fs::read_dir(&here).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["model", "smaller", "text", "w", "x.plm"], "{moment:?}");
    }
}

/// What does not change from run to run: times stand in the others.
fn lasting(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(folder);
    files.retain(|name, _| {
        let name = name.file_name().unwrap().to_str().unwrap();
        ["model.safetensors", "vocab.txt", "config.json", "recipe.toml"].contains(&name)
    });
    files
}

fn names(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_keys().collect()
}

#[test]
fn train() {
    let here = folder("kill-train");
    splits(&here, "text", &common::closed_text().repeat(10));
    let line = format!("train --data text --out OUT {SMALL} --set dropout=0.1 --epochs 3");
    let whole = succeeds(&here, &line.replace("OUT", "whole"));
    let (right, all) = (lasting(&here.join("whole")), names(&here.join("whole")));
    for moment in moments(whole) {
        let line = line.replace("OUT", "model") + " --save-every 0";
        killed(&here, &line, moment);
        // The start again, where not even that was saved.
        let begun = here.join("model/training_state.safetensors").exists();
        let again = if begun { format!("{line} --resume") } else { line };
        killed(&here, &again, moment.mul_f64(0.3));
        let begun = here.join("model/training_state.safetensors").exists();
        let again = if begun && !again.ends_with("--resume") { again + " --resume" } else { again };
        succeeds(&here, &again);
        assert!(lasting(&here.join("model")) == right, "the same bytes, {moment:?}");
        assert_eq!(names(&here.join("model")), all, "nothing is left over, {moment:?}");
        fs::remove_dir_all(here.join("model")).unwrap();
    }
}

#[test]
fn sweep() {
    let here = folder("kill-sweep");
    splits(&here, "text", &common::closed_text().repeat(3));
    let spec = "[model]\nhidden = [8]\nembedding = 8\n[train]\nepochs = 2\nbatch = 4\n\
                [grid]\n\"train.lr\" = [0.5, 0.2]\n";
    fs::write(here.join("s.toml"), spec).unwrap();
    let line = "sweep s.toml --data text --jobs 1 --save-every 0 --out ";
    let whole = succeeds(&here, &format!("{line}whole"));
    let (right, all) = (lasting(&here.join("whole")), names(&here.join("whole")));
    for moment in moments(whole).step_by(2) {
        killed(&here, &format!("{line}sweep"), moment);
        succeeds(&here, &format!("{line}sweep"));
        assert!(lasting(&here.join("sweep")) == right, "the same bytes, {moment:?}");
        assert_eq!(names(&here.join("sweep")), all, "nothing is left over, {moment:?}");
        fs::remove_dir_all(here.join("sweep")).unwrap();
    }
}
