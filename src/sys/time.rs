//! The C library's calendar: tzset(3), localtime(3) and strftime(3).

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// A moment as a calendar and a clock on the wall show it.
pub struct LocalTime(libc::tm);

/// Takes the time zone from `TZ`, or from the system where that is not set.
///
/// localtime_r alone need not look at them.
pub fn set_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset has no arguments; it reads the environment, which nothing here changes.
    unsafe { tzset() }
}

impl LocalTime {
    /// `seconds` since the epoch in the time zone; none if the year does not fit an int.
    // The libc crate announces a change of musl's that only 32-bit machines see.
    #[cfg_attr(target_env = "musl", allow(deprecated))]
    pub fn new(seconds: i64) -> Option<LocalTime> {
        let seconds = libc::time_t::try_from(seconds).ok()?;
        let mut tm = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are valid for the call.
        let filled = unsafe { libc::localtime_r(&seconds, tm.as_mut_ptr()) };
        if filled.is_null() {
            return None;
        }
        // SAFETY: localtime_r succeeded, so it has filled in `tm`.
        Some(LocalTime(unsafe { tm.assume_init() }))
    }

    /// Renders `format` into `out` by strftime and returns how many bytes it wrote, less than
    /// `out.len()`; 0 if they did not fit or there were none.
    pub fn render(&self, format: &CStr, out: &mut [u8]) -> usize {
        // SAFETY: `out` is writable for its length, `format` ends in NUL, and the zone's name in
        // the tm is the C library's, which keeps every name it has handed out.
        unsafe { libc::strftime(out.as_mut_ptr().cast(), out.len(), format.as_ptr(), &self.0) }
    }
}
