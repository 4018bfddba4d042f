//! The shape of the command line: how models and texts are given, what is printed for several, help and its kin.

mod common;

use std::fs;

use common::{command, folder, json, print, shared, stderr};
use serde_json::Value;

/// What a command that is refused as wrong usage says.
fn refused(line: &str, extra: &[&str]) -> String {
    let output = command(shared(), line, extra).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
    assert!(output.stdout.is_empty(), "{line}");
    stderr(&output)
}

#[test]
fn a_model_given_as_the_first_argument_gets_the_command_that_works() {
    for name in ["suggest", "complete", "score", "generate"] {
        for model in ["packed.plm", "open-model"] {
            let said = refused(&format!("{name} {model}"), &["the cat"]);
            let wanted =
                format!("error: give the model by -m: pocketlm {name} -m {model} \"the cat\"");
            assert!(said.starts_with(&wanted), "{said}");
        }
    }
    let said = refused("score --mix packed.plm", &["the cat"]);
    let wanted =
        "error: give the model by -m: pocketlm score -m MODEL --mix packed.plm \"the cat\"";
    assert!(said.starts_with(wanted), "{said}");
}

#[test]
fn without_a_model_the_built_in_one_answers_in_english() {
    let answer = |line: &str, text: &str| -> (String, String) {
        let output = command(shared(), line, &[text]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let (found, note) = answer("suggest -k 5", "I will see you");
    assert_eq!(found.lines().count(), 5, "{found}");
    assert!(note.contains("built-in model") && note.contains("-m MODEL"), "{note}");
    let (found, _) = answer("complete -k 3", "See you tomo");
    assert!(found.lines().next().unwrap().ends_with("tomorrow"), "{found}");
    let (found, _) = answer("correct", "I will see you tomorow");
    assert!(found.contains("tomorrow"), "{found}");
    let nll = |text| json(shared(), "score", &[text])["nll"].as_f64().unwrap();
    assert!(nll("I will see you tomorrow.") < nll("tomorrow see you I will."));
    assert!(!answer("generate --seed 3", "She").0.trim().is_empty());
}

#[test]
fn several_contexts_are_told_apart() {
    let one = |text| print(shared(), "suggest -m packed.plm -k 2", &[text]);
    let (cat, dog) = (one("the cat"), one("a dog"));
    assert_eq!(cat.lines().count(), 2, "{cat}");
    let both = format!("the cat\n{cat}\na dog\n{dog}");
    assert_eq!(print(shared(), "suggest --model packed.plm --top 2", &["the cat", "a dog"]), both);
    let typed = |input: &str, name: &str| {
        let mut command = command(shared(), &format!("{name} -m packed.plm --count 2"), &[]);
        String::from_utf8(command.write_stdin(input).output().unwrap().stdout).unwrap()
    };
    assert_eq!(typed("the cat\na dog\n", "suggest"), both);
    assert_eq!(typed("the cat\n", "suggest"), cat);
    assert!(typed("the cat s\na dog r", "complete").starts_with("the cat s\n"));
    assert!(typed("\nthe cat\n", "suggest").starts_with("\"\"\n"));
    let lines = print(shared(), "suggest -m packed.plm --json", &["the cat", "a dog"]);
    let contexts = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let contexts: Vec<_> = contexts.map(|object| object["context"].clone()).collect();
    assert_eq!(contexts, ["the cat", "a dog"]);
    let drawn = print(shared(), "generate -m packed.plm -n 2", &["the cat", "a dog"]);
    let begins: Vec<_> = drawn.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(begins, ["the", "the", "a", "a"]);
}

/// A program that writes a line and waits for its answer before the next one.
#[test]
fn a_line_is_answered_before_the_next_one_comes() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("pocketlm"))
        .current_dir(shared())
        .args(["suggest", "-m", "packed.plm", "-k", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    writeln!(input, "the cat").unwrap();
    assert!(lines.next().unwrap().ends_with("sat"));
    writeln!(input, "a dog").unwrap();
    drop(input);
    let rest: Vec<_> = lines.collect();
    assert_eq!(rest[..2], ["", "a dog"]);
    assert!(rest[2].ends_with("ran"), "{rest:?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_model_that_is_not_there_gets_the_likest_name() {
    let here = folder("near");
    fs::copy(shared().join("packed.plm"), here.join("keyboard.plm")).unwrap();
    for line in [
        "suggest -m keybord.plm the",
        "score -m keybord.plm the",
        "eval keybord.plm --data text",
        "inspect keybord.plm",
        "bench keybord.plm",
        "export keybord.plm -o x.arpa",
        "pack keybord.plm -o x.plm",
        "train --data text --from keybord.plm --out x",
    ] {
        let output = command(&here, line, &[]).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(
            said.contains("keybord.plm: no such file or folder: did you mean keyboard.plm?"),
            "{said}"
        );
    }
    let output = command(&here, "inspect nothing-like-it", &[]).output().unwrap();
    assert!(
        stderr(&output).contains("no such file or folder; check the path"),
        "{}",
        stderr(&output)
    );
    let elsewhere = here.join("keybord.plm").display().to_string();
    let output = command(shared(), "inspect", &[&elsewhere]).output().unwrap();
    let wanted = here.join("keyboard.plm").display().to_string();
    assert!(stderr(&output).contains(&format!("did you mean {wanted}?")), "{}", stderr(&output));
}

#[test]
fn bench_has_a_row_for_each_model() {
    let table = print(shared(), "bench packed.plm open-model --seconds 0.05", &[]);
    let rows: Vec<_> = table.lines().skip(2).collect();
    assert!(
        rows.len() == 2 && rows[0].contains("packed.plm") && rows[1].contains("open-model"),
        "{table}"
    );
    let report = json(shared(), "bench packed.plm open-model --seconds 0.05", &[]);
    let names: Vec<_> =
        report["results"].as_array().unwrap().iter().map(|row| &row["model"]).collect();
    assert_eq!(names, ["packed.plm", "open-model"]);
}

#[test]
fn help_lists_the_commands_in_groups() {
    let help = print(shared(), "--help", &[]);
    let at = |part: &str| help.find(part).unwrap_or_else(|| panic!("no {part:?} in {help}"));
    let order = [
        "\nUse a model:",
        "\n  suggest ",
        "\nMake a model:",
        "\n  train ",
        "\nOptions:",
        "--threads",
    ];
    assert!(order.map(at).is_sorted(), "{help}");
    assert_eq!(help, print(shared(), "-h", &[]));
    assert!(!help.contains("reproduce") && !help.contains("bench-train"), "{help}");
    let suggest = print(shared(), "suggest --help", &[]);
    assert!(suggest.contains("-k, --top <K>") && suggest.contains("--count"), "{suggest}");
    let version = format!("pocketlm {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(print(shared(), "--version", &[]), version);
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = print(shared(), &format!("completions {shell}"), &[]);
        assert!(script.contains("suggest") && script.contains("max-vocab"), "{shell}");
    }
    let page = print(shared(), "man", &[]);
    assert!(page.starts_with(".") && page.contains("pocketlm\\-suggest(1)"), "{page}");
    let page = print(shared(), "man suggest", &[]);
    assert!(page.contains("\\-\\-prefix") && !page.contains("max\\-vocab"), "{page}");
    let here = folder("man");
    print(&here, "man --out pages", &[]);
    for name in ["pocketlm", "pocketlm-suggest", "pocketlm-compress"] {
        assert!(here.join(format!("pages/{name}.1")).is_file(), "{name}");
    }
    assert!(refused("man sugest", &[]).contains("there is no command sugest"));
}

/// What the demo says to try next must work as it is printed, wherever the program lies.
#[cfg(unix)]
#[test]
fn the_hints_of_the_demo_can_be_copied() {
    let here = folder("hints");
    let line = "demo --tokens 2000 --epochs 1 --progress plain --out";
    let said = print(&here, line, &["a folder"]);
    let hints: Vec<_> = said.lines().filter(|line| line.contains("a folder\"")).collect();
    assert_eq!(hints.len(), 2, "{said}");
    for hint in hints {
        let hint = hint.replace("bench ", "bench --seconds 0.05 ");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &hint]).current_dir(&here).env("PATH", "/usr/bin:/bin");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{hint}: {}", stderr(&output));
    }
}

#[test]
fn the_text_of_the_demo_can_be_written() {
    let here = folder("write-text");
    print(&here, "demo --write-text text --tokens 2000", &[]);
    let read = |name: &str| fs::read_to_string(here.join("text").join(name)).unwrap();
    assert!(read("train.txt").split_whitespace().count() > 1000 && !read("test.txt").is_empty());
    let again = command(&here, "demo --write-text text", &[]).output().unwrap();
    assert!(stderr(&again).contains("there is a train.txt already"), "{}", stderr(&again));
}

#[test]
fn a_slip_is_mended() {
    let lines = print(shared(), "correct -m packed.plm --json -k 3", &["the catt"]);
    let found: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(found["typed"], "catt");
    assert!(
        found["corrections"].as_array().unwrap().iter().any(|word| word["word"] == "cat"),
        "{found}"
    );
}

#[test]
fn a_typist_is_fitted_and_taken() {
    let here = folder("typos");
    fs::copy(shared().join("packed.plm"), here.join("packed.plm")).unwrap();
    fs::write(here.join("pairs.tsv"), "# mine\ntaht\tthat\nteh\tthe\n\nadn\tand\n").unwrap();
    print(&here, "typos pairs.tsv -o me.typing --layout qwertz", &[]);
    let fitted = fs::read_to_string(here.join("me.typing")).unwrap();
    assert!(fitted.contains("3 of them slips") && fitted.contains("layout qwertz"), "{fitted}");
    assert_eq!(print(&here, "typos pairs.tsv -o - --layout qwertz", &[]), fitted);
    let found = |typing: &str| -> f64 {
        let line = format!("correct -m packed.plm --json {typing}");
        let lines = print(&here, &line, &["the cta"]);
        let found: serde_json::Value = serde_json::from_str(&lines).unwrap();
        let words = found["corrections"].as_array().unwrap();
        let cat = words.iter().find(|word| word["word"] == "cat").unwrap();
        cat["probability"].as_f64().unwrap()
    };
    // Who swaps letters meant a swap.
    assert!(found("--typing me.typing") > found(""));
    let wrong = |line: &str, says: &str| {
        let output = command(&here, line, &[]).output().unwrap();
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(says), "{line}: {said}");
    };
    for (text, says) in [
        ("teh\tthe\nteh the\n", "pairs.tsv, line 2: 0 tabs"),
        ("a b\tab\n", "pairs.tsv, line 1: what was typed is a single word"),
        ("\tthe\n", "pairs.tsv, line 1: nothing on one side"),
        ("# none\n", "pairs.tsv has no pairs"),
    ] {
        fs::write(here.join("pairs.tsv"), text).unwrap();
        wrong("typos pairs.tsv -o new.typing", says);
    }
    fs::write(here.join("bad.typing"), "layout qwerty\nother ten\n").unwrap();
    wrong(
        "correct -m packed.plm --typing bad.typing cta",
        "bad.typing: line 2: its value is no number",
    );
    wrong("typos pairs.tsv -o me.typing", "me.typing");
}

#[test]
fn a_lexicon_makes_more_words_right() {
    let here = folder("lexicon");
    fs::copy(shared().join("packed.plm"), here.join("packed.plm")).unwrap();
    fs::write(here.join("words.txt"), "zebras the zebras of zebras and quokkas\n".repeat(50))
        .unwrap();
    print(&here, "ngram --data words.txt --text tokenised --order 1 -o words.plm", &[]);
    let best = |options: &str| {
        let line = format!("correct -m packed.plm --json -k 1 {options}");
        let found = print(&here, &line, &["the zebars"]);
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        found["corrections"][0]["word"].as_str().map(str::to_owned)
    };
    assert_ne!(best("").as_deref(), Some("zebras"));
    assert_eq!(best("--lexicon words.plm").as_deref(), Some("zebras"));
}
