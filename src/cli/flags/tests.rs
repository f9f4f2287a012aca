//! How command lines and the environment are read.

extern crate std;
use super::*;
use crate::cli::value::Positive;
use crate::text::duration;
use core::time::Duration;
use std::boxed::Box;
use std::ffi::CString;
use std::string::{String, ToString};
use std::vec::Vec;

#[derive(Debug, PartialEq)]
enum Format {
    Logfmt,
    Json,
}

impl FlagValue<'_> for Format {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        *self = match text.to_bytes() {
            b"logfmt" => Self::Logfmt,
            b"json" => Self::Json,
            _ => return Err("it takes logfmt or json"),
        };
        Ok(())
    }
}

impl Show for Format {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, if *self == Self::Json { "json" } else { "logfmt" });
    }
}

crate::flags! {
    /// One flag of each kind.
    struct Options<'a> {
        socket: &'a CStr = c"default", "-socket PATH", "a path";
        jitter: Duration = Duration::ZERO, "-jitter DURATION", "a duration";
        timeout: Positive = Positive::seconds(1), "-poll-timeout DURATION", "above zero";
        once: bool = false, "-once", "a switch", default "more than once";
        format: Format = Format::Logfmt, "-format FORMAT", "one of two words";
    }
}

fn arguments(texts: &[&str]) -> std::vec::IntoIter<&'static CStr> {
    let leak = |text: &&str| &*Box::leak(CString::new(*text).unwrap().into_boxed_c_str());
    texts.iter().map(leak).collect::<Vec<_>>().into_iter()
}

/// What a command line asks for with the values of all flags, or the text of
/// the error.
fn run(texts: &[&str], with_operand: bool) -> Result<(Invocation, String), String> {
    let (mut options, mut operand) = (Options::default(), None);
    let operand_place = with_operand.then_some(&mut operand);
    let invocation = read(arguments(texts), &mut options, operand_place);
    let invocation = invocation.map_err(|error| error.to_string())?;
    let Options { socket, jitter, timeout: Positive(timeout), once, format, .. } = options;
    let text = |text: &CStr| text.to_str().unwrap().to_string();
    let json = format == Format::Json;
    let values = std::format!(
        "{} {jitter:?} {timeout:?} {once} {json} {:?}",
        text(socket),
        operand.map(text)
    );
    Ok((invocation, values))
}

#[test]
fn values_go_into_their_fields() {
    for (arguments, values) in [
        (&[] as &[&str], "default 0ns 1s false false None"),
        (&["-socket", "/x"], "/x 0ns 1s false false None"),
        (&["-socket=/x"], "/x 0ns 1s false false None"),
        (&["--socket", "/x"], "/x 0ns 1s false false None"),
        (&["--socket=/x"], "/x 0ns 1s false false None"),
        (&["-socket=/x", "-socket=/y"], "/y 0ns 1s false false None"),
        (&["-socket", "-poll-timeout"], "-poll-timeout 0ns 1s false false None"),
        (&["-socket=a=b"], "a=b 0ns 1s false false None"),
        (&["-socket", "--", "--"], "-- 0ns 1s false false None"),
        (&["-jitter", "90s", "--poll-timeout=1h30m"], "default 90s 5400s false false None"),
        (&["-jitter", "0"], "default 0ns 1s false false None"),
        (&["-once"], "default 0ns 1s true false None"),
        (&["--once=true"], "default 0ns 1s true false None"),
        (&["-once", "-once=false"], "default 0ns 1s false false None"),
        (&["-format", "json"], "default 0ns 1s false true None"),
        (&["-format", "json", "-format=logfmt"], "default 0ns 1s false false None"),
    ] {
        assert_eq!(
            run(arguments, false),
            Ok((Invocation::Run, values.to_string())),
            "{arguments:?}"
        );
    }
}

