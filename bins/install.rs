//! `bottlerocket-install` puts the programs that run on the host into one of
//! the host's directories. It is made for an init container that has nothing
//! but these programs: no shell, no libc, perhaps a read-only root.
//!
//! A program's name stands for a whole file at any moment, for the old one or
//! for the new one, whatever stops this program or the machine:
//!
//! ```text
//! lock DIR ─ remove leftovers ─ compare ─┬─ the same: leave it
//!                                        └─ write .NAME.new ─ sync it
//!                                           ─ rename it to NAME ─ sync DIR
//! ```
//!
//! Nothing is ever written to a file that has a program's name, so a program
//! that is running keeps its file; and a link under that name is replaced, not
//! followed. The kernel ends the lock with the process, so whatever lies under
//! a temporary name belongs to nobody once the lock is held.
#![no_std]
#![no_main]

mod start;

use bottlerocket_updater::cli::exit::{FAILURE, SUCCESS};
use bottlerocket_updater::cli::flags::{self, Flags, Invocation, UsageError};
use bottlerocket_updater::cli::help::Help;
use bottlerocket_updater::sys::deadline::pause;
use bottlerocket_updater::sys::stdio::write_line;
use bottlerocket_updater::text::errno::ErrnoText;
use bottlerocket_updater::text::{Show, put};
use core::ffi::CStr;
use core::time::Duration;
use heapless::VecView;
use rustix::fd::{AsRawFd, IntoRawFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fsync, mkdirat, openat,
    readlinkat_raw, renameat, statat, unlinkat,
};
use rustix::io::{self, Errno, pread, write};
use rustix::process::umask;
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

bottlerocket_updater::flags! {
    /// What the operator has set.
    struct Options<'a> {
        from: &'a CStr = c"", "-from DIR",
            "directory that contains the programs", default "the directory of this program";
    }
}

const HELP: Help = Help {
    usage: "bottlerocket-install [flags] DIR",
    about: "Copies bottlerocket-checker and bottlerocket-reboot into DIR, which is created if it \
            does not exist. A file that differs is replaced atomically, even while it runs. A \
            file that is the same is left alone. One line for each file says what was done.",
    flags: Options::ROWS,
    notes: &[],
    success: "the programs are installed",
    negative: "",
    failure: "the programs could not be installed",
    example: "bottlerocket-install /host/opt/bottlerocket",
};

/// What is installed: each program's name, and the one it has until it is whole.
const PROGRAMS: [(&CStr, &CStr); 2] = [
    (c"bottlerocket-checker", c".bottlerocket-checker.new"),
    (c"bottlerocket-reboot", c".bottlerocket-reboot.new"),
];

/// Of programs and directories: everybody may use them, the owner change them.
const MODE: Mode = Mode::from_bits_retain(0o755);

/// Of a program that is not whole: nobody may run it.
const UNFINISHED_MODE: Mode = Mode::from_bits_retain(0o600);

/// The programs are nowhere near this size. What is larger is something else.
const SIZE_MAX: u64 = 16 << 20;

/// How much is read in one go.
const CHUNK: usize = 16 << 10;

/// No path that the kernel tells is as long as this.
const PATH_MAX: usize = 4096;

/// An install takes milliseconds. One that holds the lock for 10 seconds is
/// stopped, or its disk is, and then the same would happen to this one.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Opens a directory as the place where a name is looked up, which needs no
/// permission to list it.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory so that it can be locked and synced.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Opens a file to read it, without waiting for what may be there instead.
const READ: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

/// Creates a file where there is nothing, not even a link.
const CREATE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let mut into = None;
    let mut invocation = flags::read(arguments, &mut options, Some(&mut into));
    let into = into.unwrap_or_default();
    if invocation == Ok(Invocation::Run) && into.is_empty() {
        invocation = Err(UsageError::MissingOperand("DIR"));
    }
    start::invoke(invocation, &HELP, || {
        match install(options.from.to_bytes(), into.to_bytes(), &mut [0; PATH_MAX]) {
            Ok(()) => SUCCESS,
            Err(failure) => {
                complain(&[&failure]);
                FAILURE
            }
        }
    })
}

