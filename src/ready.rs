//! `--ready`: a signal to another process that all watches are established.

use std::env;

use crate::error::{Error, failing};
use crate::messages::Messages;
use crate::sys::ready::{Descriptor, notify};

/// The receiver of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The reader of this file descriptor.
    Descriptor(i32),
    /// The service manager; see sd_notify(3).
    Systemd,
}

impl Receiver {
    /// The value of `--ready`.
    pub fn parse(text: &[u8]) -> Option<Receiver> {
        if text == b"systemd" {
            return Some(Receiver::Systemd);
        }
        let digits = text.iter().all(u8::is_ascii_digit).then_some(text)?;
        std::str::from_utf8(digits).ok()?.parse().ok().map(Receiver::Descriptor)
    }
}

/// The signal, to be given once. A reader sees the end of its pipe instead if the program ends before that.
#[derive(Debug)]
pub enum Ready {
    /// A newline, to this descriptor and its number.
    Newline(Descriptor, i32),
    /// `READY=1` to the socket that `$NOTIFY_SOCKET` names, if it names one.
    Systemd,
}

impl Ready {
    /// To be called before the program opens anything: the number is one that the caller has opened.
    ///
    /// # Errors
    ///
    /// The descriptor is not open for writing.
    pub fn new(receiver: Receiver) -> Result<Ready, Error> {
        match receiver {
            Receiver::Systemd => Ok(Ready::Systemd),
            Receiver::Descriptor(number) => match Descriptor::take(number) {
                Some(descriptor) => Ok(Ready::Newline(descriptor, number)),
                None => Err(Error::NotWritable(number)),
            },
        }
    }

    /// Gives the signal. The failure to do so is a message, and no reason to end.
    pub fn give(self, messages: &Messages) {
        let given = match self {
            Ready::Newline(descriptor, number) => {
                let name = format!("descriptor {number}");
                descriptor.write(b"\n").map_err(failing("Couldn't write to", name.as_bytes()))
            }
            Ready::Systemd => match env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) {
                Some(socket) => notify(&socket, b"READY=1").map_err(failing("Couldn't notify", b"systemd")),
                None => Ok(()),
            },
        };
        if let Err(error) = given {
            messages.error(error.message());
        }
    }
}
