//! The form of a log record.

extern crate std;
use super::*;
use std::string::String;

fn record(format: Format, fields: &[(&str, &str)]) -> String {
    let time = Duration::from_millis(1_795_325_532_007);
    let mut record = Record::new(format, time, Level::Info, "so", "it is so");
    for (key, value) in fields {
        record.text(key, value);
    }
    String::from_utf8(record.finish().to_vec()).unwrap()
}

#[test]
fn logfmt_quotes_a_value_only_if_it_must() {
    assert_eq!(
        record(Format::Logfmt, &[]),
        "time=2026-11-22T05:32:12.007Z level=info event=so msg=\"it is so\"\n"
    );
    for (value, written) in [
        ("", "\"\""),
        ("1.26.0", "1.26.0"),
        ("/run/api.sock", "/run/api.sock"),
        ("a b", "\"a b\""),
        ("a=b", "\"a=b\""),
        ("a\"b\\c", "\"a\\\"b\\\\c\""),
        ("\"", "\"\\\"\""),
        ("é", "\"é\""),
    ] {
        let line = record(Format::Logfmt, &[("key", value)]);
        assert_eq!(line.split_once(" key=").unwrap().1, std::format!("{written}\n"));
    }
}

#[test]
fn json_quotes_and_escapes_all() {
    assert_eq!(
        record(Format::Json, &[("key", "a \"b\" \\ é"), ("other", "")]),
        "{\"time\":\"2026-11-22T05:32:12.007Z\",\"level\":\"info\",\"event\":\"so\",\"msg\":\"it is so\",\
             \"key\":\"a \\\"b\\\" \\\\ é\",\"other\":\"\"}\n"
    );
}