/// 2,000 random command lines: the last value of each flag counts, whichever way
/// it is written.
#[test]
fn last_value_of_each_flag_counts() {
    let known: [(&str, &[&str]); 4] = [
        ("socket", &["/x", "-once", "--", "a=b"]),
        ("jitter", &["0s", "90s", "1h30m"]),
        ("poll-timeout", &["1ms", "5s"]),
        ("format", &["json", "logfmt"]),
    ];
    let mut numbers = crate::tests::Numbers(1);
    for _ in 0..2_000 {
        let mut last = ["default", "0s", "1s", "logfmt"];
        let mut line: Vec<String> = Vec::new();
        for _ in 0..numbers.below(8) {
            let flag = numbers.below(4) as usize;
            let (name, values) = known[flag];
            let value = *numbers.one_of(values);
            last[flag] = value;
            let dashes = *numbers.one_of(&["-", "--"]);
            if numbers.below(2) == 0 {
                line.push(std::format!("{dashes}{name}={value}"));
            } else {
                line.push(std::format!("{dashes}{name}"));
                line.push(value.into());
            }
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let [socket, jitter, timeout, format] = last;
        let [jitter, timeout] =
            [jitter, timeout].map(|text| duration::parse(text.as_bytes()).unwrap());
        let values =
            std::format!("{socket} {jitter:?} {timeout:?} false {} None", format == "json");
        assert_eq!(run(&line, false), Ok((Invocation::Run, values)), "{line:?}");
    }
}

#[test]
fn operand_is_the_only_argument_that_is_not_a_flag() {
    for (arguments, operand) in [
        (&["dir"] as &[&str], "dir"),
        (&["-once", "dir"], "dir"),
        (&["dir", "-once"], "dir"),
        (&["--", "-dir"], "-dir"),
        (&["--", "--"], "--"),
        (&["-"], "-"),
        (&[""], ""),
    ] {
        let (_, values) = run(arguments, true).unwrap();
        assert!(values.ends_with(&std::format!("Some({operand:?})")), "{arguments:?}: {values}");
    }
}

#[test]
fn arguments_behind_help_and_version_are_not_checked() {
    for (arguments, invocation) in [
        (&["-h"] as &[&str], Invocation::Help),
        (&["--help", "-nonsense"], Invocation::Help),
        (&["-once", "-help", "stray"], Invocation::Help),
        (&["-version"], Invocation::Version),
        (&["--version", "--help"], Invocation::Version),
    ] {
        assert_eq!(run(arguments, false).unwrap().0, invocation, "{arguments:?}");
    }
}

#[test]
fn errors_name_the_argument() {
    for (arguments, error) in [
        (&["--bad=1"] as &[&str], "unknown flag \"--bad=1\""),
        (&["-Socket=x"], "unknown flag \"-Socket=x\""),
        (&["---once"], "unknown flag \"---once\""),
        (&["-=x"], "unknown flag \"-=x\""),
        (&["stray\n"], "unexpected argument \"stray\""),
        (&["-once", "true"], "unexpected argument \"true\""),
        (&["-socket"], "flag -socket needs a value"),
        (&["-socket="], "flag -socket needs a value"),
        (&["-socket", ""], "flag -socket needs a value"),
        (&["-once="], "flag -once needs a value"),
        (
            &["-jitter", "5"],
            "bad value \"5\" for flag -jitter: it takes a duration like 90s, 10m or 1h30m",
        ),
        (
            &["-poll-timeout=0s"],
            "bad value \"0s\" for flag -poll-timeout: \
                 it takes a duration above zero, like 90s, 10m or 1h30m",
        ),
        (&["-once=maybe"], "bad value \"maybe\" for flag -once: it takes false or true"),
        (&["-format=xml"], "bad value \"xml\" for flag -format: it takes logfmt or json"),
    ] {
        assert_eq!(run(arguments, false), Err(error.to_string()), "{arguments:?}");
    }
    let second = run(&["one", "two"], true);
    assert_eq!(second, Err("unexpected argument \"two\"".to_string()));
    assert_eq!(UsageError::MissingOperand("DIR").to_string(), "missing argument DIR");
}

#[test]
fn flag_that_is_not_utf8_is_unknown() {
    let error = read([c"-\xff"].into_iter(), &mut Options::default(), None).unwrap_err();
    assert_eq!(error.to_string(), "unknown flag \"-\u{fffd}\"");
}

/// The values and their sources after these variables and arguments, without
/// the jitter, or the text of the error.
fn run_in(variables: &[&str], texts: &[&str]) -> Result<String, String> {
    let mut options = Options::default();
    read(arguments(texts), &mut options, None).map_err(|error| error.to_string())?;
    read_environment(arguments(variables), "BR_", &mut options)
        .map_err(|error| error.to_string())?;
    let mut shown = Vec::new();
    for_each(&mut options, |flag| {
        if flag.name != "jitter" {
            shown.push(flag.to_string());
        }
    });
    Ok(shown.join(", "))
}

#[test]
fn environment_sets_flags_that_are_not_on_the_command_line() {
    let defaults = "-socket=default (default), -poll-timeout=1s (default), -once=false (default), -format=logfmt (default)";
    for (variables, arguments, values) in [
        (&[] as &[&str], &[] as &[&str], defaults),
        (
            &["PATH=/bin", "BR_SOCKET=/x=y", "BR_POLL_TIMEOUT=90s", "BR_ONCE=true"],
            &[],
            "-socket=/x=y (environment), -poll-timeout=1m30s (environment), -once=true (environment), -format=logfmt (default)",
        ),
        (
            &["BR_SOCKET=/x", "BR_FORMAT=json", "BR_ONCE=false"],
            &["-socket=/y", "-once"],
            "-socket=/y (flag), -poll-timeout=1s (default), -once=true (flag), -format=json (environment)",
        ),
        // The variable of a flag that is set is not parsed.
        (
            &["BR_POLL_TIMEOUT=never", "BR_FORMAT=xml"],
            &["-poll-timeout", "2s", "-format=json"],
            "-socket=default (default), -poll-timeout=2s (flag), -once=false (default), -format=json (flag)",
        ),
        // The first of two variables counts, as with C's getenv.
        (
            &["BR_SOCKET=/x", "BR_SOCKET=/y"],
            &[],
            "-socket=/x (environment), -poll-timeout=1s (default), -once=false (default), -format=logfmt (default)",
        ),
        (
            &[
                "",
                "=",
                "BR_",
                "BR_=x",
                "BR_SOCKET",
                "BR_SOCKET=",
                "BR_socket=/x",
                "br_SOCKET=/x",
                "BR_POLL-TIMEOUT=2s",
                "BR_SOCKETS=/x",
                "BR_SOCKE=/x",
                "XBR_SOCKET=/x",
                "BR_PORT=tcp://10.0.0.1:80",
            ],
            &[],
            defaults,
        ),
    ] {
        assert_eq!(run_in(variables, arguments), Ok(values.to_string()), "{variables:?}");
    }
    for (variable, error) in [
        (
            "BR_POLL_TIMEOUT=10",
            "bad value \"10\" in the environment for flag -poll-timeout: \
                 it takes a duration above zero, like 90s, 10m or 1h30m",
        ),
        ("BR_ONCE=1", "bad value \"1\" in the environment for flag -once: it takes false or true"),
        (
            "BR_FORMAT=xml",
            "bad value \"xml\" in the environment for flag -format: it takes logfmt or json",
        ),
    ] {
        assert_eq!(run_in(&[variable], &[]), Err(error.to_string()));
    }
}

#[test]
fn rows_describe_the_flags() {
    let rows = Options::ROWS.iter().map(|row| {
        let mut default = heapless::Vec::<u8, 64>::new();
        row.default.unwrap().show(&mut default);
        (row.name(), row.usage, row.text, String::from_utf8(default.to_vec()).unwrap())
    });
    let expected = [
        ("socket", "-socket PATH", "a path", "default"),
        ("jitter", "-jitter DURATION", "a duration", "0s"),
        ("poll-timeout", "-poll-timeout DURATION", "above zero", "1s"),
        ("once", "-once", "a switch", "more than once"),
        ("format", "-format FORMAT", "one of two words", "logfmt"),
    ];
    let expected =
        expected.map(|(name, usage, text, default)| (name, usage, text, default.to_string()));
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    assert!(Options::default().flag(5).is_none());
}
