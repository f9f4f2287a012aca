//! The defaults of the reboot program.

use super::*;
use core::time::Duration;

#[test]
fn defaults() {
    let Settings { socket, timeout, if_ready, confirm, activate, record } =
        Options::default().settings();
    assert_eq!(socket, b"/run/api.sock");
    assert_eq!((if_ready, confirm, activate, record), (false, false, false, false));
    assert_eq!(timeout, Duration::from_secs(60));
}
