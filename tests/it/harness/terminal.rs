//! A terminal without anybody at it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Our end, which is the terminal, and the one that a program is given.
pub fn open() -> io::Result<(OwnedFd, File)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    // A program that is started meanwhile must not keep it.
    rustix::io::ioctl_fioclex(&ours)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let not_ours = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let theirs = options
        .read(true)
        .write(true)
        .custom_flags(not_ours)
        .open(path)?;
    Ok((ours, theirs))
}
