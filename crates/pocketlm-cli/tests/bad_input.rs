//! Bad input: a message that names the place and the mend, exit code 2 for a wrong request, 1 for what failed.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use pocketlm::Precision;

use common::{SMALL, command, folder, json, print, shared, splits, stderr};

/// A command that must fail with this exit code and a message that has all these parts.
fn fails(here: &Path, line: &str, extra: &[&str], code: i32, parts: &[&str]) {
    let output = command(here, line, extra).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{line}: {message}");
    assert!(!message.contains("panicked"), "{line}: {message}");
    for part in parts {
        assert!(message.contains(part), "{line}: no {part:?} in {message:?}");
    }
}

/// A folder of its own with the closed text.
fn place(name: &str) -> PathBuf {
    let here = folder(name);
    splits(&here, "text", &common::closed_text());
    here
}

fn train_fails(here: &Path, data: &str, parts: &[&str]) {
    fails(here, &format!("train --data {data} --out new {SMALL}"), &[], 1, parts);
    assert!(!here.join("new").exists(), "nothing is left behind");
}

#[test]
fn text_that_is_not_there() {
    let here = place("missing");
    train_fails(&here, "nowhere", &["nowhere: no such file or folder", "check the path"]);
    fs::create_dir(here.join("empty")).unwrap();
    train_fails(&here, "empty", &["empty: no train.txt", "train.txt, valid.txt and test.txt"]);
    fs::remove_file(here.join("text/valid.txt")).unwrap();
    train_fails(&here, "text", &["no valid.txt in this folder"]);
}

/// Where there is a GPU with all its libraries, this checks that nothing is made of an unknown one.
#[test]
fn a_device_that_is_not_there() {
    let here = place("device");
    let line = format!("train --data text --out new {SMALL} --device");
    fails(&here, &format!("{line} gpu"), &[], 2, &["there are cpu, cuda and cuda-tf32"]);
    let output = command(&here, &format!("{line} cuda"), &[]).output().unwrap();
    if output.status.success() {
        return;
    }
    let parts = ["was not found", "was found", "could be opened", "--features cuda"];
    let message = stderr(&output);
    assert!(parts.iter().any(|part| message.contains(part)), "{message}");
    assert!(message.contains("--device") && !here.join("new").exists(), "{message}");
}

#[test]
fn text_that_is_empty_or_has_one_word() {
    let here = place("empty");
    fs::write(here.join("text/train.txt"), "").unwrap();
    train_fails(&here, "text", &["train.txt: the file is empty", "give it one sentence a line"]);
    fs::write(here.join("text/train.txt"), "\n\n\n").unwrap();
    train_fails(&here, "text", &["train.txt: a vocabulary of one word", "one more word"]);
}

#[test]
fn text_that_is_not_utf8_gets_file_and_byte() {
    let here = place("latin1");
    fs::write(here.join("text/train.txt"), b"the cat\nun caf\xe9\n").unwrap();
    train_fails(&here, "text", &["train.txt: not UTF-8 at byte 14 (line 2)", "iconv"]);
}

#[test]
fn unknown_words_of_a_closed_vocabulary() {
    let here = place("unknown");
    fs::write(here.join("text/valid.txt"), "the cat\nthe zebra\n").unwrap();
    train_fails(&here, "text", &["valid.txt: line 2: \"zebra\"", "--max-vocab or --min-count"]);
    for command in ["score", "suggest", "generate"] {
        let line = format!("{command} -m closed-model");
        fails(shared(), &line, &["the zebra"], 1, &["\"zebra\"", "--max-vocab or --min-count"]);
    }
    assert_eq!(json(shared(), "score -m open-model", &["a zebra"])["oov"], 1);
}

