//! The kernels in the instruction sets of this build's target.
//!
//! [`Lanes`](lanes::Lanes) is the instruction set; [`product`], [`grouped`] and [`elementwise`] are the kernels,
//! written once over it; [`table!`] instantiates them.

#![cfg_attr(
    not(feature = "host"),
    allow(dead_code, reason = "what packing and batches alone use stays in the register types")
)]

mod elementwise;
#[cfg(feature = "batch")]
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

/// Makes `TABLE`: every kernel instantiated for one implementation of `Lanes`, with its instructions enabled.
macro_rules! table {
    ($lanes:ty, $backend:expr, #[$enable:meta]) => {
        $crate::table::kernels! { $crate::arch::entries { $lanes, $backend, #[$enable], []; } }
    };
}

/// Makes `TABLE` for an instruction set that differs from another one, of which it has all, in products of whole
/// numbers alone.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! table_over {
    ($base:expr, $lanes:ty, $backend:expr, #[$enable:meta]) => {
        $crate::table::integer_kernels! {
            $crate::arch::entries { $lanes, $backend, #[$enable], [..$base]; }
        }
    };
}

/// Functions that enable an instruction set and call a kernel, and the table of them.
macro_rules! entries {
    (
        $lanes:ty, $backend:expr, #[$enable:meta], [$($base:tt)*];
        $($(#[$when:meta])* $module:ident::$name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*
    ) => {
        $(
            $(#[$when])*
            #[$enable]
            unsafe fn $name($($arg: $type),*) $(-> $out)? {
                // SAFETY: whoever calls the table has these instructions and checked the lengths.
                unsafe { $crate::arch::$module::$name::<$lanes>($($arg),*) }
            }
        )*

        /// The kernels for this instruction set.
        pub static TABLE: $crate::table::Table = $crate::table::Table {
            backend: $backend,
            $($(#[$when])* $name,)*
            $($base)*
        };
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use table_over;
use {entries, table};
