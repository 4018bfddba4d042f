//! The console blocks of the front page, of the guide and of the page on other programs do what they say.
//!
//! The commands of a document run one after the other in one folder, with `pocketlm` the program under test and the
//! folders `assets` and `tests` of the repository. What they print is compared with the lines below them:
//!
//! - a line `…` stands for any number of lines, `…` within a line for any text;
//! - numbers with a decimal point may differ by a fifth and percentages by half, since a training depends on the
//!   processor;
//! - seconds, speeds and the columns of a table that hold them may be any number;
//! - columns of a table may have any width.
//!
//! A command whose output has an `error:` must fail, every other one must succeed. With `POCKETLM_BLESS=1` blocks that
//! differ are rewritten in place.

#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::folder;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A command and the lines that it prints.
struct Step {
    command: String,
    /// The lines of the document that hold its output.
    lines: std::ops::Range<usize>,
    expected: Vec<String>,
}

impl Step {
    /// Takes the line after the last one: more of the command after `> `, else output.
    fn add(&mut self, line: &str, at: usize) {
        let more = line.strip_prefix('>').filter(|_| self.expected.is_empty());
        if let Some(more) = more {
            self.command = format!("{}\n{}", self.command, more.strip_prefix(' ').unwrap_or(more));
            self.lines.start = at + 1;
        } else {
            self.expected.push(line.to_owned());
        }
        self.lines.end = at + 1;
    }
}

/// The commands of the console blocks, in their order.
fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_console = false;
    for (at, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if !is_console {
            continue;
        } else if let Some(command) = line.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step { command, lines: at + 1..at + 1, expected: Vec::new() });
        } else {
            let step = steps.last_mut().expect("a console block begins with a command");
            step.add(line, at);
        }
    }
    steps
}

/// What a command prints to both streams, and whether it succeeded.
fn run(here: &Path, command: &str) -> (bool, Vec<String>) {
    let program = assert_cmd::cargo::cargo_bin!("pocketlm");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(here).env("PATH", path);
    let output = shell.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text.lines().map(|line| line.trim_end().to_owned()).collect())
}

/// Columns and quantities that depend on the machine and on its load.
const FREE_COLUMNS: [&str; 6] = ["tokens/s", "bound", "p50 us", "p99 us", "open ms", "seconds"];
const FREE_UNITS: [&str; 2] = [" tokens/s", " s"];

/// Whether the lines are those that are expected.
fn agree(expected: &[String], found: &[String]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return found.is_empty() };
    if first == "…" {
        return (0..=found.len()).any(|skipped| agree(rest, &found[skipped..]));
    }
    let Some((line, others)) = found.split_first() else { return false };
    line_agrees(first, line) && agree(rest, others)
}

fn line_agrees(expected: &str, found: &str) -> bool {
    if expected.starts_with('|') && found.starts_with('|') {
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let (wanted, cells): (Vec<String>, Vec<String>) = (cells(expected), cells(found));
        let is_rule = |cell: &str| !cell.is_empty() && cell.chars().all(|c| "-:".contains(c));
        let same = |(a, b): (&String, &String)| (is_rule(a) && is_rule(b)) || text_agrees(a, b);
        return wanted.len() == cells.len() && wanted.iter().zip(&cells).all(same);
    }
    text_agrees(expected.trim(), found.trim())
}

fn text_agrees(expected: &str, found: &str) -> bool {
    if let Some((before, after)) = expected.split_once('…') {
        let ends = found.char_indices().map(|(at, _)| at).chain([found.len()]);
        let starts = |at: &usize| text_agrees(before.trim_end(), found[..*at].trim_end());
        return ends.filter(starts).any(|at| {
            let rest = &found[at..];
            after.is_empty()
                || (0..=rest.len())
                    .filter(|&from| rest.is_char_boundary(from))
                    .any(|from| text_agrees(after, &rest[from..]))
        });
    }
    let (wanted, parts) = (split(expected), split(found));
    wanted.len() == parts.len()
        && wanted.iter().zip(&parts).enumerate().all(|(at, (a, b))| {
            let unit = wanted.get(at + 1).map_or("", String::as_str);
            a == b || numbers_agree(a, b, unit)
        })
}

/// Words and numbers by turns; runs of spaces are one.
fn split(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for c in text.chars() {
        match parts.last_mut() {
            Some(last) if last.ends_with(is_digit) == is_digit(c) => last.push(c),
            _ => parts.push(c.to_string()),
        }
    }
    parts
}

fn numbers_agree(wanted: &str, found: &str, unit: &str) -> bool {
    let (Ok(a), Ok(b)) = (wanted.parse::<f64>(), found.parse::<f64>()) else { return false };
    let is_free = FREE_UNITS.iter().any(|free| {
        unit.strip_prefix(free).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    });
    let share = if unit.starts_with(" %") { 0.5 } else { 0.2 };
    is_free || (wanted.contains('.') && (a - b).abs() <= share * a.abs().max(1.0))
}

