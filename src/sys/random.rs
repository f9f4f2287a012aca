//! Random numbers.

use rustix::rand::GetRandomFlags;

/// A number that nobody else gets, as far as the kernel can say so early;
/// otherwise `fallback`.
pub fn random(fallback: u64) -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, GetRandomFlags::NONBLOCK) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => fallback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_number_twice() {
        let numbers = [(); 3].map(|()| random(7));
        assert!(!numbers.contains(&7));
        assert_ne!(numbers[0], numbers[1]);
        assert_ne!(numbers[1], numbers[2]);
    }
}
