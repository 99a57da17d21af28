//! `inotify-rsync`, run against rsync for real: a local directory, a daemon with a password and an sshd; and the script of
//! a widely read tutorial. At the end of each test rsync finds no difference between source and destination.

#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{Ended, Running, bounded, command, fast_tempdir, is_root, need, need_root, run, skip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sync/inotify-rsync");
const REFERENCE: &str = "/usr/bin/inotifywait";
/// Thousands of files on a busy machine take a while.
const LONG: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(60);

/// A source, a destination and what a test puts beside them.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Option<Place> {
        if !need("rsync") || !need("bash") {
            return None;
        }
        let place = Place { dir: fast_tempdir() };
        fs::create_dir(place.at("src")).unwrap();
        // An rsync that counts: a line each time.
        fs::create_dir(place.at("bin")).unwrap();
        put_script(
            &place.at("bin/rsync"),
            &format!(
                "echo \"$@\" | tr '\\n' ' ' >>'{0}/runs'; echo >>'{0}/runs'\nPATH=${{PATH#*:}} exec rsync \"$@\"",
                place.dir.path().display()
            ),
        );
        Some(place)
    }

    fn at(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.path().join(Path::new(&name))
    }

    fn write(&self, name: impl AsRef<OsStr>, text: impl AsRef<[u8]>) {
        let path = self.at("src").join(Path::new(&name));
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// What a shell does in the source.
    fn shell(&self, script: &str) {
        let (output, text) = run(bounded("sh").args(["-ec", script]).current_dir(self.at("src")));
        assert!(output.status.success(), "{text}");
    }

    /// A program, to be started beside the source.
    fn program<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut program = command(self.dir.path(), program, arguments);
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        program.env("INOTIFYWAIT", common::binary("inotifywait")).env("PATH", path).env("TZ", "UTC");
        program
    }

    /// The script.
    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.program(SCRIPT, arguments)
    }

    /// The same with short pauses, from src to `dest`.
    fn quick(&self, options: &[&str], dest: &str) -> Command {
        let mut all = vec!["-v", "--settle", "0.2", "--max-delay", "2"];
        all.extend(options);
        all.extend(["src", dest]);
        self.command(all)
    }

    /// Starts it and waits until all is there for the first time.
    #[track_caller]
    fn start(&self, options: &[&str], to: &Dest) -> Sync<'_> {
        let mut sync = Sync::new(self, self.quick(&[options, &to.options()].concat(), &to.dest));
        sync.until("a first comparison", |run| said(run, "comparing everything"));
        sync.identical(to);
        sync
    }

    /// How many more watches there are, for the name of SRC: one for each directory on the way, and one for SRC.
    fn on_the_way(&self) -> usize {
        self.at("src").ancestors().count()
    }

    /// How often rsync was run.
    fn runs(&self) -> usize {
        fs::read_to_string(self.at("runs")).unwrap_or_default().lines().count()
    }
}

/// A destination.
struct Dest {
    dest: String,
    password: Option<String>,
    /// What rsync has to be told besides: a port, or how to run ssh.
    option: Option<String>,
    /// A process that sees it, where others do not.
    seen_by: Option<Pid>,
}

impl Dest {
    fn local(dest: &str) -> Dest {
        Dest { dest: dest.to_owned(), password: None, option: None, seen_by: None }
    }

    /// For the script.
    fn options(&self) -> Vec<&str> {
        let password = self.password.iter().flat_map(|file| ["--password-file", file]);
        password.chain(self.option.iter().flat_map(|option| ["--rsync-opt", option])).collect()
    }

    /// What rsync would still have to do.
    fn differences(&self, place: &Place, more: &[&str]) -> String {
        let mut rsync = bounded(if self.seen_by.is_some() { "nsenter" } else { "rsync" });
        let place_and = |pid| {
            [
                format!("-t{pid}"),
                "-m".to_owned(),
                format!("--wd={}", place.dir.path().display()),
                "rsync".to_owned(),
            ]
        };
        rsync.args(self.seen_by.into_iter().flat_map(place_and)).current_dir(place.dir.path());
        rsync.args(["-a", "-n", "-i", "-c", "--delete"]).args(more);
        rsync.args(self.password.iter().map(|file| format!("--password-file={file}"))).args(&self.option);
        let (_, text) = run(rsync.args(["src/", &self.dest]));
        let (_, found) = text.split_once("\n--- stdout\n").unwrap();
        if found == "\n--- stderr\n" { String::new() } else { text }
    }
}

/// Whether a line of the log, or of what went wrong, has these words.
fn said(run: &Running, words: &str) -> bool {
    [run.stdout.lines(), run.stderr.lines()].concat().iter().any(|line| line.contains(words))
}

/// The script while it runs.
struct Sync<'a> {
    place: &'a Place,
    run: Running,
}

impl<'a> Sync<'a> {
    fn new(place: &'a Place, command: Command) -> Sync<'a> {
        Sync { place, run: Running::start(command) }
    }

    /// Waits, for long, until something holds. The script does not end before.
    #[track_caller]
    fn until(&mut self, what: &str, mut holds: impl FnMut(&Running) -> bool) {
        let start = Instant::now();
        loop {
            let over = self.run.has_ended();
            if holds(&self.run) {
                return;
            }
            if over || start.elapsed() > LONG {
                self.run.fail(&format!("no {what}"));
            }
            thread::sleep(GLANCE);
        }
    }

    /// For longer than [`Running::finish`] waits.
    fn until_it_ends(&mut self, meanwhile: impl Fn(&Running)) {
        let start = Instant::now();
        while !self.run.has_ended() && start.elapsed() < LONG {
            meanwhile(&self.run);
            thread::sleep(GLANCE);
        }
    }

    /// After a signal.
    #[track_caller]
    fn ends_with_all_sent(mut self, place: &Place, to: &Dest) {
        self.until_it_ends(|_| ());
        let end = self.run.finish();
        end.code(0);
        end.check("nothing unsent", to.differences(place, &[]).is_empty());
    }

    #[track_caller]
    fn until_said(&mut self, words: &str) {
        self.until(&format!("word of {words:?}"), |run| said(run, words));
    }

    /// Waits until rsync finds no difference.
    #[track_caller]
    fn identical(&mut self, to: &Dest) {
        self.identical_with(to, &[]);
    }

    #[track_caller]
    fn identical_with(&mut self, to: &Dest, more: &[&str]) {
        let (start, place) = (Instant::now(), self.place);
        loop {
            let found = to.differences(place, more);
            if found.is_empty() {
                return;
            }
            if self.run.has_ended() || start.elapsed() > LONG {
                self.run.fail(&format!("not the same:\n{}", found.chars().take(3000).collect::<String>()));
            }
            thread::sleep(GLANCE);
        }
    }

    /// The pid of the inotifywait that it has started.
    #[track_caller]
    fn watcher(&mut self) -> Pid {
        let mut found = None;
        let script = self.run.pid();
        self.until("inotifywait", |_| {
            found = children(script).into_iter().find(|(_, words)| words.contains("--batch-marker"));
            found.is_some()
        });
        found.unwrap().0
    }

    /// Ends it by SIGTERM. Nothing of it is left.
    #[track_caller]
    fn stop(self) -> Ended {
        let place = self.place;
        let end = self.run.stop();
        end.check("no child left", family(place).is_empty());
        end
    }
}

/// Processes with their parents and their arguments.
fn processes() -> Vec<(Pid, Pid, String)> {
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        Some((Pid::from_raw(pid), Pid::from_raw(parent), String::from_utf8_lossy(&words).replace('\0', " ")))
    })
    .collect()
}

/// All processes below one, the nearest first.
fn descendants(of: Pid) -> Vec<(Pid, String)> {
    let mut found = children(of);
    for at in 0.. {
        let Some((pid, _)) = found.get(at) else { break };
        found.extend(children(*pid));
    }
    found
}

fn children(of: Pid) -> Vec<(Pid, String)> {
    let children = processes().into_iter().filter(|(_, parent, _)| *parent == of);
    children.map(|(pid, _, words)| (pid, words)).collect()
}

/// What runs with the place's name among its arguments, the daemons aside.
fn family(place: &Place) -> Vec<String> {
    let name = place.dir.path().display().to_string();
    let all = processes().into_iter().map(|(_, _, words)| words);
    all.filter(|words| words.contains(&name) && !words.contains("--daemon") && !words.contains("sshd"))
        .collect()
}

/// An rsync daemon as the tutorial sets it up: a module `backup` that can be written to, with a user and a
/// password. It ends with this.
struct Daemon {
    dir: PathBuf,
    port: u16,
    run: Option<Running>,
}

impl Daemon {
    fn new(place: &Place) -> Daemon {
        let dir = place.dir.path().to_path_buf();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir(dir.join("backup")).unwrap();
        let root = if is_root() { "uid = root\ngid = root\n" } else { "" };
        let at = dir.display();
        fs::write(
            dir.join("rsyncd.conf"),
            format!(
                "{root}use chroot = no\nmax connections = 0\nignore errors\nexclude = lost+found/\n\
                 log file = {at}/rsyncd.log\npid file = {at}/rsyncd.pid\nlock file = {at}/rsyncd.lock\n\
                 reverse lookup = no\naddress = 127.0.0.1\n\n\
                 [backup]\npath = {at}/backup/\ncomment = backup dir\nread only = no\nauth users = tom\n\
                 secrets file = {at}/secrets\n\n\
                 [busy]\npath = {at}/backup/\nread only = no\nmax connections = -1\n"
            ),
        )
        .unwrap();
        put_secret(&dir.join("secrets"), "tom:redhat\n");
        put_secret(&dir.join("password"), "redhat\n");
        let mut daemon = Daemon { dir, port, run: None };
        daemon.start();
        daemon
    }

