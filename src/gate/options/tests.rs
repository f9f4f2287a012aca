//! The defaults.

extern crate std;
use super::*;

#[test]
fn defaults_are_those_of_a_node() {
    let options = Options::default();
    assert_eq!(options.record, c"/opt/bottlerocket/reboot/record");
    assert_eq!(options.os_release, c"/usr/lib/os-release");
    assert_eq!(options.socket, c"/run/api.sock");
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let Settings { interval, give_up, max_wait, boot_attempts } = options.settings();
    assert_eq!((interval, give_up), (Duration::from_secs(5), minutes(5)));
    assert_eq!((max_wait, boot_attempts), (None, 2));
}
