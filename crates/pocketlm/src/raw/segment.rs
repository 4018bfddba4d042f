//! Words and marks of a line.

use core::iter::Peekable;

use unicode_segmentation::{UWordBoundIndices, UnicodeSegmentation};

use super::glue::{Glue, ends_sentence, is_mark, is_quote};

/// A word or a mark of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'t> {
    /// Its text.
    pub text: &'t str,
    /// How it leans on its neighbours, if it is a mark.
    pub glue: Option<Glue>,
    /// Whether it is a word that another precedes without a space.
    pub joined: bool,
    /// Whether it is a word that begins a sentence.
    pub starts: bool,
}

/// The words and marks of a line; `is_open` says that the text may go on after it.
pub fn segments(line: &str, is_open: bool) -> impl Iterator<Item = Segment<'_>> {
    Segments::of(line, is_open)
}

struct Segments<'t> {
    pieces: Peekable<Pieces<'t>>,
    /// Whether the text may go on right after the last piece.
    is_open: bool,
    /// How the next piece leans on the one before it.
    left: bool,
    /// Whether it is a word that the one before it, a word too, touches.
    joined: bool,
    sentence: Sentence,
}

impl<'t> Segments<'t> {
    fn of(line: &'t str, is_open: bool) -> Self {
        let pieces = Pieces { line, bounds: line.split_word_bound_indices().peekable() }.peekable();
        let is_open = is_open && !line.ends_with(char::is_whitespace);
        Self { pieces, is_open, left: false, joined: false, sentence: Sentence::default() }
    }
}

impl<'t> Iterator for Segments<'t> {
    type Item = Segment<'t>;

    fn next(&mut self) -> Option<Segment<'t>> {
        let piece = self.pieces.next()?;
        let (left, joined) = (self.left, self.joined);
        let meeting = match self.pieces.peek() {
            Some(next) => Meeting::of(piece.text, *next),
            None if self.is_open => {
                // A quote that nothing precedes opens; all else is taken for usual.
                let usual = Glue::usual(piece.text).right;
                Meeting {
                    right: if is_quote(piece.text) { !left } else { usual },
                    ..Meeting::default()
                }
            }
            None => Meeting::default(),
        };
        (self.left, self.joined) = (meeting.left, meeting.joined);
        let glue = is_mark(piece.text).then_some(Glue { left, right: meeting.right });
        let starts = self.sentence.take(piece.text, glue);
        Some(Segment { text: piece.text, glue, joined, starts })
    }
}

/// Where in a sentence a text is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sentence {
    starts: bool,
}

impl Default for Sentence {
    fn default() -> Self {
        Self { starts: true }
    }
}

impl Sentence {
    /// Whether the next word begins a sentence.
    pub(super) fn starts(self) -> bool {
        self.starts
    }

    /// Goes on by a word or a mark; whether that is a word that begins a sentence.
    pub(super) fn take(&mut self, text: &str, glue: Option<Glue>) -> bool {
        let starts = self.starts && glue.is_none();
        self.starts = match glue {
            None => false,
            Some(glue) => ends_sentence(text) || (self.starts && stays(text, glue)),
        };
        starts
    }
}

/// Whether a mark at the start of a sentence leaves it to the next word to begin one: quotes and brackets.
fn stays(mark: &str, glue: Glue) -> bool {
    let usual = Glue::usual(mark);
    is_quote(mark) || usual.left != usual.right || glue.left != glue.right
}

/// What there is between two pieces.
#[derive(Default)]
struct Meeting {
    /// Whether the first leans on the second.
    right: bool,
    /// Whether the second leans on the first.
    left: bool,
    /// Whether they touch and are words.
    joined: bool,
}

impl Meeting {
    /// One of two that touch leans on the other: an opening mark, else what usually does, else whichever is a mark.
    fn of(first: &str, second: Piece) -> Self {
        if second.gap {
            return Self::default();
        }
        let usual = |text: &str| is_mark(text).then(|| Glue::usual(text));
        let (a, b) = (usual(first), usual(second.text));
        let opens = a.is_some_and(|glue| glue.right && !glue.left);
        let follows = b.is_some_and(|glue| glue.left);
        let right = Self { right: true, ..Self::default() };
        let left = Self { left: true, ..Self::default() };
        match (a, b) {
            _ if opens => right,
            _ if follows => left,
            (Some(glue), _) if glue.right => right,
            (_, Some(_)) => left,
            (Some(_), None) => right,
            (None, None) => Self { joined: true, ..Self::default() },
        }
    }
}

/// A stretch of a line without white space.
#[derive(Debug, Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    /// Whether white space, or the start of the line, is before it.
    gap: bool,
}

/// The stretches between the word boundaries of a line, equal marks that touch as one.
struct Pieces<'t> {
    line: &'t str,
    bounds: Peekable<UWordBoundIndices<'t>>,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        let mut gap = false;
        let (start, first) = loop {
            let (at, text) = self.bounds.next()?;
            // A combining character makes a stretch of the white space before it.
            let rest = text.trim_start();
            gap |= at == 0 || rest.len() < text.len();
            if !rest.is_empty() {
                break (at + text.len() - rest.len(), rest);
            }
        };
        let mut end = start + first.len();
        if is_mark(first) {
            while self.bounds.next_if(|&(_, text)| text == first).is_some() {
                end += first.len();
            }
        }
        Some(Piece { text: &self.line[start..end], gap })
    }
}

/// The word that ends a line, without a space after it; an apostrophe that ends it belongs to it, since the word may go
/// on (`don'`).
pub(super) fn last_word(line: &str) -> Option<&str> {
    let pieces = Pieces { line, bounds: line.split_word_bound_indices().peekable() };
    if line.ends_with(char::is_whitespace) {
        return None;
    }
    let (mut before, mut last) = (None, None);
    for piece in pieces {
        before = last.replace(piece);
    }
    let last = last?;
    if !is_mark(last.text) {
        return Some(last.text);
    }
    let word = before.filter(|before| !is_mark(before.text))?;
    let is_open = matches!(last.text, "'" | "’") && !last.gap;
    is_open.then(|| &line[line.len() - last.text.len() - word.text.len()..])
}

/// Whether the next word after a part of a line begins a sentence.
pub(super) fn begins_sentence(line: &str) -> bool {
    let mut segments = Segments::of(line, true);
    while segments.next().is_some() {}
    segments.sentence.starts()
}
