//! Models side by side: the table, its other forms, the plot, and what is refused before any work.

mod common;

use std::fs;
use std::path::Path;

use common::{SMALL, command, folder, json, print, shared, splits, stderr};

const RECIPES: [(&str, &str); 2] = [
    ("int4.toml", "[[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int4\"\n"),
    (
        "tuned.toml",
        "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 2\n\
         [[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.05\n",
    ),
];

/// A folder with a text, its model as checkpoint and packed, and recipes.
fn place(name: &str) -> std::path::PathBuf {
    let here = folder(name);
    let from = shared();
    splits(&here, "text", &fs::read_to_string(from.join("open/test.txt")).unwrap());
    fs::create_dir(here.join("model")).unwrap();
    for file in fs::read_dir(from.join("open-model")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), here.join("model").join(file.file_name())).unwrap();
    }
    fs::copy(from.join("packed.plm"), here.join("packed.plm")).unwrap();
    for (name, text) in RECIPES {
        fs::write(here.join(name), text).unwrap();
    }
    here
}

/// What a command says that fails with this status, having printed nothing.
fn refused(here: &Path, line: &str, status: i32, part: &str) {
    let output = command(here, line, &[]).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{line}: {said}");
    assert!(said.contains(part), "{line}: no {part:?} in {said:?}");
    assert!(output.stdout.is_empty(), "{line}");
}

