//! The status document of the update API: what is installed, what is on offer
//! and how far an update has come.
//!
//! Members and values that are not known yet are no error, except for a state
//! that is not known: nothing can be decided then.

use crate::excerpt::Excerpt;
use crate::json::{Condenser, JsonError, STRING_MAX};
use core::fmt;
use heapless::String;
use serde::Deserialize;

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
    /// Its exit status, or the number of the signal that ended it.
    pub exit_status: Option<i32>,
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

/// The document as [`json`](crate::json) condenses it.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Document<'a> {
    update_state: Option<&'a str>,
    chosen_arch: Option<&'a str>,
    chosen_version: Option<&'a str>,
    chosen_variant: Option<&'a str>,
    active_arch: Option<&'a str>,
    active_version: Option<&'a str>,
    active_variant: Option<&'a str>,
    staging_arch: Option<&'a str>,
    staging_version: Option<&'a str>,
    staging_variant: Option<&'a str>,
    cmd_type: Option<&'a str>,
    cmd_status: Option<&'a str>,
    timestamp: Option<&'a str>,
    exit_status: Option<i32>,
    #[serde(rename = "stderr")]
    _stderr: Option<&'a str>,
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
            Self::UnknownState(state) => write!(f, "the update state \"{state}\" is not known"),
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
        let (document, _) = serde_json_core::from_slice::<Document>(condensed)
            .map_err(|_| DocumentError::Member)?;
        let name = document.update_state.ok_or(DocumentError::Member)?;
        let state = State::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| DocumentError::UnknownState(text(Some(name))))?;
        let Document { cmd_type, cmd_status, timestamp, exit_status, .. } = document;
        let last_command = cmd_type.or(cmd_status).or(timestamp).map(|_| LastCommand {
            name: text(cmd_type),
            outcome: text(cmd_status),
            timestamp: text(timestamp),
            exit_status,
            stderr: stderr.clone(),
        });
        let Document { chosen_arch, chosen_version, chosen_variant, .. } = document;
        let Document { active_arch, active_version, active_variant, .. } = document;
        let Document { staging_arch, staging_version, staging_variant, .. } = document;
        Ok(Self {
            state,
            chosen: image(chosen_arch, chosen_version, chosen_variant),
            running: image(active_arch, active_version, active_variant),
            staged: image(staging_arch, staging_version, staging_variant),
            last_command,
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
        let version = |image: &Option<Image>| {
            image.as_ref().map_or(Text::new(), |image| image.version.clone())
        };
        let (chosen, staged) = (version(&self.chosen), version(&self.staged));
        write!(f, "state {}, ", self.state.name())?;
        match self.state {
            State::Ready if staged.is_empty() => f.write_str("reboot brings an unknown version")?,
            State::Ready => write!(f, "reboot brings {staged}")?,
            State::Staged if self.chosen.is_some() && self.chosen == self.staged => {
                write!(f, "{staged} is prepared but not activated")?;
            }
            State::Staged | State::Available | State::Idle if self.chosen.is_none() => {
                f.write_str("no update chosen")?;
            }
            _ => write!(f, "{chosen} is chosen but not prepared")?,
        }
        match &self.running {
            Some(image) => {
                let Image { arch, version, variant } = image;
                write!(f, "; running {version}, variant {variant}, arch {arch}")
            }
            None => f.write_str("; running an unknown version"),
        }
    }
}
