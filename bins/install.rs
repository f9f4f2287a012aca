//! `bottlerocket-install` copies the programs that run on the host into one of
//! the host's directories. It is made for an init container that contains nothing
//! but these programs: no shell, no libc, and possibly a read-only root.
//!
//! It also creates the directory of the updater's state (`install/state.rs`), the links
//! to the API's socket (`install/link.rs`), and removes all of it again
//! (`install/removal.rs`). How a directory is opened, locked and protected is in
//! `install/directory.rs`, and how a program is copied in `install/program.rs`.
//!
//! At any moment, the name of a program is a whole file, the old one or the new
//! one, even if this program is killed or the machine loses its power:
//!
//! ```text
//! lock DIR ─ protect DIR ─ remove leftovers ─ compare ─┬─ the same: leave it
//!                                                      └─ write .NAME.new ─ sync it
//!                                                         ─ rename it to NAME ─ sync DIR
//! ```
//!
//! Only root and the user of this program can change the programs afterwards: the
//! directory and the files belong to one of these two, and nobody else may write to
//! them. Otherwise the programs are replaced, and the directory is fixed or refused.
//!
//! A file that has the name of a program is never written to, so a program that
//! is running keeps its file. A link with that name is replaced, not followed. The
//! kernel releases the lock when the process ends, so a file with a temporary name
//! belongs to no process once the lock is held.
#![no_std]
#![no_main]

#[path = "install/directory.rs"]
mod directory;
#[path = "install/link.rs"]
mod link;
#[path = "install/program.rs"]
mod program;
#[path = "install/removal.rs"]
mod removal;
mod start;
#[path = "install/state.rs"]
mod state;
#[path = "start/stop.rs"]
mod stop;

use bottlerocket_updater::cli::exit::{FAILURE, SUCCESS};
use bottlerocket_updater::cli::flags::{self, Invocation, UsageError};
use bottlerocket_updater::install::{
    Failure, Found, HELP, Options, PROGRAM_FILES, Path, Role, STATE_FILES,
};
use bottlerocket_updater::sys::deadline::pause;
use bottlerocket_updater::sys::stdio::write_line;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use directory::{DIRECTORY_PATH, Directory};
use program::Program;
use rustix::fd::{AsRawFd, IntoRawFd};
use rustix::fs::{CWD, Mode, openat, readlinkat_raw};
use rustix::io::Errno;
use rustix::process::umask;
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

/// Whether everything is done, for the signal handler.
static IS_WAITING: AtomicBool = AtomicBool::new(false);

/// How long one call waits for a signal.
const WAIT: Duration = Duration::from_secs(3600);

/// The kernel returns no path of this length or more, in bytes.
const PATH_MAX: usize = 4096;

/// The programs to install: their names, and their names while they are written.
const PROGRAMS: [(&CStr, &CStr); 2] = [
    (c"bottlerocket-checker", c".bottlerocket-checker.new"),
    (c"bottlerocket-reboot", c".bottlerocket-reboot.new"),
];

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let mut into = None;
    let mut invocation = flags::read(arguments, &mut options, Some(&mut into));
    let into = into.unwrap_or_default();
    let is_idle = options.wait && !options.remove && options.gate_socket.is_empty();
    let has_other = !options.state_dir.is_empty() || !options.updater_link.is_empty();
    let needs_directory = !is_idle && (!has_other || !options.gate_socket.is_empty());
    if invocation == Ok(Invocation::Run) && into.is_empty() && needs_directory {
        invocation = Err(UsageError::MissingOperand("DIR"));
    }
    start::invoke(invocation, &HELP, || {
        stop::at_once(stop);
        occupy_standard_streams();
        // Files and directories get exactly the mode that they are created with.
        umask(Mode::empty());
        let is_done = if options.remove {
            let programs = removal::remove(into.to_bytes(), PROGRAM_FILES);
            let state = removal::remove(options.state_dir.to_bytes(), STATE_FILES);
            programs && state
        } else {
            let mut own_path = [0; PATH_MAX];
            let done = create(&options, into.to_bytes(), &mut own_path);
            if let Err(failure) = &done {
                complain(&[failure]);
            }
            done.is_ok()
        };
        if !is_done {
            return FAILURE;
        }
        if options.wait {
            wait();
        }
        SUCCESS
    })
}

