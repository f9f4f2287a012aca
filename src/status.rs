//! The status document of the update API: what is installed, what is on offer
//! and how far an update has come.
//!
//! Members and values that are not known yet are no error, except for a state
//! that is not known: nothing can be decided then.

use crate::excerpt::Excerpt;
use crate::json::{Condenser, JsonError, STRING_MAX};
use crate::text::write_parts;
use core::fmt;
use core::mem;
use heapless::String;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json_core::str::EscapedStr;

/// A name or version, shortened if it is longer than 64 bytes. Escapes stand
/// as they are in the document.
pub type Text = String<STRING_MAX>;

/// The state of a node's update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is on offer, or nobody has found out.
    Idle,
    /// An update is on offer.
    Available,
    /// An update is written to the other partition set.
    Staged,
    /// The next boot is from the other partition set.
    Ready,
}

impl State {
    /// All states, in the order that an update goes through them.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Available, Self::Staged, Self::Ready];

    /// The API's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Available => "Available",
            Self::Staged => "Staged",
            Self::Ready => "Ready",
        }
    }
}

/// An image of the operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The processor architecture, `x86_64` for example.
    pub arch: Text,
    /// The version, `1.26.1` for example.
    pub version: Text,
    /// The variant, `aws-k8s-1.30` for example.
    pub variant: Text,
}

/// The update command that ended last, whoever sent it.
#[derive(Debug, Clone, Default)]
pub struct LastCommand {
    /// `refresh`, `prepare`, `activate` or `deactivate`.
    pub name: Text,
    /// `Success`, or else the API's word for what became of it.
    pub outcome: Text,
    /// When it ended, in the API's writing: good for being compared.
    pub timestamp: Text,
    /// Its exit status, or the number of the signal that ended it, if known.
    pub exit_status: Text,
    /// What it had to say.
    pub stderr: Excerpt,
}

impl LastCommand {
    /// Whether it did what it was sent for.
    pub fn succeeded(&self) -> bool {
        self.outcome == "Success"
    }
}

/// What the API says of a node.
#[derive(Debug, Clone)]
pub struct Status {
    /// How far an update has come.
    pub state: State,
    /// What `prepare` would write.
    pub chosen: Option<Image>,
    /// What is running.
    pub running: Option<Image>,
    /// What is written to the other partition set.
    pub staged: Option<Image>,
    /// The update command that ended last.
    pub last_command: Option<LastCommand>,
}

/// The members of the document as [`json`](crate::json) condenses it, all of
/// which are strings or null.
const MEMBERS: [&str; 15] = [
    "update_state",
    "chosen_arch",
    "chosen_version",
    "chosen_variant",
    "active_arch",
    "active_version",
    "active_variant",
    "staging_arch",
    "staging_version",
    "staging_variant",
    "cmd_type",
    "cmd_status",
    "timestamp",
    "exit_status",
    "stderr",
];

/// The values of [`MEMBERS`].
#[derive(Default)]
struct Values<'a>([Option<&'a str>; MEMBERS.len()]);

impl<'de> Deserialize<'de> for Values<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self::default())
    }
}

impl<'de> Visitor<'de> for Values<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a status document")
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut pairs: S) -> Result<Self, S::Error> {
        let mut seen = [false; MEMBERS.len()];
        while let Some(EscapedStr(key)) = pairs.next_element()? {
            let value = pairs.next_element::<Option<EscapedStr>>()?;
            let value = value.ok_or(S::Error::custom("half a pair"))?;
            for ((name, slot), seen) in MEMBERS.iter().zip(&mut self.0).zip(&mut seen) {
                if *name == key {
                    if mem::replace(seen, true) {
                        return Err(S::Error::custom("there twice"));
                    }
                    *slot = value.map(|value| value.0);
                }
            }
        }
        Ok(self)
    }
}

/// Why a status document is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentError {
    /// It is not even JSON.
    Json(JsonError),
    /// A member is missing, or comes twice, or is not of its type.
    Member,
    /// The state is none of [`State::ALL`].
    UnknownState(Text),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the status document is not understood: {error}"),
            Self::Member => f.write_str(
                "the status document is not understood: \
                 a member is missing, or there twice, or of another type",
            ),
            Self::UnknownState(state) => {
                write_parts(f, &["the update state \"", state, "\" is not known"])
            }
        }
    }
}

impl Status {
    /// Reads the document that `condenser` was given.
    ///
    /// # Errors
    ///
    /// It is not understood.
    pub fn read(condenser: &Condenser) -> Result<Self, DocumentError> {
        let (condensed, stderr) = condenser.finish().map_err(DocumentError::Json)?;
        let (Values(values), _) =
            serde_json_core::from_slice(condensed).map_err(|_| DocumentError::Member)?;
        let [state, c0, c1, c2, a0, a1, a2, s0, s1, s2, name, outcome, timestamp, exit_status, _] =
            values;
        let word = state.ok_or(DocumentError::Member)?;
        let state = State::ALL.into_iter().find(|state| state.name() == word);
        Ok(Self {
            state: state.ok_or_else(|| DocumentError::UnknownState(text(Some(word))))?,
            chosen: image(c0, c1, c2),
            running: image(a0, a1, a2),
            staged: image(s0, s1, s2),
            last_command: name.or(outcome).or(timestamp).map(|_| LastCommand {
                name: text(name),
                outcome: text(outcome),
                timestamp: text(timestamp),
                exit_status: text(exit_status),
                stderr: stderr.clone(),
            }),
        })
    }

    /// When the last command ended, in the API's writing; empty if there was
    /// none.
    pub fn timestamp(&self) -> &str {
        self.last_command.as_ref().map_or("", |command| &command.timestamp)
    }
}

/// An image, if there is one: it has a version.
fn image(arch: Option<&str>, version: Option<&str>, variant: Option<&str>) -> Option<Image> {
    version.map(|version| Image {
        arch: text(arch),
        version: text(Some(version)),
        variant: text(variant),
    })
}

fn text(text: Option<&str>) -> Text {
    // What is kept of a string is never longer than a text.
    Text::try_from(text.unwrap_or_default()).unwrap_or_default()
}

/// One line: the state, why it is not Ready or what the reboot will bring, and
/// what is running.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let version = |image: &'_ Option<Image>| match image {
            Some(image) => image.version.clone(),
            None => text(Some("an unknown version")),
        };
        let (chosen, staged) = (version(&self.chosen), version(&self.staged));
        write_parts(f, &["state ", self.state.name(), ", "])?;
        match self.state {
            State::Ready => write_parts(f, &["reboot brings ", &staged])?,
            State::Staged if self.chosen.is_some() && self.chosen == self.staged => {
                write_parts(f, &[&staged, " is prepared but not activated"])?;
            }
            _ if self.chosen.is_none() => f.write_str("no update chosen")?,
            _ => write_parts(f, &[&chosen, " is chosen but not prepared"])?,
        }
        match &self.running {
            Some(Image { arch, version, variant }) => {
                let parts = ["; running ", version, ", variant ", variant, ", arch ", arch];
                write_parts(f, &parts)
            }
            None => f.write_str("; running an unknown version"),
        }
    }
}