    fn start(&mut self) {
        let config = format!("--config={}/rsyncd.conf", self.dir.display());
        let port = format!("--port={}", self.port);
        let mut run =
            Running::start(command(&self.dir, "rsync", ["--daemon", "--no-detach", &config, &port]));
        run.wait("a connection", |_| TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        self.run = Some(run);
    }

    /// Kills it with all that it does.
    fn kill(&mut self) {
        self.run = None;
        let _ = fs::remove_file(self.dir.join("rsyncd.pid"));
        for (pid, _, words) in processes() {
            if words.contains(&self.dir.display().to_string()) && words.contains("--daemon") {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
    }

    fn password(&self) -> Option<String> {
        Some(self.dir.join("password").to_str().unwrap().to_owned())
    }

    fn url(&self) -> Dest {
        let dest = format!("rsync://tom@127.0.0.1:{}/backup", self.port);
        Dest { dest, password: self.password(), option: None, seen_by: None }
    }

    fn module(&self) -> Dest {
        let option = Some(format!("--port={}", self.port));
        Dest { dest: "tom@127.0.0.1::backup".to_owned(), password: self.password(), option, seen_by: None }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An sshd that takes a key of the test's own, for whoever runs the test. It ends with this.
struct Sshd {
    dir: PathBuf,
    port: u16,
    run: Option<Running>,
}

impl Sshd {
    const PROGRAM: &str = "/usr/sbin/sshd";

    fn new(place: &Place) -> Option<Sshd> {
        if !need(Sshd::PROGRAM) || !need("ssh") || !need("ssh-keygen") {
            return None;
        }
        let dir = place.at("ssh");
        fs::create_dir(&dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for key in ["host", "user", "other"] {
            let (output, text) = run(bounded("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", key])
                .current_dir(&dir));
            assert!(output.status.success(), "{text}");
        }
        let at = dir.display();
        // With another home: what a login's own .bashrc says is no concern of the test's.
        fs::write(
            dir.join("sshd_config"),
            format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nPidFile none\nStrictModes no\nUsePAM no\n\
                 AuthorizedKeysFile {at}/authorized\nAuthenticationMethods publickey\n\
                 SetEnv HOME={at}\n"
            ),
        )
        .unwrap();
        fs::write(
            dir.join("config"),
            format!(
                "Host *\nPort {port}\nIdentityFile {at}/user\nIdentitiesOnly yes\nBatchMode yes\n\
                 UserKnownHostsFile {at}/known\nGlobalKnownHostsFile /dev/null\n"
            ),
        )
        .unwrap();
        let key = fs::read_to_string(dir.join("host.pub")).unwrap();
        fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        let mut sshd = Sshd { dir, port, run: None };
        sshd.authorize(true);
        if is_root() {
            // Where a system starts it, that makes the directory.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        sshd.start();
        let mut login = bounded("ssh");
        login.arg("-F").arg(sshd.dir.join("config")).args(["127.0.0.1", "true"]);
        let (output, text) = run(&mut login);
        (output.status.success() || skip(&format!("ssh cannot log in here: {text}"))).then_some(sshd)
    }

    fn start(&mut self) {
        let mut sshd = command(&self.dir, Sshd::PROGRAM, ["-D", "-e", "-f"]);
        sshd.arg(self.dir.join("sshd_config"));
        let mut run = Running::start(sshd);
        run.wait("a connection", |_| TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        self.run = Some(run);
    }

    /// Kills it with all that was logged in.
    fn kill(&mut self) {
        let Some(run) = self.run.take() else { return };
        let mut all = vec![run.pid()];
        for at in 0.. {
            let Some(pid) = all.get(at) else { break };
            all.extend(children(*pid).into_iter().map(|(pid, _)| pid));
        }
        for pid in all {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// Whether the key is good.
    fn authorize(&self, yes: bool) {
        let key = if yes { fs::read(self.dir.join("user.pub")).unwrap() } else { Vec::new() };
        fs::write(self.dir.join("authorized"), key).unwrap();
    }

    /// Starts it again with another one of its keys.
    fn start_with(&mut self, key: &str) {
        self.kill();
        let config = fs::read_to_string(self.dir.join("sshd_config")).unwrap();
        let lines = config.lines().map(|line| match line.strip_prefix("HostKey ") {
            Some(_) => format!("HostKey {}/{key}\n", self.dir.display()),
            None => format!("{line}\n"),
        });
        fs::write(self.dir.join("sshd_config"), lines.collect::<String>()).unwrap();
        self.start();
    }

    fn dest(&self) -> Dest {
        let dest = format!("127.0.0.1:{}", self.dir.with_file_name("copy").display());
        let option = Some(format!("--rsh=ssh -F {}/config", self.dir.display()));
        Dest { dest, password: None, option, seen_by: None }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn put_script(path: &Path, lines: &str) {
    // By another process: what is open for writing here may be inherited by another test's child, and then it
    // cannot be run (ETXTBSY).
    let script = "printf '#!/bin/sh\\n%s\\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
    let (output, text) = run(bounded("sh").args(["-c", script, "sh"]).arg(path).arg(lines));
    assert!(output.status.success(), "{text}");
}

fn put_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a user's day brings: names that quote badly, changes of every kind, directories on the move.
fn a_day(place: &Place, sync: &mut Sync, to: &Dest) {
    let names: [&[u8]; 12] = [
        b"two words",
        b" space at both ends ",
        b"new\nline",
        b"-rf",
        b"--delete",
        b"*",
        b"[a-z]?",
        b"back\\slash",
        b"#comment",
        b";comment",
        b"\xff\xfe not UTF-8",
        b"'\"$(date)`date`",
    ];
    for name in names {
        place.write(OsStr::from_bytes(name), "text");
        let dir = [name, b" d"].concat();
        fs::create_dir(place.at("src").join(OsStr::from_bytes(&dir))).unwrap();
        place.write(OsStr::from_bytes(&[&dir[..], b"/", name].concat()), "text");
    }
    place.shell("mkdir -p a/b/c/d; echo 1 >a/b/c/d/f; ln -s nowhere link; mkfifo fifo; echo 1 >a/x; mkdir e");
    sync.identical(to);

    // Renamed, moved in with its contents, moved out, moved over, deleted, replaced by its opposite.
    fs::create_dir_all(place.at("outside/in/deep")).unwrap();
    fs::write(place.at("outside/in/deep/file"), "1").unwrap();
    place.shell(
        "mv a/b a/z; mv ../outside/in .; mv 'two words d' ../outside; rm -r -- '* d'; rm -- '*' -rf;
         mv -- '#comment' ';comment'; chmod 700 a; touch -d 2001-01-01 a/x; rm -r e; echo e >e; rm link; mkdir link;
         echo 2 >link/f; echo 2 >>a/z/c/d/f; touch -d 2002-02-02 .",
    );
    sync.identical(to);
    place.shell(
        "mv in out; mv out/deep a; echo 3 >a/deep/new; rmdir out; mv a/z/c b; rm -r a; mkdir a; echo 4 >a/x",
    );
    sync.identical(to);

    // Without an event more: nothing is still to come.
    let end = place.runs();
    place.write(".last", "text");
    sync.identical(to);
    assert!(place.runs() - end <= 2, "{} runs for a file", place.runs() - end);
}

fn the_day<S>(server: impl Fn(&Place) -> Option<S>, to: impl Fn(&S) -> Dest) {
    let Some(place) = Place::new() else { return };
    let Some(server) = server(&place) else { return };
    let to = to(&server);
    place.shell("echo before >before; mkdir -p old/dir; echo 1 >old/dir/file");
    let mut sync = place.start(&[], &to);
    a_day(&place, &mut sync, &to);
    let end = sync.stop();
    end.code(0);
    end.check("no complaint", end.stderr.is_empty());
    let line = end.lines().into_iter().find(|line| line.contains("last was ")).unwrap_or_default();
    let (time, rest) = line.split_at(line.find(", ").unwrap_or_default());
    end.check("a line of the log", rest == ", file src/.last was backed up via rsync");
    let shape = time.replace(|digit: char| digit.is_ascii_digit(), "0");
    end.check("its time", shape == "At 00:00:00 on 0000-00-00");
}

#[test]
fn a_local_directory_is_kept_the_same() {
    the_day(|_| Some(()), |()| Dest::local("dest"));
}

#[test]
fn a_module_is_kept_the_same() {
    the_day(|place| Some(Daemon::new(place)), Daemon::module);
}

#[test]
fn a_module_named_by_url_is_kept_the_same() {
    the_day(|place| Some(Daemon::new(place)), Daemon::url);
}

#[test]
fn a_directory_reached_by_ssh_is_kept_the_same() {
    the_day(Sshd::new, Sshd::dest);
}

/// How often everything was compared.
fn comparisons(run: &Running) -> usize {
    run.stdout.lines().iter().filter(|line| line.contains("comparing everything")).count()
}

#[test]
fn an_unpacked_archive_is_sent_in_few_runs() {
    let Some(place) = Place::new() else { return };
    let make = "mkdir tree; cd tree; for d in $(seq 50); do mkdir -p $d/sub; (cd $d/sub; seq 100 | xargs touch); done;
                cd ..; tar cf tree.tar tree; rm -r tree";
    let (output, text) = run(bounded("sh").args(["-ec", make]).current_dir(place.dir.path()));
    assert!(output.status.success(), "{text}");
    let to = Dest::local("dest");
    let mut sync = place.start(&[], &to);
    let before = place.runs();
    place.shell("tar xf ../tree.tar");
    sync.identical(&to);
    assert!(place.at("dest/tree/50/sub/100").exists());
    sync.stop().code(0);
    // As many as there were pauses; the original script would have run it more than 10,000 times.
    let runs = place.runs() - before;
    assert!((1..=12).contains(&runs), "{runs} runs");
}

#[test]
fn everything_is_compared_after_an_overflow() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&[], &to);
    let watcher = sync.watcher();
    kill(watcher, Signal::SIGSTOP).unwrap();
    let longest: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Two in turn: what is alike and stands together becomes one event.
    for number in 0..=longest / 2 {
        for name in ["one", "two"] {
            let path = place.at("src").join(name);
            fs::set_permissions(
                fs::File::create(&path).map(|_| &path).unwrap(),
                PermissionsExt::from_mode(0o600),
            )
            .unwrap();
        }
        if number == longest / 4 {
            place.shell("echo; mkdir -p late/r; echo 1 >late/r/file");
        }
    }
    place.shell("mkdir lost; echo 1 >lost/file");
    kill(watcher, Signal::SIGCONT).unwrap();
    sync.until_said("events were lost");
    sync.identical(&to);
    // A directory whose creation nobody told is watched by now.
    sync.until("watches anew", |run| comparisons(run) > 1);
    place.shell("echo 2 >lost/file; echo 2 >late/r/file");
    sync.identical(&to);
    sync.stop().code(0);
}

#[test]
fn a_batch_is_sent_again_after_the_daemon_died() {
    let Some(place) = Place::new() else { return };
    let mut daemon = Daemon::new(&place);
    let to = daemon.url();
    let mut sync = place.start(&["--rsync-opt", "--bwlimit=4000"], &to);
    // In mid-work: a part of the file is there.
    place.write("big", vec![b'x'; 12 << 20]);
    let arrived = "file src/big was";
    let backup = place.at("backup");
    let partly = || {
        let entries = fs::read_dir(&backup).unwrap().flatten();
        entries.into_iter().any(|entry| entry.file_name().as_bytes().starts_with(b".big."))
    };
    sync.until("a file on its way", |_| partly());
    daemon.kill();
    sync.until_said("rsync ended with status");
    place.shell("mkdir meanwhile; echo 1 >meanwhile/file; rm big");
    // Refused at first, then after pauses that grow.
    sync.until_said("again in 2 s");
    assert!(!said(&sync.run, arrived), "it did not arrive");
    daemon.start();
    sync.identical(&to);
    assert!(!place.at("backup/big").exists() && place.at("backup/meanwhile/file").exists());
    // With the daemon back everything is compared besides, which the next death may interrupt. The pause is short again.
    sync.until("a comparison", |run| comparisons(run) > 1);
    let short =
        |run: &Running| run.stderr.lines().iter().filter(|line| line.contains("again in 1 s")).count();
    let before = short(&sync.run);
    daemon.kill();
    place.write("later", "1");
    sync.until("a first pause", |run| short(run) > before);
    daemon.start();
    sync.identical(&to);
    sync.stop().code(0);
}

#[test]
fn an_sshd_that_dies_and_keys_that_are_wrong() {
    let Some(place) = Place::new() else { return };
    let Some(mut sshd) = Sshd::new(&place) else { return };
    let to = sshd.dest();
    let mut sync = place.start(&["--rsync-opt", "--bwlimit=4000"], &to);
    place.write("big", vec![b'x'; 12 << 20]);
    let copy = place.at("copy");
    sync.until("a file on its way", |_| {
        let entries = fs::read_dir(&copy).unwrap().flatten();
        entries.into_iter().any(|entry| entry.file_name().as_bytes().starts_with(b".big."))
    });
    sshd.kill();
    sync.until_said("rsync ended with status");
    place.shell("mkdir meanwhile; echo 1 >meanwhile/file; rm big");
    sync.until_said("port ");
    sync.until_said("again in 2 s");
    sshd.start();
    sync.identical(&to);
    assert!(!copy.join("big").exists() && copy.join("meanwhile/file").exists());
    // Whoever has to put it right reads why.
    sshd.start_with("other");
    place.write("meanwhile/file", "2 2");
    sync.until_said("Host key verification failed.");
    sshd.start_with("host");
    sync.identical(&to);
    sshd.authorize(false);
    place.write("more", "3");
    sync.until_said("Permission denied (publickey");
    sshd.authorize(true);
    sync.identical(&to);
    sync.stop().code(0);
}

/// rsync's own protocol, but by way of ssh: no port of the daemon's is open.
#[test]
fn a_module_reached_by_ssh_is_kept_the_same() {
    let Some(place) = Place::new() else { return };
    let Some(sshd) = Sshd::new(&place) else { return };
    fs::create_dir(place.at("copy")).unwrap();
    let root = if is_root() { "uid = root\ngid = root\n" } else { "" };
    let config = place.at("ssh/rsyncd.conf");
    let module = format!("[copy]\npath = {}\nread only = no\n", place.at("copy").display());
    fs::write(&config, format!("{root}use chroot = no\n{module}")).unwrap();
    let there = format!("--rsync-path=rsync --config={}", config.display());
    let rsh = sshd.dest().option.unwrap();
    place.shell("mkdir d; echo 1 >d/file");
    let options = ["--once", "--rsync-opt", &rsh, "--rsync-opt", &there];
    let end = Running::start(place.quick(&options, "127.0.0.1::copy")).finish();
    end.code(0).said("");
    assert_eq!(sshd.dest().differences(&place, &[]), "");
}

/// ssh may leave a process behind that keeps a connection, and with it the pipe to the log.
#[test]
fn a_process_that_keeps_the_output_of_rsync_open() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    put_script(&place.at("bin/rsync"), "sleep 120 &\nPATH=${PATH#*:} exec rsync \"$@\"");
    place.shell("mkdir d; echo 1 >d/file");
    // As under systemd.
    let inner = place.quick(&[], "dest");
    let mut outer = command(place.dir.path(), "sh", ["-c", "trap '' PIPE; exec \"$@\"", "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut sync = Sync::new(&place, outer);
    sync.identical(&to);
    fs::remove_dir_all(place.at("dest")).unwrap();
    place.write("new", "1");
    sync.until("a comparison", |run| comparisons(run) > 1);
    sync.identical(&to);
    sync.stop().code(0);
}

/// The place of a file system that is gone is an empty directory, which must not be copied.
#[test]
fn an_unmounted_source_deletes_nothing() {
    let Some(place) = Place::new().filter(|_| need_root() && need("nsenter")) else { return };
    let Some(outer) = in_name_space(&place, "mount -t tmpfs none src; mkdir src/d; echo 1 >src/d/file")
    else {
        return;
    };
    let mut sync = Sync::new(&place, outer);
    sync.until("a file", |_| place.at("dest/d/file").exists());
    let pid = sync.run.pid().to_string();
    // While rsync is in there it is busy.
    let mut umount = bounded("nsenter");
    umount.args(["-t", &pid, "-m", "umount"]).arg(place.at("src"));
    sync.until("a chance to unmount", |_| run(&mut umount).0.status.success());
    let end = sync.run.finish();
    end.code(2);
    end.check("a word", String::from_utf8_lossy(&end.stderr).contains("another file system is there now"));
    assert!(place.at("dest/d/file").exists());
}

/// The script with short pauses, after commands that nobody else sees the mounts of.
fn in_name_space(place: &Place, script: &str) -> Option<Command> {
    let probe = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip("no tmpfs can be mounted");
        return None;
    }
    let inner = place.quick(&[], "dest");
    let script = format!("{script}; exec \"$@\"");
    let mut outer = command(place.dir.path(), "unshare", ["-m", "sh", "-ec", &script, "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(outer)
}

/// Needs a disk of its own, in a name space where nobody else sees it.
#[test]
fn a_batch_is_sent_again_after_the_disk_was_full() {
    let Some(place) = Place::new().filter(|_| need_root() && need("nsenter")) else { return };
    fs::create_dir(place.at("dest")).unwrap();
    let Some(outer) = in_name_space(&place, "mount -t tmpfs -o size=2m none dest") else { return };
    place.write("small", "1");
    let mut sync = Sync::new(&place, outer);
    sync.until("a first file", |run| said(run, "file src/small was"));
    // The disk, from outside.
    let seen = format!("/proc/{}/root{}/dest", sync.run.pid(), place.dir.path().display());
    let to = Dest { seen_by: Some(sync.run.pid()), ..Dest::local("dest") };
    sync.identical(&to);
    place.write("much", vec![b'x'; 3 << 20]);
    sync.until("a full disk", |run| said(run, "rsync ended with status 11; 1 paths again"));
    place.write("more", "2");
    place.shell("rm much; mkdir d; echo 3 >d/file");
    sync.identical(&to);
    // Room by the deletion of something else, which is reported while rsync is tried again.
    place.write("first", vec![b'x'; 1400 << 10]);
    sync.identical(&to);
    place.write("second", vec![b'x'; 1400 << 10]);
    sync.until("a full disk", |run| said(run, "rsync ended with status 11; 1 paths again in 2 s"));
    place.shell("rm first");
    sync.identical(&to);
    assert!(Path::new(&seen).join("d/file").exists());
    sync.stop().code(0);
}

#[test]
fn changes_of_a_killed_run_are_sent_at_the_next_start() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    place.shell("mkdir d; echo 1 >d/old; echo 1 >gone");
    let sync = place.start(&[], &to);
    // In the middle of something.
    place.shell("mkdir many; cd many; seq 1000 | xargs touch");
    sync.run.signal(Signal::SIGKILL);
    let alone = |sync: Sync| {
        let start = Instant::now();
        while family(&place).iter().any(|words| words.contains("--batch-marker")) {
            assert!(start.elapsed() < common::BOUND, "left: {:?}", family(&place));
            thread::sleep(GLANCE);
        }
        drop(sync);
    };
    alone(sync);
    place.shell("rm gone; mv d e; echo 2 >e/new; rm -r many");
    let mut sync = place.start(&[], &to);
    place.write("e/new", "3");
    sync.identical(&to);
    // With no event that would tell the original that nobody reads it.
    sync.run.signal(Signal::SIGKILL);
    alone(sync);
}

#[test]
fn a_watcher_that_dies_ends_it() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&[], &to);
    kill(sync.watcher(), Signal::SIGKILL).unwrap();
    let end = sync.run.finish();
    end.code(1).said("inotify-rsync: inotifywait ended with status 137\n");
    end.check("no child left", family(&place).is_empty());
    // What a service manager does then.
    place.shell("mkdir unseen; echo 1 >unseen/file");
    place.start(&[], &to).stop().code(0);
}

#[test]
fn sigterm_sends_the_gathered_changes() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    // Nothing would be sent for a minute.
    let mut sync = place.start(&["--settle", "60", "--max-delay", "60"], &to);
    let before = place.runs();
    place.shell("mkdir d; echo 1 >d/file; sleep 0.5; echo 2 >last");
    let end = sync.stop();
    end.code(0);
    end.check("nothing unsent", to.differences(&place, &[]).is_empty());
    end.check("all of it at the end", place.runs() == before + 1);
    // With nowhere to send it to, it says so.
    fs::remove_dir_all(place.at("dest")).unwrap();
    fs::remove_dir_all(place.at("src/d")).unwrap();
    sync = place.start(&["--settle", "60", "--max-delay", "60"], &to);
    put_script(&place.at("bin/rsync"), "exit 10");
    place.write("unsent", "1");
    let end = sync.stop();
    end.code(1);
    let told = String::from_utf8_lossy(&end.stderr).contains("not everything was sent");
    end.check("a word", told);
}

#[test]
fn excluded_paths_are_neither_sent_nor_deleted() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    place.shell(
        "mkdir -p cache/x/y sub/cache/z sub/tmp keep/tmp; echo 1 >sub/cache/z/f; echo 1 >a.o; echo 1 >a.c",
    );
    fs::write(place.at("patterns"), "# comment\n; comment\n\n- *.o\n+ /keep/tmp/\ntmp/\n").unwrap();
    let options = ["--ignore", "cache/", "--exclude-from", "patterns"];
    let rsync = ["--exclude=cache/", "--exclude-from=patterns"];
    let mut sync = Sync::new(&place, place.quick(&options, "dest"));
    sync.identical_with(&to, &rsync);
    assert!(place.at("dest/a.c").exists() && place.at("dest/keep/tmp").exists());
    // What is there is not deleted, for it is not looked at.
    fs::create_dir_all(place.at("dest/cache")).unwrap();
    fs::write(place.at("dest/mine.o"), "1").unwrap();
    place.shell(
        "echo 2 >cache/x/f; echo 2 >sub/tmp/f; echo 2 >b.o; echo 2 >keep/tmp/f; echo 2 >keep/tmp/f.o; rm -r cache a.o
         mkdir cache new new/cache new/tmp; echo 3 >new/cache/f; echo 3 >new/tmp/f; echo 3 >new/f; echo 3 >last",
    );
    sync.until("the last file", |_| place.at("dest/last").exists() && place.at("dest/new/f").exists());
    sync.identical_with(&to, &rsync);
    let there = |name: &str| place.at("dest").join(name).exists();
    assert!(there("cache") && there("mine.o") && there("keep/tmp/f"));
    for name in
        ["cache/x", "sub/tmp/f", "b.o", "keep/tmp/f.o", "new/cache", "new/tmp", "sub/cache", "sub/tmp"]
    {
        assert!(!there(name), "{name}");
    }
    // What inotifywait ignores has no watch. Left: src sub sub/tmp keep keep/tmp new new/tmp
    let entries = fs::read_dir(format!("/proc/{}/fdinfo", sync.watcher())).unwrap().flatten();
    let infos = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    assert_eq!(infos.map(|text| text.matches("inotify wd:").count()).sum::<usize>(), 7 + place.on_the_way());
    // Nor does it start anything: the batch of the last file is of one path.
    place.shell("echo 4 >cache/f; echo 4 >sub/cache/f; echo 4 >marker");
    sync.until("the marker", |_| place.at("dest/marker").exists());
    let end = sync.stop();
    end.code(0);
    let sent = end.lines().into_iter().rfind(|line| line.contains(", sending "));
    end.check("one path", sent.is_some_and(|line| line.ends_with(", sending 1 paths")));
}

#[test]
fn a_source_that_is_gone_or_replaced_deletes_nothing() {
    for (before, change, words) in [
        (
            "",
            "mv src old; mkdir src; touch src/new",
            "was renamed or replaced; the next start copies what is there now",
        ),
        ("", "mv src old", "is gone"),
        ("", "rm -r src", "is gone"),
        ("", "rm -r src; mkdir src", "was renamed or replaced"),
        // Nothing happens in it, and nothing after that.
        ("mv src old; ln -s old src", "mkdir new; ln -s new link; mv -T link src", "was renamed or replaced"),
        ("mv src old; ln -s old src", "rm src", "is gone"),
        ("mkdir on; mv src on; ln -s on/src src", "mv on off", "is gone"),
        (
            "mkdir on; mv src on; ln -s on/src src",
            "mkdir -p off/src; mv --exchange on off 2>/dev/null || { mv on old; mv off on; }",
            "was renamed or replaced",
        ),
    ] {
        let Some(place) = Place::new() else { return };
        let shell = |script: &str| {
            let (output, text) = run(bounded("sh").args(["-ec", script]).current_dir(place.dir.path()));
            assert!(output.status.success(), "{text}");
        };
        place.write("file", "1");
        shell(before);
        let sync = place.start(&[], &Dest::local("dest"));
        shell(change);
        let end = sync.run.finish();
        end.code(1);
        let message = format!("inotify-rsync: {}/src {words}", place.dir.path().display());
        end.check(&message, String::from_utf8_lossy(&end.stderr).contains(&message));
        end.check("the copy", place.at("dest/file").exists() && !place.at("dest/new").exists());
        end.check("no child left", family(&place).is_empty());
    }
}

/// It may be the place of a file system that is not mounted.
#[test]
fn an_empty_source_deletes_nothing_at_the_start() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.at("dest")).unwrap();
    fs::write(place.at("dest/old"), "1").unwrap();
    Running::start(place.quick(&["--once"], "dest")).finish().code(0).said("");
    let mut sync = Sync::new(&place, place.quick(&[], "dest"));
    sync.until_said("comparing everything");
    assert!(said(&sync.run, ", src is empty: nothing is deleted in dest"));
    place.write("new", "1");
    sync.until("a batch", |_| place.at("dest/new").exists());
    // What is deleted while it runs is no question.
    place.shell("rm new");
    sync.until("a deletion", |_| !place.at("dest/new").exists());
    sync.stop().code(0);
    assert!(place.at("dest/old").exists());
    place.write("newer", "1");
    Running::start(place.quick(&["--once"], "dest")).finish().code(0);
    assert_eq!(Dest::local("dest").differences(&place, &[]), "");
}

/// By more paths than a batch may have: everything is compared.
#[test]
fn a_source_that_is_emptied_empties_the_destination() {
    let Some(place) = Place::new() else { return };
    place.shell("mkdir d; seq 30 | xargs touch; touch d/file");
    let to = Dest::local("dest");
    let mut sync = place.start(&["--max-batch", "20"], &to);
    place.shell("rm -r *");
    sync.identical(&to);
    assert_eq!(fs::read_dir(place.at("dest")).unwrap().count(), 0);
    let end = sync.stop();
    end.code(0);
    end.check("no batch", !end.lines().iter().any(|line| line.contains(", sending ")));
}

/// Whether DEST has what rsync has sent shows at rsync's end.
#[test]
fn a_path_is_logged_when_rsync_has_ended() {
    let Some(place) = Place::new() else { return };
    let mut sync = place.start(&[], &Dest::local("dest"));
    put_script(
        &place.at("bin/rsync"),
        "PATH=${PATH#*:} rsync \"$@\"; until [ -e go ]; do sleep 0.02; done; exit \"$(cat go)\"",
    );
    let (full, fine) =
        ("file src/one may have been backed up via rsync", "file src/two was backed up via rsync");
    place.write("one", "1");
    sync.until("its copy", |_| place.at("dest/one").exists());
    place.write("two", "2");
    assert!(!said(&sync.run, "file src/one"));
    // A status that is read is complete.
    let ends_with = |status: &str| {
        fs::write(place.at("status"), status).unwrap();
        fs::rename(place.at("status"), place.at("go")).unwrap();
    };
    ends_with("11");
    sync.until_said(full);
    ends_with("0");
    sync.until_said(fine);
    assert!(!said(&sync.run, "file src/one was"));
    sync.stop().code(0);
}

#[test]
fn lines_of_the_log_need_little_memory() {
    let Some(place) = Place::new() else { return };
    put_script(
        &place.at("bin/rsync"),
        "exec seq -f '@sent@ >f+++++++++ a/directory/of/the/usual/length/file-%.0f.html' 20000",
    );
    let mut sync = Sync::new(&place, place.quick(&["--log", "log"], "dest"));
    let log = || fs::read_to_string(place.at("log")).unwrap_or_default();
    sync.until("the last line", |_| log().contains("/file-20000.html was backed up via rsync\n"));
    let status = fs::read_to_string(format!("/proc/{}/status", sync.run.pid())).unwrap();
    let most =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    // About 100 bytes for each, and 4 MB.
    assert!(most.is_some_and(|most: usize| most < 9_000), "{status}");
    sync.run.stop().code(0);
}

#[test]
fn a_limit_on_watches_ends_it() {
    let Some(place) = Place::new() else { return };
    let limited = |number: usize| {
        let number = (number + place.on_the_way()).to_string();
        let inner = place.quick(&[], "dest");
        let script = "echo $1 >/proc/sys/user/max_inotify_watches; shift; exec \"$@\"";
        let mut outer = command(place.dir.path(), "unshare", ["-Ur", "sh", "-ec", script, "sh", &number]);
        outer.arg(inner.get_program()).args(inner.get_args());
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer
    };
    let mut probe = Command::new("unshare");
    probe.args(["-Ur", "sh", "-c", "echo 9 >/proc/sys/user/max_inotify_watches"]);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        skip("user namespaces are not permitted");
        return;
    }
    place.shell("mkdir a b");
    let end = Running::start(limited(2)).finish();
    end.code(1);
    let said_it = |end: &Ended, words: &str| {
        end.check(words, String::from_utf8_lossy(&end.stderr).contains(words));
    };
    said_it(&end, "upper limit on inotify watches reached!");
    said_it(&end, "inotify-rsync: inotifywait cannot watch src\n");
    // Later on.
    let mut sync = Sync::new(&place, limited(3));
    sync.until("a first comparison", |_| place.at("dest/b").exists());
    place.shell("mkdir c");
    let end = sync.run.finish();
    end.code(1);
    said_it(&end, "Couldn't watch new directory");
    assert!(family(&place).is_empty());
}

#[test]
fn refusals_that_pass_and_refusals_that_stay() {
    let Some(place) = Place::new() else { return };
    let daemon = Daemon::new(&place);
    let to = daemon.url();
    place.write("file", "1");
    put_secret(&place.at("wrong"), "wrong\n");
    let ends = |options: &[&str], dest: &str, words: &str| {
        let end = Running::start(place.quick(options, dest)).finish();
        end.code(2);
        end.check(words, String::from_utf8_lossy(&end.stderr).contains(words));
        end.check("no child left", family(&place).is_empty());
    };
    ends(&["--password-file", "wrong"], &to.dest, "@ERROR: auth failed on module backup");
    ends(
        &["--password-file", "password"],
        &to.dest.replace("/backup", "/other"),
        "@ERROR: Unknown module 'other'",
    );
    ends(&["--rsync-opt", "--no-such-option"], "dest", "unknown option");
    assert_eq!(place.runs(), 3, "each of them once");
    // Later it may be different.
    let mut sync =
        Sync::new(&place, place.quick(&[], &to.dest.replace("tom@", "").replace("/backup", "/busy")));
    sync.until_said("@ERROR: max connections");
    sync.until_said("everything again in 2 s");
    sync.run.stop().code(1);
    // A file system that may be mounted again.
    put_script(&place.at("bin/rsync"), "exit 3");
    let mut sync = Sync::new(&place, place.quick(&[], "dest"));
    sync.until_said("rsync ended with status 3; everything again in 2 s");
    fs::remove_file(place.at("bin/rsync")).unwrap();
    sync.identical(&Dest::local("dest"));
    sync.stop().code(0);
    // The near end of a tunnel, of which the far end is down: it hangs up.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dest = format!("rsync://127.0.0.1:{}/backup", listener.local_addr().unwrap().port());
    thread::spawn(move || listener.incoming().for_each(drop));
    let mut sync = Sync::new(&place, place.quick(&[], &dest));
    sync.until_said("everything again in 2 s");
    let end = sync.run.stop();
    end.code(1);
    // A command that is not found, here and on another machine.
    put_script(&place.at("bin/rsync"), "exit 127");
    ends(&[], "dest", "rsync ended with status 127; another attempt would not help");
    let mut sync = Sync::new(&place, place.quick(&[], "tom@[::1]:copy"));
    sync.until_said("everything again in 2 s");
    sync.run.stop().code(1);
}

#[test]
fn a_password_file_is_for_a_daemon_and_for_its_owner() {
    let Some(place) = Place::new() else { return };
    let refused = |file: &str, dest: &str, words: &str| {
        let end = Running::start(place.quick(&["--password-file", file], dest)).finish();
        end.code(2);
        end.check(words, String::from_utf8_lossy(&end.stderr).contains(words));
    };
    put_secret(&place.at("password"), "redhat\n");
    for dest in ["dest", "./a::b", "host:path", "[::1]:path", "user@[::1]:path", "user@host:a::b"] {
        refused("password", dest, "may only be used when accessing an rsync daemon");
    }
    let daemon = Daemon::new(&place);
    let url = daemon.url().dest;
    refused("nothing", &url, "nothing: cannot be read");
    for mode in [0o604, 0o602] {
        fs::set_permissions(place.at("password"), PermissionsExt::from_mode(mode)).unwrap();
        refused("password", &url, "password file must not be other-accessible");
    }
}

#[test]
fn one_at_a_time_by_flock() {
    let Some(place) = Place::new().filter(|_| need("flock")) else { return };
    let to = Dest::local("dest");
    let locked = |options: &[&str]| {
        let inner = place.quick(options, "dest");
        let mut outer = command(place.dir.path(), "flock", ["-n", "-F", "lock"]);
        outer.arg(inner.get_program()).args(inner.get_args());
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer
    };
    let mut sync = Sync::new(&place, locked(&[]));
    sync.until_said("comparing everything");
    Running::start(locked(&[])).finish().code(1).printed("").said("");
    place.write("file", "1");
    sync.identical(&to);
    sync.stop().code(0);
    Running::start(locked(&["--once"])).finish().code(0);
}

/// Rules that are neither for the sender nor for the receiver alone keep what is not in the batch.
#[test]
fn a_batch_deletes_nothing_else_despite_options_of_rsync() {
    let Some(place) = Place::new() else { return };
    place.shell("mkdir a; echo 1 >a/file; echo 1 >a/other; echo 1 >gone; echo 1 >gone.o");
    let options = ["--exclude", "*.o", "--exclude", "+ a/", "--rsync-opt", "--delete-excluded"];
    let mut sync = Sync::new(&place, place.quick(&options, "dest"));
    sync.until("a first file", |_| place.at("dest/a/file").exists());
    fs::write(place.at("dest/a/mine"), "1").unwrap();
    fs::write(place.at("dest/mine"), "1").unwrap();
    place.shell("rm gone gone.o a/file; echo 2 >b");
    sync.until("a batch", |_| place.at("dest/b").exists() && !place.at("dest/a/file").exists());
    sync.stop().code(0);
    let there = |name: &str| place.at("dest").join(name).exists();
    assert!(there("a/mine") && there("mine") && there("a/other") && !there("gone"));
}

/// By the second alone, the last change would look like the one before.
#[test]
fn changes_within_the_same_second_are_sent() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    // By batches, and where everything is compared, as after an overflow.
    for options in [&["--settle", "0.01"][..], &["--settle", "0.01", "--max-batch", "0"]] {
        let mut sync = place.start(options, &to);
        for round in 0..10 {
            place.write("file", round.to_string());
            let copy = || fs::read_to_string(place.at("dest/file")).ok();
            sync.until("its copy", |_| copy() == Some(round.to_string()));
        }
        sync.stop().code(0);
    }
}

/// TMOUT is exported by many systems for logins, and is the time limit of any `read` of bash's.
#[test]
fn a_time_limit_for_logins_does_not_concern_the_script() {
    let Some(place) = Place::new() else { return };
    put_script(&place.at("bin/rsync"), "sleep 2; PATH=${PATH#*:} exec rsync \"$@\"");
    place.write("file", "1");
    let mut command = place.quick(&["--once"], "dest");
    command.env("TMOUT", "1");
    let mut sync = Sync::new(&place, command);
    sync.until("an end", |_| place.at("dest/file").exists());
    sync.run.finish().code(0).said("");
}

/// The batch has a path in it, and the next one that it moved: until then DEST keeps it all.
#[test]
fn a_directory_that_moves_before_rsync_runs_is_no_error() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    place.shell("mkdir -p d/e; echo 1 >d/e/file; echo 1 >d/other");
    let mut sync = place.start(&[], &to);
    put_script(
        &place.at("bin/rsync"),
        "[ -e src/new ] || mv src/d src/new; PATH=${PATH#*:} exec rsync \"$@\"",
    );
    place.write("d/e/file", "22");
    sync.until("a second batch", |_| place.at("dest/new").exists());
    sync.identical(&to);
    sync.stop().code(0).said("");
}

