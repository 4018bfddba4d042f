//! Models from elsewhere and for elsewhere, by the command line.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{command, folder, json, print, stderr};

/// A folder with the fixtures of `tests/oracle/import_export.py`.
fn place(name: &str) -> PathBuf {
    let here = folder(name);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/fixtures/import");
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), here.join(entry.file_name())).unwrap();
    }
    here
}

fn fails(here: &Path, line: &str, code: i32, parts: &[&str]) {
    let output = command(here, line, &[]).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{line}: {message}");
    for part in parts {
        assert!(message.contains(part), "{line}: no {part:?} in {message:?}");
    }
}

/// The perplexity of the fixtures' text.
fn perplexity(here: &Path, model: &str) -> f64 {
    json(here, &format!("eval {model} --data text.txt"), &[])["perplexity"].as_f64().unwrap()
}

#[test]
fn imported_models_have_their_perplexity() {
    let here = place("imported");
    let all: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(here.join("expected.json")).unwrap()).unwrap();
    for (name, expected) in all.as_object().unwrap() {
        let words = if name.starts_with("icefall") { "tokens.txt" } else { "vocab.txt" };
        let line = format!("import {name}.safetensors --vocab {words} -o {name}");
        let report = json(&here, &line, &[]);
        assert_eq!(report["layout"], expected["layout"], "{name}");
        let wanted = expected["perplexity"].as_f64().unwrap();
        let got = perplexity(&here, name);
        assert!((got / wanted - 1.0).abs() < 1e-4, "{name}: {got} {wanted}");
    }
}

#[test]
fn an_imported_model_is_used_as_any_other() {
    let here = place("imported-use");
    let said = print(&here, "import awd_trained.safetensors --vocab vocab.txt -o awd", &[]);
    assert!(
        said.starts_with("awd: lstm, layers of 16, 10, embedding 10, tied, 29 words"),
        "{said}"
    );
    assert!(
        said.contains("read         rnns.0.module.weight_hh_l0_raw [64, 16]: weight_hh of layer 0"),
        "{said}"
    );
    assert!(
        said.contains("passed over  decoder.weight [29, 10]: equal to the embedding: tied"),
        "{said}"
    );
    print(&here, "pack awd -o awd.plm --precision int4", &[]);
    let (whole, packed) = (perplexity(&here, "awd"), perplexity(&here, "awd.plm"));
    assert!((packed / whole - 1.0).abs() < 0.15, "{whole} {packed}");
    let inspected = json(&here, "inspect awd.plm", &[]);
    assert!(!inspected.to_string().contains("sha256:\""), "no hash of a text that nobody has seen");
    let found = json(&here, "suggest -m awd w5 -k 3", &[]);
    assert_eq!(found["suggestions"].as_array().unwrap().len(), 3);
}

#[test]
fn what_cannot_be_imported() {
    let here = place("import-bad");
    let line = "import lstm.safetensors --vocab vocab.txt -o new";
    fails(
        &here,
        &format!("{line} --layout keras"),
        2,
        &["auto, pytorch, awd, icefall, huggingface, arpa"],
    );
    fails(&here, &format!("{line} --bits 4"), 2, &["--bits is for ARPA files"]);
    fails(&here, &format!("{line} --cell urnn"), 2, &["lstm, gru or cifg"]);
    fails(&here, &format!("{line} --unit bpe"), 2, &["tokenizer"]);
    fails(&here, "import lstm.safetensors -o new", 1, &["--vocab FILE"]);
    fails(
        &here,
        "import none.safetensors --vocab vocab.txt -o new",
        1,
        &["none.safetensors: no such file"],
    );
    fails(&here, "import lstm.safetensors --vocab none.txt -o new", 1, &["none.txt"]);
    fails(&here, "import text.txt --cell gru -o new", 2, &["--cell is for recurrent models"]);
    fs::write(here.join("short.txt"), "<eos>\nw2\n").unwrap();
    fails(
        &here,
        "import lstm.safetensors --vocab short.txt -o new",
        1,
        &["short.txt: has 2 words", "29 rows"],
    );
    fs::write(here.join("model.pt"), b"PK\x03\x04").unwrap();
    fails(
        &here,
        "import model.pt --vocab vocab.txt -o new",
        1,
        &["pickled by PyTorch", "save_file"],
    );
    let bytes = fs::read(here.join("lstm.safetensors")).unwrap();
    fs::write(here.join("cut.safetensors"), &bytes[..bytes.len() - 9]).unwrap();
    fails(
        &here,
        "import cut.safetensors --vocab vocab.txt -o new",
        1,
        &["cut.safetensors: is cut"],
    );
    assert!(!here.join("new").exists(), "nothing is left behind");
}

