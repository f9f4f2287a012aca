//! What a program without libc needs before its `main` and after it: the entry
//! point, the arguments, the signals, the exit status, the panic handler and
//! the memory functions that compiled code calls.
//!
//! Each program has this as a module and calls [`program!`] once.
//!
//! # Safety
//!
//! All the unsafe code of the programs is here and in the files below this
//! one. It rests on what the kernel promises a new process (the stack layout
//! of the System V ABI), on the system call conventions of the architecture,
//! and on what the memory functions' callers promise.

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

/// The kernel's number and constants for what is done about a signal.
const SIGPIPE: c_int = 13;
const SIG_IGN: usize = 1;
/// x86_64 delivers no signal to a handler without it.
const SA_RESTORER: usize = 0x0400_0000;

// SAFETY: whoever started the process handed it these two. If not, a write to
// them fails, or goes to what the process has opened in their place.
pub const STDOUT: BorrowedFd = unsafe { BorrowedFd::borrow_raw(1) };
// SAFETY: as above.
pub const STDERR: BorrowedFd = unsafe { BorrowedFd::borrow_raw(2) };

/// Makes `$main`, a `fn(Args) -> u8`, the program: it is given the arguments
/// behind the program's name, and what it returns is the exit status.
macro_rules! program {
    ($main:path) => {
        /// Called by the entry point with the stack pointer that the kernel set.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn bottlerocket_start(stack: *const usize) -> ! {
            $crate::start::ignore_broken_pipes();
            // SAFETY: only the entry point calls this, with the pointer it got.
            let arguments = unsafe { $crate::start::Args::from_stack(stack) };
            $crate::start::exit($main(arguments))
        }
    };
}
pub(crate) use program;

/// Says what is wrong, in several parts: one line on the standard error.
pub fn complain(what: &[&dyn Show]) {
    write_line(STDERR, concat!(env!("CARGO_BIN_NAME"), ": "), what);
}

/// Does what a command line asks for, or says what is wrong with it in one
/// line on the standard error: the exit status.
pub fn invoke(asked: Result<Invocation, UsageError>, help: &Help, run: impl FnOnce() -> u8) -> u8 {
    match asked {
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

/// What `--version` prints.
const VERSION: &str = concat!(env!("CARGO_BIN_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n");

/// The arguments of the process, without the program's name.
pub struct Args {
    /// Where the pointers to those that are left begin.
    pub next: *const *const c_char,
    /// How many are left.
    pub left: usize,
}

impl Args {
    /// # Safety
    ///
    /// `stack` is the stack pointer as the kernel set it at the start of this
    /// process: it points at the number of the arguments, which that many
    /// pointers to strings follow, a null pointer, the pointers to the variables
    /// of the environment, and another null pointer. They stay where they are,
    /// unchanged, for as long as the process lives.
    pub unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: the caller promises this layout. A process may be started
        // without even a name, with a count of 0.
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
        // SAFETY: `left` was above 0, so `next` points at one of the
        // pointers, each of which points at a string that ends in a NUL and
        // lives as long as the process (see `from_stack`).
        unsafe {
            let argument = CStr::from_ptr(*self.next);
            self.next = self.next.add(1);
            Some(argument)
        }
    }
}

/// Ends the process, all of it, at once.
pub fn exit(status: u8) -> ! {
    arch::exit_group(c_int::from(status))
}

/// Has the kernel report a write to a pipe that nobody reads as an error,
/// instead of ending the process by a signal.
pub fn ignore_broken_pipes() {
    set_signal(SIGPIPE, SIG_IGN);
}

/// The kernel's `struct sigaction`, which x86_64 and aarch64 share.
#[repr(C)]
struct SignalAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Sets what the kernel does when `signal` comes. `handler` is `SIG_IGN`, or
/// the address of a function that is given the signal and never returns: what
/// would restore the state behind it is not there. No other signal is
/// delivered while it runs.
pub fn set_signal(signal: c_int, handler: usize) {
    let action = SignalAction { handler, flags: SA_RESTORER, restorer: handler, mask: u64::MAX };
    // SAFETY: this is the kernel's layout. The call fails only for signals
    // that do not exist or cannot be caught.
    unsafe { arch::rt_sigaction(signal, (&raw const action).cast::<c_void>()) };
}

#[panic_handler]
fn panic(panic: &core::panic::PanicInfo) -> ! {
    // In a program that ships it is not said where: the places of all the
    // panics that cannot be reached would be in the file, with the paths of
    // the machine that built it.
    if cfg!(debug_assertions) {
        complain(&[&"bug: ", &Displayed(panic)]);
    } else {
        complain(&[&"bug: please report it, with what the node was doing"]);
    }
    exit(FAILURE)
}

/// Shows what core says of a panic.
struct Displayed<'a>(&'a dyn core::fmt::Display);

impl Show for Displayed<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let _ = write!(buffer, "{}", self.0);
    }
}

/// Referred to by unoptimised code; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// # Safety
///
/// As C has it: `len` bytes can be read at `from` and written at `to`, and the
/// two do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { memory::copy_forward(to.cast(), from.cast(), len) };
    to
}

/// # Safety
///
/// As C has it: `len` bytes can be read at `from` and written at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { memory::copy_overlapping(to.cast(), from.cast(), len) };
    to
}

/// # Safety
///
/// As C has it: `len` bytes can be written at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut c_void, byte: c_int, len: usize) -> *mut c_void {
    // SAFETY: the caller's promise is the one that is asked for. C takes the
    // low byte of the number.
    unsafe { memory::fill(to.cast(), byte as u8, len) };
    to
}

/// # Safety
///
/// As C has it: `len` bytes can be read at `left` and at `right`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const c_void, right: *const c_void, len: usize) -> c_int {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { memory::compare(left.cast(), right.cast(), len) }
}

/// # Safety
///
/// As for `memcmp`, of which this is the form that only asks for equality.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const c_void, right: *const c_void, len: usize) -> c_int {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { memory::compare(left.cast(), right.cast(), len) }
}

/// # Safety
///
/// As C has it: a NUL can be reached by reading from `string` on.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { memory::length(string.cast()) }
}
