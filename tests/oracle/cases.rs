//! The one table of cases.

pub mod fanotify;

pub use inotify_tools::internals::options::{Program, Tool};

use crate::ops::{Name, Op, *};

/// How a case ends once its steps are done.
#[derive(Debug, Clone)]
pub enum End {
    /// By itself.
    Exit,
    /// By itself; the step is repeated until then, for nothing says when it is ready.
    Retry(Op),
    /// All kinds of events are made at this path; when its name is printed, everything before
    /// has been too. Then the signal. Its own lines are not compared.
    Sentinel(Name),
    /// When it sleeps with an empty queue, the signal.
    Quiet,
}

/// What ours prints in one stream where it differs on purpose.
#[derive(Debug, Clone)]
pub enum Text {
    /// As the reference.
    Same,
    Is(Vec<u8>),
    /// The words are ours to choose; this much has to be in them.
    Has(Vec<u8>),
}

/// What ours does where it differs on purpose; docs/compatibility.md has the reason.
#[derive(Debug, Clone)]
pub struct Expect {
    pub status: Option<&'static str>,
    pub stdout: Text,
    pub stderr: Text,
    pub outfile: Text,
}

/// A command line, what happens to files, how it ends.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub program: Program,
    /// `{DIR}` in them stands for the case's directory, in which the program starts.
    pub args: Vec<Vec<u8>>,
    pub setup: Vec<Op>,
    pub ops: Vec<Op>,
    pub end: End,
    /// Where ours, differing on purpose, ends another way.
    pub ours_end: Option<End>,
    /// The signal after the end's condition; with `End::Exit` none is sent.
    pub signal: Option<i32>,
    pub env: Vec<(&'static str, &'static str)>,
    pub stdin: Option<Vec<u8>>,
    pub argv0: &'static str,
    /// A wrapper for sh -c: "$@" is the program and its arguments.
    pub shell: Option<&'static str>,
    /// Runs as nobody if the tests are root's.
    pub nobody: bool,
    /// Mounts, so needs root and no neighbour that keeps a copy of the mount.
    pub mounts: bool,
    /// With a syslog of its own; needs root too.
    pub syslog: bool,
    pub daemon: bool,
    /// Files are created at this path, a number added, until one shows that a quiet watcher is
    /// ready; the name has `.ready` in it. CREATE has to be among the events asked for.
    pub probe: Option<Name>,
    pub outfile: Option<&'static str>,
    pub help: bool,
    pub separator: u8,
    /// The cookies that begin its records are numbered in the order of their appearance.
    pub cookies: bool,
    pub expect: Option<Expect>,
}

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGUSR1: i32 = 10;
const SIGTERM: i32 = 15;

impl Case {
    fn new(tool: Tool, name: impl Into<String>, line: &str, end: End) -> Case {
        Case {
            name: name.into(),
            program: Program { tool, fanotify: false },
            args: line.split_whitespace().map(|w| w.as_bytes().to_vec()).collect(),
            setup: vec![mkdir("d"), write("d/a", "x"), mkdir("d/s"), write("d/s/f", "x")],
            ops: Vec::new(),
            end,
            ours_end: None,
            signal: Some(if tool == Tool::Wait { SIGTERM } else { SIGINT }),
            env: Vec::new(),
            stdin: None,
            argv0: tool.name(),
            shell: None,
            nobody: false,
            mounts: false,
            syslog: false,
            daemon: false,
            probe: None,
            outfile: None,
            help: false,
            separator: b'\n',
            cookies: false,
            expect: None,
        }
    }

