//! The configuration file: versions on offer, versions that do not boot, failures, times.
//!
//! Each line is an option of the command line without its dashes, such as `offer 1.26.1`
//! or `fail prepare=1:disk full`. Empty lines and lines that start with `#` are comments.

use crate::cli;
use crate::options::Options;
use std::fs::File;
use std::io::{self, Error, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// No configuration is longer.
const LIMIT: u64 = 1 << 20;

/// Parses a configuration. It changes the options of the command line. The lists are those
/// of the configuration only: without a line with `offer`, no version is on offer.
///
/// # Errors
/// A line is wrong. The message names it.
pub fn parse(text: &str, options: &Options) -> Result<Options, String> {
    let mut options =
        Options { offer: Vec::new(), no_boot: Vec::new(), endings: Vec::new(), ..options.clone() };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            cli::read_setting(line, &mut options)
                .map_err(|wrong| format!("line {number}, {line:?}: {wrong}"))?;
        }
    }
    Ok(options)
}

/// A configuration file that may change.
pub struct Watch {
    path: PathBuf,
    options: Options,
    /// What the last read returned.
    last: Result<String, String>,
}

impl Watch {
    /// Reads the file. Returns the options of the command line as the file changes them.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong. The message names both.
    pub fn start(path: &Path, options: &Options) -> io::Result<(Watch, Options)> {
        let named = |wrong: &String| {
            Error::new(ErrorKind::InvalidData, format!("{}: {wrong}", path.display()))
        };
        let last = read(path);
        let configured = parse(last.as_ref().map_err(named)?, options).map_err(|e| named(&e))?;
        Ok((Watch { path: path.into(), options: options.clone(), last }, configured))
    }

    /// Reads the file again. Returns the new options if it has changed.
    ///
    /// # Errors
    /// The file can no longer be read, or a line is wrong. The message names both, and is
    /// returned once.
    pub fn poll(&mut self) -> Option<Result<Options, String>> {
        let new = read(&self.path);
        if new == self.last {
            return None;
        }
        self.last = new;
        let parsed = self.last.as_ref().map_err(Clone::clone);
        let parsed = parsed.and_then(|text| parse(text, &self.options));
        Some(parsed.map_err(|wrong| format!("{}: {wrong}", self.path.display())))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LIMIT => Err(format!("longer than {LIMIT} bytes")),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}
