//! Writing product-quantised matrices. The vectors of each part are found by k-means (Lloyd 1982) from a k-means++ start (Arthur & Vassilvitskii 2007) with a fixed
//! seed, so the same matrix always gets the same bytes.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use pocketlm_kernels::layout::{PANEL_ROWS, panels};
use pocketlm_kernels::{bytes, float16, half};

use super::CENTROIDS;
use crate::error::Result;
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::matrix::encoded::{Shape, too_large};
use crate::random::Random;

/// How often the vectors are moved to the means of the rows that have them.
const ROUNDS: usize = 12;

/// The codes of a part and its vectors.
struct Part {
    /// Columns.
    width: usize,
    /// One for each row.
    codes: Vec<u8>,
    /// `[256, width]`, in half precision.
    centroids: Vec<u16>,
}

/// The parts of `weights` `[rows, columns]`, each `width` columns but perhaps the last.
fn parts(weights: &[f32], columns: usize, width: usize) -> impl Iterator<Item = Part> {
    (0..columns).step_by(width).map(move |first| {
        let width = width.min(columns - first);
        let rows = weights.chunks_exact(columns).flat_map(|row| &row[first..first + width]);
        quantise(&rows.copied().collect::<Vec<f32>>(), width)
    })
}

/// Numbers column by column, so that the distances to all vectors are found at once.
type Centroids = Vec<[f32; CENTROIDS]>;

/// The nearest of the vectors and its squared distance; the first of equals.
fn nearest(row: &[f32], centroids: &Centroids) -> (usize, f32) {
    let mut distances = [0.0f32; CENTROIDS];
    for (&x, column) in row.iter().zip(centroids) {
        distances.iter_mut().zip(column).for_each(|(sum, c)| *sum += (x - c) * (x - c));
    }
    let better = |best: (usize, f32), (at, &d): (usize, &f32)| {
        if d < best.1 { (at, d) } else { best }
    };
    distances.iter().enumerate().fold((0, f32::INFINITY), better)
}

/// The rows in one order, whatever order they come in: the file's rows are sorted by word, the trainer's are not.
fn sorted(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sorted: Vec<&[f32]> = rows.chunks_exact(width).collect();
    let by_number = |a: &&[f32], b: &&[f32]| {
        let pairs = a.iter().zip(*b).map(|(a, b)| a.total_cmp(b));
        pairs.fold(Ordering::Equal, Ordering::then)
    };
    sorted.sort_unstable_by(by_number);
    sorted.concat()
}

/// Finds 256 vectors for `rows` `[_, width]`, and each row's.
fn quantise(rows: &[f32], width: usize) -> Part {
    let ordered = sorted(rows, width);
    let mut centroids = start(&ordered, width);
    for _ in 0..ROUNDS {
        move_to_means(&ordered, width, &mut centroids);
    }
    // What is stored is what rows are matched with.
    let stored: Vec<u16> = (0..CENTROIDS * width)
        .map(|at| half::from_f32(centroids[at % width][at / width]))
        .collect();
    for (at, &bits) in stored.iter().enumerate() {
        centroids[at % width][at / width] = half::to_f32(bits);
    }
    let codes = rows.chunks_exact(width).map(|row| nearest(row, &centroids).0 as u8).collect();
    Part { width, codes, centroids: stored }
}

/// Rows drawn with chances in proportion to their squared distance from what was drawn before.
fn start(rows: &[f32], width: usize) -> Centroids {
    let mut centroids = vec![[0.0; CENTROIDS]; width];
    let mut left: Vec<f32> = vec![f32::INFINITY; rows.len() / width];
    let (mut random, mut chosen) = (1u64, 0);
    for k in 0..CENTROIDS {
        let row = &rows[chosen * width..][..width];
        centroids.iter_mut().zip(row).for_each(|(column, &x)| column[k] = x);
        for (left, other) in left.iter_mut().zip(rows.chunks_exact(width)) {
            let distance = other.iter().zip(row).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            *left = left.min(distance);
        }
        let all: f64 = left.iter().map(|&d| f64::from(d)).sum();
        // Each draw is the seed of the next.
        random = Random::new(random).bits();
        let mut point = (random >> 11) as f64 / (1u64 << 53) as f64 * all;
        let passes = |&d: &f32| {
            point -= f64::from(d);
            point < 0.0
        };
        // Where all rows are taken, any will do.
        chosen = left.iter().position(passes).unwrap_or(0);
    }
    centroids
}

