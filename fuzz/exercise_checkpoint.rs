//! What is done with every input that stands for a checkpoint's folder: by the fuzzer, and by the ordinary tests with
//! the seeds.

use std::path::Path;

use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::pack::pack_in_memory;

/// The files of a checkpoint in the order in which an input has them.
const FILES: [&str; 4] = ["config.json", "vocab.txt", "tokenizer.json", "model.safetensors"];

/// Most bytes of an input: what takes a moment to load and to pack.
const MOST: usize = 1 << 16;

/// One input: each file as the length of its bytes (u32, little-endian) and these.
#[allow(dead_code, reason = "only the tests make seeds")]
pub fn joined(files: &[Vec<u8>; 4]) -> Vec<u8> {
    let piece = |file: &Vec<u8>| [&(file.len() as u32).to_le_bytes(), &file[..]].concat();
    files.iter().flat_map(piece).collect()
}

/// Writes the files of an input, as far as it goes, and leaves the others out.
fn unpack(mut bytes: &[u8], folder: &Path) {
    for name in FILES {
        let path = folder.join(name);
        let _ = std::fs::remove_file(&path);
        let Some((length, rest)) = bytes.split_at_checked(4) else { return };
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let (file, rest) = rest.split_at(length.min(rest.len()));
        std::fs::write(&path, file).expect("a folder of our own");
        bytes = rest;
    }
}

/// Loads the input as a checkpoint in `folder` and, if it loads, packs it and reads text with it. Returns whether it
/// loaded.
pub fn exercise(bytes: &[u8], folder: &Path) -> bool {
    if bytes.len() > MOST {
        return false;
    }
    unpack(bytes, folder);
    let Ok(checkpoint) = Checkpoint::load(folder) else { return false };
    let _ = checkpoint.encoder.encode("the cat\nsat on n\u{f6}thing");
    let _ = checkpoint.encoder.decode(&[0, 1, u32::MAX]);
    if let Ok(packed) = pack_in_memory(&checkpoint) {
        let _ = pocketlm::Model::from_bytes(packed);
    }
    true
}
