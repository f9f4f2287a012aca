//! x86_64: the system call that changes which signals are blocked.

use core::arch::asm;
use core::ffi::{c_int, c_void};

const RT_SIGPROCMASK: usize = 14;

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
            "syscall",
            inlateout("rax") RT_SIGPROCMASK => _,
            in("rdi") how,
            in("rsi") mask,
            in("rdx") 0usize,
            in("r10") 8usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, readonly),
        );
    }
}