#[test]
fn recipes_that_cannot_work() {
    let here = place("recipes");
    let fails = |flags: &str, parts: &[&str]| {
        fails(&here, &format!("train --data text --out new {flags}"), &[], 2, parts);
        assert!(!here.join("new").exists(), "nothing is left behind");
    };
    fails("--hidden 0", &["model.hidden", "0 units", "at least 1"]);
    fails("--lr nan", &["train.lr is NaN", "finite number above 0"]);
    fails("--lr=-1", &["train.lr is -1", "above 0"]);
    fails("--epochs 0", &["train.epochs is 0", "at least 1"]);
    fails("--set dropout=1", &["train.dropout is 1", "below 1"]);
    fails("--set hiden=[3]", &["\"hiden\"", "did you mean \"model.hidden\""]);
    fails("--model zaremba-tiny", &["zaremba-tiny", "zaremba-small", "keyboard"]);
    fails("--set cell=transformer", &["transformer", "lstm"]);
    fs::write(here.join("my.toml"), "[train]\nlr = 0.1\nepoch = 2\n").unwrap();
    fails("--recipe my.toml", &["my.toml:3", "\"epoch\"", "train.epochs"]);
    fs::write(here.join("my.toml"), "[train\n").unwrap();
    fails("--recipe my.toml", &["my.toml", "line 1"]);
}

#[test]
fn wrong_usage() {
    let usage = |line: &str, parts: &[&str]| fails(shared(), line, &[], 2, parts);
    usage("train", &["--data <PATH>", "--out <DIR>"]);
    usage("eval packed.plm --data open --split dev", &["dev", "train, valid, test"]);
    usage("pack open-model -o x.plm --precision int9", &[&Precision::list(|_| true)]);
    for temperature in ["nan", "-1"] {
        let line = format!("generate -m packed.plm --temperature {temperature}");
        usage(&line, &["the temperature must be between 0"]);
    }
    usage("generate -m packed.plm --top-p 0", &["top_p must be above 0"]);
}

/// A copy of the shared checkpoint.
fn copied(name: &str) -> PathBuf {
    let here = folder(name);
    let model = here.join("model");
    fs::create_dir(&model).unwrap();
    for file in fs::read_dir(shared().join("open-model")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), model.join(file.file_name())).unwrap();
    }
    splits(&here, "text", &fs::read_to_string(shared().join("open/train.txt")).unwrap());
    here
}

fn every_use_fails(here: &Path, model: &str, parts: &[&str]) {
    for line in
        ["eval {} --data text", "suggest -m {}", "score -m {}", "generate -m {}", "inspect {}"]
    {
        fails(here, &line.replace("{}", model), &[], 1, parts);
    }
}

#[test]
fn checkpoints_that_are_damaged() {
    let here = copied("damaged");
    let (path, config) = (here.join("model/model.safetensors"), here.join("model/config.json"));
    let (model, right) = (fs::read(&path).unwrap(), fs::read_to_string(&config).unwrap());
    for length in [0, 5, 100, model.len() - 1] {
        fs::write(&path, &model[..length]).unwrap();
        every_use_fails(&here, "model", &["model.safetensors: is truncated"]);
    }
    fs::remove_file(&path).unwrap();
    fs::remove_file(here.join("model/training_state.safetensors")).unwrap();
    every_use_fails(&here, "model", &["model.safetensors"]);
    fs::write(&path, &model).unwrap();
    fs::write(&config, right.replacen("\"embedding\": 8", "\"embedding\": 9", 1)).unwrap();
    every_use_fails(
        &here,
        "model",
        &["has embedding as F32", "the model needs F32 or F16 [11, 9]"],
    );
    fs::write(&config, right.replacen("lstm", "elman", 1)).unwrap();
    every_use_fails(&here, "model", &["config.json: is not the configuration", "elman"]);
    fs::write(&config, right).unwrap();
    fs::write(here.join("model/vocab.txt"), "<eos>\nthe\n").unwrap();
    every_use_fails(&here, "model", &["vocab.txt", "has 2 types"]);
}

#[test]
fn folders_and_files_that_are_no_models() {
    let here = place("foreign");
    every_use_fails(&here, "text", &["text: is no checkpoint: config.json cannot be read"]);
    every_use_fails(&here, "text/train.txt", &["text/train.txt: ", "not a .plm file"]);
    every_use_fails(&here, "nowhere", &["nowhere: "]);
    fs::copy(shared().join("open-model/model.safetensors"), here.join("m.safetensors")).unwrap();
    every_use_fails(&here, "m.safetensors", &["m.safetensors: ", "not a packed model"]);
    let packed = fs::read(shared().join("packed.plm")).unwrap();
    for length in [0, 7, 64, packed.len() / 2, packed.len() - 1] {
        fs::write(here.join("cut.plm"), &packed[..length]).unwrap();
        every_use_fails(&here, "cut.plm", &["cut.plm: "]);
    }
}

