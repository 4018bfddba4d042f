//! What a matrix is packed from, and what becomes of it: the JSON that describes it, and its arrays.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::spec::{Precision, Sparsity, Structure};

/// A matrix whose own numbers are stored.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// Values that come out.
    pub rows: usize,
    /// Values that go in.
    pub columns: usize,
    /// Row-major `[rows, columns]`, zero where nothing is kept.
    pub weights: &'a [f32],
    /// Which numbers are stored.
    pub sparsity: Sparsity,
    /// How many bits each has. Unstructured factors have f32, f16 or int8, panels also int4.
    pub precision: Precision,
}

/// The name and shape of a matrix or factor that is to be encoded.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// A matrix encoded for the file.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// The JSON of its description.
    pub(crate) description: String,
    /// None where factors differ.
    sparsity: Option<Sparsity>,
    precision: Option<Precision>,
    pub(crate) arrays: Vec<Leaf>,
}

impl Encoded {
    /// A matrix of its own numbers, with further `fields` of its description. This names the arrays, which come in the
    /// order of the form.
    pub(crate) fn of_numbers(
        shape: &Shape,
        (sparsity, precision): (Sparsity, Precision),
        arrays: Vec<Leaf>,
        fields: &str,
    ) -> Self {
        Self::of_groups(shape, (sparsity, precision), arrays, precision.group(), fields)
    }

    /// The same whose scales are those of groups of so many columns.
    pub(crate) fn of_groups(
        shape: &Shape,
        (sparsity, precision): (Sparsity, Precision),
        mut arrays: Vec<Leaf>,
        group: Option<usize>,
        fields: &str,
    ) -> Self {
        let Shape { name, rows, columns } = shape;
        let suffixes = precision.arrays().iter().chain(sparsity.arrays());
        for (array, suffix) in arrays.iter_mut().zip(suffixes) {
            array.name = format!("{name}{suffix}");
        }
        let names: Vec<_> = arrays.iter().map(|leaf| format!("\"{}\"", leaf.name)).collect();
        let names = names.join(",");
        let group = group.map(|group| format!(",\"group\":{group}"));
        let group = group.unwrap_or_default();
        let description = format!(
            "{{\"name\":\"{name}\",\"rows\":{rows},\"columns\":{columns},\"structure\":\"{}\",\
             \"sparsity\":\"{sparsity}\",\"precision\":\"{precision}\",\"arrays\":[{names}]{group}{fields}}}",
            Structure::Dense,
        );
        Self { description, sparsity: Some(sparsity), precision: Some(precision), arrays }
    }

    /// A matrix of factors, with further `fields` of its description and arrays besides those of the factors.
    pub(crate) fn of_factors(
        shape: &Shape,
        structure: Structure,
        fields: &str,
        factors: Vec<Self>,
        more: Vec<Leaf>,
    ) -> Self {
        fn same<T: PartialEq + Copy>(all: &[Encoded], of: fn(&Encoded) -> Option<T>) -> Option<T> {
            let first = all.first().and_then(of);
            first.filter(|_| all.iter().all(|factor| of(factor) == first))
        }
        let precision = same(&factors, |factor| factor.precision);
        let sparsity = same(&factors, |factor| factor.sparsity);
        let Shape { name, rows, columns } = shape;
        let descriptions: Vec<_> =
            factors.iter().map(|factor| factor.description.as_str()).collect();
        let description = format!(
            "{{\"name\":\"{name}\",\"rows\":{rows},\"columns\":{columns},\"structure\":\"{structure}\",\
             \"sparsity\":\"{}\",\"precision\":\"{}\",\"arrays\":[]{fields},\"factors\":[{}]}}",
            sparsity.map_or("mixed", Sparsity::name),
            precision.map_or("mixed", Precision::name),
            descriptions.join(","),
        );
        let arrays = factors.into_iter().flat_map(|factor| factor.arrays).chain(more).collect();
        Self { description, sparsity, precision, arrays }
    }
}

/// The fields of a structure that keeps the caller's order of rows, with the array that says where they went.
pub(crate) fn ordered(
    name: &str,
    order: Option<&[u32]>,
    mut fields: String,
) -> (String, Vec<Leaf>) {
    let Some(order) = order else { return (fields, Vec::new()) };
    let array = format!("{name}.order");
    fields += &format!(",\"order\":\"{array}\"");
    let bytes = bytes::of_u32(order).to_vec();
    (fields, vec![Leaf::new(&array, Dtype::U32, &[order.len()], bytes)])
}

/// The rows of `weights` in this order.
pub(crate) fn sorted(order: &[u32], weights: &[f32], columns: usize) -> Vec<f32> {
    let rows = order.iter().map(|&at| &weights[at as usize * columns..][..columns]);
    rows.flatten().copied().collect()
}

/// Refuses too few or too many numbers, and such as are not finite.
pub(crate) fn check(shape: &Shape, values: &[f32]) -> Result<()> {
    let Shape { name, rows, columns } = shape;
    if values.len() != rows * columns {
        let problem = format!("has {} values instead of {rows} x {columns}", values.len());
        return Err(Error::matrix(name, problem));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (row, column, value) = (at / columns, at % columns, values[at]);
            Err(Error::matrix(name, format!("row {row}, column {column} is {value}, not finite")))
        }
    }
}

/// Numbers beyond what half precision holds.
pub(crate) fn too_large(name: &str) -> Error {
    Error::matrix(name, "has values too large for half precision; take f32")
}

/// Blocks that no matrix of this name has.
pub(crate) fn unfit(name: &str, what: &str) -> Error {
    Error::matrix(name, format!("has {what}, which are none, too large, or too many"))
}
