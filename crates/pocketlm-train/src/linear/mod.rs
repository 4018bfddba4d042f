//! Linear algebra of a training: named matrices in one vector, large and small products, singular values.

pub(crate) mod panels;
pub(crate) mod parameters;
pub(crate) mod product;
pub(crate) mod svd;

pub use parameters::{Builder, Entry, Id, Parameters, fill_uniform};
