//! What the updater's flags take that no other program has, and what is in
//! force.

use crate::cli::flags::{Expected, FlagValue};
use crate::text::duration::{self, HumanDuration};
use crate::text::excerpt::Sanitized;
use crate::text::{Show, display, put};
use crate::updater::window::{WINDOWS_MAX, WindowError, Windows};
use core::net::Ipv4Addr;
use core::time::Duration;
use heapless::{Vec, VecView};

/// Windows, which may be given more than once.
pub struct WindowFlag<'v, 'a> {
    /// Where they go.
    pub windows: &'v mut Windows,
    /// As the operator has written them.
    pub texts: Vec<&'a [u8], WINDOWS_MAX>,
}

impl<'a> FlagValue<'a> for WindowFlag<'_, 'a> {
    fn set(&mut self, value: &'a [u8]) -> Result<(), Expected> {
        self.windows.add(value).map_err(WindowError::text)?;
        // There is room: each text has a window at least.
        let _ = self.texts.push(value);
        Ok(())
    }
}

impl Show for WindowFlag<'_, '_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let mut before = "";
        for text in &self.texts {
            put(buffer, &[before]);
            Sanitized(text).show(buffer);
            before = "; ";
        }
    }
}

/// A duration, or `never`, which is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationOrNever(pub Option<Duration>);

const NEVER: &str = "never";

impl FlagValue<'_> for DurationOrNever {
    fn set(&mut self, value: &[u8]) -> Result<(), Expected> {
        self.0 = match value {
            value if value == NEVER.as_bytes() => None,
            value => {
                let duration = duration::parse(value).filter(|duration| !duration.is_zero());
                Some(duration.ok_or("it takes a duration above zero, like 24h, or never")?)
            }
        };
        Ok(())
    }
}

impl Show for DurationOrNever {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self.0 {
            Some(duration) => HumanDuration(duration).show(buffer),
            None => put(buffer, &[NEVER]),
        }
    }
}

/// An address to listen on: `A.B.C.D:PORT`, or `:PORT` for each address of the
/// machine, those of IPv6 as well, or `off`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Listen<'a> {
    /// As the operator has written it; empty if nothing is listened on.
    pub text: &'a [u8],
    /// The address, `None` for each of this machine.
    pub address: Option<Ipv4Addr>,
    /// The port.
    pub port: u16,
}

const OFF: &[u8] = b"off";

impl<'a> FlagValue<'a> for Listen<'a> {
    fn set(&mut self, value: &'a [u8]) -> Result<(), Expected> {
        *self = Self::default();
        if value == OFF {
            return Ok(());
        }
        let wanted = "it takes an address like :8080 or 127.0.0.1:8080, or off";
        let (address, port) = read_address(value).ok_or(wanted)?;
        *self = Self { text: value, address, port };
        Ok(())
    }
}

fn read_address(text: &[u8]) -> Option<(Option<Ipv4Addr>, u16)> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let port = u16::try_from(duration::whole_number(text.get(colon + 1..)?)?).ok()?;
    let address = text.get(..colon)?;
    if address.is_empty() {
        return Some((None, port));
    }
    let mut numbers = address.split(|byte| *byte == b'.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        *octet = u8::try_from(duration::whole_number(numbers.next()?)?).ok()?;
    }
    numbers.next().is_none().then_some((Some(Ipv4Addr::from_octets(octets)), port))
}

impl Show for Listen<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        Sanitized(if self.text.is_empty() { OFF } else { self.text }).show(buffer);
    }
}
display!(WindowFlag<'_, '_>, DurationOrNever, Listen<'_>);

#[cfg(test)]
mod tests;