/// inotifywait is stopped, and at its end has more to read than it reads at once.
#[test]
fn sigterm_sends_unread_changes() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&["--settle", "60", "--max-delay", "60"], &to);
    let watcher = sync.watcher();
    kill(watcher, Signal::SIGSTOP).unwrap();
    place.shell("for n in $(seq 2000); do echo 1 >a-name-that-needs-some-room-$n; done");
    sync.run.signal(Signal::SIGTERM);
    // Its own signal waits with the events.
    sync.until("a signal", |_| {
        let status = fs::read_to_string(format!("/proc/{watcher}/status")).unwrap();
        status.lines().any(|line| line.starts_with("ShdPnd:") && !line.ends_with("0000"))
    });
    kill(watcher, Signal::SIGCONT).unwrap();
    sync.ends_with_all_sent(&place, &to);
}

/// As by `kill` with a negative number, or a service manager that signals all processes.
#[test]
fn sigterm_to_all_processes_loses_nothing() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&["--settle", "60", "--max-delay", "60"], &to);
    let watcher = sync.watcher();
    // More than a pipe holds.
    place.shell("for n in $(seq 2000); do : >a-name-that-needs-so-much-room-that-a-pipe-is-full-before-the-end-$n; done");
    // At the script's own signal, as a second one, inotifywait would end without the rest of its batch.
    assert_eq!(getsid(Some(watcher)).unwrap(), watcher, "inotifywait is out of reach");
    sync.run.signal_all(Signal::SIGTERM);
    sync.ends_with_all_sent(&place, &to);
}