/// Installs the programs. Nothing is written before all of them are found.
fn install<'a>(
    from: &'a [u8],
    into: &'a [u8],
    own_path: &'a mut [u8; PATH_MAX],
) -> Result<(), Failure<'a>> {
    occupy_standard_streams();
    let from = match from {
        b"" => own_directory(own_path)?,
        path => path,
    };
    let from = Directory::open(from, Side::Source)?;
    let [checker, reboot] = PROGRAMS.map(|names| Program::find(&from, names));
    let programs = [checker?, reboot?];

    // What is created has the mode that is asked for, whoever starts this.
    umask(Mode::empty());
    let into = Directory::open(into, Side::Target)?.lock()?;
    // All of them first: a full disk may be full of them.
    for program in &programs {
        program.remove_leftover(&into)?;
    }
    for program in &programs {
        let found = program.compare(&into)?;
        if !matches!(found, Found::Same) {
            program.replace(&into)?;
        }
        let path = Path(into.path, program.name);
        write_line(STDOUT, found.done(), &[&" ", &path]);
    }
    Ok(())
}

/// Puts the root directory where a standard stream is closed. Otherwise a file
/// that is opened later would be there, and the messages would go into it.
fn occupy_standard_streams() {
    // If this cannot be opened, nothing can.
    // Ends: each turn opens a file more, which comes behind the standard streams.
    while let Ok(root) = openat(CWD, c"/", PLACE, Mode::empty()) {
        if root.as_raw_fd() > STDERR.as_raw_fd() {
            return;
        }
        // It stays open.
        let _ = root.into_raw_fd();
    }
}

/// The directory that this program lies in.
fn own_directory(path: &mut [u8; PATH_MAX]) -> Result<&[u8], Failure<'_>> {
    let link = c"/proc/self/exe";
    let failed = |why: Errno| Failure::new("follow", Side::Source, Path(link.to_bytes(), c""), why);
    let length = match readlinkat_raw(CWD, link, path.as_mut_slice()) {
        Ok(length) if length < PATH_MAX => length,
        Ok(_) => return Err(failed(Errno::NAMETOOLONG)),
        Err(error) => return Err(failed(error)),
    };
    // The program may have been removed, or replaced, since it was started.
    // The kernel then adds a mark to its name, which is cut off here anyway.
    let path = path.get(..length).unwrap_or_default();
    let end_of_directory = path.iter().rposition(|byte| *byte == b'/');
    match end_of_directory.and_then(|end| path.get(..=end)) {
        Some(directory) if directory.starts_with(b"/") => Ok(directory),
        _ => Err(failed(Errno::NOENT)),
    }
}

/// An open directory, and the path by which it was opened.
struct Directory<'a> {
    fd: OwnedFd,
    path: &'a [u8],
    side: Side,
}

impl<'a> Directory<'a> {
    /// Opens the directory step by step, so that its path may be of any length
    /// and what is missing can be created on the way.
    fn open(path: &'a [u8], side: Side) -> Result<Self, Failure<'a>> {
        let start = if path.starts_with(b"/") { c"/" } else { c"." };
        let mut place = openat(CWD, start, PLACE, Mode::empty())
            .map_err(|error| Failure::new("open", side, Path(start.to_bytes(), c""), error))?;
        let mut end = 0;
        for step in path.split_inclusive(|byte| *byte == b'/') {
            end += step.len();
            let name = step.strip_suffix(b"/").unwrap_or(step);
            if name.is_empty() {
                continue;
            }
            let failed = |to, why: Errno| {
                Failure::new(to, side, Path(path.get(..end).unwrap_or(path), c""), why)
            };
            let mut next = openat(&place, name, PLACE, Mode::empty());
            if side == Side::Target && matches!(next, Err(Errno::NOENT)) {
                create_directory(&place, name)
                    .map_err(|error| failed("create directory", error))?;
                next = openat(&place, name, PLACE, Mode::empty());
            }
            place = next.map_err(|error| failed("open directory", error))?;
        }
        Ok(Self { fd: place, path, side })
    }

    /// Keeps other installs out of the directory until this process ends.
    fn lock(self) -> Result<Self, Failure<'a>> {
        let failed = |error: Errno| self.failure("lock directory", c"", error);
        let fd = openat(&self.fd, c".", DIRECTORY, Mode::empty()).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { fd, ..self }),
                Err(Errno::WOULDBLOCK) => pause(LOCK_PAUSE),
                Err(error) => return Err(failed(error)),
            }
        }
        Err(self.failure("lock directory", c"", Why::Locked))
    }

    /// What could not be done to the file `name`, or else to the directory.
    fn failure(&self, to: &'static str, name: &'static CStr, why: impl Into<Why>) -> Failure<'a> {
        Failure::new(to, self.side, Path(self.path, name), why)
    }
}

