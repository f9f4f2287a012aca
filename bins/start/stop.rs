//! Exits immediately on SIGTERM or SIGINT. PID 1 has no default action for
//! signals, so this needs a handler.

#[cfg(target_arch = "aarch64")]
#[path = "stop_aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "stop_x86_64.rs"]
mod arch;

use crate::start::set_signal;
use core::ffi::c_int;

pub const SIGINT: c_int = 2;
pub const SIGTERM: c_int = 15;

/// The kernel's constant for `rt_sigprocmask`.
const SIG_UNBLOCK: c_int = 1;

/// Sets `stop` as the handler of SIGTERM and SIGINT. It gets the signal's number,
/// and interrupts the program at any point.
///
/// The parent may have blocked these signals, and a process inherits that. So this
/// unblocks them.
pub fn at_once(stop: extern "C" fn(c_int) -> !) {
    for signal in [SIGTERM, SIGINT] {
        set_signal(signal, stop as *const () as usize);
    }
    let mask = [SIGTERM, SIGINT].iter().fold(0u64, |mask, signal| mask | 1 << (signal - 1));
    // SAFETY: the mask has 8 bytes.
    unsafe { arch::rt_sigprocmask(SIG_UNBLOCK, (&raw const mask).cast()) };
}
