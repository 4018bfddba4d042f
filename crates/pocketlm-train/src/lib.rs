//! Training and compression.
pub mod cell;
pub mod config;
pub mod dropout;
pub mod error;
pub mod network;
pub mod parameters;
pub mod product;
pub mod recipe;
pub mod sequence;
pub mod softmax;
