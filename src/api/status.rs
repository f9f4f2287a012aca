//! The status of a node: which image runs, which update is available, and how far
//! it has come.
//!
//! Members and values that are unknown are ignored, so that a new version of the
//! API is still understood. The exception is an unknown update state: nothing can be
//! decided without it.

use crate::api::document::{JsonError, STRING_MAX, StatusDocument};
use crate::text::duration::whole_number;
use crate::text::excerpt::{Excerpt, is_plain};
use crate::text::{Show, display, put};
use core::str;
use heapless::{String, VecView};
use serde::Deserialize;

/// A copy of a string of the status.
pub type Text = String<STRING_MAX>;

/// Copies a string of the status. Each of them fits.
pub fn copy(text: &str) -> Text {
    Text::try_from(text).unwrap_or_default()
}

/// The state of a node's update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No update is available, or none has been found yet.
    Idle,
    /// An update is available.
    Available,
    /// An update is written to the other partition set.
    Staged,
    /// The next boot starts from the other partition set.
    Ready,
}

impl State {
    /// All states, in the order of an update.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Available, Self::Staged, Self::Ready];

    /// The API's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Available => "Available",
            Self::Staged => "Staged",
            Self::Ready => "Ready",
        }
    }
}

/// An image of the operating system. An unknown string is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Image<'a> {
    /// The version, such as `1.26.1`.
    pub version: &'a str,
    /// The variant, such as `aws-k8s-1.30`.
    pub variant: &'a str,
    /// The processor architecture, such as `x86_64`.
    pub arch: &'a str,
}

impl<'a> Image<'a> {
    /// The image, if its version is known.
    fn if_known(self) -> Option<Self> {
        Some(self).filter(|image| !image.version.is_empty())
    }

    /// The version, the variant and the architecture.
    pub fn parts(&self) -> (&'a str, &'a str, &'a str) {
        (self.version, self.variant, self.arch)
    }
}

/// An image that owns its strings. An unknown string is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OwnedImage {
    /// The version.
    pub version: Text,
    /// The variant.
    pub variant: Text,
    /// The processor architecture.
    pub arch: Text,
}

impl OwnedImage {
    /// Copies an image.
    pub fn new(image: Image) -> Self {
        let Image { version, variant, arch } = image;
        Self { version: copy(version), variant: copy(variant), arch: copy(arch) }
    }

    /// The image.
    pub fn image(&self) -> Image<'_> {
        Image { version: &self.version, variant: &self.variant, arch: &self.arch }
    }
}

/// The update command that ended last, whichever client sent it. An unknown string
/// is empty.
#[derive(Debug, Clone, Copy)]
pub struct LastCommand<'a> {
    /// `refresh`, `prepare`, `activate` or `deactivate`.
    pub name: &'a str,
    /// `Success`, `Failed` or `Unknown`.
    pub outcome: &'a str,
    /// When the command ended. It differs from one command to the next; its form is
    /// the API's.
    pub timestamp: &'a str,
    /// The exit status of the command, or the number of the signal that ended it.
    pub exit_status: &'a str,
    /// What the command printed.
    pub stderr: &'a Excerpt,
}

impl LastCommand<'_> {
    /// Whether the command succeeded.
    pub fn succeeded(&self) -> bool {
        self.outcome == "Success"
    }

    /// Whether what is Staged cannot be activated before another prepare: an activate has
    /// failed, and fails each time, or a prepare has failed, and may have written a part.
    pub fn forbids_activate(&self) -> bool {
        matches!(self.name, "activate" | "prepare") && !self.succeeded()
    }
}

/// The status of a node. Strings are cut off after 64 bytes, and keep the escapes
/// that they have in the document.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    /// How far the update has come.
    pub state: State,
    /// The image that `prepare` would write.
    pub chosen: Option<Image<'a>>,
    /// The image that runs.
    pub running: Option<Image<'a>>,
    /// The image on the other partition set.
    pub staged: Option<Image<'a>>,
    /// The newest version that is offered, chosen or not.
    pub offered: Option<&'a str>,
    /// The update command that ended last.
    pub last_command: Option<LastCommand<'a>>,
}

/// The members of the filtered document, by the document's own names. The parser
/// leaves out members that are unknown or null.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Members<'a> {
    update_state: Option<&'a str>,
    available_updates: &'a str,
    #[serde(borrow)]
    chosen_update: Image<'a>,
    #[serde(borrow)]
    active_partition: Partition<'a>,
    #[serde(borrow)]
    staging_partition: Partition<'a>,
    #[serde(borrow)]
    most_recent_command: Command<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Partition<'a> {
    #[serde(borrow)]
    image: Image<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Command<'a> {
    cmd_type: &'a str,
    cmd_status: &'a str,
    timestamp: &'a str,
    exit_status: &'a str,
}

