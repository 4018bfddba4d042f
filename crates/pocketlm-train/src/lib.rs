//! Training and compression.
pub mod cell;
pub mod config;
pub mod corpus;
pub mod dropout;
pub mod error;
pub mod grammar;
pub mod network;
pub mod optimizer;
pub mod parameters;
pub mod product;
pub mod recipe;
pub mod sequence;
pub mod softmax;
