//! Answers that no API server should give, against every program that may get
//! them: what cannot be understood is never a yes, is told in one line, and
//! ends in time.

use crate::common::{Directory, Node, Ran, program, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, Rule, Then};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

const GET: &str = "GET /updates/status";
const POST: &str = "POST /actions/reboot";
/// What a run may take that has `-timeout 2s`, or an answer at once, on a
/// machine that is busy.
const SOON: Duration = Duration::from_secs(10);

/// A program with the arguments that make it ask for the status first.
const READERS: [(&str, &str); 3] =
    [("checker", "-refresh=false"), ("reboot", "-if-ready"), ("updater", "-one-time")];

/// What a program says if its call did not work, with exit status 3.
fn failed(program: &str, flag: &str, why: &str) -> Ran {
    let stderr = match (program, flag) {
        ("updater", _) => {
            let why = why.replace('\\', "\\\\").replace('"', "\\\"");
            format!(
                "time=TIME level=error event=api_lost msg=\"the API is unavailable\" call=status \
                 error=\"{why}\" socket=SOCKET\n"
            )
        }
        ("reboot", "") => {
            format!("bottlerocket-reboot: cannot reboot the node through SOCKET: {why}\n")
        }
        _ => format!("bottlerocket-{program}: cannot read the update status from SOCKET: {why}\n"),
    };
    Ran { status: Some(3), stdout: String::new(), stderr }
}

