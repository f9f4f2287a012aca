//! aarch64: the system call that changes which signals are blocked.

use core::arch::asm;
use core::ffi::{c_int, c_void};

const RT_SIGPROCMASK: usize = 135;

/// `rt_sigprocmask`. It fails only if `how` is unknown.
///
/// # Safety
///
/// `mask` points to 8 bytes, with a bit for each signal.
pub unsafe fn rt_sigprocmask(how: c_int, mask: *const c_void) {
    // SAFETY: the kernel reads `mask`, which the caller promises is valid. It writes
    // nothing, because the pointer for the old mask is null.
    unsafe {
        asm!(
            "svc 0",
            in("x8") RT_SIGPROCMASK,
            inlateout("x0") how as usize => _,
            in("x1") mask,
            in("x2") 0usize,
            in("x3") 8usize,
            options(nostack, readonly),
        );
    }
}
