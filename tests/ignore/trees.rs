//! Random trees: directories are made, renamed and removed, `.gitignore` files are written, renamed and deleted, repositories appear
//! and go. At the end of each round the directories that git does not ignore are watched and no others, and what is created there is
//! reported and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::common::{
    Running, as_nobody, flood, inotifywait, is_root, need, need_root, run, tempdir, wait_until,
};
use crate::patterns::{git, ignored};

const NAMES: &[&str] = &["a", "b", "c", "gen"];

const LINES: &[&str] = &[
    "a", "b/", "/a", "/b/", "*/c", "gen/", "!a", "!b/", "a/b", "**/gen", "c/*", "!c/a", "/b/**", "!/b/a",
    "*", "!*/", "/*", "!/c", "f*", "!fp1*", "a/**/c", "[", "# a", "",
];

/// Random numbers (an LCG of 64 bits, its upper half).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// All directories below one, itself included, without those named .git.
fn directories(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_path_buf()];
    let mut at = 0;
    while at < found.len() {
        for entry in fs::read_dir(&found[at]).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() && entry.file_name() != ".git" {
                found.push(entry.path());
            }
        }
        at += 1;
    }
    found
}

/// Those that git does not ignore, with the root of the repository of each.
fn not_ignored(top: &Path, root: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    let mut level = vec![(top.to_path_buf(), root.to_path_buf())];
    while !level.is_empty() {
        let roots: BTreeSet<PathBuf> = level.iter().map(|(_, root)| root.clone()).collect();
        let mut next = Vec::new();
        for root in roots {
            let here = level.iter().filter(|(_, other)| *other == root);
            let below: Vec<PathBuf> = here
                .flat_map(|(path, _)| fs::read_dir(path).unwrap().flatten())
                .filter(|entry| entry.file_type().unwrap().is_dir() && entry.file_name() != ".git")
                .map(|entry| entry.path())
                .collect();
            for path in unignored(&root, below) {
                let own = if path.join(".git").exists() { path.clone() } else { root.clone() };
                next.push((path, own));
            }
        }
        found.append(&mut level);
        level = next;
    }
    found
}

/// Those of the paths in a repository that git does not ignore.
fn unignored(root: &Path, paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let relative = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().as_bytes().to_vec();
    let asked: Vec<(Vec<u8>, bool)> = paths.iter().map(|path| (relative(path), true)).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let ignored = ignored(root, &asked);
    paths.into_iter().filter(|path| !ignored.contains(&relative(path))).collect()
}

/// The inodes that inotify watches.
fn watched(run: &Running) -> BTreeSet<u64> {
    let infos = fs::read_dir(format!("/proc/{}/fdinfo", run.pid())).unwrap().flatten();
    let texts = infos.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let inode = |line: &str| u64::from_str_radix(line.split_once(" ino:")?.1.split(' ').next()?, 16).ok();
    texts.flat_map(|text| text.lines().filter_map(inode).collect::<Vec<_>>()).collect()
}

struct Story {
    random: Random,
    top: PathBuf,
    root: PathBuf,
    told: Vec<String>,
}

impl Story {
    fn step(&mut self) {
        let all = directories(&self.top);
        let (at, to) = (self.random.of(&all).clone(), self.random.of(&all).clone());
        let name = *self.random.of(NAMES);
        let told = match self.random.below(14) {
            0..=3 => {
                let _ = fs::create_dir(at.join(name));
                format!("mkdir {}", at.join(name).display())
            }
            4..=6 if at != self.top => {
                let to = to.join(name);
                let result = fs::rename(&at, &to);
                format!("rename {} {}: {result:?}", at.display(), to.display())
            }
            7 if at != self.top && self.random.below(2) == 0 => {
                fs::remove_dir_all(&at).unwrap();
                format!("rm -r {}", at.display())
            }
            8 | 9 => {
                let lines: Vec<&str> = (0..=self.random.below(3)).map(|_| *self.random.of(LINES)).collect();
                fs::write(at.join(".gitignore"), lines.join("\n")).unwrap();
                format!("{}/.gitignore: {lines:?}", at.display())
            }
            10 => {
                let _ = fs::remove_file(at.join(".gitignore"));
                format!("rm {}/.gitignore", at.display())
            }
            11 => {
                let result = fs::rename(at.join(".gitignore"), to.join(".gitignore"));
                format!("rename {}/.gitignore {}: {result:?}", at.display(), to.display())
            }
            12 if at != self.top => {
                let own = at.join(".git");
                if own.exists() {
                    fs::remove_dir_all(own).unwrap();
                } else {
                    git(&at, &["init", "-q"]);
                }
                format!("git {}", at.display())
            }
            _ => {
                // Without a CLOSE_WRITE.
                let line = *self.random.of(LINES);
                let elsewhere = self.root.join(".git/line");
                fs::write(&elsewhere, line).unwrap();
                let result = fs::hard_link(&elsewhere, at.join(".gitignore"));
                fs::remove_file(elsewhere).unwrap();
                format!("link {}/.gitignore: {line:?} {result:?}", at.display())
            }
        };
        self.told.push(told);
    }

    fn fail(&self, run: &mut Running, why: &str) -> ! {
        let (_, files) = run_find(&self.top);
        run.fail(&format!("{why}\n{}\n{files}", self.told.join("\n")))
    }