/// Runs a program that must come to its end soon.
fn run(node: &Node, program: &str, arguments: &[&str]) -> Ran {
    let mut ran = run_within(SOON, node.program(program).args(arguments));
    ran.stderr = node.mask(&ran.stderr);
    if let Some((_, rest)) = ran.stderr.strip_prefix("time=").and_then(|rest| rest.split_once(' '))
    {
        ran.stderr = format!("time=TIME {rest}");
    }
    for text in [&ran.stdout, &ran.stderr] {
        let hidden = |character: char| {
            character.is_control()
                || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(text.lines().all(|line| !line.contains(hidden)), "{program}: {text:?}");
    }
    ran
}

/// A node that is ready, of which no program is to find out.
fn node(fault: Fault) -> Node {
    let node = Node::after(&[Refresh, Prepare, Activate]);
    node.inject(Rule::from(fault).forever());
    node
}

fn with_body(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A yes in the fewest bytes: 24.
const READY: &str = "{\"update_state\":\"Ready\"}";

/// A yes behind a head with these lines.
fn ready(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{READY}").into_bytes()
}

/// A yes behind a whole head with these lines.
fn with_head(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}content-length: 24\r\n\r\n{READY}").into()
}

#[test]
fn what_is_no_answer_in_http() {
    let not_http = "the response is not HTTP/1.1";
    let bad_head = "the response has malformed headers";
    let long_head = "the response has headers of over 4096 bytes";
    let no_length = "the response has no content-length";
    let bad_length = "the response has an invalid content-length";
    let two_lengths = "the response has more than one content-length";
    let too_long = "the response is larger than 16 MiB";
    let encoded = "the response has a transfer-encoding";
    let endless = "too many interim (1xx) responses";
    let body = format!("\r\n\r\n{READY}");
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("garbage", b"garbage".into(), not_http),
        ("a document alone", READY.into(), not_http),
        ("NUL", b"\0".into(), not_http),
        ("bytes that are no text", vec![0xff; 10_000], not_http),
        ("HTTP/0.9", format!("200 OK{body}").into(), not_http),
        ("HTTP/1.0", format!("HTTP/1.0 200 OK\r\ncontent-length: 24{body}").into(), not_http),
        ("HTTP/1.2", format!("HTTP/1.2 200 OK\r\ncontent-length: 24{body}").into(), not_http),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), not_http),
        ("frames of HTTP/2", b"\0\0\0\x04\0\0\0\0\0".into(), not_http),
        ("lower case", format!("http/1.1 200 ok\r\ncontent-length: 24{body}").into(), not_http),
        ("an empty line first", [b"\r\n", &*with_body("200 OK", READY)].concat(), not_http),
        ("a request", b"GET / HTTP/1.1\r\n\r\n".into(), not_http),
        ("a code of two digits", with_body("20 OK", READY), bad_head),
        ("a code of four digits", with_body("2000 OK", READY), bad_head),
        ("no code", with_body("", READY), bad_head),
        ("a code that is no number", with_body("2oo OK", READY), bad_head),
        ("NUL in the status line", with_body("200 O\0K", READY), bad_head),
        ("NUL in a name", ready("a\0b: c\r\ncontent-length: 24"), bad_head),
        ("NUL in a value", ready("a: \0\r\ncontent-length: 24"), bad_head),
        ("a line without a colon", ready("nonsense\r\ncontent-length: 24"), bad_head),
        ("a line without a name", ready(": x\r\ncontent-length: 24"), bad_head),
        ("a folded line", ready("a: b\r\n c\r\ncontent-length: 24"), bad_head),
        ("a space before the colon", ready("content-length : 24"), bad_head),
        ("a carriage return alone", ready("a: b\rc\r\ncontent-length: 24"), bad_head),
        ("33 lines", ready(&format!("{}content-length: 24", "a: b\r\n".repeat(32))), bad_head),
        ("5000 lines", ready(&"a: b\r\n".repeat(5000)), bad_head),
        (
            "a head of 4097 bytes",
            with_head(&format!("a: {}\r\n", "b".repeat(4097 - 44))),
            long_head,
        ),
        ("a line of 5000 bytes", ready(&format!("a: {}", "b".repeat(5000))), long_head),
        ("a line of a mebibyte", ready(&format!("a: {}", "b".repeat(1 << 20))), long_head),
        ("a name of a mebibyte", ready(&"a".repeat(1 << 20)), long_head),
        ("chunks", ready("transfer-encoding: chunked"), encoded),
        ("chunks and a length", ready("content-length: 24\r\nTransfer-Encoding: chunked"), encoded),
        ("compressed", ready("transfer-encoding: gzip\r\ncontent-length: 24"), encoded),
        ("no length", ready("connection: close"), no_length),
        ("no length with an error", b"HTTP/1.1 500 \r\n\r\n".into(), no_length),
        ("two lengths", ready("content-length: 24\r\ncontent-length: 23"), two_lengths),
        ("a length twice", ready("content-length: 24\r\nContent-Length: 24"), two_lengths),
        ("a list of lengths", ready("content-length: 24, 24"), bad_length),
        ("a negative length", ready("content-length: -24"), bad_length),
        ("a positive length", ready("content-length: +24"), bad_length),
        ("an empty length", ready("content-length:"), bad_length),
        ("a hexadecimal length", ready("content-length: 0x18"), bad_length),
        ("a fraction of a length", ready("content-length: 24.0"), bad_length),
        ("a length of 2^64 + 24", ready("content-length: 18446744073709551640"), bad_length),
        ("a length of 10^40", ready(&format!("content-length: 1{}", "0".repeat(40))), bad_length),
        ("a length of 2^64 - 1", ready("content-length: 18446744073709551615"), too_long),
        ("a length of 2^63", ready("content-length: 9223372036854775808"), too_long),
        ("a byte more than 16 MiB", ready("content-length: 16777217"), too_long),
        ("20 MiB", with_body("200 OK", vec![b' '; 20 << 20]), too_long),
        (
            "a 204 with a length",
            with_body("204 No Content", READY),
            "the response is a 204 with a body",
        ),
        (
            "another protocol",
            with_body("101 Switching Protocols", READY),
            "the response switches to another protocol (101)",
        ),
        (
            "five interim answers",
            [b"HTTP/1.1 100 Continue\r\n\r\n".repeat(5), with_body("200 OK", READY)].concat(),
            endless,
        ),
        ("interim answers of unheard-of codes", b"HTTP/1.1 199 \r\n\r\n".repeat(5), endless),
    ];
    for (name, answer, why) in cases {
        let node = node(Fault::raw(answer.clone()));
        for (program, flag) in READERS {
            let ran = run(&node, program, &[flag]);
            assert_eq!(ran, failed(program, flag, why), "{name}");
        }
        assert_eq!(node.requested(), [GET; 3], "{name}");
        assert_eq!(run(&node, "reboot", &[]), failed("reboot", "", why), "{name}");
        assert_eq!(node.requested()[3..], [POST], "{name}");
    }
}

/// Bytes that would never end, were they listened to.
#[test]
fn what_has_no_end() {
    for (name, start, again, why) in [
        ("garbage", "", "garbage", "the response is not HTTP/1.1"),
        (
            "interim answers",
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "too many interim (1xx) responses",
        ),
        ("a line", "HTTP/1.1 200 OK\r\na: ", "b", "the response has headers of over 4096 bytes"),
        ("lines", "HTTP/1.1 200 OK\r\n", "a: b\r\n", "the response has malformed headers"),
        (
            "a body",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            " ",
            "the response is larger than 16 MiB",
        ),
    ] {
        let node = node(Fault::Flood(start.into(), again.into()));
        for (program, flag) in READERS.into_iter().chain([("reboot", "")]) {
            let flags = if flag.is_empty() { &[] } else { &[flag][..] };
            assert_eq!(run(&node, program, flags), failed(program, flag, why), "{name}");
        }
    }
}

