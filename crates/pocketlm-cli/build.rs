//! Tells the program which commit it was built from, for the provenance of its figures.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "../../crates"]);
    let dirty = if changed.is_none_or(|files| files.is_empty()) { "" } else { "+changes" };
    println!("cargo:rustc-env=POCKETLM_COMMIT={commit}{dirty}");
    if let Some(folder) = git(&["rev-parse", "--absolute-git-dir"]) {
        println!("cargo:rerun-if-changed={folder}/logs/HEAD");
    }
    println!("cargo:rerun-if-changed=../../crates");
}
