//! Exits immediately on SIGTERM or SIGINT. PID 1 has no default action for
//! signals, so this needs a handler.

#[cfg(target_arch = "aarch64")]
#[path = "stop_aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "stop_x86_64.rs"]
mod arch;

use crate::start::mask_signals;
use core::ffi::{c_int, c_void};

pub const SIGINT: c_int = 2;
pub const SIGTERM: c_int = 15;

/// The kernel's constant for `rt_sigprocmask`.
const SIG_UNBLOCK: c_int = 1;
/// x86_64 calls a handler only if this flag is set.
const SA_RESTORER: usize = 0x0400_0000;

/// Sets `stop` as the handler of SIGTERM and SIGINT. It gets the signal's number,
/// and interrupts the program at any point.
///
/// The parent may have blocked these signals, and a process inherits that. So this
/// unblocks them.
pub fn at_once(stop: extern "C" fn(c_int) -> !) {
    for signal in [SIGTERM, SIGINT] {
        set_handler(signal, stop as *const () as usize);
    }
    mask_signals(SIG_UNBLOCK, [SIGTERM, SIGINT]);
}

/// The kernel's `struct sigaction`, which is the same on x86_64 and aarch64.
#[repr(C)]
struct SignalAction {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Sets the handler of `signal`: the address of a function that gets the signal's number
/// and never returns, because no code to return from a handler is installed. Other
/// signals are blocked while it runs.
fn set_handler(signal: c_int, handler: usize) {
    let action = SignalAction { handler, flags: SA_RESTORER, restorer: handler, mask: u64::MAX };
    // SAFETY: the struct has the kernel's layout. The call fails only for signals
    // that do not exist or cannot be caught.
    unsafe { arch::rt_sigaction(signal, (&raw const action).cast::<c_void>()) };
}