#[test]
fn a_service_manager_is_notified_once_the_watches_are_established() {
    let Some(place) = Place::new().filter(|_| need("systemd-notify")) else { return };
    let socket = UnixDatagram::bind(place.at("notify")).unwrap();
    socket.set_read_timeout(Some(common::BOUND)).unwrap();
    let mut command = place.quick(&[], "dest");
    command.env("NOTIFY_SOCKET", place.at("notify"));
    let mut sync = Sync::new(&place, command);
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer[..length]).trim_end(), "READY=1");
    // systemd-notify waits until that is read.
    thread::spawn(move || while socket.recv(&mut [0; 4096]).is_ok() {});
    place.write("file", "1");
    sync.identical(&Dest::local("dest"));
    sync.stop().code(0);
}

/// The other script, with other addresses and paths. docs/sync.md runs it as it is.
#[test]
fn the_script_of_the_guide_loses_nothing() {
    let Some(place) = Place::new() else { return };
    let mut daemon = Daemon::new(&place);
    let to = daemon.url();
    let at = place.dir.path().display().to_string();
    let mut script = common::file("packaging/examples/sync.sh");
    for (old, new) in [
        ("'/data/www/'", format!("'{at}/src/'")),
        ("'tom@10.0.0.12::backup'", format!("'{}'", to.dest)),
        ("'/var/log/changelist.log'", format!("'{at}/changelist.log'")),
        ("/etc/rsync.pas", format!("{at}/password")),
        ("sleep 10", "sleep 0.5".to_owned()),
    ] {
        assert!(script.contains(old), "{old}");
        script = script.replace(old, &new);
    }
    fs::write(place.at("sync.sh"), script).unwrap();
    place.shell("mkdir old; echo 1 >old/file; echo 1 >x.swp");
    fs::write(place.at("backup/stale"), "1").unwrap();
    let mut command = place.program("bash", ["sync.sh"]);
    let tools = Path::new(common::binary("inotifywait")).parent().unwrap().display().to_string();
    let path = format!("{}:{tools}:{}", place.at("bin").display(), std::env::var("PATH").unwrap());
    // The limit for logins passes while nothing happens.
    command.env("PATH", path).env("TMOUT", "1");
    let mut sync = Sync::new(&place, command);
    let swp = ["--exclude=*.swp"];
    sync.identical_with(&to, &swp);
    let runs = place.runs();
    place.shell(
        "sleep 2; mkdir -p d/e; echo 1 >d/e/f; echo 1 >' two words '; echo 1 >'new\nline\\'; echo 1 >-rf; echo 1 >'*'; mv d g
         rm -r old; for n in $(seq 500); do echo 1 >$n; done; echo 2 >x.swp",
    );
    sync.identical_with(&to, &swp);
    let log = || fs::read_to_string(place.at("changelist.log")).unwrap_or_default();
    for name in ["g", " two words ", "new?line\\", "-rf", "500"] {
        sync.until(name, |_| log().contains(&format!(", file {at}/src/{name} was backuped up via rsync\n")));
    }
    assert!(place.runs() - runs < 10, "{} runs", place.runs() - runs);
    assert!(log().lines().all(|line| line.starts_with("At ") && line.ends_with(" via rsync")));
    // While the network is down.
    daemon.kill();
    place.write("later", "1");
    let runs = place.runs();
    sync.until("two attempts", |_| place.runs() > runs + 1);
    place.shell("echo 1 >latest; rm g/e/f");
    daemon.start();
    sync.identical_with(&to, &swp);
    assert!(!place.at("backup/x.swp").exists());
    sync.run.signal_all(Signal::SIGTERM);
    sync.run.finish();
}

