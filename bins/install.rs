//! `bottlerocket-install` copies the programs that run on the host into one of
//! the host's directories. It is made for an init container that contains nothing
//! but these programs: no shell, no libc, and possibly a read-only root.
//!
//! It also creates the directory of the updater's state (`install/state.rs`), the links
//! to the API's socket (`install/link.rs`), and removes all of it again
//! (`install/removal.rs`).
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

#[path = "install/link.rs"]
mod link;
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
    Cause, Failure, Found, HELP, Options, PROGRAM_FILES, Path, Role, STATE_FILES,
};
use bottlerocket_updater::sys::deadline::pause;
use bottlerocket_updater::sys::stdio::write_line;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use rustix::fd::{AsRawFd, IntoRawFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, fsync,
    mkdirat, openat, readlinkat_raw, renameat, statat, unlinkat,
};
use rustix::io::{self, Errno, pread, write};
use rustix::process::{geteuid, umask};
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

/// Whether everything is done, for the signal handler.
static IS_WAITING: AtomicBool = AtomicBool::new(false);

/// How long one call waits for a signal.
const WAIT: Duration = Duration::from_secs(3600);

/// The programs to install: their names, and their names while they are written.
const PROGRAMS: [(&CStr, &CStr); 2] = [
    (c"bottlerocket-checker", c".bottlerocket-checker.new"),
    (c"bottlerocket-reboot", c".bottlerocket-reboot.new"),
];

/// The mode of programs and directories: everybody can use them, and only the
/// owner can change them.
const MODE: Mode = Mode::from_bits_retain(0o755);

/// The mode of a program while it is written: nobody can run it.
const UNFINISHED_MODE: Mode = Mode::from_bits_retain(0o600);

/// The write permissions of users other than the owner.
const WRITE_BY_OTHERS: Mode = Mode::WGRP.union(Mode::WOTH);

/// The largest program that is accepted, in bytes. Our programs are far smaller, so
/// a larger file is something else.
const SIZE_MAX: u64 = 16 << 20;

/// How many bytes are read at once.
const CHUNK: usize = 16 << 10;

/// The kernel returns no path of this length or more, in bytes.
const PATH_MAX: usize = 4096;

/// An install takes milliseconds. If another one holds the lock for 10 seconds, it
/// is stopped or its disk hangs, and this one would hang too.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Opens a directory only to look up names in it, which needs no permission to
/// list it.
const DIRECTORY_PATH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory so that it can be locked and synced.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Opens a file to read it. The call does not block if the file is a pipe.
const READ: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

/// Creates a file, and fails if the name exists, even as a link.
const CREATE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

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

/// An open directory.
struct Directory<'a> {
    fd: OwnedFd,
    /// The path by which it was opened.
    path: &'a [u8],
    /// The name below that path. Empty for the directory at the path itself.
    inner: &'static CStr,
    role: Role,
    /// Whether this program has just created it.
    is_new: bool,
}

impl<'a> Directory<'a> {
    /// Opens a directory one component at a time, so that the path can have any
    /// length. Missing directories are created on the way, and links are followed, as
    /// far as the role allows it.
    fn open(path: &'a [u8], role: Role) -> Result<Self, Failure<'a>> {
        let failed = |tried, directory, cause: Cause| Failure {
            tried,
            path: Path { directory, inner: c"", name: c"" },
            role,
            cause,
        };
        let start = if path.starts_with(b"/") { c"/" } else { c"." };
        let mut fd = openat(CWD, start, DIRECTORY_PATH, Mode::empty())
            .map_err(|errno| failed("open", start.to_bytes(), errno.into()))?;
        let flags = match role.may_be_link() {
            true => DIRECTORY_PATH,
            false => DIRECTORY_PATH.union(OFlags::NOFOLLOW),
        };
        let mut is_new = false;
        let mut end = 0;
        for component in path.split_inclusive(|byte| *byte == b'/') {
            end += component.len();
            let name = component.strip_suffix(b"/").unwrap_or(component);
            if name.is_empty() {
                continue;
            }
            let so_far = path.get(..end).unwrap_or(path);
            let mut next = openat(&fd, name, flags, Mode::empty());
            is_new = role.is_created() && matches!(next, Err(Errno::NOENT));
            if is_new {
                create_directory(&fd, name)
                    .map_err(|errno| failed("create directory", so_far, errno.into()))?;
                next = openat(&fd, name, flags, Mode::empty());
            }
            fd = next
                .map_err(|errno| failed("open directory", so_far, not_opened(&fd, name, errno)))?;
        }
        Ok(Self { fd, path, inner: c"", role, is_new })
    }

    /// Opens the directory again, so that it can be read, synced and changed.
    fn into_writable(self) -> Result<Self, Failure<'a>> {
        let fd = openat(&self.fd, c".", DIRECTORY, Mode::empty())
            .map_err(|errno| self.failure("open directory", c"", errno))?;
        Ok(Self { fd, ..self })
    }

