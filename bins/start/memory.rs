//! The memory functions. Their names differ from libc's, so that a test can link
//! both.
//!
//! The compiler turns a plain loop into a call of the function that the loop
//! implements. To prevent this, the copies and the fill are single string
//! instructions on x86_64, and all other loops contain an empty `asm!`.

use core::arch::asm;

/// Keeps the loop around it a loop: the compiler must assume that this reads and
/// writes any memory.
#[inline(always)]
fn keep_the_loop() {
    // SAFETY: the assembly is empty.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// Copies `len` bytes, starting with the first.
///
/// # Safety
///
/// `len` bytes are readable at `from` and writable at `to`. If the two ranges
/// overlap, `to` is before `from`.
#[inline(always)]
pub unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction reads and writes only the caller's bytes. The ABI
    // guarantees that the direction flag is clear.
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") len => _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    for at in 0..len {
        // SAFETY: `at` is below `len`.
        unsafe { *to.add(at) = *from.add(at) };
        keep_the_loop();
    }
}

/// Copies `len` bytes between ranges that may overlap in any way.
///
/// # Safety
///
/// `len` bytes are readable at `from` and writable at `to`.
#[inline(always)]
pub unsafe fn copy_overlapping(to: *mut u8, from: *const u8, len: usize) {
    // If `to` is before `from`, the difference wraps around to a large number.
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: `to` is before `from`, or behind the bytes that are read.
        unsafe { copy_forward(to, from, len) };
        return;
    }
    for at in (0..len).rev() {
        // SAFETY: `at` is below `len`.
        unsafe { *to.add(at) = *from.add(at) };
        keep_the_loop();
    }
}

/// Writes `byte` `len` times.
///
/// # Safety
///
/// `len` bytes are writable at `to`.
#[inline(always)]
pub unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as in `copy_forward`.
    unsafe {
        asm!(
            "rep stosb",
            inout("rdi") to => _,
            in("al") byte,
            inout("rcx") len => _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    for at in 0..len {
        // SAFETY: `at` is below `len`.
        unsafe { *to.add(at) = byte };
        keep_the_loop();
    }
}

/// The difference of the first two bytes that differ, or 0 if all are equal.
///
/// # Safety
///
/// `len` bytes are readable at `left` and at `right`.
#[inline(always)]
pub unsafe fn compare(left: *const u8, right: *const u8, len: usize) -> i32 {
    for at in 0..len {
        // SAFETY: `at` is below `len`.
        let (one, other) = unsafe { (*left.add(at), *right.add(at)) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
        keep_the_loop();
    }
    0
}

/// The number of bytes before the first NUL.
///
/// # Safety
///
/// All bytes from `string` to the first NUL are readable.
#[inline(always)]
pub unsafe fn length(string: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: no byte behind the first NUL is read.
    // Ends: at the NUL.
    while unsafe { *string.add(len) } != 0 {
        len += 1;
        keep_the_loop();
    }
    len
}
