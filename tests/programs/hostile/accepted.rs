//! Unusual responses that are accepted.

use super::{GET, POST, READY, run, with_body, with_head};
use crate::common::{Node, Ran};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, Rule};

/// A row has the response, the exit status of the checker, and its output.
#[test]
fn unusual_but_valid_responses_are_accepted() {
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
        ("only a state", with_body("200 OK", READY), 0, yes),
        (
            "white space everywhere",
            with_body("200 OK", "\r\n{\t\"update_state\" :\n \"Ready\" }\n"),
            0,
            yes,
        ),
        ("no reason phrase", with_body("200", READY), 0, yes),
        ("another reason phrase", with_body("200 Not At All", READY), 0, yes),
        ("another content type", with_head("content-type: text/html\r\n"), 0, yes),
        ("an empty content type", with_head("content-type:\r\n"), 0, yes),
        ("32 headers", with_head(&"a: b\r\n".repeat(31)), 0, yes),
        ("a head of 4096 bytes", with_head(&format!("a: {}\r\n", "b".repeat(4096 - 44))), 0, yes),
        ("names in upper case", with_head("A: B\r\nCONNECTION: CLOSE\r\n"), 0, yes),
        (
            "lines that end with a line feed only",
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
            "four interim responses",
            [b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n".repeat(4), with_body("200 OK", READY)]
                .concat(),
            0,
            yes,
        ),
        (
            "bytes after the response",
            [with_body("200 OK", READY), b"\0garbage".repeat(10_000)].concat(),
            0,
            yes,
        ),
        (
            "a yes after a no",
            [with_body("200 OK", "{\"update_state\":\"Idle\"}"), with_body("200 OK", READY)]
                .concat(),
            1,
            no,
        ),
        (
            "a yes after a 404",
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
        ("a 404 with another text", with_body("404 Not Found", "not yet"), 1, not_yet),
        ("a yes alone in a 404", with_body("404 Not Found", READY), 1, not_yet),
        ("null everywhere", ready("\"available_updates\":null,\"new\":null"), 0, yes),
        ("an empty name", ready("\"\":1"), 0, yes),
        (
            "unknown members",
            ready("\"a\":1,\"b\":-1.5e+9,\"c\":true,\"d\":null,\"e\":\"x\",\"f\":[],\"g\":{}"),
            0,
            yes,
        ),
        (
            "unknown nested members",
            ready(
                "\"a\":[{\"update_state\":\"Idle\"},[[{}]],\"update_state\"],\"b\":{\"c\":{\"update_state\":1}}",
            ),
            0,
            yes,
        ),
        ("a text that looks like the end", ready("\"a\":\"\\\"}\",\"b\":\"\\\\\""), 0, yes),
        (
            "an unknown member that is not UTF-8",
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
            "5,000 unknown members",
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
        (
            "an unknown member of a mebibyte",
            ready(&long("new").replace("most_recent", "new")),
            0,
            yes,
        ),
        (
            "a stderr of more than a mebibyte",
            with_body("200 OK", format!("{{{},\"update_state\":\"Ready\"}}", long("stderr"))),
            0,
            yes,
        ),
        (
            "a stderr that is not text",
            with_body(
                "200 OK",
                "{\"most_recent_command\":{\"stderr\":[{}]},\"update_state\":\"Ready\"}",
            ),
            0,
            yes,
        ),
        (
            "an unknown result of an unknown command",
            with_body(
                "200 OK",
                "{\"most_recent_command\":{\"cmd_type\":\"repair\",\"cmd_status\":\"Perhaps\",\
                 \"timestamp\":\"never\",\"exit_status\":-1e99},\"update_state\":\"Ready\"}",
            ),
            0,
            yes,
        ),
        (
            "long and unusual versions",
            with_body(
                "200 OK",
                format!(
                    "{{\"update_state\":\"Ready\",\"staging_partition\":{{\"image\":{{\
                     \"version\":\"{0}\"}}}},\"chosen_update\":{{\"version\":\"{0}\"}},\
                     \"active_partition\":{{\"image\":{{\
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
            "a captured document in another order",
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
        let printed = |line: &str| Ran {
            status: Some(status),
            stdout: format!("{line}\n"),
            stderr: String::new(),
        };
        assert_eq!(ran, printed(line), "{name}");
        let ran = run(&node, "reboot", &["-if-ready"]);
        let line = match line.split_once(": ").unwrap() {
            ("no", why) => format!("not rebooting: {why}"),
            _ => "the reboot is on its way".into(),
        };
        assert_eq!(ran, printed(&line), "{name}");
        let requested: &[&str] = if status == 0 { &[GET, GET, POST] } else { &[GET, GET] };
        assert_eq!(node.requested(), *requested, "{name}");
    }
}