    /// Opens the directory `name` in this one, or creates it if the role allows it. `None`
    /// if there is none. A link is not followed.
    fn open_inner(&self, name: &'static CStr) -> Result<Option<Self>, Failure<'a>> {
        let flags = DIRECTORY.union(OFlags::NOFOLLOW);
        let mut opened = openat(&self.fd, name, flags, Mode::empty());
        let is_new = self.role.is_created() && matches!(opened, Err(Errno::NOENT));
        if is_new {
            create_directory(&self.fd, name.to_bytes())
                .map_err(|errno| self.failure("create directory", name, errno))?;
            opened = openat(&self.fd, name, flags, Mode::empty());
        }
        match opened {
            Ok(fd) => Ok(Some(Self { fd, inner: name, is_new, ..*self })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                let cause = not_opened(&self.fd, name.to_bytes(), errno);
                Err(self.failure("open directory", name, cause))
            }
        }
    }

    /// Locks the directory until this process ends, so that no other install
    /// changes it.
    fn lock(self) -> Result<Self, Failure<'a>> {
        let failed = |errno: Errno| self.failure("lock directory", c"", errno);
        let fd = openat(&self.fd, c".", DIRECTORY, Mode::empty()).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { fd, ..self }),
                Err(Errno::WOULDBLOCK) => pause(LOCK_PAUSE),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(self.failure("lock directory", c"", Cause::Locked))
    }

    /// Makes sure that only root and this user can replace the files in the
    /// directory: removes the write permissions of others, or fails if another user
    /// owns the directory or it is meant for all users.
    fn protect(&self) -> Result<(), Failure<'a>> {
        let tried = "use directory";
        let stat = fstat(&self.fd).map_err(|errno| self.failure(tried, c"", errno))?;
        if !is_owner_trusted(&stat) {
            return Err(self.failure(tried, c"", Cause::ForeignOwner));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if !mode.intersects(WRITE_BY_OTHERS) {
            return Ok(());
        }
        if mode.contains(Mode::SVTX) {
            return Err(self.failure(tried, c"", Cause::Shared));
        }
        fchmod(&self.fd, mode.difference(WRITE_BY_OTHERS))
            .map_err(|errno| self.failure("set the mode of", c"", errno))?;
        write_line!(STDOUT, Found::WrongMode.action(), " ", self.path(c""));
        Ok(())
    }

    /// The path of the file `name`, or of the directory if `name` is empty.
    fn path(&self, name: &'static CStr) -> Path<'a> {
        Path { directory: self.path, inner: self.inner, name }
    }

    /// What was `tried` with the file `name`, or with the directory if `name` is
    /// empty, and failed.
    fn failure(
        &self,
        tried: &'static str,
        name: &'static CStr,
        cause: impl Into<Cause>,
    ) -> Failure<'a> {
        Failure { tried, path: self.path(name), role: self.role, cause: cause.into() }
    }
}

/// Why the directory `name` could not be opened: the kernel has one error for a link that
/// must not be followed and for a file.
fn not_opened(parent: &OwnedFd, name: &[u8], errno: Errno) -> Cause {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if errno == Errno::NOTDIR && is_kind(&stat, FileType::Symlink) => Cause::Link,
        _ => errno.into(),
    }
}

