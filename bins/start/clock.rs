//! Reads clocks by system calls. rustix would use the vDSO, which costs two
//! kilobytes of code and saves a few microseconds an hour.

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
const CLOCK_BOOTTIME: c_int = 7;

/// The time on the monotonic clock, which never goes back.
pub fn now() -> Duration {
    read(CLOCK_MONOTONIC)
}

/// The time since the boot. It goes on while the machine is suspended, and nobody can set
/// it.
pub fn since_boot() -> Duration {
    read(CLOCK_BOOTTIME)
}

/// The time since 1970-01-01 00:00:00 UTC, which an administrator can set.
pub fn utc() -> Duration {
    read(CLOCK_REALTIME)
}

/// The kernel's `struct timespec`, which is the same on x86_64 and aarch64.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// The time on a clock. A time before 1970 is zero.
fn read(clock: c_int) -> Duration {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the struct has the kernel's layout, and the kernel writes only into it.
    // The call fails only for clocks that do not exist.
    unsafe { arch::clock_gettime(clock, (&raw mut time).cast()) };
    let seconds = time.seconds.try_into().unwrap_or(0);
    Duration::new(seconds, time.nanoseconds.try_into().unwrap_or(0))
}
