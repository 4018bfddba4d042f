//! Merging symbols, the best pair first: what both kinds of byte-pair encoding do.
//!
//! Symbols are a doubly linked list, and the pairs that may be merged wait in a heap, so a stretch of n symbols takes
//! O(n log n), however long it is. Pairs of equal rank are merged from the left.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

const NONE: u32 = u32::MAX;

/// A stretch of text that is a piece, or may become one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// Where it begins in the text.
    pub(super) start: u32,
    /// Bytes of text; zero once another symbol has taken it in.
    pub(super) length: u32,
    /// Its id; what it is before anything is merged is the caller's to say.
    pub(super) id: u32,
    previous: u32,
    next: u32,
}

/// Symbols of a text on their way to pieces.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    all: Vec<Symbol>,
    /// Rank, place of the left symbol, and what the pair becomes.
    queue: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

impl Symbols {
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Appends a symbol.
    pub(super) fn push(&mut self, length: u32, id: u32) {
        let at = self.all.len() as u32;
        let previous = at.wrapping_sub(1);
        let start = self.all.last_mut().map_or(0, |last| {
            last.next = at;
            last.start + last.length
        });
        self.all.push(Symbol { start, length, id, previous, next: NONE });
    }

    /// Merges pairs, the lowest rank first, until none is left; `pair` gives rank and outcome of two neighbours.
    pub(super) fn merge(&mut self, pair: impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>) {
        self.queue.clear();
        for at in 1..self.all.len() as u32 {
            self.enqueue(at - 1, &pair);
        }
        while let Some(Reverse((_, at, outcome))) = self.queue.pop() {
            let left = self.all[at as usize];
            if left.length == 0 || left.next == NONE {
                continue;
            }
            let right = self.all[left.next as usize];
            // Either symbol may have grown since the pair came to the queue.
            if pair(&left, &right).is_none_or(|(_, found)| found != outcome) {
                continue;
            }
            self.all[left.next as usize].length = 0;
            let merged = &mut self.all[at as usize];
            merged.length += right.length;
            merged.id = outcome;
            merged.next = right.next;
            if let Some(next) = self.all.get_mut(right.next as usize) {
                next.previous = at;
                self.enqueue(at, &pair);
            }
            if left.previous != NONE {
                self.enqueue(left.previous, &pair);
            }
        }
    }

    /// Puts the pair that begins at `at`, which has a right neighbour, into the queue if it may be merged.
    fn enqueue(&mut self, at: u32, pair: &impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>) {
        let left = &self.all[at as usize];
        if let Some((rank, outcome)) = pair(left, &self.all[left.next as usize]) {
            self.queue.push(Reverse((rank, at, outcome)));
        }
    }

    /// What is left, in the order of the text.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.all.iter().filter(|symbol| symbol.length > 0)
    }
}
