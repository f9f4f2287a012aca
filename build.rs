//! Links the programs without libc and its start files.
//!
//! The arguments go to the programs alone: test binaries, build scripts and
//! procedural macros are linked as always. GNU ld and lld know all of them.

use std::env;

fn main() {
    for argument in [
        "-nostartfiles",
        "-nodefaultlibs",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,noexecstack",
        // It is the dynamic linker or libc that would act on it. Without, what
        // is only read needs no page of its own, nor the file 64 KiB of zeros
        // where pages may be that large.
        "-Wl,-z,norelro",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }

    // A debugger wants the unwind tables; in a program that ships they are a
    // fifth of the file, and nothing unwinds. mold reads no such script.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if env::var("PROFILE").as_deref() == Ok("release") && !flags.contains("mold") {
        let directory = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        println!("cargo::rustc-link-arg-bins=-T{directory}/bins/start/discard.ld");
    }

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=bins/start/discard.ld");
}