/// A round of Lloyd's algorithm; a vector that no row has stays.
fn move_to_means(rows: &[f32], width: usize, centroids: &mut Centroids) {
    let mut sums = vec![0.0f64; CENTROIDS * width];
    let mut counts = [0u32; CENTROIDS];
    for row in rows.chunks_exact(width) {
        let (k, _) = nearest(row, centroids);
        counts[k] += 1;
        let sums = &mut sums[k * width..][..width];
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    for (k, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        for (column, sum) in centroids.iter_mut().zip(&sums[k * width..]) {
            column[k] = (sum / f64::from(count)) as f32;
        }
    }
}

pub(crate) fn encode(
    &Shape { ref name, rows, columns }: &Shape,
    weights: &[f32],
    width: usize,
) -> Result<Vec<Leaf>> {
    let count = columns.div_ceil(width);
    let mut codes = vec![0; panels(rows) * count * PANEL_ROWS];
    let mut centroids = Vec::new();
    for (at, part) in parts(weights, columns, width).enumerate() {
        if part.centroids.iter().any(|&bits| !half::to_f32(bits).is_finite()) {
            return Err(too_large(name));
        }
        for (row, code) in part.codes.iter().enumerate() {
            codes[(row / PANEL_ROWS * count + at) * PANEL_ROWS + row % PANEL_ROWS] = *code;
        }
        let vectors: Vec<f32> = part.centroids.iter().map(|&bits| half::to_f32(bits)).collect();
        let mut packed = vec![0; float16::len(CENTROIDS, part.width)];
        float16::pack(&vectors, CENTROIDS, part.width, &mut packed);
        centroids.extend(packed);
    }
    let codes = Leaf::new("", Dtype::U8, &[panels(rows), count, PANEL_ROWS], codes);
    let shape = [centroids.len() / PANEL_ROWS, PANEL_ROWS];
    let centroids = bytes::of_u16(&centroids).to_vec();
    Ok(vec![codes, Leaf::new("", Dtype::F16, &shape, centroids)])
}

/// Writes what is read back; what is too large becomes infinite.
pub(crate) fn read_back(weights: &[f32], columns: usize, width: usize, back: &mut [f32]) {
    for (at, part) in parts(weights, columns, width).enumerate() {
        for (row, &code) in back.chunks_exact_mut(columns).zip(&part.codes) {
            let vector = &part.centroids[usize::from(code) * part.width..][..part.width];
            let out = &mut row[at * width..][..part.width];
            out.iter_mut().zip(vector).for_each(|(out, &bits)| *out = half::to_f32(bits));
        }
    }
}

pub(crate) fn stored_bytes(rows: usize, columns: usize, width: usize) -> usize {
    panels(rows) * PANEL_ROWS * columns.div_ceil(width) + 2 * CENTROIDS * columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..length).map(|_| random.unit() as f32 - 0.5).collect()
    }

    fn error(rows: &[f32], width: usize, centroids: &Centroids) -> f64 {
        rows.chunks_exact(width).map(|row| f64::from(nearest(row, centroids).1)).sum()
    }

    #[test]
    fn no_round_makes_it_worse() {
        for width in [1, 3, 4, 8] {
            let rows = noise(700 * width, 5 + width as u64);
            let mut centroids = start(&rows, width);
            let mut before = error(&rows, width, &centroids);
            for _ in 0..ROUNDS {
                move_to_means(&rows, width, &mut centroids);
                let after = error(&rows, width, &centroids);
                assert!(after <= before * (1.0 + 1e-6), "{width}: {before} {after}");
                before = after;
            }
        }
    }

    #[test]
    fn few_enough_rows_come_back() {
        let kinds = noise(200 * 8, 9);
        let kinds: Vec<f32> = kinds.iter().map(|&x| half::to_f32(half::from_f32(x))).collect();
        let rows: Vec<f32> =
            (0..900).flat_map(|row| kinds[row * 7 % 200 * 8..][..8].to_vec()).collect();
        let mut back = vec![0.0; rows.len()];
        read_back(&rows, 8, 8, &mut back);
        assert_eq!(back, rows);
    }
}
