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
//! | [`int8`], [`grouped`], [`codebook`] | products with quantised weights and quantised activations |
//! | [`gemm`] | products of two large matrices, for training (feature `host`, as all that packs codes) |
//! | [`quantise`] | activations to 8 bits |
//! | [`activation`], [`gates`] | exp, sigmoid, tanh; the elementwise half of LSTM, CIFG and GRU |
//! | [`accumulate`] | sums of vectors |
//! | [`softmax`], [`topk`] | running log-sum-exp, probabilities and the best k of a stream of scores |
//! | [`half`], [`bytes`] | half-precision numbers; bytes seen as numbers |
//! | [`probe`] | the limit on arithmetic of this machine |
//!
//! # Overview
//!
//! Weights are packed once ([`int8::pack`] and its like) and then only read: a packed matrix is plain
//! bytes, the same on every machine, fit to be mapped from a file. One step of a model is then: a
//! product per matrix, a pass over the gates, and for the output a product over a few panels of rows at
//! a time, each block going to the log-sum-exp and the best k while it is still in the first-level cache.
//!
//! ```
//! use pocketlm_kernels::softmax::LogSumExp;
//! use pocketlm_kernels::topk::{Candidate, TopK};
//! use pocketlm_kernels::{int8, layout, quantise};
//!
//! // A matrix of 40 words × 10 units, packed to 8 bits.
//! let (rows, cols) = (40, 10);
//! let weights: Vec<f32> = (0..rows * cols).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
//! let mut panels = vec![0; int8::len(rows, cols)];
//! let mut scales = vec![0.0; layout::padded_rows(rows)];
//! int8::pack(&weights, rows, cols, &mut panels, &mut scales);
//!
//! // The state, quantised.
//! let h: Vec<f32> = (0..cols).map(|i| i as f32 / 10.0 - 0.5).collect();
//! let mut q = vec![0; int8::padded_cols(cols)];
//! let q_scale = quantise::quantise(&h, &mut q);
//! let q_sum = quantise::sum(&q);
//!
//! // Logits, two panels of 16 rows at a time, never all at once.
//! let (mut lse, mut places) = (LogSumExp::new(), [Candidate::default(); 3]);
//! let mut top = TopK::new(&mut places);
//! let mut block = [0.0; 32];
//! for first in (0..rows).step_by(32) {
//!     let n = (rows - first).min(32);
//!     let (start, bytes) = (int8::len(first, cols), int8::len(n, cols));
//!     let logits = &mut block[..n];
//!     logits.fill(0.0);
//!     let (w, s) = (&panels[start..start + bytes], &scales[first..first + layout::padded_rows(n)]);
//!     int8::matvec(w, s, &q, q_scale, q_sum, logits);
//!     lse.push(logits);
//!     top.push(logits, first as u32);
//! }
//! let best = top.best()[0];
//! let probability = (f64::from(best.score) - lse.value()).exp();
//! assert!(probability > 1.0 / 40.0 && probability < 1.0);
//! ```
//!
//! All products **add to** what `out` holds: fill it with the bias (or zero) first.
//!
//! # The same bits everywhere
//!
//! Everything but the `float32` and `float16` products is specified to the bit: integer sums are
//! exact, and the few floating-point operations around them happen in a documented order without
//! fused multiply-add. x86, Arm and WebAssembly therefore give the same numbers. (Which bits a NaN
//! has is the one thing left open.) A test hashes the results of a fixed battery and compares with
//! one constant on all of them. The floating-point products sum in the order that suits the machine
//! and differ in the last places.
//!
//! # Speed
//!
//! With one vector, a product does one multiplication for each weight it reads, so reading is all
//! that counts: panels are read from front to back and asked for 2 KB ahead of use. Beyond the
//! second-level cache, products of every precision take as long as reading the bytes of their weights
//! does (`cargo bench -p pocketlm-kernels --bench products` measures both). A batch of vectors reuses
//! each weight and approaches the arithmetic limit of the processor.
//!
//! # Quirks
//!
//! * Lengths say everything: rows are `out.len()`, columns `x.len()` or `q.len()`. Functions panic
//!   when lengths do not fit together, and never look beyond them. Contents are never trusted: any
//!   bytes are a matrix, if not a good one.
//! * On AArch64 without the `std` feature, whether there are dot-product instructions is decided when
//!   building (`-C target-feature=+dotprod`); with it, at run time. WebAssembly's SIMD is always decided
//!   when building (`-C target-feature=+simd128`).
//! * x86-64 below AVX2, and other processors, run the portable version: right, but slow.
//! * AVX-512 is used with VNNI alone.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("weights are stored little-endian; big-endian machines are not supported");

pub mod accumulate;
pub mod activation;
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
mod arch;
pub mod backend;
#[cfg(feature = "host")]
pub mod binary;
pub mod bytes;
mod code;
#[cfg(feature = "host")]
pub mod codebook;
#[cfg(feature = "host")]
mod fit;
pub mod float16;
pub mod float32;
pub mod gates;
#[cfg(feature = "host")]
pub mod gemm;
pub mod grouped;
pub mod half;
pub mod int8;
pub mod layout;
mod naive;
pub mod probe;
pub mod quantise;
pub mod softmax;
mod table;
pub mod topk;

#[cfg(all(test, feature = "host"))]
mod tests;
