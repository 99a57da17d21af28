//! `--interval`: a table of what has happened since the last one, again and again.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::messages::Message;
use crate::screen::Screen;
use crate::source::Source;
use crate::stats::{Stats, Table};

/// The tables to come.
pub struct Intervals {
    period: Duration,
    /// What has happened since `begin`.
    stats: Stats,
    begin: Instant,
    /// When the next table is due; `None` if that is too far away for a clock.
    next: Option<Instant>,
    table: Table,
    /// Where they are renewed in place.
    screen: Option<Screen>,
}

impl Intervals {
    /// From now on, each `period`. `stats` holds nothing yet.
    pub fn new(period: Duration, table: Table, stats: Stats) -> Intervals {
        let begin = Instant::now();
        let screen = Screen::of_stdout().filter(|_| !table.json);
        Intervals { period, stats, begin, next: begin.checked_add(period), table, screen }
    }

    /// When the next table is due.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The counters of the interval.
    pub fn stats(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// The terminal, if the tables are renewed in place.
    pub fn screen(&mut self) -> Option<&mut Screen> {
        self.screen.as_mut()
    }

    /// Shows a message, if the tables are renewed in place; else it is handed back.
    pub fn say(&mut self, message: Message) -> io::Result<Option<Message>> {
        match &mut self.screen {
            Some(screen) => screen.say(message).map(|()| None),
            None => Ok(Some(message)),
        }
    }

    /// Prints a table if one is due.
    pub fn tick(&mut self, now: Instant, source: &dyn Source) -> io::Result<()> {
        if self.next.is_none_or(|next| now < next) {
            return Ok(());
        }
        // Those that were missed are one.
        while let Some(next) = self.next.filter(|next| *next <= now) {
            self.next = next.checked_add(self.period);
        }
        let time = now.duration_since(self.begin);
        self.begin = now;
        let mut stats = self.stats.take();
        if self.screen.is_some() {
            self.table.kept |= stats.counted();
        }
        let mut text = stats.table(source, &self.table, time);
        match &mut self.screen {
            Some(screen) => screen.show([head(&stats, time), text].concat()),
            None => {
                // Every line of JSON is an object.
                if !self.table.json {
                    text.push(b'\n');
                }
                let mut out = io::stdout().lock();
                out.write_all(&text)?;
                out.flush()
            }
        }
    }
}

/// `3 s: 1203 events, 401/s, 45 paths`
fn head(stats: &Stats, time: Duration) -> Vec<u8> {
    let (events, paths) = stats.total();
    let seconds = (time.as_secs_f64() * 10.0).round() / 10.0;
    let rate = events as f64 / time.as_secs_f64();
    format!("{seconds} s: {events} events, {rate:.0}/s, {paths} paths\n").into_bytes()
}