    /// A file is made in each directory: the lines that are to be printed.
    fn probe(&self, round: usize, prefix: &Path) -> BTreeSet<String> {
        let name = format!("fp{round}");
        let all = directories(&self.top);
        let reported: BTreeSet<String> = not_ignored(&self.top, &self.root)
            .into_iter()
            .flat_map(|(path, root)| {
                fs::write(path.join(&name), "").unwrap();
                unignored(&root, vec![path.join(&name)])
            })
            .map(|file| {
                let below = file.parent().unwrap().strip_prefix(&self.top).unwrap();
                let below =
                    if below == Path::new("") { String::new() } else { format!("/{}", below.display()) };
                format!("{}{below}/ CREATE {name}", prefix.display())
            })
            .collect();
        for path in all {
            let _ = fs::File::options().write(true).create(true).truncate(false).open(path.join(&name));
        }
        reported
    }
}

fn run_find(top: &Path) -> (std::process::Output, String) {
    run(std::process::Command::new("find").arg(top).args(["-name", ".git", "-prune", "-o", "-print"]))
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Inotify,
    Filesystem,
    Marks,
}

fn play(seed: u64, how: How) {
    let dir = tempdir();
    let here = dir.path().canonicalize().unwrap();
    let root = here.join("root");
    fs::create_dir(&root).unwrap();
    git(&root, &["init", "-q"]);
    let mut random = Random(seed);
    // Perhaps the operand is not the root of the repository.
    let top = if random.below(2) == 0 { root.clone() } else { root.join("c/top") };
    fs::create_dir_all(&top).unwrap();
    if top != root {
        fs::write(root.join(".gitignore"), format!("{}\n/c/top/a\n", random.of(LINES))).unwrap();
        fs::write(root.join("c/.gitignore"), "top/*/b\n").unwrap();
    }
    fs::write(root.join(".git/info/exclude"), format!("{}\n", random.of(LINES))).unwrap();
    // In an operand that is ignored itself not all is ignored, unlike in git.
    if top != root && unignored(&root, vec![top.clone()]).is_empty() {
        fs::write(root.join(".gitignore"), "/c/top/a\n").unwrap();
        fs::write(root.join(".git/info/exclude"), "gen/c\n").unwrap();
    }
    let mut story = Story { random, top: top.clone(), root, told: vec![format!("seed {seed}")] };
    (0..12).for_each(|_| story.step());
    story.told.push("start".into());
    let arguments = match how {
        How::Inotify => vec!["-mr", "--gitignore", "-e", "create", "."],
        _ => vec!["-mrF", "--gitignore", "-e", "create", "."],
    };
    let mut command = match how {
        How::Marks => {
            let mut command = as_nobody(&here, "inotifywait", arguments);
            command.current_dir(&top);
            command
        }
        _ => inotifywait(&top, arguments),
    };
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", &here);
    let mut run = Running::ready(command);
    for round in 0..5 {
        if round == 3 && how == How::Inotify {
            story.told.push("overflow".into());
            run.signal(Signal::SIGSTOP);
            flood(&top);
            (0..6).for_each(|_| story.step());
            run.signal(Signal::SIGCONT);
        }
        (0..8).for_each(|_| story.step());
        run.wait_asleep();
        if how == How::Inotify {
            let expected: BTreeSet<u64> = not_ignored(&top, &story.root)
                .iter()
                .map(|(path, _)| fs::metadata(path).unwrap().ino())
                .collect();
            if !wait_until(|| watched(&run) == expected) {
                let names = |inodes: &BTreeSet<u64>| -> Vec<PathBuf> {
                    let is_in = |path: &PathBuf| inodes.contains(&fs::metadata(path).unwrap().ino());
                    directories(&top).into_iter().filter(is_in).collect()
                };
                let (found, expected) = (names(&watched(&run)), names(&expected));
                story.fail(&mut run, &format!("watched: {found:#?}\nexpected: {expected:#?}"));
            }
        }
        let prefix = if how == How::Inotify { Path::new(".") } else { &top };
        let expected = story.probe(round, prefix);
        let end = format!(" CREATE fp{round}");
        let lines = |run: &Running| -> BTreeSet<String> {
            run.stdout.lines().into_iter().filter(|line| line.ends_with(&end)).collect()
        };
        run.wait_asleep();
        if !wait_until(|| lines(&run) == expected) {
            let found = lines(&run);
            story.fail(&mut run, &format!("printed: {found:#?}\nexpected: {expected:#?}"));
        }
    }
}

fn play_some(how: How) {
    if !need("git") {
        return;
    }
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    if let Some(seed) = number("IGNORE_SEED") {
        return play(seed, how);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for story in 0..number("IGNORE_RUNS").unwrap_or(3) {
        play(now.as_nanos() as u64 ^ story << 48, how);
    }
}

#[test]
fn exactly_the_directories_that_git_does_not_ignore_are_watched() {
    play_some(How::Inotify);
}

#[test]
fn a_mark_of_the_file_system_reports_paths_that_git_does_not_ignore() {
    if need_root() {
        play_some(How::Filesystem);
    }
}

#[test]
fn marks_of_directories_report_paths_that_git_does_not_ignore() {
    if is_root() || need("git") {
        play_some(How::Marks);
    }
}