#[test]
fn output_that_cannot_be_written() {
    let here = place("unwritable");
    fs::write(here.join("file"), "").unwrap();
    let mend = "check the path, its permissions and the free space";
    for out in ["file", "file/model"] {
        let line = format!("train --data text --out {out} {SMALL}");
        fails(&here, &line, &[], 1, &[&format!("{out}: "), mend]);
    }
    let pack = format!("pack {}/open-model -o", shared().display());
    for out in ["file/x.plm", "nowhere/x.plm"] {
        let parts = [&format!("{out}: "), "there is no folder"];
        fails(&here, &format!("{pack} {out}"), &[], 1, &parts);
    }
}

/// Runs a shell line with `pocketlm` as `$0`.
#[cfg(target_os = "linux")]
fn shell_fails(here: &Path, line: &str, parts: &[&str]) {
    let program = assert_cmd::cargo::cargo_bin!("pocketlm");
    let mut shell = std::process::Command::new("sh");
    let output = shell.arg("-c").arg(line).arg(program).current_dir(here).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{line}: {message}");
    parts.iter().for_each(|part| assert!(message.contains(part), "{line}: {message}"));
}

/// `/dev/full` is a full disk for what is printed, a limit on the size of files one for what is written.
#[cfg(target_os = "linux")]
#[test]
fn disks_that_are_full() {
    for line in ["eval packed.plm --data open", "inspect packed.plm", "suggest -m packed.plm the"] {
        shell_fails(shared(), &format!("exec \"$0\" {line} > /dev/full"), &["No space left"]);
    }
    let here = place("full");
    // The configuration fits, the training state does not.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --threads 1";
    let train = "train --data text --out model --hidden 32 --set batch=4";
    let parts = ["model/", "File too large", "free space"];
    shell_fails(&here, &format!("{limited} {train}"), &parts);
    let left = fs::read_dir(here.join("model")).unwrap().map(|file| file.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["config.json", "vocab.txt"], "no part of a file");
    let pack = format!("pack {}/open-model -o x.plm --precision f32", shared().display());
    shell_fails(&here, &format!("{limited} {pack}"), &["x.plm: ", "File too large"]);
    assert_eq!(fs::read_dir(&here).unwrap().count(), 2, "only the text and the checkpoint");
}

#[test]
fn nothing_is_overwritten_unasked() {
    let here = copied("taken");
    let train = format!("train --data text --out model {SMALL}");
    fails(
        &here,
        &train,
        &[],
        1,
        &["model: holds a training already", "--resume", "another folder"],
    );
    print(&here, "pack model -o x.plm", &[]);
    fails(&here, "pack model -o x.plm", &[], 1, &["x.plm exists", "--force"]);
    print(&here, "pack model -o x.plm --force", &[]);
}

#[test]
fn resuming_what_is_not_there() {
    let here = copied("resume");
    let resume = |out: &str, data: &str, parts: &[&str]| {
        fails(&here, &format!("train --data {data} --out {out} --resume"), &[], 1, parts);
    };
    resume("nowhere", "text", &["nowhere: nothing to resume", "leave out --resume"]);
    resume("text", "text", &["text: nothing to resume", "leave out --resume"]);
    splits(&here, "other", "the cat sat\n");
    resume("model", "other", &["model: was trained on other data", "same --data"]);
    fs::write(here.join("model/training_state.safetensors"), "x").unwrap();
    resume("model", "text", &["training_state.safetensors: is truncated"]);
    let from = |code: i32, parts: &[&str], more: &str| {
        fails(&here, &format!("train --data text {more}"), &[], code, parts);
    };
    from(1, &["nowhere: no such file or folder"], "--out new --from nowhere");
    let narrower = ["model.hidden gives a width of 5 where the model to start from has 8"];
    from(2, &narrower, "--out new --from model --hidden 5");
    from(1, &["model: holds a training already"], "--out model --from model");
    assert!(!here.join("new").exists());
    fs::remove_file(here.join("model/training_state.safetensors")).unwrap();
    resume("model", "text", &["has a model but no training state", "--from"]);
    // A start that was cut off before the first save is no training.
    fs::remove_file(here.join("model/model.safetensors")).unwrap();
    resume("model", "text", &["cut off before its first save", "leave out --resume"]);
    print(&here, &format!("train --data text --out model {SMALL}"), &[]);
}

