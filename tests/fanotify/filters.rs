//! `--exclude`, `--include` and `@path`, of absolute paths.

use crate::{CHANGES, Space};

#[test]
fn exclude_and_include_select_paths() {
    for (option, pattern, wanted) in [
        ("--exclude", "/d/a/", vec!["d/ CREATE 1 0", "d/b/ CREATE 3 0"]),
        ("--exclude", "[23]$", vec!["d/ CREATE 1 0"]),
        ("--include", "/b/", vec!["d/b/ CREATE 3 0"]),
        ("--includei", "/B/3$", vec!["d/b/ CREATE 3 0"]),
    ] {
        let Some(space) = Space::new("mkdir -p d/a d/b") else { return };
        let mut running = space.monitor(&["-r", "-e", "create", option, &format!("{pattern}|the-end"), "d"]);
        if option == "--exclude" {
            drop(running);
            running = space.monitor(&["-r", "-e", "create", option, pattern, "d"]);
        }
        space.does(&running, "touch d/1 d/a/2 d/b/3");
        space.printed(&mut running, "d", &wanted);
    }
}

/// `@path` in any form: below it is silence; it itself is its parent's.
#[test]
fn excluded_paths_are_silent_below() {
    for absolute in [false, true] {
        let Some(space) = Space::new("mkdir -p d/a/x d/b; ln -s a d/l") else { return };
        let at = |path: &str| match absolute {
            true => format!("@{}/{path}", space.path().display()),
            false => format!("@{path}"),
        };
        let mut running =
            space.monitor(&["-r", "-e", CHANGES, "d", &at("d/a"), &at("./d/b/f"), &at("d/missing/")]);
        space.does(&running, "touch d/a/1 d/a/x/2 d/b/f d/b/g; mkdir d/missing; touch d/missing/3");
        space.does(&running, "mv d/a d/c; touch d/c/4; mv d/b d/a; touch d/a/5; mv d/a d/b; touch d/b/6");
        space.printed(
            &mut running,
            "d",
            &[
                "d/b/ CREATE g 0",
                "d/ CREATE,ISDIR missing 0",
                "d/ MOVED_FROM,ISDIR a 1",
                "d/ MOVED_TO,ISDIR c 1",
                "d/c/ MOVE_SELF,ISDIR  0",
                "d/c/ CREATE 4 0",
                "d/ MOVED_FROM,ISDIR b 2",
                "d/ MOVED_TO,ISDIR a 2",
                "d/a/ MOVE_SELF,ISDIR  0",
                "d/ MOVED_FROM,ISDIR a 3",
                "d/ MOVED_TO,ISDIR b 3",
                "d/b/ MOVE_SELF,ISDIR  0",
                "d/b/ CREATE 6 0",
            ],
        );
    }
}
