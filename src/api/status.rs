//! The status document of the update API: what is installed, what is on offer
//! and how far an update has come.
//!
//! Members and values that are not known yet are no error, except for a state
//! that is not known: nothing can be decided then.

use crate::api::document::{Condenser, Field, JsonError, STRING_MAX};
use crate::text::excerpt::{Excerpt, is_plain};
use crate::text::{Show, display, put};
use core::fmt;
use heapless::{String, VecView};
use serde::de::{Deserializer as _, Error, SeqAccess, Visitor};
use serde_json_core::de::Deserializer;
use serde_json_core::str::EscapedStr;

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

/// The values of the fields, by their number. What is not known is empty.
struct Values<'a> {
    texts: [&'a str; Field::COUNT],
    /// A bit for each field that is known.
    known: u32,
}

impl<'a> Values<'a> {
    /// The image of which the version has this number.
    #[inline(never)]
    fn image(&self, number: usize) -> Option<Image<'a>> {
        match self.texts.get(number..) {
            Some([version, variant, arch, ..]) if self.known >> number & 1 == 1 => {
                Some(Image { version, variant, arch })
            }
            _ => None,
        }
    }
}

impl<'de> Visitor<'de> for &mut Values<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a status document")
    }

    #[inline(never)]
    fn visit_seq<S: SeqAccess<'de>>(self, mut pairs: S) -> Result<(), S::Error> {
        // Ends: each turn takes two texts of the condensed document.
        while let Some(Some(EscapedStr(letter))) = pairs.next_element()? {
            let value = pairs.next_element::<Option<EscapedStr>>()?.flatten();
            let field = letter.bytes().next().unwrap_or_default().wrapping_sub(Field::FIRST);
            match (self.texts.get_mut(usize::from(field)), value) {
                (Some(place), Some(EscapedStr(text))) if is_plain(text) => {
                    *place = text;
                    self.known |= 1 << field;
                }
                (Some(_), None) => {}
                _ => return Err(S::Error::custom("no plain text")),
            }
        }
        Ok(())
    }
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
    /// Reads the document that `condenser` was given.
    ///
    /// # Errors
    ///
    /// It is not understood.
    // Apart, it keeps its registers to itself: the programs are smaller.
    #[inline(never)]
    pub fn read(condenser: &'a Condenser) -> Result<Self, DocumentError<'a>> {
        let (condensed, stderr) = condenser.finish().map_err(DocumentError::Json)?;
        let mut values = Values { texts: [""; _], known: 0 };
        let mut deserializer = Deserializer::new(condensed, None);
        deserializer.deserialize_seq(&mut values).map_err(|_| DocumentError::NotPlain)?;
        let [word, ..] = values.texts;
        // The state is the first of the fields.
        if values.known & 1 == 0 {
            return Err(DocumentError::NoState);
        }
        let state = State::ALL.into_iter().find(|state| state.name() == word);
        let state = state.ok_or(DocumentError::UnknownState(word))?;
        let chosen = values.image(Field::ChosenVersion as usize);
        let running = values.image(Field::ActiveVersion as usize);
        let staged = values.image(Field::StagingVersion as usize);
        let [.., name, outcome, timestamp, exit_status] = values.texts;
        let is_known = values.known & (7 << Field::CmdType as u32) != 0;
        let last_command =
            is_known.then_some(LastCommand { name, outcome, timestamp, exit_status, stderr });
        Ok(Self { state, chosen, running, staged, last_command })
    }
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