/// What a resumed training can change and what not.
#[test]
fn resuming_by_other_settings() {
    let here = place("resettled");
    let train = format!("train --data text --out model {SMALL}");
    print(&here, &train, &[]);
    let refused = |flags: &str, parts: &[&str]| {
        let line = format!("train --data text --out model --resume {flags}");
        let code = if flags.starts_with("--s") && flags.contains("seed") { 1 } else { 2 };
        fails(&here, &line, &[], code, parts);
    };
    refused("--set batch=5", &["train.batch is 4 in this training", "cannot become 5"]);
    refused("--hidden 9", &["model.hidden", "[8]", "[9]"]);
    refused("--epochs 1", &["train.epochs is 1", "2 epochs are done"]);
    refused("--seed 2", &["--seed is 1 in this training and cannot become 2"]);
    let vocabulary = format!("{train} --resume --min-count 30");
    fails(&here, &vocabulary, &[], 1, &["--min-count makes another vocabulary"]);
    print(&here, &format!("{train} --resume"), &[]);
    let more = command(&here, "train --data text --out model --resume --epochs 4 --lr 0.1", &[]);
    let output = { more }.output().unwrap();
    let note = stderr(&output);
    assert!(output.status.success(), "{note}");
    assert!(note.contains("after 2 of now 4 epochs (before: 2)"), "{note}");
    assert!(note.contains("exponential") && note.contains("0.1"), "{note}");
    let metrics = fs::read_to_string(here.join("model/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("valid").count(), 4);
}

#[test]
fn two_trainings_in_one_folder() {
    let here = place("taken-folder");
    let train = format!("train --data text --out model {SMALL}");
    print(&here, &train, &[]);
    let more = "train --data text --out model --resume --epochs 3";
    let lock = pocketlm_train::lock::Lock::acquire(&here.join("model")).unwrap();
    let parts = ["model: in use by process", "another folder"];
    fails(&here, more, &[], 1, &parts);
    fails(&here, &train, &[], 1, &parts);
    print(&here, "eval model --data text", &[]);
    fs::create_dir(here.join("sweep")).unwrap();
    let sweep = pocketlm_train::lock::Lock::acquire(&here.join("sweep")).unwrap();
    fs::write(here.join("s.toml"), "[grid]\n\"train.lr\" = [0.1, 0.2]\n").unwrap();
    fails(&here, "sweep s.toml --data text --out sweep", &[], 1, &["sweep: in use by process"]);
    drop((lock, sweep));
    print(&here, more, &[]);
}

#[test]
fn a_training_that_diverges_says_how_to_get_out() {
    let here = place("diverged");
    let train = format!("train --data text --out model {SMALL}");
    let way_out = ["training diverged", "no epoch was validated", "remove that folder", "lower"];
    fails(&here, &format!("{train} --lr 1e38"), &[], 1, &way_out);
    fails(&here, "eval model --data text", &[], 1, &["no epoch was validated", "lower rate"]);
    let again = ["has not finished an epoch yet", "remove the folder or give another"];
    fails(&here, &train, &[], 1, &again);
    let late = "train --data text --out late --resume --epochs 4 --lr 1e38";
    print(&here, &train.replace("--out model", "--out late"), &[]);
    fails(&here, late, &[], 1, &["late keeps the model of epoch", "--resume --lr"]);
}

#[test]
fn sizes_that_no_machine_has() {
    let here = place("sizes");
    let train = |flags: &str, code: i32, parts: &[&str]| {
        let line = format!("train --data text --out new {SMALL} {flags}");
        fails(&here, &line, &[], code, parts);
        assert!(!here.join("new").exists(), "nothing is left behind");
    };
    train("--set hidden=[1000000]", 2, &["the model's shape makes weights of", "TB", "memory"]);
    for key in ["embedding", "projection", "cell_projection"] {
        let flags = format!("--set {key}=4611686018427387904");
        train(&flags, 2, &[&format!("model.{key} has 4611686018427387904"), "at most 1048576"]);
    }
    train("--set hidden=[4294967296]", 2, &["model.hidden has 4294967296"]);
    train("--set batch=9223372036854775807", 1, &["cannot be cut into 9223372036854775807"]);
    train("--set forget_bias=1e39", 2, &["train.forget_bias", "-1000 to 1000"]);
    train("--set init=1e39", 2, &["train.init", "finite"]);
    for flags in ["--save-every nan", "--save-every -1", "--save-every 1e300"] {
        fails(&here, &format!("train --data text --out new {flags}"), &[], 2, &["minutes"]);
    }
    // A window has no more steps than the text.
    print(&here, &format!("train --data text --out long {SMALL} --set steps=1000000000000"), &[]);
    let use_it = |flags: &str, parts: &[&str]| fails(shared(), flags, &[], 2, parts);
    use_it("bench packed.plm --seconds 1e300", &["--seconds", "seconds from 0"]);
    use_it("bench packed.plm --seconds 0", &["more than 0"]);
    use_it("bench packed.plm --batch 0", &["from 1 to 65536"]);
    use_it("bench packed.plm --backend mmx", &["this machine has", "portable"]);
    use_it("bench packed.plm --batch 100000000000", &["from 1 to 65536"]);
    use_it("suggest -m packed.plm the -k 0", &["from 1 to"]);
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("pocketlm"))
        .args(["suggest", "-m", "packed.plm", "--threads", "5000"])
        .output()
        .unwrap();
    assert!(stderr(&output).contains("from 1 to 1024"));
}

#[test]
fn checkpoints_with_sizes_that_no_machine_has() {
    let here = copied("large-config");
    let config = here.join("model/config.json");
    let right = fs::read_to_string(&config).unwrap();
    let change = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        fs::write(&config, right.replacen(from, to, 1)).unwrap();
    };
    change("\"embedding\": 8", "\"embedding\": 16777217");
    every_use_fails(&here, "model", &["model.embedding has 16777217"]);
    change("\"projection\": 0", "\"projection\": 9223372036854775807");
    every_use_fails(&here, "model", &["projection has 9223372036854775807"]);
    change("\"vocabulary\": 11", "\"vocabulary\": 18446744073709551615");
    every_use_fails(&here, "model", &["vocab.txt"]);
    fails(&here, "train --data text --out model --resume", &[], 1, &["18446744073709551615 types"]);
    // With a byte order mark and carriage returns it is the same.
    fs::write(&config, format!("\u{feff}{}", right.replace('\n', "\r\n"))).unwrap();
    print(&here, "eval model --data text", &[]);
}

