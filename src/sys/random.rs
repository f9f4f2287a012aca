//! Random numbers, to spread the requests of many nodes.

use rustix::rand::GetRandomFlags;

/// A random number from the kernel, or `fallback` if the kernel has no random numbers
/// yet, as early in a boot.
pub fn random(fallback: u64) -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, GetRandomFlags::NONBLOCK) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => fallback,
    }
}

#[cfg(test)]
mod tests;
