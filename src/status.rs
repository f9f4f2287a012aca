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
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// The processor architecture, `x86_64` for example.
    #[serde(default)]
    pub arch: Text,
    /// The version, `1.26.1` for example.
    pub version: Text,
    /// The variant, `aws-k8s-1.30` for example.
    #[serde(default)]
    pub variant: Text,
}

/// One of the two partition sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Partition {
    /// What is on it.
    pub image: Image,
    /// Whether the next boot is from it.
    #[serde(default)]
    pub next_to_boot: bool,
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
    pub active: Option<Partition>,
    /// What is on the other partition set.
    pub staging: Option<Partition>,
    /// The update command that ended last.
    pub last_command: Option<LastCommand>,
}

/// The document as it is written.
#[derive(Deserialize)]
struct Document<'a> {
    update_state: &'a str,
    #[serde(default)]
    chosen_update: Option<Image>,
    #[serde(default)]
    active_partition: Option<Partition>,
    #[serde(default)]
    staging_partition: Option<Partition>,
    #[serde(default)]
    most_recent_command: Option<Command>,
}

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    cmd_type: Text,
    #[serde(default)]
    cmd_status: Text,
    #[serde(default)]
    timestamp: Text,
    #[serde(default)]
    exit_status: Option<i32>,
    /// Always null here: see `json`.
    #[serde(default, rename = "stderr")]
    _stderr: Option<bool>,
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
        let state = State::ALL
            .into_iter()
            .find(|state| state.name() == document.update_state)
            .ok_or_else(|| {
                // What is kept of a string is never longer than a text.
                let name = Text::try_from(document.update_state).unwrap_or_default();
                DocumentError::UnknownState(name)
            })?;
        Ok(Self {
            state,
            chosen: document.chosen_update,
            active: document.active_partition,
            staging: document.staging_partition,
            last_command: document.most_recent_command.map(|command| LastCommand {
                name: command.cmd_type,
                outcome: command.cmd_status,
                timestamp: command.timestamp,
                exit_status: command.exit_status,
                stderr: stderr.clone(),
            }),
        })
    }

    /// The image that is running.
    pub fn running(&self) -> Option<&Image> {
        self.active.as_ref().map(|partition| &partition.image)
    }

    /// The image that is written to the other partition set.
    pub fn staged(&self) -> Option<&Image> {
        self.staging.as_ref().map(|partition| &partition.image)
    }

    /// When the last command ended, in the API's writing; empty if there was
    /// none.
    pub fn timestamp(&self) -> &str {
        self.last_command.as_ref().map_or("", |command| &command.timestamp)
    }
}

/// One line: the state, why it is not Ready or what the reboot will bring, and
/// what is running.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let version =
            |image: Option<&Image>| image.map_or(Text::new(), |image| image.version.clone());
        let (chosen, staged) = (version(self.chosen.as_ref()), version(self.staged()));
        write!(f, "state {}, ", self.state.name())?;
        match self.state {
            State::Ready if staged.is_empty() => f.write_str("reboot brings an unknown version")?,
            State::Ready => write!(f, "reboot brings {staged}")?,
            State::Staged if self.chosen.as_ref() == self.staged() => {
                write!(f, "{staged} is prepared but not activated")?;
            }
            State::Staged | State::Available | State::Idle if self.chosen.is_none() => {
                f.write_str("no update chosen")?;
            }
            _ => write!(f, "{chosen} is chosen but not prepared")?,
        }
        match self.running() {
            Some(image) => {
                let Image { arch, version, variant } = image;
                write!(f, "; running {version}, variant {variant}, arch {arch}")
            }
            None => f.write_str("; running an unknown version"),
        }
    }
}
