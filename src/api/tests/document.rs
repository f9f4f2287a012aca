//! Tests of status documents: what is understood, what is refused, what is kept.

use super::*;
use crate::api::document::{DOCUMENT_MAX, StatusParser};
use crate::api::status::{Image, State, Status};

#[test]
fn documents_that_are_understood() {
    let deep = |open: &str, close: &str, levels: usize| {
        format!(
            "{{\"new\":{}1{},\"update_state\":\"Idle\"}}",
            open.repeat(levels),
            close.repeat(levels)
        )
    };
    for body in [
        "{\"update_state\":\"Idle\"}".into(),
        " \t\r\n{ \"update_state\" : \"Idle\" } \n".into(),
        "{\"update_state\":\"Idle\",\"chosen_update\":null,\"most_recent_command\":null}".into(),
        "{\"update_state\":\"Idle\",\"new\":[1,-2.5e+3,true,false,null,\"x\",{},[],{\"a\":{}}]}"
            .into(),
        "{\"new\":{\"update_state\":\"Ready\"},\"update_state\":\"Idle\"}".into(),
        "{\"new\":[\"update_state\",\"Ready\"],\"update_state\":\"Idle\"}".into(),
        "{\"new\":\"\\\"update_state\\\":\\\"Ready\\\"\",\"update_state\":\"Idle\"}".into(),
        "{\"update\\u005fstate\":\"Ready\",\"update_state\":\"Idle\"}".into(),
        "{\"update_state\\u0000\":\"Ready\",\"update_state\":\"Idle\"}".into(),
        "{\"chosen_update\":null,\"update_state\":\"Idle\",\"chosen_updates\":{\"version\":\"1\"}}"
            .into(),
        format!("{{\"{}\":\"Ready\",\"update_state\":\"Idle\"}}", "x".repeat(100_000)),
        deep("[", "]", 10),
        deep("[", "]", 255),
        deep("[", "]", 256),
        deep("[", "]", 20_000),
        deep("{\"a\":", "}", 255),
        deep("{\"a\":", "}", 20_000),
        deep("[{\"a\":[\"b\",", "]}]", 10_000),
        deep("[{},[],", "]", 300),
    ] {
        let meaning = document(&body);
        assert_eq!(
            meaning,
            "state Idle, no update chosen; running an unknown version",
            "{}",
            &body[..body.len().min(200)]
        );
    }
}

