//! Codes of a few bits: what each stands for, and where it lies in a panel.

use crate::layout::{MAX_INTEGER_COLS, PANEL_ROWS, padded_rows, panels};

/// Columns per scale of all codes but binary ones, unless a model says otherwise.
pub const GROUP: usize = 64;

/// The same of a plane of a binary code.
pub const BINARY_GROUP: usize = 128;

/// The levels of a codebook.
pub type Levels = [i8; 16];

/// Levels with even steps between them: code `c`, of `count`, stands for `step · c + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Codes that are written: 0 to `count` − 1.
    pub count: i8,
    /// From one level to the next.
    pub step: i8,
    /// The lowest level.
    pub offset: i8,
}

impl Steps {
    /// The highest level.
    pub const fn highest(self) -> i8 {
        self.step * (self.count - 1) + self.offset
    }
}

/// How weights become codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 5 bits, −16 to 15.
    Int5,
    /// 4 bits, −8 to 7.
    Int4,
    /// 3 bits, −4 to 3.
    Int3,
    /// 2 bits: −3, −1, 1, 3. Four even steps around zero have 0.119 of a normal distribution's variance as
    /// their squared error (Max 1960, table I); −2 to 1 have 0.149 at best.
    Int2,
    /// 2 bits: −1, 0, 1 (the fourth code, 2, is never written).
    Ternary,
    /// 4 bits, sixteen levels that the matrix brings along.
    Codebook,
    /// 1 bit: −1 or 1. A plane of a binary code ([`binary`](crate::binary)).
    Binary,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Int5,
        Self::Int4,
        Self::Int3,
        Self::Int2,
        Self::Ternary,
        Self::Codebook,
        Self::Binary,
    ];

    /// Bits of a code.
    pub const fn bits(self) -> usize {
        match self {
            Self::Int5 => 5,
            Self::Int4 | Self::Codebook => 4,
            Self::Int3 => 3,
            Self::Int2 | Self::Ternary => 2,
            Self::Binary => 1,
        }
    }

    /// Columns that lie together: columns are padded to a multiple of it, and so is a group.
    pub const fn block(self) -> usize {
        match self {
            Self::Int4 | Self::Codebook => 8,
            Self::Int5 | Self::Int3 | Self::Binary => 32,
            Self::Int2 | Self::Ternary => 16,
        }
    }

    /// Columns per scale, unless a model says otherwise: a binary code has a scale for each of its planes, so
    /// more columns share one.
    pub const fn usual_group(self) -> usize {
        if matches!(self, Self::Binary) { BINARY_GROUP } else { GROUP }
    }

    /// Columns as stored. Quantised vectors have this length.
    pub const fn padded_cols(self, cols: usize) -> usize {
        cols.next_multiple_of(self.block())
    }

    /// Bytes of codes that a matrix `[rows, cols]` takes (without its scales).
    ///
    /// # Panics
    /// If they do not fit in a `usize`.
    pub const fn len(self, rows: usize, cols: usize) -> usize {
        let codes = padded_rows(rows).checked_mul(self.padded_cols(cols));
        codes.expect("the matrix is larger than the address space") / 8 * self.bits()
    }

    /// The furthest from zero that a number can be, either way, in multiples of its scale.
    pub const fn reach(self) -> u8 {
        match self.steps() {
            Some(steps) => steps.highest().unsigned_abs(),
            None => i8::MAX.unsigned_abs(),
        }
    }

    /// The levels; none for [`Code::Codebook`], whose levels are the matrix's own.
    pub const fn steps(self) -> Option<Steps> {
        let (count, step, offset) = match self {
            Self::Int5 => (32, 1, -16),
            Self::Int4 => (16, 1, -8),
            Self::Int3 => (8, 1, -4),
            Self::Int2 => (4, 2, -3),
            Self::Ternary => (3, 1, -1),
            Self::Binary => (2, 2, -1),
            Self::Codebook => return None,
        };
        Some(Steps { count, step, offset })
    }

    /// What a code stands for; of a codebook by `levels`, which no other code reads.
    #[inline]
    pub fn level(self, code: u8, levels: &Levels) -> i8 {
        match self.steps() {
            Some(Steps { step, offset, .. }) => step * code.cast_signed() + offset,
            None => levels[usize::from(code) % levels.len()],
        }
    }

    /// Where the code of row `r` and column `c` of a panel lies: the byte and the shift of its bits (of
    /// [`Code::Int5`] its upper four, of [`Code::Int3`] its lower two).
    #[inline]
    const fn place(self, r: usize, c: usize) -> (usize, usize) {
        let byte = r * 4 + c % 4;
        match self {
            Self::Int5 => (c / 32 * 320 + c % 32 / 8 * 64 + byte, c % 8 / 4 * 4),
            Self::Int4 | Self::Codebook => (c / 8 * 64 + byte, c % 8 / 4 * 4),
            Self::Int2 | Self::Ternary => (c / 16 * 64 + byte, c % 16 / 4 * 2),
            Self::Int3 => (c / 32 * 192 + c % 32 / 16 * 64 + byte, c % 16 / 4 * 2),
            Self::Binary => (c / 32 * 64 + byte, c % 32 / 4),
        }
    }

    /// Where a bit lies that is apart from the others: the lowest of [`Code::Int5`], the third of [`Code::Int3`].
    #[inline]
    const fn apart(self, r: usize, c: usize) -> (usize, usize) {
        let byte = r * 4 + c % 4;
        match self {
            Self::Int5 => (c / 32 * 320 + 256 + byte, c % 32 / 4),
            _ => (c / 32 * 192 + 128 + byte, (c % 16 / 4 * 2 + 2 + c % 32 / 16) % 8),
        }
    }

    /// The code in row `r` and column `c`.
    #[inline]
    pub(crate) fn get(self, panel: &[u8], r: usize, c: usize) -> u8 {
        let (at, shift) = self.place(r, c);
        let bits = panel[at] >> shift;
        let apart = || {
            let (at, shift) = self.apart(r, c);
            panel[at] >> shift & 1
        };
        match self {
            Self::Int5 => (bits & 15) << 1 | apart(),
            Self::Int3 => bits & 3 | apart() << 2,
            _ => bits & ((1 << self.bits()) - 1),
        }
    }

    #[inline]
    #[cfg(feature = "host")]
    pub(crate) fn put(self, panel: &mut [u8], r: usize, c: usize, code: u8) {
        let mut set = |(at, shift): (usize, usize), mask: u8, bits: u8| {
            panel[at] = panel[at] & !(mask << shift) | (bits & mask) << shift;
        };
        match self {
            Self::Int5 => {
                set(self.place(r, c), 15, code >> 1);
                set(self.apart(r, c), 1, code);
            }
            Self::Int3 => {
                set(self.place(r, c), 3, code);
                set(self.apart(r, c), 1, code >> 2);
            }
            _ => set(self.place(r, c), (1 << self.bits()) - 1, code),
        }
    }
}

