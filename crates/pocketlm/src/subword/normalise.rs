//! SentencePiece's normalisation of text (its `normalizer.cc`): rules that replace stretches of text, and white space.

use alloc::vec::Vec;

use crate::error::{Error, Result};

/// U+2581, which SentencePiece writes for a space; here it is one.
const LOWER_BLOCK: &[u8] = "\u{2581}".as_bytes();

/// A compiled table of rules: a double array (Darts-clone, as SentencePiece stores it) from what is replaced to places in
/// `texts`, where what replaces it ends in a zero byte.
#[derive(Debug, Clone, Default)]
struct Rules {
    units: Vec<u32>,
    texts: Vec<u8>,
}

/// The normalisation of one tokenizer.
#[derive(Debug, Clone)]
pub(super) struct Normaliser {
    rules: Rules,
    prefix_space: bool,
    single_spaces: bool,
}

impl Normaliser {
    /// `charsmap` is SentencePiece's `precompiled_charsmap`; empty where text stays as it is.
    ///
    /// # Errors
    /// [`Error::Subwords`] if it is cut off.
    pub(super) fn new(charsmap: &[u8], prefix_space: bool, single_spaces: bool) -> Result<Self> {
        let rules = if charsmap.is_empty() { Some(Rules::default()) } else { Rules::new(charsmap) };
        let rules =
            rules.ok_or_else(|| Error::subwords("its table of normalisation is cut off"))?;
        Ok(Self { rules, prefix_space, single_spaces })
    }

    /// Appends the normalised text of a line. `symbol` gives the length of what stays as it is at the beginning of a
    /// text, if something does.
    pub(super) fn push(&self, line: &str, symbol: impl Fn(&[u8]) -> usize, out: &mut Vec<u8>) {
        let mut rest = line;
        let mut next = || {
            let (text, length) = match symbol(rest.as_bytes()) {
                0 => self.rules.first(rest)?,
                length => (&rest.as_bytes()[..length], length),
            };
            rest = &rest[length..];
            Some(text)
        };
        let mut after_space = self.single_spaces;
        let mut is_first = true;
        while let Some(mut text) = next() {
            if is_first && self.single_spaces && text == b" " {
                continue;
            }
            if is_first && self.prefix_space {
                out.push(b' ');
            }
            is_first = false;
            while after_space && text.first() == Some(&b' ') {
                text = &text[1..];
            }
            if let Some(last) = text.last() {
                after_space = *last == b' ';
            }
            after_space &= self.single_spaces;
            push_unescaped(text, out);
        }
        while self.single_spaces && out.last() == Some(&b' ') {
            out.pop();
        }
    }
}

/// Appends a text with a space for each U+2581.
fn push_unescaped(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(&byte) = text.first() {
        match text.strip_prefix(LOWER_BLOCK) {
            Some(after) => {
                out.push(b' ');
                text = after;
            }
            None => {
                out.push(byte);
                text = &text[1..];
            }
        }
    }
}

impl Rules {
    fn new(charsmap: &[u8]) -> Option<Self> {
        let (size, rest) = charsmap.split_first_chunk::<4>()?;
        let (units, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let (units, odd) = units.as_chunks::<4>();
        let units = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        odd.is_empty().then(|| Self { units, texts: texts.to_vec() })
    }

    /// What the beginning of a text becomes by the longest rule, or else its first character, and how many bytes of
    /// the text that is.
    fn first<'t>(&'t self, text: &'t str) -> Option<(&'t [u8], usize)> {
        let char = text.chars().next()?.len_utf8();
        match self.longest(text.as_bytes()).filter(|&(_, length)| text.is_char_boundary(length)) {
            Some((at, length)) => {
                let texts = self.texts.get(at..).unwrap_or_default();
                let end = texts.iter().position(|&byte| byte == 0).unwrap_or(texts.len());
                Some((&texts[..end], length))
            }
            None => Some((&text.as_bytes()[..char], char)),
        }
    }

    /// The place of the text of the longest rule, and the length of what it replaces.
    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut at = offset(*self.units.first()?);
        let mut longest = None;
        for (length, &byte) in (1..).zip(text) {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at) else { break };
            // The label of a unit, with the bit that only values have.
            if unit & (1 << 31 | 0xff) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            if unit >> 8 & 1 == 1
                && let Some(&value) = self.units.get(at)
            {
                longest = Some(((value & 0x7fff_ffff) as usize, length));
            }
        }
        longest
    }
}
