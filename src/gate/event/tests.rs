//! The log lines.

extern crate std;
use super::*;
use crate::api::document::STRING_MAX;
use crate::api::status::{OwnedImage, State, Text};
use crate::reporting::log::RECORD_MAX;
use crate::updater::event::EventKind as UpdaterKind;
use std::string::String;
use std::vec::Vec;

fn image(version: &str) -> Image<'_> {
    Image { version, variant: "v", arch: "x86_64" }
}

fn line(event: &Event) -> String {
    let text = event.record(Format::Logfmt, Duration::ZERO).finish().to_vec();
    let text = String::from_utf8(text).unwrap();
    text.strip_prefix("time=1970-01-01T00:00:00.000Z ").unwrap().trim_end().into()
}

#[test]
fn events_of_the_updater_have_the_same_level_and_message() {
    let mut shared = Vec::new();
    for kind in EventKind::ALL {
        if let Some(other) = UpdaterKind::ALL.into_iter().find(|other| other.name() == kind.name())
        {
            shared.push(kind.name());
            assert_eq!((kind.level(), kind.message()), (other.level(), other.message()));
        }
    }
    let expected = [
        "held_by_gate",
        "record_unreadable",
        "api_lost",
        "api_back",
        "gave_up",
        "wait_failed",
        "stopped",
    ];
    assert_eq!(shared, expected);
}

#[test]
fn opening_says_why_and_what_comes_next() {
    let record = RebootRecord::new("first", "1.26.0", image("1.26.1"));
    let open = |opening, released| {
        line(&Event::Opened {
            opening,
            released,
            record: Some(&record),
            running: Some("1.26.0"),
            waited: Duration::from_secs(90),
        })
    };
    let start = "level=info event=opened msg=\"Kured may start\" reason=";
    let fields = " version=1.26.1 variant=v arch=x86_64 running=1.26.0";
    let line = open(Opening::OtherReady(image("1.26.2")), false);
    assert_eq!(line, std::format!("{start}other_ready{fields} next=1.26.2 waited=1m30s"));
    let line = open(Opening::NoRecord, true);
    assert_eq!(line, std::format!("{start}released{fields} waited=1m30s"));
}

#[test]
fn hold_says_what_it_waits_for_and_what_to_do() {
    let record = RebootRecord::new("first", "1.26.0", image("1.26.1"));
    let held = Event::Held {
        record: &record,
        failed: Some(image("1.26.2")),
        status: None,
        waited: Duration::ZERO,
    };
    let expected = "level=error event=held_by_gate msg=\"the version did not boot, and the gate \
                    keeps Kured from starting on this node\" version=1.26.2 variant=v arch=x86_64 \
                    running=1.26.0 attempts=1 state=unknown chosen=\"\" waited=0s until=\"another \
                    version is Ready, none is chosen any more, or an operator runs in this \
                    container: /usr/local/bin/bottlerocket-gate -release\"";
    assert_eq!(line(&held), expected);
}

#[test]
fn longest_records_fit() {
    let text = Text::try_from("\"".repeat(STRING_MAX).as_str()).unwrap();
    let image = OwnedImage { version: text.clone(), variant: text.clone(), arch: text.clone() };
    let record =
        RebootRecord { image, running: text.clone(), boot: text.clone(), attempts: u64::MAX };
    let image = record.image.image();
    let status = Status {
        state: State::Available,
        chosen: Some(image),
        running: Some(image),
        staged: Some(image),
        offered: None,
        last_command: None,
    };
    let path = [b'"'; 4096];
    let events = [
        Event::Opened {
            opening: Opening::OtherReady(image),
            released: false,
            record: Some(&record),
            running: Some(&text),
            waited: Duration::MAX,
        },
        Event::Held {
            record: &record,
            failed: Some(image),
            status: Some(&status),
            waited: Duration::MAX,
        },
        Event::RecordNotSaved { tried: "write the record", path: &path, error: Errno::NOENT },
        Event::ApiLost { error: CallError::Connect(Errno::NOENT), socket: &path },
    ];
    for event in events {
        for format in [Format::Logfmt, Format::Json] {
            let line = event.record(format, Duration::from_secs(1)).finish().to_vec();
            assert!(line.len() < RECORD_MAX, "{event:?}");
            assert!(line.ends_with(if format == Format::Json { b"\"}\n" } else { b"\n" }));
        }
    }
}
