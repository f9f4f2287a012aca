//! The state of a node in a file: its disk, and the memory of its current boot.
//!
//! The file is text, a name and a value in each line:
//!
//! ```text
//! bottlerocket-simulator state 1
//! running 1.26.0
//! power on
//! boot-id 7e8de5f9-a49c-456f-bf6e-b5d976b0d865
//! inactive 1.26.1
//! tries 1
//! state Ready
//! available 1.26.1
//! chosen 1.26.1
//! staging 1.26.1
//! last activate 0 1764288000000000000 a text
//! end
//! ```
//!
//! A new file replaces the old one as a whole, and it is on the disk before any client
//! can notice the change. So a process that is killed leaves what a disk would have.

use crate::command::Command;
use crate::options::Options;
use crate::shared::at;
use crate::status::{Image, LastCommand, Partition, State, Status};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEADER: &str = "bottlerocket-simulator state 1";
const END: &str = "end";

/// Whether a node is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    #[default]
    On,
    /// It is off. The next boot decides between the partition sets.
    Off,
    /// It boots, and a try of the partition set is used up.
    Booting,
}

impl Power {
    const ALL: [Power; 3] = [Power::On, Power::Off, Power::Booting];

    fn name(self) -> &'static str {
        match self {
            Power::On => "on",
            Power::Off => "off",
            Power::Booting => "booting",
        }
    }
}

/// The state of a node that outlives the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The version on the active partition set.
    pub running: String,
    /// Whether the node was on.
    pub power: Power,
    /// The id of the last boot that came up.
    pub boot_id: String,
    /// The version on the inactive partition set, if that is marked valid.
    pub inactive: Option<String>,
    /// How many boots may still try the inactive partition set.
    pub tries: u32,
    /// Whether the pods of the machine are still to be ended for the last reboot.
    pub pods_to_end: bool,
    /// The status of the API. It belongs to the boot with this id.
    pub status: Option<Status>,
}

impl Saved {
    /// Reads the file, or returns `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read or understood. The message names it.
    pub fn read(path: &Path, options: &Options) -> io::Result<Option<Saved>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::new(error.kind(), at(path, &error.to_string()))),
        };
        match Saved::parse(&text, options) {
            Ok(saved) => Ok(Some(saved)),
            Err(wrong) => {
                let message =
                    format!("not the state of a simulated node: {wrong}; delete it to start anew");
                Err(Error::new(ErrorKind::InvalidData, at(path, &message)))
            }
        }
    }

    /// Replaces the file. A reader always finds either the old or the new state, also
    /// after a crash of the machine.
    ///
    /// # Errors
    /// The file cannot be replaced. The message names it.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let new = with_suffix(path, ".new");
        let replace = || {
            let mut file = File::create(&new)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        replace().map_err(|error| Error::new(error.kind(), at(path, &error.to_string())))
    }

    fn text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name} {}", escape(value));
        };
        line("running", &self.running);
        line("power", self.power.name());
        line("boot-id", &self.boot_id);
        if let Some(version) = &self.inactive {
            line("inactive", version);
        }
        line("tries", &self.tries.to_string());
        if self.pods_to_end {
            line("pods", "to-end");
        }
        if let Some(status) = &self.status {
            line("state", status.state.name());
            for version in &status.available {
                line("available", version);
            }
            if let Some(image) = &status.chosen {
                line("chosen", &image.version);
            }
            if let Some(staging) = &status.staging {
                line("staging", &staging.image.version);
            }
            if let Some(last) = &status.last_command {
                let time = last.timestamp.as_nanos();
                let (name, exit_status) = (last.command.name(), last.exit_status);
                line("last", &format!("{name} {exit_status} {time} {}", last.stderr));
            }
        }
        text + END + "\n"
    }

    fn parse(text: &str, options: &Options) -> Result<Saved, String> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(format!("the first line is not {HEADER:?}"));
        }
        if lines.next_back() != Some(END) || !text.ends_with('\n') {
            return Err(format!("the last line is not {END:?}"));
        }
        let image = |version: String| Image {
            arch: options.arch.clone(),
            version,
            variant: options.variant.clone(),
        };
        let (mut running, mut power, mut boot_id, mut tries) = (None, None, None, None);
        let (mut inactive, mut pods_to_end) = (None, false);
        let (mut state, mut available) = (None, Vec::new());
        let (mut chosen, mut staging, mut last_command) = (None, None, None);
        for line in lines {
            let wrong = || format!("the line {line:?}");
            let (name, value) = line.split_once(' ').ok_or_else(wrong)?;
            let value = unescape(value);
            match name {
                "running" => running = Some(value),
                "power" => {
                    let mut all = Power::ALL.into_iter();
                    power = Some(all.find(|power| power.name() == value).ok_or_else(wrong)?);
                }
                "boot-id" => boot_id = Some(value),
                "inactive" => inactive = Some(value),
                "tries" => tries = Some(value.parse().map_err(|_| wrong())?),
                "pods" if value == "to-end" => pods_to_end = true,
                "state" => {
                    let mut all = State::ALL.into_iter();
                    state = Some(all.find(|state| state.name() == value).ok_or_else(wrong)?);
                }
                "available" => available.push(value),
                "chosen" => chosen = Some(image(value)),
                "staging" => staging = Some(image(value)),
                "last" => last_command = Some(parse_last(&value).ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
        }
        let running: String = running.ok_or("the line with running is missing")?;
        let status = state.map(|state| {
            let is_ready = state == State::Ready;
            let active = Partition { image: image(running.clone()), next_to_boot: !is_ready };
            let staging = staging.map(|image| Partition { image, next_to_boot: is_ready });
            Status { state, available, chosen, active: Some(active), staging, last_command }
        });
        Ok(Saved {
            running,
            power: power.ok_or("the line with power is missing")?,
            boot_id: boot_id.ok_or("the line with boot-id is missing")?,
            inactive,
            tries: tries.ok_or("the line with tries is missing")?,
            pods_to_end,
            status,
        })
    }
}

fn parse_last(value: &str) -> Option<LastCommand> {
    let mut words = value.splitn(4, ' ');
    let name = words.next()?;
    let command = Command::ALL.into_iter().find(|command| command.name() == name)?;
    let exit_status = words.next()?.parse().ok()?;
    let timestamp = Duration::from_nanos(words.next()?.parse().ok()?);
    let stderr = words.next()?.into();
    Some(LastCommand { command, timestamp, exit_status, stderr })
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}

/// The path with a suffix.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}
