//! SentencePiece (Kudo and Richardson 2018): byte-pair encoding by scores (Sennrich et al. 2016) and the unigram model
//! (Kudo 2018, "Subword Regularization", section 3.2). Text is normalised first, with spaces as part of the pieces.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::merge::Symbols;
use super::normalise::Normaliser;
use super::pieces::Pieces;
use super::trie::Trie;
use super::{Algorithm, SentencePieceRules};
use crate::error::{Error, Result};

/// Stands for no piece.
const NONE: u32 = u32::MAX;
/// The id of a symbol that is never merged.
const FROZEN: u32 = NONE - 1;

/// What an unknown character costs beside the least likely piece (`kUnkPenalty` of SentencePiece).
const UNKNOWN_PENALTY: f32 = 10.0;

/// The score of a symbol of the user, for each byte after the first.
const USER_BONUS: f64 = 0.1;

#[derive(Debug, Clone)]
pub(super) struct SentencePiece {
    normaliser: Normaliser,
    /// The pieces of text.
    trie: Trie,
    /// Symbols of the user, which are never cut and never normalised.
    user: Vec<u32>,
    user_trie: Trie,
    method: Method,
    /// The pieces of single bytes, which spell what is unknown.
    bytes: Option<Vec<u32>>,
    unk: u32,
}

#[derive(Debug, Clone)]
enum Method {
    /// The rank of each piece by its score, the best first; whether spaces only begin pieces.
    Merges(Vec<u32>, bool),
    /// The scores of the pieces, and that of an unknown character.
    Unigram(Vec<f64>, f32),
}

impl SentencePiece {
    /// # Errors
    /// [`Error::Subwords`] if the rules do not fit the pieces.
    pub(super) fn new(
        pieces: &Pieces,
        is_text: impl Fn(u32) -> bool,
        unk: Option<u32>,
        algorithm: Algorithm,
        rules: &SentencePieceRules,
    ) -> Result<Self> {
        let unk = unk.ok_or_else(|| Error::subwords("it has no piece for what is unknown"))?;
        let types = pieces.len() as u32;
        if rules.scores.len() != pieces.len() || rules.scores.iter().any(|score| !score.is_finite())
        {
            return Err(Error::subwords("it does not have a finite score for each piece"));
        }
        if let Some(id) = (0..types).find(|&id| core::str::from_utf8(pieces.get(id)).is_err()) {
            return Err(Error::subwords(format!("its piece {id} is no UTF-8")));
        }
        let is_user = |id: &u32| rules.user.binary_search(id).is_ok();
        if !rules.user.is_sorted_by(|a, b| a < b)
            || !rules.user.iter().all(|&id| id < types && is_text(id))
        {
            return Err(Error::subwords(
                "its user-defined symbols are no ascending pieces of text",
            ));
        }
        let byte = |byte: u8| pieces.find(byte_piece(byte).as_bytes()).filter(|&id| is_text(id));
        let bytes: Option<Vec<u32>> = (0..=255).map(byte).collect();
        if rules.byte_fallback && bytes.is_none() {
            return Err(Error::subwords("one of the pieces <0x00> to <0xFF> is missing"));
        }
        let bytes = bytes.filter(|_| rules.byte_fallback);
        let is_byte = |id: &u32| bytes.as_ref().is_some_and(|bytes| bytes.contains(id));
        let text: Vec<u32> = (0..types).filter(|id| is_text(*id) && !is_byte(id)).collect();
        let normal = text.iter().filter(|id| !is_user(id)).map(|&id| rules.scores[id as usize]);
        let least = normal.fold(f32::MAX, f32::min);
        let method = if algorithm == Algorithm::Unigram {
            let score = |id: u32| {
                let (piece, own) = (pieces.get(id), rules.scores[id as usize]);
                // Higher than any logarithm, so it nearly always wins (SentencePiece 0.2.3). A space is three bytes there.
                let spaces = piece.iter().filter(|&&byte| byte == b' ').count();
                let bonus = || USER_BONUS * (piece.len() + 2 * spaces - 1) as f64;
                if is_user(&id) { bonus() } else { f64::from(own) }
            };
            Method::Unigram((0..types).map(score).collect(), least - UNKNOWN_PENALTY)
        } else {
            let begins = |id: &u32| !pieces.get(*id)[1..].contains(&b' ');
            Method::Merges(ranks(&rules.scores), text.iter().all(begins))
        };
        Ok(Self {
            normaliser: Normaliser::new(&rules.charsmap, rules.prefix_space, rules.single_spaces)?,
            trie: Trie::new(pieces, &text),
            user_trie: Trie::new(pieces, &rules.user),
            user: rules.user.clone(),
            method,
            bytes,
            unk,
        })
    }

    /// Gives the pieces of a line and their normalised text.
    pub(super) fn encode(&self, line: &str, take: &mut dyn FnMut(u32, &[u8])) {
        let mut text = Vec::with_capacity(line.len() + 1);
        // What has a space in it is matched as a whole only after spaces are settled.
        let symbol = |text: &[u8]| {
            let length = self.symbol(text);
            if text[..length].contains(&b' ') { 0 } else { length }
        };
        self.normaliser.push(line, symbol, &mut text);
        let pieces = match &self.method {
            Method::Merges(ranks, spaced) => self.merged(&text, ranks, *spaced),
            Method::Unigram(scores, unknown) => self.likeliest(&text, scores, *unknown),
        };
        let mut at = 0;
        for stretch in pieces.chunk_by(|a, b| a.0 == self.unk && b.0 == self.unk) {
            let length: usize = stretch.iter().map(|(_, length)| *length as usize).sum();
            let own = &text[at..at + length];
            at += length;
            match &self.bytes {
                Some(bytes) if stretch[0].0 == self.unk => {
                    own.iter().for_each(|byte| take(bytes[usize::from(*byte)], &[*byte]));
                }
                // Unknown characters side by side are one.
                _ => take(stretch[0].0, own),
            }
        }
    }

