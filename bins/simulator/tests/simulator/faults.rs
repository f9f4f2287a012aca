//! Faults, and the rules for the requests that they hit.

use super::{
    LONG, NOT_ALLOWED, STATUS, ask, connect, instant, post, raw, read, request, start, state,
};
use bottlerocket_simulator::Command::Prepare;
use bottlerocket_simulator::State::Idle;
use bottlerocket_simulator::{Fault, Rule, Then};
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn each_fault_damages_the_answer_as_documented() {
    // The fault, whether the request is carried out, whether the server closes the
    // connection, and a check of the bytes. The full answer begins with `whole`.
    let whole = "HTTP/1.1 409 Conflict\r\ncontent-length: 51\r\nconnection: close\r\ndate: ";
    let raw_bytes = b"junk\xff\0".to_vec();
    let answered = |bytes: &[u8], begin: &str, end: &str| {
        bytes.starts_with(begin.as_bytes()) && bytes.ends_with(end.as_bytes())
    };
    type Check<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;
    let rows: Vec<(Fault, bool, bool, Check)> = vec![
        (Fault::close(), false, true, Box::new(|got| got.is_empty())),
        (Fault::silence(), false, false, Box::new(|got| got.is_empty())),
        (Fault::raw(raw_bytes.clone()), false, true, Box::new(|got| got == raw_bytes)),
        (
            Fault::Instead(raw_bytes.clone(), Then::Silence),
            false,
            false,
            Box::new(|got| got == raw_bytes),
        ),
        (Fault::Cut(0, Then::Close), true, true, Box::new(|got| got.is_empty())),
        (Fault::Cut(0, Then::Silence), true, false, Box::new(|got| got.is_empty())),
        (Fault::Cut(12, Then::Close), true, true, Box::new(|got| got == b"HTTP/1.1 409")),
        (
            Fault::Cut(usize::MAX, Then::Close),
            true,
            true,
            Box::new(|got| answered(got, whole, NOT_ALLOWED)),
        ),
        (
            Fault::Before(b"HTTP/1.1 100 Continue\r\n\r\n".into()),
            true,
            true,
            Box::new(|got| answered(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 4", NOT_ALLOWED)),
        ),
        (
            Fault::After(b"more".into()),
            true,
            true,
            Box::new(|got| answered(got, whole, "to update statemore")),
        ),
        (
            Fault::Length(1000),
            true,
            true,
            Box::new(|got| answered(got, &whole.replace("51", "1051"), NOT_ALLOWED)),
        ),
        (
            Fault::Length(-50),
            true,
            true,
            Box::new(|got| answered(got, &whole.replace("51", "1"), NOT_ALLOWED)),
        ),
        (
            Fault::Length(-52),
            true,
            true,
            Box::new(|got| answered(got, &whole.replace("51", "0"), NOT_ALLOWED)),
        ),
        (
            Fault::Drip(Duration::from_micros(10)),
            true,
            true,
            Box::new(|got| answered(got, whole, NOT_ALLOWED)),
        ),
    ];
    for (fault, carried_out, closed, check) in rows {
        let simulator = start(instant());
        simulator.inject(fault.clone());
        let mut stream = connect(&simulator);
        stream
            .write_all(request("POST", Prepare.path(), "Connection: close\r\n").as_bytes())
            .unwrap();
        if !closed {
            // Only a timeout can distinguish silence from slowness. This one is short,
            // but long enough for the simulator.
            assert!(simulator.wait_until(LONG, |view| view.count("POST", Prepare.path()) == 1));
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        }
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got);
        assert_eq!(end.is_ok(), closed, "{fault:?}");
        assert!(check(&got), "{fault:?}: {}", String::from_utf8_lossy(&got));
        assert_eq!(state(&simulator) == Some(Idle), carried_out, "{fault:?}");
        let status = carried_out.then_some(409);
        assert_eq!(simulator.requests()[0].status, status, "{fault:?}");
        assert_eq!(post(&simulator, Prepare).0, 409, "{fault:?} hits only once");
    }
}

#[test]
fn flood_ends_when_the_client_closes() {
    let simulator = start(instant());
    simulator.inject(Fault::Flood(b"head".into(), b"again".into()));
    let mut stream = connect(&simulator);
    stream.write_all(request("GET", STATUS, "").as_bytes()).unwrap();
    let bytes = read(&mut stream, 4 + 5 * 200_000);
    assert!(bytes.starts_with(b"headagainagain"));
    assert!(bytes.ends_with(b"again"));
    drop(stream);
    assert_eq!(ask(&simulator, "GET", STATUS).0, 404);
}

#[test]
fn connection_is_usable_after_a_continuing_fault() {
    let simulator = start(instant());
    simulator.inject(Fault::Instead(b"hello\n".into(), Then::Continue));
    let first = request("GET", STATUS, "");
    let last = request("GET", STATUS, "Connection: close\r\n");
    let answer = raw(&simulator, &(first + &last));
    assert!(answer.starts_with("hello\nHTTP/1.1 404"), "{answer}");
}

#[test]
fn rules_hit_only_matching_requests() {
    let fault = || Rule::from(Fault::raw("HTTP/1.1 555 \r\n\r\n"));
    let status = ("GET", STATUS);
    let refresh = ("POST", "/nope");
    for (name, rules, requests, expected) in [
        ("next", vec![fault()], [status, status, refresh], [555, 404, 404]),
        ("two", vec![fault().times(2)], [status, refresh, status], [555, 555, 404]),
        ("forever", vec![fault().forever()], [status, refresh, status], [555, 555, 555]),
        ("named", vec![fault().on("POST", "/nope")], [status, refresh, refresh], [404, 555, 404]),
        (
            "later",
            vec![fault().on("GET", STATUS).after(1).forever()],
            [status, refresh, status],
            [404, 404, 555],
        ),
        (
            "one after the other",
            vec![fault(), fault().on("GET", STATUS)],
            [status, refresh, status],
            [555, 404, 555],
        ),
    ] {
        let simulator = start(instant());
        for rule in rules {
            simulator.inject(rule);
        }
        let answers = requests.map(|(method, path)| ask(&simulator, method, path).0);
        assert_eq!(answers, expected, "{name}");
        simulator.clear_faults();
        assert_eq!(ask(&simulator, "GET", STATUS).0, 404, "{name}");
    }
}
