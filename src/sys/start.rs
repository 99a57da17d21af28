//! The start of a process, as far as a program needs it.
//!
//! The standard library's own start also reads /proc/self/maps and prepares for a stack overflow, before and after `main`:
//! a tenth of the time of a short run. With glibc it is left out; the arguments can be had there all the same.

use std::process;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// Defines the entry point of a program by its `main`, which takes the arguments and returns the exit status. The crate needs
/// `#![cfg_attr(target_env = "gnu", no_main)]`.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        // SAFETY: the C library calls the function of this name once, and no other is called so.
        #[cfg(target_env = "gnu")]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            $crate::internals::start::run($main)
        }

        #[cfg(not(target_env = "gnu"))]
        fn main() {
            $crate::internals::start::run($main)
        }
    };
}

/// Runs a program to its end.
pub fn run(main: impl FnOnce(std::env::ArgsOs) -> u8) -> ! {
    open_standard_streams();
    // This also writes what the standard library still holds of stdout.
    process::exit(main(std::env::args_os()).into())
}

/// Puts /dev/null where stdin, stdout or stderr were closed: else the next file that is opened would be taken for one of
/// them.
fn open_standard_streams() {
    for number in 0..=libc::STDERR_FILENO {
        // SAFETY: takes integers; a descriptor that is not open is an error.
        let closed = unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 && Errno::last() == Errno::EBADF;
        if closed {
            // It gets the lowest number that is free.
            match open("/dev/null", OFlag::O_RDWR, Mode::empty()) {
                Ok(null) => std::mem::forget(null),
                Err(_) => process::abort(),
            }
        }
    }
}
