//! aarch64: the entry point and the two system calls that rustix does not
//! offer.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_void};

const EXIT_GROUP: usize = 94;
const RT_SIGACTION: usize = 134;

// The kernel enters with a stack pointer that is a multiple of 16, as a
// function expects it; frame pointer and link register of 0 mark the outermost
// frame for a debugger.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {start}",
    "brk #0",
    start = sym crate::bottlerocket_start,
);

/// Ends all threads of the process.
pub fn exit_group(status: c_int) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe {
        asm!("svc 0", in("x8") EXIT_GROUP, in("x0") status, options(noreturn, nostack));
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

// What the compiler brings for atomics asks the kernel, before `main` and with
// libc's help, which instructions the processor has. It does not get to run
// here, so that the atomics take those that every processor has; yet it is
// linked, into unoptimised programs at least, and these are the names that it
// refers to.

#[unsafe(no_mangle)]
extern "C" fn getauxval(_kind: usize) -> usize {
    0
}

#[unsafe(no_mangle)]
static __stack_chk_guard: usize = 0;

#[unsafe(no_mangle)]
extern "C" fn __stack_chk_fail() -> ! {
    exit_group(3)
}
