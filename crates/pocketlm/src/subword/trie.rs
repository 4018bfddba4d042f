//! A trie of pieces: all that begin at a place of a text, in one walk.

use alloc::vec;
use alloc::vec::Vec;

use super::pieces::Pieces;

/// Stands for no piece.
const NONE: u32 = u32::MAX;

/// Nodes breadth first, so that the children of a node lie side by side, by ascending byte.
#[derive(Debug, Clone)]
pub(super) struct Trie {
    /// The children of node n are nodes `first[n]` to `first[n + 1] - 1`.
    first: Vec<u32>,
    /// The byte that leads to each node.
    labels: Vec<u8>,
    /// The piece that ends in each node.
    pieces: Vec<u32>,
}

impl Trie {
    /// A trie of the pieces `ids`, which ascend.
    pub(super) fn new(pieces: &Pieces, ids: &[u32]) -> Self {
        let mut trie = Self { first: Vec::new(), labels: vec![0], pieces: vec![NONE] };
        // The stretch of `ids` below each node, and its depth.
        let mut below = vec![(0, ids.len(), 0)];
        let mut node = 0;
        while let Some(&(mut low, high, depth)) = below.get(node) {
            trie.first.push(trie.labels.len() as u32);
            if low < high && pieces.get(ids[low]).len() == depth {
                trie.pieces[node] = ids[low];
                low += 1;
            }
            while low < high {
                let label = pieces.get(ids[low])[depth];
                let more = ids[low..high].partition_point(|&id| pieces.get(id)[depth] == label);
                trie.labels.push(label);
                trie.pieces.push(NONE);
                below.push((low, low + more, depth + 1));
                low += more;
            }
            node += 1;
        }
        trie.first.push(trie.labels.len() as u32);
        trie
    }

    fn child(&self, node: usize, byte: u8) -> Option<usize> {
        let (first, end) = (self.first[node] as usize, self.first[node + 1] as usize);
        self.labels[first..end].binary_search(&byte).ok().map(|at| first + at)
    }

    /// Calls `found` with the length in bytes of each piece that `text` begins with, and the piece; the shortest first.
    pub(super) fn each_prefix(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut node = 0;
        for (length, &byte) in (1..).zip(text) {
            match self.child(node, byte) {
                Some(next) => node = next,
                None => return,
            }
            if self.pieces[node] != NONE {
                found(length, self.pieces[node]);
            }
        }
    }

    /// The node that bytes lead to from a node; the root is node 0.
    pub(super) fn walk(&self, node: u32, bytes: &[u8]) -> Option<u32> {
        let end = bytes.iter().try_fold(node as usize, |node, &byte| self.child(node, byte))?;
        Some(end as u32)
    }

    /// The piece that ends in a node.
    pub(super) fn piece(&self, node: u32) -> Option<u32> {
        self.pieces.get(node as usize).copied().filter(|&piece| piece != NONE)
    }
}
