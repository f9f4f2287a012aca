//! Any command line, with NULs between the arguments. The result is the same as
//! that of a simple parser, and an error message has one short line.
#![no_main]

use bottlerocket_updater::cli::flags::{Invocation, read};
use bottlerocket_updater::cli::value::Positive;
use bottlerocket_updater::reporting::log::Format;
use bottlerocket_updater::text::duration;
use libfuzzer_sys::fuzz_target;
use std::ffi::{CStr, CString};
use std::time::Duration;

/// The values of all flags.
#[derive(Debug, PartialEq, Eq)]
struct Set<'a> {
    socket: &'a [u8],
    timeout: Duration,
    jitter: Duration,
    once: bool,
    json: bool,
    operand: Option<&'a [u8]>,
}

bottlerocket_updater::flags! {
    /// One flag of each kind.
    struct Options<'a> {
        socket: &'a CStr = c"", "-socket PATH", "a path";
        timeout: Positive = Positive::seconds(1), "-timeout DURATION", "a duration above zero";
        jitter: Duration = Duration::ZERO, "-jitter DURATION", "a duration";
        once: bool = false, "-once", "a switch";
        format: Format = Format::Logfmt, "-format FORMAT", "one of two words";
    }
}

fuzz_target!(|line: &[u8]| {
    let arguments: Vec<CString> =
        line.split(|byte| *byte == 0).filter_map(|argument| CString::new(argument).ok()).collect();
    let mut options = Options::default();
    let mut operand = None;
    let read_from = arguments.iter().map(CString::as_c_str);
    let invocation = read(read_from, &mut options, Some(&mut operand));
    let Options { socket, timeout: Positive(timeout), jitter, once, format, .. } = options;
    let (socket, json) = (socket.to_bytes(), format == Format::Json);
    let operand = operand.map(CStr::to_bytes);
    let set = Set { socket, timeout, jitter, once, json, operand };
    let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.to_bytes()).collect();
    match invocation {
        Ok(invocation) => assert_eq!(Some((invocation, set)), model(&arguments)),
        Err(error) => {
            assert_eq!(model(&arguments), None, "{error}");
            let text = error.to_string();
            assert!(!text.contains(|c: char| c.is_control()) && text.len() < 1_300, "{text:?}");
        }
    }
});

fn model<'a>(arguments: &[&'a [u8]]) -> Option<(Invocation, Set<'a>)> {
    let mut set = Set {
        socket: b"",
        timeout: Duration::from_secs(1),
        jitter: Duration::ZERO,
        once: false,
        json: false,
        operand: None,
    };
    let mut operands = Vec::new();
    let mut at = 0;
    while at < arguments.len() {
        let argument = arguments[at];
        at += 1;
        if argument == b"--" {
            operands.extend_from_slice(&arguments[at..]);
            break;
        }
        if argument.len() < 2 || argument[0] != b'-' {
            operands.push(argument);
            if operands.len() > 1 {
                return None;
            }
            continue;
        }
        let named = &argument[if argument[1] == b'-' { 2 } else { 1 }..];
        let mut parts = named.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        match name {
            b"h" | b"help" => return Some((Invocation::Help, set.with(&operands)?)),
            b"version" => return Some((Invocation::Version, set.with(&operands)?)),
            b"once" => {
                set.once = match value {
                    None | Some(b"true") => true,
                    Some(b"false") => false,
                    _ => return None,
                };
                continue;
            }
            _ => {}
        }
        let value = match value {
            Some(value) => value,
            None => {
                at += 1;
                arguments.get(at - 1)?
            }
        };
        match name {
            b"socket" if !value.is_empty() => set.socket = value,
            b"timeout" => set.timeout = duration::parse(value).filter(|time| !time.is_zero())?,
            b"jitter" => set.jitter = duration::parse(value)?,
            b"format" if value == b"json" => set.json = true,
            b"format" if value == b"logfmt" => set.json = false,
            _ => return None,
        }
    }
    Some((Invocation::Run, set.with(&operands)?))
}

impl<'a> Set<'a> {
    fn with(mut self, operands: &[&'a [u8]]) -> Option<Self> {
        match operands {
            [] => {}
            [operand] => self.operand = Some(operand),
            _ => return None,
        }
        Some(self)
    }
}