#[test]
fn folders_are_replaced_only_where_that_is_asked_for() {
    let here = place("import-folder");
    let line = "import lstm.safetensors --vocab vocab.txt";
    fs::create_dir(here.join("empty")).unwrap();
    print(&here, &format!("{line} -o empty"), &[]);
    fails(&here, &format!("{line} -o empty"), 1, &["empty exists", "--force"]);
    print(&here, &format!("{line} -o empty --force"), &[]);
    fs::create_dir(here.join("mine")).unwrap();
    fs::write(here.join("mine/letter.txt"), "dear").unwrap();
    fails(&here, &format!("{line} -o mine --force"), 1, &["mine: holds no model"]);
    fails(&here, &format!("{line} -o text.txt --force"), 1, &["text.txt: is a file"]);
    fails(&here, &format!("{line} -o . --force"), 1, &["is read by this command"]);
    fails(&here, &format!("{line} -o no/where"), 1, &["no folder no"]);
    fails(&here, &format!("{line} -o -"), 1, &["a folder is written"]);
    assert_eq!(fs::read_to_string(here.join("mine/letter.txt")).unwrap(), "dear");
}

/// What leaves as a folder of safetensors comes back to the bit, whatever the cells are.
#[test]
fn folders_come_back_to_the_bit() {
    let here = place("exported-folder");
    fs::create_dir(here.join("data")).unwrap();
    for split in ["train.txt", "valid.txt", "test.txt"] {
        fs::copy(here.join("text.txt"), here.join("data").join(split)).unwrap();
    }
    let shapes = [
        "--set model.hidden=[9,7]",
        "--set model.hidden=[9,7] --set model.cell=gru",
        "--set model.hidden=[9] --set model.cell=cifg",
        "--set model.hidden=[9,7] --set model.cell=cifg --set model.cell_projection=8 --set model.tied=true",
        "--set model.hidden=[9] --set model.projection=8 --set model.tied=true",
        "--set model.hidden=[9] --set model.layer_norm=true --set model.mogrifier=3",
        "--set model.hidden=[9] --set model.layer_norm=true --set model.cell=gru",
    ];
    for (k, shape) in shapes.iter().enumerate() {
        let common = "--data data --set model.embedding=8 --set batch=2 --set steps=10 --epochs 1";
        print(&here, &format!("train {common} {shape} --out own{k}"), &[]);
        print(&here, &format!("export own{k} -o hub{k}"), &[]);
        print(&here, &format!("import hub{k} -o back{k}"), &[]);
        let read = |folder: &str| fs::read(here.join(folder).join("model.safetensors")).unwrap();
        assert!(read(&format!("own{k}")) == read(&format!("back{k}")), "{shape}");
        print(&here, &format!("import hub{k} --vocab own{k}/vocab.txt -o again{k}"), &[]);
        assert!(read(&format!("own{k}")) == read(&format!("again{k}")), "{shape}");
        for file in ["config.json", "tokenizer.json", "vocab.txt"] {
            assert!(here.join(format!("hub{k}")).join(file).exists(), "{file}");
        }
    }
    // The words in another order are those of another model.
    let list = fs::read_to_string(here.join("hub0/vocab.txt")).unwrap();
    let mut list: Vec<_> = list.lines().collect();
    list.swap(3, 4);
    fs::write(here.join("hub0/vocab.txt"), list.join("\n") + "\n").unwrap();
    fails(&here, "import hub0 -o new", 1, &["other words than the model, or in another order"]);
    let config = fs::read_to_string(here.join("hub1/config.json")).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&config).unwrap();
    other["hidden_sizes"] = serde_json::json!([9]);
    fs::write(here.join("hub1/config.json"), other.to_string()).unwrap();
    fails(&here, "import hub1 -o new", 1, &["layers of [9, 7]", "config.json says [9]"]);
    fails(&here, "import own0 -o new", 1, &["a checkpoint of pocketlm already"]);
    assert!(!here.join("new").exists());
}