/// The columns of a table that hold speeds, emptied.
fn without_speeds(lines: &[String]) -> Vec<String> {
    let mut free: Vec<bool> = Vec::new();
    let mut emptied = Vec::new();
    for line in lines {
        if !line.starts_with('|') {
            free.clear();
            emptied.push(line.clone());
            continue;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if free.is_empty() {
            free = cells.iter().map(|cell| FREE_COLUMNS.contains(cell)).collect();
            emptied.push(cells.join("|"));
            continue;
        }
        let is_free = |at: usize| free.get(at) == Some(&true);
        let cells = cells.iter().enumerate();
        let kept = cells.map(|(at, cell)| if is_free(at) { "" } else { *cell });
        emptied.push(kept.collect::<Vec<_>>().join("|"));
    }
    emptied
}

/// Runs a document; what does not agree, and the document with what was printed instead.
fn check(path: &Path, here: &Path) -> (Vec<String>, String) {
    let document = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = document.lines().map(str::to_owned).collect();
    let mut faults = Vec::new();
    let steps = steps(&document);
    assert!(!steps.is_empty(), "{}: no console blocks", path.display());
    let mut replaced = Vec::new();
    for step in steps {
        let (succeeded, found) = run(here, &step.command);
        let fails = step.expected.iter().any(|line| line.starts_with("error:"));
        let same = agree(&without_speeds(&step.expected), &without_speeds(&found));
        if same && succeeded != fails {
            continue;
        }
        let (expected, shown) = (step.expected.join("\n"), found.join("\n"));
        let status = if succeeded { "succeeded" } else { "failed" };
        faults.push(format!(
            "$ {}\n{status}; expected:\n{expected}\nfound:\n{shown}\n",
            step.command
        ));
        replaced.push((step.lines, found));
    }
    for (range, found) in replaced.into_iter().rev() {
        lines.splice(range, found);
    }
    (faults, lines.join("\n") + "\n")
}

fn holds(name: &str) {
    let path = repository().join(name);
    let here = folder(&format!("document-{}", name.replace('/', "-")));
    for shared in ["assets", "tests"] {
        std::os::unix::fs::symlink(repository().join(shared), here.join(shared)).unwrap();
    }
    let (faults, mended) = check(&path, &here);
    if std::env::var_os("POCKETLM_BLESS").is_some() {
        fs::write(&path, mended).unwrap();
        return;
    }
    assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
}

#[test]
fn the_front_page_is_true() {
    holds("README.md");
}

#[test]
fn the_guide_is_true() {
    holds("docs/guide.md");
}

#[test]
fn the_page_on_other_programs_is_true() {
    holds("docs/import.md");
}

include!("library/readme.rs");

#[allow(dead_code, reason = "it opens a file of the guide's folder")]
mod guide {
    include!("library/guide.rs");
}

/// The first block of Rust in a document.
fn rust_of(name: &str) -> String {
    let document = fs::read_to_string(repository().join(name)).unwrap();
    let block = document.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap().to_owned()
}

#[test]
fn the_rust_of_the_guide_compiles() {
    assert_eq!(rust_of("docs/guide.md"), include_str!("library/guide.rs"));
}

/// The Rust of the front page is that of a function which is compiled and run here.
#[test]
fn the_rust_of_the_front_page_runs() {
    let block = rust_of("README.md");
    let trimmed = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let compiled = trimmed(include_str!("library/readme.rs"));
    for line in trimmed(&block) {
        assert!(compiled.contains(&line), "{line:?} is not in tests/library/readme.rs");
    }
    print_next_words(&common::shared().join("packed.plm"), "the cat").unwrap();
}

#[test]
fn what_differs_is_seen() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let pairs = [
        ("a 1.00 b", "a 1.05 b", true),
        ("a 1.00 b", "a 1.55 b", false),
        ("12.5 %  who", "15.0 %  who", true),
        ("12.5 %  who", "12.5 %  is", false),
        ("12 bytes", "13 bytes", false),
        ("12 tokens/s, 3 s", "99 tokens/s, 7 s", true),
        ("12 s of", "14 s of", true),
        ("12 steps", "14 steps", false),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…\nd", "a\nb\nc", false),
        ("a … d", "a b c d", true),
        ("a … d", "a b c e", false),
        ("a", "a\nb", false),
        ("", "", true),
        (
            "|  a | tokens/s |\n|---|---|\n| x | 12 |",
            "| a | tokens/s |\n|--|--|\n| x | 3456 |",
            true,
        ),
        ("| a | tokens |\n| x | 12 |", "| a | tokens |\n| x | 3456 |", false),
    ];
    for (expected, found, same) in pairs {
        let (wanted, printed) = (lines(expected), lines(found));
        let agrees = agree(&without_speeds(&wanted), &without_speeds(&printed));
        assert_eq!(agrees, same, "{expected:?} {found:?}");
    }
}