#[test]
fn documents_that_are_not_understood() {
    let malformed =
        |at: u64| format!("the status document is invalid: malformed JSON at byte {at}");
    let wrong =
        |at: u64| format!("the status document is invalid: a value of the wrong type at byte {at}");
    let truncated =
        |at: u64| format!("the status document is invalid: truncated JSON at byte {at}");
    let stateless = "the status document has no update_state".to_string();
    let twice = |at: u64| format!("the status document is invalid: duplicate member at byte {at}");
    for (body, error) in [
        ("", truncated(0)),
        (" ", truncated(1)),
        ("{", truncated(1)),
        ("{\"update_state\":\"Ready\"", truncated(23)),
        ("{\"update_state\":\"Ready", truncated(22)),
        ("{\"a\":{\"update_state\":\"Ready\"}", truncated(29)),
        ("[]", malformed(0)),
        ("\"Ready\"", malformed(0)),
        ("null", malformed(0)),
        ("{update_state:\"Ready\"}", malformed(1)),
        ("{\"update_state\" \"Ready\"}", malformed(16)),
        ("{\"update_state\":Ready}", malformed(16)),
        ("{\"update_state\":\"Ready\",}", malformed(24)),
        ("{,\"update_state\":\"Ready\"}", malformed(1)),
        ("{\"update_state\":\"Ready\"}}", malformed(24)),
        ("{\"update_state\":\"Ready\"}{}", malformed(24)),
        ("{\"update_state\":\"Ready\"]", malformed(23)),
        ("{\"a\":[},\"update_state\":\"Ready\"}", malformed(6)),
        ("{\"a\":[1},\"update_state\":\"Ready\"}", malformed(7)),
        ("{\"a\":[1:2],\"update_state\":\"Ready\"}", malformed(7)),
        ("{\"a\":1234567890123456789012345null,\"update_state\":\"Ready\"}", malformed(30)),
        ("{\"update_state\":\"Idle\":\"Ready\"}", malformed(22)),
        ("{\"a\":[1 2],\"update_state\":\"Ready\"}", malformed(8)),
        ("{\"a\":[1,],\"update_state\":\"Ready\"}", malformed(8)),
        ("{\"a\":tru,\"update_state\":\"Ready\"}", malformed(8)),
        ("{\"a\":nulll,\"update_state\":\"Ready\"}", malformed(10)),
        ("{\"a\":\"\\x\",\"update_state\":\"Ready\"}", malformed(7)),
        ("{\"a\":\"\\u00g0\",\"update_state\":\"Ready\"}", malformed(10)),
        ("{\"a\":\"\n\",\"update_state\":\"Ready\"}", malformed(6)),
        ("{\"a\":\"\0\",\"update_state\":\"Ready\"}", malformed(6)),
        ("{}", stateless.clone()),
        ("{\"update_state\":null}", stateless),
        ("{\"update_state\":\"Idle\",\"update_state\":\"Ready\"}", twice(36)),
        ("{\"update_state\":\"Ready\",\"update_state\":\"Ready\"}", twice(37)),
        ("{\"update_state\":null,\"update_state\":\"Ready\"}", twice(34)),
        (
            "{\"update_state\":\"Ready\",\"chosen_update\":{\"version\":\"1\",\"version\":\"2\"}}",
            twice(63),
        ),
        (
            "{\"update_state\":\"Ready\",\"chosen_update\":{\"version\":\"1\"},\
             \"chosen_update\":{\"version\":\"2\"}}",
            twice(70),
        ),
        (
            "{\"update_state\":\"Ready\",\"most_recent_command\":{\"stderr\":\"\",\"stderr\":\"\"}}",
            twice(66),
        ),
        ("{\"update_state\":4}", wrong(17)),
        ("{\"update_state\":true}", wrong(20)),
        ("{\"update_state\":{}}", wrong(16)),
        ("{\"update_state\":[\"Ready\"]}", wrong(16)),
        ("{\"update_state\":\"Ready\",\"chosen_update\":\"1.26.1\"}", wrong(40)),
        ("{\"update_state\":\"Ready\",\"chosen_update\":[]}", wrong(40)),
        ("{\"update_state\":\"Ready\",\"chosen_update\":1}", wrong(41)),
        ("{\"update_state\":\"Ready\",\"chosen_update\":{\"version\":1}}", wrong(52)),
        ("{\"update_state\":\"Ready\",\"chosen_update\":{\"variant\":[]}}", wrong(51)),
        ("{\"update_state\":\"Ready\",\"chosen_update\":{\"arch\":{}}}", wrong(48)),
        ("{\"update_state\":\"Ready\",\"staging_partition\":[]}", wrong(44)),
        ("{\"update_state\":\"Ready\",\"staging_partition\":{\"image\":\"1\"}}", wrong(53)),
        ("{\"update_state\":\"Ready\",\"most_recent_command\":true}", wrong(50)),
        ("{\"update_state\":\"Ready\",\"most_recent_command\":{\"cmd_type\":1}}", wrong(59)),
        ("{\"update_state\":\"\"}", "unknown update state \"\"".into()),
        ("{\"update_state\":\"ready\"}", "unknown update state \"ready\"".into()),
        ("{\"update_state\":\"Ready \"}", "unknown update state \"Ready \"".into()),
        ("{\"update_state\":\"\\u0052eady\"}", "unknown update state \"\\u0052eady\"".into()),
    ] {
        assert_eq!(document(body), error, "{body}");
    }
}

#[test]
fn unknown_state_is_shown_cut_off_after_64_bytes() {
    let meaning = document(&format!("{{\"update_state\":\"Ready{}\"}}", "y".repeat(1_000)));
    assert_eq!(meaning, format!("unknown update state \"Ready{}\"", "y".repeat(54)));
}

#[test]
fn strings_are_never_cut_off_inside_a_character_or_an_escape() {
    for unit in ["\\u00e9", "\\n", "é", "☃", "😀", "\\\\"] {
        for pad in 0..12 {
            let version = format!("{}{}", "x".repeat(50 + pad), unit.repeat(20));
            let meaning = document(&format!(
                "{{\"update_state\":\"Available\",\"chosen_update\":{{\"version\":\"{version}\"}}}}"
            ));
            let kept = meaning
                .strip_prefix("state Available, ")
                .and_then(|rest| rest.split_once(" is chosen"))
                .unwrap_or_else(|| panic!("{meaning}"))
                .0;
            let units = kept.trim_start_matches('x');
            assert!(kept.len() <= 64 && kept.len() > 52, "{kept}");
            assert_eq!(units, unit.repeat(units.len() / unit.len()), "{kept}");
        }
    }
}

