//! The address of the server.

use super::{SELDOM, Serving, no_offer, read};
use crate::common::daemon::Running;
use crate::common::records::{Format, Record};
use crate::common::{Node, program, run};
use rustix::process::Signal;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

#[test]
fn address_in_use_is_retried_and_the_node_is_updated_meanwhile() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let node = Node::start(no_offer());
    let flag = format!("-metrics-address={address}");
    let mut updater = Running::start(node.program("updater").args(SELDOM).arg(&flag));
    // The node is updated meanwhile.
    updater.wait_for("event=nothing_to_do");
    // The address becomes free, and the updater serves at it.
    drop(taken);
    updater.wait_for("event=serving_metrics");
    let serving = Serving { updater, address: address.parse().unwrap() };
    let page = serving.page();
    assert_eq!(page.get("updater_events_total{event=\"serving_failed\"}"), 1.0);
    let summary: Vec<_> = serving.stop().records.iter().map(Record::summary).collect();
    let cannot = "error: cannot serve metrics and health checks; retrying, and updating meanwhile";
    assert_eq!(summary[1], format!("{cannot} address={address} error=address already in use"));
    // An address that no interface has. The record has the selected format.
    let flags = ["-metrics-address=192.0.2.1:1", "-log-format=json", "-log-level=error"];
    let mut updater = Running::start(node.program("updater").args(SELDOM).args(flags));
    updater.format = Format::Json;
    updater.wait_for("serving_failed");
    let summary: Vec<_> = updater.stop(Signal::TERM).records.iter().map(Record::summary).collect();
    assert_eq!(summary, [format!("{cannot} address=192.0.2.1:1 error=address not available")]);
    // With -one-time there is no server.
    let ran = run(node.program("updater").args(["-one-time", &flag]));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("serving_metrics"), "{ran:?}");
    // Nor is there one with "off".
    let off = ["-metrics-address=127.0.0.1:0", "-metrics-address=off"];
    let mut updater = Running::start(node.program("updater").args(SELDOM).args(off));
    updater.wait_for("nothing to do");
    assert_eq!(updater.log.len(), 3, "{:?}", updater.log);
}

#[test]
fn port_alone_listens_on_all_addresses() {
    let node = Node::start(no_offer());
    let serving = Serving::start(node.program("updater").args(SELDOM).arg("-metrics-address=:0"));
    serving.is_alive();
    if TcpListener::bind("[::1]:0").is_ok() {
        let v6 = SocketAddr::new("::1".parse().unwrap(), serving.address.port());
        let mut stream = TcpStream::connect(v6).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        assert!(read(stream).ends_with("\r\n\r\nok\n"));
    }
    // A new daemon can use the same port at once.
    let port = format!("-metrics-address=:{}", serving.address.port());
    serving.stop();
    let again = Serving::start(node.program("updater").args(SELDOM).arg(port));
    again.is_alive();
    again.stop();
}

#[test]
fn address_of_ipv6_is_listened_on() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("not tested: this machine has no IPv6");
        return;
    }
    let node = Node::start(no_offer());
    let flag = "-metrics-address=[::1]:0";
    let mut serving = Serving::start(node.program("updater").args(SELDOM).arg(flag));
    let port = serving.address.port();
    // Only this address.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    serving.address = (Ipv6Addr::LOCALHOST, port).into();
    serving.is_alive();
    serving.stop();
}

#[test]
fn bad_address_is_a_usage_error() {
    let ran = run(program("updater").args(["-metrics-address", "localhost:80"]));
    let line = "bottlerocket-updater: bad value \"localhost:80\" for flag -metrics-address: it \
                takes an address like :8080, 127.0.0.1:8080 or [::1]:8080, or off; see bottlerocket-updater \
                --help\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(2), line));
}