/// The numbers of a file, as they are written in it.
fn holds(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn onnx_files_say_what_they_are() {
    let here = place("exported-onnx");
    print(&here, "import icefall_trained.safetensors --vocab tokens.txt -o lm", &[]);
    print(&here, "pack lm -o lm.plm --precision int4", &[]);
    let mut sizes = Vec::new();
    for (k, precision) in ["f32", "int8"].iter().enumerate() {
        for contract in ["step", "icefall-offline", "icefall-online"] {
            let name = format!("{contract}-{precision}.onnx");
            let line = format!(
                "export lm -o {name} --contract {contract} --precision {precision} --vocab w{k} --force"
            );
            let report = json(&here, &line, &[]);
            let file = fs::read(here.join(&name)).unwrap();
            assert_eq!(report["bytes"], file.len());
            assert_eq!(report["contract"], contract);
            assert!(
                holds(&file, "eos_id")
                    && holds(&file, "vocab_sha256")
                    && holds(&file, "LogSoftmax")
            );
            assert_eq!(holds(&file, "DynamicQuantizeLSTM"), k == 1);
            assert_eq!(holds(&file, "sos_id"), contract != "step");
            sizes.push(file.len());
        }
        assert_eq!(
            fs::read(here.join(format!("w{k}"))).unwrap(),
            fs::read(here.join("lm/vocab.txt")).unwrap()
        );
    }
    assert!(sizes[3] < sizes[0] && sizes[4] < sizes[1], "{sizes:?}");
    // The weights of a packed file come back as its precision has left them, with its own order of words.
    print(&here, "pack lm -o whole.plm --precision f32", &[]);
    print(&here, "export whole.plm -o hub", &[]);
    print(&here, "import hub -o back", &[]);
    let (whole, back) = (perplexity(&here, "lm"), perplexity(&here, "back"));
    assert!((whole / back - 1.0).abs() < 1e-6, "{whole} {back}");
    let said = print(&here, "export lm.plm -o packed.onnx", &[]);
    assert!(said.contains("bytes, step: a token and states in"), "{said}");
}

#[test]
fn what_cannot_be_exported() {
    let here = place("export-bad");
    print(&here, "import lstm.safetensors --vocab vocab.txt -o lm", &[]);
    fails(
        &here,
        "export lm -o x.onnx --contract kaldi",
        2,
        &["step, icefall-offline, icefall-online"],
    );
    fails(&here, "export lm -o x.onnx --precision int4", 2, &["f32 or int8"]);
    fails(&here, "export lm -o hub --contract step", 2, &["--contract is for ONNX files"]);
    fails(&here, "export lm -o x.arpa", 1, &["no n-gram model"]);
    fails(&here, "export none -o x.onnx", 1, &["none: no such file"]);
    fails(&here, "export lm -o x.onnx --vocab x.onnx", 1, &["named for two outputs"]);
    fails(&here, "export lm -o lm --force", 1, &["is read by this command"]);
    fs::write(here.join("mine.onnx"), "mine").unwrap();
    fails(&here, "export lm -o mine.onnx", 1, &["mine.onnx exists"]);
    assert_eq!(fs::read_to_string(here.join("mine.onnx")).unwrap(), "mine");
    fails(&here, "export text.txt -o x.onnx", 1, &["text.txt"]);
    assert!(!here.join("x.onnx").exists() && !here.join("hub").exists(), "nothing is left behind");
}
