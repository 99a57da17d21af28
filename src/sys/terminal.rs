//! Terminals.

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd};

/// Whether something open is a terminal.
pub fn is_terminal(open: &impl IsTerminal) -> bool {
    open.is_terminal()
}

/// The number of lines of a terminal; `None` where it is not known.
pub fn height(terminal: impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize, to a place that lives longer than the call.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    (result == 0 && size.ws_row > 0).then_some(usize::from(size.ws_row))
}
