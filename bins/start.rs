//! The runtime of a program without libc: the entry point, the arguments, the
//! signals, the exit status, the panic handler, and the memory functions that the
//! compiler calls.
//!
//! Each program includes this file as a module and calls [`program!`] once.
//!
//! # Safety
//!
//! All unsafe code of the programs is in this file and in `start/`. It relies on
//! the stack that the kernel prepares for a new process (System V ABI), on the
//! system call conventions of the architecture, and on the promises of the memory
//! functions' callers.

#[cfg(target_arch = "aarch64")]
#[path = "start/aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "start/x86_64.rs"]
mod arch;
#[path = "start/memory.rs"]
mod memory;

use bottlerocket_updater::cli::exit::{FAILURE, SUCCESS, USAGE};
use bottlerocket_updater::cli::flags::{Invocation, UsageError};
use bottlerocket_updater::cli::help::{HELP_MAX, Help};
use bottlerocket_updater::sys::stdio::{write_all, write_line};
use bottlerocket_updater::text::Show;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::Write;
use heapless::{Vec, VecView};
use rustix::fd::BorrowedFd;

/// The kernel's constant for `rt_sigprocmask`.
const SIG_BLOCK: c_int = 0;
const SIGPIPE: c_int = 13;
const SIGXFSZ: c_int = 25;

// SAFETY: the process is started with these two descriptors, and never closes
// them. If it was started without them, a write fails, or goes into a file that the
// process has opened in their place.
pub const STDOUT: BorrowedFd = unsafe { BorrowedFd::borrow_raw(1) };
// SAFETY: as above.
pub const STDERR: BorrowedFd = unsafe { BorrowedFd::borrow_raw(2) };

/// Runs `$main`, a `fn(Args) -> u8`, as the program. It gets the arguments without
/// the program's name, and returns the exit status.
macro_rules! program {
    ($main:path) => {
        /// The entry point calls this with the stack pointer that the kernel has set.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn bottlerocket_start(stack: *const usize) -> ! {
            $crate::start::block_write_signals();
            // SAFETY: only the entry point calls this, with the kernel's stack pointer.
            let arguments = unsafe { $crate::start::Args::from_stack(stack) };
            $crate::start::exit($main(arguments))
        }
    };
}
pub(crate) use program;

/// Writes an error message to the standard error: the program's name and the parts
/// of `what`, in one line.
pub fn complain(what: &[&dyn Show]) {
    write_line(STDERR, concat!(env!("CARGO_BIN_NAME"), ": "), what);
}

/// Does what the command line asks for, or writes what is wrong with it to the
/// standard error, in one line. Returns the exit status.
pub fn invoke(
    invocation: Result<Invocation, UsageError>,
    help: &Help,
    run: impl FnOnce() -> u8,
) -> u8 {
    match invocation {
        Ok(Invocation::Run) => return run(),
        Ok(Invocation::Help) => {
            let mut text = Vec::<u8, HELP_MAX>::new();
            help.put(&mut text);
            write_all(STDOUT, &text);
        }
        Ok(Invocation::Version) => write_all(STDOUT, VERSION.as_bytes()),
        Err(error) => {
            complain(&[&error, &concat!("; see ", env!("CARGO_BIN_NAME"), " --help")]);
            return USAGE;
        }
    }
    SUCCESS
}

/// The output of `-version`.
const VERSION: &str = concat!(env!("CARGO_BIN_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n");

/// The arguments of the process, without the program's name.
pub struct Args {
    /// The place of the pointer to the next argument.
    pub next: *const *const c_char,
    /// The number of arguments that are left.
    pub left: usize,
}

impl Args {
    /// # Safety
    ///
    /// `stack` is the stack pointer that the kernel set at the start of this
    /// process. It points to the number of arguments. Behind it are a pointer to
    /// each argument, a null pointer, a pointer to each variable of the environment,
    /// and another null pointer. The pointers and the strings stay in place,
    /// unchanged, as long as the process lives.
    pub unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: the caller promises this layout. The count is 0 if the process was
        // started without a name.
        unsafe {
            let count = *stack;
            let first = stack.add(1).cast::<*const c_char>();
            Self { next: first.add(count.min(1)), left: count.saturating_sub(1) }
        }
    }
}

impl Iterator for Args {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `left` was above 0, so `next` points to the pointer of an argument.
        // The argument ends in a NUL and lives as long as the process (see
        // `from_stack`).
        unsafe {
            let argument = CStr::from_ptr(*self.next);
            self.next = self.next.add(1);
            Some(argument)
        }
    }
}

/// Exits from the process immediately.
pub fn exit(status: u8) -> ! {
    arch::exit_group(c_int::from(status))
}

/// Makes a write return an error if the pipe has no readers, or if the file would
/// get larger than `RLIMIT_FSIZE`. By default, a signal would kill the process.
pub fn block_write_signals() {
    mask_signals(SIG_BLOCK, [SIGPIPE, SIGXFSZ]);
}

/// Blocks or unblocks two signals.
pub fn mask_signals(how: c_int, signals: [c_int; 2]) {
    let mask = signals.iter().fold(0u64, |mask, signal| mask | 1 << (signal - 1));
    // SAFETY: the mask has 8 bytes.
    unsafe { arch::rt_sigprocmask(how, (&raw const mask).cast()) };
}

#[panic_handler]
fn panic(panic: &core::panic::PanicInfo) -> ! {
    // A release build does not tell the place. Otherwise the places of all panics
    // would be in the file, with the paths of the machine that built it.
    if cfg!(debug_assertions) {
        complain(&[&"bug: ", &PanicMessage(panic)]);
    } else {
        complain(&[&"bug: please report this, and describe what the node was doing"]);
    }
    exit(FAILURE)
}

/// The message of a panic, from `core`.
struct PanicMessage<'a>(&'a dyn core::fmt::Display);

impl Show for PanicMessage<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let _ = write!(buffer, "{}", self.0);
    }
}

/// Unoptimised code refers to this symbol. Nothing unwinds the stack.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// # Safety
///
/// As in C: `len` bytes are readable at `from` and writable at `to`, and the two
/// ranges do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller promises the same.
    unsafe { memory::copy_forward(to.cast(), from.cast(), len) };
    to
}

/// # Safety
///
/// As in C: `len` bytes are readable at `from` and writable at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller promises the same.
    unsafe { memory::copy_overlapping(to.cast(), from.cast(), len) };
    to
}

/// # Safety
///
/// As in C: `len` bytes are writable at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut c_void, byte: c_int, len: usize) -> *mut c_void {
    // SAFETY: the caller promises the same. C uses the low byte of the number.
    unsafe { memory::fill(to.cast(), byte as u8, len) };
    to
}

/// # Safety
///
/// As in C: `len` bytes are readable at `left` and at `right`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const c_void, right: *const c_void, len: usize) -> c_int {
    // SAFETY: the caller promises the same.
    unsafe { memory::compare(left.cast(), right.cast(), len) }
}

/// # Safety
///
/// As for `memcmp`. The compiler calls this one if only equality matters.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const c_void, right: *const c_void, len: usize) -> c_int {
    // SAFETY: the caller promises the same.
    unsafe { memory::compare(left.cast(), right.cast(), len) }
}

/// # Safety
///
/// As in C: all bytes from `string` to the next NUL are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    // SAFETY: the caller promises the same.
    unsafe { memory::length(string.cast()) }
}
