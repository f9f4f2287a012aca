//! The defaults of the reboot program.

use super::*;
use core::time::Duration;

#[test]
fn defaults() {
    let Settings { socket, timeout, if_ready } = Options::default().settings();
    assert_eq!((socket, if_ready), (&b"/run/api.sock"[..], false));
    assert_eq!(timeout, Duration::from_secs(60));
}