#[test]
fn documents_of_any_length_are_understood() {
    let versions = (0..5_000).map(|n| format!("\"1.{n}.0\"")).collect::<Vec<_>>().join(",");
    let stderr = format!("first line\\n{}\\nlast line", "noise \\u001b[1m\\t😀 ".repeat(60_000));
    assert!(stderr.len() > 1_000_000);
    let meaning = document(&format!(
        "{{\"update_state\":\"Available\",\"available_updates\":[{versions}],\
         \"chosen_update\":{{\"version\":\"1.4999.0\",\"arch\":\"a\",\"variant\":\"v\"}},\
         \"most_recent_command\":{{\"cmd_type\":\"prepare\",\"cmd_status\":\"Failed\",\
         \"timestamp\":\"t\",\"exit_status\":1,\"stderr\":\"{stderr}\"}}}}"
    ));
    let start = "state Available, 1.4999.0 is chosen but not prepared; running an unknown \
                 version; prepare Failed 1 [first line noise 😀 noise";
    assert!(meaning.starts_with(start), "{meaning}");
    assert!(meaning.ends_with("noise 😀 last line]"), "{meaning}");
    assert!(meaning.contains(" bytes left out] "), "{meaning}");
    assert!(meaning.len() < 800, "{meaning}");
}

#[test]
fn escapes_in_stderr_are_resolved() {
    for (written, shown) in [
        ("", ""),
        ("plain", "plain"),
        ("\\\"\\\\\\/", "\"\\/"),
        ("a\\b\\f\\n\\r\\tb", "a b"),
        ("\\u0041\\u00e9\\u2603", "Aé☃"),
        ("\\ud83d\\ude00", "😀"),
        ("\\uD83D\\uDE00", "😀"),
        ("\\ud83d", "\u{fffd}"),
        ("\\ude00", "\u{fffd}"),
        ("\\ud83dx", "\u{fffd}x"),
        ("\\ud83d\\n.", "\u{fffd} ."),
        ("\\ud83d\\ud83d\\ude00", "\u{fffd}😀"),
        ("\\ude00\\ud83d", "\u{fffd}\u{fffd}"),
        ("\\ud83d\\u0041", "\u{fffd}A"),
        ("\\u001b[31mred\\u001b[0m", "red"),
    ] {
        let meaning = document(&format!(
            "{{\"update_state\":\"Idle\",\"most_recent_command\":{{\"cmd_type\":\"refresh\",\
             \"stderr\":\"{written}\"}}}}"
        ));
        let expected = format!(
            "state Idle, no update chosen; running an unknown version; refresh   [{shown}]"
        );
        assert_eq!(meaning, expected);
    }
}

#[test]
fn strings_that_are_not_plain_text() {
    let mut body = b"{\"update_state\":\"Idle\",\"new\":\"\xff\",\"most_recent_command\":\
                    {\"cmd_type\":\"refresh\",\"stderr\":\"a\xffb\"}}"
        .to_vec();
    let meaning = read_in_any_pieces(Call::Status, &with_body("200 OK", &body));
    assert!(meaning.ends_with("[a\u{fffd}b]"), "{meaning}");
    // An escape ends a character that is incomplete.
    for (written, shown) in [
        (&b"a\xe2\\n\x98\x83b"[..], "[a\u{fffd} \u{fffd}\u{fffd}b]"),
        (b"a\xe2\x98\\\"\x83b", "[a\u{fffd}\"\u{fffd}b]"),
        (b"a\xf0\x9f\\ud83d\\ude00b", "[a\u{fffd}\u{1f600}b]"),
    ] {
        let mut body = b"{\"update_state\":\"Idle\",\"most_recent_command\":\
                         {\"cmd_type\":\"refresh\",\"stderr\":\""
            .to_vec();
        body.extend_from_slice(written);
        body.extend_from_slice(b"\"}}");
        let meaning = read_in_any_pieces(Call::Status, &with_body("200 OK", &body));
        assert!(meaning.ends_with(shown), "{meaning}");
    }
    // A character that changes how others are shown is not plain text.
    let hidden = "{\"update_state\":\"Idle\",\"chosen_update\":{\"version\":\"1\u{202e}2\"}}";
    assert_eq!(document(hidden), NOT_PLAIN);
    let at = body.windows(4).position(|window| window == b"Idle").unwrap();
    body[at] = 0xff;
    let meaning = read_in_any_pieces(Call::Status, &with_body("200 OK", &body));
    assert_eq!(meaning, NOT_PLAIN);
}

const NOT_PLAIN: &str = "the status document has a name or version that is not plain text";

