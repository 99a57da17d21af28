//! `inotifywatch --limits`: the kernel's limits on inotify, and the processes that use them.
//!
//! ```text
//! sys::proc (text) -> parse (numbers) -> Report -> a table, or JSON
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::error::{Error, failing};
use crate::escape::escape;
use crate::json;
use crate::messages::Message;
use crate::sys::proc;
use crate::who;

/// What the files of proc(5) say, as numbers. Pure, and safe on any input.
pub mod parse {
    /// The watches of an instance, by its fdinfo.
    pub fn watches(fdinfo: &[u8]) -> usize {
        fdinfo.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"inotify wd:")).count()
    }

    /// The value of a limit.
    pub fn limit(text: &[u8]) -> Option<u64> {
        std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
    }

    /// The effective user of a process, by its `status`.
    pub fn user(status: &[u8]) -> Option<u32> {
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
        // The real, the effective, the saved one, and that for file systems.
        std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// Whether a process is a thread of the kernel, by its `stat`.
    pub fn is_kernel_thread(stat: &[u8]) -> bool {
        const PF_KTHREAD: u64 = 0x0020_0000;
        // The name in parentheses may contain anything.
        let Some(name_end) = stat.iter().rposition(|byte| *byte == b')') else { return false };
        let fields = String::from_utf8_lossy(&stat[name_end + 1..]);
        let flags = fields.split_ascii_whitespace().nth(6).and_then(|flags| flags.parse::<u64>().ok());
        flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
    }

    /// Whether a `uid_map` is that of the initial user namespace: all users, each its own.
    pub fn is_initial(uid_map: &[u8]) -> bool {
        let map = String::from_utf8_lossy(uid_map);
        map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
    }
}

/// A process that uses inotify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its effective user.
    pub user: u32,
    /// Its instances. One that it shares with another process counts for both.
    pub instances: usize,
    /// The watches of all of them.
    pub watches: usize,
    /// Its name: up to 15 bytes, whatever they are.
    pub command: Vec<u8>,
}

/// A limit, and what is used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// As sysctl(8) knows it, below `fs.inotify` unless it begins with `user.`.
    pub name: &'static str,
    /// `None` where it cannot be read.
    pub value: Option<u64>,
    /// `None` where that is not known.
    pub used: Option<usize>,
}

/// All that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The limits.
    pub limits: [Limit; 3],
    /// The user whose use is shown.
    pub user: u32,
    /// The processes, most watches first.
    pub processes: Vec<Process>,
    /// The number of processes that cannot be looked into.
    pub hidden: usize,
    /// Outer user namespaces have limits of their own.
    pub nested: bool,
}

/// The whole of `inotifywatch --limits`.
pub fn main(json: bool) -> u8 {
    match print(json) {
        Ok(()) => 0,
        Err(error) => {
            error.message().print();
            1
        }
    }
}

fn print(json: bool) -> Result<(), Error> {
    let report = Report::now().map_err(failing("Couldn't read", b"/proc"))?;
    let text = if json { report.json() } else { report.table() };
    io::stdout().write_all(&text).map_err(failing("Couldn't write to", b"stdout"))?;
    report.advice().print();
    Ok(())
}

