//! A small text, a small training, and the program.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;

/// Settings of a model that trains in a moment.
pub const SMALL: &str = "--hidden 8 --set embedding=8 --set batch=4 --set steps=10 --epochs 2";

/// A folder of this test program, empty at first.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs `pocketlm` on one thread in `folder`; a text of several words is one argument in `extra`.
pub fn command(folder: &Path, line: &str, extra: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pocketlm"));
    command.current_dir(folder).args(line.split_whitespace()).args(extra).args(["--threads", "1"]);
    command
}

/// What a command that succeeds prints.
pub fn print(folder: &Path, line: &str, extra: &[&str]) -> String {
    let output = command(folder, line, extra).output().unwrap();
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
pub fn json(folder: &Path, line: &str, extra: &[&str]) -> Value {
    let text = print(folder, &format!("{line} --json"), extra);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line}: {e}: {text}"))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes three equal splits of `text` into `folder/name`.
pub fn splits(folder: &Path, name: &str, text: &str) {
    let data = folder.join(name);
    fs::create_dir_all(&data).unwrap();
    for split in ["train.txt", "valid.txt", "test.txt"] {
        fs::write(data.join(split), text).unwrap();
    }
}

/// Nine words, all of them known.
pub fn closed_text() -> String {
    "the cat sat on the mat\na dog ran home\n".repeat(20)
}

/// A folder with the text `closed` and its checkpoint `closed-model`, the same with `<unk>` as `open` and
/// `open-model`, and `packed.plm` of the latter; made once a test program.
pub fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = folder(&format!("shared-{}", std::process::id()));
        splits(&folder, "closed", &closed_text());
        splits(&folder, "open", &closed_text().replacen("mat", "<unk>", 3));
        // Long enough to know the two sentences by heart.
        let well = r#"--set epochs=20 --set optimizer=adam --set lr=0.05 --set schedule={kind="constant"}"#;
        print(&folder, &format!("train --data closed --out closed-model {SMALL} {well}"), &[]);
        print(&folder, &format!("train --data open --out open-model {SMALL} {well}"), &[]);
        print(&folder, "pack open-model -o packed.plm", &[]);
        folder
    })
}
