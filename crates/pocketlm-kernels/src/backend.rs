//! Which version of the kernels runs.
//!
//! Chosen once, at the first call of any kernel, as the fastest that the processor has; [`force`]
//! overrules the choice for the whole process (for tests and measurements).

use core::sync::atomic::{AtomicPtr, Ordering};

#[cfg(feature = "host")]
use crate::fit::Grid;
use crate::grouped::Grouped;
use crate::layout::PANEL_ROWS;
use crate::naive;

/// A version of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// x86-64 with AVX-512 (F, BW, DQ, VL, VNNI), FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64 with AVX2, FMA, F16C and AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AArch64 with the dot-product instructions (FEAT_DotProd).
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    /// Any AArch64.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// WebAssembly with 128-bit SIMD, which the build decides.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// Plain Rust: runs everywhere, and is what the others must equal.
    Portable,
}

impl Backend {
    /// Every version that this build has and this processor can run, best first.
    pub fn available() -> impl Iterator<Item = Backend> {
        ALL.iter().filter(|t| runs(t.backend)).map(|t| t.backend)
    }

    /// A short name: `avx512`, `avx-vnni`, `avx2`, `neon-dot`, `neon`, `simd128`, `portable`.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Backend::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Backend::NeonDot => "neon-dot",
            #[cfg(target_arch = "aarch64")]
            Backend::Neon => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Backend::Simd128 => "simd128",
            Backend::Portable => "portable",
        }
    }
}

/// The version in use.
pub fn chosen() -> Backend {
    table().backend
}

/// Uses `backend` from now on, in the whole process; false (and no change) if it cannot run here.
pub fn force(backend: Backend) -> bool {
    let found = ALL.iter().find(|t| t.backend == backend && runs(backend));
    if let Some(&table) = found {
        CHOSEN.store(core::ptr::from_ref(table).cast_mut(), Ordering::Relaxed);
    }
    found.is_some()
}

/// The functions of one backend. Lengths have been checked by the caller.
///
/// # Safety
/// The functions of a table may only be called where [`runs`] holds for its backend.
#[expect(clippy::type_complexity, reason = "named where used, in one place")]
pub(crate) struct Table {
    pub backend: Backend,
    pub f32_matvec: unsafe fn(&[f32], &[f32], &mut [f32]),
    #[cfg(feature = "batch")]
    pub f32_matmul: unsafe fn(&[f32], &[f32], usize, &mut [f32]),
    pub f16_matvec: unsafe fn(&[u16], &[f32], &mut [f32]),
    #[cfg(feature = "batch")]
    pub f16_matmul: unsafe fn(&[u16], &[f32], usize, &mut [f32]),
    pub int8_matvec: unsafe fn(&[u8], &[f32], &[i8], f32, i32, &mut [f32]),
    #[cfg(feature = "batch")]
    pub int8_matmul: unsafe fn(&[u8], &[f32], &[i8], &[f32], &[i32], &mut [f32]),
    pub grouped_matvec: unsafe fn(Grouped, &[i8], f32, &[i32], &mut [f32]),
    #[cfg(feature = "batch")]
    pub grouped_matmul: unsafe fn(Grouped, &[i8], &[f32], &[i32], &mut [f32]),
    #[cfg(feature = "host")]
    pub fit: unsafe fn(&Grid, &[f32]) -> u16,
    #[cfg(feature = "host")]
    pub gemm: unsafe fn(&[f32], &[f32], usize, [usize; 2], &mut [f32], usize, bool),
    #[cfg(feature = "host")]
    pub gemm_rows: unsafe fn((&[f32], usize), &[f32], usize, [usize; 2], &mut [f32], usize, bool),
    #[cfg(feature = "host")]
    pub copy: unsafe fn(&[f32], usize, [usize; 2], usize, &mut [f32]),
    #[cfg(feature = "host")]
    pub transpose: unsafe fn(&[f32], usize, [usize; 2], usize, &mut [f32]),
    pub max_abs: unsafe fn(&[f32]) -> f32,
    pub quantise: unsafe fn(&[f32], f32, &mut [i8]),
    pub sums: unsafe fn(&[i8], usize, &mut [i32]),
    pub exp: unsafe fn(&mut [f32]),
    pub sigmoid: unsafe fn(&mut [f32]),
    pub tanh: unsafe fn(&mut [f32]),
    pub lstm: unsafe fn(&[f32], &mut [f32], &mut [f32]),
    pub cifg: unsafe fn(&[f32], &mut [f32], &mut [f32]),
    pub gru: unsafe fn(&[f32], &[f32], &mut [f32]),
    pub max: unsafe fn(&[f32]) -> f32,
    pub exp_sums: unsafe fn(&[f32], f32, &mut [f32; PANEL_ROWS]),
    pub probabilities: unsafe fn(&mut [f32], f32, f32),
    pub add: unsafe fn(&mut [f32], &[f32]),
    pub first_above: unsafe fn(&[f32], f32) -> usize,
    pub sum_words: unsafe fn(&[i32]) -> i32,
}

/// Every table of this build, best first.
pub(crate) static ALL: &[&Table] = &[
    #[cfg(target_arch = "x86_64")]
    &crate::arch::avx512::TABLE,
    #[cfg(target_arch = "x86_64")]
    &crate::arch::avx2::vnni::TABLE,
    #[cfg(target_arch = "x86_64")]
    &crate::arch::avx2::plain::TABLE,
    #[cfg(target_arch = "aarch64")]
    &crate::arch::neon::dot::TABLE,
    #[cfg(target_arch = "aarch64")]
    &crate::arch::neon::plain::TABLE,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    &crate::arch::simd128::TABLE,
    &naive::TABLE,
];

static CHOSEN: AtomicPtr<Table> = AtomicPtr::new(core::ptr::null_mut());

/// The table in use.
#[inline]
pub(crate) fn table() -> &'static Table {
    // SAFETY: the pointer is null or one of the statics in `ALL`.
    match unsafe { CHOSEN.load(Ordering::Relaxed).as_ref() } {
        Some(table) => table,
        None => detect(),
    }
}

#[cold]
fn detect() -> &'static Table {
    let best = ALL.iter().find(|t| runs(t.backend)).expect("the portable version always runs");
    CHOSEN.store(core::ptr::from_ref(*best).cast_mut(), Ordering::Relaxed);
    best
}

/// Whether this processor has the instructions of `backend`.
pub(crate) fn runs(backend: Backend) -> bool {
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => crate::arch::x86::features().avx512,
        #[cfg(target_arch = "x86_64")]
        Backend::AvxVnni => crate::arch::x86::features().avx_vnni,
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => crate::arch::x86::features().avx2,
        #[cfg(target_arch = "aarch64")]
        Backend::NeonDot => crate::arch::neon::has_dot_product(),
        #[cfg(target_arch = "aarch64")]
        Backend::Neon => true,
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Backend::Simd128 => true,
        Backend::Portable => true,
    }
}

/// Calls a function of the table in use.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let table = $crate::backend::table();
        // SAFETY: `table` only returns tables whose instructions this processor has, and the
        // calling function has checked the lengths.
        unsafe { (table.$name)($($argument),*) }
    }};
}
pub(crate) use call;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_version_always_runs() {
        assert!(Backend::available().any(|b| b == Backend::Portable));
        assert!(runs(chosen()));
    }
}
