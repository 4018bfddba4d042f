//! What commands write and where: nothing of the user's is lost, devices and links stay what they are.

mod common;

use std::fs;
use std::path::Path;

use common::{SMALL, command, folder, json, print, shared, splits, stderr};

fn refused(here: &Path, line: &str, part: &str) {
    let output = command(here, line, &[]).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{line}: {message}");
    assert!(message.contains(part), "{line}: no {part:?} in {message:?}");
}

/// Lines that each write the file `OUT`.
fn writers() -> Vec<String> {
    let (model, text) = (shared().join("open-model"), shared().join("open"));
    let (model, text) = (model.display(), text.display());
    vec![
        format!("pack {model} -o OUT"),
        format!("compress {model} --prune 0.5 --work w -o OUT"),
        format!("ngram --data {text} --order 2 -o OUT"),
        format!("ngram --data {text} --order 2 -o n.plm --arpa OUT"),
        "import a.arpa -o OUT".to_owned(),
        "export a.plm -o OUT".to_owned(),
    ]
}

fn place(name: &str) -> std::path::PathBuf {
    let here = folder(name);
    let text = shared().join("open");
    let ngram = format!("ngram --data {} --order 2 -o a.plm --arpa a.arpa", text.display());
    print(&here, &ngram, &[]);
    here
}