/// Whether a file is of this kind.
fn is_kind(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Whether root or the user of this program owns a file.
fn is_owner_trusted(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

/// Creates a directory and syncs it to disk.
fn create_directory(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match mkdirat(parent, name, MODE) {
        // Another install may have just created it, and not synced it yet.
        Ok(()) | Err(Errno::EXIST) => fsync(openat(parent, c".", DIRECTORY, Mode::empty())?),
        Err(errno) => Err(errno),
    }
}

/// A program to install.
struct Program<'d, 'a> {
    name: &'static CStr,
    /// Its name while it is written.
    temporary: &'static CStr,
    from: &'d Directory<'a>,
    file: OwnedFd,
    size: u64,
}

impl<'d, 'a> Program<'d, 'a> {
    /// Opens a program, if the file can be one.
    fn find(
        from: &'d Directory<'a>,
        (name, temporary): (&'static CStr, &'static CStr),
    ) -> Result<Self, Failure<'a>> {
        let failed = |errno: Errno| from.failure("use", name, errno);
        let stat = statat(&from.fd, name, AtFlags::empty()).map_err(failed)?;
        let cause = match u64::try_from(stat.st_size).unwrap_or_default() {
            _ if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                Cause::NotRegular
            }
            0 => Cause::Empty,
            size @ 1..=SIZE_MAX => {
                let file = openat(&from.fd, name, READ, Mode::empty()).map_err(failed)?;
                return Ok(Self { name, temporary, from, file, size });
            }
            _ => Cause::TooLarge,
        };
        Err(from.failure("use", name, cause))
    }

    /// Removes the temporary file of an install that did not finish.
    fn remove_leftover(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        match unlinkat(&into.fd, self.temporary, AtFlags::empty()) {
            // On a read-only file system this is the error even if there is no such
            // file. It does no harm if the programs are already installed.
            Ok(()) | Err(Errno::NOENT | Errno::ROFS) => Ok(()),
            Err(errno) => Err(into.failure("remove", self.temporary, errno)),
        }
    }

    /// Compares the program with what has its name in the target directory.
    fn compare(&self, into: &Directory<'a>) -> Result<Found, Failure<'a>> {
        let failed = |errno: Errno| into.failure("replace", self.name, errno);
        let stat = match statat(&into.fd, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(errno) => return Err(failed(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if u64::try_from(stat.st_size) == Ok(self.size) => {}
            FileType::Directory => return Err(failed(Errno::ISDIR)),
            _ => return Ok(Found::Other),
        }
        let flags = READ.union(OFlags::NOFOLLOW);
        // A file that cannot be read is replaced like any other file.
        let Ok(file) = openat(&into.fd, self.name, flags, Mode::empty()) else {
            return Ok(Found::Other);
        };
        let (mut ours, mut theirs) = ([0; CHUNK], [0; CHUNK]);
        let mut at = 0;
        // Ends: each turn gets closer to the size, which does not change.
        while at < self.size {
            let ours = self.read(&mut ours, at)?;
            let read = pread(&file, theirs.as_mut_slice(), at).unwrap_or_default();
            if ours.is_empty() || theirs.get(..read) != Some(ours) {
                return Ok(Found::Other);
            }
            at += ours.len() as u64;
        }
        match Mode::from_raw_mode(stat.st_mode) {
            _ if !is_owner_trusted(&stat) => Ok(Found::WrongOwner),
            MODE => Ok(Found::Same),
            _ => Ok(Found::WrongMode),
        }
    }

    /// Replaces what has the program's name in the target directory.
    fn replace(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        let replaced = self.write(into).and_then(|()| {
            renameat(&into.fd, self.temporary, &into.fd, self.name)
                .map_err(|errno| into.failure("replace", self.name, errno))
        });
        if replaced.is_err() {
            // If this fails too, the next install removes the file.
            let _ = unlinkat(&into.fd, self.temporary, AtFlags::empty());
        }
        replaced?;
        fsync(&into.fd).map_err(|errno| into.failure("sync directory", c"", errno))
    }

    /// Writes the whole program under its temporary name and syncs it to disk.
    fn write(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        let failed = |tried, errno: Errno| into.failure(tried, self.temporary, errno);
        let file = openat(&into.fd, self.temporary, CREATE, UNFINISHED_MODE)
            .map_err(|errno| failed("create", errno))?;
        let mut chunk = [0; CHUNK];
        let mut at = 0;
        // Ends: each turn gets closer to the size, or reads nothing more.
        while at <= self.size {
            let read = self.read(&mut chunk, at)?;
            if read.is_empty() {
                break;
            }
            write_whole(&file, read).map_err(|errno| failed("write", errno))?;
            at += read.len() as u64;
        }
        if at != self.size {
            return Err(self.from.failure("read", self.name, Cause::Changed));
        }
        fchmod(&file, MODE).map_err(|errno| failed("set the mode of", errno))?;
        fsync(&file).map_err(|errno| failed("sync", errno))
    }

    /// Reads bytes of the program from the offset `at`, as many as there are and
    /// fit.
    fn read<'b>(&self, chunk: &'b mut [u8; CHUNK], at: u64) -> Result<&'b [u8], Failure<'a>> {
        let read = pread(&self.file, chunk.as_mut_slice(), at)
            .map_err(|errno| self.from.failure("read", self.name, errno))?;
        Ok(chunk.get(..read).unwrap_or_default())
    }
}

/// Writes all of `bytes`.
fn write_whole(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    // Ends: each turn writes a part of the rest.
    while !bytes.is_empty() {
        match write(file, bytes)? {
            0 => return Err(Errno::IO),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}
