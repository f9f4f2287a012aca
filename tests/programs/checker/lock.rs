//! The update lock of another process.

use super::{
    AVAILABLE, GET, JUST_BOOTED, LOCK_TIMEOUT, LOCKED, MISSING, POST, READY, SOON, STAGED, STEPS,
    failed, node_after, printed,
};
use crate::common::{Node, RUN_MAX, run, run_within};
use bottlerocket_simulator::Command::{Activate, Refresh};
use bottlerocket_simulator::{Fault, Lock, MANUAL, Node as Simulated, Options, Rule, View};
use std::time::Duration;
use std::{fs, thread};

/// After a short lock, a fault is still an error, and not a no.
#[test]
fn error_after_a_lock_is_not_a_no() {
    let cut = Fault::raw("HTTP/1.1 423 Locked\r\ncontent-length: 16\r\n\r\nUpdate");
    for (name, fault, after, why) in [
        ("silence", Fault::silence(), 1, "timed out waiting for a response (-timeout 3s)"),
        (
            "truncated lock error",
            cut,
            0,
            "connection closed after 6 of 16 bytes of the response body",
        ),
    ] {
        let node = node_after(&[], |node| node.set_lock(Some(Lock::Exclusive)));
        node.inject(Rule::from(fault).on("GET", "/updates/status").after(after).forever());
        let mut ran = run_within(SOON, node.program("checker").args(LOCK_TIMEOUT));
        ran.stderr = node.mask(&ran.stderr);
        assert_eq!(ran, failed(&format!("SOCKET: {why}")), "{name}");
    }
}

#[test]
fn lock_that_is_never_released_is_a_no() {
    let held = |node: &Node| node.set_lock(Some(Lock::Exclusive));
    let cases: [(&str, &(dyn Fn() -> Node + Sync)); 4] = [
        ("exclusive lock, just booted", &|| node_after(&[], held)),
        ("exclusive lock, available", &|| node_after(&STEPS[..1], held)),
        ("exclusive lock, ready", &|| node_after(&STEPS, held)),
        ("a refresh that never ends", &|| {
            let node = Node::start(Options { refresh_time: MANUAL, ..Node::instant() });
            assert_eq!(run(node.program("checker").arg("-refresh")), printed(1, JUST_BOOTED));
            assert_eq!(node.look(|view| view.node.busy()), Some(Refresh));
            node
        }),
    ];
    // All runs at the same time, because each takes three seconds.
    thread::scope(|scope| {
        for (name, node) in cases {
            for (flag, posts) in [("-refresh=false", 0), ("-refresh=true", 1)] {
                scope.spawn(move || {
                    let node = node();
                    let before = node.requested();
                    let ran = run(node.program("checker").args(LOCK_TIMEOUT).arg(flag));
                    assert_eq!(ran, printed(1, LOCKED), "{name}");
                    // The checker does not wait for the answer to its refresh.
                    let posted = posts + before.iter().filter(|request| *request == POST).count();
                    let count = |view: &View| view.count("POST", "/actions/refresh-updates");
                    assert!(node.wait_until(RUN_MAX, |view| count(view) == posted), "{name}");
                    // On a busy machine the server may read the last status request, which
                    // timed out, only after the refresh.
                    let mut requested = node.requested().split_off(before.len());
                    assert_eq!(requested[0], GET, "{name}");
                    requested.sort();
                    requested.dedup();
                    assert_eq!(requested, [GET, POST][..1 + posts], "{name}");
                });
            }
        }
    });
}

#[test]
fn lock_that_is_released_is_waited_for() {
    let unlock = |node: &mut Simulated, _| node.set_lock(None);
    type Release = fn(&mut Simulated, Duration);
    let activation_ends: Release = |node, now| {
        node.set_lock(None);
        node.run(Activate, now).unwrap();
    };
    for (name, steps, release, status, line) in [
        ("just booted", 0, unlock as Release, 1, JUST_BOOTED),
        ("available", 1, unlock, 1, AVAILABLE),
        ("staged", 2, unlock, 1, STAGED),
        ("staged, and an activate ends", 2, activation_ends, 0, READY),
        ("ready", 3, unlock, 0, READY),
    ] {
        let node = Node::after(&STEPS[..steps]);
        node.set_lock(Some(Lock::Exclusive));
        let mut requests = 0;
        node.before_each(move |node, request| {
            requests += 1;
            if requests == 3 {
                release(node, request.at);
            }
        });
        assert_eq!(run(&mut node.program("checker")), printed(status, line), "{name}");
        assert_eq!(node.requested(), [GET; 3], "{name}");
    }
}

#[test]
fn socket_that_disappears_after_a_lock_is_not_a_no() {
    let node = Node::after(&STEPS);
    node.set_lock(Some(Lock::Exclusive));
    let mut ran = thread::scope(|scope| {
        let ran = scope.spawn(|| run(&mut node.program("checker")));
        assert!(node.wait_until(RUN_MAX, |view| !view.requests.is_empty()));
        fs::remove_file(node.path()).unwrap();
        ran.join().unwrap()
    });
    ran.stderr = node.mask(&ran.stderr);
    assert_eq!(ran, failed(&format!("SOCKET: {MISSING}")));
}
