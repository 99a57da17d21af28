//! `-S`: a whole file system, by whatever mount; `-M`: one mount.

use crate::{CHANGES, Space, expect_lines};

#[test]
fn a_whole_file_system_is_watched_through_all_mounts() {
    let setup = "mkdir m n other; mount -t tmpfs none m; mkdir -p m/a/b m/c; mount --bind m/c n";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-S", "-e", CHANGES, "m/a/b"]);
    space.does(
        &running,
        "touch m/1 m/a/b/2; touch n/3; mkdir m/c/d; mv m/c/d m/e; touch m/e/4; touch other/5",
    );
    space.printed(
        &mut running,
        "m",
        &[
            "m/ CREATE 1 0",
            "m/a/b/ CREATE 2 0",
            "m/c/ CREATE 3 0",
            "m/c/ CREATE,ISDIR d 0",
            "m/c/ MOVED_FROM,ISDIR d 1",
            "m/ MOVED_TO,ISDIR e 1",
            "m/e/ MOVE_SELF,ISDIR  0",
            "m/e/ CREATE 4 0",
        ],
    );
    // Of all that is there, the mounts keep nothing busy.
    space.does(&running, "umount n m");
}

/// It is unmounted when its last mount is gone. Until then all is reported that one of them shows.
#[test]
fn a_file_system_loses_one_mount_after_the_other() {
    let setup =
        "mkdir m n o; mount -t tmpfs none m; mkdir -p m/a/b m/c; mount --bind m/c n; mount --bind m o";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-S", "-e", "create,unmount", "n"]);
    space.does(&running, "touch n/1 o/a/b/2");
    for step in ["umount m", "touch n/3 o/a/b/4", "umount -l o", "touch n/5", "umount n"] {
        running.wait_asleep();
        space.does(&running, step);
    }
    running.expect_message("No watch is left: no more events will be reported.");
    let lines = [
        "n/ CREATE 1",
        "m/a/b/ CREATE 2",
        "n/ CREATE 3",
        "o/a/b/ CREATE 4",
        "n/ CREATE 5",
        "n/ UNMOUNT,ISDIR ",
    ];
    let wanted = lines.map(|line| format!("{}/{line} 0", space.path().display()));
    running.expect_line(&wanted[5]);
    let lines = running.stdout.lines();
    expect_lines(&mut running, &lines, &wanted.each_ref().map(String::as_str));
}

#[test]
fn the_mount_that_is_watched_is_gone_though_another_is_not() {
    let Some(space) = Space::new("mkdir m n; mount -t tmpfs none m; mount --bind m n") else { return };
    let mut running = space.monitor(&["-M", "-e", "create,unmount", "n"]);
    space.does(&running, "touch n/1; umount n");
    running.expect_message("No watch is left: no more events will be reported.");
    let wanted =
        ["n/ CREATE 1", "n/ UNMOUNT,ISDIR "].map(|line| format!("{}/{line} 0", space.path().display()));
    running.expect_line(&wanted[1]);
    let lines = running.stdout.lines();
    expect_lines(&mut running, &lines, &wanted.each_ref().map(String::as_str));
}

/// What happens to open files comes by the mount, what changes entries by the file system.
#[test]
fn opens_are_reported_through_one_mount_only() {
    let setup = "mkdir m n; mount -t tmpfs none m; mkdir -p m/c/d m/e; echo 1 >m/c/f; mount --bind m/c n";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-M", "-e", "open,create,attrib,delete,move,modify", "n"]);
    let file = "sh -c ': <m/c/f'; sh -c ': <n/f'; sh -c ': >>m/c/f'; sh -c 'echo 2 >>n/d/g'";
    space.does_unread(&mut running, file);
    space.does(&running, "mkdir m/c/h; chmod 700 m/c/f; mv m/c/d m/c/i; touch m/e/unheard m/c/i/j; mv m/c/i m/e/; mv m/e/i m/c/k");
    let mut lines = space.lines(&mut running, "n");
    lines.retain(|line| !line.contains("OPEN,ISDIR"));
    let wanted = [
        "n/ OPEN f 0",
        "n/d/ CREATE g 0",
        "n/d/ MODIFY,OPEN g 0",
        "n/ CREATE,ISDIR h 0",
        "n/ ATTRIB f 0",
        "n/ MOVED_FROM,ISDIR d 1",
        "n/ MOVED_TO,ISDIR i 1",
        "n/i/ CREATE j 0",
        "n/i/ ATTRIB j 0",
        "n/ MOVED_FROM,ISDIR i 2",
        "n/ MOVED_TO,ISDIR k 3",
    ];
    expect_lines(&mut running, &lines, &wanted);
    space.does(&running, "umount n m");
}

#[test]
fn every_specified_file_system_is_watched() {
    let setup = "mkdir m n; mount -t tmpfs none m; mount -t tmpfs none n; mkdir m/a n/b";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-S", "-e", "create", "m/a", "n/b"]);
    space.does(&running, "touch m/1 n/2 n/b/3");
    space.printed(&mut running, "n", &["m/ CREATE 1 0", "n/ CREATE 2 0", "n/b/ CREATE 3 0"]);
}

/// In a container, a file of the host is often all that is mounted of its file system.
#[test]
fn a_file_that_is_mounted_is_watched() {
    let setup = "mkdir m; mount -t tmpfs none m; echo 1 >m/f; echo 1 >g; mount --bind m/f g; exec 9<>m/f; umount -l m";
    for scope in ["-S", "-M"] {
        let Some(space) = Space::new(setup) else { return };
        let mut running = space.monitor(&[scope, "-e", "modify", "g"]);
        space.does(&running, "echo 2 >>g");
        let line = format!("{}/ MODIFY g 0", space.path().display());
        running.expect_line(&line);
    }
}
