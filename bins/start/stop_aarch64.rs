//! aarch64: the system call that sets the handler of a signal.

use core::arch::asm;
use core::ffi::{c_int, c_void};

const RT_SIGACTION: usize = 134;

/// `rt_sigaction`. Returns 0 or a negative error number.
///
/// # Safety
///
/// `action` points to a `struct sigaction` in the layout of the kernel for this
/// architecture, with a mask of 8 bytes.
pub unsafe fn rt_sigaction(signal: c_int, action: *const c_void) -> isize {
    let answer;
    // SAFETY: the kernel reads `action`, which the caller promises is valid. It writes
    // nothing, because the pointer for the old action is null.
    unsafe {
        asm!(
            "svc 0",
            in("x8") RT_SIGACTION,
            inlateout("x0") signal as usize => answer,
            in("x1") action,
            in("x2") 0usize,
            in("x3") 8usize,
            options(nostack, readonly),
        );
    }
    answer
}
