//! Integer models give the same bits on every machine and with every version of the kernels.
//!
//! The expected numbers were computed once, on x86-64; a machine or a version that differs in any bit of a score
//! or in any suggestion fails here. One test only: the choice of the kernels is the process's.

mod common;
#[path = "portable/fingerprint.rs"]
mod fingerprint;

use std::path::Path;

use common::{Parts, configurations};
use pocketlm::pack::Precision;
use pocketlm::{Configuration, Model};
use pocketlm_kernels::backend::{Backend, force};

/// Where the packed models are left for other machines to read, if anywhere.
const FOLDER: &str = "POCKETLM_PORTABLE";

/// Packed models of every cell, with and without projections.
fn files(precision: Precision) -> Vec<Vec<u8>> {
    let configurations = configurations().into_iter().step_by(3).enumerate();
    let model = |(seed, mut configuration): (usize, Configuration)| {
        // Wider than a group of int4 and than any register, and no multiple of any block.
        common::widen(&mut configuration, 77);
        Parts::random(configuration, 133, 0.6, seed as u64).bytes(precision)
    };
    configurations.map(model).collect()
}

fn fingerprint(files: &[Vec<u8>]) -> String {
    let add =
        |hash, file: &Vec<u8>| fingerprint::add(hash, &Model::from_bytes(file.clone()).unwrap());
    format!("{:016x}", files.iter().fold(fingerprint::EMPTY, add))
}

/// A folder with the models and the number that they give.
fn leave(folder: &Path, files: &[Vec<u8>], expected: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for (k, file) in files.iter().enumerate() {
        std::fs::write(folder.join(format!("{k:02}.plm")), file).unwrap();
    }
    std::fs::write(folder.join("expected"), expected).unwrap();
}

#[test]
fn integer_models_give_the_same_bits_everywhere() {
    let integers = Precision::ALL.into_iter().filter(|precision| precision.is_integer());
    let precisions: Vec<_> = integers.map(|precision| (precision, files(precision))).collect();
    if let Some(folder) = std::env::var_os(FOLDER) {
        for ((precision, files), expected) in precisions.iter().zip(EXPECTED) {
            leave(&Path::new(&folder).join(precision.name()), files, expected);
        }
    }
    for backend in Backend::available() {
        assert!(force(backend));
        let found: Vec<_> = precisions.iter().map(|(_, files)| fingerprint(files)).collect();
        assert_eq!(found, EXPECTED, "{}", backend.name());
    }
}

/// In the order of `Precision::ALL`.
const EXPECTED: [&str; 9] = [
    "b400b6fdcab3ea2f",
    "1b0358057acec764",
    "c32d7e449c5b64c3",
    "7c824e59c82a8254",
    "d27735375b4ffd3f",
    "6adadc79ca2daf85",
    "90a676159b77719a",
    "c0ec74a97280f668",
    "09ccad236339ba54",
];
