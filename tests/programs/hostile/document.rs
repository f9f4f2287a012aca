//! Status documents that are invalid.

use super::{GET, READERS, READY, failed, node, run, with_body};
use bottlerocket_simulator::Fault;

/// Responses with status 200 and an invalid document.
#[test]
fn invalid_status_documents_are_errors() {
    let wrong = |error: &str| format!("the status document is invalid: {error}");
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
        ("only white space", text(" \r\n"), truncated(3)),
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
        ("an extra comma", text("{\"update_state\":\"Ready\",}"), malformed(24)),
        ("a missing comma", text("{\"update_state\":\"Ready\" \"a\":1}"), malformed(24)),
        ("bytes after the document", text(&format!("{READY}x")), malformed(24)),
        ("a second document", text(&format!("{READY}{READY}")), malformed(24)),
        ("truncated", text(&READY[..23]), truncated(23)),
        ("truncated in the state", text(&READY[..21]), truncated(21)),
        ("an extra bracket", text(&format!("{READY}}}")), malformed(24)),
        ("a bracket of the other kind", text("{\"update_state\":\"Ready\"]"), malformed(23)),
        ("brackets that cross", text("{\"a\":[{]},\"update_state\":\"Ready\"}"), malformed(7)),
        ("a missing bracket", text("{\"a\":[[1,2],\"update_state\",\"Ready\"}"), malformed(34)),
        ("a line break in the state", state("\"Ready\n\""), malformed(22)),
        ("an invalid escape", state("\"\\Ready\""), malformed(18)),
        ("half an escape", state("\"Ready\\u00\""), malformed(26)),
        ("empty", text("{}"), stateless()),
        ("no state", text("{\"available_updates\":[],\"chosen_update\":null}"), stateless()),
        ("null as the state", state("null"), stateless()),
        ("a number as the state", state("1"), other_type(17)),
        ("true as the state", state("true"), other_type(20)),
        ("an object as the state", state("{\"update_state\":\"Ready\"}"), other_type(16)),
        ("an array as the state", state("[\"Ready\"]"), other_type(16)),
        ("a word without quotes as the state", state("Ready"), malformed(16)),
        ("an empty state", state("\"\""), unknown("")),
        ("lower case", state("\"ready\""), unknown("ready")),
        ("upper case", state("\"READY\""), unknown("READY")),
        ("a space after the state", state("\"Ready \""), unknown("Ready ")),
        ("a space before the state", state("\" Ready\""), unknown(" Ready")),
        ("the beginning of a state", state("\"Read\""), unknown("Read")),
        ("a longer state", state("\"ReadyToGo\""), unknown("ReadyToGo")),
        ("NUL after the state", state("\"Ready\\u0000\""), unknown("Ready\\u0000")),
        ("an escaped state", state("\"\\u0052eady\""), unknown("\\u0052eady")),
        ("letters that look alike", state("\"R\u{435}ady\""), unknown("R\u{435}ady")),
        ("an unknown state", state("\"Rebooting\""), unknown("Rebooting")),
        (
            "a long state",
            state(&format!("\"Ready{}\"", "y".repeat(1000))),
            unknown(&format!("Ready{}", "y".repeat(54))),
        ),
        ("a state with terminal escapes", state("\"\u{9b}31m\u{202e}red\u{2028}\""), not_plain()),
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
            "two chosen updates",
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
            "1001 states",
            text(&format!(
                "{{\"update_state\":\"Ready\"{}}}",
                ",\"update_state\":\"Ready\"".repeat(1000)
            )),
            twice(37),
        ),
        ("a state in an object", text("{\"status\":{\"update_state\":\"Ready\"}}"), stateless()),
        (
            "a state in a known object",
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
            "a state with another name",
            text("{\"state\":\"Ready\",\"updateState\":\"Ready\"}"),
            stateless(),
        ),
        ("a name in upper case", text("{\"UPDATE_STATE\":\"Ready\"}"), stateless()),
        ("an escaped name", text("{\"\\u0075pdate_state\":\"Ready\"}"), stateless()),
        ("Ready as a name", text("{\"Ready\":\"update_state\"}"), stateless()),
        (
            "idle between two nested Readys",
            text(
                "{\"a\":{\"update_state\":\"Ready\"},\"update_state\":\"idle\",\
                 \"b\":[{\"update_state\":\"Ready\"}]}",
            ),
            unknown("idle"),
        ),
        (
            "a string as a partition",
            text("{\"update_state\":\"Ready\",\"staging_partition\":\"1.26.1\"}"),
            other_type(44),
        ),
        (
            "a number as a version",
            text("{\"update_state\":\"Ready\",\"chosen_update\":{\"version\":1.26}}"),
            other_type(55),
        ),
        (
            "a state that is not UTF-8",
            [b"{\"update_state\":\"Ready".as_slice(), b"\xff\"}"].concat(),
            not_plain(),
        ),
        (
            "a version that is not UTF-8",
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