#[test]
fn a_log_is_opened_for_each_line() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = Sync::new(&place, place.quick(&["--log", "log"], "dest"));
    place.write("one", "1");
    sync.identical(&to);
    let log =
        |name: &str, words: &str| fs::read_to_string(place.at(name)).unwrap_or_default().contains(words);
    sync.until("a line", |_| log("log", "file src/one was backed up via rsync\n"));
    fs::rename(place.at("log"), place.at("log.1")).unwrap();
    sync.run.signal(Signal::SIGHUP);
    place.write("two", "2");
    sync.until("a line in a new log", |_| log("log", "file src/two was backed up via rsync\n"));
    assert!(!log("log.1", "src/two"));
    // Errors are there, too.
    put_script(&place.at("bin/rsync"), "echo 'rsync: it broke' >&2; exit 12");
    place.write("four", "4");
    sync.until("an error", |_| log("log", "error: rsync ended with status 12; 1 paths again in 1 s\n"));
    assert!(log("log", "error: rsync: it broke\n"));
    let end = sync.run.stop();
    end.code(1).printed("");
}

#[test]
fn no_name_forges_a_line_of_the_log() {
    let Some(place) = Place::new() else { return };
    let source = "s\nAt 00:00:00 on 2026-01-01, forged\x1b[2K";
    fs::create_dir(place.at(source)).unwrap();
    fs::write(place.at(source).join("one\n"), "1").unwrap();
    // A message of inotifywait's that ends the script, if it is taken for one.
    let forger = r#"printf "Couldn't watch x\033\rCouldn't watch new directory y: No space left on device (limit: z)\n" >&2"#;
    put_script(&place.at("bin/forger"), &format!("{forger}; exec {} \"$@\"", common::binary("inotifywait")));
    let mut command = place.command(["-v", "--log", "log", source, "dest"]);
    command.env("INOTIFYWAIT", place.at("bin/forger"));
    let mut sync = Sync::new(&place, command);
    let shown = r"s?At 00:00:00 on 2026-01-01, forged?[2K";
    let log = || fs::read_to_string(place.at("log")).unwrap_or_default();
    sync.until("a line", |_| log().contains(&format!("file {shown}/one\\#012 was backed up via rsync\n")));
    let end = sync.run.stop();
    let forged =
        r"inotifywait: Couldn't watch x??Couldn't watch new directory y: No space left on device (limit: z)";
    end.check("one line", end.stderr == format!("inotify-rsync: {forged}\n").into_bytes());
    let log = log();
    end.check(&log, log.lines().all(|line| line.starts_with("At ") && !line.contains(char::is_control)));
    end.check(
        &log,
        log.contains(&format!(", watching {shown}\n")) && log.contains(&format!(", error: {forged}\n")),
    );
}

