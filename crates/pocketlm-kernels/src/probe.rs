//! The machine's limit on arithmetic, to hold measurements against.

#[cfg(target_arch = "x86_64")]
use crate::backend::Backend;
use crate::backend::chosen;

/// Independent accumulators: enough to hide the latency of a fused multiply-add on two units.
const ACCUMULATORS: usize = 12;

/// Does nothing but fused multiply-adds on registers, `rounds` times twelve vectors of the widest kind that the
/// kernels use, on the calling thread. Returns how many floating-point operations that were (two a lane), and a
/// number that depends on all of them, so that none is left out.
///
/// Where the kernels have no wider vectors than the compiler's own, it is a plain multiplication and addition.
pub fn multiply_add(rounds: u64) -> (u64, f32) {
    let (lanes, sum) = match chosen() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this version was chosen because the processor has these instructions.
        Backend::Avx512 => (16, unsafe { avx512(rounds) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Backend::AvxVnni | Backend::Avx2 => (8, unsafe { avx2(rounds) }),
        _ => (8, portable(rounds)),
    };
    (rounds * (ACCUMULATORS * lanes * 2) as u64, sum)
}

fn portable(rounds: u64) -> f32 {
    let mut sums = [[1.0f32; 8]; ACCUMULATORS];
    for _ in 0..rounds {
        for lane in sums.as_flattened_mut() {
            *lane = *lane * 0.999_999 + 1e-7;
        }
    }
    sums.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: u64) -> f32 {
    use core::arch::x86_64::*;
    let (factor, term) = (_mm256_set1_ps(0.999_999), _mm256_set1_ps(1e-7));
    let mut sums = [_mm256_set1_ps(1.0); ACCUMULATORS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, term);
        }
    }
    let total = sums.into_iter().fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b));
    _mm256_cvtss_f32(total) * 8.0
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: u64) -> f32 {
    use core::arch::x86_64::*;
    let (factor, term) = (_mm512_set1_ps(0.999_999), _mm512_set1_ps(1e-7));
    let mut sums = [_mm512_set1_ps(1.0); ACCUMULATORS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, term);
        }
    }
    let total = sums.into_iter().fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b));
    _mm512_cvtss_f32(total) * 16.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_does_the_same_arithmetic() {
        let (flops, sum) = multiply_add(1000);
        let lanes = flops as f32 / (1000 * 2) as f32;
        let mut one = 1.0f32;
        (0..1000).for_each(|_| one = one * 0.999_999 + 1e-7);
        assert!((sum / lanes - one).abs() < 1e-4, "{} {one}", sum / lanes);
    }
}
