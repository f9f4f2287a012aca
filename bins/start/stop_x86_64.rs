//! x86_64: the system call that sets the handler of a signal.

use core::arch::asm;
use core::ffi::{c_int, c_void};

const RT_SIGACTION: usize = 13;

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
            "syscall",
            inlateout("rax") RT_SIGACTION => answer,
            in("rdi") signal,
            in("rsi") action,
            in("rdx") 0usize,
            in("r10") 8usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, readonly),
        );
    }
    answer
}
