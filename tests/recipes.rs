//! docs/recipes.md: each block of commands, run as it stands there, in a directory of its own.
//!
//! Comments before a block tell what it needs: `setup: COMMAND` before it, `does: COMMAND` when it is ready, and then
//! `until: COMMAND` has to succeed before long; its output is in the file `out`. `shell: SHELL` if not sh, `need: TOOL`,
//! and `root`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::path::Path;

use common::{
    Running, bounded, command, contains, file, need, need_root, run, sleep_of, tempdir, wait_until,
};
use inotify_tools::internals::options::Program;
use inotify_tools::internals::proc;
use nix::unistd::{Pid, getpgid};

/// A block, and the comments before it.
#[derive(Debug, Default)]
struct Recipe {
    marks: Vec<(String, String)>,
    script: String,
}

impl Recipe {
    fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str())
    }

    /// Runs a shell command of the comments; whether it succeeds.
    fn does(&self, name: &str, dir: &Path) -> bool {
        let script = self.mark(name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        let (output, _) = run(bounded("sh").args(["-c", script]).current_dir(dir));
        output.status.success()
    }
}

fn recipes() -> Vec<Recipe> {
    let page = file("docs/recipes.md");
    let mut recipes = Vec::new();
    let mut recipe = Recipe::default();
    let mut rest = page.as_str();
    while !rest.is_empty() {
        if let Some((comment, after)) = rest.strip_prefix("<!-- ").and_then(|rest| rest.split_once(" -->\n"))
        {
            let (name, text) = comment.split_once(": ").unwrap_or((comment, ""));
            assert!(["setup", "does", "until", "shell", "need", "root"].contains(&name), "{comment}");
            recipe.marks.push((name.to_owned(), text.to_owned()));
            rest = after;
        } else if let Some((script, after)) =
            rest.strip_prefix("```sh\n").and_then(|rest| rest.split_once("```\n"))
        {
            recipe.script = script.to_owned();
            recipes.push(std::mem::take(&mut recipe));
            rest = after;
        } else {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        }
    }
    recipes
}

/// Whether one of our programs, in the process group of a script, waits for events.
fn is_ready(group: Pid) -> bool {
    let processes = proc::processes().unwrap();
    processes.into_iter().map(Pid::from_raw).any(|pid| {
        let name = proc::file_of(pid.as_raw(), "comm").unwrap_or_default();
        getpgid(Some(pid)) == Ok(group) && contains(&name, b"notifywa") && sleep_of(pid).is_some()
    })
}

#[test]
fn each_recipe_has_the_described_effect() {
    let recipes = recipes();
    assert!(recipes.len() >= 10);
    for recipe in recipes {
        if recipe.mark("need").is_some_and(|tool| !need(tool))
            || recipe.mark("root").is_some() && !need_root()
        {
            continue;
        }
        let place = tempdir();
        let bin = place.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in Program::ALL {
            std::os::unix::fs::symlink(common::binary(name.tool.name()), bin.join(name.name())).unwrap();
        }
        let dir = place.path().join("dir");
        fs::create_dir(&dir).unwrap();
        assert!(recipe.does("setup", &dir), "{recipe:?}");
        fs::write(dir.join("recipe"), &recipe.script).unwrap();
        let mut command = command(&dir, recipe.mark("shell").unwrap_or("sh"), ["-e", "recipe"]);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).stdout(File::create(dir.join("out")).unwrap());
        let mut running = Running::start(command);
        wait_until(|| running.has_ended() || is_ready(running.pid()));
        assert!(recipe.does("does", &dir), "{recipe:?}");
        let done = wait_until(|| recipe.does("until", &dir));
        let out = fs::read_to_string(dir.join("out")).unwrap_or_default();
        if !done {
            running.fail(&format!("{recipe:#?}\nout:\n{out}"));
        }
        let stderr = String::from_utf8_lossy(&running.stderr.bytes()).into_owned();
        assert!(!stderr.contains("option") && !stderr.contains("cannot"), "{recipe:#?}\n{stderr}");
    }
}
