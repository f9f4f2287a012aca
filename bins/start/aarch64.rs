//! aarch64: the entry point, and the two system calls that rustix does not offer.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_void};

const EXIT_GROUP: usize = 94;
const RT_SIGPROCMASK: usize = 135;

// The kernel sets a stack pointer that is a multiple of 16, as functions expect. A
// frame pointer and a link register of 0 mark the outermost frame for debuggers.
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

/// Exits from the process.
pub fn exit_group(status: c_int) -> ! {
    // SAFETY: the call only takes a number, and never returns.
    unsafe {
        asm!("svc 0", in("x8") EXIT_GROUP, in("x0") status, options(noreturn, nostack));
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

// The compiler's library for atomics has code that asks libc, before `main`, which
// instructions the processor has. Here this code never runs, so atomics use the
// instructions that every processor has. Unoptimised programs link it all the same,
// and it refers to these names.

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
