//! How weights lie in memory.
//!
//! A matrix `[rows, cols]` (row `r` gives output `r`) is cut into **panels** of [`PANEL_ROWS`] = 16
//! rows. Panels follow one another without gaps, so any contiguous range of panels is itself a
//! smaller matrix, and products can be run over a few panels at a time. The number of rows is padded
//! up to a multiple of 16; padding rows and padding columns hold the value zero. Within a panel:
//!
//! | precision | element | order of the elements within a panel |
//! | --- | --- | --- |
//! | f32 | 4 bytes | column by column, 16 rows each: element `(r, c)` at `c·16 + r` |
//! | f16 | 2 bytes | the same |
//! | int8 | 1 byte, `w + 128` | groups of 4 columns, 16 rows × 4 columns each: byte `(c/4)·64 + r·4 + c%4` |
//! | int4, codebook | half a byte | blocks of 8 columns, 64 bytes each: byte `(c/8)·64 + r·4 + c%4`, low half for `c%8 < 4`, high half for `c%8 ≥ 4` |
//! | int5 | five bits | blocks of 32 columns, 320 bytes each: the upper four bits as int4 in the first 256 bytes, the lowest in byte `(c/32)·320 + 256 + r·4 + c%4`, bit `c%32/4` |
//! | int2, ternary | a quarter of a byte | blocks of 16 columns, 64 bytes each: byte `(c/16)·64 + r·4 + c%4`, from bit `2·(c%16/4)` on |
//! | a binary plane | one bit | blocks of 32 columns, 64 bytes each: byte `(c/32)·64 + r·4 + c%4`, bit `c%32/4` |
//! | int3 | three bits | blocks of 32 columns, 192 bytes each: the low two bits as int2 in the first 128 bytes, the third in byte `(c/32)·192 + 128 + r·4 + c%4`, bit `(2·(c%16/4) + 2 + c%32/16) % 8` |
//!
//! (`r` counts within the panel; division rounds down.) Columns are padded to a multiple of 4 (int8) or
//! of a block. The quads of columns of an int3 block lie where they do so that a mask brings the three
//! bits of a code together: the third bit of a quad is in one line right above where its low two are in
//! another.
//!
//! **Scales.** int8 has one `f32` per row, `rows` padded to 16; the value of a weight is
//! `w · scale[row]`. The others have one half-precision scale per row and group of columns
//! ([`grouped`](crate::grouped)), in the order panel, group, row: `scale[(panel·groups + group)·16 + r]`;
//! the last group of a row may be shorter than the others. The scales of padding rows are zero.
//!
//! 64 bytes are one cache line and one AVX-512 register: 16 rows × 4 columns of bytes are the
//! operand of one dot-product instruction. Slices aligned to 64 bytes are fastest; nothing requires
//! it beyond the alignment of the element type.

/// Rows in a panel.
pub const PANEL_ROWS: usize = 16;

/// Columns of an int8 matrix are padded to a multiple of this.
pub const INT8_COLS: usize = 4;

/// The most columns that an integer product takes: beyond, a sum might not fit in 32 bits.
pub const MAX_INTEGER_COLS: usize = 1 << 17;

/// How many panels `rows` rows take.
pub const fn panels(rows: usize) -> usize {
    rows.div_ceil(PANEL_ROWS)
}

/// `rows` rounded up to whole panels.
pub const fn padded_rows(rows: usize) -> usize {
    panels(rows) * PANEL_ROWS
}

/// Rows of a strip of the left factor of a large product ([`gemm`](crate::gemm)).
#[cfg(feature = "batch")]
pub const STRIP_ROWS: usize = 12;

/// Columns of a strip of the right factor: a line of the cache, and as many as the rows of a panel of
/// [`float32`](crate::float32), which looks the same.
#[cfg(feature = "batch")]
pub const STRIP_COLUMNS: usize = PANEL_ROWS;

/// Columns of the widest tile, two strips: work is best shared out in multiples of it.
#[cfg(feature = "batch")]
pub const TILE_COLUMNS: usize = 2 * STRIP_COLUMNS;