/// Waits until a signal stops the program.
fn wait() -> ! {
    IS_WAITING.store(true, Relaxed);
    write_line!(STDOUT, "everything is done: waiting for SIGTERM");
    // Ends: when a signal stops the program. Waiting is what it was asked for.
    loop {
        pause(WAIT);
    }
}

/// Exits because of a signal. What was not finished is told by the exit status, unless
/// the program was only waiting for the signal.
extern "C" fn stop(_signal: c_int) -> ! {
    start::exit(if IS_WAITING.load(Relaxed) { SUCCESS } else { FAILURE })
}

/// Installs the programs and creates the directory of the state, as far as the options
/// ask for it.
fn create<'a>(
    options: &Options<'a>,
    into: &'a [u8],
    own_path: &'a mut [u8; PATH_MAX],
) -> Result<(), Failure<'a>> {
    if !into.is_empty() {
        let into = install(options.from.to_bytes(), into, own_path)?;
        if !options.gate_socket.is_empty() {
            link::create_for_gate(&into, options.gate_socket)?;
        }
    }
    if !options.updater_link.is_empty() {
        link::create_for_updater(options.updater_link.to_bytes())?;
    }
    if !options.state_dir.is_empty() {
        state::create(options.state_dir.to_bytes())?;
    }
    Ok(())
}

/// Installs the programs, and returns their locked directory. Nothing is written before
/// all of them are found.
fn install<'a>(
    from: &'a [u8],
    into: &'a [u8],
    own_path: &'a mut [u8; PATH_MAX],
) -> Result<Directory<'a>, Failure<'a>> {
    let from = match from {
        b"" => own_directory(own_path)?,
        path => path,
    };
    let from = Directory::open(from, Role::Source)?;
    let [checker, reboot] = PROGRAMS.map(|names| Program::find(&from, names));
    let programs = [checker?, reboot?];

    let into = Directory::open(into, Role::Target)?.lock()?;
    into.protect()?;
    // Remove all leftovers first: they may be what fills a full disk.
    for program in &programs {
        program.remove_leftover(&into)?;
    }
    for program in &programs {
        let found = program.compare(&into)?;
        if found != Found::Same {
            program.replace(&into)?;
        }
        write_line!(STDOUT, found.action(), " ", into.path(program.name));
    }
    Ok(into)
}

/// Opens the root directory in place of each standard stream that is closed.
/// Otherwise a file that is opened later would take that place, and the messages
/// would be written into it.
fn occupy_standard_streams() {
    // If `/` cannot be opened, nothing can.
    // Ends: each turn opens one more file, and the fourth is no standard stream.
    while let Ok(root) = openat(CWD, c"/", DIRECTORY_PATH, Mode::empty()) {
        if root.as_raw_fd() > STDERR.as_raw_fd() {
            return;
        }
        // It stays open.
        let _ = root.into_raw_fd();
    }
}

/// The directory that contains this program.
fn own_directory(path: &mut [u8; PATH_MAX]) -> Result<&[u8], Failure<'_>> {
    let link = c"/proc/self/exe";
    let failed = |errno: Errno| Failure {
        tried: "read link",
        path: Path { directory: link.to_bytes(), inner: c"", name: c"" },
        role: Role::Source,
        cause: errno.into(),
    };
    let length = match readlinkat_raw(CWD, link, path.as_mut_slice()) {
        Ok(length) if length < PATH_MAX => length,
        Ok(_) => return Err(failed(Errno::NAMETOOLONG)),
        Err(errno) => return Err(failed(errno)),
    };
    // If the program was removed or replaced since it started, the kernel adds a
    // mark to its name. The name is cut off here anyway.
    let path = path.get(..length).unwrap_or_default();
    let end_of_directory = path.iter().rposition(|byte| *byte == b'/');
    match end_of_directory.and_then(|end| path.get(..=end)) {
        Some(directory) if directory.starts_with(b"/") => Ok(directory),
        _ => Err(failed(Errno::NOENT)),
    }
}
