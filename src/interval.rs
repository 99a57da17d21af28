//! `--interval`: a table of what has happened since the last one, again and again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::messages::Message;
use crate::screen::Screen;
use crate::sink::Sink;
use crate::source::Source;
use crate::stats::{Stats, Table};
use crate::sys::output::Output;

/// The tables to come.
pub struct Intervals {
    period: Duration,
    /// What has happened since `begin`.
    stats: Stats,
    begin: Instant,
    /// When the next table is due; `None` if that is too far away for a clock.
    next: Option<Instant>,
    table: Table,
    place: Place,
}

/// Where the tables go.
enum Place {
    /// They are renewed in place.
    Screen(Screen),
    /// They are printed one after the other, as the reader takes them.
    Sink(Sink),
}

impl Intervals {
    /// From now on, each `period`. `stats` holds nothing yet.
    pub fn new(period: Duration, table: Table, stats: Stats) -> io::Result<Intervals> {
        let place = match Screen::of_stdout().filter(|_| !table.json) {
            Some(screen) => Place::Screen(screen),
            None => Place::Sink(Sink::new(Output::stdout()?)),
        };
        let begin = Instant::now();
        Ok(Intervals { period, stats, begin, next: begin.checked_add(period), table, place })
    }

    /// When the next table is due, unless the reader has to take the last one before.
    pub fn next(&self) -> Option<Instant> {
        self.next.filter(|_| self.unwritten().is_none())
    }

    /// Where something is left to be written.
    pub fn unwritten(&self) -> Option<BorrowedFd<'_>> {
        match &self.place {
            Place::Sink(sink) if !sink.is_empty() => Some(sink.as_fd()),
            _ => None,
        }
    }

    /// The counters of the interval.
    pub fn stats(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Whether the tables are renewed in place.
    pub fn is_in_place(&self) -> bool {
        matches!(self.place, Place::Screen(_))
    }

    /// The terminal, if the tables are renewed in place.
    pub fn screen(&mut self) -> Option<&mut Screen> {
        match &mut self.place {
            Place::Screen(screen) => Some(screen),
            Place::Sink(_) => None,
        }
    }

    /// Shows a message, if the tables are renewed in place; else it is handed back.
    pub fn say(&mut self, message: Message) -> io::Result<Option<Message>> {
        match self.screen() {
            Some(screen) => screen.say(message).map(|()| None),
            None => Ok(Some(message)),
        }
    }

    /// Prints a text between the tables, or after them.
    pub fn print(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Screen(screen) => screen.print(text),
            Place::Sink(sink) => {
                sink.add(|record| record.extend_from_slice(text));
                sink.flush()
            }
        }
    }

    /// Writes what the reader takes, and prints a table if one is due. A reader that has not taken the last one gets the
    /// next one later, of a longer time.
    pub fn tick(&mut self, now: Instant, source: &dyn Source) -> io::Result<()> {
        if let Place::Sink(sink) = &mut self.place {
            sink.flush()?;
        }
        if self.next().is_none_or(|next| now < next) {
            return Ok(());
        }
        // Those that were missed are one.
        while let Some(next) = self.next.filter(|next| *next <= now) {
            self.next = next.checked_add(self.period);
        }
        let time = now.duration_since(self.begin);
        self.begin = now;
        let mut stats = self.stats.take();
        if let Place::Screen(screen) = &mut self.place {
            self.table.kept |= stats.counted();
            return screen.show([head(&stats, time), stats.table(source, &self.table, time)].concat());
        }
        let mut text = stats.table(source, &self.table, time);
        // Every line of JSON is an object.
        if !self.table.json {
            text.push(b'\n');
        }
        self.print(&text)
    }
}

/// `3 s: 1203 events, 401/s, 45 paths`
fn head(stats: &Stats, time: Duration) -> Vec<u8> {
    let (events, paths) = stats.total();
    let seconds = (time.as_secs_f64() * 10.0).round() / 10.0;
    let rate = events as f64 / time.as_secs_f64();
    format!("{seconds} s: {events} events, {rate:.0}/s, {paths} paths\n").into_bytes()
}
