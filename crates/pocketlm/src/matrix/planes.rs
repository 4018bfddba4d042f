//! Numbers that are sums of scaled signs: planes of one bit, each with scales of its own (Xu et al. 2018).

use core::ops::Range;

use pocketlm_kernels::grouped::{Code, Grouped, scales_len};
use pocketlm_kernels::layout::{PANEL_ROWS, panels};

use super::shape::{group, part};
use crate::error::Result;
use crate::format::container::Dtype;
use crate::format::metadata::Description;
use crate::leaves::{Leaves, names};
use crate::storage::Array;

#[cfg(feature = "pack")]
pub(crate) mod write;

const CODE: Code = Code::Binary;

/// Planes of the same shape.
#[derive(Debug)]
pub(super) struct Planes {
    count: usize,
    /// `[planes, panels, lines, 16, 4]`
    bytes: Array,
    /// `[planes, panels, groups, 16]`
    scales: Array,
    group: usize,
}

impl Planes {
    pub(super) fn open(
        description: &Description<'_>,
        leaves: &Leaves<'_>,
        count: usize,
    ) -> Result<Self> {
        let Description { name, rows, columns, arrays, .. } = description;
        let [bytes, scales] = names(name, arrays)?;
        let group = group(description, CODE)?;
        let lines = CODE.len(PANEL_ROWS, *columns) / (PANEL_ROWS * 4);
        let shape = [count, panels(*rows), lines, PANEL_ROWS, 4];
        let bytes = leaves.array(bytes, Dtype::U8, &shape)?;
        let shape = [count, panels(*rows), columns.div_ceil(group), PANEL_ROWS];
        let scales = leaves.halves(scales, &shape)?;
        Ok(Self { count, bytes, scales, group })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes().len() + self.scales.bytes().len()
    }

    /// Columns of a quantised vector, and how many of them share a sum.
    pub(super) fn quantised(&self, columns: usize) -> (usize, usize) {
        (CODE.padded_cols(columns), self.group)
    }

    /// The panels `panels` of each plane of a matrix `[rows, columns]`.
    pub(super) fn parts<'a>(
        &'a self,
        [rows, columns]: [usize; 2],
        panels: &'a Range<usize>,
    ) -> impl Iterator<Item = Grouped<'a>> {
        let (size, count) = (CODE.len(rows, columns), scales_len(rows, columns, self.group));
        let planes =
            self.bytes.bytes().chunks_exact(size).zip(self.scales.u16().chunks_exact(count));
        let groups = columns.div_ceil(self.group);
        planes.take(self.count).map(move |(bytes, scales)| Grouped {
            code: CODE,
            bytes: part(bytes, CODE.len(PANEL_ROWS, columns), panels),
            scales: part(scales, PANEL_ROWS * groups, panels),
            group: self.group,
            levels: &[0; 16],
        })
    }

    pub(super) fn row(&self, shape: [usize; 2], row: usize, out: &mut [f32]) {
        let all = 0..panels(shape[0]);
        for (at, plane) in self.parts(shape, &all).enumerate() {
            if at == 0 { plane.row(row, out) } else { plane.add_row(row, out) }
        }
    }
}
