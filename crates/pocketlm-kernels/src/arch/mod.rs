//! The kernels in the instruction sets of this build's target.
//!
//! [`Lanes`](lanes::Lanes) is the instruction set; [`product`], [`grouped`] and [`elementwise`] are the kernels,
//! written once over it; [`table!`] instantiates them.

#![cfg_attr(
    not(feature = "host"),
    allow(dead_code, reason = "what packing and batches alone use stays in the register types")
)]

mod elementwise;
#[cfg(feature = "host")]
mod gemm;
mod grouped;
mod lanes;
mod product;
mod small;

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "aarch64")]
pub mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub mod simd128;
#[cfg(target_arch = "x86_64")]
pub mod x86;

/// Makes `TABLE`: every kernel instantiated for one implementation of `Lanes`, with its
/// instructions enabled.
macro_rules! table {
    ($lanes:ty, $backend:expr, $(#[$enable:meta])?) => {
        use $crate::arch::elementwise;
        #[cfg(feature = "host")]
        use $crate::arch::gemm as matrix_product;

        $crate::arch::integer_products!($lanes, $(#[$enable])?);

        /// The kernels for this instruction set.
        pub static TABLE: $crate::backend::Table = $crate::backend::Table {
            backend: $backend,
            f32_matvec,
            #[cfg(feature = "batch")]
            f32_matmul,
            f16_matvec,
            #[cfg(feature = "batch")]
            f16_matmul,
            int8_matvec,
            #[cfg(feature = "batch")]
            int8_matmul,
            grouped_matvec,
            #[cfg(feature = "batch")]
            grouped_matmul,
            #[cfg(feature = "host")]
            fit,
            #[cfg(feature = "host")]
            gemm,
            #[cfg(feature = "host")]
            gemm_rows,
            #[cfg(feature = "host")]
            copy,
            #[cfg(feature = "host")]
            transpose,
            max_abs,
            quantise,
            sums,
            exp,
            sigmoid,
            tanh,
            lstm,
            cifg,
            gru,
            max,
            exp_sums,
            probabilities,
            add,
            first_above,
            sum_words,
        };

        $crate::arch::entries! {
            $lanes, $(#[$enable])?
            product::f32_matvec(panels: &[f32], x: &[f32], out: &mut [f32]);
            product::f16_matvec(panels: &[u16], x: &[f32], out: &mut [f32]);
            elementwise::max_abs(x: &[f32]) -> f32;
            elementwise::quantise(x: &[f32], limit: f32, q: &mut [i8]);
            elementwise::exp(x: &mut [f32]);
            elementwise::sigmoid(x: &mut [f32]);
            elementwise::tanh(x: &mut [f32]);
            elementwise::lstm(pre: &[f32], c: &mut [f32], h: &mut [f32]);
            elementwise::cifg(pre: &[f32], c: &mut [f32], h: &mut [f32]);
            elementwise::gru(gx: &[f32], gh: &[f32], h: &mut [f32]);
            elementwise::max(x: &[f32]) -> f32;
            elementwise::exp_sums(x: &[f32], exponent: f32, sums: &mut [f32; 16]);
            elementwise::probabilities(x: &mut [f32], shift: f32, factor: f32);
            elementwise::add(sums: &mut [f32], x: &[f32]);
            elementwise::first_above(x: &[f32], threshold: f32) -> usize;
            elementwise::sum_words(words: &[i32]) -> i32;
        }

        #[cfg(feature = "batch")]
        $crate::arch::entries! {
            $lanes, $(#[$enable])?
            product::f32_matmul(panels: &[f32], x: &[f32], batch: usize, out: &mut [f32]);
            product::f16_matmul(panels: &[u16], x: &[f32], batch: usize, out: &mut [f32]);
        }

        #[cfg(feature = "host")]
        $crate::arch::entries! {
            $lanes, $(#[$enable])?
            matrix_product::gemm(a: &[f32], b: &[f32], depth: usize, shape: [usize; 2], out: &mut [f32], stride: usize, add: bool);
            matrix_product::gemm_rows(a: (&[f32], usize), b: &[f32], depth: usize, shape: [usize; 2], out: &mut [f32], stride: usize, add: bool);
            matrix_product::copy(rows: &[f32], step: usize, shape: [usize; 2], width: usize, strip: &mut [f32]);
            matrix_product::transpose(lines: &[f32], line_step: usize, shape: [usize; 2], width: usize, strip: &mut [f32]);
        }

        $(#[$enable])?
        unsafe fn sums(q: &[i8], group: usize, sums: &mut [i32]) {
            elementwise::sums(q, group, sums);
        }

        #[cfg(feature = "host")]
        $(#[$enable])?
        unsafe fn fit(grid: &$crate::fit::Grid, weights: &[f32]) -> u16 {
            $crate::fit::fit(grid, weights)
        }
    };
}

/// The products that instructions for dot products of bytes make faster.
macro_rules! integer_products {
    ($lanes:ty, $(#[$enable:meta])?) => {
        use $crate::arch::{grouped, product};

        $crate::arch::entries! {
            $lanes, $(#[$enable])?
            product::int8_matvec(panels: &[u8], scales: &[f32], q: &[i8], scale: f32, sum: i32, out: &mut [f32]);
            grouped::grouped_matvec(w: $crate::grouped::Grouped<'_>, q: &[i8], scale: f32, sums: &[i32], out: &mut [f32]);
        }

        #[cfg(feature = "batch")]
        $crate::arch::entries! {
            $lanes, $(#[$enable])?
            product::int8_matmul(panels: &[u8], scales: &[f32], q: &[i8], q_scales: &[f32], sums: &[i32], out: &mut [f32]);
            grouped::grouped_matmul(w: $crate::grouped::Grouped<'_>, q: &[i8], q_scales: &[f32], sums: &[i32], out: &mut [f32]);
        }
    };
}

/// Makes `TABLE` for an instruction set that differs from another one (of which it has all) in these products alone.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! table_over {
    ($base:expr, $lanes:ty, $backend:expr, #[$enable:meta]) => {
        $crate::arch::integer_products!($lanes, #[$enable]);

        /// The kernels for this instruction set.
        pub static TABLE: $crate::backend::Table = $crate::backend::Table {
            backend: $backend,
            int8_matvec,
            #[cfg(feature = "batch")]
            int8_matmul,
            grouped_matvec,
            #[cfg(feature = "batch")]
            grouped_matmul,
            ..$base
        };
    };
}

/// Functions that enable an instruction set and call a kernel.
macro_rules! entries {
    ($lanes:ty, #[$enable:meta] $($module:ident::$name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
        $(
            #[$enable]
            unsafe fn $name($($arg: $ty),*) $(-> $out)? {
                // SAFETY: whoever calls the table has these instructions and checked the lengths.
                unsafe { $module::$name::<$lanes>($($arg),*) }
            }
        )*
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use table_over;
use {entries, integer_products, table};
