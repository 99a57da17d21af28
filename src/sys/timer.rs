//! A timer that poll(2) can wait for: timerfd_create(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A timer on the monotonic clock, not set at first.
#[derive(Debug)]
pub struct Timer(TimerFd);

impl Timer {
    /// A new timer.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Timer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Lets it expire once, after this long.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        let expiration = Expiration::OneShot(TimeSpec::from_duration(after));
        Ok(self.0.set(expiration, TimerSetTimeFlags::empty())?)
    }

    /// Lets it expire no more; that it has expired is forgotten.
    pub fn stop(&self) -> io::Result<()> {
        Ok(self.0.unset()?)
    }

    /// Whether it has expired since this was asked.
    pub fn has_expired(&self) -> bool {
        self.0.wait().is_ok()
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
