//! Tests with many cases.

use std::sync::Mutex;
use std::thread;

/// Runs all cases, eight at a time, because they mostly wait.
pub fn side_by_side<T: Send>(cases: Vec<T>, try_case: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases.into_iter());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = { cases.lock().unwrap().next() } {
                    try_case(case);
                }
            });
        }
    });
}