#[test]
fn subwords_answer_in_whole_words_and_name_a_broken_tokenizer() {
    let here = place("pieces");
    fs::write(here.join("long.txt"), "aé bc 今日は ".repeat(100) + "\na\nb\n").unwrap();
    let train = format!("train --data long.txt --unit bpe --max-vocab 270 --out model {SMALL}");
    print(&here, &train, &[]);
    print(&here, "pack model -o x.plm", &[]);
    fails(&here, "eval x.plm --typing --personal --data long.txt", &[], 1, &["model of words"]);
    // The text comes again and again, and so do the suggestions.
    let typing = json(&here, "eval x.plm --typing --data long.txt", &[]);
    // Han and kana have no spaces: each character is a word.
    assert_eq!((&typing["words"], &typing["keys"]), (&502.into(), &1001.into()));
    assert!(typing["saved_at_3"].as_f64().unwrap() > 0.1, "{typing}");
    let alone = json(&here, "eval x.plm --data long.txt", &[]);
    let mixed = json(&here, "eval x.plm --mix model --weight 0.5 --data long.txt", &[]);
    let nll = |row: &serde_json::Value| row["nll"].as_f64().unwrap();
    assert!((nll(&alone) - nll(&mixed)).abs() < 0.05);
    fs::write(here.join("plain.plm"), "x").unwrap();
    fails(&here, "compress plain.plm --prune 0.5 -o x.plm", &[], 1, &["is a file", "checkpoint"]);
    // People read words, not pieces.
    let found = print(&here, "suggest -m model -k 5", &["今日"]);
    assert!(!found.contains('\u{fffd}') && !found.contains('Ġ'), "{found}");
    let completed = print(&here, "complete -m model -k 3", &["aé b"]);
    assert!(completed.lines().all(|line| line.contains("%  b")), "{completed}");
    assert_eq!(
        print(&here, "complete -m x.plm -k 1", &["aé b"]).trim().split("%  ").last(),
        Some("bc")
    );
    for (flags, parts) in [
        ("--tokenizer no.json", &["no.json"][..]),
        ("--tokenizer plain.plm", &["plain.plm", "SentencePiece"]),
        ("--unit sentencepiece", &["--tokenizer"]),
    ] {
        fails(&here, &format!("train --data long.txt --out other {flags} {SMALL}"), &[], 1, parts);
    }
    fails(
        &here,
        "train --data long.txt --out other --tokenizer no.json --unit bpe",
        &[],
        2,
        &["--unit"],
    );
    let cut = fs::read(here.join("model/tokenizer.json")).unwrap();
    fs::write(here.join("model/tokenizer.json"), &cut[..cut.len() / 2]).unwrap();
    fails(&here, "suggest -m model a", &[], 1, &["tokenizer.json"]);
}

