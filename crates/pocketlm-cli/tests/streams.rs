//! Standard streams and paths of every kind.

#![cfg(target_os = "linux")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use common::{SMALL, command, folder, json, print, shared, splits, stderr};
use serde_json::Value;

/// Runs a shell line with `pocketlm` as `$0`.
fn shell(here: &Path, line: &str) -> Output {
    let program = assert_cmd::cargo::cargo_bin!("pocketlm");
    Command::new("bash").arg("-c").arg(line).arg(program).current_dir(here).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_standard_error_that_is_full_or_closed_ends_nothing() {
    let here = folder("notes");
    splits(&here, "text", &common::closed_text());
    fs::write(here.join("s.toml"), "[grid]\n\"train.lr\" = [0.1, 0.2]\n[train]\nepochs = 1\n")
        .unwrap();
    let model = shared().join("open-model").display().to_string();
    for line in [
        format!("train --data text --out full {SMALL} --progress plain"),
        format!("train --data text --out bar {SMALL} --progress bar"),
        "sweep s.toml --data text --out sweep".to_owned(),
        format!("compress {model} --prune 0.5 -o x.plm"),
        format!("suggest -m {model} zzz"),
        format!("complete -m {model} zzz"),
        "ngram --data text --order 2 -o n.plm".to_owned(),
    ] {
        let output = shell(&here, &format!("exec \"$0\" {line} 2> /dev/full"));
        assert_eq!(output.status.code(), Some(0), "{line}");
    }
    let output = shell(
        &here,
        &format!(
            "(\"$0\" train --data text --out closed {SMALL} 2>&1 >/dev/null; echo $? > code) | head -c 1"
        ),
    );
    assert!(output.status.success());
    assert_eq!(fs::read_to_string(here.join("code")).unwrap().trim(), "0");
    let failed = shell(&here, "exec \"$0\" eval nowhere --data text 2> /dev/full");
    assert_eq!(failed.status.code(), Some(1));
}

#[test]
fn text_from_a_pipe_is_read_like_a_file() {
    let here = folder("pipes");
    fs::write(here.join("plain.txt"), common::closed_text()).unwrap();
    let line = "\"$0\" ngram --order 2 -o o.plm --force --json --data";
    let sha = |output: Output| {
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
        report["data_sha256"].clone()
    };
    let file = sha(shell(&here, &format!("{line} plain.txt")));
    assert_eq!(sha(shell(&here, &format!("cat plain.txt | {line} /dev/stdin"))), file);
    assert_eq!(sha(shell(&here, &format!("{line} <(cat plain.txt)"))), file);
    let packed = shared().join("packed.plm").display().to_string();
    let eval = |data: &str| {
        let output = shell(&here, &format!("\"$0\" eval {packed} --json --data {data}"));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["nll"].clone()
    };
    assert_eq!(eval("<(cat plain.txt)"), eval("plain.txt"));
    let gz = shell(&here, "gzip -k plain.txt && exec \"$0\" ngram --data plain.txt.gz -o z.plm");
    assert!(stderr(&gz).contains("compressed by gzip"), "{}", stderr(&gz));
}

/// One file is cut for a training, which says so, and measured whole.
#[test]
fn a_file_to_measure_is_measured_whole() {
    let here = folder("whole");
    fs::write(here.join("plain.txt"), common::closed_text()).unwrap();
    let tokens = common::closed_text().split_whitespace().count() + 40;
    let line = format!("train --data plain.txt --out model {SMALL}");
    let output = command(&here, &line, &[]).output().unwrap();
    assert!(stderr(&output).contains("36 lines train, 2 validate, 2 test"), "{}", stderr(&output));
    for model in ["model", "packed.plm"] {
        if model == "packed.plm" {
            print(&here, "pack model -o packed.plm --data plain.txt", &[]);
            let figures = json(&here, "inspect packed.plm", &[])["perplexity"].clone();
            assert_eq!(figures[0]["data"], "plain.txt", "{figures}");
            assert_eq!(figures[0]["tokens"], tokens);
        }
        let row = json(&here, &format!("eval {model} --data plain.txt"), &[]);
        assert_eq!((&row["tokens"], &row["split"]), (&tokens.into(), &"all".into()));
        let test = json(&here, &format!("eval {model} --data plain.txt --split test"), &[]);
        assert!(test["tokens"].as_u64().unwrap() < 20);
    }
}

#[test]
fn paths_that_are_no_utf8() {
    let here = folder("paths");
    splits(&here, "text", &common::closed_text());
    let odd = |end: &str| {
        let mut name = b"o\xff".to_vec();
        name.extend_from_slice(end.as_bytes());
        OsStr::from_bytes(&name).to_owned()
    };
    let run = |line: &str, more: &[&OsStr]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pocketlm"));
        command.current_dir(&here).args(line.split_whitespace()).args(more);
        let output = command.args(["--threads", "1", "--json"]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        let first = text(&output.stdout);
        serde_json::from_str::<Value>(&first).unwrap_or_else(|e| panic!("{line}: {e}: {first}"));
    };
    run(&format!("train --data text {SMALL} --out"), &[&odd("")]);
    run("eval --data text", &[&odd("")]);
    run("compress --prune 0.5 -o", &[&odd(".plm"), &odd("")]);
    run("eval --data text", &[&odd(".plm")]);
    run("bench --seconds 0.01", &[&odd(".plm")]);
    run("inspect", &[&odd(".plm")]);
    run("ngram --data text --order 2 -o", &[&odd(".ngram")]);
    run("export", &[&odd(".ngram"), OsStr::new("-o"), &odd(".arpa")]);
    run("import", &[&odd(".arpa"), OsStr::new("-o"), &odd(".plm2")]);
    fs::rename(here.join("text"), here.join(odd("text"))).unwrap();
    fs::write(here.join("s.toml"), "[grid]\n\"train.lr\" = [0.1]\n[train]\nepochs = 1\n").unwrap();
    run("sweep s.toml --data", &[&odd("text"), OsStr::new("--out"), &odd("sweep")]);
}

#[test]
fn texts_are_written_as_they_are_drawn() {
    let here = shared();
    let line = "\"$0\" generate -m packed.plm -n 100000000 --tokens 3 | head -2";
    let output = shell(here, line);
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[test]
fn lines_of_standard_input_from_other_systems() {
    let output = shell(
        shared(),
        r"printf '\xef\xbb\xbfthe cat\r\nthe dog\r\n' | $0 score -m packed.plm --json",
    );
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["text"], &lines[1]["text"]), (&"the cat".into(), &"the dog".into()));
    assert_eq!((&lines[0]["oov"], &lines[1]["oov"]), (&0.into(), &0.into()));
}