    /// One more argument, of any bytes.
    fn arg(mut self, arg: impl AsRef<[u8]>) -> Case {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    /// Replaces the usual directory: `d` with a file `a` and a directory `s` with a file `f`.
    fn given(mut self, setup: impl IntoIterator<Item = Op>) -> Case {
        self.setup = setup.into_iter().collect();
        self
    }

    /// In addition to the usual directory.
    fn also(mut self, setup: impl IntoIterator<Item = Op>) -> Case {
        self.setup.extend(setup);
        self
    }

    fn does(mut self, ops: impl IntoIterator<Item = Op>) -> Case {
        self.ops.extend(ops);
        self
    }

    fn ends(mut self, end: End) -> Case {
        self.end = end;
        self
    }

    fn sentinel(self, name: impl AsRef<[u8]>) -> Case {
        let end = End::Sentinel(name.as_ref().to_vec());
        self.ends(end)
    }

    fn quiet(self) -> Case {
        self.ends(End::Quiet)
    }

    fn signal(mut self, signal: i32) -> Case {
        self.signal = Some(signal);
        self
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Case {
        self.env.push((name, value));
        self
    }

    fn stdin(mut self, bytes: &[u8]) -> Case {
        self.stdin = Some(bytes.to_vec());
        self
    }

    fn shell(mut self, script: &'static str) -> Case {
        self.shell = Some(script);
        self
    }

    fn probe(mut self, name: &str) -> Case {
        self.probe = Some(name.as_bytes().to_vec());
        self
    }

    fn outfile(mut self, name: &'static str) -> Case {
        self.outfile = Some(name);
        self
    }

    fn nobody(mut self) -> Case {
        self.nobody = true;
        self
    }

    fn mounts(mut self) -> Case {
        self.mounts = true;
        self.setup = vec![mkdir("d"), mount("d")];
        self
    }

    fn syslog(mut self) -> Case {
        self.syslog = true;
        self
    }

    fn daemon(mut self) -> Case {
        self.daemon = true;
        self
    }

    fn help(mut self) -> Case {
        self.help = true;
        self
    }

    fn expect(&mut self) -> &mut Expect {
        self.expect.get_or_insert(Expect {
            status: None,
            stdout: Text::Same,
            stderr: Text::Same,
            outfile: Text::Same,
        })
    }

    /// On purpose, ours ends with this status.
    fn ours_status(mut self, status: &'static str) -> Case {
        self.expect().status = Some(status);
        self
    }

    fn ours_stdout(mut self, text: impl AsRef<[u8]>) -> Case {
        self.expect().stdout = Text::Is(text.as_ref().to_vec());
        self
    }

    fn ours_stdout_has(mut self, text: &str) -> Case {
        self.expect().stdout = Text::Has(text.as_bytes().to_vec());
        self
    }

    fn ours_stderr(mut self, text: &str) -> Case {
        self.expect().stderr = Text::Is(text.as_bytes().to_vec());
        self
    }

    fn ours_stderr_has(mut self, text: &str) -> Case {
        self.expect().stderr = Text::Has(text.as_bytes().to_vec());
        self
    }

    fn ours_outfile(mut self, text: &str) -> Case {
        self.expect().outfile = Text::Is(text.as_bytes().to_vec());
        self
    }

    fn ours_ends(mut self, end: End) -> Case {
        self.ours_end = Some(end);
        self
    }
}

/// inotifywait without -m: it ends by itself.
fn once(name: impl Into<String>, line: &str) -> Case {
    Case::new(Tool::Wait, name, line, End::Exit)
}

/// inotifywait -m (to be written in the line): it ends by SIGTERM when all was printed.
fn monitor(name: impl Into<String>, line: &str) -> Case {
    Case::new(Tool::Wait, name, line, End::Sentinel(b"d/.end".to_vec()))
}

/// inotifywatch, ended by SIGINT when all was counted.
fn count(name: impl Into<String>, line: &str) -> Case {
    Case::new(Tool::Watch, name, line, End::Quiet)
}

/// inotifywatch that ends by itself.
fn count_once(name: impl Into<String>, line: &str) -> Case {
    Case::new(Tool::Watch, name, line, End::Exit)
}

/// What -e and the like are tried on: every kind of event that an entry of `d` can have.
fn everything() -> Vec<Op> {
    vec![
        touch("d/n"),
        append("d/n", "xyz"),
        read("d/n"),
        truncate("d/n"),
        chmod("d/n", 0o600),
        utime("d/n"),
        link("d/n", "d/l"),
        rename("d/n", "d/m"),
        unlink("d/l"),
        rename("d/m", "out"),
        rename("out", "d/o"),
        unlink("d/o"),
        ln_s("a", "d/sym"),
        fifo("d/fifo"),
        mkdir("d/dir"),
        chmod("d/dir", 0o711),
        readdir("d/dir"),
        rename("d/dir", "d/dir2"),
        rmdir("d/dir2"),
        readdir("d"),
        chmod("d", 0o711),
    ]
}

const ESTABLISHED: &str = "Setting up watches.\nWatches established.\n";
const COLLECTING: &str =
    "Establishing watches...\nFinished establishing watches, now collecting statistics.\n";

/// The table.
pub fn table() -> Vec<Case> {
    let inotify = [
        usage(),
        accepted(),
        events(),
        formats(),
        times(),
        names(),
        paths(),
        excluded_paths(),
        filters(),
        one_shots(),
        recursion(),
        mounts(),
        ends(),
        outputs(),
        tables(),
        table_usage(),
    ]
    .concat();
    let fanotify = fanotify::cases(&inotify);
    [inotify, fanotify].concat()
}

/// Command lines that are refused, and their diagnostics.
fn usage() -> Vec<Case> {
    let lines = [
        ("usage-none", ""),
        ("usage-short", "-x d"),
        ("usage-short-in-cluster", "-mxq d"),
        ("usage-short-question", "-? d"),
        ("usage-short-colon", "-: d"),
        ("usage-short-w", "-W foo d"),
        ("usage-short-i", "-i d"),
        ("usage-short-digit", "-1 d"),
        ("usage-long", "--foo d"),
        ("usage-long-value", "--foo=1 d"),
        ("usage-long-after-operand", "d --foo"),
        ("usage-first-error-wins", "-e foo -t x d"),
        ("usage-first-error-wins-2", "-t x --foo d"),
        ("usage-missing-t", "-t"),
        ("usage-missing-t-in-cluster", "-mt"),
        ("usage-missing-e", "d -e"),
        ("usage-missing-o", "d -o"),
        ("usage-missing-timeout", "--timeout"),
        ("usage-missing-format", "d --format"),
        ("usage-missing-exclude", "--exclude"),
        ("usage-missing-abbreviated", "d --form"),
        ("usage-flag-with-value", "--recursive=1 d"),
        ("usage-flag-with-empty-value", "--monitor= d"),
        ("usage-flag-with-value-abbreviated", "--mon=yes d"),
        ("usage-ambiguous-ex", "--ex d"),
        ("usage-ambiguous-ex-value", "--ex=1 d"),
        ("usage-ambiguous-e", "--e=create d"),
        ("usage-ambiguous-in", "--in d"),
        ("usage-ambiguous-inc", "--inc a d"),
        ("usage-ambiguous-i", "--i d"),
        ("usage-ambiguous-f", "--f d"),
        ("usage-ambiguous-fi", "--fi d"),
        ("usage-ambiguous-file", "--file=x d"),
        ("usage-abbreviated-fanotify", "--fa"),
        ("usage-abbreviated-filesystem", "--files=x d"),
        ("usage-fanotify-none", "-rF"),
        ("usage-filesystem-none", "-rS"),
        ("usage-mount-abbreviated", "--moun d"),
        ("usage-ambiguous-no", "--no d"),
        ("usage-ambiguous-time", "--time=1 d"),
        ("usage-ambiguous-t", "--t 1 d"),
        ("usage-abbreviated-timefmt", "--timef x d"),
        ("usage-abbreviated-daemon", "--d d"),
        ("usage-filename", "-f d"),
        ("usage-filename-long", "--filename d"),
        ("usage-timeout-word", "-t abc d"),
        ("usage-timeout-tail", "-t 1x d"),
        ("usage-timeout-hex", "-t 0x1 d"),
        ("usage-timeout-sign", "-t - d"),
        ("usage-timeout-huge", "-t 99999999999999999999 d"),
        ("usage-timeout-huge-negative", "-t -99999999999999999999 d"),
        ("usage-timeout-then-error", "-t 9223372036854775807 -x"),
        ("usage-value-with-dash", "-t -1 -x"),
        ("usage-event", "-e foo d"),
        ("usage-event-in-list", "-e create,foo d"),
        ("usage-event-first-in-list", "-e foo,bar d"),
        ("usage-event-prefix", "-e creat d"),
        ("usage-event-list-split", "-e modify, create d"),
        ("usage-event-other-name", "-e IN_CREATE d"),
        ("usage-long-misspelt", "--recusive d"),
        ("usage-single-dash", "-recursive d"),
        ("usage-timeout-unit", "-t 5m d"),
        ("usage-exclude-glob", "--exclude *.swp d"),
        ("usage-exclude-lookahead", "--exclude (?!x) d"),
        ("usage-glob", "d/*.js"),
        ("proc", "-t 1 -e unmount /proc/sys"),
        ("usage-event-joined", "-efoo d"),
        ("usage-event-long", "--event=foo d"),
        ("usage-exclude-regex", "--exclude ( d"),
        ("usage-excludei-regex", "--excludei [ d"),
        ("usage-include-regex", "--include ( d"),
        ("usage-includei-regex", "--includei a{2 d"),
        ("usage-exclude-excludei", "--exclude a --excludei b d"),
        ("usage-include-includei", "--include a --includei b d"),
        ("usage-exclude-include", "--exclude a --include b d"),
        ("usage-excludei-includei", "--excludei a --includei b d"),
        ("usage-csv-format", "-c --format %f d"),
        ("usage-format-csv", "--format %f -c d"),
        ("usage-timefmt-alone", "--timefmt %Y d"),
        ("usage-timefmt-csv", "-c --timefmt %Y d"),
        ("usage-no-newline-alone", "--no-newline d"),
        ("usage-no-newline-csv", "-c --no-newline d"),
        ("usage-time-without-timefmt", "--format %T d"),
        ("usage-time-without-timefmt-2", "--format %w%f%Te d"),
        ("usage-daemon-without-outfile", "-d d"),
        ("usage-daemon-without-outfile-2", "-m -d -s d"),
        ("usage-two-outfiles", "-o a -o b d"),
        ("usage-two-fromfiles", "--fromfile a --fromfile b d"),
        ("usage-fromfile-nowhere", "--fromfile nowhere"),
        ("usage-not-silenced-by-s", "-s -x"),
        ("usage-not-silenced-by-qq", "-qq -t x d"),
        ("usage-only-exclusion", "@d"),
        ("usage-combination-before-operands", "--timefmt x"),
        ("usage-nowhere", "nowhere"),
        ("usage-nowhere-quiet", "-q nowhere"),
        ("usage-nowhere-quieter", "-qq nowhere"),
        ("usage-nowhere-recursive", "-r nowhere"),
        ("usage-nowhere-monitor", "-m nowhere d"),
        ("usage-nowhere-second", "d nowhere"),
        ("usage-dash", "-"),
        ("usage-after-dashes", "-- -t1"),
        ("usage-after-dashes-2", "d -- --help"),
        ("usage-not-a-directory", "d/a/"),
        ("usage-below-a-file", "d/a/b"),
    ];
    let mut cases: Vec<Case> = lines.map(|(name, line)| once(name, line)).into();
    cases.extend([
        once("usage-outfile-nowhere", "-o nowhere/x d")
            .ours_stderr("Failed to open output file nowhere/x\nnowhere/x: No such file or directory\n"),
        once("usage-outfile-directory", "-o d d")
            .ours_stderr("Failed to open output file d\nd: Is a directory\n"),
        once("usage-empty-operand", "").arg(""),
        once("usage-empty-operands", "").arg("").arg("").arg("@"),
        once("usage-timeout-empty", "-t").arg("").arg("d"),
        once("usage-event-space", "-e").arg("create delete").arg("d"),
        once("usage-event-leading-space", "-e").arg(" create").arg("d"),
        once("usage-event-bytes", "-e").arg(b"\xff").arg("d"),
        once("usage-long-bytes", "").arg(b"--\xff\xfe").arg("d"),
        once("usage-nowhere-bytes", "").arg(b"\xff\xfe"),
        once("usage-fromfile-empty", "--fromfile list").also([touch("list")]),
        once("usage-fromfile-missing-path", "--fromfile list").also([write("list", "# d\nd\n")]),
        once("usage-fromfile-crlf", "--fromfile list")
            .also([write("list", "d\r\n")])
            .ours_stderr_has("Couldn't watch d\\r: No such file or directory\n"),
        once("usage-fromfile-stdin-empty", "--fromfile -").stdin(b""),
        once("usage-posixly-correct", "d -x").env("POSIXLY_CORRECT", "1"),
        once("usage-posixly-correct-2", "-q nowhere -q").env("POSIXLY_CORRECT", "1"),
        {
            let mut case = once("usage-argv0", "--foo");
            case.argv0 = "/some/where/else";
            case
        },
        once("usage-loop", "loop").also([ln_s("loop", "loop")]),
        once("usage-dangling", "link").also([ln_s("nowhere", "link")]),
        once("usage-dangling-recursive", "-P -r link").also([ln_s("nowhere", "link")]),
        once("usage-loop-recursive", "-P -r loop").also([ln_s("loop", "loop")]),
        helps(once("help-short", "-h")),
        helps(once("help-long", "--help")),
        helps(once("help-one-dash", "-help")),
        helps(once("help-abbreviated", "--he")),
        helps(once("help-before-error", "-m -h -x")),
        once("usage-error-before-help", "-x -h"),
    ]);
    cases.extend([
        once("new-version", "--version")
            .ours_status("exit 0")
            .ours_stdout_has("inotifywait 5.")
            .ours_stderr(""),
        once("new-version-short", "-V")
            .ours_status("exit 0")
            .ours_stdout_has("inotifywait 5.")
            .ours_stderr(""),
        once("new-lsdir", "-e lsdir d")
            .does([readdir("d/s")])
            .ours_status("exit 0")
            .ours_stdout("d/ ACCESS,ISDIR s\n")
            .ours_stderr(ESTABLISHED),
        once("new-syslogOutput", "--syslogOutput d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("d/ OPEN a\n")
            .ours_stderr(""),
        once("new-print0", "-0 -e modify d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("d/ MODIFY a\0")
            .ours_stderr(ESTABLISHED),
        once("new-json", "--json -e modify d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout_has(r#","path":"d/a","watched":"d/","name":"a","events":["MODIFY"],"#)
            .ours_stderr(ESTABLISHED),
        once("new-debounce", "--debounce 0.01 --max-delay 1 --batch-marker -e modify d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("d/ MODIFY a\n\n")
            .ours_stderr(ESTABLISHED),
        once("new-ignore", "--ignore b --gitignore -e modify d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("d/ MODIFY a\n")
            .ours_stderr(ESTABLISHED),
        once("new-max-depth", "-r --max-depth 1 -e modify d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("d/ MODIFY a\n")
            .ours_stderr(
                "Setting up watches.  Beware: since -r was given, this may take a while!\nWatches established.\n",
            ),
        once("new-ready", "--ready 1 -e modify d")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("\nd/ MODIFY a\n")
            .ours_stderr(ESTABLISHED),
        once("new-follow-name", "--follow-name -e modify d/a")
            .ends(End::Exit)
            .ours_ends(End::Retry(append("d/a", "x")))
            .ours_status("exit 0")
            .ours_stdout("d/a MODIFY \n")
            .ours_stderr(ESTABLISHED),
        once("new-until", "--until exists d/a").ours_status("exit 0").ours_stderr(""),
        once("fanotify-filesystem-twice", "-S --files nowhere")
            .ours_stderr("Multiple --filesystem options given.\n"),
        once("fanotify-inotify-filesystem", "-I -S nowhere")
            .ours_stderr("-I and -S cannot both be specified.\n"),
        once("fanotify-mount-twice", "--mount -M nowhere").ours_stderr("Multiple --mount options given.\n"),
        once("fanotify-mount-filesystem", "-M -S nowhere")
            .ours_stderr("-S and -M cannot both be specified.\n"),
    ]);
    cases
}

/// Help: what scripts read of it is the reference's, and one event is new.
fn helps(case: Case) -> Case {
    let tool = case.program.name();
    case.help().ours_stdout(format!(
        "{tool} A.B.C.D\nEvents:\naccess\nmodify\nattrib\nclose_write\nclose_nowrite\nclose\nopen\n\
         moved_to\nmoved_from\nmove\nmove_self\ncreate\ndelete\ndelete_self\nunmount\nlsdir"
    ))
}

/// Spellings that are accepted: each sees one directory made.
fn accepted() -> Vec<Case> {
    let lines = [
        ("option-none", "d"),
        ("option-before-and-after", "-e create d -c"),
        ("option-cluster", "-rc d"),
        ("option-cluster-with-value", "-rcecreate d"),
        ("option-cluster-then-value", "-rce create d"),
        ("option-equals", "--event=create --timeout=20 d"),
        ("option-word", "--event create --timeout 20 d"),
        ("option-abbreviated", "--ev=create --rec --cs d"),
        ("option-abbreviated-no-d", "--no-d d"),
        ("option-abbreviated-form", "--form=%f d"),
        ("option-abbreviated-r", "--r d"),
        ("option-exact-prefix", "--exclude x --format %f d"),
        ("option-dashes", "-c -- d"),
        ("option-value-looks-like-option", "--format -%f d"),
        ("option-value-looks-like-option-2", "--format --help d"),
        ("option-timeout-zero", "-t 0 d"),
        ("option-timeout-negative", "-t -1 d"),
        ("option-timeout-plus", "-t +20 d"),
        ("option-timeout-twice", "-t 1 -t 20 d"),
        ("option-timeout-leading-zero", "-t 020 d"),
        ("option-inotify", "-I d"),
        ("option-inotify-long", "--inotify d"),
        ("option-csv", "--csv d"),
        ("option-csv-twice", "-cc d"),
        ("option-format-twice", "--format %w --format %f d"),
        ("option-timefmt-unused", "--timefmt %Y --format %w d"),
        ("option-timefmt-twice", "--timefmt a --timefmt b --format %T d"),
        ("option-no-newline", "--format %w%f%0 --no-newline d"),
        ("option-recursive", "--recursive d"),
        ("option-fromfile-missing", "--fromfile nowhere d"),
        ("option-exclusion-without-r", "@d d"),
        ("option-exclude-twice", "--exclude n --exclude x d"),
        ("option-exclude-thrice", "--exclude n --exclude n --exclude x d"),
        ("option-excludei-twice", "--excludei N --excludei X d"),
        ("option-include-twice", "--include x --include n d"),
        ("option-includei-twice", "--includei X --includei N d"),
    ];
    let mut cases: Vec<Case> = lines.map(|(name, line)| once(name, line).does([mkdir("d/n")])).into();
    let mkdir_n = || [mkdir("d/n")];
    cases.extend([
        once("option-timeout-blank", "-t").arg(" 20").arg("d").does(mkdir_n()),
        once("option-empty-operands", "").arg("").arg("d").arg("").does(mkdir_n()),
        once("option-exclude-empty", "--exclude").arg("").arg("d").does([mkdir("d/n")]).quiet(),
        once("option-include-empty", "--include").arg("").arg("d").does(mkdir_n()),
        once("option-posixly-correct", "-c d").env("POSIXLY_CORRECT", "1").does(mkdir_n()),
        once("option-merged", "-e create d").shell("exec \"$@\" 2>&1").does(mkdir_n()),
        once("fromfile-stdin", "--fromfile -").stdin(b"\n\nd\n").does(mkdir_n()),
        once("fromfile-stdin-no-newline", "--fromfile -").stdin(b"d").does(mkdir_n()),
        once("fromfile-directory", "--fromfile . d").does(mkdir_n()),
        monitor("fromfile-spaces", "-m -e create --fromfile list")
            .given([mkdir(" a b "), mkdir("x"), write("list", " a b \n\nx")])
            .does([touch(" a b /f"), touch("x/g")])
            .sentinel("x/.end"),
        // More than 4.x has room for.
        monitor("fromfile-many", "-m -e create --fromfile list")
            .given((0..1100).map(|i| mkdir(format!("m{i}"))))
            .also([write("list", (0..1100).map(|i| format!("m{i}\n")).collect::<String>())])
            .does([touch("m0/f"), touch("m1099/f")])
            .sentinel("m1/.end"),
        monitor("fromfile-before-operands", "-m -e create --fromfile list ./d")
            .also([write("list", "d\n")])
            .does([touch("d/n")]),
        monitor("fromfile-exclusion", "-m -r -e create --fromfile list")
            .also([write("list", "d\n@d/s\n")])
            .does([touch("d/s/x"), touch("d/x")]),
        monitor("fromfile-exclusion-for-operand", "-m -r -e create --fromfile list d")
            .also([write("list", "@d/s\n")])
            .does([touch("d/s/x"), touch("d/x")]),
        monitor("fromfile-nul", "-m -e create --fromfile list")
            .also([write("list", b"d\0x\n")])
            .does([touch("d/n")]),
        monitor("fromfile-bytes", "-m -e create --fromfile list")
            .given([mkdir(b"\xff"), write("list", b"\xff\n")])
            .does([touch(b"\xff/n")])
            .sentinel(b"\xff/.end"),
        monitor("quiet", "-m -q d").probe("d/.ready").does([touch("d/n")]),
        monitor("quiet-long", "-m --quiet -e create,delete d")
            .probe("d/.ready")
            .does([touch("d/n"), unlink("d/n")]),
        once("quiet-one-shot", "-q -e modify d/a").ends(End::Retry(append("d/a", "y"))),
        once("quieter-one-shot", "-qq -e modify d/a").ends(End::Retry(append("d/a", "y"))),
        once("quieter-one-shot-2", "-q -q d/a").ends(End::Retry(append("d/a", "y"))),
        once("option-abbreviated-syslog", "--s -t 1 d"),
        once("quieter-thrice", "-qqq -m -t 1 d"),
    ]);
    cases
}

/// -e: every name, alone, on every kind of event; lists, cases, repetition.
fn events() -> Vec<Case> {
    let names = [
        "access",
        "modify",
        "attrib",
        "close_write",
        "close_nowrite",
        "close",
        "open",
        "moved_to",
        "moved_from",
        "move",
        "create",
        "delete",
        "all_events",
        "CREATE",
        "Close_Write",
        "create,delete",
        "move,attrib",
        "isdir,create",
        "close,open,access",
        "delete,delete",
    ];
    let mut cases: Vec<Case> = names
        .map(|name| monitor(format!("event-{name}"), &format!("-m -e {name} d")).does(everything()))
        .into();
    let nothing = ["move_self", "delete_self", "unmount", "ignored", "isdir", "q_overflow", "oneshot"];
    cases.extend(nothing.map(|name| {
        monitor(format!("event-{name}-none"), &format!("-m -e {name} d")).does(everything()).quiet()
    }));
    let own = ["attrib", "move_self", "delete_self", "ignored", "isdir", "delete_self,ignored"];
    cases.extend(own.map(|name| {
        monitor(format!("event-{}-own", name.replace(',', "+")), &format!("-m -e {name} d d/a"))
            .does([
                chmod("d/a", 0o600),
                rename("d/a", "d/b"),
                unlink("d/b"),
                chmod("d", 0o700),
                rename("d", "e"),
                remove_tree("e"),
            ])
            .quiet()
    }));
    cases.extend([
        monitor("event-default", "-m d").does(everything()),
        monitor("event-default-csv", "-m -c d").does(everything()),
        monitor("event-default-format", "-m --format %w|%;e|%f d").does(everything()),
        monitor("event-own-default", "-m d/a x").also([mkdir("x")]).sentinel("x/.end").does([
            write("d/a", "yy"),
            read("d/a"),
            truncate("d/a"),
            chmod("d/a", 0o600),
            utime("d/a"),
            link("d/a", "l"),
            unlink("l"),
            rename("d/a", "d/b"),
            append("d/b", "z"),
            unlink("d/b"),
        ]),
        monitor("event-repeated", "-m -e create -e delete d").does(everything()),
        monitor("event-joined", "-m -ecreate -edelete d").does(everything()),
        monitor("event-empty", "-m -e").arg("").arg("d").does(everything()),
        monitor("event-equals-empty", "-m --event= d").does(everything()),
        monitor("event-trailing-comma", "-m -e create, d").does(everything()),
        monitor("event-two-commas", "-m -e create,,delete d").does(everything()),
        once("event-oneshot-modify", "-e oneshot,modify d").does([append("d/a", "y")]),
        monitor("event-oneshot-modify-monitor", "-m -e oneshot,modify d")
            .does([append("d/a", "y"), until(1, "MODIFY"), append("d/a", "y")])
            .quiet(),
        once("event-oneshot-recursive", "-t 1 -e oneshot -r d").does([touch("d/n")]),
        once("event-oneshot-recursive-modify", "-e oneshot,modify -r d")
            .does([touch("d/n"), append("d/a", "y")]),
        monitor("event-oneshot-recursive-monitor", "-m -e oneshot,create -r d")
            .does([mkdir("d/n"), watched("d/n"), touch("d/n/k"), until(1, "k"), touch("d/n/l")])
            .quiet(),
        once("event-ignored-one-shot", "-e ignored d/a").does([unlink("d/a")]),
    ]);
    cases
}

/// --format, by one event with two names; --csv's quoting.
fn formats() -> Vec<Case> {
    let formats: [&[u8]; 47] = [
        b"%w",
        b"%f",
        b"%e",
        b"%we",
        b"%fe",
        b"%;e",
        b"%%e",
        b"%%",
        b"100%",
        b"%",
        b"%x",
        b"%xe",
        b"%xf",
        b"%,e",
        b"%0",
        b"%n",
        b"%ne",
        b"%0e",
        b"%c",
        b"%ce",
        b"%e%e",
        b"%ee",
        b"%%%e",
        b"%w%",
        b"%-e",
        b"%5w",
        b"%|e|%w|%f|",
        b"% e",
        b"",
        b"%\n",
        b"%\ne",
        b"\xff%\xffe",
        b"\xc3\xa9%\xc3\xa9e",
        b"%\xc3\xa9",
        b"%ww",
        b"%wf",
        b"%w%e%f%%%0%n",
        b"%zz%w",
        b"%%%",
        b"%nn",
        b"\\n\\t%w\\0",
        b"%\\e",
        b"%Ee",
        b"%W%F%E",
        b"{\"w\":\"%w\",\"e\":\"%e\"}",
        b"%w %,e %f",
        b"%%w%%f",
    ];
    let mut cases: Vec<Case> = (0..)
        .zip(formats)
        .flat_map(|(i, format)| {
            let name = format!("format-{i:02}-{}", format.escape_ascii());
            let plain = once(name.clone(), "-e create --format").arg(format).arg("d");
            let bare =
                once(format!("{name}-no-newline"), "-e create --no-newline --format").arg(format).arg("d");
            // These the reference refuses, or prints nothing for, with --no-newline.
            let refused = matches!(format, b"" | b"%w" | b"%f" | b"%xf" | b"%5w" | b"%ww" | b"%wf");
            [Some(plain), Some(bare).filter(|_| i % 3 == 1 && !refused && !format.ends_with(b"%"))]
        })
        .flatten()
        .map(|case| case.does([mkdir("d/n")]))
        .collect();
    cases.extend([
        monitor("format-cookies", "-m --format %c|%e|%f -e move,create,attrib d").does([
            rename("d/a", "d/b"),
            mkdir("d/n"),
            rename("d/n", "d/s/n"),
            chmod("d/b", 0o600),
        ]),
        once("format-own-empty-name", "-e attrib --format [%w][%f] d/a").does([chmod("d/a", 0o600)]),
        once("format-own-empty-name-dir", "-e attrib --format [%w][%f][%e] d").does([chmod("d", 0o700)]),
        once("format-no-newline-ends-in-w", "-e create --no-newline --format %w d")
            .does([mkdir("d/n")])
            .ours_status("exit 0")
            .ours_stdout("d/")
            .ours_stderr(ESTABLISHED),
        once("format-no-newline-ends-in-f", "-e create --no-newline --format %w%f d")
            .does([mkdir("d/n")])
            .ours_status("exit 0")
            .ours_stdout("d/n")
            .ours_stderr(ESTABLISHED),
        once("format-no-newline-ends-in-percent", "-e create --no-newline --format %f% d")
            .does([mkdir("d/n")])
            .ours_stdout("n%"),
        once("format-braces", "-e create --format %{e|%{E}|%%{pid}|%{}|%{9}|%{tIME}|%{ti-me}|%{pid d")
            .does([mkdir("d/n")]),
        once("format-name-time", "-e create --format %{time} d").does([mkdir("d/n")]).ours_stdout_has("Z\n"),
        once("format-name-pid", "-e create --format %f%{pid} d")
            .does([mkdir("d/n")])
            .ours_ends(End::Exit)
            .ours_status("exit 1")
            .ours_stdout("")
            .ours_stderr("%{pid} is in --format string, but none of -F, -S and -M was specified.\n"),
        once("format-name-unknown", "-e create --format %{tiem} d")
            .does([mkdir("d/n")])
            .ours_ends(End::Exit)
            .ours_status("exit 1")
            .ours_stdout("")
            .ours_stderr("%{tiem} in --format string is unknown; known are %{comm}, %{pid} and %{time}.\n"),
        once("format-long-line", "-e create --format")
            .arg("%f".repeat(40))
            .arg("d")
            .does([mkdir([b"d/", "n".repeat(200).as_bytes()].concat())])
            .ours_stdout("n".repeat(8000) + "\n"),
        monitor("format-nul-records", "-m -e create,delete --no-newline --format %w%f%0 d").does([
            touch("d/b\nc"),
            touch("d/b c"),
            unlink("d/b c"),
        ]),
        monitor("csv-own", "-m -c d d/a").does([write("d/a", "yyyy"), mkdir("d/n"), unlink("d/a")]),
        monitor("csv-odd-directories", "-m -c -e create --")
            .given([mkdir("a, b"), mkdir("\"q"), mkdir("trail "), mkdir(" lead"), mkdir("n\nl")])
            .arg("a, b")
            .arg("\"q")
            .arg("trail ")
            .arg(" lead")
            .arg("n\nl")
            .does([touch("a, b/f"), touch("\"q/g"), touch("trail /h"), touch(" lead/i"), touch("n\nl/j")])
            .sentinel("a, b/.end"),
    ]);
    for case in &mut cases {
        case.cookies = case.name == "format-cookies";
        if case.name == "format-nul-records" {
            case.separator = 0;
        }
    }
    cases
}

/// --timefmt: what does not depend on the moment, or only on the year.
fn times() -> Vec<Case> {
    let formats: [&[u8]; 41] = [
        b"fixed",
        b"%%",
        b"%Z",
        b"%z",
        b"%",
        b"%Q",
        b"%E",
        b"%O",
        b"%n|%t",
        b"%%T",
        b"%5%",
        b"%Y",
        b"%C",
        b"%G",
        b"%EY",
        b"%OY",
        b"%EC",
        b"%_5C",
        b"%010C",
        b"%^Z",
        b"%#Z",
        b"%10Z",
        b"%-10Z",
        b"%010Z",
        b"%_10Z",
        b"%+",
        b"%:z",
        b"%::z",
        b"%-z",
        b"%_6z",
        b"%08z",
        b"%L",
        b"%i",
        b"%v",
        b"%f",
        b" ",
        b"\xff",
        b"\xc3\xa9",
        b"a%",
        b"%5",
        b"%Ez",
    ];
    let mut cases: Vec<Case> = (0..)
        .zip(formats)
        .map(|(i, format)| {
            once(format!("time-{i:02}-{}", format.escape_ascii()), "-e create --format %T|%f --timefmt")
                .arg(format)
                .arg("d")
                .env("TZ", "XYZ-05:30")
                .does([mkdir("d/n")])
        })
        .collect();
    let zones = ["UTC", "", "garbage", "America/Los_Angeles", ":Europe/Paris", "<+03>-3", "AAA3:20:10"];
    cases.extend(zones.map(|zone| {
        once(format!("time-zone-{zone}"), "-e create --format %T%T --timefmt %Z,%z,%Y d")
            .env("TZ", zone)
            .does([mkdir("d/n")])
    }));
    cases.extend([
        once("time-in-format", "-e create --format [%T][%%T][%Te]%f --timefmt %C d").does([mkdir("d/n")]),
        once("time-empty", "-e create --format [%T]%f --timefmt")
            .arg("")
            .arg("d")
            .does([mkdir("d/n")])
            .ours_stdout("[]n\n"),
    ]);
    cases
}

/// Odd names, as entries and as operands.
fn names() -> Vec<Case> {
    let long = [b'z'; 255];
    let names: [(&str, &[u8]); 14] = [
        ("space", b"a b"),
        ("spaces-around", b" a "),
        ("newline", b"a\nb"),
        ("newline-only", b"\n"),
        ("non-utf8", b"\xff\xfe"),
        ("half-utf8", b"a\xc3"),
        ("utf8", "é".as_bytes()),
        ("long", &long),
        ("dash", b"-m"),
        ("quote", b"a\"b"),
        ("comma", b"a,b"),
        ("backslash", b"a\\n"),
        ("control", b"\x01\x1b[31m\x7f"),
        ("percent", b"%w%n%"),
    ];
    let mut cases = Vec::new();
    for (what, name) in names {
        let entry = [b"d/", name].concat();
        cases.extend([
            once(format!("name-{what}"), "-e create d").does([mkdir(&entry)]),
            once(format!("name-{what}-csv"), "-c -e create d").does([mkdir(&entry)]),
            once(format!("name-{what}-format"), "-e create --no-newline --format %w%f%0 d")
                .does([mkdir(&entry)]),
            once(format!("name-{what}-operand"), "-e create,modify -- d/a")
                .arg(name)
                .given([mkdir("d"), touch("d/a"), mkdir(name)])
                .does([touch([name, b"/x"].concat())]),
            monitor(format!("name-{what}-recursive"), "-m -r -e create,delete d")
                .also([mkdir(&entry)])
                .does([touch([&entry[..], b"/x"].concat()), unlink([&entry[..], b"/x"].concat())]),
        ]);
    }
    cases.push(once("name-at", "{DIR}/@a").given([mkdir("@a")]).does([touch("@a/x")]));
    cases.push(once("name-at-dot", "./@a").given([mkdir("@a")]).does([touch("@a/x")]));
    cases
}

/// How the path of an operand is printed.
fn paths() -> Vec<Case> {
    let n = || [touch("d/n"), touch("d/s/n"), chmod("d", 0o700)];
    let links = || [ln_s("d", "l"), ln_s("d/a", "fl")];
    let lines = [
        ("path-plain", "-m d"),
        ("path-slash", "-m d/"),
        ("path-slashes", "-m d//"),
        ("path-dot-in", "-m ./d"),
        ("path-dot-after", "-m d/."),
        ("path-dotdot", "-m d/../d"),
        ("path-absolute", "-m {DIR}/d"),
        ("path-absolute-slash", "-m {DIR}/d/"),
        ("path-recursive", "-m -r d"),
        ("path-recursive-slash", "-m -r d/"),
        ("path-recursive-slashes", "-m -r d//"),
        ("path-recursive-dot-in", "-m -r ./d"),
        ("path-recursive-dot-after", "-m -r d/."),
        ("path-recursive-absolute", "-m -r {DIR}/d"),
        ("path-twice", "-m d d"),
        ("path-twice-slash", "-m d d/"),
        ("path-twice-dot", "-m ./d d"),
        ("path-link", "-m l"),
        ("path-link-slash", "-m l/"),
        ("path-link-recursive", "-m -r l"),
        ("path-link-slash-recursive", "-m -r l/"),
        ("path-link-no-dereference-slash", "-m -P l/"),
        ("path-link-no-dereference-recursive", "-m -P -r l"),
        ("path-link-and-directory", "-m l d"),
        ("path-directory-and-link", "-m d l"),
        ("path-no-dereference-directory", "-m -P d"),
        ("path-file-in-watched", "-m d d/s"),
        ("path-recursive-file-too", "-m -r d d/a"),
    ];
    let mut cases: Vec<Case> = lines
        .map(|(name, line)| {
            let case = monitor(name, line).also(links()).does(n());
            case.does([append("d/a", "y")])
        })
        .into();
    cases.extend([
        monitor("path-dot", "-m .").also(links()).does([touch("n")]).sentinel(".end"),
        monitor("path-dot-slash", "-m ./").also(links()).does([touch("n")]).sentinel(".end"),
        monitor("path-dot-recursive", "-m -r .").also(links()).does(n()).sentinel(".end"),
        monitor("path-dot-slash-recursive", "-m -r ./").also(links()).does(n()).sentinel(".end"),
        monitor("path-two", "-m d e").also([mkdir("e")]).does([touch("e/n"), touch("d/n")]),
        monitor("path-file", "-m d/a d").does([append("d/a", "y"), chmod("d/a", 0o600)]),
        monitor("path-file-recursive", "-m -r d/a d/s").sentinel("d/s/.end").does([append("d/a", "y")]),
        monitor("path-file-link", "-m fl d").also(links()).does([append("d/a", "y")]),
        monitor("path-file-link-no-dereference", "-m -P fl d")
            .also(links())
            .does([append("d/a", "y"), rename("fl", "fl2")]),
        monitor("path-link-no-dereference", "-m -P l d/s").also(links()).sentinel("d/s/.end").does([
            touch("d/n"),
            rename("l", "l2"),
            unlink("l2"),
        ]),
        monitor("path-link-dangling-no-dereference", "-m -P x d")
            .also([ln_s("nowhere", "x")])
            .does([rename("x", "y")]),
        monitor("path-hard-links", "-m -e modify f g d")
            .also([touch("f"), link("f", "g")])
            .does([append("g", "x"), append("f", "y")]),
        monitor("path-hard-links-reverse", "-m -e modify g f d")
            .also([touch("f"), link("f", "g")])
            .does([append("g", "x"), append("f", "y")]),
        monitor("path-hard-link-in-directory", "-m -e modify,attrib d/a d")
            .also([link("d/a", "d/b")])
            .does([append("d/b", "x"), unlink("d/b")]),
        monitor("path-link-in-tree", "-m -r -e create d")
            .also([mkdir("out"), ln_s("../out", "d/l")])
            .does([touch("out/n"), touch("d/n")]),
        monitor("path-nested", "-m -r -e create,modify d d/s").does([touch("d/s/n"), touch("d/n")]),
        monitor("path-nested-reverse", "-m -r -e create,modify d/s d").does([touch("d/s/n"), touch("d/n")]),
        monitor("path-nested-other-spelling", "-m -r -e create,modify ./d/s d")
            .does([touch("d/s/n"), touch("d/n")]),
        monitor("path-nested-renamed", "-m -r -e create,modify,move d d/s")
            .does([rename("d/s", "d/t"), touch("d/t/n")]),
        monitor("path-nested-reverse-renamed", "-m -r -e create,modify,move d/s d")
            .does([rename("d/s", "d/t"), touch("d/t/n")]),
        monitor("path-nested-other-spelling-renamed", "-m -r -e create,modify,move ./d/s d")
            .does([rename("d/s", "d/t"), touch("d/t/n")]),
        monitor("isdir-recursive", "-m -r -e isdir,modify d").does([
            mkdir("d/i"),
            rename("d/i", "d/j"),
            append("d/a", "x"),
            rmdir("d/j"),
        ]),
        once("at-is-operand", "d/a @d/a").does([append("d/a", "x")]),
        monitor("path-fifo", "-m p d").also([fifo("p")]).does([chmod("p", 0o600), unlink("p")]),
        monitor("path-deep", "-m -r -e create a")
            .given([mkdir("a"), mkdir("a/b"), mkdir("a/b/c"), mkdir("a/b/c/d"), mkdir("a/b/c/d/e")])
            .sentinel("a/.end")
            .does([touch("a/b/c/d/e/f"), mkdir("a/b/c/g"), touch("a/x")]),
    ]);
    cases
}

/// `@path`.
fn excluded_paths() -> Vec<Case> {
    let n = || [touch("d/s/n"), touch("d/n"), touch("d/t/n")];
    let lines = [
        ("at-same-spelling", "-m -r -e create @d/s d"),
        ("at-slash", "-m -r -e create @d/s/ d"),
        ("at-root-slash", "-m -r -e create @d/s d/"),
        ("at-dot", "-m -r -e create @./d/s ./d"),
        ("at-absolute", "-m -r -e create @{DIR}/d/s {DIR}/d"),
        ("at-after", "-m -r -e create d @d/s"),
        ("at-two", "-m -r -e create @d/s @d/t d"),
        ("at-nowhere", "-m -r -e create @/nowhere @d/nowhere d"),
        ("at-empty", "-m -r -e create @ d"),
        ("at-given-too", "-m -r -e create @d/s d/s d"),
        ("at-given-too-after", "-m -r -e create d d/s @d/s"),
        ("at-root", "-m -r -e create @d d"),
        ("at-prefix-of-name", "-m -r -e create @d/ d"),
        ("at-not-recursive", "-m -e create @d/s d"),
    ];
    let other_spellings = [
        ("at-other-spelling", "-m -r -e create @d/s ./d", "./d/"),
        ("at-other-spelling-2", "-m -r -e create @./d/s d", "d/"),
        ("at-other-spelling-3", "-m -r -e create @d/../d//s/. d/", "d/"),
        ("at-other-spelling-4", "-m -r -e create d @link/s", "d/"),
        ("at-other-spelling-5", "-m -r -e create link @d/s", "link/"),
        ("at-absolute-for-relative", "-m -r -e create @{DIR}/d/s d", "d/"),
        ("at-given-too-other-spelling", "-m -r -e create @./d/s d/s d", ""),
    ];
    let mut cases: Vec<Case> =
        lines.map(|(name, line)| monitor(name, line).also([mkdir("d/t")]).does(n())).into();
    cases.extend(other_spellings.map(|(name, line, top)| {
        let case = monitor(name, line).also([mkdir("d/t"), ln_s("d", "link")]).does(n());
        match top {
            "" => case,
            _ => case.ours_stdout(format!("{top} CREATE n\n{top}t/ CREATE n\n")),
        }
    }));
    // Of a link only the link is excluded, not what it leads to.
    cases.extend(
        [("at-link", "-m -r -e create @d/link d"), ("at-link-slash", "-m -r -e create @d/link/ d")]
            .map(|(name, line)| monitor(name, line).also([mkdir("d/t"), ln_s("s", "d/link")]).does(n())),
    );
    cases.extend(
        [("at-link-given-too", "-m -r -e create @link link"), ("at-link-of-root", "-m -r -e create @link d")]
            .map(|(name, line)| monitor(name, line).also([mkdir("d/t"), ln_s("d", "link")]).does(n())),
    );
    cases.extend([
        monitor("at-under-dot", "-m -r -e create @./d/s .").does([touch("d/s/n"), touch("d/n")]),
        monitor("at-under-dot-without", "-m -r -e create @d/s .")
            .does([touch("d/s/n"), touch("d/n")])
            .ours_stdout("./d/ CREATE n\n"),
        monitor("at-hides-file", "-m -e modify @d/a d")
            .also([touch("d/b")])
            .does([append("d/a", "y"), append("d/b", "y")])
            .ours_stdout("d/ MODIFY b\n"),
        monitor("at-hides-file-recursive", "-m -r -e modify @d/s/f d")
            .does([append("d/s/f", "y"), append("d/a", "y")])
            .ours_stdout("d/ MODIFY a\n"),
        monitor("at-created-again", "-m -r -e create @d/s d")
            .does([unlink("d/s/f"), rmdir("d/s"), mkdir("d/s"), Op::Quiet, touch("d/s/x")])
            .ours_stdout("d/ CREATE,ISDIR s\n"),
        monitor("at-directory-as-entry", "-m -r -e attrib,delete @d/s d").does([
            chmod("d/s", 0o700),
            unlink("d/s/f"),
            rmdir("d/s"),
        ]),
    ]);
    cases
}

/// --exclude, --excludei, --include, --includei.
fn filters() -> Vec<Case> {
    let patterns: [&[u8]; 60] = [
        b"a",
        b"^d/a",
        b"a$",
        b"^a$",
        b"d/a$",
        b"a|b",
        b"^d/(a|b)$",
        b"[[:digit:]]",
        b"[0-9]$",
        b"\\.tmp$",
        b".tmp",
        b"a{2}",
        b"a{2,}b",
        b"a{,2}b",
        b"a{1",
        b"{",
        b"a{",
        b"}",
        b"(",
        b")",
        b"()",
        b"a||b",
        b"(|a)b",
        b"*a",
        b"a**b",
        b"a+?b",
        b"a|*b",
        b"(*b)",
        b"+",
        b"?",
        b"[]x]",
        b"[^]x]",
        b"[a\\]",
        b"[",
        b"[b-a]",
        b"[[:foo:]]",
        b"[[.a.]]",
        b"[[=a=]]",
        b"\\<n",
        b"b\\>",
        b"\\bn",
        b"\\Bn",
        b"\\w+$",
        b"\\W",
        b"\\s",
        b"\\S$",
        b"\\`d",
        b"n\\'",
        b"(a)\\1",
        b"\\1",
        b"\\d",
        b"\\{",
        b"\\\\",
        b"a\\",
        b"^",
        b"$",
        b"^*",
        b"\xff",
        b"[\xf0-\xff]",
        b"d/$",
    ];
    let entries: [&[u8]; 13] =
        [b"a1", b"aa", b"aab", b"b", b"n", b"n.tmp", b"x]", b"\\", b"A", b"{", b"n n", b"\xff", b"ab\n"];
    let made = || entries.iter().map(|name| mkdir([b"d/", *name].concat())).collect::<Vec<_>>();
    let mut cases = Vec::new();
    for (i, pattern) in (0..).zip(patterns) {
        let options: &[&str] = match i % 4 {
            0 => &["exclude", "include"],
            1 => &["exclude", "includei"],
            2 => &["exclude", "excludei"],
            _ => &["exclude"],
        };
        for option in options {
            let name = format!("regex-{i:02}-{option}-{}", pattern.escape_ascii());
            let line = format!("-m -e create --{option}");
            cases.push(monitor(name, &line).arg(pattern).arg("d").given([mkdir("d")]).does(made()).quiet());
        }
    }
    let n = || [touch("d/s/n"), touch("d/n"), mkdir("d/s/u"), chmod("d", 0o700)];
    cases.extend([
        monitor("exclude-own-path", "-m --exclude ^d/$ d").does(n()),
        monitor("exclude-own-path-plain", "-m --exclude ^d$ d").does(n()),
        monitor("include-own-path", "-m --include ^d/$|end d").does(n()),
        monitor("exclude-own-file", "-m --exclude ^d/a$ d/a d").does([append("d/a", "y"), touch("d/n")]),
        monitor("exclude-everything", "-m -r --exclude d d").does(n()).quiet(),
        monitor("exclude-tree", "-m -r --exclude ^d/s/ d").does(n()),
        monitor("exclude-directory", "-m -r -e create --exclude ^d/s$ d").does(n()),
        monitor("exclude-directory-slash-end", "-m -r -e create --exclude ^d/s/$ d").does(n()),
        monitor("exclude-i", "-m -r -e create --excludei ^D/S/N$ d").does(n()),
        monitor("include-in-subdirectory", "-m -r -e create --include n$|end d").does(n()),
        monitor("include-i", "-m -r -e create --includei N$|END d").does(n()),
        monitor("exclude-new-directory", "-m -r -e create --exclude ^d/n$ d").does([
            mkdir("d/n"),
            Op::Quiet,
            touch("d/n/x"),
        ]),
        monitor("exclude-below-new-directory", "-m -r -e create --exclude ^d/n/ d").does([
            mkdir("d/n"),
            Op::Quiet,
            touch("d/n/x"),
            mkdir("d/n/y"),
        ]),
        monitor("exclude-name-in-new-directory", "-m -r -e create --exclude x d").does([
            mkdir("d/n"),
            watched("d/n"),
            touch("d/n/x"),
            touch("d/n/y"),
        ]),
        monitor("exclude-recreated", "-m -r -e create,delete --exclude ^d/s$ d").does([
            unlink("d/s/f"),
            rmdir("d/s"),
            mkdir("d/s"),
            Op::Quiet,
            touch("d/s/x"),
        ]),
        monitor("exclude-moved-in", "-m -r -e create,move --exclude ^d/n d").also([mkdir("n")]).does([
            rename("n", "d/n"),
            Op::Quiet,
            touch("d/n/x"),
        ]),
        once("exclude-one-shot", "-e create --exclude n d").does([touch("d/n"), touch("d/m")]),
        once("include-one-shot", "-e create --include m d").does([touch("d/n"), touch("d/m")]),
        once("exclude-timeout", "-t 1 -e create --exclude n d").does([touch("d/n")]),
        monitor("include-new-directory", "-m -r -e create --include b$|end d")
            .does([mkdir("d/n"), Op::Quiet, touch("d/n/b")])
            .ours_stdout("d/n/ CREATE b\n"),
    ]);
    cases
}

/// How one event, asked for or not, ends it.
fn one_shots() -> Vec<Case> {
    let end = || touch("d/end");
    let mut cases = Vec::new();
    for r in ["", "-r "] {
        let tag = if r.is_empty() { "" } else { "-r" };
        cases.extend([
            once(format!("once{tag}-create"), &format!("{r}-e create d")).does([touch("d/n")]),
            once(format!("once{tag}-default"), &format!("{r}d")).does([touch("d/n")]),
            once(format!("once{tag}-other-event"), &format!("{r}-e create d")).does([
                unlink("d/a"),
                append("d/s/f", "y"),
                chmod("d", 0o700),
                end(),
            ]),
            once(format!("once{tag}-subdirectory-renamed"), &format!("{r}-e create d"))
                .does([rename("d/s", "d/t"), end()]),
            once(format!("once{tag}-subdirectory-moved-out"), &format!("{r}-e create d"))
                .does([rename("d/s", "t"), end()]),
            once(format!("once{tag}-root-moved"), &format!("{r}-e create d"))
                .does([rename("d", "e"), touch("e/end")]),
            once(format!("once{tag}-root-removed"), &format!("{r}-e create d"))
                .given([mkdir("d")])
                .does([rmdir("d")]),
            once(format!("once{tag}-root-removed-default"), &format!("{r}d"))
                .given([mkdir("d")])
                .does([rmdir("d")]),
            once(format!("once{tag}-root-removed-delete-self"), &format!("{r}-e delete_self d"))
                .given([mkdir("d")])
                .does([rmdir("d")]),
            once(format!("once{tag}-one-root-of-two-removed"), &format!("{r}-e create d e"))
                .also([mkdir("e")])
                .does([rmdir("e")]),
            once(format!("once{tag}-file-deleted"), &format!("{r}-e modify d/a")).does([unlink("d/a")]),
            once(format!("once{tag}-file-deleted-default"), &format!("{r}d/a")).does([unlink("d/a")]),
            once(format!("once{tag}-subdirectory-removed"), &format!("{r}-e create d"))
                .given([mkdir("d"), mkdir("d/s")])
                .does([rmdir("d/s"), end()]),
            {
                let name = format!("once{tag}-subdirectory-removed-delete");
                let case = once(name, &format!("{r}-e delete d"))
                    .given([mkdir("d"), mkdir("d/s")])
                    .does([rmdir("d/s")]);
                match r.is_empty() {
                    true => case,
                    false => case.ours_status("exit 0").ours_stdout("d/ DELETE,ISDIR s\n"),
                }
            },
            once(format!("once{tag}-subdirectory-removed-default"), &format!("{r}d"))
                .given([mkdir("d"), mkdir("d/s")])
                .does([rmdir("d/s")]),
        ]);
    }
    cases.extend([
        once("once-r-delete-self-below", "-r -e delete_self d").does([remove_tree("d/s")]),
        once("once-r-move-self-below", "-r -e move_self d")
            .does([rename("d/s", "d/t")])
            .ours_stdout("d/t/ MOVE_SELF \n"),
        once("once-r-moved-from-below", "-r -e moved_from d").does([rename("d/s/f", "d/f")]),
        once("once-r-in-subdirectory", "-r -e modify d").does([append("d/s/f", "y")]),
        once("once-r-after-rename", "-r -e modify d")
            .does([rename("d/s", "d/t"), append("d/t/f", "y")])
            .ours_stdout("d/t/ MODIFY f\n"),
        once("once-r-new-directory-other-event", "-r -e delete d").does([
            mkdir("d/n"),
            Op::Quiet,
            unlink("d/a"),
        ]),
        once("once-file-replaced", "-e modify d/a").does([touch("d/n"), rename("d/n", "d/a")]),
        once("once-file-replaced-default", "d/a").does([touch("n"), rename("n", "d/a")]),
        once("once-file-replaced-delete-self", "-e delete_self d/a").does([touch("n"), rename("n", "d/a")]),
        once("once-file-moved", "-e move_self d/a").does([rename("d/a", "d/b")]),
        once("once-file-moved-other", "-e modify d/a").does([rename("d/a", "d/b"), append("d/b", "y")]),
        once("once-file-linked-deleted", "-e delete_self d/a").does([
            link("d/a", "d/b"),
            unlink("d/a"),
            unlink("d/b"),
        ]),
        once("once-file-linked-deleted-modify", "-e modify d/a").does([
            link("d/a", "d/b"),
            unlink("d/a"),
            append("d/b", "y"),
        ]),
        once("once-unmount-file-deleted", "-e unmount d/a").does([unlink("d/a")]),
        once("once-second-operand", "-e modify d/a d/s/f").does([append("d/s/f", "y")]),
        once("once-csv", "-c d/a").does([unlink("d/a")]),
        once("once-r-new-directory", "-r -e close_write d")
            .does([mkdir("d/n"), Op::Quiet, write("d/n/f", "x"), Op::Quiet, append("d/a", "y")])
            .ours_stdout("d/n/ CLOSE_WRITE,CLOSE f\n"),
        once("timeout", "-t 1 d"),
        once("timeout-monitor", "-m -t 1 d"),
        once("timeout-quiet", "-q -t 1 d"),
        once("timeout-quieter", "-qq -t 1 d"),
        once("timeout-recursive", "-r -t 1 d"),
        once("timeout-long", "--timeout 1 --monitor d"),
        once("timeout-monitor-after-event", "-m -t 1 -e create d").does([touch("d/n")]),
        once("timeout-monitor-gone", "-m -t 1 -e modify d/a").does([unlink("d/a")]),
        once("timeout-unasked-event", "-t 1 -e create d").does([unlink("d/a")]),
        once("timeout-fraction", "-t 0.5 d").ours_status("exit 2").ours_stderr(ESTABLISHED),
        once("timeout-fraction-monitor", "-m -t .25 d").ours_status("exit 2").ours_stderr(ESTABLISHED),
    ]);
    cases
}

/// -m, files and directories that come, go and move.
fn recursion() -> Vec<Case> {
    vec![
        monitor("monitor-file-deleted", "-m d/a x")
            .also([mkdir("x")])
            .sentinel("x/.end")
            .does([unlink("d/a")]),
        monitor("monitor-file-deleted-modify", "-m -e modify d/a d/s")
            .sentinel("d/s/.end")
            .does([unlink("d/a")]),
        monitor("monitor-file-deleted-last", "-m d/a").does([unlink("d/a"), Op::WatchCount(0)]).quiet(),
        monitor("monitor-file-created-again", "-m d/a d/s").sentinel("d/s/.end").does([
            unlink("d/a"),
            Op::Quiet,
            write("d/a", "y"),
        ]),
        monitor("monitor-file-moved", "-m d/a d/s")
            .sentinel("d/s/.end")
            .does([rename("d/a", "d/b"), append("d/b", "y")]),
        monitor("monitor-file-replaced", "-m d d/a").does([touch("d/n"), rename("d/n", "d/a")]),
        monitor("monitor-file-deleted-in-directory", "-m d d/a").does([unlink("d/a")]),
        monitor("monitor-root-removed", "-m d e")
            .given([mkdir("d"), mkdir("e")])
            .sentinel("e/.end")
            .does([rmdir("d")]),
        monitor("monitor-root-removed-last", "-m d")
            .given([mkdir("d")])
            .does([rmdir("d"), Op::WatchCount(0)])
            .quiet(),
        monitor("monitor-r-root-removed", "-m -r d e")
            .also([mkdir("e")])
            .sentinel("e/.end")
            .does([remove_tree("d")]),
        monitor("monitor-r-root-removed-last", "-m -r d").does([remove_tree("d"), Op::WatchCount(0)]).quiet(),
        monitor("monitor-r-root-removed-create", "-m -r -e create d e")
            .also([mkdir("e")])
            .sentinel("e/.end")
            .does([remove_tree("d")]),
        monitor("monitor-root-moved", "-m d").does([rename("d", "e"), touch("e/n")]).sentinel("e/.end"),
        monitor("monitor-r-root-moved", "-m -r d")
            .does([rename("d", "e"), touch("e/n"), append("e/s/f", "y")])
            .sentinel("e/.end"),
        monitor("monitor-subdirectory-removed", "-m d")
            .given([mkdir("d"), mkdir("d/s")])
            .does([rmdir("d/s")]),
        monitor("monitor-r-subdirectory-removed", "-m -r d")
            .given([mkdir("d"), mkdir("d/s")])
            .does([rmdir("d/s")]),
        monitor("monitor-r-subdirectories-removed", "-m -r d")
            .given([mkdir("d"), mkdir("d/s"), mkdir("d/s/t"), touch("d/s/t/f")])
            .does([unlink("d/s/t/f"), rmdir("d/s/t"), rmdir("d/s")]),
        monitor("monitor-r-subdirectory-removed-ignored", "-m -r -e ignored,create d")
            .given([mkdir("d"), mkdir("d/s"), mkdir("d/s/t")])
            .does([rmdir("d/s/t"), rmdir("d/s")]),
        monitor("monitor-r-renamed", "-m -r d").does([rename("d/s", "d/t"), append("d/t/f", "y")]),
        monitor("monitor-r-renamed-modify", "-m -r -e modify d")
            .does([rename("d/s", "d/t"), append("d/t/f", "y")]),
        monitor("monitor-r-renamed-move-self", "-m -r -e move_self,create d").does([rename("d/s", "d/t")]),
        monitor("monitor-r-renamed-twice", "-m -r -e modify,move d").does([
            rename("d/s", "d/t"),
            rename("d/t", "d/u"),
            append("d/u/f", "y"),
        ]),
        monitor("monitor-r-renamed-back", "-m -r -e modify,move d").does([
            rename("d/s", "d/t"),
            append("d/t/f", "y"),
            rename("d/t", "d/s"),
            append("d/s/f", "y"),
        ]),
        monitor("monitor-r-renamed-with-subtree", "-m -r -e modify,create d")
            .also([mkdir("d/s/u"), mkdir("d/s/u/v")])
            .does([rename("d/s", "d/t"), touch("d/t/u/f"), touch("d/t/u/v/g")]),
        monitor("monitor-r-moved-down", "-m -r -e move,create d")
            .also([mkdir("d/t")])
            .does([rename("d/s", "d/t/s"), touch("d/t/s/n")]),
        monitor("monitor-r-moved-up", "-m -r -e move,create d")
            .also([mkdir("d/s/u")])
            .does([rename("d/s/u", "d/u"), touch("d/u/n")]),
        monitor("monitor-r-moved-between-roots", "-m -r -e move,create d e")
            .also([mkdir("e")])
            .does([rename("d/s", "e/s"), touch("e/s/n")]),
        monitor("monitor-r-moved-out", "-m -r d").does([rename("d/s", "t"), Op::Quiet, touch("t/n")]),
        monitor("monitor-r-moved-out-modify", "-m -r -e modify,create d")
            .does([rename("d/s", "t"), Op::Quiet, touch("t/n")])
            .ours_stdout(""),
        monitor("monitor-r-excluded-rename", "-m -r -e move,move_self --exclude hidden d")
            .does([rename("d/s", "d/hidden"), Op::Quiet])
            .ours_stdout("d/ MOVED_FROM,ISDIR s\n"),
        monitor("monitor-r-included-rename", "-m -r -e move,move_self,create --include new|end d")
            .does([rename("d/s", "d/new"), Op::Quiet, touch("d/new/n")])
            .ours_stdout("d/ MOVED_TO,ISDIR new\nd/new/ MOVE_SELF \nd/new/ CREATE n\n"),
        monitor("monitor-r-unreported-rename", "-m -r -e move,move_self,create --exclude /[a-z][^/]*$ d")
            .does([rename("d/s", "d/t"), Op::Quiet, mkdir("d/t/1"), Op::Quiet])
            .ours_stdout("d/t/ MOVE_SELF \nd/t/ CREATE,ISDIR 1\n"),
        monitor("monitor-r-moved-in", "-m -r -e move,create d")
            .also([mkdir("t"), mkdir("t/u"), touch("t/f")])
            .does([rename("t", "d/t"), watched("d/t/u"), touch("d/t/n"), touch("d/t/u/n")]),
        monitor("monitor-r-moved-in-over", "-m -r -e move,create d").also([mkdir("t"), mkdir("d/e")]).does([
            rename("t", "d/e"),
            watched("d/e"),
            touch("d/e/n"),
        ]),
        monitor("monitor-r-exchanged-files", "-m -r d")
            .also([touch("d/b")])
            .does([exchange("d/a", "d/b"), append("d/b", "y")]),
        monitor("monitor-exchanged-with-outside", "-m d")
            .also([touch("b")])
            .does([exchange("d/a", "b"), append("d/a", "y")]),
        monitor("monitor-moves-within", "-m -e move d").does([
            rename("d/a", "d/b"),
            rename("d/b", "out"),
            rename("out", "d/c"),
        ]),
        monitor("monitor-moves-between", "-m -e move d d/s").does([
            rename("d/a", "d/s/a"),
            rename("d/s/a", "out"),
            rename("out", "d/b"),
        ]),
        monitor("monitor-renamed-over", "-m d").also([touch("d/b")]).does([rename("d/b", "d/a")]),
        monitor("monitor-directory-chmod", "-m -r d").does([chmod("d/s", 0o700), utime("d/s")]),
        monitor("monitor-many-files", "-m -e create d").does((0..500).map(|i| touch(format!("d/{i}")))),
        monitor("monitor-many-directories", "-m -r -e create d")
            .also((0..200).map(|i| mkdir(format!("d/m{i}"))))
            .does((0..200).map(|i| touch(format!("d/m{i}/f")))),
        monitor("monitor-r-new", "-m -r -e create,modify,delete d").does([
            mkdir("d/n"),
            watched("d/n"),
            write("d/n/f", "x"),
            unlink("d/n/f"),
        ]),
        monitor("monitor-r-new-in-new", "-m -r -e create,delete,delete_self d").does([
            mkdir("d/n"),
            watched("d/n"),
            mkdir("d/n/m"),
            watched("d/n/m"),
            touch("d/n/m/f"),
            unlink("d/n/m/f"),
            rmdir("d/n/m"),
            rmdir("d/n"),
        ]),
        monitor("monitor-r-new-renamed", "-m -r -e create,move d").does([
            mkdir("d/n"),
            watched("d/n"),
            rename("d/n", "d/m"),
            touch("d/m/f"),
        ]),
        monitor("monitor-r-created-again", "-m -r -e create d").does([
            unlink("d/s/f"),
            rmdir("d/s"),
            mkdir("d/s"),
            watched("d/s"),
            touch("d/s/n"),
        ]),
        monitor("monitor-r-new-unasked-create", "-m -r -e modify d").does([
            mkdir("d/n"),
            Op::Quiet,
            write("d/n/f", "x"),
            append("d/a", "y"),
        ]),
        monitor("monitor-not-r-new", "-m -e create d").does([mkdir("d/n"), Op::Quiet, touch("d/n/f")]),
        monitor("walk-new-directory", "-m -r -e open,access,close,create d").does([
            mkdir("d/n"),
            watched("d/n"),
            Op::Quiet,
        ]),
        monitor("walk-new-directory-default", "-m -r d").does([
            mkdir("d/n"),
            watched("d/n"),
            Op::Quiet,
            chmod("d/n", 0o700),
        ]),
        monitor("walk-moved-in", "-m -r -e open,access,close,moved_to d")
            .also([mkdir("o"), mkdir("o/sub")])
            .does([rename("o", "d/n"), watched("d/n/sub"), Op::Quiet]),
        monitor("walk-second-operand", "-m -r -e open,access,close d d/s").ours_stdout(""),
        monitor("unreadable-subdirectory", "-m -r -e create d")
            .nobody()
            .also([mkdir("d/u"), mkdir("d/u/x"), mkdir("d/v"), chmod("d/v", 0o777), chmod("d/u", 0)])
            .also([chmod("d", 0o777)])
            .does([touch("d/v/n")])
            .ours_stderr_has("d/u"),
        monitor("unreadable-subdirectory-quiet", "-q -m -r -e create d")
            .nobody()
            .probe("d/.ready")
            .also([mkdir("d/u"), mkdir("d/v"), chmod("d/v", 0o777), chmod("d/u", 0), chmod("d", 0o777)])
            .does([touch("d/v/n")]),
        monitor("unreadable-new-directory", "-m -r -e create d")
            .nobody()
            .also([chmod("d", 0o777)])
            .does([mkdir_closed("d/n"), until(1, "ISDIR n")]),
        monitor("unreadable-new-directory-quiet", "-q -m -r -e create d")
            .nobody()
            .probe("d/.ready")
            .also([chmod("d", 0o777)])
            .does([mkdir_closed("d/n"), until(1, "ISDIR n")]),
        once("unreadable-root", "d").nobody().also([chmod("d", 0)]),
        once("unreadable-root-recursive", "-r d").nobody().also([chmod("d", 0)]),
        once("unreadable-file", "d/a").nobody().also([chmod("d/a", 0)]),
        once("unreadable-parent", "d/a").nobody().also([chmod("d", 0)]),
        once("unreadable-outfile", "-o out d")
            .nobody()
            .also([touch("out"), chmod("out", 0)])
            .ours_stderr("Failed to open output file out\nout: Permission denied\n"),
    ]
}

/// File systems that are unmounted under the watch.
fn mounts() -> Vec<Case> {
    let mut cases = vec![
        once("mount-unmount", "-e unmount d").does([umount("d")]),
        once("mount-default", "d").does([umount("d")]),
        once("mount-create", "-e create d").does([umount("d")]),
        once("mount-quiet-format", "-e unmount --format %w:%e:%f d").does([umount("d")]),
        once("mount-below-r", "-r -e create .").does([umount("d")]),
        once("mount-below-r-unmount", "-r -e unmount .").does([umount("d")]),
        monitor("mount-monitor", "-m -e unmount d x").does([umount("d"), Op::WatchCount(1)]).quiet(),
        monitor("mount-monitor-default", "-m d x").does([umount("d"), Op::WatchCount(1)]).quiet(),
        monitor("mount-monitor-ignored", "-m -e unmount,ignored d x")
            .does([umount("d"), Op::WatchCount(1)])
            .quiet(),
        monitor("mount-monitor-r", "-m -r -e unmount,create .")
            .does([umount("d"), Op::Quiet])
            .sentinel(".end"),
        monitor("mount-file", "-m -e unmount d/f x").does([umount("d"), Op::WatchCount(1)]).quiet(),
        monitor("mount-events-inside", "-m -e create,unmount d")
            .does([touch("d/n"), umount("d")])
            .does([Op::WatchCount(0)])
            .quiet(),
        count("mount-table-unmount", "-e unmount d")
            .does([umount("d"), Op::WatchCount(0)])
            .ours_stdout("total  unmount  filename\n1      1        d/\n"),
        count("mount-table-both", "-e unmount,create d")
            .does([touch("d/n"), umount("d"), Op::WatchCount(0)])
            .ours_stdout("total  create  unmount  filename\n2      1       1        d/\n"),
        count("mount-table-default", "d")
            .does([umount("d"), Op::WatchCount(0)])
            .ours_stdout("")
            .ours_stderr(&format!("{COLLECTING}No events occurred.\n")),
    ]
    .into_iter()
    .map(Case::mounts)
    .collect::<Vec<_>>();
    for case in &mut cases {
        case.setup.extend([touch("d/f"), mkdir("x")]);
    }
    cases
}

/// Signals and closed readers.
fn ends() -> Vec<Case> {
    let mut cases: Vec<Case> =
        [("hup", SIGHUP), ("int", SIGINT), ("usr1", SIGUSR1), ("pipe", 13), ("quit", 3)]
            .map(|(name, signal)| {
                monitor(format!("signal-{name}"), "-m d").does([touch("d/n")]).signal(signal)
            })
            .into();
    cases.extend([
        once("signal-term-one-shot", "d").quiet(),
        once("signal-int-one-shot", "-r d").quiet().signal(SIGINT),
        monitor("signal-ignored", "-m -e create d").shell("trap '' INT HUP; exec \"$@\"").does([
            Op::Signal(SIGINT),
            Op::Signal(SIGHUP),
            touch("d/n"),
        ]),
        monitor("signal-ignored-term", "-m -e create d")
            .shell("trap '' TERM; exec \"$@\"")
            .does([Op::Signal(SIGTERM), touch("d/n")])
            .signal(SIGINT),
        monitor("signal-kill", "-m d").does([touch("d/n")]).signal(9),
        once("reader-closed", "-m d").does([Op::CloseReader, touch("d/n")]),
        once("reader-closed-one-shot", "d").does([Op::CloseReader, touch("d/n")]),
        once("reader-closed-ignored", "d")
            .shell("trap '' PIPE; exec \"$@\"")
            .does([Op::CloseReader, mkdir("d/n")])
            .ours_status("signal 13"),
        once("reader-closed-unused", "-m -o out -t 1 -e create d")
            .does([Op::CloseReader, touch("d/n")])
            .outfile("out"),
        once("reader-closed-quieter", "-m -qq -t 1 d").does([Op::CloseReader]).ends(End::Exit),
        once("reader-closed-idle", "-m d")
            .does([Op::CloseReader])
            .quiet()
            .ours_ends(End::Exit)
            .ours_status("signal 13"),
        once("write-fails", "-e create d")
            .shell("exec \"$@\" >/dev/full")
            .does([touch("d/n")])
            .ours_status("exit 1")
            .ours_stderr_has("No space left on device"),
    ]);
    cases
}

/// --outfile, --syslog, --daemon.
fn outputs() -> Vec<Case> {
    vec![
        monitor("outfile-new", "-m -o out d").outfile("out").does([touch("d/n")]),
        monitor("outfile-long", "-m --outfile=out d").outfile("out").does([touch("d/n")]),
        monitor("outfile-appends", "-m -o out -e create d")
            .outfile("out")
            .also([write("out", "before\n"), chmod("out", 0o644)])
            .does([touch("d/n")]),
        monitor("outfile-absolute", "-m -o {DIR}/out -e create d").outfile("out").does([touch("d/n")]),
        once("outfile-one-shot", "-o out -e create d").outfile("out").does([touch("d/n")]),
        once("outfile-quieter", "-o out -qq -t 1 d").outfile("out"),
        once("outfile-format", "-o out -e create --format %w%f --timefmt x d")
            .outfile("out")
            .does([touch("d/n")]),
        once("outfile-timeout", "-o out -t 1 d").outfile("out"),
        once("outfile-error-after-open", "-o out nowhere").outfile("out"),
        monitor("outfile-inside", "-m -o d/out -e modify,create d")
            .outfile("d/out")
            .also([touch("d/out"), chmod("d/out", 0o600)])
            .does([mkdir("d/n")])
            .ours_outfile("d/ CREATE,ISDIR n\n"),
        once("syslog-error", "-s nowhere").syslog(),
        once("syslog-error-quiet", "--syslog -q nowhere").syslog(),
        once("syslog-established", "-s -t 1 d").syslog(),
        once("syslog-established-recursive", "-s -r -t 1 d").syslog(),
        once("syslog-quiet", "-s -q -t 1 d").syslog(),
        once("syslog-usage-error", "-s -t x d").syslog(),
        monitor("syslog-unreadable-new", "-s -m -r -e create d")
            .nobody()
            .probe("d/.ready")
            .also([chmod("d", 0o777)])
            .does([mkdir_closed("d/n"), until(1, "ISDIR n")]),
        monitor("daemon", "-d -o {DIR}/out -e create,delete {DIR}/d")
            .daemon()
            .outfile("out")
            .probe("d/.ready")
            .also([touch("out")])
            .does([touch("d/n"), unlink("d/n")]),
        monitor("daemon-recursive", "--daemon -r --outfile {DIR}/out {DIR}/d")
            .daemon()
            .outfile("out")
            .probe("d/.ready")
            .also([touch("out")])
            .does([append("d/s/f", "y")]),
        monitor("daemon-syslog", "-d -o {DIR}/out -e create,delete {DIR}/d")
            .daemon()
            .outfile("out")
            .syslog()
            .probe("d/.ready")
            .also([touch("out")])
            .does([touch("d/n")]),
        monitor("daemon-int", "-d -o {DIR}/out -e create {DIR}/d")
            .daemon()
            .outfile("out")
            .probe("d/.ready")
            .also([touch("out")])
            .does([touch("d/n")])
            .signal(SIGINT),
        once("daemon-usage-error", "-d -o out -t x d"),
        monitor("daemon-relative", "-d -o out -e create,delete d")
            .daemon()
            .outfile("out")
            .probe("d/.ready")
            .also([touch("out")])
            .does([touch("d/n")])
            .ours_outfile("d/ CREATE n\n"),
        monitor("daemon-outfile-missing", "-d -o {DIR}/out -e create,delete {DIR}/d")
            .daemon()
            .outfile("out")
            .probe("d/.ready")
            .does([touch("d/n")])
            .ours_status("exit 0")
            .ours_stderr("")
            .ours_outfile("{DIR}/d/ CREATE n\n"),
        monitor("daemon-nowhere", "-d -o {DIR}/out {DIR}/nowhere")
            .daemon()
            .also([touch("out")])
            .ours_status("exit 1")
            .ours_stderr_has("Couldn't watch {DIR}/nowhere: No such file or directory\n"),
        once("daemon-outfile-nowhere", "-d -o nowhere/out d")
            .ours_stderr("Failed to open output file nowhere/out\nnowhere/out: No such file or directory\n"),
    ]
}

/// A key that the reference takes and then, with rows to compare, dies of.
fn key_refused(name: &str, line: &str) -> Case {
    let key = line.split(' ').nth(1).unwrap_or_default();
    let message = match key {
        "close" => "Cannot sort by `close' event; please use `close_write' or `close_nowrite'.\n".into(),
        "move" => "Cannot sort by `move' event; please use `moved_from' or `moved_to'.\n".into(),
        _ => format!("'{key}' is not a valid key for sorting!\n"),
    };
    count(name, line).ours_ends(End::Exit).ours_status("exit 1").ours_stderr(&message)
}

/// The table of the sorting cases by a column of zeros: the rows stay in the order given.
const BY_ACCESS: &str = "\
total  access  modify  attrib  close_write  close_nowrite  open  moved_from  moved_to  move_self  create  delete  delete_self  filename\n\
2      0       0       1       0            0              0     0           0         0          1       0       0            c/\n\
3      0       0       0       0            0              0     0           0         0          2       1       0            b/\n\
4      0       0       0       1            0              1     0           0         0          1       1       0            a/\n\
";

/// inotifywatch's tables.
fn tables() -> Vec<Case> {
    let some = || {
        [
            write("d/b", "yy"),
            read("d/b"),
            chmod("d/b", 0o600),
            append("d/s/f", "z"),
            rename("d/b", "d/c"),
            unlink("d/c"),
            mkdir("d/e"),
            rmdir("d/e"),
        ]
    };
    let lines = [
        ("table-default", "d"),
        ("table-zero", "-z d"),
        ("table-zero-long", "--zero d d/s"),
        ("table-verbose", "-v d"),
        ("table-verbose-two", "-v d d/s d/a"),
        ("table-verbose-twice", "-v d d/"),
        ("table-file", "d/a"),
        ("table-files", "-z d/a d/s/f"),
        ("table-events", "-e create,delete d"),
        ("table-events-order", "-e delete -e create -e attrib d"),
        ("table-events-zero", "-z -e delete,create,unmount d"),
        ("table-events-close-move", "-z -e close,move d"),
        ("table-events-all", "-z -e all_events d"),
        ("table-events-empty-item", "-z -e create, d"),
        ("table-events-none", "-e unmount d"),
        ("table-events-isdir", "-e isdir d"),
        ("table-events-isdir-recursive", "-r -e isdir d"),
        ("table-events-odd-zero", "-z -e q_overflow,ignored d"),
        ("table-events-isdir-create", "-z -e isdir,create d"),
        ("table-ascending", "-a modify d d/s d/a"),
        ("table-descending", "-d modify d d/s d/a"),
        ("table-ascending-total", "-a total d d/s d/a"),
        ("table-ascending-case", "-a TOTAL d d/s d/a"),
        ("table-exclude", "--exclude b$ d"),
        ("table-exclude-all", "--exclude d/ d"),
        ("table-excludei", "--excludei B$ d"),
        ("table-include", "--include b$ d"),
        ("table-includei", "--includei B$ d"),
        ("table-no-dereference", "-P d"),
        ("table-inotify", "-I d"),
        ("table-slash", "d/"),
        ("table-dot", "./d"),
        ("table-abbreviated", "--verb --zer --no-deref d"),
        ("table-abbreviated-v", "--v --z --e create d"),
        ("table-cluster", "-vzecreate d"),
        ("table-option-after", "d -z"),
        ("table-timeout-zero", "-v -t 0 d"),
        ("table-dashes", "-- d"),
        ("table-fromfile-missing", "--fromfile nowhere d"),
        ("table-exclude-twice", "--exclude x --exclude b$ d"),
        ("table-total-key", "-d total -e create,delete d d/s"),
    ];
    let mut cases: Vec<Case> = lines.map(|(name, line)| count(name, line).does(some())).into();
    let three = || [mkdir("c"), mkdir("b"), mkdir("a")];
    let uneven = || {
        [
            touch("a/1"),
            mkdir("b/1"),
            mkdir("b/2"),
            mkdir("c/1"),
            rmdir("b/1"),
            unlink("a/1"),
            chmod("c", 0o700),
        ]
    };
    let keys = [
        "total",
        "access",
        "modify",
        "attrib",
        "close_write",
        "close_nowrite",
        "open",
        "moved_to",
        "moved_from",
        "move_self",
        "create",
        "delete",
        "delete_self",
    ];
    for key in keys {
        for (way, option) in [("ascending", "-a"), ("descending", "-d")] {
            let name = format!("sort-{way}-{key}");
            let case = count(name, &format!("-z {option} {key} c b a")).given(three()).does(uneven());
            // Nothing was read: all three are alike, and stay in the order given.
            cases.push(match (key, way) {
                ("access", "descending") => case.ours_stdout(BY_ACCESS),
                _ => case,
            });
        }
    }
    cases.extend([
        count("sort-ties", "c b a").given(three()).does([mkdir("a/1"), mkdir("b/1"), mkdir("c/1")]),
        count("sort-ties-ascending", "-a create b c a").given(three()).does([
            mkdir("a/1"),
            mkdir("b/1"),
            mkdir("c/1"),
        ]),
        count("sort-ties-descending", "--descending create b a c").given(three()).does([
            mkdir("a/1"),
            mkdir("b/1"),
            mkdir("c/1"),
        ]),
        count("sort-default", "a b c").given(three()).does(uneven()),
        count("sort-empty-key", "-a").arg("").arg("a").arg("b").arg("c").given(three()).does(uneven()),
        key_refused("sort-key-list", "-a create,delete a b c").given(three()).does(uneven()),
        key_refused("sort-key-all", "-d all_events a b c").given(three()).does(uneven()),
        key_refused("sort-key-close", "-d close a b c").given(three()).does(uneven()),
        key_refused("sort-key-move", "-d move a b c").given(three()).does(uneven()),
        count("table-verbose-two-spellings", "-v d ./d")
            .does(some())
            .ours_stderr(&COLLECTING.replace("...\n", "...\nTotal of 1 watches.\n")),
        count("sort-unmount-asked", "-z -e unmount,create -d unmount a b").given(three()).does(uneven()),
        count("table-none", "d"),
        count("table-none-zero", "-z -r d"),
        count("table-none-term", "d").signal(SIGTERM),
        count("table-none-hup", "d").signal(SIGHUP),
        count("table-term", "d").does(some()).signal(SIGTERM),
        count("table-hup", "d").does(some()).signal(SIGHUP),
        count("table-killed", "d").does(some()).signal(12),
        count("table-usr1", "d").does([
            touch("d/n"),
            Op::Quiet,
            Op::Signal(SIGUSR1),
            Op::Quiet,
            chmod("d/n", 0o600),
            Op::Quiet,
            Op::Signal(SIGUSR1),
            Op::Quiet,
        ]),
        // The reference says that it collects statistics before it handles the signal.
        count("table-usr1-none", "d").does([Op::Quiet, Op::Signal(SIGUSR1), Op::Quiet, touch("d/n")]),
        count_once("table-timeout", "-t 1 d").does(some()),
        count_once("table-timeout-verbose", "-v -t 1 d").does(some()),
        count_once("table-timeout-long", "--timeout=1 d").does(some()),
        count_once("table-timeout-none", "-t 1 d"),
        count_once("table-timeout-fraction", "-t 0.5 d")
            .ours_status("exit 0")
            .ours_stderr(&format!("{COLLECTING}No events occurred.\n")),
        count("table-recursive", "-r d").does([append("d/s/f", "z"), touch("d/s/n")]),
        count("table-recursive-verbose", "-r -v d d/a").does([append("d/s/f", "z"), chmod("d/a", 0o600)]),
        count("table-recursive-zero", "-r -z -e create,modify d").does([append("d/s/f", "z")]),
        count("table-recursive-at", "-r -v @d/s d").does([append("d/s/f", "z"), append("d/a", "z")]),
        count("table-recursive-new", "-r -e create d").does([
            mkdir("d/n"),
            watched("d/n"),
            touch("d/n/f"),
            touch("d/n/g"),
        ]),
        count("table-recursive-new-zero", "-r -z -e create,moved_to d")
            .also([mkdir("o"), mkdir("o/p")])
            // Before `n` is known to be empty, `q` could come from it, and what is in it be news.
            .does([mkdir("d/n"), watched("d/n"), Op::Quiet])
            .does([rename("o", "d/q"), watched("d/q"), watched("d/q/p"), Op::Quiet])
            .does([touch("d/n/f"), touch("d/n/g"), touch("d/n/h")]),
        count("table-recursive-new-unasked", "-r -e modify d")
            .does([mkdir("d/n"), Op::Quiet, write("d/n/f", "x"), append("d/a", "x")])
            .ours_stdout_has("d/n/\n"),
        count("table-recursive-renamed", "-r -e create,move d").does([
            rename("d/s", "d/t"),
            touch("d/t/n"),
            touch("d/t/m"),
            touch("d/t/o"),
        ]),
        count("table-root-moved", "-r -e create,move d").does([rename("d", "e"), touch("e/n")]),
        count("table-moved-file", "d/a").does([rename("d/a", "d/b"), append("d/b", "y")]),
        count("table-hard-links", "-e modify d/a l").also([link("d/a", "l")]).does([
            append("l", "x"),
            Op::Quiet,
            append("d/a", "y"),
        ]),
        count("table-link", "-e create l d").also([ln_s("d", "l")]).does([touch("d/n")]),
        count("table-link-no-dereference", "-P l d/s")
            .also([ln_s("d", "l")])
            .does([touch("d/n"), rename("l", "k")]),
        count("table-removed-file", "d/a")
            .does([unlink("d/a"), Op::WatchCount(0)])
            .ours_stdout("total  attrib  delete_self  filename\n2      1       1            d/a\n"),
        count("table-removed-directory", "-e delete_self d")
            .given([mkdir("d")])
            .does([rmdir("d"), Op::WatchCount(0)])
            .ours_stdout("total  delete_self  filename\n1      1            d/\n"),
        count("table-removed-below", "-r -e create,delete d")
            .given([mkdir("d"), mkdir("d/s")])
            .does([touch("d/s/n"), unlink("d/s/n"), rmdir("d/s"), Op::WatchCount(1)])
            .ours_stdout(
                "total  create  delete  filename\n2      1       1       d/s/\n1      0       1       d/\n",
            ),
        count("table-moved-out-below", "-r -e create,moved_from,move_self d")
            .does([touch("d/s/n"), rename("d/s", "t"), Op::Quiet])
            .ours_stdout(
                "total  moved_from  move_self  create  filename\n\
                 2      0           1          1       d/s/\n\
                 1      1           0          0       d/\n",
            ),
        count("table-created-again", "-r -e create,delete d")
            .does([
                mkdir("d/n"),
                Op::Quiet,
                mkdir("d/n/a"),
                Op::Quiet,
                rmdir("d/n/a"),
                rmdir("d/n"),
                Op::Quiet,
                mkdir("d/n"),
                Op::Quiet,
                mkdir("d/n/a"),
                Op::Quiet,
            ])
            .ours_stdout(
                "total  create  delete  filename\n3      2       1       d/\n3      2       1       d/n/\n",
            ),
        count("table-odd-names", "-e create --")
            .arg("a b")
            .arg("n\nl")
            .arg(b"\xff")
            .arg("-x")
            .arg("\"q\",")
            .given([mkdir("a b"), mkdir("n\nl"), mkdir(b"\xff"), mkdir("-x"), mkdir("\"q\",")])
            .does([mkdir("a b/1"), mkdir("n\nl/1"), mkdir(b"\xff/1"), mkdir("-x/1"), mkdir("\"q\",/1")]),
        count("table-long-name", "-e create")
            .arg("n".repeat(255))
            .given([mkdir("n".repeat(255))])
            .does([mkdir("n".repeat(255) + "/1")]),
        count("table-many", "-e open,close_nowrite d d/s")
            .does([Op::OpenClose(b"d/a".to_vec(), 12_000), Op::OpenClose(b"d/s/f".to_vec(), 1)]),
        count("table-signal-ignored", "d").shell("trap '' INT HUP; exec \"$@\"").does(some()),
        count("table-unreadable-subdirectory", "-r -v d")
            .nobody()
            .also([mkdir("d/u"), chmod("d/u", 0), mkdir("d/v"), chmod("d/v", 0o777)])
            .does([touch("d/v/n")])
            .ours_stderr_has("d/u"),
        count("table-fromfile", "--fromfile list d/s")
            .also([write("list", "d\n\n@x\n")])
            .does([mkdir("d/s/n"), mkdir("d/n")]),
        count("table-fromfile-stdin", "--fromfile -").stdin(b"d\nd/s\n").does([mkdir("d/s/n"), mkdir("d/n")]),
    ]);
    cases
}

/// inotifywatch's refusals.
fn table_usage() -> Vec<Case> {
    let lines = [
        ("table-usage-none", ""),
        ("table-usage-nowhere", "nowhere"),
        ("table-usage-nowhere-verbose", "-v nowhere d"),
        ("table-usage-nowhere-recursive", "-v -r d nowhere"),
        ("table-usage-q", "-q d"),
        ("table-usage-m", "-m d"),
        ("table-usage-f", "-f d"),
        ("table-usage-long", "--monitor d"),
        ("table-usage-ambiguous", "--ex a d"),
        ("table-usage-ambiguous-f", "--f d"),
        ("table-usage-abbreviated-filesystem", "--fi"),
        ("table-usage-flag-value", "--zero=1 d"),
        ("table-usage-missing", "d -a"),
        ("table-usage-missing-long", "d --descending"),
        ("table-usage-timeout", "-t x d"),
        ("table-usage-timeout-huge", "-t 99999999999999999999 d"),
        ("table-usage-event", "-e foo d"),
        ("table-usage-key", "-a foo d"),
        ("table-usage-key-descending", "-d foo d"),
        ("table-usage-key-close", "-a close d"),
        ("table-usage-key-move", "-a move d"),
        ("table-usage-key-unwatched", "-e create -a modify d"),
        ("table-usage-key-unmount", "-a unmount d"),
        ("table-usage-key-isdir", "-a isdir d"),
        ("table-usage-key-ignored", "-d ignored d"),
        ("table-usage-key-q-overflow", "-a q_overflow d"),
        ("table-usage-key-total-and-foo", "-a total,foo d"),
        ("table-usage-two-keys", "-a create -d delete d"),
        ("table-usage-two-keys-same", "-a create -a create d"),
        ("table-usage-exclude", "--exclude ( d"),
        ("table-usage-include", "--include [ d"),
        ("table-usage-exclude-excludei", "--exclude a --excludei b d"),
        ("table-usage-exclude-include", "--exclude a --include b d"),
        ("table-usage-two-fromfiles", "--fromfile a --fromfile b d"),
        ("table-usage-first-error-wins", "-a foo -t x"),
    ];
    let mut cases: Vec<Case> = lines.map(|(name, line)| count_once(name, line)).into();
    cases.extend([
        count_once("table-usage-timeout-empty", "-t").arg("").arg("d"),
        helps(count_once("help-table", "-h")),
        helps(count_once("help-table-long", "--help")),
        count_once("table-unreadable", "d").nobody().also([chmod("d", 0)]),
        count_once("new-table-limits", "--limits")
            .ours_status("exit 0")
            .ours_stdout_has("max_user_watches ")
            .ours_stderr(""),
        count_once("new-table-interval", "--interval 60 --top 1 -t 0.05 d")
            .ours_status("exit 0")
            .ours_stderr_has("No events occurred.\n"),
        count_once("new-table-json", "--json -t 0.05 d")
            .ours_status("exit 0")
            .ours_stderr_has("No events occurred.\n"),
        count_once("new-table-version", "--version")
            .ours_status("exit 0")
            .ours_stdout_has("inotifywatch 5.")
            .ours_stderr(""),
    ]);
    cases
}
