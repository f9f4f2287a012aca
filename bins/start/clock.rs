//! For a program that reads clocks. rustix would look for the kernel's code for
//! that, the vDSO, which takes two kilobytes and saves a few microseconds an hour.

#[cfg(target_arch = "aarch64")]
#[path = "clock_aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "clock_x86_64.rs"]
mod arch;

use core::ffi::c_int;
use core::time::Duration;

const CLOCK_REALTIME: c_int = 0;
const CLOCK_MONOTONIC: c_int = 1;

/// The time on the clock that never goes back.
pub fn now() -> Duration {
    read(CLOCK_MONOTONIC)
}

/// What time it is, since 1970.
pub fn utc() -> Duration {
    read(CLOCK_REALTIME)
}

/// The kernel's `struct timespec`, which x86_64 and aarch64 share.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// The time on a clock, zero before 1970.
fn read(clock: c_int) -> Duration {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: this is the kernel's layout, and the kernel writes no more than that.
    // The call fails only for clocks that do not exist.
    unsafe { arch::clock_gettime(clock, (&raw mut time).cast()) };
    let seconds = time.seconds.try_into().unwrap_or(0);
    Duration::new(seconds, time.nanoseconds.try_into().unwrap_or(0))
}
