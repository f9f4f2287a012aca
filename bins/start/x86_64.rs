//! x86_64: the entry point, and the two system calls that rustix does not offer.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_void};

const RT_SIGPROCMASK: usize = 14;
const EXIT_GROUP: usize = 231;

// The kernel sets a stack pointer that is a multiple of 16, and the call pushes a
// return address, as functions expect. A frame pointer of 0 marks the outermost
// frame for debuggers.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "call {start}",
    "ud2",
    start = sym crate::bottlerocket_start,
);

/// Exits from the process.
pub fn exit_group(status: c_int) -> ! {
    // SAFETY: the call only takes a number, and never returns.
    unsafe {
        asm!("syscall", in("rax") EXIT_GROUP, in("rdi") status, options(noreturn, nostack));
    }
}

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
