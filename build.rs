//! Links the programs without libc and without its start files.
//!
//! These arguments apply to the programs only. Tests, build scripts and procedural
//! macros are linked as usual. GNU ld and lld accept all of them.

use std::env;

fn main() {
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

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=bins/start/discard.ld");
}
