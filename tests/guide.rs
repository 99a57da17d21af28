//! docs/sync.md: its blocks of commands, run as they stand there, one after the other, by a root who has file
//! systems, network and processes of its own, and is both of the machines.
//!
//! Comments in the page tell what the commands do not: `goes on` before a block that does not end; after a block,
//! `until: COMMAND` waits until that succeeds, `syslog: WORDS` until the system log has these; `need: TOOL` before
//! either; `not run`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use common::{Running, command, fast_tempdir, file, need, need_root, skip};

/// A tree for chroot(8) at `$1`, with what is installed here, `/etc` as a copy; and then the commands on stdin, one
/// file each, whose names come as lines.
const MACHINE: &str = r#"
set -e
ip link set lo up
ip address add 10.0.0.12/32 dev lo
cd "$1"
for name in bin sbin lib lib64 usr; do
    if [ -L "/$name" ]; then cp -P "/$name" .; elif [ -d "/$name" ]; then mkdir "$name"; mount --rbind "/$name" "$name"; fi
done
cp -a /etc .
printf '127.0.0.1 localhost\n10.0.0.12 backup\n' >etc/hosts
rm -f etc/rsyncd.conf
mkdir -p proc root run tmp var/log data/www
ln -s /run var/run
mount -t proc proc proc
for name in null zero full random urandom; do : >"dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
ln -s /proc/self/fd dev/fd
echo before >data/www/index.html
exec chroot . bash /opt/steps
"#;

enum Step {
    Run { script: String, goes_on: bool },
    Until(String),
    Syslog(String),
}

/// What the page has done, and how many blocks are not run.
fn steps(page: &str) -> (Vec<Step>, usize) {
    let (mut steps, mut left_out) = (Vec::new(), 0);
    let (mut goes_on, mut not_run, mut lacking) = (false, false, false);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        match comment.map(|comment| comment.split_once(": ").unwrap_or((comment, ""))) {
            Some(("goes on", "")) => goes_on = true,
            Some(("not run", "")) => not_run = true,
            Some(("need", tool)) => lacking = !need(tool),
            Some(("until", script)) if !lacking => steps.push(Step::Until(script.to_owned())),
            Some(("syslog", words)) if !lacking => steps.push(Step::Syslog(words.to_owned())),
            Some(("until" | "syslog", _)) => lacking = false,
            // Around the table of `make bench-sync`.
            Some(("measured" | "end of measured", "")) => {}
            Some((other, _)) => panic!("a comment that means nothing here: {other}"),
            None => {}
        }
        if line == "```sh" {
            let script: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if not_run {
                left_out += 1;
            } else if !lacking {
                steps.push(Step::Run { script: script.join("\n"), goes_on });
            }
            (goes_on, not_run, lacking) = (false, false, false);
        } else {
            assert!(!line.starts_with("```") || line == "```text" || line == "```", "{line}");
        }
    }
    (steps, left_out)
}

#[test]
fn the_script_is_printed_as_it_is() {
    let script = file("packaging/examples/sync.sh");
    assert!(script.lines().count() <= 40);
    for page in ["docs/sync.md", "README.md"] {
        assert!(file(page).contains(&format!("```sh\n{script}```\n")), "{page}");
    }
}

#[test]
fn the_commands_of_the_guide_work() {
    let tools = ["rsync", "bash", "ip", "logger", "pgrep", "unshare"];
    if !need_root() || !tools.into_iter().all(need) {
        return;
    }
    let namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child"];
    let probe = command(Path::new("/"), "unshare", namespaces.into_iter().chain(["true"])).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip("no name spaces");
        return;
    }
    let dir = fast_tempdir();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("opt/bin")).unwrap();
    fs::create_dir(root.join("dev")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sync/inotify-rsync");
    for program in [common::binary("inotifywait"), script] {
        let copied = command(dir.path(), "cp", [program, root.join("opt/bin").to_str().unwrap()]).output();
        assert!(copied.unwrap().status.success());
    }
    let log = UnixDatagram::bind(root.join("dev/log")).unwrap();
    log.set_read_timeout(Some(Duration::from_millis(100))).unwrap();

    // Each step is a file that bash runs; what it waits for from outside is a file, too.
    let (steps, left_out) = steps(&file("docs/sync.md"));
    assert!(steps.len() > 30 && left_out == 2, "{} steps, {left_out} left out", steps.len());
    let mut driver = "export PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root; cd /root\n".to_owned();
    let mut expected = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let (text, how) = match step {
            Step::Run { script, goes_on: false } => (script, "bash -e /opt/N || exit 1"),
            Step::Run { script, goes_on: true } => (script, "bash -e /opt/N </dev/null &"),
            Step::Until(script) => (script, "until bash /opt/N; do sleep 0.1; done >/dev/null 2>&1"),
            Step::Syslog(words) => {
                expected.push((number, words.as_str()));
                let touch =
                    "until test -e /opt/seen; do echo >>/data/www/again; sleep 0.1; done; rm /opt/seen";
                (&touch.to_owned(), "bash /opt/N")
            }
        };
        fs::write(root.join(format!("opt/{number}")), text).unwrap();
        driver += &format!("echo step {number}\n{}\n", how.replace('N', &number.to_string()));
    }
    fs::write(root.join("opt/steps"), driver + "echo done\n").unwrap();

    let mut machine = command(dir.path(), "unshare", namespaces);
    machine.args(["sh", "-c", MACHINE, "sh"]).arg(&root);
    let mut run = Running::start(machine);
    let mut buffer = [0; 4096];
    let mut pending = expected.into_iter().peekable();
    for number in 0..steps.len() {
        run.expect_line(&format!("step {number}"));
        let Some((_, words)) = pending.next_if(|(step, _)| *step == number) else { continue };
        run.wait("the system log", |_| match log.recv(&mut buffer) {
            Ok(length) => common::contains(&buffer[..length], words.as_bytes()),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                false
            }
        });
        fs::write(root.join("opt/seen"), "").unwrap();
    }
    run.expect_line("done");
}