#[test]
fn a_second_signal_does_not_wait() {
    let Some(place) = Place::new() else { return };
    // An rsync that takes its time.
    put_script(&place.at("bin/rsync"), "exec sleep 600");
    let mut sync = Sync::new(&place, place.quick(&[], "dest"));
    let script = sync.run.pid();
    let sleeps = || descendants(script).iter().any(|(_, words)| words.starts_with("sleep 600"));
    sync.until("an rsync", |_| sleeps());
    sync.run.signal(Signal::SIGTERM);
    let watches = || children(script).iter().any(|(_, words)| words.contains("--batch-marker"));
    sync.until("the end of inotifywait", |_| !watches());
    assert!(sleeps());
    // Later than those that come at once.
    sync.until_it_ends(|run| run.signal(Signal::SIGTERM));
    let end = sync.run.finish();
    end.code(1);
    end.check("a word", String::from_utf8_lossy(&end.stderr).contains("ended before everything was sent"));
    assert!(children(script).is_empty());
}

/// timeout(1) signals its command, and then its process group.
#[test]
fn signals_that_come_at_once_are_one() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let sync = place.start(&["--settle", "60", "--max-delay", "60"], &to);
    place.write("file", "1");
    for _ in 0..10 {
        sync.run.signal(Signal::SIGTERM);
        thread::sleep(Duration::from_millis(5));
    }
    sync.ends_with_all_sent(&place, &to);
}

/// rsync sees for itself that nothing arrives, but only after minutes, and not while it connects.
#[test]
fn a_network_that_hangs_delays_the_end_by_a_minute_at_most() {
    let Some(place) = Place::new() else { return };
    put_script(&place.at("bin/rsync"), "PATH=${PATH#*:} exec sleep 600");
    // That minute is over as soon as a file is there, but later than signals that come at once.
    put_script(
        &place.at("bin/sleep"),
        "PATH=${PATH#*:}; [ \"$1\" = 60 ] || exec sleep \"$@\"; sleep 3; until [ -e over ]; do sleep 0.02; done",
    );
    let mut sync = Sync::new(&place, place.quick(&[], "dest"));
    let script = sync.run.pid();
    let hangs = || descendants(script).iter().any(|(_, words)| words.starts_with("sleep 600"));
    sync.until("an rsync", |_| hangs());
    sync.run.signal(Signal::SIGTERM);
    let waits = || descendants(script).iter().any(|(_, words)| words.contains("sleep 60 "));
    sync.until("the minute", |_| waits());
    assert!(hangs());
    fs::write(place.at("over"), "").unwrap();
    let end = sync.run.finish();
    end.code(1);
    end.check("a word", String::from_utf8_lossy(&end.stderr).contains("ended before everything was sent"));
    end.check("no child left", descendants(script).is_empty() && family(&place).is_empty());
}

