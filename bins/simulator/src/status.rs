//! The status document. Its JSON is byte for byte that of the real API server.

use crate::calendar;
use crate::command::Command;
use std::fmt::{self, Write};
use std::time::Duration;

/// The update state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No update is known.
    Idle,
    /// A version is chosen, but not written yet.
    Available,
    /// An image is written to the inactive partition set.
    Staged,
    /// The next boot uses the new partition set.
    Ready,
}

impl State {
    pub(crate) const ALL: [State; 4] = [State::Idle, State::Available, State::Staged, State::Ready];

    /// The name in the status document.
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "Idle",
            State::Available => "Available",
            State::Staged => "Staged",
            State::Ready => "Ready",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An OS image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The processor architecture, such as `x86_64`.
    pub arch: String,
    /// The OS version, such as `1.26.1`.
    pub version: String,
    /// The OS variant, such as `aws-k8s-1.30`.
    pub variant: String,
}

/// A partition set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The image on it.
    pub image: Image,
    /// Whether the next boot uses it.
    pub next_to_boot: bool,
}

/// The last command that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCommand {
    /// The command. It is never [`Command::Reboot`].
    pub command: Command,
    /// The time when it ended, since the Unix epoch.
    pub timestamp: Duration,
    /// The exit status; 0 is success.
    pub exit_status: i32,
    /// The text that it printed.
    pub stderr: String,
}

/// The answer to `GET /updates/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The update state.
    pub state: State,
    /// The versions that the last successful refresh found, newest first.
    pub available: Vec<String>,
    /// The image that a prepare writes.
    pub chosen: Option<Image>,
    /// The running partition set.
    pub active: Option<Partition>,
    /// The image that was written since the last boot.
    pub staging: Option<Partition>,
    /// The last command that ended since the last boot.
    pub last_command: Option<LastCommand>,
}

impl Status {
    /// The document as JSON: keys in the order of the real server, no white space.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"update_state\":");
        string(&mut json, self.state.name());
        json.push_str(",\"available_updates\":");
        versions(&mut json, &self.available);
        json.push_str(",\"chosen_update\":");
        or_null(&mut json, self.chosen.as_ref(), image);
        json.push_str(",\"active_partition\":");
        or_null(&mut json, self.active.as_ref(), partition);
        json.push_str(",\"staging_partition\":");
        or_null(&mut json, self.staging.as_ref(), partition);
        json.push_str(",\"most_recent_command\":");
        or_null(&mut json, self.last_command.as_ref(), last_command);
        json.push('}');
        json
    }
}

fn versions(json: &mut String, versions: &[String]) {
    json.push('[');
    for (index, version) in versions.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        string(json, version);
    }
    json.push(']');
}

fn or_null<T: ?Sized>(json: &mut String, value: Option<&T>, write: fn(&mut String, &T)) {
    match value {
        Some(value) => write(json, value),
        None => json.push_str("null"),
    }
}

fn image(json: &mut String, image: &Image) {
    json.push_str("{\"arch\":");
    string(json, &image.arch);
    json.push_str(",\"version\":");
    string(json, &image.version);
    json.push_str(",\"variant\":");
    string(json, &image.variant);
    json.push('}');
}

fn partition(json: &mut String, partition: &Partition) {
    json.push_str("{\"image\":");
    image(json, &partition.image);
    json.push_str(",\"next_to_boot\":");
    json.push_str(if partition.next_to_boot { "true}" } else { "false}" });
}

fn last_command(json: &mut String, last: &LastCommand) {
    json.push_str("{\"cmd_type\":");
    string(json, last.command.name());
    json.push_str(",\"cmd_status\":");
    string(json, if last.exit_status == 0 { "Success" } else { "Failed" });
    json.push_str(",\"timestamp\":");
    string(json, &calendar::timestamp(last.timestamp));
    let _ = write!(json, ",\"exit_status\":{},\"stderr\":", last.exit_status);
    string(json, &last.stderr);
    json.push('}');
}

fn string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}
