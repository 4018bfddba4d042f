//! Structures keep the order of rows that they were made for, while words are sorted in the file.

use core::ops::Range;

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::Description;
use crate::leaves::Leaves;
use crate::storage::Array;

/// The structure's row of each row of the matrix; the same where there is no array.
#[derive(Debug)]
pub(crate) struct Order(Option<Array>);

impl Order {
    /// The array that the description's `order` names, if it has one.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let Some(order) = description.fields.get("order") else { return Ok(Self(None)) };
        let fault = |problem| Err(Error::matrix(&description.name, problem));
        let Some(name) = order.string() else {
            return fault("has an order that is no array's name");
        };
        let array = leaves.array(name, Dtype::U32, &[description.rows])?;
        match array.u32().iter().all(|&row| (row as usize) < description.rows) {
            true => Ok(Self(Some(array))),
            false => fault("has an order with a row beyond its rows"),
        }
    }

    /// The structure's row of row `row`.
    pub(crate) fn place(&self, row: usize) -> usize {
        self.0.as_ref().map_or(row, |order| order.u32()[row] as usize)
    }

    /// Bytes of its array.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |order| order.bytes().len())
    }

    /// Adds the rows `rows` of whole products, which lie `stride` apart, to `out` `[batch, rows.len()]`.
    pub(crate) fn hand_out(
        &self,
        products: &[f32],
        stride: usize,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        for (out, product) in out.chunks_exact_mut(rows.len()).zip(products.chunks_exact(stride)) {
            match &self.0 {
                None => {
                    let product = &product[rows.clone()];
                    out.iter_mut().zip(product).for_each(|(sum, x)| *sum += x);
                }
                Some(order) => {
                    let order = &order.u32()[rows.clone()];
                    out.iter_mut().zip(order).for_each(|(sum, &at)| *sum += product[at as usize]);
                }
            }
        }
    }
}
