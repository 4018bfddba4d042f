//! What an x86-64 processor can do, asked of it directly (the standard library's detection is not
//! there in `no_std`).

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Which of the backends' instruction sets are there, and saved by the operating system.
pub struct Features {
    pub avx2: bool,
    pub avx_vnni: bool,
    pub avx512: bool,
}

/// Asks the processor (a few hundred cycles; under a hypervisor more).
///
/// Bits are those of Intel's Software Developer's Manual, volume 2A, CPUID.
pub fn features() -> Features {
    let leaf1 = __cpuid(1);
    let fma_f16c_osxsave_avx = [12, 29, 27, 28].iter().all(|&bit| leaf1.ecx >> bit & 1 == 1);
    if __cpuid(0).eax < 7 || !fma_f16c_osxsave_avx {
        return Features { avx2: false, avx_vnni: false, avx512: false };
    }
    // SAFETY: OSXSAVE, checked above, says that XGETBV is there.
    let saved = unsafe { saved_state() };
    let (leaf7, leaf7_1) = (__cpuid_count(7, 0), __cpuid_count(7, 1));
    let avx2 = leaf7.ebx >> 5 & 1 == 1 && saved & 0b110 == 0b110;
    let f_dq_bw_vl = [16, 17, 30, 31].iter().all(|&bit| leaf7.ebx >> bit & 1 == 1);
    let vnni512 = leaf7.ecx >> 11 & 1 == 1;
    Features {
        avx2,
        avx_vnni: avx2 && leaf7.eax >= 1 && leaf7_1.eax >> 4 & 1 == 1,
        avx512: avx2 && f_dq_bw_vl && vnni512 && saved & 0b1110_0000 == 0b1110_0000,
    }
}

/// The register sets that the operating system saves (XCR0).
#[target_feature(enable = "xsave")]
unsafe fn saved_state() -> u64 {
    // SAFETY: register 0 always exists where XGETBV does.
    unsafe { _xgetbv(0) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_standard_library() {
        let here = super::features();
        let avx2 = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("f16c");
        assert_eq!(here.avx2, avx2);
        assert_eq!(here.avx_vnni, avx2 && std::is_x86_feature_detected!("avxvnni"));
        let avx512 = std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni");
        assert_eq!(here.avx512, avx2 && avx512);
    }
}
