//! Models of raw text: completions with capitals, and the tokens of a score.

use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use pocketlm::pack::{Packer, Precision};
use pocketlm::{CellKind, Configuration, Unit};
use pocketlm_c::pocketlm_status::*;
use pocketlm_c::*;

const WORDS: [&str; 8] = ["<eos>", "<unk>", "<lower>", "the", "then", "Paris", "pan", "."];

/// A model of raw text whose weights are all alike.
fn bytes() -> Vec<u8> {
    let configuration = Configuration {
        cell: CellKind::Gru,
        embedding: 4,
        hidden: vec![8],
        cell_projection: 0,
        projection: 0,
        tied: false,
        unit: Unit::Raw,
        layer_norm: false,
        mogrifier: 0,
    };
    let mut packer = Packer::new(configuration.clone(), &WORDS, "<eos>", Some("<unk>")).unwrap();
    for matrix in configuration.matrices(WORDS.len()) {
        let weights: Vec<f32> =
            (0..matrix.rows * matrix.columns).map(|i| (i % 7) as f32 * 0.1).collect();
        packer.matrix(matrix.name, &weights, Precision::Int8).unwrap();
    }
    for bias in configuration.biases(WORDS.len()) {
        packer.bias(bias.name, &vec![0.1; bias.rows]).unwrap();
    }
    packer.finish().unwrap()
}

#[test]
fn raw_text_is_served() {
    let bytes = bytes();
    let (mut model, mut session) = (null_mut(), null_mut());
    let empty = pocketlm_suggestion { word: null(), length: 0, probability: 0.0, id: 0 };
    let (mut items, mut text) = ([empty; 3], [0 as c_char; 64]);
    let mut found = pocketlm_suggestions {
        items: items.as_mut_ptr(),
        capacity: 3,
        text: text.as_mut_ptr(),
        text_size: 64,
        count: 0,
        text_used: 0,
    };
    let mut limits = std::mem::MaybeUninit::uninit();
    // SAFETY: every handle is open, every text ends in NUL, and all room is as large as it is said to be.
    unsafe {
        let opened = pocketlm_open_copied(bytes.as_ptr().cast(), bytes.len(), &mut model);
        assert_eq!(opened, POCKETLM_OK);
        assert_eq!(pocketlm_model_limits(model, limits.as_mut_ptr()), POCKETLM_OK);
        assert!(limits.assume_init().is_raw);
        assert_eq!(pocketlm_session_new(model, &mut session), POCKETLM_OK);
        let mut complete = |text: &CStr| {
            let status = pocketlm_complete(session, text.as_ptr(), POCKETLM_NUL, &mut found);
            assert_eq!(status, POCKETLM_OK);
            let words = items[..found.count].iter().map(|item| CStr::from_ptr(item.word));
            let mut words: Vec<_> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
            words.sort();
            words
        };
        assert_eq!(complete(c"The pa"), ["Paris", "pan"]);
        assert_eq!(complete(c"The pan. Th"), ["The", "Then"]);
        let (mut score, mut tokens) = (std::mem::zeroed(), [std::mem::zeroed(); 8]);
        let mut count = tokens.len();
        let text = c"The pan.".as_ptr();
        let to = tokens.as_mut_ptr();
        let status = pocketlm_score(session, text, POCKETLM_NUL, &mut score, to, &mut count);
        assert_eq!((status, count, score.unknown), (POCKETLM_OK, 4, 0));
        let stretches: Vec<_> = tokens[..4].iter().map(|t| (t.start, t.length)).collect();
        assert_eq!(stretches, [(0, 3), (4, 3), (7, 1), (8, 0)]);
        assert_eq!(pocketlm_close(&mut model), POCKETLM_OK);
        assert_eq!(pocketlm_session_close(&mut session), POCKETLM_OK);
    }
}
