//! Product quantisation (Jégou, Douze & Schmid 2011; for embeddings Chen, Li & Sun 2020): the columns are cut into
//! parts of a few, and in each part a row is one of 256 vectors.
//!
//! A product first takes each vector of each part with the activations: a table of sums. Then a row is one look-up
//! a part.

use core::ops::Range;

use pocketlm_kernels::float16;
use pocketlm_kernels::layout::{PANEL_ROWS, panels};

use super::shape::part;
use crate::error::Result;
use crate::format::container::Dtype;
use crate::format::metadata::Description;
use crate::leaves::{Leaves, names};
use crate::storage::Array;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Vectors of a part: as many as a byte tells apart.
const CENTROIDS: usize = 256;

/// Codes and vectors of a matrix.
#[derive(Debug)]
pub(super) struct ProductQuantised {
    columns: usize,
    /// Columns of a part; the last may have fewer.
    width: usize,
    /// `[panels, parts, 16]`
    codes: Array,
    /// The vectors of each part `[256, its columns]` in panels, one part after the other: `[columns · 16, 16]`
    centroids: Array,
}

impl ProductQuantised {
    pub(super) fn open(
        description: &Description<'_>,
        leaves: &Leaves<'_>,
        width: usize,
    ) -> Result<Self> {
        let &Description { ref name, rows, columns, ref arrays, .. } = description;
        let [codes, centroids] = names(name, arrays)?;
        let shape = [panels(rows), columns.div_ceil(width), PANEL_ROWS];
        let codes = leaves.array(codes, Dtype::U8, &shape)?;
        let shape = [columns.saturating_mul(CENTROIDS / PANEL_ROWS), PANEL_ROWS];
        let centroids = leaves.halves(centroids, &shape)?;
        Ok(Self { columns, width, codes, centroids })
    }

    pub(super) fn bytes(&self) -> usize {
        self.codes.bytes().len() + self.centroids.bytes().len()
    }

    fn parts(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// Numbers of the tables of one vector of activations.
    pub(super) fn table_len(&self) -> usize {
        self.parts() * CENTROIDS
    }

    /// Sets `tables` `[batch, parts, 256]` to the products of every part's vectors with that part of `x`
    /// `[batch, columns]`.
    pub(super) fn prepare(&self, x: &[f32], tables: &mut [f32]) {
        tables.fill(0.0);
        let vectors = x.chunks_exact(self.columns).zip(tables.chunks_exact_mut(self.table_len()));
        for (x, tables) in vectors {
            let parts = self.centroids.u16().chunks(CENTROIDS * self.width);
            let parts = parts.zip(x.chunks(self.width)).zip(tables.chunks_exact_mut(CENTROIDS));
            parts.for_each(|((centroids, x), table)| float16::matvec(centroids, x, table));
        }
    }

    /// Adds the panels `panels` of the product to `out` `[batch, rows]`, from the tables of
    /// [`prepare`](Self::prepare).
    pub(super) fn apply(
        &self,
        tables: &[f32],
        panels: &Range<usize>,
        rows: usize,
        out: &mut [f32],
    ) {
        let size = self.parts() * PANEL_ROWS;
        let codes = part(self.codes.bytes(), size, panels);
        for (tables, out) in tables.chunks_exact(self.table_len()).zip(out.chunks_exact_mut(rows)) {
            for (codes, out) in codes.chunks_exact(size).zip(out.chunks_mut(PANEL_ROWS)) {
                out.iter_mut().zip(look_up(codes, tables)).for_each(|(out, sum)| *out += sum);
            }
        }
    }

    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let size = self.parts() * PANEL_ROWS;
        let codes = &self.codes.bytes()[row / PANEL_ROWS * size..][..size];
        let codes = codes.chunks_exact(PANEL_ROWS).map(|codes| codes[row % PANEL_ROWS]);
        let parts = self.centroids.u16().chunks(CENTROIDS * self.width);
        for ((centroids, code), out) in parts.zip(codes).zip(out.chunks_mut(self.width)) {
            float16::row(centroids, usize::from(code), out);
        }
    }
}

/// What a panel's rows look up, `codes` `[parts, 16]` in `tables` `[parts, 256]`, summed up.
fn look_up(codes: &[u8], tables: &[f32]) -> [f32; PANEL_ROWS] {
    let (codes, _) = codes.as_chunks::<PANEL_ROWS>();
    let (tables, _) = tables.as_chunks::<CENTROIDS>();
    let mut sums = [0.0; PANEL_ROWS];
    for (codes, table) in codes.iter().zip(tables) {
        sums.iter_mut().zip(codes).for_each(|(sum, &code)| *sum += table[usize::from(code)]);
    }
    sums
}
