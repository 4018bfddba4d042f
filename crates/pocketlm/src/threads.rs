//! Products of large matrices, and chunks of independent work, shared out among threads.
//!
//! Only within a pool of the caller's making (`rayon::ThreadPool::install`): elsewhere a session takes no thread but
//! the one that it is used on. Which thread computes a row changes no bit of it.

use alloc::vec::Vec;
use core::ops::Range;

use rayon::prelude::*;

use pocketlm_kernels::layout::PANEL_ROWS as PANEL;

/// Weights below which one thread alone is faster than several that wait for each other: some ten microseconds of
/// work.
const WORTHWHILE: usize = 1 << 19;

/// Calls `product` for ranges of whole panels that make up `rows`, with the part of `out` that belongs to each:
/// one range for each thread of the pool that this is called in, or all rows at once where they are few, or of few
/// `columns`, or there is no pool.
pub(crate) fn share_out(
    rows: Range<usize>,
    columns: usize,
    out: &mut [f32],
    product: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let pool = rayon::current_thread_index().is_some();
    let threads = if pool { rayon::current_num_threads() } else { 1 };
    if threads == 1 || rows.len() * columns < WORTHWHILE {
        return product(rows, out);
    }
    let share = rows.len().div_ceil(threads).next_multiple_of(PANEL);
    out.par_chunks_mut(share).enumerate().with_max_len(1).for_each(|(i, out)| {
        let first = rows.start + i * share;
        product(first..first + out.len(), out);
    });
}

/// What `work` makes of each chunk of up to `most` items: on all threads of the pool that this is called in, or one chunk
/// after another where there is none. Chunks are smaller where that gives every thread one.
pub(crate) fn map_chunks<I: Sync, T: Send>(
    items: &[I],
    most: usize,
    work: impl Fn(&[I]) -> T + Sync + Send,
) -> Vec<T> {
    if rayon::current_thread_index().is_none() {
        return items.chunks(most).map(work).collect();
    }
    let share = items.len().div_ceil(rayon::current_num_threads());
    items.par_chunks(most.min(share).max(1)).map(work).collect()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// First row and end of each call, in their order.
    fn calls(threads: usize, rows: Range<usize>, columns: usize) -> Vec<(usize, usize)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut out, calls) = (vec![0.0; rows.len()], std::sync::Mutex::new(Vec::new()));
        pool.install(|| {
            share_out(rows.clone(), columns, &mut out, |rows, out| {
                out.iter_mut().zip(rows.clone()).for_each(|(out, row)| *out += row as f32);
                calls.lock().unwrap().push((rows.start, rows.end));
            });
        });
        assert!(out.into_iter().zip(rows).all(|(out, row)| out == row as f32));
        let mut calls = calls.into_inner().unwrap();
        calls.sort_unstable();
        calls
    }

    #[test]
    fn every_thread_gets_whole_panels() {
        assert_eq!(calls(2, 0..2600, 650), [(0, 1312), (1312, 2600)]);
        assert_eq!(calls(3, 4096..8192, 200), [(4096, 5472), (5472, 6848), (6848, 8192)]);
        assert_eq!(calls(7, 32..52, 1 << 20), [(32, 48), (48, 52)]);
    }

    #[test]
    fn every_thread_gets_a_chunk() {
        let sums = |threads: usize, most| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let items: Vec<usize> = (0..10).collect();
            pool.install(|| map_chunks(&items, most, |chunk| chunk.iter().sum::<usize>()))
        };
        assert_eq!(sums(2, 100), [10, 35]);
        assert_eq!(sums(2, 4), [6, 22, 17]);
        assert_eq!(map_chunks(&[1, 2, 3], 2, <[i32]>::len), [2, 1]);
        assert!(map_chunks(&[0; 0], 2, <[i32]>::len).is_empty());
    }

    #[test]
    fn small_products_and_single_threads_are_left_alone() {
        assert_eq!(calls(2, 0..800, 200), [(0, 800)]);
        assert_eq!(calls(1, 0..2600, 650), [(0, 2600)]);
        share_out(0..2600, 650, &mut [0.0; 2600], |rows, _| assert_eq!(rows, 0..2600));
    }
}