#[test]
fn status_line_says_what_is_missing_until_ready() {
    for (state, chosen, staged, said) in [
        ("Idle", "", "", "no update chosen"),
        ("Available", "2", "", "2 is chosen but not prepared"),
        ("Available", "2", "2", "2 is chosen but not prepared"),
        ("Staged", "2", "2", "2 is prepared but not activated"),
        ("Staged", "2", "1", "2 is chosen but not prepared"),
        ("Staged", "2", "", "2 is chosen but not prepared"),
        ("Staged", "", "1", "no update chosen"),
        ("Staged", "", "", "no update chosen"),
        ("Ready", "2", "2", "the next boot starts 2"),
        ("Ready", "2", "1", "the next boot starts 1, but 2 is chosen"),
        ("Ready", "", "1", "the next boot starts 1, but no update is chosen"),
        ("Ready", "", "", "the next boot starts an unknown version"),
        ("Ready", "2", "", "the next boot starts an unknown version"),
    ] {
        let image = |version| match version {
            "" => "null".into(),
            version => format!("{{\"version\":\"{version}\"}}"),
        };
        let meaning = document(&format!(
            "{{\"update_state\":\"{state}\",\"chosen_update\":{},\
             \"staging_partition\":{{\"image\":{}}}}}",
            image(chosen),
            image(staged)
        ));
        assert_eq!(meaning, format!("state {state}, {said}; running an unknown version"));
    }
}

#[test]
fn values_of_any_type_in_members_that_decide_nothing() {
    let values = ["null", "true", "false", "-1.5e3", "\"\"", "[]", "[1,[\"x\"]]", "{}"];
    let object = "{\"update_state\":1,\"version\":[],\"cmd_type\":{\"cmd_type\":null}}";
    for value in values.into_iter().chain([object]) {
        for (name, shown) in [
            ("cmd_status", "; refresh  17 [reason]"),
            ("timestamp", "; refresh Failed 17 [reason]"),
            ("exit_status", "; refresh Failed  [reason]"),
            ("stderr", "; refresh Failed 17 []"),
        ] {
            let mut members = [
                ("cmd_status", "\"Failed\""),
                ("timestamp", "\"t\""),
                ("exit_status", "17"),
                ("stderr", "\"reason\""),
            ];
            members
                .iter_mut()
                .filter(|(other, _)| *other == name)
                .for_each(|member| member.1 = value);
            let members = members.map(|(name, value)| format!(",\"{name}\":{value}")).concat();
            let meaning = document(&format!(
                "{{\"update_state\":\"Idle\",\"most_recent_command\":{{\"cmd_type\":\"refresh\"{members}}}}}"
            ));
            assert!(meaning.ends_with(shown), "{name} {value}: {meaning}");
        }
    }
}

#[test]
fn filtered_document_is_compact_json_of_the_known_members() {
    for (document, filtered) in [
        ("{}", "{}"),
        ("{\"a\":{\"b\":[1,\"c\"]}}", "{}"),
        ("{ \"update_state\" : null , \"chosen_update\" : null }", "{}"),
        ("{\"chosen_update\":{},\"active_partition\":{\"image\":null}}", CHOSEN_AND_ACTIVE),
        (
            "{\"update_state\": \"Staged\", \"available_updates\": [\"1.26.1\", \"1.26.0\"],\
             \"chosen_update\": null, \"staging_partition\": {\"image\": {\"arch\": \"x86_64\", \
             \"version\": \"1.26.1\", \"new\": {}}, \"next_to_boot\": false}, \
             \"most_recent_command\": {\"cmd_type\": \"prepare\", \"cmd_status\": 1, \
             \"exit_status\": 17, \"stderr\": \"much\", \"timestamp\": \"\\u0032\\n\\\"\"}}",
            "{\"update_state\":\"Staged\",\"available_updates\":\"1.26.1\",\
             \"staging_partition\":{\"image\":{\"arch\":\"x86_64\",\"version\":\"1.26.1\"}},\
             \"most_recent_command\":{\"cmd_type\":\"prepare\",\"exit_status\":\"17\",\
             \"timestamp\":\"\\u0032\\n\\\"\"}}",
        ),
    ] {
        let mut parser = StatusParser::default();
        parser.push(document.as_bytes()).unwrap();
        let json = parser.finish().unwrap().json;
        assert_eq!(str::from_utf8(json).unwrap(), filtered, "{document}");
    }
}

const CHOSEN_AND_ACTIVE: &str = "{\"chosen_update\":{},\"active_partition\":{}}";