    /// Bytes of the longest symbol of the user that a text begins with.
    fn symbol(&self, text: &[u8]) -> usize {
        let mut longest = 0;
        if !self.user.is_empty() {
            self.user_trie.each_prefix(text, |length, _| longest = length);
        }
        longest
    }

    /// Merges neighbours into the piece with the best score, the leftmost first, until none is left; pieces and their
    /// lengths.
    fn merged(&self, text: &[u8], ranks: &[u32], spaced: bool) -> Vec<(u32, u32)> {
        let (mut symbols, mut all) = (Symbols::default(), Vec::new());
        let mut rest = text;
        while let Some((_, after)) = rest.split_first() {
            // Pieces have spaces at their beginning only, so none goes from one word to the next.
            let end = after
                .iter()
                .position(|&byte| spaced && byte == b' ')
                .map_or(rest.len(), |at| at + 1);
            let word;
            (word, rest) = rest.split_at(end);
            self.merge(word, ranks, &mut symbols);
            all.extend(symbols.iter().map(|symbol| {
                let own = || &word[symbol.start as usize..][..symbol.length as usize];
                let node =
                    if symbol.id == FROZEN { self.trie.walk(0, own()) } else { Some(symbol.id) };
                (node.and_then(|node| self.trie.piece(node)).unwrap_or(self.unk), symbol.length)
            }));
        }
        all
    }

    /// Merges the characters of a text; a symbol's id is its node in the trie of the pieces.
    fn merge(&self, text: &[u8], ranks: &[u32], symbols: &mut Symbols) {
        symbols.clear();
        let mut at = 0;
        while at < text.len() {
            let (length, id) = match self.symbol(&text[at..]) {
                0 => {
                    let length = char_length(&text[at..]);
                    (length, self.trie.walk(0, &text[at..at + length]).unwrap_or(NONE))
                }
                length => (length, FROZEN),
            };
            symbols.push(length as u32, id);
            at += length;
        }
        symbols.merge(|left, right| {
            if left.id >= FROZEN || right.id == FROZEN {
                return None;
            }
            let more = &text[right.start as usize..][..right.length as usize];
            let node = self.trie.walk(left.id, more)?;
            Some((ranks[self.trie.piece(node)? as usize], node))
        });
    }

    /// The likeliest pieces of a text, each independent of the others (Viterbi). Sums are rounded to f32 as SentencePiece
    /// rounds them, so that ties fall alike.
    fn likeliest(&self, text: &[u8], scores: &[f64], unknown: f32) -> Vec<(u32, u32)> {
        // For each end: the sum of the best way there, its last piece, and where that begins.
        let mut best = vec![(0.0f32, NONE, 0u32); text.len() + 1];
        let mut at = 0;
        while at < text.len() {
            let here = f64::from(best[at].0);
            let char = char_length(&text[at..]);
            let mut is_known = false;
            self.trie.each_prefix(&text[at..], |length, piece| {
                let sum = (scores[piece as usize] + here) as f32;
                let end = &mut best[at + length];
                if end.1 == NONE || sum > end.0 {
                    *end = (sum, piece, at as u32);
                }
                is_known |= length == char;
            });
            if !is_known {
                let sum = unknown + best[at].0;
                let end = &mut best[at + char];
                if end.1 == NONE || sum > end.0 {
                    *end = (sum, self.unk, at as u32);
                }
            }
            at += char;
        }
        let mut path = Vec::new();
        while at > 0 {
            let (_, piece, start) = best[at];
            path.push((piece, at as u32 - start));
            at = start as usize;
        }
        path.reverse();
        path
    }
}

/// How SentencePiece spells the piece of a byte.
pub(super) fn byte_piece(byte: u8) -> alloc::string::String {
    format!("<0x{byte:02X}>")
}

/// The byte that a piece of this spelling stands for.
pub(super) fn byte_of(piece: &[u8]) -> Option<u8> {
    let digits =
        piece.strip_prefix(b"<0x")?.strip_suffix(b">").filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

/// The place of each score among all different ones, the best first.
fn ranks(scores: &[f32]) -> Vec<u32> {
    // Finite numbers in the order of integers, the greatest first.
    let key = |score: f32| {
        let bits = (score + 0.0).to_bits();
        u64::from(if bits >> 31 == 0 { !bits ^ 1 << 31 } else { bits })
    };
    let mut all: Vec<(u64, u32, u32)> =
        (0..).zip(scores).map(|(id, &score)| (key(score), id, 0)).collect();
    all.sort_unstable();
    let (mut ranks, mut rank) = (vec![0; scores.len()], 0);
    for (at, &(key, id, _)) in all.iter().enumerate() {
        rank += u32::from(at > 0 && all[at - 1].0 != key);
        ranks[id as usize] = rank;
    }
    ranks
}

/// Bytes of the first character of a text, by its first byte.
fn char_length(text: &[u8]) -> usize {
    let length = match text[0] {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    length.min(text.len())
}
