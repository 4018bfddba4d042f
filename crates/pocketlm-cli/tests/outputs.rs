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
