//! The basic story: files, directories and links come and go.

use crate::{CHANGES, Space};

/// Unread, so that what happens to one object is one event: what was created first, then the rest, what was deleted last.
#[test]
fn all_events_of_a_file_and_a_directory() {
    let Some(space) = Space::new("mkdir d") else { return };
    let mut running = space.monitor(&["-r", "d"]);
    space.does_unread(
        &mut running,
        "echo 1 >d/f; mkdir d/a; mkdir d/a/b; echo 1 >d/a/b/g; chmod 700 d/f d; rm d/f",
    );
    space.printed(
        &mut running,
        "d",
        &[
            "d/ CREATE f 0",
            "d/ MODIFY,CLOSE_WRITE,OPEN,CLOSE f 0",
            "d/ CREATE,ISDIR a 0",
            "d/a/ CREATE,ISDIR b 0",
            "d/a/b/ CREATE g 0",
            "d/a/b/ MODIFY,CLOSE_WRITE,OPEN,CLOSE g 0",
            "d/ ATTRIB f 0",
            "d/ ATTRIB,ISDIR  0",
            "d/ DELETE f 0",
        ],
    );
}

#[test]
fn an_event_on_a_directory_itself_has_its_own_path() {
    let Some(space) = Space::new("mkdir -p d/a/b; touch d/a/b/f") else { return };
    let mut running = space.monitor(&["-r", "-e", "attrib,open,access,close", "d"]);
    for (script, line) in [
        ("chmod 700 d/a/b", "d/a/b/ ATTRIB,ISDIR  0"),
        ("ls d/a/b", "d/a/b/ ACCESS,CLOSE_NOWRITE,OPEN,CLOSE,ISDIR  0"),
        ("cat d/a/b/f; chmod 600 d/a/b/f", "d/a/b/ ATTRIB f 0"),
    ] {
        space.does_unread(&mut running, script);
        let line = format!("{}/{line}", space.path().display());
        // Where several processes did it.
        running.expect(&line, |lines| lines.contains(&line));
    }
}

#[test]
fn chains_of_new_directories_are_reported() {
    let story = [
        "d/ CREATE,ISDIR a 0",
        "d/a/ CREATE,ISDIR b 0",
        "d/a/b/ CREATE,ISDIR c 0",
        "d/a/b/c/ CREATE f 0",
        "d/a/ MOVED_FROM,ISDIR b 1",
        "d/ MOVED_TO,ISDIR z 1",
        "d/z/ MOVE_SELF,ISDIR  0",
        "d/z/c/ MOVED_FROM f 2",
        "d/z/ MOVED_TO g 2",
        "d/z/ DELETE g 0",
    ];
    let script = "mkdir -p d/a/b/c; echo >d/a/b/c/f; mv d/a/b d/z; mv d/z/c/f d/z/g; rm d/z/g";
    for unread in [false, true] {
        let Some(space) = Space::new("mkdir d") else { return };
        let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
        match unread {
            true => space.does_unread(&mut running, script),
            false => script.split("; ").for_each(|script| space.does(&running, script)),
        }
        space.printed(&mut running, "d", &story);
    }
}

#[test]
fn links_are_reported_by_the_name_used() {
    let Some(space) = Space::new("mkdir d d/e other; echo >d/f") else { return };
    let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
    space.does(&running, "ln d/f d/e/g; ln d/f other/h; ln -s f d/s; ln -s e d/t");
    space.does(&running, "rm d/f; echo >>d/e/g; mv d/e/g d/e/i; rm other/h d/s; mv d/t d/u; touch d/u/x");
    space.printed(
        &mut running,
        "d",
        &[
            "d/e/ CREATE g 0",
            "d/ CREATE s 0",
            "d/ CREATE t 0",
            "d/ DELETE f 0",
            "d/e/ MOVED_FROM g 1",
            "d/e/ MOVED_TO i 1",
            "d/ DELETE s 0",
            "d/ MOVED_FROM t 2",
            "d/ MOVED_TO u 2",
            "d/e/ CREATE x 0",
        ],
    );
}

/// The end of a directory is told before a new one takes its name.
#[test]
fn the_end_of_a_directory_precedes_the_next_of_that_name() {
    let once = [
        "d/ CREATE,ISDIR a 0",
        "d/a/ CREATE f 0",
        "d/a/ DELETE f 0",
        "d/a/ DELETE_SELF,ISDIR  0",
        "d/ DELETE,ISDIR a 0",
    ];
    let story: Vec<&str> = once.iter().cycle().take(3 * once.len()).copied().collect();
    for unread in [false, true] {
        let Some(space) = Space::new("mkdir d") else { return };
        let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
        // By processes of their own, or the kernel makes one event of creation and end.
        let script = "for i in 1 2 3; do mkdir d/a; touch d/a/f; rm d/a/f; rmdir d/a; done";
        match unread {
            true => space.does_unread(&mut running, script),
            false => space.does(&running, script),
        }
        space.printed(&mut running, "d", &story);
    }
}