impl Report {
    /// The present state.
    pub fn now() -> io::Result<Report> {
        let mut processes = Vec::new();
        let mut hidden = 0;
        for pid in proc::processes()? {
            match process(pid) {
                Ok(process) => processes.extend(process),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let is_kernel = |stat: Vec<u8>| parse::is_kernel_thread(&stat);
                    hidden += usize::from(!proc::file_of(pid, "stat").is_ok_and(is_kernel));
                }
                // It has ended.
                Err(_) => {}
            }
        }
        let own = proc::file("self/status").ok().and_then(|status| parse::user(&status)).unwrap_or(0);
        let value = |path: &str| proc::file(path).ok().and_then(|text| parse::limit(&text));
        let watches = lower(
            ("max_user_watches", value("sys/fs/inotify/max_user_watches")),
            ("user.max_inotify_watches", value("sys/user/max_inotify_watches")),
        );
        let instances = lower(
            ("max_user_instances", value("sys/fs/inotify/max_user_instances")),
            ("user.max_inotify_instances", value("sys/user/max_inotify_instances")),
        );
        let events = ("max_queued_events", value("sys/fs/inotify/max_queued_events"));
        let nested = proc::file("self/uid_map").is_ok_and(|map| !parse::is_initial(&map));
        Ok(Report::new([watches, instances, events], own, processes, hidden, nested))
    }

    /// Of these limits and processes; `own` is the user who asks.
    pub fn new(
        limits: [(&'static str, Option<u64>); 3],
        own: u32,
        mut processes: Vec<Process>,
        hidden: usize,
        nested: bool,
    ) -> Report {
        processes.sort_by_key(|process| (Reverse((process.watches, process.instances)), process.pid));
        let mut by_user: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for process in &processes {
            let used = by_user.entry(process.user).or_default();
            used.0 += process.watches;
            used.1 += process.instances;
        }
        // Root asks for others: who is nearest to the limit?
        let most = by_user.iter().max_by_key(|(user, used)| (**used, Reverse(**user)));
        let user = match most {
            Some((user, _)) if own == 0 => *user,
            _ => own,
        };
        let (watches, instances) = by_user.get(&user).copied().unwrap_or_default();
        let used = [Some(watches), Some(instances), None];
        let mut used = used.into_iter();
        let limits = limits.map(|(name, value)| Limit { name, value, used: used.next().flatten() });
        Report { limits, user, processes, hidden, nested }
    }

    /// Columns.
    pub fn table(&self) -> Vec<u8> {
        let values = self.limits.each_ref().map(|limit| shown(limit.value));
        let name_width = self.limits.iter().map(|limit| limit.name.len()).max().unwrap_or(0).max(22);
        let value_width = values.iter().map(String::len).max().unwrap_or(0).max(7);
        let mut out =
            format!("{:<name_width$}{:>value_width$}  used by uid {}\n", "limit", "value", self.user)
                .into_bytes();
        for (limit, value) in self.limits.iter().zip(values) {
            let used = match (limit.used, limit.percent()) {
                (Some(used), Some(percent)) => format!("{used} ({percent}%)"),
                (used, _) => shown(used),
            };
            out.extend(format!("{:<name_width$}{value:>value_width$}  {used}\n", limit.name).into_bytes());
        }
        if !self.processes.is_empty() {
            out.extend_from_slice(b"\n     pid    uid  instances  watches  command\n");
        }
        for Process { pid, user, instances, watches, command } in &self.processes {
            out.extend(format!("{pid:>8} {user:>6}  {instances:>9}  {watches:>7}  ").into_bytes());
            out.extend_from_slice(&escape(command));
            out.push(b'\n');
        }
        out
    }

    /// One JSON object, and a newline.
    pub fn json(&self) -> Vec<u8> {
        let null = |value: Option<u64>| value.map_or("null".to_owned(), |value| value.to_string());
        let limits = self.limits.iter().map(|limit| format!("\"{}\":{}", limit.name, null(limit.value)));
        let [watches, instances, _] = self.limits.each_ref().map(|limit| limit.used.unwrap_or(0));
        let mut out = format!(
            "{{\"limits\":{{{}}},\"uid\":{},\"used\":{{\"watches\":{watches},\"instances\":{instances}}},\"processes\":[",
            limits.collect::<Vec<_>>().join(","),
            self.user
        )
        .into_bytes();
        for (at, Process { pid, user, instances, watches, command }) in self.processes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let numbers = format!(
                "{comma}{{\"pid\":{pid},\"uid\":{user},\"instances\":{instances},\"watches\":{watches},\"command\":"
            );
            out.extend(numbers.into_bytes());
            json::append_string(command, &mut out);
            out.push(b'}');
        }
        out.extend(format!("],\"hidden\":{}}}\n", self.hidden).into_bytes());
        out
    }

    /// What there is to say besides.
    pub fn advice(&self) -> Message {
        let mut message = Message::default();
        match self.hidden {
            0 => {}
            1 => message = message.and("1 process of another user is hidden; run as root to see it."),
            hidden => {
                message = message
                    .and(format!("{hidden} processes of other users are hidden; run as root to see them."));
            }
        }
        for limit in self.limits.iter().filter(|limit| limit.percent().is_some_and(|percent| percent >= 80)) {
            let place = if limit.name.starts_with("user.") { "" } else { "fs.inotify." };
            let enough = (2 * limit.used.unwrap_or(0)).next_power_of_two();
            let command = format!("sysctl -w {place}{}={enough}", limit.name);
            message = message.and(format!("To raise this limit, run as root: {command}"));
        }
        if self.nested {
            message = message.and("Limits of outer user namespaces are not visible here.");
        }
        message
    }
}

impl Limit {
    /// How much of it is used, rounded down.
    fn percent(&self) -> Option<u64> {
        let used = u128::try_from(self.used?).ok()? * 100;
        u64::try_from(used.checked_div(u128::from(self.value?))?).ok()
    }
}

/// The second limit if it is lower than the first.
fn lower(
    system: (&'static str, Option<u64>),
    namespace: (&'static str, Option<u64>),
) -> (&'static str, Option<u64>) {
    match (system.1, namespace.1) {
        (Some(of_all), Some(here)) if here < of_all => namespace,
        _ => system,
    }
}

fn shown(number: Option<impl ToString>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// What a process uses; `None` if that is nothing.
fn process(pid: i32) -> io::Result<Option<Process>> {
    let instances = proc::inotify_instances(pid)?;
    if instances.is_empty() {
        return Ok(None);
    }
    let command = who::of_proc(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(parse::user(&proc::file_of(pid, "status")?).map(|user| Process {
        pid,
        user,
        instances: instances.len(),
        watches: instances.iter().map(|fdinfo| parse::watches(fdinfo)).sum(),
        command,
    }))
}
