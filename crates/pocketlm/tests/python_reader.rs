//! The reader in `tests/oracle/read_plm.py`, written from `docs/format.md`, rebuilds every weight, and but for
//! unitary matrices to the bit.
//!
//! Takes the interpreter that `POCKETLM_PYTHON` names, else `python3`; without numpy it says that it skips.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Forms, Parts, configurations};
use pocketlm::Model;
use pocketlm::pack::{Notes, Precision, entropy_coded, write_file};
use pocketlm::subword::Rules;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An interpreter that has numpy.
fn python() -> Option<String> {
    let name = std::env::var("POCKETLM_PYTHON").unwrap_or("python3".into());
    let runs = Command::new(&name).args(["-c", "import numpy"]).output();
    runs.is_ok_and(|output| output.status.success()).then_some(name)
}

fn floats(path: &Path) -> Vec<u32> {
    let bytes = std::fs::read(path).unwrap();
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|number| u32::from_le_bytes(*number)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Compares everything that the Python reader wrote into `folder` with the model.
fn compare(model: &Model, folder: &Path) {
    for matrix in model.matrices() {
        let found = floats(&folder.join(format!("{}.f32", matrix.name)));
        if matrix.structure == "vector" {
            assert_eq!(found, bits(model.bias(&matrix.name).unwrap()), "{}", matrix.name);
            continue;
        }
        assert_eq!(found.len(), matrix.rows * matrix.columns);
        let mut row = vec![0.0; matrix.columns];
        for (index, found) in found.chunks_exact(matrix.columns).enumerate() {
            model.row(&matrix.name, index, &mut row).unwrap();
            if matrix.structure == "unitary" {
                // Sines and cosines differ in the last places.
                let pairs = found.iter().map(|&bits| f32::from_bits(bits)).zip(&row);
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 2e-6), "{}", matrix.name);
                continue;
            }
            assert_eq!(found, bits(&row), "{} row {index}", matrix.name);
        }
    }
    if let Some(table) = model.ngrams() {
        for (n, order) in (1..).zip(&table.orders) {
            assert_eq!(floats(&folder.join(format!("{n}.words"))), order.words);
            let numbers = floats(&folder.join(format!("{n}.probabilities")));
            assert_eq!(numbers, bits(&order.probabilities));
            if n < table.orders.len() {
                assert_eq!(floats(&folder.join(format!("{n}.backoffs"))), bits(&order.backoffs));
            }
        }
    }
    let words = std::fs::read_to_string(folder.join("words.txt")).unwrap();
    assert!(words.split('\n').map(String::from).eq(model.vocabulary().words()));
}

#[test]
fn the_python_reader_rebuilds_every_weight() {
    let Some(python) = python() else {
        println!("SKIPPED: no python3 with numpy; set POCKETLM_PYTHON to one");
        return;
    };
    let folder = std::env::temp_dir().join(format!("pocketlm-python-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (seed, mut configuration) in configurations().into_iter().step_by(5).enumerate() {
        // Wider than one group of int4, and no multiple of any block.
        common::widen(&mut configuration, 139);
        let mut parts = Parts::random(configuration, 77, 0.5, seed as u64);
        parts.words[5] = "long".repeat(700);
        parts.words[6] = "long".repeat(701) + "er";
        for precision in Precision::ALL {
            let bytes = parts.bytes(precision);
            if seed == 0 {
                check(&python, entropy_coded(&bytes).unwrap(), &folder);
            }
            check(&python, bytes, &folder);
        }
    }
    for forms in Forms::all() {
        check(&python, forms.bytes(), &folder);
    }
    for (order, levels) in [(1, 0), (3, 20), (6, 0)] {
        let table = common::ngram::table(order, 150, levels, 1);
        check(&python, table.pack(&Notes::default()).unwrap(), &folder);
    }
    let recurrent = common::tiny(Precision::Int4);
    let ngram = common::ngram::model(&common::ngram::table(3, 40, 20, 1));
    let parts = [(0.75, &recurrent), (0.25, &ngram)];
    let bytes = pocketlm::pack::mixture(&parts, &Notes::default()).unwrap();
    run(&python, &bytes, &folder);
    let mixture = Model::from_bytes(bytes).unwrap();
    let words = std::fs::read_to_string(folder.join("words.txt")).unwrap();
    for (part, at) in mixture.parts().iter().zip(["0", "1"]) {
        std::fs::write(folder.join(at).join("words.txt"), &words).unwrap();
        compare(&part.model, &folder.join(at));
    }
    for bytes in [common::subword::subwords(1), common::subword::unigram(1)] {
        run(&python, &bytes, &folder);
        let read = std::fs::read_to_string(folder.join("subwords.txt")).unwrap();
        assert_eq!(
            read.split('\n').collect::<Vec<_>>(),
            subwords(&Model::from_bytes(bytes).unwrap())
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What the Python reader says of a tokenizer.
fn subwords(model: &Model) -> Vec<String> {
    let tokenizer = model.vocabulary().tokenizer().unwrap();
    let hex =
        |id: u32| tokenizer.piece(id).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let control = tokenizer.control().iter().map(|id| format!("control {id}"));
    let rest: Vec<String> = match tokenizer.rules() {
        Rules::ByteLevel { merges, .. } => merges
            .iter()
            .map(|&[left, right]| format!("merge {}|{}", hex(left), hex(right)))
            .collect(),
        Rules::Bpe(own) | Rules::Unigram(own) => {
            let flags = [own.byte_fallback, own.prefix_space, own.single_spaces].map(u8::from);
            let mut lines: Vec<String> = own.user.iter().map(|id| format!("user {id}")).collect();
            lines.push(format!("flags {} {} {}", flags[0], flags[1], flags[2]));
            lines.push(format!("charsmap {:08x}", crc32(&own.charsmap)));
            lines.extend(own.scores.iter().map(|score| format!("score {:08x}", score.to_bits())));
            lines
        }
    };
    control.chain(rest).collect()
}

/// The checksum of section 9, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), bit))
}

/// Lets the Python reader read `bytes` into `folder`, and compares.
fn check(python: &str, bytes: Vec<u8>, folder: &Path) {
    run(python, &bytes, folder);
    compare(&Model::from_bytes(bytes).unwrap(), folder);
}

fn run(python: &str, bytes: &[u8], folder: &Path) {
    let path = folder.join("model.plm");
    write_file(&path, bytes).unwrap();
    let script = root().join("tests/oracle/read_plm.py");
    let run = Command::new(python).arg(script).arg(&path).arg(folder).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