#[test]
fn what_exists_stays_without_force() {
    let here = place("precious");
    for line in writers() {
        fs::write(here.join("mine"), "precious").unwrap();
        let _ = fs::remove_file(here.join("n.plm"));
        refused(&here, &line.replace("OUT", "mine"), "mine exists: give --force");
        assert_eq!(fs::read_to_string(here.join("mine")).unwrap(), "precious", "{line}");
        let _ = fs::remove_file(here.join("n.plm"));
        print(&here, &format!("{} --force", line.replace("OUT", "mine")), &[]);
        assert_ne!(fs::read(here.join("mine")).unwrap(), b"precious", "{line}");
        refused(&here, &format!("{} --force", line.replace("OUT", ".")), "is a folder");
        let nowhere = format!("{} --force", line.replace("OUT", "nowhere/x"));
        refused(&here, &nowhere, "nowhere/x: there is no folder nowhere");
    }
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_links_stay_what_they_are() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let here = place("devices");
    let kind = |name: &str| fs::symlink_metadata(here.join(name)).unwrap().file_type();
    symlink("/dev/null", here.join("null")).unwrap();
    symlink("target", here.join("link")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(here.join("pipe")).status();
    assert!(made.unwrap().success());
    for line in writers() {
        let _ = fs::remove_file(here.join("n.plm"));
        let _ = fs::remove_file(here.join("target"));
        print(&here, &line.replace("OUT", "null"), &[]);
        assert!(kind("null").is_symlink());
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let _ = fs::remove_file(here.join("n.plm"));
        print(&here, &line.replace("OUT", "link"), &[]);
        assert!(kind("link").is_symlink(), "{line}");
        let file = fs::read(here.join("target")).unwrap();
        let _ = fs::remove_file(here.join("n.plm"));
        let path = here.join("pipe");
        let reader = std::thread::spawn(move || fs::read(path).unwrap());
        print(&here, &line.replace("OUT", "pipe"), &[]);
        assert!(reader.join().unwrap() == file, "{line}");
        assert!(kind("pipe").is_fifo());
    }
}

#[test]
fn a_dash_is_standard_output() {
    let here = place("standard");
    for line in writers() {
        let _ = fs::remove_file(here.join("n.plm"));
        print(&here, &format!("{} --force", line.replace("OUT", "file")), &[]);
        let _ = fs::remove_file(here.join("n.plm"));
        let output = command(&here, &line.replace("OUT", "-"), &[]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        if line.contains("--arpa") {
            // The report of the other file is printed too.
            continue;
        }
        assert!(output.stdout == fs::read(here.join("file")).unwrap(), "{line}");
        assert!(!here.join("-").exists());
    }
    let model = shared().join("open-model");
    let both = format!("compress {} --prune 0.5 -o - --json", model.display());
    refused(&here, &both, "both write to standard output");
}

#[cfg(unix)]
#[test]
fn files_are_as_readable_as_others() {
    use std::os::unix::fs::PermissionsExt;
    let here = folder("modes");
    splits(&here, "text", &common::closed_text());
    print(&here, &format!("train --data text --out model {SMALL}"), &[]);
    print(&here, "pack model -o model/packed.plm", &[]);
    fs::write(here.join("usual"), "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    for file in fs::read_dir(here.join("model")).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), mode(&here.join("usual")), "{}", path.display());
    }
}

#[test]
fn compressed_checkpoints_replace_no_model_unasked() {
    let here = folder("checkpoints");
    splits(&here, "text", &common::closed_text());
    print(&here, &format!("train --data text --out own {SMALL}"), &[]);
    print(&here, &format!("train --data text --out other {SMALL} --seed 2"), &[]);
    let read = |name: &str| fs::read(here.join(name).join("model.safetensors")).unwrap();
    let (own, other) = (read("own"), read("other"));
    let compress = |to: &str| {
        format!("compress own --low-rank 2 --matrices softmax -o x.plm --checkpoint-out {to}")
    };
    refused(&here, &compress("other"), "other exists: give --force");
    refused(&here, &format!("{} --force", compress("own")), "is the model that is compressed");
    refused(&here, &format!("{} --force", compress("text")), "something else than a checkpoint");
    assert!(read("own") == own && read("other") == other && !here.join("x.plm").exists());
    print(&here, &format!("{} --force", compress("other")), &[]);
    assert!(read("other") != other);
    json(&here, "eval other --data text", &[]);
    print(&here, &format!("{} --force", compress("new")), &[]);
    let mut left: Vec<_> =
        fs::read_dir(&here).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["new", "other", "own", "text", "x.plm"]);
}

#[test]
fn outputs_are_no_inputs_nor_one_another() {
    let here = place("apart");
    splits(&here, "text", &common::closed_text());
    print(&here, &format!("train --data text --out model {SMALL}"), &[]);
    fs::write(here.join("one.txt"), common::closed_text()).unwrap();
    for line in [
        "pack model -o model/model.safetensors --force",
        "pack model -o one.txt --data one.txt --force",
        "compress model --prune 0.5 -o model/config.json --force",
        "ngram --data one.txt -o one.txt --force",
        "ngram --data text -o text/train.txt --force",
        "import a.arpa -o a.arpa --force",
        "export a.plm -o a.plm --force",
    ] {
        refused(&here, line, "is read by this command");
    }
    for line in [
        "ngram --data text -o same --arpa same",
        "ngram --data text -o same --arpa ./same",
        "ngram --data text -o - --arpa -",
        "compress model --prune 0.5 -o same --checkpoint-out same",
    ] {
        refused(&here, line, "is named for two outputs");
        assert!(!here.join("same").exists(), "{line}");
    }
    let output = command(&here, "ngram --data text --order 2 -o m.plm --arpa -", &[]).output();
    let arpa = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(arpa.starts_with("\\data\\") && arpa.trim_end().ends_with("\\end\\"), "{arpa}");
}

/// A folder of somebody else's is no place for a training.
#[test]
fn a_training_replaces_no_files_of_other_programs() {
    let here = folder("foreign-folder");
    splits(&here, "text", &common::closed_text());
    for name in ["config.json", "vocab.txt", "metrics.jsonl"] {
        let app = here.join("app");
        let _ = fs::remove_dir_all(&app);
        fs::create_dir(&app).unwrap();
        fs::write(app.join(name), "{\"port\": 8080}").unwrap();
        refused(&here, &format!("train --data text --out app {SMALL}"), "something else");
        assert_eq!(fs::read_to_string(app.join(name)).unwrap(), "{\"port\": 8080}");
        assert_eq!(fs::read_dir(&app).unwrap().count(), 1, "nothing is left behind");
    }
}

/// The folder of a compression's trainings goes by what it was made from, and goes when all is done.
#[test]
fn a_compression_is_of_the_model_that_was_given() {
    let here = folder("made-from");
    splits(&here, "text", &common::closed_text());
    print(&here, &format!("train --data text --out one {SMALL}"), &[]);
    print(&here, &format!("train --data text --out two {SMALL} --seed 2"), &[]);
    let compress = |model: &str, more: &str| {
        let line = format!("compress {model} --data text -o x.plm --force --fine-tune 1 {more}");
        print(&here, &line, &[]);
        fs::read(here.join("x.plm")).unwrap()
    };
    let first = compress("one", "--work w");
    assert!(compress("one", "--work w") == first, "what is done is taken");
    assert!(compress("one", "--work w --lr 0.5") != first, "another rate");
    assert!(compress("two", "--work w") != first, "another model");
    assert!(compress("one", "--work w") == first);
    assert!(compress("one", "") == first);
    assert!(!here.join("x.compress").exists());
}

#[test]
fn standard_output_under_its_other_name() {
    let here = place("dev-stdout");
    let program = assert_cmd::cargo::cargo_bin!("pocketlm");
    let line = "(echo head; \"$0\" export a.plm -o /dev/stdout; echo foot) > log";
    let mut shell = std::process::Command::new("sh");
    assert!(shell.arg("-c").arg(line).arg(program).current_dir(&here).status().unwrap().success());
    let log = fs::read_to_string(here.join("log")).unwrap();
    assert!(log.starts_with("head\n\\data\\") && log.ends_with("foot\n"), "{log}");
}