/// A matrix, or a range of its panels.
#[derive(Clone, Copy, Debug)]
pub struct Grouped<'a> {
    /// How weights are coded.
    pub code: Code,
    /// The codes.
    pub bytes: &'a [u8],
    /// Half-precision scales `[panels, groups, 16]`.
    pub scales: &'a [u16],
    /// Columns per scale.
    pub group: usize,
    /// The levels of a codebook; of other codes nothing reads them.
    pub levels: &'a Levels,
}

/// Scales of a matrix `[rows, cols]`.
///
/// # Panics
/// If they do not fit in a `usize`, or `group` is zero.
pub const fn scales_len(rows: usize, cols: usize, group: usize) -> usize {
    padded_rows(rows)
        .checked_mul(cols.div_ceil(group))
        .expect("the matrix is larger than the address space")
}

/// Panics where the lengths do not fit a matrix of `rows` and (padded) `cols`.
pub(crate) fn check(
    code: Code,
    bytes: &[u8],
    scales: &[u16],
    group: usize,
    cols: usize,
    rows: usize,
) {
    let block = code.block();
    assert!(group > 0 && group.is_multiple_of(block), "a group of {group} columns");
    assert!(cols.is_multiple_of(block), "{cols} columns are no multiple of {block}");
    assert!(cols <= MAX_INTEGER_COLS, "{cols} columns: at most {MAX_INTEGER_COLS}");
    assert!(bytes.len() == code.len(rows, cols), "{} bytes for [{rows}, {cols}]", bytes.len());
    let expected = panels(rows) * cols.div_ceil(group) * PANEL_ROWS;
    assert!(scales.len() == expected, "{} scales, not {expected}", scales.len());
}