/// The connection is closed too early. Nobody knows then what becomes of a
/// reboot, so it looks again.
#[test]
fn what_breaks_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n";
    for (name, answer, why) in [
        ("no answer", String::new(), "connection closed before a response"),
        ("a byte", "H".into(), "connection closed in the middle of the response headers"),
        (
            "a status line",
            "HTTP/1.1 200 OK\r\n".into(),
            "connection closed in the middle of the response headers",
        ),
        (
            "all of a head but its last byte",
            head[..head.len() - 1].into(),
            "connection closed in the middle of the response headers",
        ),
        (
            "an interim answer",
            "HTTP/1.1 100 Continue\r\n\r\n".into(),
            "connection closed in the middle of the response headers",
        ),
        ("a head", head.into(), "connection closed after 0 of 24 bytes of the response body"),
        (
            "all but the last byte",
            format!("{head}{}", &READY[..23]),
            "connection closed after 23 of 24 bytes of the response body",
        ),
        (
            "a document, of which more was announced",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n{READY}"),
            "connection closed after 24 of 25 bytes of the response body",
        ),
    ] {
        let node = node(Fault::raw(answer));
        for (program, flag) in READERS {
            let ran = run(&node, program, &[flag]);
            assert_eq!(ran, failed(program, flag, why), "{name}");
        }
        assert_eq!(node.requested(), [GET; 3], "{name}");
        // It looks for seconds whether that goes on: one is enough.
        if name != "no answer" {
            continue;
        }
        let mut twice = failed("reboot", "", why);
        let first = format!("bottlerocket-reboot: {why}; checking whether the API comes back\n");
        twice.stderr.insert_str(0, &first);
        assert_eq!(run(&node, "reboot", &[]), twice, "{name}");
        let posts = &node.requested()[3..];
        assert!(posts.len() > 2 && posts.iter().all(|request| request == POST), "{posts:?}");
    }
}

/// Answers that are understood and are none that is hoped for: what is said of
/// them by whoever asks for the status, and for the reboot.
#[test]
fn what_says_no() {
    let answered = |what: &str| format!("the API returned {what}");
    let long = "\u{1b}[31mx".repeat(200_000);
    let cases: &[(Vec<u8>, Option<String>, Option<String>)] = &[
        (
            with_body("200 OK", ""),
            Some("the status document is invalid: truncated JSON at byte 0".into()),
            Some(answered("200 without a reason")),
        ),
        (with_body("200 OK", READY), None, Some(answered(&format!("200: {READY}")))),
        (with_body("201 Created", READY), Some(answered(&format!("201: {READY}"))), None),
        (with_body("202 Accepted", ""), Some(answered("202 without a reason")), None),
        (with_body("204 No Content", ""), Some(answered("204 without a reason")), None),
        (with_body("206 Partial Content", READY), Some(answered(&format!("206: {READY}"))), None),
        (with_body("302 Found", ""), Some(answered("302 without a reason")), None),
        (with_body("400 Bad Request", ""), Some(answered("400 without a reason")), None),
        (with_body("403 Forbidden", "go away"), Some(answered("403: go away")), None),
        (
            with_body("404 Not Found", ""),
            Some("the API does not know this call (404)".into()),
            None,
        ),
        (with_body("404 Not Found", READY), Some(answered(&format!("404: {READY}"))), None),
        (
            with_body("404 Not Found", "Update status is not what you think"),
            Some(answered("404: Update status is not what you think")),
            None,
        ),
        (
            with_body("408 Request Timeout", ""),
            Some("the API did not receive the whole request in time (408)".into()),
            None,
        ),
        (with_body("409 Conflict", "no"), Some(answered("409: no")), None),
        (with_body("423 Locked", "held"), None, Some(answered("423: held"))),
        (with_body("500 ", "\r\n\t"), Some(answered("500 without a reason")), None),
        (with_body("500 ", READY), Some(answered(&format!("500: {READY}"))), None),
        (with_body("500 ", b"a\xff\0b"), Some(answered("500: a\u{fffd} b")), None),
        (
            with_body("500 ", "\u{1b}[1mbold\u{1b}[0m\u{202e}\u{2028}two\r\nlines\u{9b}1m"),
            Some(answered("500: bold\u{fffd} two lines 1m")),
            None,
        ),
        (
            with_body("500 ", &long),
            Some(answered(&format!(
                "500: {} [199500 bytes left out] {}",
                "x".repeat(200),
                "x".repeat(300)
            ))),
            None,
        ),
        (with_body("503 Service Unavailable", "busy"), Some(answered("503: busy")), None),
        (with_body("999 ", "?"), Some(answered("999: ?")), None),
    ];
    for (answer, status, reboot) in cases {
        let name = String::from_utf8_lossy(&answer[..answer.len().min(80)]);
        let node = node(Fault::raw(answer.clone()));
        if let Some(why) = status {
            for (program, flag) in READERS {
                let ran = run(&node, program, &[flag]);
                assert_eq!(ran, failed(program, flag, why), "{name}");
            }
            assert_eq!(node.requested(), [GET; 3], "{name}");
        }
        let before = node.requested().len();
        match reboot.as_ref().or(status.as_ref()) {
            Some(why) if !name.contains(" 204 ") => {
                assert_eq!(run(&node, "reboot", &[]), failed("reboot", "", why), "{name}");
                assert_eq!(node.requested()[before..], [POST], "{name}");
            }
            _ => {}
        }
    }
}

