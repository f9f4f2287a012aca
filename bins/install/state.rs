//! The directory of the updater's state: root owns it, and the updater's group may write
//! to it.

use crate::directory::Directory;
use crate::removal::has_foreign;
use crate::start::STDOUT;
use bottlerocket_updater::install::{Cause, Failure, Found, Role, STATE_FILES};
use bottlerocket_updater::sys::stdio::write_line;
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown, fstat};
use rustix::io::Errno;

/// The group of the API's socket. The updater is in it.
const GROUP: u32 = 274;

/// The owner and the group can use the directory, and nobody else can.
const MODE: Mode = Mode::from_bits_retain(0o770);

/// Creates the directory, or fixes the owner and the mode of an existing one. A directory
/// that contains files of others is not fixed: it would be taken away from them.
pub fn create(path: &[u8]) -> Result<(), Failure<'_>> {
    let directory = Directory::open(path, Role::State)?.into_writable()?;
    let directory = &directory;
    let failed = |tried| move |errno: Errno| directory.failure(tried, c"", errno);
    let stat = fstat(&directory.fd).map_err(failed("look at"))?;
    let is_owner_right = (stat.st_uid, stat.st_gid) == (Uid::ROOT.as_raw(), GROUP);
    let is_mode_right = Mode::from_raw_mode(stat.st_mode) == MODE;
    if directory.is_new {
        write_line!(STDOUT, "created ", directory.path(c""));
    } else if is_owner_right && is_mode_right {
        write_line!(STDOUT, Found::Same.action(), " ", directory.path(c""));
    } else if has_foreign(&directory.fd, STATE_FILES).map_err(failed("list directory"))? {
        return Err(directory.failure("set the owner and the mode of", c"", Cause::ForeignFiles));
    }
    // The owner comes first: with the mode, the old group could write to the directory.
    if !is_owner_right {
        fchown(&directory.fd, Some(Uid::ROOT), Some(Gid::from_raw(GROUP)))
            .map_err(failed("set the owner of"))?;
        if !directory.is_new {
            write_line!(STDOUT, Found::WrongOwner.action(), " ", directory.path(c""));
        }
    }
    if !is_mode_right {
        fchmod(&directory.fd, MODE).map_err(failed("set the mode of"))?;
        if !directory.is_new {
            write_line!(STDOUT, Found::WrongMode.action(), " ", directory.path(c""));
        }
    }
    Ok(())
}