/// The destination may have lost more than the batch, so everything is compared.
#[test]
fn sigterm_after_a_lost_connection_sends_what_is_left() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    put_script(&place.at("bin/rsync"), "PATH=${PATH#*:}; [ ! -e down ] || exit 255; exec rsync \"$@\"");
    let mut sync = Sync::new(&place, place.quick(&[], "dest"));
    sync.identical(&to);
    fs::write(place.at("down"), "").unwrap();
    place.write("file", "1");
    sync.until_said("rsync ended with status 255");
    fs::remove_file(place.at("down")).unwrap();
    sync.stop().code(0);
    assert_eq!(to.differences(&place, &[]), "");
}

/// Messages are told apart by the words that others cannot choose.
#[test]
fn no_name_hides_a_message_or_ends_the_script() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let limit = "Couldn't watch new directory /x: No space left on device (limit: /proc)/: Permission denied";
    put_script(
        &place.at("bin/liar"),
        &format!("echo \"{limit}\" >&2; exec {} \"$@\"", common::binary("inotifywait")),
    );
    let mut command = place.quick(&[], "dest");
    command.env("INOTIFYWAIT", place.at("bin/liar"));
    let mut sync = Sync::new(&place, command);
    sync.identical(&to);
    let hidden = r#"rsync: [sender] send_files failed to open "/x (code 24) y": Permission denied (13)"#;
    let refusal = r#"rsync: [sender] send_files failed to open "/@ERROR: x": Permission denied (13)"#;
    put_script(&place.at("bin/rsync"), &format!("echo '{hidden}' >&2; echo '{refusal}' >&2; exit 5"));
    place.write("file", "1");
    sync.until_said(hidden);
    sync.until_said(refusal);
    sync.until_said("again in 2 s");
    fs::remove_file(place.at("bin/rsync")).unwrap();
    sync.identical(&to);
    let end = sync.stop();
    end.code(0);
    end.check(limit, String::from_utf8_lossy(&end.stderr).contains(&format!("inotifywait: {limit}\n")));
}

#[test]
fn changes_while_rsync_runs_are_sent_after_it() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    // The first two wait until they may go on: the comparison, and a list.
    put_script(
        &place.at("bin/rsync"),
        "while [ ! -e ../go ] && [ ! -e go ]; do sleep 0.02; done; PATH=${PATH#*:} exec rsync \"$@\"",
    );
    let mut sync = Sync::new(&place, place.quick(&["--max-batch", "4000"], "dest"));
    sync.until_said("comparing everything");
    // More than a pipe and its readers hold, were it not read.
    place.shell("for n in $(seq 3000); do echo 1 >f$n; done; rm f1; mkdir d; echo 1 >d/f");
    fs::write(place.at("go"), "").unwrap();
    sync.identical(&to);
    let end = sync.stop();
    end.code(0);
    let compared = end.lines().iter().filter(|line| line.contains("comparing everything")).count();
    end.check("one comparison", compared == 1);
}

#[test]
fn settings_from_a_file_are_data() {
    let Some(place) = Place::new() else { return };
    let source = place.at("a source");
    fs::rename(place.at("src"), &source).unwrap();
    fs::write(source.join("file"), "1").unwrap();
    fs::write(source.join("a b.o"), "1").unwrap();
    fs::write(
        place.at("conf"),
        format!(
            "# a comment\n\n SRC = \"{}/\"\nDEST={}/$(touch evil)\nEXCLUDE=a b.o\nexclude=*.tmp\nONCE=yes\n\
             max-batch=5\nRSYNC_OPT=--chmod=F640\nLOG='{}'\nDRY_RUN=no\r\n",
            source.display(),
            place.dir.path().display(),
            place.at("the log").display()
        ),
    )
    .unwrap();
    Running::start(place.command(["-c", "conf"])).finish().code(0).printed("").said("");
    let dest = place.at("$(touch evil)");
    assert_eq!(fs::metadata(dest.join("file")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!dest.join("a b.o").exists() && !place.at("evil").exists());
    assert!(
        fs::read_to_string(place.at("the log")).unwrap().contains("/a source/file was backed up via rsync\n")
    );
    // Operands of the command line come first.
    Running::start(place.command(["--config=conf", "a source", "there"])).finish().code(0);
    assert!(place.at("there/file").exists());
    for (line, words) in [
        ("SRC", "conf:1: no NAME=VALUE"),
        ("COLOUR=red", "conf:1: COLOUR: unknown setting"),
        ("SETTLE=soon", "conf:1: SETTLE: 'soon' is not a number of seconds"),
        ("ONCE=perhaps", "conf:1: ONCE: 'perhaps' is neither yes nor no"),
        ("CONFIG=conf", "conf:1: CONFIG: unknown setting"),
    ] {
        fs::write(place.at("conf"), line).unwrap();
        let end = Running::start(place.command(["-c", "conf", "a source", "there"])).finish();
        end.code(2);
        end.check(words, String::from_utf8_lossy(&end.stderr).contains(words));
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    let Some(place) = Place::new() else { return };
    let wrong = |arguments: &[&str], words: &str| {
        let end = Running::start(place.command(arguments)).finish();
        end.code(2).printed("");
        end.check(words, String::from_utf8_lossy(&end.stderr).contains(words));
    };
    wrong(&[], "SRC and DEST are required");
    wrong(&["src"], "SRC and DEST are required");
    wrong(&["src", ""], "SRC and DEST are required");
    wrong(&["a", "b", "c"], "more than SRC and DEST: c");
    wrong(&["--bogus", "src", "dest"], "--bogus: unknown setting");
    wrong(&["-x", "src", "dest"], "-x: unknown setting");
    wrong(&["src", "dest", "--settle"], "--settle requires a value");
    wrong(&["--settle", "0.0", "src", "dest"], "'0.0' is not a number of seconds");
    wrong(&["--settle", "-1", "src", "dest"], "'-1' is not a number of seconds");
    wrong(&["--max-batch=x", "src", "dest"], "'x' is not a whole number");
    wrong(&["--exclude-from", "nothing", "src", "dest"], "nothing: cannot be read");
    wrong(&["-c", "nothing"], "nothing: cannot be read");
    wrong(&["src", "src/dest"], "src/dest is in src");
    wrong(&["src", "src"], "src is in src");
    wrong(&["src", "."], "src is in ., and would be deleted there");
    // A shell's $(...) would lose the end of that name.
    fs::create_dir_all(place.at("d\n/src")).unwrap();
    wrong(&["d\n/src", "d\n"], "d?/src is in d?, and would be deleted there");
    wrong(&["--log", "src/log", "src", "dest"], "is in src");
    for option in ["-V", "--version"] {
        let version = format!("inotify-rsync {}\n", env!("CARGO_PKG_VERSION"));
        Running::start(place.command([option])).finish().code(0).printed(version).said("");
    }
    let end = Running::start(place.command(["nothing", "dest"])).finish();
    end.code(1).said("inotify-rsync: nothing: no such directory\n");
    let needs = "has no --ignore: set INOTIFYWAIT to the one of inotify-tools-rs\n";
    for tool in ["/nothing", REFERENCE] {
        let mut command = place.command(["src", "dest"]);
        command.env("INOTIFYWAIT", tool);
        Running::start(command).finish().code(2).said(format!("inotify-rsync: {tool} {needs}"));
    }
    assert_eq!(place.runs(), 0);
    assert!(!place.at("dest").exists());
}

#[test]
fn sources_with_odd_names_are_copied() {
    let Some(place) = Place::new() else { return };
    for name in [
        "with space",
        "new\nline",
        "dest\n",
        "-v",
        "co:lon",
        "c++ (1)",
        "r[e]g(e)x*.+?^$|\\{}",
        "link",
        "slash///",
    ] {
        let source = place.at(name);
        if name == "link" {
            fs::create_dir_all(place.at("target/sub")).unwrap();
            symlink("target", &source).unwrap();
        } else {
            fs::create_dir_all(source.join("sub")).unwrap();
        }
        fs::write(source.join("file"), "1").unwrap();
        let mut sync = Sync::new(
            &place,
            place.command(["--settle=0.1", "--exclude=out", "--exclude=+ x", "--", name, "dest"]),
        );
        sync.until("a first file", |_| place.at("dest/file").exists());
        // rsync would take what is listed below a directory that is left out.
        fs::create_dir(source.join("sub/out")).unwrap();
        fs::write(source.join("sub/out/file"), "1").unwrap();
        fs::write(source.join("sub/new"), "1").unwrap();
        sync.until("a new file", |_| place.at("dest/sub/new").exists());
        fs::write(source.join("sub/out/file"), "2").unwrap();
        fs::write(source.join("sub/newer"), "1").unwrap();
        sync.until("a newer file", |_| place.at("dest/sub/newer").exists());
        assert!(!place.at("dest/sub/out").exists());
        fs::remove_file(source.join("file")).unwrap();
        sync.until("its deletion", |_| !place.at("dest/file").exists());
        let end = sync.stop();
        end.code(0).said("");
    }
}

#[test]
fn once_dry_and_without_deletion() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    place.shell("mkdir d; echo 1 >d/file; echo 1 >other");
    let end = Running::start(place.quick(&["--once", "--dry-run"], "dest")).finish();
    end.code(0);
    end.check(
        "what would be",
        String::from_utf8_lossy(&end.stdout).contains("file src/d/file would be backed up via rsync\n"),
    );
    assert!(!place.at("dest/other").exists());
    Running::start(place.quick(&["--once"], "dest")).finish().code(0);
    assert_eq!(to.differences(&place, &[]), "");
    assert_eq!(place.runs(), 2);

    let mut sync = place.start(&["--no-delete", "--full-every", "1"], &to);
    place.shell("rm -r d; rm other; echo 2 >new");
    sync.until("a new file", |_| place.at("dest/new").exists());
    // From time to time everything is compared.
    let compared =
        |run: &Running| run.stdout.lines().iter().filter(|line| line.contains("comparing")).count();
    let before = compared(&sync.run);
    sync.until("two more comparisons", |run| compared(run) > before + 1);
    assert!(place.at("dest/d/file").exists() && place.at("dest/other").exists());
    sync.stop().code(0);

    let mut dry = Sync::new(&place, place.quick(&["--dry-run"], "dest"));
    dry.until_said("file src/d would be backed up");
    place.write("newer", "3");
    dry.until_said("file src/newer would be backed up");
    assert!(!place.at("dest/newer").exists() && place.at("dest/d").exists());
    dry.stop().code(0);
    // It has failed, and does not try again.
    put_script(&place.at("bin/rsync"), "exit 10");
    let end = Running::start(place.quick(&["--once"], "dest")).finish();
    end.code(1).said("inotify-rsync: rsync ended with status 10\ninotify-rsync: not everything was sent\n");
}

#[test]
fn changes_without_a_pause_are_sent_all_the_same() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&["--settle", "600", "--max-delay", "0.5"], &to);
    let before = place.runs();
    place.write("file", "1");
    sync.identical(&to);
    assert_eq!(place.runs(), before + 1);
    sync.stop().code(0);
}

