//! x86_64: the system call that reads a clock.

use core::arch::asm;
use core::ffi::{c_int, c_void};

const CLOCK_GETTIME: usize = 228;

/// `clock_gettime`.
///
/// # Safety
///
/// `time` points to a writable `struct timespec`.
pub unsafe fn clock_gettime(clock: c_int, time: *mut c_void) {
    // SAFETY: the kernel writes only to `time`, which the caller promises is writable.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") CLOCK_GETTIME => _,
            in("rdi") clock,
            in("rsi") time,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}
