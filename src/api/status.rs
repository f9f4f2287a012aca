//! The status document of the update API: what is installed, what is on offer
//! and how far an update has come.
//!
//! Members and values that are not known yet are no error, except for a state
//! that is not known: nothing can be decided then.

use crate::api::document::{JsonError, STRING_MAX, StatusDocument};
use crate::text::excerpt::{Excerpt, is_plain};
use crate::text::{Show, display, put};
use core::str;
use heapless::{String, VecView};
use serde::Deserialize;

/// A copy of a string of the document.
pub type Text = String<STRING_MAX>;

/// Copies a string of the document: they all fit.
pub fn copy(text: &str) -> Text {
    Text::try_from(text).unwrap_or_default()
}

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Image<'a> {
    /// The version, `1.26.1` for example.
    pub version: &'a str,
    /// The variant, `aws-k8s-1.30` for example.
    pub variant: &'a str,
    /// The processor architecture, `x86_64` for example.
    pub arch: &'a str,
}

impl<'a> Image<'a> {
    /// The version, the variant and the architecture.
    pub fn parts(&self) -> (&'a str, &'a str, &'a str) {
        (self.version, self.variant, self.arch)
    }
}

/// An image with strings of its own. What is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedImage {
    /// The version.
    pub version: Text,
    /// The variant.
    pub variant: Text,
    /// The processor architecture.
    pub arch: Text,
}

impl OwnedImage {
    /// A copy of an image.
    pub fn new(image: Image) -> Self {
        let Image { version, variant, arch } = image;
        Self { version: copy(version), variant: copy(variant), arch: copy(arch) }
    }

    /// The image.
    pub fn image(&self) -> Image<'_> {
        Image { version: &self.version, variant: &self.variant, arch: &self.arch }
    }
}

/// The update command that ended last, whoever sent it.
#[derive(Debug, Clone, Copy)]
pub struct LastCommand<'a> {
    /// `refresh`, `prepare`, `activate` or `deactivate`.
    pub name: &'a str,
    /// `Success`, or else the API's word for what became of it.
    pub outcome: &'a str,
    /// When it ended, in the API's writing: good for being compared.
    pub timestamp: &'a str,
    /// Its exit status, or the number of the signal that ended it, if known.
    pub exit_status: &'a str,
    /// What it had to say.
    pub stderr: &'a Excerpt,
}

impl LastCommand<'_> {
    /// Whether it did what it was sent for.
    pub fn succeeded(&self) -> bool {
        self.outcome == "Success"
    }
}

/// What the API says of a node. Strings are shortened if they are longer than
/// 64 bytes, and have their escapes as they are in the document.
// What is small comes first: reaching it takes less code.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Status<'a> {
    /// How far an update has come.
    pub state: State,
    /// What `prepare` would write.
    pub chosen: Option<Image<'a>>,
    /// What is running.
    pub running: Option<Image<'a>>,
    /// What is written to the other partition set.
    pub staged: Option<Image<'a>>,
    /// The update command that ended last.
    pub last_command: Option<LastCommand<'a>>,
}

/// The known members of a status document, with the document's own names. The
/// parser leaves all others out, and those that are null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    update_state: Option<&'a str>,
    #[serde(borrow)]
    chosen_update: Option<ImageMembers<'a>>,
    #[serde(borrow)]
    active_partition: Option<PartitionMembers<'a>>,
    #[serde(borrow)]
    staging_partition: Option<PartitionMembers<'a>>,
    #[serde(borrow)]
    most_recent_command: Option<CommandMembers<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionMembers<'a> {
    #[serde(borrow)]
    image: Option<ImageMembers<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageMembers<'a> {
    version: Option<&'a str>,
    variant: Option<&'a str>,
    arch: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandMembers<'a> {
    cmd_type: Option<&'a str>,
    cmd_status: Option<&'a str>,
    timestamp: Option<&'a str>,
    exit_status: Option<&'a str>,
}

/// Why a status document is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentError<'a> {
    /// It is not even JSON.
    Json(JsonError),
    /// It does not tell the state.
    NoState,
    /// It has a text that cannot be shown on a line.
    NotPlain,
    /// The state is none of [`State::ALL`].
    UnknownState(&'a str),
}

impl Show for DocumentError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let what = match self {
            Self::Json(_) => "is not understood: ",
            Self::NoState => "does not tell the update state",
            Self::NotPlain => "has a name or version that is no plain text",
            Self::UnknownState(state) => {
                return put(buffer, &["the update state \"", state, "\" is not known"]);
            }
        };
        put(buffer, &["the status document ", what]);
        if let Self::Json(error) = self {
            error.show(buffer);
        }
    }
}
display!(DocumentError<'_>);

impl<'a> Status<'a> {
    /// Reads a document that has come in completely.
    ///
    /// # Errors
    ///
    /// The document is not understood.
    pub fn read(document: StatusDocument<'a>) -> Result<Self, DocumentError<'a>> {
        // The parser keeps each known member once and as a string, so a document in
        // plain text can always be read.
        let text = str::from_utf8(document.json).ok().filter(|text| is_plain(text));
        let members = text.and_then(|text| serde_json_core::from_str::<Members>(text).ok());
        let (members, _) = members.ok_or(DocumentError::NotPlain)?;
        let state = members.update_state.ok_or(DocumentError::NoState)?;
        let state = State::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or(DocumentError::UnknownState(state))?;
        Ok(Self {
            state,
            chosen: members.chosen_update.and_then(image),
            running: members.active_partition.and_then(image_of_partition),
            staged: members.staging_partition.and_then(image_of_partition),
            last_command: members
                .most_recent_command
                .and_then(|command| last_command(command, document.stderr)),
        })
    }
}

fn image_of_partition(members: PartitionMembers) -> Option<Image> {
    members.image.and_then(image)
}

/// The image, if its version is known.
fn image(members: ImageMembers) -> Option<Image> {
    Some(Image {
        version: members.version?,
        variant: members.variant.unwrap_or_default(),
        arch: members.arch.unwrap_or_default(),
    })
}

/// The command, if anything is known of it but its exit status.
fn last_command<'a>(members: CommandMembers<'a>, stderr: &'a Excerpt) -> Option<LastCommand<'a>> {
    let CommandMembers { cmd_type, cmd_status, timestamp, exit_status } = members;
    cmd_type.or(cmd_status).or(timestamp)?;
    Some(LastCommand {
        name: cmd_type.unwrap_or_default(),
        outcome: cmd_status.unwrap_or_default(),
        timestamp: timestamp.unwrap_or_default(),
        exit_status: exit_status.unwrap_or_default(),
        stderr,
    })
}

/// One line: the state, why it is not Ready or what the reboot will bring, and
/// what is running.
impl Show for Status<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let [chosen, staged] = [self.chosen, self.staged]
            .map(|image| image.map_or("an unknown version", |image| image.version));
        put(buffer, &["state ", self.state.name(), ", "]);
        match self.state {
            State::Ready => put(buffer, &["reboot brings ", staged]),
            State::Staged if self.chosen.is_some() && self.chosen == self.staged => {
                put(buffer, &[staged, " is prepared but not activated"]);
            }
            _ if self.chosen.is_none() => put(buffer, &["no update chosen"]),
            _ => put(buffer, &[chosen, " is chosen but not prepared"]),
        }
        match self.running {
            Some(Image { arch, version, variant }) => {
                let parts = ["; running ", version, ", variant ", variant, ", arch ", arch];
                put(buffer, &parts);
            }
            None => put(buffer, &["; running an unknown version"]),
        }
    }
}
display!(Status<'_>);
