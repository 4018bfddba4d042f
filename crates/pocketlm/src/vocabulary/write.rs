//! Front-coding the words.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;

use super::{BLOCK, MAX_WORD};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::spec::Unit;

/// The indices of `words` in the byte order of the words: the order of the ids in a packed model.
pub fn sorted_order<W: AsRef<[u8]>>(words: &[W]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..words.len() as u32).collect();
    order.sort_by(|&a, &b| words[a as usize].as_ref().cmp(words[b as usize].as_ref()));
    order
}

/// Refuses sorted words that no vocabulary can hold.
pub(crate) fn check<W: AsRef<[u8]>>(words: &[W], unit: Unit) -> Result<()> {
    let fault = |problem: String| Err(Error::metadata("vocabulary", problem));
    if !(1..=1 << 24).contains(&words.len()) {
        return fault(format!("has {} words; 1 to 16777216 can be packed", words.len()));
    }
    let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
    if words[0].is_empty() {
        return fault("has an empty word".into());
    }
    if let Some(word) = words.iter().find(|word| word.len() > MAX_WORD) {
        let start: String = String::from_utf8_lossy(word).chars().take(20).collect();
        return fault(format!("has a word of more than {MAX_WORD} bytes, \"{start}…\""));
    }
    let is_text = |word: &&&[u8]| core::str::from_utf8(word).is_ok();
    if let Some(word) = words.iter().find(|word| unit != Unit::Subword && !is_text(word)) {
        return fault(format!("has \"{}\", which is no UTF-8", String::from_utf8_lossy(word)));
    }
    match words.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => fault(format!("has the word \"{}\" twice", String::from_utf8_lossy(pair[0]))),
        None => Ok(()),
    }
}

/// The arrays of sorted words.
pub(crate) fn encode<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Leaf>> {
    let mut text = Vec::new();
    let mut blocks = Vec::new();
    let mut before: &[u8] = &[];
    for (id, word) in words.iter().enumerate() {
        let word = word.as_ref();
        if id % BLOCK == 0 {
            before = &[];
            let at = u32::try_from(text.len());
            blocks.push(at.map_err(|_| Error::metadata("vocabulary", "takes more than 4 GiB"))?);
        }
        let shared = before.iter().zip(word).take_while(|(a, b)| a == b).count();
        entry(&mut text, shared, &word[shared..]);
        before = word;
    }
    let shape = [text.len()];
    let text = Leaf::new("vocabulary.text", Dtype::U8, &shape, text);
    let offsets = bytes::of_u32(&blocks).to_vec();
    Ok(vec![text, Leaf::new("vocabulary.blocks", Dtype::U32, &[blocks.len()], offsets)])
}

/// A bit for each word, set for `names`; none where there are no names.
pub(crate) fn names<W: AsRef<[u8]>, N: AsRef<str>>(
    words: &[W],
    names: &[N],
) -> Result<Option<Leaf>> {
    let mut bits = vec![0u8; words.len().div_ceil(8)];
    for name in names.iter().map(AsRef::as_ref) {
        let id = words.binary_search_by(|word| word.as_ref().cmp(name.as_bytes()));
        let id = id.map_err(|_| Error::metadata("vocabulary", format!("has no {name}")))?;
        bits[id / 8] |= 1 << (id % 8);
    }
    let shape = [bits.len()];
    Ok((!names.is_empty()).then(|| Leaf::new("vocabulary.names", Dtype::U8, &shape, bits)))
}

/// Two lengths in a byte, those from 15 on with the rest after it; then the bytes.
fn entry(text: &mut Vec<u8>, shared: usize, suffix: &[u8]) {
    text.push((nibble(shared) << 4) | nibble(suffix.len()));
    rest(text, shared);
    rest(text, suffix.len());
    text.extend_from_slice(suffix);
}

fn nibble(length: usize) -> u8 {
    length.min(15) as u8
}

fn rest(text: &mut Vec<u8>, length: usize) {
    let Some(rest) = length.checked_sub(15) else { return };
    if rest < 128 {
        text.push(rest as u8);
    } else {
        text.extend_from_slice(&[(rest & 127) as u8 | 128, (rest >> 7) as u8]);
    }
}