/// The names of elements of a document whose tags all close, in their order.
fn elements(svg: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else if !tag.starts_with(['?', '!']) {
            all.push(name.to_owned());
            if !tag.ends_with('/') {
                open.push(name.to_owned());
            }
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    assert_eq!(all.first().map(String::as_str), Some("svg"));
    all
}

#[test]
fn figures_are_those_of_eval_and_of_the_file() {
    let here = place("compare-figures");
    let compared = json(&here, "compare model packed.plm --data text --no-speed", &[]);
    let rows = compared["results"].as_array().unwrap();
    assert_eq!(compared["frontier_by"], "perplexity");
    let evaluated = json(&here, "eval model packed.plm --data text", &[]);
    for (row, eval) in rows.iter().zip(evaluated["results"].as_array().unwrap()) {
        for key in
            ["model", "split", "sha256", "tokens", "perplexity", "bits_per_byte", "recall_at_3"]
        {
            assert_eq!(row[key], eval[key], "{key}");
        }
        assert!(row.get("tokens_per_second").is_none(), "{row}");
    }
    assert_eq!(rows[1]["bytes"], fs::metadata(here.join("packed.plm")).unwrap().len());
    print(&here, "pack model -o full.plm --precision f32", &[]);
    assert_eq!(rows[0]["bytes"], fs::metadata(here.join("full.plm")).unwrap().len());
    assert_eq!(rows[1]["frontier"], true);
    let timed = json(&here, "compare packed.plm --data text --seconds 0.05", &[]);
    assert!(timed["results"][0]["tokens_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn tables_are_the_same_each_time_and_sorted_as_asked() {
    let here = place("compare-table");
    let line = "compare model packed.plm --data text --no-speed";
    let table = print(&here, line, &[]);
    assert_eq!(table, print(&here, line, &[]));
    let names = |table: &str| -> Vec<String> {
        let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.map(|row| row.split('|').nth(1).unwrap().trim().to_owned()).collect()
    };
    assert_eq!(names(&table), ["model", "packed.plm"]);
    assert!(table.contains("* on the frontier"), "{table}");
    let sorted = print(&here, &format!("{line} --sort bytes"), &[]);
    assert_eq!(names(&sorted), ["packed.plm", "model"]);
    let csv = print(&here, &format!("{line} --csv --sort bytes --split valid"), &[]);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("model,split,bytes,"), "{csv}");
    assert!(lines[1].starts_with("packed.plm,valid,") && lines[1].ends_with(",,true"), "{csv}");
    let cells = |line: &str| line.split(',').count();
    assert!(lines.len() == 3 && lines.iter().all(|line| cells(line) == cells(lines[0])), "{csv}");
}

#[test]
fn recipes_are_models_too() {
    let here = place("compare-recipes");
    let line = "compare model int4.toml tuned.toml --base model --data text --no-speed";
    let compared = json(&here, &format!("{line} --plot sizes.svg"), &[]);
    let rows = compared["results"].as_array().unwrap();
    let bytes: Vec<u64> = rows.iter().map(|row| row["bytes"].as_u64().unwrap()).collect();
    assert!(bytes[1] < bytes[0] && bytes[2] != bytes[0], "{bytes:?}");
    assert!(!here.join("model.compare").exists());
    // What somebody else keeps in that folder stays.
    fs::create_dir(here.join("model.compare")).unwrap();
    fs::write(here.join("model.compare/mine.txt"), "mine").unwrap();
    assert_eq!(json(&here, line, &[])["results"], compared["results"]);
    assert_eq!(fs::read_dir(here.join("model.compare")).unwrap().count(), 1);
    // The same as by hand.
    print(&here, "compress model --recipe tuned.toml --data text -o tuned.plm", &[]);
    let by_hand = json(&here, "eval tuned.plm --data text", &[]);
    assert_eq!(rows[2]["perplexity"], by_hand["perplexity"]);
    let svg = fs::read_to_string(here.join("sizes.svg")).unwrap();
    let elements = elements(&svg);
    let circles = elements.iter().filter(|name| *name == "circle").count();
    assert_eq!(circles, 3);
    assert!(svg.contains("tuned.toml") && svg.contains("perplexity (test)"), "{svg}");
    // What is kept is not trained again.
    json(&here, &format!("{line} --work kept"), &[]);
    assert!(here.join("kept/3/step-2/model.safetensors").is_file());
    json(&here, &format!("{line} --work kept"), &[]);
}

#[test]
fn models_of_characters_stand_beside_models_of_words() {
    let here = place("compare-units");
    print(&here, &format!("train --data text --unit char --out char {SMALL}"), &[]);
    let output = command(&here, "compare char model --data text --no-speed --json", &[]).output();
    let output = output.unwrap();
    let compared: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(compared["frontier_by"], "bits_per_byte");
    assert!(stderr(&output).contains("compare bits/byte"), "{}", stderr(&output));
}

#[test]
fn everything_is_checked_before_any_model_is_measured() {
    let here = place("compare-refused");
    fs::write(here.join("bad.toml"), "[[step]]\nmethod = \"prun\"\n").unwrap();
    let wide = RECIPES[1].1.replace("rank = 2", "rank = 2000");
    fs::write(here.join("wide.toml"), wide).unwrap();
    splits(&here, "other", "words that nobody knows\n");
    let closed = shared().join("closed-model");
    let closed = closed.display();
    for (line, status, part) in [
        ("model mdel --data text", 1, "mdel: no such file or folder: did you mean model?"),
        ("model --data txt", 1, "txt: no such file or folder"),
        (
            "model int4.toml --data text",
            2,
            "int4.toml: a recipe needs a model to compress: add --base",
        ),
        ("model --base model --data text", 2, "leave it out"),
        ("model bad.toml --base model --data text", 2, "bad.toml:2: no method is called \"prun\""),
        (
            "wide.toml --base model --data text",
            2,
            "wide.toml: step 1 (low-rank): softmax: rank is 2000",
        ),
        ("int4.toml --base packed.plm --data text", 1, "packed.plm is a file"),
        ("model --data text --no-speed --sort speed", 2, "leave out --no-speed"),
        (
            "model --data text --plot sizes.pdf",
            2,
            "plots are written as SVG: give --plot sizes.svg",
        ),
        ("model --data text --plot sizes.png", 2, "rsvg-convert sizes.svg -o sizes.png"),
        ("model --data text --plot nowhere/a.svg", 1, "there is no folder nowhere"),
        ("model --data text --json --csv", 2, "cannot be used with"),
        ("model/vocab.txt --data text", 1, "model/vocab.txt cannot be measured on text"),
    ] {
        refused(&here, &format!("compare {line}"), status, part);
        assert!(!here.join("sizes.svg").exists(), "{line}");
    }
    // The first is well, so nothing of it may be measured before the second is found out.
    let line = format!("compare model {closed} --data other --no-speed");
    let output = command(&here, &line, &[]).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("closed-model cannot be measured on other"), "{said}");
    assert!(said.contains("line 1") && !said.contains("measuring"), "{said}");
    fs::write(here.join("sizes.svg"), "precious").unwrap();
    refused(
        &here,
        "compare model --data text --plot sizes.svg",
        1,
        "sizes.svg exists: give --force",
    );
    fs::copy(here.join("packed.plm"), here.join("model.svg")).unwrap();
    let itself = "compare model.svg --data text --force --plot model.svg";
    refused(&here, itself, 1, "model.svg: is read by this command");
    let forced = "compare model --data text --no-speed --force --plot sizes.svg";
    print(&here, forced, &[]);
    elements(&fs::read_to_string(here.join("sizes.svg")).unwrap());
}

#[test]
fn a_training_draws_its_curve() {
    let here = place("train-plot");
    let line = format!("train --data text --out runs {SMALL} --plot runs/curve.svg");
    print(&here, &line, &[]);
    let elements = elements(&fs::read_to_string(here.join("runs/curve.svg")).unwrap());
    let circles = elements.iter().filter(|name| *name == "circle").count();
    assert_eq!(circles, 2, "one for each epoch");
    print(&here, &format!("{line} --epochs 3 --resume").replace("--epochs 2 ", ""), &[]);
    refused(&here, &line.replace("--out runs", "--out other"), 1, "runs/curve.svg exists");
    let other = line.replace("curve.svg", "curve.png");
    refused(&here, &other, 2, "rsvg-convert runs/curve.svg -o runs/curve.png");
}

#[test]
fn a_plan_ranks_by_what_is_saved_for_what_is_lost() {
    let here = place("plan");
    let plan = json(&here, "compress model --plan --all", &[]);
    let choices = plan["choices"].as_array().unwrap();
    assert_eq!(plan["unmeasured"], 0);
    let find = |option: &str| {
        let own = |choice: &&serde_json::Value| {
            choice["matrix"] == "softmax" && choice["option"] == option
        };
        choices.iter().find(own).unwrap()
    };
    assert_eq!(find("quantise int8")["saved"], 0);
    assert_eq!(find("quantise f32")["relative_error"], 0.0);
    let (four, two) = (find("quantise int4"), find("quantise int2"));
    assert!(four["relative_error"].as_f64() < two["relative_error"].as_f64());
    for part in ["learned-scales", "block-circulant"] {
        let is_own =
            |choice: &serde_json::Value| choice["option"].as_str().unwrap().starts_with(part);
        assert!(choices.iter().any(is_own), "{part}");
    }
    let gains = choices.iter().take_while(|choice| choice["saved"].as_i64().unwrap() > 0);
    let gains: Vec<f64> = gains.map(|choice| choice["gain"].as_f64().unwrap()).collect();
    assert!(!gains.is_empty() && gains.is_sorted_by(|a, b| a >= b), "{gains:?}");
    let table = print(&here, "compress model --plan", &[]);
    assert!(table.starts_with("saved: bytes less than"), "{table}");
    assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count(), 21);
    let fast = json(&here, "compress model --plan --fast", &[]);
    assert_eq!(fast["choices"].as_array().unwrap().len(), 20);
    let saved = |at: usize| fast["choices"][at]["saved"].as_i64();
    assert!(fast["choices"][0]["relative_error"].is_null() && saved(0) >= saved(19));
}