#[test]
fn more_paths_than_a_batch_may_have() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&["--max-batch", "20"], &to);
    place.shell("seq 10 | xargs touch");
    sync.identical(&to);
    place.shell("mkdir d; cd d; seq 300 | xargs touch; cd ..; seq 11 300 | xargs touch");
    sync.identical(&to);
    let end = sync.stop();
    end.code(0);
    let counted = |words: &str| end.lines().iter().filter(|line| line.contains(words)).count();
    end.check("a list, and comparisons", counted(", sending 1") > 0 && counted("comparing everything") > 1);
}

#[test]
fn a_destination_that_was_emptied_is_filled_again() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    place.shell("mkdir d; echo 1 >d/file; echo 1 >other");
    let mut sync = place.start(&[], &to);
    fs::remove_dir_all(place.at("dest")).unwrap();
    place.write("new", "1");
    sync.identical(&to);
    sync.stop().code(0);
}

#[test]
fn one_path_that_fails_does_not_hold_up_the_others() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&[], &to);
    // As root nothing is unreadable: a list with this name in it fails in part.
    put_script(
        &place.at("bin/rsync"),
        "PATH=${PATH#*:}; cat >list\nif grep -q bad list && [ ! -e good ]; then exit 23; fi\nrsync \"$@\" <list",
    );
    place.write("bad", "1");
    sync.until_said("rsync ended with status 23; 1 paths again in 1 s");
    sync.until_said("again in 2 s");
    place.write("fine", "1");
    sync.until("the other file", |_| place.at("dest/fine").exists());
    assert!(!place.at("dest/bad").exists());
    fs::write(place.at("good"), "").unwrap();
    sync.identical(&to);
    sync.stop().code(0);
}

/// Its directory alone fails after it.
#[test]
fn a_tree_that_failed_is_sent_whole_later() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    let mut sync = place.start(&[], &to);
    put_script(
        &place.at("bin/rsync"),
        "PATH=${PATH#*:}; cat >list; [ -e good ] || exit 23; rsync \"$@\" <list",
    );
    place.shell("mkdir ../in; echo 1 >../in/file; mv ../in in");
    sync.until_said("again in 2 s");
    place.shell("chmod 700 in");
    sync.until_said("again in 8 s");
    fs::write(place.at("good"), "").unwrap();
    sync.identical(&to);
    sync.stop().code(0);
}

#[test]
fn a_file_that_vanishes_while_rsync_runs_is_no_failure() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    put_script(
        &place.at("bin/rsync"),
        "PATH=${PATH#*:}; rsync \"$@\" || exit; echo 'file has vanished: \"/x\"' >&2
         echo 'rsync warning: some files vanished before they could be transferred (code 24) at main.c' >&2; exit 24",
    );
    let mut sync = place.start(&[], &to);
    place.write("file", "1");
    sync.identical(&to);
    place.shell("rm file; mkdir d");
    sync.identical(&to);
    sync.stop().code(0).said("");
}

/// rsync 3.2.3-4+deb11u4, 3.2.7-1+deb12u6 and 3.4.1+ds1-5+deb13u4, for instance, refuse --delete-missing-args.
#[test]
fn deletions_are_sent_without_delete_missing_args() {
    let Some(place) = Place::new() else { return };
    let to = Dest::local("dest");
    put_script(
        &place.at("bin/rsync"),
        "case \" $* \" in *missing-args*) echo 'invalid file mode 00 for x [Receiver]' >&2; exit 2 ;; esac
         PATH=${PATH#*:} exec rsync \"$@\"",
    );
    place.shell(
        "mkdir -p a/b/c keep cache; touch top a/one a/b/two a/b/c/three keep/file cache/x; mkdir later",
    );
    let mut sync = place.start(&[], &to);
    place.shell("rm a/b/two; touch a/new");
    sync.identical(&to);
    place.shell(
        "rm top; rm -r a/b; mv keep kept; rmdir cache 2>/dev/null || rm -r cache; mv later file; rm -r file",
    );
    sync.identical(&to);
    // A directory that is a file now, and all of it gone.
    place.shell("rm -r a; echo 1 >a; rm -r kept");
    sync.identical(&to);
    place.shell("rm a");
    sync.identical(&to);
    assert_eq!(fs::read_dir(place.at("dest")).unwrap().count(), 0);
    let end = sync.stop();
    end.code(0).check("no complaint", end.stderr.is_empty());
}

/// The tutorial's script, with other addresses and paths.
#[test]
fn the_script_of_the_tutorial() {
    let Some(place) = Place::new() else { return };
    let daemon = Daemon::new(&place);
    let to = daemon.url();
    let at = place.dir.path().display();
    let script = format!(
        r#"#!/bin/bash
SRC='{at}/src/'

DEST='{dest}'

rpm -q rsync &> /dev/null || yum -y install rsync

inotifywait -mrq  --exclude=".*\.swp" --timefmt '%Y-%m-%d %H:%M:%S' --format '%T %w %f' -e create,delete,moved_to,close_write,attrib ${{SRC}} | while read DATE TIME DIR FILE; do
          FILEPATH=${{DIR}}${{FILE}}
	  rsync -az --delete --password-file={at}/password  $SRC $DEST && echo "At ${{TIME}} on ${{DATE}}, file $FILEPATH was backuped up via rsync" >>  {at}/changelist.log
done
"#,
        dest = to.dest
    );
    fs::write(place.at("inotify_rsync.sh"), script).unwrap();
    put_script(&place.at("bin/rpm"), "exit 0");
    let mut command = command(place.dir.path(), "bash", ["inotify_rsync.sh"]);
    let tools = Path::new(common::binary("inotifywait")).parent().unwrap().display().to_string();
    let path = format!("{}:{tools}:{}", place.at("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path);
    let mut sync = Sync::new(&place, command);
    // It says nothing when it is ready.
    let log = || fs::read_to_string(place.at("changelist.log")).unwrap_or_default();
    sync.until("a line of the log", |_| {
        place.write("probe", "1");
        !log().is_empty()
    });
    place.shell("mkdir -p d/e; echo 1 >d/e/f; echo 1 >'two words'; mv d g; rm probe; chmod 600 'two words'");
    sync.identical(&to);
    let last = format!("file {at}/src/two words was backuped up via rsync\n");
    sync.until("its line", |_| log().contains(&last));
    sync.run.signal_all(Signal::SIGTERM);
    sync.run.finish();
}

#[test]
fn shellcheck_accepts_the_script() {
    if need("shellcheck") {
        let scripts = ["sync/inotify-rsync", "sync/bench", "examples/sync.sh"];
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
        let (output, text) = run(bounded("shellcheck").args(scripts).current_dir(packaging));
        assert!(output.status.success() && output.stdout.is_empty(), "{text}");
    }
}

/// The page's examples, as they stand there. The comment before each names a file that appears.
#[test]
fn the_examples_of_the_page() {
    let Some(place) = Place::new() else { return };
    let daemon = Daemon::new(&place);
    fs::rename(place.at("src"), place.at("www")).unwrap();
    fs::write(place.at("www/index.html"), "1").unwrap();
    fs::write(place.at("www/.index.html.swp"), "1").unwrap();
    fs::rename(place.at("password"), place.at("rsync.pas")).unwrap();
    symlink(SCRIPT, place.at("bin/inotify-rsync")).unwrap();
    let page = common::file("man/inotify-rsync.1");
    let (_, examples) = page.split_once("\n.Sh EXAMPLES\n").unwrap();
    let mut count = 0;
    for block in examples.split("\n.\\\" example: ").skip(1) {
        let (made, rest) = block.split_once("\n.Bd -literal -offset indent\n").unwrap();
        let (script, _) = rest.split_once("\n.Ed").unwrap();
        let script = script.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\");
        let script = script.replace("localhost:8730", &format!("localhost:{}", daemon.port));
        let mut sync = Sync::new(&place, place.program("bash", ["-c", &script]));
        sync.until("a first file", |_| place.at(made).exists());
        sync.run.signal_all(Signal::SIGTERM);
        sync.run.finish();
        let made = place.at(made);
        assert!(!made.with_file_name(".index.html.swp").exists() || count > 0);
        fs::remove_file(made).unwrap();
        count += 1;
    }
    assert_eq!(count, 3);
}