#[test]
fn numbers_that_overflow_are_no_answer() {
    let here = copied("overflow");
    let path = here.join("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    // The last matrix of the file, in f32.
    for number in bytes[length - 4 * 40..].chunks_exact_mut(4) {
        number.copy_from_slice(&3e38f32.to_le_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    for line in [
        "suggest -m model the",
        "score -m model the",
        "generate -m model the",
        "complete -m model th",
    ] {
        let output = command(&here, line, &[]).output().unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{line}: {message}");
        assert!(message.contains("finite") || message.contains("overflow"), "{line}: {message}");
    }
    fails(&here, "eval model --data text", &[], 1, &["not finite"]);
}

#[test]
fn compressions_that_cannot_work() {
    let here = copied("compressions");
    let recipe = |text: &str| fs::write(here.join("r.toml"), text).unwrap();
    let by_recipe = "compress model -o x.plm --recipe r.toml";
    recipe("[[step]]\nmethod = \"prune\"\nmatrices = [\"softmax\"]\nsparsty = 0.5\n");
    fails(&here, by_recipe, &[], 2, &["r.toml:4", "sparsty", "sparsity"]);
    recipe("[[step]]\nmethod = \"fine-tune\"\nepochs = 1\n");
    fails(&here, by_recipe, &[], 2, &["step 1 (fine-tune)", "--data"]);
    let flags = |flags: &str, parts: &[&str]| {
        fails(&here, &format!("compress model -o x.plm {flags}"), &[], 2, parts);
    };
    flags("--prune 1.5", &["sparsity is 1.5"]);
    flags("--low-rank 100 --matrices softmax", &["softmax", "rank is 100"]);
    flags("--prune 0.5 --matrices sofmax", &["sofmax", "cell.0.input", "softmax"]);
    flags("--quantise int9", &["int8"]);
    fails(&here, "compress model -o x.plm", &[], 1, &["nothing to do", "--recipe"]);
    assert!(!here.join("x.plm").exists());
}

#[test]
fn commands_of_the_laboratory() {
    let here = folder("laboratory");
    for line in ["reproduce paper --data x", "bench-train --hidden 650"] {
        let lab = format!("is a command of pocketlm-lab: pocketlm-lab {line}");
        let clone = format!("cargo run --release -p pocketlm-lab -- {line}");
        fails(&here, line, &[], 2, &[&lab, &clone]);
    }
}
