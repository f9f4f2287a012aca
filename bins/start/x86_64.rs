//! x86_64: the entry point and the two system calls that rustix does not offer.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_void};

const RT_SIGACTION: usize = 13;
const EXIT_GROUP: usize = 231;

// The kernel enters with a stack pointer that is a multiple of 16. The call
// pushes a return address, as a function expects it; the frame pointer of 0
// marks the outermost frame for a debugger.
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

/// Ends all threads of the process.
pub fn exit_group(status: c_int) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe {
        asm!("syscall", in("rax") EXIT_GROUP, in("rdi") status, options(noreturn, nostack));
    }
}

/// `rt_sigaction`: the kernel's answer, 0 or a negative error number.
///
/// # Safety
///
/// `action` points at a `struct sigaction` as the kernel of this architecture
/// has it, with a mask of 8 bytes.
pub unsafe fn rt_sigaction(signal: c_int, action: *const c_void) -> isize {
    let answer;
    // SAFETY: the kernel reads `action`, which the caller vouches for, and
    // writes nothing, since the pointer for the old action is null.
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
