//! The decoder of one plane: eight interleaved range coders (rANS) with one static table, as
//! `docs/format.md`, section 14, has it.
//!
//! Asymmetric numeral systems: Duda, *Asymmetric numeral systems: entropy coding combining speed of Huffman
//! coding with compression rate of arithmetic coding* (2014). Renormalised in 16-bit words, so that a symbol takes
//! at most one.

use alloc::boxed::Box;
use alloc::vec;

#[cfg(feature = "pack")]
pub(super) mod write;

/// Coders that take turns: symbol i belongs to number i mod 8.
pub(crate) const LANES: usize = 8;

/// log₂ of what the frequencies of a table add up to.
pub(crate) const BITS: u32 = 12;

/// What the frequencies of a table add up to.
pub(crate) const TOTAL: usize = 1 << BITS;

/// The least state of a coder, and the one that its encoder begins with.
pub(crate) const LOW: u32 = 1 << 16;

/// First byte of a plane whose bytes follow as they are.
pub(crate) const PLAIN: u8 = 0;

/// First byte of a plane that is coded.
pub(crate) const CODED: u8 = 1;

type Fault = &'static str;

const CUT: Fault = "is coded, but ends too early";

/// What each of the 4096 slots stands for: symbol (bits 0 to 7), its frequency less one (8 to 19), and the slot's
/// place among those of the symbol (20 to 31).
type Slots = Box<[u32; TOTAL]>;

/// Reads a plane from the front of `coded` into `out`, whose length says how many symbols it has.
pub(crate) fn plane(coded: &mut &[u8], out: &mut [u8]) -> Result<(), Fault> {
    match take::<1>(coded)? {
        [PLAIN] => {
            let (bytes, rest) = coded.split_at_checked(out.len()).ok_or(CUT)?;
            out.copy_from_slice(bytes);
            *coded = rest;
            Ok(())
        }
        [CODED] => {
            let slots = slots(coded)?;
            symbols(coded, &slots, out)
        }
        _ => Err("is coded in planes of an unknown kind"),
    }
}

/// The next bytes.
fn take<const N: usize>(coded: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (bytes, rest) = coded.split_first_chunk::<N>().ok_or(CUT)?;
    *coded = rest;
    Ok(*bytes)
}

/// A number of one or two bytes, seven bits in each.
fn number(coded: &mut &[u8]) -> Result<usize, Fault> {
    let [low] = take(coded)?;
    if low < 128 {
        return Ok(usize::from(low));
    }
    let [high] = take(coded)?;
    if high < 128 { Ok(usize::from(low & 127) | usize::from(high) << 7) } else { Err(TABLE) }
}

const TABLE: Fault = "is coded with a table whose frequencies do not add up to 4096";

/// The table: frequencies of the symbols from 0 on until they add up; after a zero, how many more zeros follow.
fn slots(coded: &mut &[u8]) -> Result<Slots, Fault> {
    let mut slots = vec![0u32; TOTAL].into_boxed_slice();
    let (mut symbol, mut at) = (0usize, 0usize);
    while at < TOTAL {
        let frequency = number(coded)?;
        if symbol > 255 || frequency > TOTAL - at {
            return Err(TABLE);
        }
        for (place, slot) in slots[at..at + frequency].iter_mut().enumerate() {
            *slot = symbol as u32 | (frequency as u32 - 1) << 8 | (place as u32) << 20;
        }
        at += frequency;
        symbol += 1 + if frequency == 0 { usize::from(take::<1>(coded)?[0]) } else { 0 };
    }
    slots.try_into().map_err(|_| TABLE)
}

/// The symbols: eight states, then words as the states need them.
fn symbols(coded: &mut &[u8], slots: &Slots, out: &mut [u8]) -> Result<(), Fault> {
    let mut states = [0u32; LANES];
    for state in &mut states {
        *state = u32::from_le_bytes(take(coded)?);
    }
    if states.iter().any(|&state| state < LOW) {
        return Err("is coded with a state below 65536");
    }
    let words = coded.as_chunks::<2>().0;
    let mut at = 0;
    let (groups, rest) = out.as_chunks_mut::<LANES>();
    for group in groups {
        let mut padded = [[0; 2]; LANES];
        let mut window = Window { words: window(&words[at..], &mut padded), used: 0 };
        let [a, b, c, d, e, f, g, h] = &mut states;
        // Written out, since the compiler leaves a loop over states in memory.
        *group = [
            step(a, slots, &mut window),
            step(b, slots, &mut window),
            step(c, slots, &mut window),
            step(d, slots, &mut window),
            step(e, slots, &mut window),
            step(f, slots, &mut window),
            step(g, slots, &mut window),
            step(h, slots, &mut window),
        ];
        at += window.used;
        if at > words.len() {
            return Err(CUT);
        }
    }
    let mut padded = [[0; 2]; LANES];
    let mut last = Window { words: window(&words[at..], &mut padded), used: 0 };
    for (state, out) in states.iter_mut().zip(rest) {
        *out = step(state, slots, &mut last);
    }
    at += last.used;
    if at > words.len() {
        return Err(CUT);
    }
    *coded = &coded[2 * at..];
    if states == [LOW; LANES] { Ok(()) } else { Err("is coded, but not to its end: it is damaged") }
}

/// The words that a symbol of each state may need, and how many are read.
struct Window<'a> {
    words: &'a [[u8; 2]; LANES],
    used: usize,
}

/// The first words of `left`, with zeros behind them where they are fewer.
fn window<'a>(left: &'a [[u8; 2]], padded: &'a mut [[u8; 2]; LANES]) -> &'a [[u8; 2]; LANES] {
    left.first_chunk::<LANES>().unwrap_or_else(|| {
        padded[..left.len()].copy_from_slice(left);
        padded
    })
}

/// One symbol of one state.
#[inline(always)]
fn step(state: &mut u32, slots: &[u32; TOTAL], window: &mut Window<'_>) -> u8 {
    let slot = slots[*state as usize % TOTAL];
    // At most 4096 · (2²⁰ − 1) + 4095, which fits.
    let next = ((slot >> 8 & 0xfff) + 1) * (*state >> BITS) + (slot >> 20);
    let word = u32::from(u16::from_le_bytes(window.words[window.used % LANES]));
    let renew = next < LOW;
    *state = if renew { next << 16 | word } else { next };
    window.used += usize::from(renew);
    slot as u8
}
