//! aarch64: the system call that reads a clock.

use core::arch::asm;
use core::ffi::{c_int, c_void};

const CLOCK_GETTIME: usize = 113;

/// `clock_gettime`.
///
/// # Safety
///
/// `time` points to a writable `struct timespec`.
pub unsafe fn clock_gettime(clock: c_int, time: *mut c_void) {
    // SAFETY: the kernel writes only to `time`, which the caller promises is writable.
    unsafe {
        asm!(
            "svc 0",
            in("x8") CLOCK_GETTIME,
            inlateout("x0") clock as usize => _,
            in("x1") time,
            options(nostack),
        );
    }
}