#[test]
fn a_text_that_is_a_file_gets_a_note() {
    let here = shared();
    let output = command(here, "score -m packed.plm open/test.txt", &[]).output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("scored as a text"), "{output:?}");
    let hidden = command(here, "suggest -m packed.plm the --prefix <", &[]).output().unwrap();
    assert!(stderr(&hidden).contains("only special words"), "{}", stderr(&hidden));
}

#[test]
fn memory_that_a_process_cannot_have_is_refused_before_it_is_asked_for() {
    let here = folder("memory");
    splits(&here, "text", &common::closed_text());
    let train = "train --data text --set embedding=8 --set batch=4 --epochs 1 --threads 1 --out";
    let line = format!("ulimit -v 2000000; exec \"$0\" {train} large --hidden 9000");
    let output = shell(&here, &line);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("which this process cannot have"), "{message}");
    assert!(!here.join("large").exists(), "nothing is left behind");
    print(&here, &format!("{} small --hidden 8", train.replace(" --threads 1", "")), &[]);
    let config = here.join("small/config.json");
    let text = fs::read_to_string(&config).unwrap();
    let wide = text.replacen("\"hidden\": [\n        8", "\"hidden\": [\n        20000", 1);
    let wide = if wide == text { text.replacen("      8\n", "      20000\n", 1) } else { wide };
    assert_ne!(wide, text);
    fs::write(&config, wide).unwrap();
    let output = shell(&here, "ulimit -v 3000000; exec \"$0\" --threads 1 suggest -m small the");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("small/config.json: "), "{message}");
}