/// Documents that come with a 200 and are not understood.
#[test]
fn what_is_no_status() {
    let wrong = |what: &str| format!("the status document is invalid: {what}");
    let malformed = |at: usize| wrong(&format!("malformed JSON at byte {at}"));
    let other_type = |at: usize| wrong(&format!("a value of the wrong type at byte {at}"));
    let truncated = |at: usize| wrong(&format!("truncated JSON at byte {at}"));
    let twice = |at: usize| wrong(&format!("duplicate member at byte {at}"));
    let stateless = || "the status document has no update_state".to_string();
    let not_plain =
        || "the status document has a name or version that is not plain text".to_string();
    let unknown = |state: &str| format!("unknown update state \"{state}\"");
    let state = |value: &str| format!("{{\"update_state\":{value}}}").into_bytes();
    let text = |text: &str| text.as_bytes().to_vec();
    let cases: &[(&str, Vec<u8>, String)] = &[
        ("nothing but space", text(" \r\n"), truncated(3)),
        ("a string", text("\"Ready\""), malformed(0)),
        ("an array", text("[{\"update_state\":\"Ready\"}]"), malformed(0)),
        ("a number", text("0"), malformed(0)),
        ("null", text("null"), malformed(0)),
        ("a byte order mark", text(&format!("\u{feff}{READY}")), malformed(0)),
        ("HTML", text("<html>Ready</html>"), malformed(0)),
        ("NUL first", text(&format!("\0{READY}")), malformed(0)),
        ("NUL inside", text("{\"update_state\":\0\"Ready\"}"), malformed(16)),
        ("a comment", text("{/**/\"update_state\":\"Ready\"}"), malformed(1)),
        ("single quotes", text("{'update_state':'Ready'}"), malformed(1)),
        ("no quotes", text("{update_state:Ready}"), malformed(1)),
        ("a comma too many", text("{\"update_state\":\"Ready\",}"), malformed(24)),
        ("a comma too few", text("{\"update_state\":\"Ready\" \"a\":1}"), malformed(24)),
        ("bytes behind", text(&format!("{READY}x")), malformed(24)),
        ("a second document behind", text(&format!("{READY}{READY}")), malformed(24)),
        ("cut", text(&READY[..23]), truncated(23)),
        ("cut in the state", text(&READY[..21]), truncated(21)),
        ("a bracket that closes nothing", text(&format!("{READY}}}")), malformed(24)),
        ("a bracket of the other kind", text("{\"update_state\":\"Ready\"]"), malformed(23)),
        ("brackets that cross", text("{\"a\":[{]},\"update_state\":\"Ready\"}"), malformed(7)),
        ("a bracket too few", text("{\"a\":[[1,2],\"update_state\",\"Ready\"}"), malformed(34)),
        ("a line break in the state", state("\"Ready\n\""), malformed(22)),
        ("an escape that is none", state("\"\\Ready\""), malformed(18)),
        ("half an escape", state("\"Ready\\u00\""), malformed(26)),
        ("empty", text("{}"), stateless()),
        ("no state", text("{\"available_updates\":[],\"chosen_update\":null}"), stateless()),
        ("null for a state", state("null"), stateless()),
        ("a number for a state", state("1"), other_type(17)),
        ("true for a state", state("true"), other_type(20)),
        ("an object for a state", state("{\"update_state\":\"Ready\"}"), other_type(16)),
        ("an array for a state", state("[\"Ready\"]"), other_type(16)),
        ("a word for a state", state("Ready"), malformed(16)),
        ("no text for a state", state("\"\""), unknown("")),
        ("lower case", state("\"ready\""), unknown("ready")),
        ("upper case", state("\"READY\""), unknown("READY")),
        ("a space behind", state("\"Ready \""), unknown("Ready ")),
        ("a space before", state("\" Ready\""), unknown(" Ready")),
        ("the beginning", state("\"Read\""), unknown("Read")),
        ("more behind", state("\"ReadyToGo\""), unknown("ReadyToGo")),
        ("NUL behind", state("\"Ready\\u0000\""), unknown("Ready\\u0000")),
        ("escaped", state("\"\\u0052eady\""), unknown("\\u0052eady")),
        ("letters that look alike", state("\"R\u{435}ady\""), unknown("R\u{435}ady")),
        ("a new state", state("\"Rebooting\""), unknown("Rebooting")),
        (
            "a long state",
            state(&format!("\"Ready{}\"", "y".repeat(1000))),
            unknown(&format!("Ready{}", "y".repeat(54))),
        ),
        (
            "a state that would take over a terminal",
            state("\"\u{9b}31m\u{202e}red\u{2028}\""),
            not_plain(),
        ),
        (
            "two states, a no first",
            text("{\"update_state\":\"Idle\",\"update_state\":\"Ready\"}"),
            twice(36),
        ),
        (
            "two states, a yes first",
            text("{\"update_state\":\"Ready\",\"update_state\":\"Idle\"}"),
            twice(37),
        ),
        (
            "two states, the same",
            text("{\"update_state\":\"Ready\",\"update_state\":\"Ready\"}"),
            twice(37),
        ),
        (
            "two states, one null",
            text("{\"update_state\":null,\"update_state\":\"Ready\"}"),
            twice(34),
        ),
        (
            "two images are chosen",
            text(
                "{\"chosen_update\":{\"version\":\"1\"},\"update_state\":\"Ready\",\
                 \"chosen_update\":{\"version\":\"2\"}}",
            ),
            twice(70),
        ),
        (
            "an image with two versions",
            text(
                "{\"update_state\":\"Ready\",\
                 \"staging_partition\":{\"image\":{\"version\":\"1\",\"version\":\"2\"}}}",
            ),
            twice(76),
        ),
        (
            "states without end",
            text(&format!(
                "{{\"update_state\":\"Ready\"{}}}",
                ",\"update_state\":\"Ready\"".repeat(1000)
            )),
            twice(37),
        ),
        ("a state in an object", text("{\"status\":{\"update_state\":\"Ready\"}}"), stateless()),
        (
            "a state in an object that is known",
            text("{\"most_recent_command\":{\"update_state\":\"Ready\"}}"),
            stateless(),
        ),
        ("a state in an array", text("{\"a\":[{\"update_state\":\"Ready\"}]}"), stateless()),
        (
            "a state in a string",
            text("{\"a\":\"\\\",\\\"update_state\\\":\\\"Ready\\\"\"}"),
            stateless(),
        ),
        (
            "a state in stderr",
            text(
                "{\"most_recent_command\":{\"stderr\":\"\\\"}},\\\"update_state\\\":\\\"Ready\\\"\"}}",
            ),
            stateless(),
        ),
        (
            "a state by another name",
            text("{\"state\":\"Ready\",\"updateState\":\"Ready\"}"),
            stateless(),
        ),
        ("a name in upper case", text("{\"UPDATE_STATE\":\"Ready\"}"), stateless()),
        ("an escaped name", text("{\"\\u0075pdate_state\":\"Ready\"}"), stateless()),
        ("Ready for a name", text("{\"Ready\":\"update_state\"}"), stateless()),
        (
            "Idle, and Ready all around it",
            text(
                "{\"a\":{\"update_state\":\"Ready\"},\"update_state\":\"idle\",\
                 \"b\":[{\"update_state\":\"Ready\"}]}",
            ),
            unknown("idle"),
        ),
        (
            "a partition that is none",
            text("{\"update_state\":\"Ready\",\"staging_partition\":\"1.26.1\"}"),
            other_type(44),
        ),
        (
            "a version that is none",
            text("{\"update_state\":\"Ready\",\"chosen_update\":{\"version\":1.26}}"),
            other_type(55),
        ),
        (
            "a state that is no UTF-8",
            [b"{\"update_state\":\"Ready".as_slice(), b"\xff\"}"].concat(),
            not_plain(),
        ),
        (
            "a version that is no UTF-8",
            [
                b"{\"update_state\":\"Ready\",\"chosen_update\":{\"version\":\"".as_slice(),
                b"\xff\"}}",
            ]
            .concat(),
            not_plain(),
        ),
    ];
    for (name, document, why) in cases {
        let node = node(Fault::raw(with_body("200 OK", document)));
        for (program, flag) in READERS {
            let ran = run(&node, program, &[flag]);
            assert_eq!(ran, failed(program, flag, why), "{name}");
        }
        assert_eq!(node.requested(), [GET; 3], "{name}");
    }
}

