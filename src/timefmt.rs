//! The time of an event: `--timefmt`, as strftime(3) renders it in the C locale, and `%{time}` in UTC.

use std::ffi::CStr;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::sys::time::{LocalTime, set_zone};

/// The longest time, in bytes.
///
/// No format that fits the command line needs more, unless it asks for padding: `%99999999d` is
/// 100 MB. strftime has no limit of its own but the buffer it is given.
const LONGEST: usize = 4 << 20;

/// The sizes of buffer to try in turn. The last one has room for the longest time, the byte in
/// front of it and the NUL that strftime puts after it.
const ROOMS: [usize; 4] = [256, 8 << 10, 256 << 10, LONGEST + 2];

/// A format of strftime and what it renders for the present second.
pub struct TimeFormat {
    /// The format between a byte that is not part of it and a NUL.
    ///
    /// Thanks to that byte strftime's result is never empty, so its 0 means one thing: the buffer
    /// is too small. It stands in front because at the end it would complete a lone `%`.
    format: Vec<u8>,
    /// The second that `rendered` shows.
    second: Option<i64>,
    rendered: Vec<u8>,
}

impl TimeFormat {
    /// Any bytes but NUL are a format: strftime prints as it stands what it does not understand.
    pub fn new(format: Vec<u8>) -> TimeFormat {
        set_zone();
        let mut guarded = Vec::with_capacity(format.len() + 2);
        guarded.push(b' ');
        guarded.extend(format);
        guarded.push(0);
        TimeFormat { format: guarded, second: None, rendered: Vec::new() }
    }

    /// Appends the time `seconds` after the epoch, in the local time zone. Nothing is appended if
    /// it would be longer than 4 MiB, or if its year does not fit an int.
    pub fn append(&mut self, seconds: i64, out: &mut Vec<u8>) {
        if self.second != Some(seconds) {
            self.render(seconds);
            self.second = Some(seconds);
        }
        out.extend_from_slice(&self.rendered);
    }

    fn render(&mut self, seconds: i64) {
        self.rendered.clear();
        let Some(time) = LocalTime::new(seconds) else {
            return;
        };
        let Ok(format) = CStr::from_bytes_until_nul(&self.format) else {
            return;
        };
        for room in ROOMS {
            self.rendered.resize(room, 0);
            let length = time.render(format, &mut self.rendered);
            self.rendered.truncate(length);
            if length > 0 {
                self.rendered.remove(0);
                return;
            }
        }
    }
}

/// Appends a moment in UTC, as `%{time}` and JSON have it: `2026-11-22T16:03:55.123456Z`.
pub fn append_utc(moment: SystemTime, out: &mut Vec<u8>) {
    let moment = DateTime::<Utc>::from(moment);
    out.extend_from_slice(moment.to_rfc3339_opts(SecondsFormat::Micros, true).as_bytes());
}

/// The moment that records show: that of the read which brought their events.
pub struct Clock {
    moment: SystemTime,
    /// For `%T`.
    local: Option<TimeFormat>,
    /// `moment` as `%{time}` shows it; empty until a record asks for it.
    utc: Vec<u8>,
}

impl Clock {
    /// Shows the present moment; `local` is the form of `%T`.
    pub fn new(local: Option<TimeFormat>) -> Clock {
        Clock { moment: SystemTime::now(), local, utc: Vec::new() }
    }

    /// The moment that is shown.
    pub fn moment(&self) -> SystemTime {
        self.moment
    }

    /// Shows another moment.
    pub fn set(&mut self, moment: SystemTime) {
        if self.moment != moment {
            self.moment = moment;
            self.utc.clear();
        }
    }

    /// Appends what `%T` stands for: nothing without a form for it.
    pub fn append_local(&mut self, out: &mut Vec<u8>) {
        if let Some(local) = &mut self.local {
            local.append(DateTime::<Utc>::from(self.moment).timestamp(), out);
        }
    }

    /// Appends what `%{time}` stands for.
    pub fn append_utc(&mut self, out: &mut Vec<u8>) {
        if self.utc.is_empty() {
            append_utc(self.moment, &mut self.utc);
        }
        out.extend_from_slice(&self.utc);
    }
}