/// Creates a directory, for good.
fn create_directory(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match mkdirat(parent, name, MODE) {
        // Another install may have been faster, and not be through with this.
        Ok(()) | Err(Errno::EXIST) => fsync(openat(parent, c".", DIRECTORY, Mode::empty())?),
        Err(error) => Err(error),
    }
}

/// A program to install.
struct Program<'d, 'a> {
    name: &'static CStr,
    /// What it is called until it is whole.
    temporary: &'static CStr,
    from: &'d Directory<'a>,
    file: OwnedFd,
    size: u64,
}

impl<'d, 'a> Program<'d, 'a> {
    /// Opens a program, if it can be one.
    fn find(
        from: &'d Directory<'a>,
        (name, temporary): (&'static CStr, &'static CStr),
    ) -> Result<Self, Failure<'a>> {
        let failed = |error: Errno| from.failure("use", name, error);
        let stat = statat(&from.fd, name, AtFlags::empty()).map_err(failed)?;
        let why = match u64::try_from(stat.st_size).unwrap_or_default() {
            _ if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => Why::Irregular,
            0 => Why::Empty,
            size @ 1..=SIZE_MAX => {
                let file = openat(&from.fd, name, READ, Mode::empty()).map_err(failed)?;
                return Ok(Self { name, temporary, from, file, size });
            }
            _ => Why::TooLarge,
        };
        Err(from.failure("use", name, why))
    }

    /// Clears away what an install left behind that did not come to its end.
    fn remove_leftover(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        match unlinkat(&into.fd, self.temporary, AtFlags::empty()) {
            // A read-only file system says so even if there is no such file. It
            // does no harm as long as the programs are there.
            Ok(()) | Err(Errno::NOENT | Errno::ROFS) => Ok(()),
            Err(error) => Err(into.failure("remove", self.temporary, error)),
        }
    }

    /// Looks at what has the program's name.
    fn compare(&self, into: &Directory<'a>) -> Result<Found, Failure<'a>> {
        let failed = |error: Errno| into.failure("replace", self.name, error);
        let stat = match statat(&into.fd, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if u64::try_from(stat.st_size) == Ok(self.size) => {}
            FileType::Directory => return Err(failed(Errno::ISDIR)),
            _ => return Ok(Found::Other),
        }
        let flags = READ.union(OFlags::NOFOLLOW);
        // What cannot be read may as well be another file.
        let Ok(file) = openat(&into.fd, self.name, flags, Mode::empty()) else {
            return Ok(Found::Other);
        };
        let (mut ours, mut theirs) = ([0; CHUNK], [0; CHUNK]);
        let mut at = 0;
        // Ends: each turn is nearer to the size, which stays as it is.
        while at < self.size {
            let ours = self.read(&mut ours, at)?;
            let read = pread(&file, theirs.as_mut_slice(), at).unwrap_or_default();
            if ours.is_empty() || theirs.get(..read) != Some(ours) {
                return Ok(Found::Other);
            }
            at += ours.len() as u64;
        }
        match Mode::from_raw_mode(stat.st_mode) {
            MODE => Ok(Found::Same),
            _ => Ok(Found::OtherMode),
        }
    }

    /// Has the program take the place of what has its name.
    fn replace(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        let replaced = self.write(into).and_then(|()| {
            renameat(&into.fd, self.temporary, &into.fd, self.name)
                .map_err(|error| into.failure("replace", self.name, error))
        });
        if replaced.is_err() {
            // What is not removed now, the next install removes.
            let _ = unlinkat(&into.fd, self.temporary, AtFlags::empty());
        }
        replaced?;
        fsync(&into.fd).map_err(|error| into.failure("sync directory", c"", error))
    }

    /// Writes the program, all of it and for good, under its temporary name.
    fn write(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        let failed = |to, error: Errno| into.failure(to, self.temporary, error);
        let file = openat(&into.fd, self.temporary, CREATE, UNFINISHED_MODE)
            .map_err(|error| failed("create", error))?;
        let mut chunk = [0; CHUNK];
        let mut at = 0;
        // Ends: each turn is nearer to the size, or finds nothing more to read.
        while at <= self.size {
            let read = self.read(&mut chunk, at)?;
            if read.is_empty() {
                break;
            }
            write_whole(&file, read).map_err(|error| failed("write", error))?;
            at += read.len() as u64;
        }
        if at != self.size {
            return Err(self.from.failure("read", self.name, Why::Changed));
        }
        fchmod(&file, MODE).map_err(|error| failed("set the mode of", error))?;
        fsync(&file).map_err(|error| failed("sync", error))
    }

    /// Reads the program from `at` on, as much as there is and fits.
    fn read<'b>(&self, chunk: &'b mut [u8; CHUNK], at: u64) -> Result<&'b [u8], Failure<'a>> {
        let read = pread(&self.file, chunk.as_mut_slice(), at)
            .map_err(|error| self.from.failure("read", self.name, error))?;
        Ok(chunk.get(..read).unwrap_or_default())
    }
}