#[test]
fn one_process_makes_a_directory_and_removes_it_unread() {
    let Some(space) = Space::new("mkdir d").filter(|_| crate::need("python3")) else { return };
    let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
    space.does_unread(
        &mut running,
        "python3 -c 'import os\nos.mkdir(\"d/a\"); os.mkdir(\"d/a/b\"); os.rename(\"d/a\", \"d/c\"); \
         os.rename(\"d/c\", \"d/a\"); os.rmdir(\"d/a/b\"); os.rmdir(\"d/a\"); os.mkdir(\"d/a\")'",
    );
    space.printed(
        &mut running,
        "d",
        &[
            "d/ CREATE,ISDIR a 0",
            "d/a/ CREATE,ISDIR b 0",
            "d/ MOVED_FROM,ISDIR a 1",
            "d/ MOVED_TO,ISDIR c 1",
            "d/c/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_FROM,ISDIR c 2",
            "d/ MOVED_TO,ISDIR a 2",
            "d/a/ MOVE_SELF,ISDIR  0",
            "d/a/b/ DELETE_SELF,ISDIR  0",
            "d/a/ DELETE,ISDIR b 0",
            "d/a/ DELETE_SELF,ISDIR  0",
            "d/ DELETE,ISDIR a 0",
            "d/ CREATE,ISDIR a 0",
        ],
    );
}

/// By one process, the kernel merges each end with the opening before: the ends come in order all the same.
#[test]
fn one_process_removes_a_tree_that_it_made_unread() {
    let Some(space) = Space::new("mkdir d").filter(|_| crate::need("python3")) else { return };
    let mut running = space.monitor(&["-r", "-e", &format!("{CHANGES},open"), "d"]);
    space.does_unread(
        &mut running,
        "python3 -c 'import os, shutil\nos.makedirs(\"d/b/c/d\"); shutil.rmtree(\"d/b\")'",
    );
    space.printed(
        &mut running,
        "d",
        &[
            "d/ CREATE,ISDIR b 0",
            "d/b/ CREATE,ISDIR c 0",
            "d/b/c/ CREATE,ISDIR d 0",
            "d/b/ OPEN,ISDIR  0",
            "d/b/c/ OPEN,ISDIR  0",
            "d/b/c/d/ OPEN,ISDIR  0",
            "d/b/c/d/ DELETE_SELF,ISDIR  0",
            "d/b/c/ DELETE,ISDIR d 0",
            "d/b/c/ DELETE_SELF,ISDIR  0",
            "d/b/ DELETE,ISDIR c 0",
            "d/b/ DELETE_SELF,ISDIR  0",
            "d/ DELETE,ISDIR b 0",
        ],
    );
}

/// Who is in it keeps a directory from ending when it is deleted.
#[test]
fn a_directory_ends_after_it_was_deleted() {
    for unread in [false, true] {
        let Some(space) = Space::new("mkdir -p d/n/sub") else { return };
        let mut running = space.monitor(&["-r", "-e", "create,delete,delete_self", "d"]);
        let script = "top=$PWD; cd d/n/sub; rmdir $top/d/n/sub $top/d/n; : >$top/d/x";
        match unread {
            true => space.does_unread(&mut running, script),
            false => space.does(&running, script),
        }
        space.printed(
            &mut running,
            "d",
            &[
                "d/n/ DELETE,ISDIR sub 0",
                "d/ DELETE,ISDIR n 0",
                "d/ CREATE x 0",
                "d/n/sub/ DELETE_SELF,ISDIR  0",
                "d/n/ DELETE_SELF,ISDIR  0",
            ],
        );
    }
}

#[test]
fn a_deep_tree_is_removed() {
    const DEEP: usize = 40;
    for unread in [false, true] {
        let Some(space) = Space::new(&format!("mkdir -p d/{}", "n/".repeat(DEEP))) else { return };
        let mut running = space.monitor(&["-r", "-e", "create,delete,delete_self", "d"]);
        match unread {
            true => space.does_unread(&mut running, "rm -r d/n"),
            false => space.does(&running, "rm -r d/n"),
        }
        let lines = space.lines(&mut running, "d");
        let at = |line: String| {
            let found: Vec<usize> = (0..lines.len()).filter(|at| lines[*at] == line).collect();
            assert_eq!(found.len(), 1, "{line}: {lines:#?}");
            found[0]
        };
        let mut before = 0;
        for depth in (0..DEEP).rev() {
            let parent = format!("d/{}", "n/".repeat(depth));
            let delete = at(format!("{parent} DELETE,ISDIR n 0"));
            let end = at(format!("{parent}n/ DELETE_SELF,ISDIR  0"));
            assert!(before <= end.min(delete), "{lines:#?}");
            before = delete;
        }
        assert_eq!(lines.len(), 2 * DEEP, "{lines:#?}");
    }
}