/// Answers that are unusual and understood all the same: what the checker says
/// of them, and whether the node may be rebooted.
#[test]
fn what_is_understood_all_the_same() {
    let ready = |members: &str| {
        with_body("200 OK", format!("{{{members},\"update_state\":\"Ready\",{members}}}"))
    };
    let yes =
        "yes: state Ready, the next boot starts an unknown version; running an unknown version";
    let no = "no: state Idle, no update chosen; running an unknown version";
    let not_yet = "no: no refresh since the node booted";
    let captured = "no: state Available, 1.26.1 is chosen but not prepared; \
                    running 1.26.0, variant aws-k8s-1.30, arch x86_64";
    let long = |name: &str| {
        let text = "\\u001b[31m \\\" }, ☃\\n".repeat(60_000);
        format!("\"most_recent_command\":{{\"{name}\":\"{text}\"}}")
    };
    let deep = |depth: usize| {
        format!("\"new\":{}{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2))
            .replace(":}", ":0}")
    };
    let versions = (0..5000).map(|n| format!("\"1.{n}.0\"")).collect::<Vec<_>>().join(",");
    let cases: Vec<(&str, Vec<u8>, i32, &str)> = vec![
        ("a state alone", with_body("200 OK", READY), 0, yes),
        (
            "space around everything",
            with_body("200 OK", "\r\n{\t\"update_state\" :\n \"Ready\" }\n"),
            0,
            yes,
        ),
        ("no reason phrase", with_body("200", READY), 0, yes),
        ("another reason phrase", with_body("200 Not At All", READY), 0, yes),
        ("another content type", with_head("content-type: text/html\r\n"), 0, yes),
        ("an empty content type", with_head("content-type:\r\n"), 0, yes),
        ("32 lines", with_head(&"a: b\r\n".repeat(31)), 0, yes),
        ("a head of 4096 bytes", with_head(&format!("a: {}\r\n", "b".repeat(4096 - 44))), 0, yes),
        ("names in upper case", with_head("A: B\r\nCONNECTION: CLOSE\r\n"), 0, yes),
        (
            "lines that end in a line feed",
            format!("HTTP/1.1 200 OK\ncontent-length: 24\n\n{READY}").into(),
            0,
            yes,
        ),
        (
            "zeros before the length",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 00024\r\n\r\n{READY}").into(),
            0,
            yes,
        ),
        (
            "four interim answers",
            [b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n".repeat(4), with_body("200 OK", READY)]
                .concat(),
            0,
            yes,
        ),
        (
            "bytes behind",
            [with_body("200 OK", READY), b"\0garbage".repeat(10_000)].concat(),
            0,
            yes,
        ),
        (
            "a yes behind a no",
            [with_body("200 OK", "{\"update_state\":\"Idle\"}"), with_body("200 OK", READY)]
                .concat(),
            1,
            no,
        ),
        (
            "a yes behind a 404",
            [
                with_body(
                    "404 ",
                    "Update status is uninitialized, refresh-updates to initialize it",
                ),
                with_body("200 OK", READY),
            ]
            .concat(),
            1,
            not_yet,
        ),
        (
            "a yes in a 404",
            with_body("404 ", format!("Update status is uninitialized{READY}")),
            1,
            not_yet,
        ),
        ("null everywhere", ready("\"available_updates\":null,\"new\":null"), 0, yes),
        ("an empty name", ready("\"\":1"), 0, yes),
        (
            "new members",
            ready("\"a\":1,\"b\":-1.5e+9,\"c\":true,\"d\":null,\"e\":\"x\",\"f\":[],\"g\":{}"),
            0,
            yes,
        ),
        (
            "new members that are nested",
            ready(
                "\"a\":[{\"update_state\":\"Idle\"},[[{}]],\"update_state\"],\"b\":{\"c\":{\"update_state\":1}}",
            ),
            0,
            yes,
        ),
        ("a text that looks like the end", ready("\"a\":\"\\\"}\",\"b\":\"\\\\\""), 0, yes),
        (
            "text that is no UTF-8 where nobody looks",
            {
                let mut answer = ready("\"a\":\"xx\"");
                for byte in answer.iter_mut().filter(|byte| **byte == b'x') {
                    *byte = 0xff;
                }
                answer
            },
            0,
            yes,
        ),
        ("a thousand levels", ready(&deep(1_000)), 0, yes),
        ("100,000 levels", ready(&deep(100_000)), 0, yes),
        ("5,000 versions", ready(&format!("\"available_updates\":[{versions}]")), 0, yes),
        (
            "5,000 new members",
            ready(&(0..5000).map(|n| format!("\"m{n}\":[{n}]")).collect::<Vec<_>>().join(",")),
            0,
            yes,
        ),
        (
            "a name of a mebibyte",
            ready(&format!("\"{}\":1", "update_state".repeat(1 << 16))),
            0,
            yes,
        ),
        ("a new member of a mebibyte", ready(&long("new").replace("most_recent", "new")), 0, yes),
        (
            "a stderr of more than a mebibyte",
            with_body("200 OK", format!("{{{},\"update_state\":\"Ready\"}}", long("stderr"))),
            0,
            yes,
        ),
        (
            "a stderr that is no text",
            with_body(
                "200 OK",
                "{\"most_recent_command\":{\"stderr\":[{}]},\"update_state\":\"Ready\"}",
            ),
            0,
            yes,
        ),
        (
            "a new outcome of a new command",
            with_body(
                "200 OK",
                "{\"most_recent_command\":{\"cmd_type\":\"repair\",\"cmd_status\":\"Perhaps\",\
                 \"timestamp\":\"never\",\"exit_status\":-1e99},\"update_state\":\"Ready\"}",
            ),
            0,
            yes,
        ),
        (
            "versions of any kind and length",
            with_body(
                "200 OK",
                format!(
                    "{{\"update_state\":\"Ready\",\"staging_partition\":{{\"image\":{{\
                     \"version\":\"{}\"}}}},\"active_partition\":{{\"image\":{{\
                     \"version\":\"\\u001b[31m\",\"variant\":\"é\",\"arch\":\"\"}}}}}}",
                    "9".repeat(1000)
                ),
            ),
            0,
            "yes: state Ready, the next boot starts \
             99999999999999999999999999999999999999999999999999999999999; \
             running \\u001b[31m, variant é, arch ",
        ),
        (
            "captured, and of another order",
            with_body(
                "200 OK",
                "{\"active_partition\":{\"next_to_boot\":true,\"image\":{\"variant\":\
                 \"aws-k8s-1.30\",\"version\":\"1.26.0\",\"arch\":\"x86_64\"}},\"chosen_update\":\
                 {\"variant\":\"aws-k8s-1.30\",\"version\":\"1.26.1\",\"arch\":\"x86_64\"},\
                 \"staging_partition\":null,\"update_state\":\"Available\"}",
            ),
            1,
            captured,
        ),
    ];
    for (name, answer, status, line) in cases {
        let node = Node::after(&[Refresh, Prepare, Activate]);
        node.inject(Rule::from(Fault::raw(answer)).on("GET", "/updates/status").forever());
        let ran = run(&node, "checker", &[]);
        let said = |line: &str| Ran {
            status: Some(status),
            stdout: format!("{line}\n"),
            stderr: String::new(),
        };
        assert_eq!(ran, said(line), "{name}");
        let ran = run(&node, "reboot", &["-if-ready"]);
        let line = match line.split_once(": ").unwrap() {
            ("no", why) => format!("not rebooting: {why}"),
            _ => "the reboot is on its way".into(),
        };
        assert_eq!(ran, said(&line), "{name}");
        let requested: &[&str] = if status == 0 { &[GET, GET, POST] } else { &[GET, GET] };
        assert_eq!(node.requested(), *requested, "{name}");
    }
}

/// Long enough for what comes at once, even on a machine that is busy.
const SHORT: [&str; 2] = ["-timeout", "2s"];
const RUNS: [(&str, &str); 3] = [("checker", "-refresh"), ("reboot", "-if-ready"), ("reboot", "")];

/// What does not come at all, or not in time: the programs end by their own
/// deadline.
#[test]
fn what_comes_too_late() {
    let none = "timed out waiting for a response (-timeout 2s)";
    let some = "timed out reading the response (-timeout 2s)";
    let silence = |bytes: &str| Fault::Instead(bytes.into(), Then::Silence);
    let drip = |millis| Fault::Drip(Duration::from_millis(millis));
    let cases = [
        ("silence", Fault::silence(), none),
        ("a byte", silence("H"), some),
        ("half a head", silence("HTTP/1.1 204 No Content\r\n"), some),
        ("an interim answer", silence("HTTP/1.1 100 Continue\r\n\r\n"), some),
        ("half a body", silence("HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"update_"), some),
        (
            "a document, of which more is announced",
            silence(&format!("HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n{READY}")),
            some,
        ),
        ("a true answer, a byte an hour", drip(3_600_000), none),
        ("a true answer, a byte a second", drip(1000), some),
        ("a true answer, a byte every 50 ms", drip(50), some),
    ];
    // All of them at the same time, since each takes its time.
    thread::scope(|scope| {
        for (name, fault, why) in cases {
            for (program, flag) in RUNS {
                let fault = fault.clone();
                scope.spawn(move || {
                    let node = node(fault);
                    let flags = [SHORT[0], SHORT[1], flag];
                    let flags = if flag.is_empty() { &flags[..2] } else { &flags };
                    assert_eq!(run(&node, program, flags), failed(program, flag, why), "{name}");
                    let asked = if flag.is_empty() { POST } else { GET };
                    assert_eq!(node.requested(), [asked], "{name}");
                });
            }
        }
    });
}

/// There is always something to read, and the deadline counts all the same.
#[test]
fn what_comes_too_fast() {
    let body = "HTTP/1.1 200 OK\r\ncontent-length: 16777216\r\n\r\n";
    let flood = Fault::Flood(body.into(), vec![b' '; 65536]);
    let node = node(flood);
    for (program, flags) in [("checker", &[][..]), ("reboot", &["-if-ready"])] {
        // Nobody reads that much in that time.
        let ran = run(&node, program, &[&["-timeout", "5ms"], flags].concat());
        let ways = ["timed out waiting for a response", "timed out reading the response"];
        let late = |why: &&str| ran == failed(program, "-", &format!("{why} (-timeout 5ms)"));
        assert!(ways.iter().any(late), "{ran:?}");
    }
}

/// A server that answers and does not close is not waited for.
#[test]
fn what_is_complete_counts_at_once() {
    let node = Node::after(&[Refresh, Prepare, Activate]);
    node.inject(Rule::from(Fault::Cut(usize::MAX, Then::Silence)).forever());
    // No run can be that long.
    let forever = ["-timeout", "1000000h"];
    assert_eq!(run(&node, "checker", &forever).status, Some(0));
    let on_its_way =
        Ran { status: Some(0), stdout: "the reboot is on its way\n".into(), stderr: "".into() };
    assert_eq!(run(&node, "reboot", &[&forever[..], &["-if-ready"]].concat()), on_its_way);
}

/// A server that takes no connections, once its queue is full, or that takes
/// them and never looks at them.
#[test]
fn who_never_listens() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let directory = Directory::new();
    let path = directory.socket();
    let path = path.to_str().unwrap();
    let server = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&server, &SocketAddrUnix::new(path).unwrap()).unwrap();
    for (room, why) in [
        (100, "timed out waiting for a response (-timeout 2s)"),
        // Those from before are still in the queue.
        (0, "timed out connecting to the API (-timeout 2s)"),
    ] {
        listen(&server, room).unwrap();
        for (name, flag) in RUNS {
            let mut command = program(name);
            command.args(["-socket", path]).args(SHORT);
            command.args(Some(flag).filter(|flag| !flag.is_empty()));
            let mut ran = run_within(SOON, &mut command);
            ran.stderr = ran.stderr.replace(path, "SOCKET");
            assert_eq!(ran, failed(name, flag, why));
        }
    }
}

/// A server that closes before it has looked at the request: where that is
/// noticed is a matter of luck, but it is never a yes.
#[test]
fn who_closes_at_once() {
    let directory = Directory::new();
    let path = directory.socket();
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    for _ in 0..20 {
        let mut ran = run_within(SOON, program("checker").arg("-socket").arg(&path));
        ran.stderr = ran.stderr.replace(path.to_str().unwrap(), "SOCKET");
        let ways = [
            "cannot send the request: broken pipe",
            "cannot receive the response: connection reset",
            "connection closed before a response",
        ];
        assert!(ways.iter().any(|why| ran == failed("checker", "", why)), "{ran:?}");
    }
}