#[test]
fn first_offered_version_is_kept_and_other_forms_are_left_out() {
    for (offered, kept) in [
        ("[\"1.27.0\",\"1.26.0\"]", Some("1.27.0")),
        (" [ \"1.27.0\" ] ", Some("1.27.0")),
        ("[]", None),
        ("null", None),
        ("1", None),
        ("\"1.27.0\"", None),
        ("[null,\"1.27.0\"]", None),
        ("[1,\"1.27.0\"]", None),
        ("[[\"1.27.0\"],\"1.26.0\"]", None),
        // A member that occurs twice: the first one counts.
        ("[\"1.27.0\"],\"available_updates\":[\"1.28.0\"]", Some("1.27.0")),
        ("null,\"available_updates\":[\"1.28.0\"]", None),
        ("[{\"version\":\"1.27.0\"},\"1.26.0\"]", None),
        ("{\"version\":\"1.27.0\"}", None),
    ] {
        let mut parser = StatusParser::default();
        let document = format!("{{\"available_updates\":{offered},\"update_state\":\"Idle\"}}");
        parser.push(document.as_bytes()).unwrap();
        let status = Status::read(parser.finish().unwrap()).unwrap();
        assert_eq!((status.offered, status.state), (kept, State::Idle), "{offered}");
    }
}

#[test]
fn newer_version_that_is_offered_but_not_chosen_is_noticed() {
    let version = |version| Some(Image { version, variant: "v", arch: "a" });
    for (running, offered, is_newer) in [
        ("1.26.0", "1.26.1", true),
        ("1.26.0", "1.27.0", true),
        ("1.9.0", "1.10.0", true),
        ("1.26.0", "v2.0.0", true),
        ("1.26.0", "1.27.0-beta.1", true),
        ("1.26.0", "1.26.0", false),
        ("1.26.0", "1.25.9", false),
        ("1.26.0", "1.26.0+build", false),
        // These cannot be compared.
        ("1.26", "1.27.0", false),
        ("1.26.0", "1.27", false),
        ("1.26.0", "1.27.0.1", false),
        ("1.26.0", "newest", false),
        ("1.26.0", "", false),
    ] {
        let mut status = Status {
            state: State::Idle,
            chosen: None,
            running: version(running),
            staged: None,
            offered: Some(offered),
            last_command: None,
        };
        let expected = is_newer.then_some(offered);
        assert_eq!(status.offered_but_not_chosen(), expected, "{running} {offered}");
        status.chosen = version(offered);
        assert_eq!(status.offered_but_not_chosen(), None, "{running} {offered}");
        status.chosen = None;
        status.running = None;
        assert_eq!(status.offered_but_not_chosen(), None, "{running} {offered}");
        status.running = version(running);
        status.offered = None;
        assert_eq!(status.offered_but_not_chosen(), None, "{running} {offered}");
    }
}

#[test]
fn exit_status_is_kept_if_it_is_a_whole_number() {
    for (written, shown) in [
        ("0", "0"),
        ("-1", "-1"),
        ("255 ", "255"),
        ("null", ""),
        // All others are left out: nothing depends on them.
        ("1.5", ""),
        ("1e3", ""),
        ("-", ""),
        ("--1", ""),
        ("123456789012345678901234", "123456789012345678901234"),
        ("1234567890123456789012345", ""),
    ] {
        let meaning = document(&format!(
            "{{\"update_state\":\"Idle\",\"most_recent_command\":{{\"cmd_type\":\"refresh\",\
             \"cmd_status\":\"Failed\",\"exit_status\":{written}}}}}"
        ));
        assert!(meaning.ends_with(&format!("; refresh Failed {shown} []")), "{written}: {meaning}");
    }
}

#[test]
fn the_largest_filtered_document_fits() {
    let long = "x".repeat(100);
    let image = format!("{{\"arch\":\"{long}\",\"version\":\"{long}\",\"variant\":\"{long}\"}}");
    let body = format!(
        "{{\"update_state\":\"Staged{long}\",\"available_updates\":[\"{long}\",\"{long}\"],\
         \"chosen_update\":{image},\"active_partition\":\
         {{\"image\":{image}}},\"staging_partition\":{{\"image\":{image}}},\
         \"most_recent_command\":{{\"cmd_type\":\"{long}\",\"cmd_status\":\"{long}\",\
         \"timestamp\":\"{long}\",\"exit_status\":-12345678901234567890123,\"stderr\":\"\"}}}}"
    );
    let mut parser = StatusParser::default();
    parser.push(body.as_bytes()).unwrap();
    let length = parser.finish().unwrap().json.len();
    assert!((DOCUMENT_MAX - 128..=DOCUMENT_MAX).contains(&length), "{length}");
    let meaning = document(&body.replace(&format!("Staged{long}"), "Staged"));
    assert!(meaning.starts_with("state Staged, xxx"), "{meaning}");
}
