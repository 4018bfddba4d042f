//! Training and compression.
