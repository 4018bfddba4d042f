//! The list of all kernels, and the table that each version of them fills.

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

/// Hands every kernel to the macro `$make`, after what is `$given`: the module of `arch` that has it, its name and its
/// signature. A new kernel is a line here, a function in `naive` and one in that module.
macro_rules! kernels {
    ($($make:ident)::+ { $($given:tt)* }) => {
        $crate::table::integer_kernels! { $($make)::+ {
            $($given)*
            product::f32_matvec(panels: &[f32], x: &[f32], out: &mut [f32]);
            #[cfg(feature = "batch")]
            gemm::f32_matmul(panels: &[f32], x: &[f32], batch: usize, out: &mut [f32]);
            product::f16_matvec(panels: &[u16], x: &[f32], out: &mut [f32]);
            #[cfg(feature = "batch")]
            gemm::f16_matmul(panels: &[u16], x: &[f32], batch: usize, out: &mut [f32]);
            #[cfg(feature = "host")]
            gemm::gemm(a: &[f32], b: &[f32], depth: usize, shape: [usize; 2], out: &mut [f32], stride: usize, add: bool);
            #[cfg(feature = "host")]
            gemm::gemm_rows(a: (&[f32], usize), b: &[f32], depth: usize, shape: [usize; 2], out: &mut [f32], stride: usize, add: bool);
            #[cfg(feature = "host")]
            gemm::copy(rows: &[f32], step: usize, shape: [usize; 2], width: usize, strip: &mut [f32]);
            #[cfg(feature = "host")]
            gemm::transpose(lines: &[f32], line_step: usize, shape: [usize; 2], width: usize, strip: &mut [f32]);
            #[cfg(feature = "host")]
            elementwise::fit(grid: &$crate::fit::Grid, weights: &[f32]) -> u16;
            elementwise::max_abs(x: &[f32]) -> f32;
            elementwise::quantise(x: &[f32], limit: f32, q: &mut [i8]);
            elementwise::sums(q: &[i8], group: usize, sums: &mut [i32]);
            elementwise::exp(x: &mut [f32]);
            elementwise::sigmoid(x: &mut [f32]);
            elementwise::tanh(x: &mut [f32]);
            elementwise::lstm(pre: &[f32], c: &mut [f32], h: &mut [f32]);
            elementwise::cifg(pre: &[f32], c: &mut [f32], h: &mut [f32]);
            elementwise::gru(gx: &[f32], gh: &[f32], h: &mut [f32]);
            elementwise::max(x: &[f32]) -> f32;
            elementwise::exp_sums(x: &[f32], exponent: f32, sums: &mut [f32; $crate::layout::PANEL_ROWS]);
            elementwise::probabilities(x: &mut [f32], shift: f32, factor: f32);
            elementwise::add(sums: &mut [f32], x: &[f32]);
            elementwise::first_above(x: &[f32], threshold: f32) -> usize;
            elementwise::sum_words(words: &[i32]) -> i32;
        } }
    };
}

/// The same of those that instructions for dot products of bytes make faster.
macro_rules! integer_kernels {
    ($($make:ident)::+ { $($given:tt)* }) => {
        $($make)::+! {
            $($given)*
            product::int8_matvec(panels: &[u8], scales: &[f32], q: &[i8], scale: f32, sum: i32, out: &mut [f32]);
            #[cfg(feature = "batch")]
            product::int8_matmul(panels: &[u8], scales: &[f32], q: &[i8], q_scales: &[f32], sums: &[i32], out: &mut [f32]);
            grouped::grouped_matvec(w: $crate::code::Grouped<'_>, q: &[i8], scale: f32, sums: &[i32], out: &mut [f32]);
            #[cfg(feature = "batch")]
            grouped::grouped_matmul(w: $crate::code::Grouped<'_>, q: &[i8], q_scales: &[f32], sums: &[i32], out: &mut [f32]);
        }
    };
}
pub(crate) use {integer_kernels, kernels};

macro_rules! table {
    ($($(#[$when:meta])* $module:ident::$name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*) => {
        /// The functions of one backend. Lengths have been checked by the caller.
        ///
        /// # Safety
        /// The functions of a table may only be called where [`runs`](crate::backend) holds for its backend.
        pub(crate) struct Table {
            pub backend: Backend,
            $($(#[$when])* pub $name: unsafe fn($($type),*) $(-> $out)?,)*
        }
    };
}
kernels! { table {} }
