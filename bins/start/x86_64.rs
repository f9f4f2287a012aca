//! x86_64: the entry point, and the two system calls that rustix does not offer.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_void};

const RT_SIGACTION: usize = 13;
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