/// Writes all of `bytes`.
fn write_whole(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    // Ends: each turn writes a part of what is left.
    while !bytes.is_empty() {
        match write(file, bytes)? {
            0 => return Err(Errno::IO),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// What has the name of a program before it is installed.
enum Found {
    Nothing,
    /// The very program.
    Same,
    /// The program, but not everybody can run it, or others can change it.
    OtherMode,
    /// Another file, or something else that can be replaced.
    Other,
}

impl Found {
    /// What was done about it.
    fn done(&self) -> &'static str {
        match self {
            Self::Nothing => "installed",
            Self::Same => "unchanged",
            Self::OtherMode => "mended the mode of",
            Self::Other => "updated",
        }
    }
}

/// Where the programs come from, or where they go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// A directory's path and the name of a file in it, or none.
#[derive(Clone, Copy)]
struct Path<'a>(&'a [u8], &'static CStr);

impl Show for Path<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let Self(mut directory, name) = *self;
        // Ends: each turn takes a byte away.
        while let Some(shorter) = directory.strip_suffix(b"/") {
            directory = shorter;
        }
        put_escaped(buffer, directory);
        if directory.is_empty() || !name.is_empty() {
            put(buffer, &["/"]);
        }
        put_escaped(buffer, name.to_bytes());
    }
}

/// Puts a path into a buffer, as much of it as there is room for.
fn put_escaped(buffer: &mut VecView<u8>, path: &[u8]) {
    for byte in path.escape_ascii() {
        let _ = buffer.push(byte);
    }
}

/// What could not be done. Sanitized, it says what to do about it.
struct Failure<'a> {
    to: &'static str,
    side: Side,
    path: Path<'a>,
    why: Why,
}

/// Why something could not be done.
#[derive(Clone, Copy)]
enum Why {
    /// The kernel refused it.
    Errno(Errno),
    /// The source is a directory or a device, for example.
    Irregular,
    /// There is nothing in the source.
    Empty,
    /// The source is larger than any program.
    TooLarge,
    /// The source is no longer what it was when it was opened.
    Changed,
    /// Another install has been in the directory all the time.
    Locked,
}

impl From<Errno> for Why {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

impl<'a> Failure<'a> {
    fn new(to: &'static str, side: Side, path: Path<'a>, why: impl Into<Why>) -> Self {
        Self { to, side, path, why: why.into() }
    }

    /// What to do about it, if that is not obvious.
    fn advice(&self) -> &'static str {
        match (self.why, self.side) {
            (Why::Changed | Why::Locked, _) => "; try again",
            (Why::Errno(Errno::ACCESS | Errno::PERM), _) => {
                "; check the user, the mode and the SELinux label"
            }
            (Why::Errno(Errno::NOSPC | Errno::DQUOT), _) => "; make room and try again",
            (Why::Errno(Errno::ROFS), _) => "; mount it writable",
            (Why::Irregular | Why::Empty | Why::TooLarge, _)
            | (Why::Errno(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG), Side::Source) => {
                "; name the directory of the programs with -from"
            }
            (Why::Errno(Errno::NOENT), _) => "; choose another directory",
            (Why::Errno(Errno::NOTDIR | Errno::ISDIR | Errno::EXIST), _) => {
                "; move it away or choose another directory"
            }
            (Why::Errno(_), _) => "",
        }
    }
}

impl Show for Failure<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        put(buffer, &["cannot ", self.to, " "]);
        self.path.show(buffer);
        put(buffer, &[": "]);
        match self.why {
            Why::Errno(error) => ErrnoText(error).show(buffer),
            Why::Irregular => put(buffer, &["not a regular file"]),
            Why::Empty => put(buffer, &["the file is empty"]),
            Why::TooLarge => put(buffer, &["the file is larger than 16 MiB"]),
            Why::Changed => put(buffer, &["the file changed meanwhile"]),
            Why::Locked => put(buffer, &["another install has held it for 10 seconds"]),
        }
        put(buffer, &[self.advice()]);
    }
}
