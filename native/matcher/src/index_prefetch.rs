//! A hint to the processor, where it takes one.

/// Begin to bring what is referred to into the cache, and do not wait for it. Of a value that
/// lies in two cache lines, the line of its first byte.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program sees and faults for no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    // Elsewhere the look-up waits, as it would without the hint.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