/// Why a status document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentError<'a> {
    /// The document is not valid JSON, or a known member has the wrong type.
    Json(JsonError),
    /// The update state is missing or null.
    NoState,
    /// A string cannot be shown on one line, or is not UTF-8.
    NotPlain,
    /// The update state is none of [`State::ALL`].
    UnknownState(&'a str),
}

impl Show for DocumentError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Json(error) => put!(buffer, "the status document is invalid: ", error),
            Self::NoState => put!(buffer, "the status document has no update_state"),
            Self::NotPlain => {
                put!(buffer, "the status document has a name or version that is not plain text");
            }
            Self::UnknownState(state) => put!(buffer, "unknown update state \"", state, "\""),
        }
    }
}
display!(DocumentError<'_>);

impl<'a> Status<'a> {
    /// Reads a filtered document.
    ///
    /// # Errors
    ///
    /// The update state is missing or unknown, or a string is not plain text.
    pub fn read(document: StatusDocument<'a>) -> Result<Self, DocumentError<'a>> {
        // The parser has checked all but the text: that is the only possible error.
        let text = str::from_utf8(document.json).ok().filter(|text| is_plain(text));
        let members = text.and_then(|text| serde_json_core::from_str::<Members>(text).ok());
        let (members, _) = members.ok_or(DocumentError::NotPlain)?;
        let name = members.update_state.ok_or(DocumentError::NoState)?;
        let state = State::ALL.into_iter().find(|state| state.name() == name);
        let Command { cmd_type, cmd_status, timestamp, exit_status } = members.most_recent_command;
        let is_known = !cmd_type.is_empty() || !cmd_status.is_empty() || !timestamp.is_empty();
        Ok(Self {
            state: state.ok_or(DocumentError::UnknownState(name))?,
            chosen: members.chosen_update.if_known(),
            running: members.active_partition.image.if_known(),
            staged: members.staging_partition.image.if_known(),
            offered: Some(members.available_updates).filter(|offered| !offered.is_empty()),
            last_command: is_known.then_some(LastCommand {
                name: cmd_type,
                outcome: cmd_status,
                timestamp,
                exit_status,
                stderr: document.stderr,
            }),
        })
    }

    /// Whether the update on the other partition set is known not to be the chosen one:
    /// since it was prepared, a refresh has chosen another one, or none.
    pub fn staged_is_not_chosen(&self) -> bool {
        self.staged.is_some() && self.chosen != self.staged
    }

    /// Whether an update is Staged and is the chosen one, so that it can be activated.
    pub fn staged_is_chosen(&self) -> bool {
        self.state == State::Staged && self.staged.is_some() && self.chosen == self.staged
    }

    /// The newest version that is offered, if it is newer than the running one and no
    /// version is chosen: there is a version lock, or the node waits for its wave.
    /// `None` also if the versions cannot be compared.
    pub fn offered_but_not_chosen(&self) -> Option<&'a str> {
        let (offered, running) = (self.offered?, self.running?);
        let is_newer = is_newer(offered, running.version);
        (is_newer && self.chosen.is_none()).then_some(offered)
    }
}

/// Whether `version` is newer than `other`. `false` if one of them has another form than
/// `1.26.1`.
pub fn is_newer(version: &str, other: &str) -> bool {
    let (version, other) = (release(version), release(other));
    version.is_some_and(|version| other.is_some_and(|other| version > other))
}

/// The numbers of a version like `1.26.1`, with or without a leading `v`. The text
/// after a `-` or a `+` does not count. `None` if the version has another form.
fn release(version: &str) -> Option<[u64; 3]> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['-', '+']).next()?.split('.');
    let mut numbers = [0; 3];
    for number in &mut numbers {
        *number = whole_number(parts.next()?.as_bytes())?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Shows the status on one line: the state, what is missing until Ready or what the
/// next boot starts, and what runs.
impl Show for Status<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let [chosen, staged] = [self.chosen, self.staged]
            .map(|image| image.map_or("an unknown version", |image| image.version));
        put!(buffer, "state ", self.state.name(), ", ");
        match self.state {
            State::Ready => {
                put!(buffer, "the next boot starts ", staged);
                match self.chosen {
                    _ if !self.staged_is_not_chosen() => {}
                    Some(_) => put!(buffer, ", but ", chosen, " is chosen"),
                    None => put!(buffer, ", but no update is chosen"),
                }
            }
            State::Staged if self.chosen.is_some() && self.chosen == self.staged => {
                put!(buffer, staged, " is prepared but not activated");
            }
            _ if self.chosen.is_none() => put!(buffer, "no update chosen"),
            _ => put!(buffer, chosen, " is chosen but not prepared"),
        }
        put!(buffer, "; running ");
        match self.running {
            Some(Image { arch, version, variant }) => {
                put!(buffer, version, ", variant ", variant, ", arch ", arch);
            }
            None => put!(buffer, "an unknown version"),
        }
    }
}
display!(Status<'_>);
