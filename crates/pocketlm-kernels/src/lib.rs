//! The arithmetic of small recurrent language models: flat slices in, flat slices out.
//!
//! No dependency, no allocation, `no_std`. Every operation is written once portably (the private
//! module `naive`, which is the specification) and once more per instruction set; which version
//! runs is decided once, by [`backend`].
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`layout`] | how weights lie in memory (and in a model file) |
//! | [`float32`], [`float16`] | products with 4-byte and 2-byte floating-point weights |
//! | [`int8`], [`int4`] | products with quantised weights and quantised activations |
//! | [`quantise`] | activations to 8 bits |
//! | [`activation`], [`gates`] | exp, sigmoid, tanh; the elementwise half of LSTM, CIFG and GRU |
//! | [`softmax`], [`topk`] | running log-sum-exp and the best k of a stream of scores |
//! | [`half`], [`bytes`] | half-precision numbers; bytes seen as numbers |
//!
//! All products **add to** what `out` holds: fill it with the bias (or zero) first.
//!
//! # The same bits everywhere
//!
//! Everything but the `float32` and `float16` products is specified to the bit: integer sums are
//! exact, and the few floating-point operations around them happen in a documented order without
//! fused multiply-add. x86, Arm and WebAssembly therefore give the same numbers. (Which bits a NaN
//! has is the one thing left open.) The floating-point products sum in the order that suits the
//! machine and differ in the last places.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("weights are stored little-endian; big-endian machines are not supported");

pub mod activation;
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
mod arch;
pub mod backend;
pub mod bytes;
pub mod float16;
pub mod float32;
pub mod gates;
pub mod half;
pub mod int4;
pub mod int8;
pub mod layout;
mod naive;
pub mod probe;
pub mod quantise;
pub mod softmax;
pub mod topk;

#[cfg(test)]
mod tests;
