//! The memory functions, under names of their own so that a test can link them
//! beside libc's.
//!
//! A plain loop would be compiled into a call of the very function that it is
//! meant to be. On x86_64 the copies and the fill are one string instruction
//! each; everywhere else an empty `asm!` in the loop keeps the compiler from
//! seeing what the loop does.

use core::arch::asm;

/// Keeps the loop around it a loop: the compiler must take it that anything in
/// memory may have been read or written here.
#[inline(always)]
fn keep_the_loop() {
    // SAFETY: it is empty.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// Copies `len` bytes, the first one first.
///
/// # Safety
///
/// `len` bytes can be read at `from` and written at `to`; if the two overlap,
/// `to` comes first.
#[inline(always)]
pub unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction touches the bytes that the caller speaks of; the
    // direction flag is clear on entry, as the ABI has it.
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

/// Copies `len` bytes, wherever the two places lie.
///
/// # Safety
///
/// `len` bytes can be read at `from` and written at `to`.
#[inline(always)]
pub unsafe fn copy_overlapping(to: *mut u8, from: *const u8, len: usize) {
    // In wrapping arithmetic a place before `from` is far behind it.
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: `to` is not inside what is read, or comes before it.
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
/// `len` bytes can be written at `to`.
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

/// The difference of the first two bytes that differ, 0 if none do.
///
/// # Safety
///
/// `len` bytes can be read at `left` and at `right`.
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

/// How many bytes stand before the first NUL.
///
/// # Safety
///
/// A NUL can be reached by reading from `string` on.
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
