//! Which version of the kernels runs.
//!
//! Chosen once, at the first call of any kernel, as the fastest that the processor has; [`force`]
//! overrules the choice for the whole process (for tests and measurements).

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::naive;
pub use crate::table::Backend;
use crate::table::Table;

impl Backend {
    /// Every version that this build has and this processor can run, best first.
    pub fn available() -> impl Iterator<Item = Backend> {
        ALL.iter().filter(|t| runs(t.backend)).map(|t| t.backend)
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
