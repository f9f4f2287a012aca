//! The total uptime over restarts and boots.

extern crate std;
use super::*;
use crate::tests::Numbers;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn total_is_never_more_than_the_time_that_has_passed() {
    // What happens; the time since the boot then; the total; the time that has really
    // passed since the first look.
    for (story, looks) in [
        ("one process", &[("", 100, 0, 0), ("", 160, 60, 60), ("", 160, 60, 60)][..]),
        ("restart of the process", &[("", 100, 0, 0), ("restart", 400, 300, 300)]),
        // The time since the last save is lost, and so is the time in which it was off.
        ("boot", &[("", 5_000, 0, 0), ("", 5_060, 60, 60), ("boot", 20, 80, 9_999)]),
        // This may be the same boot.
        ("late first look in a boot", &[("", 100, 0, 0), ("boot", 130, 30, 9_999)]),
        ("two boots", &[("", 100, 0, 0), ("boot", 60, 60, 999), ("boot", 50, 110, 9_999)]),
        // This does not happen on a node.
        ("clock that goes back", &[("", 100, 0, 0), ("", 90, 0, 0), ("", 110, 10, 10)]),
    ] {
        let mut uptime = Uptime::default();
        for (what, since_boot, total, passed) in looks {
            if !what.is_empty() {
                let [total, since_boot] = uptime.to_save().unwrap();
                uptime = Uptime::from_saved(total, since_boot);
            }
            uptime.advance(secs(*since_boot));
            assert_eq!(uptime.total(), secs(*total), "{story}");
            assert!(total <= passed, "{story}");
        }
    }
}

#[test]
fn total_counts_all_but_what_is_unknown() {
    for seed in 0..500 {
        let mut numbers = Numbers(seed);
        let mut uptime = Uptime::default();
        // Seconds: the present, the last boot, and the time that may be missing.
        let (mut now, mut booted, mut unknown) = (numbers.below(1_000), 0, 0);
        let begin = now;
        uptime.advance(secs(now - booted));
        let (mut saved, mut saved_at) = (uptime.to_save().unwrap(), now);
        for _ in 0..100 {
            now += numbers.below(20_000);
            match numbers.below(5) {
                0 => {
                    // The node crashes, is off, and boots.
                    let saved_since_boot = saved_at - booted;
                    unknown += now - saved_at;
                    booted = now + numbers.below(100_000);
                    unknown += booted - now;
                    now = booted + numbers.below(1_000);
                    unknown += saved_since_boot.min(now - booted);
                    uptime = Uptime::from_saved(saved[0], saved[1]);
                    uptime.advance(secs(now - booted));
                    (saved, saved_at) = (uptime.to_save().unwrap(), now);
                }
                1 => uptime = Uptime::from_saved(saved[0], saved[1]),
                _ => {}
            }
            uptime.advance(secs(now - booted));
            if numbers.below(2) == 0 {
                (saved, saved_at) = (uptime.to_save().unwrap(), now);
            }
            let total = uptime.total();
            assert!(total <= secs(now - begin), "seed {seed}");
            assert!(total + secs(unknown) >= secs(now - begin), "seed {seed}");
        }
    }
}

#[test]
fn longest_times_do_not_overflow() {
    let mut uptime = Uptime::from_saved(u64::MAX, u64::MAX);
    uptime.advance(Duration::MAX);
    assert_eq!(uptime.to_save(), Some([u64::MAX; 2]));
    uptime.advance(Duration::ZERO);
    assert_eq!(uptime.to_save(), Some([u64::MAX; 2]));
    assert_eq!(Uptime::default().to_save(), None);
}
