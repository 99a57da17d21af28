//! Mounts: below what is watched, of what is watched, and that come and go.

use nix::sys::signal::Signal;

use crate::common::Running;
use crate::{CHANGES, Space, expect_lines};

#[test]
fn a_mount_below_the_operand() {
    let Some(space) = Space::new("mkdir -p d/m d/n; mount -t tmpfs none d/m; mkdir d/m/old") else { return };
    let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
    space.does(&running, "mkdir d/m/a; touch d/m/a/1 d/m/old/2; mv d/m/a d/m/b; touch d/m/b/3 d/n/4");
    space.printed(
        &mut running,
        "d/m",
        &[
            "d/m/ CREATE,ISDIR a 0",
            "d/m/a/ CREATE 1 0",
            "d/m/old/ CREATE 2 0",
            "d/m/ MOVED_FROM,ISDIR a 1",
            "d/m/ MOVED_TO,ISDIR b 1",
            "d/m/b/ MOVE_SELF,ISDIR  0",
            "d/m/b/ CREATE 3 0",
            "d/n/ CREATE 4 0",
        ],
    );
}

/// Mounted while watching: watched from when the program has seen it.
#[test]
fn a_new_mount_is_watched() {
    let Some(space) = Space::new("mkdir -p d/m d/n") else { return };
    let mut running = space.monitor(&["-r", "-e", "create,delete,unmount", "d"]);
    space.does(&running, "mount -t tmpfs none d/m");
    running.wait_asleep();
    space.does(&running, "mkdir d/m/a; touch d/m/a/1");
    running.wait_asleep();
    // Not busy.
    space.does(&running, "umount d/m");
    running.wait_asleep();
    space.does(&running, "touch d/m/under; mount -t tmpfs none d/m");
    running.wait_asleep();
    space.does(&running, "touch d/m/2; mount -o remount,ro d/m; mount -o remount,rw d/m; touch d/m/3");
    space.printed(
        &mut running,
        "d",
        &[
            "d/m/ CREATE,ISDIR a 0",
            "d/m/a/ CREATE 1 0",
            "d/m/ UNMOUNT,ISDIR  0",
            "d/m/ CREATE under 0",
            "d/m/ CREATE 2 0",
            "d/m/ CREATE 3 0",
        ],
    );
}

#[test]
fn a_bind_mount_of_a_directory_inside() {
    let Some(space) = Space::new("mkdir -p d/a/b d/bound; mount --bind d/a d/bound") else { return };
    let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
    space.does(&running, "touch d/a/1; touch d/bound/2; mkdir d/bound/b/c; touch d/a/b/c/3");
    // One place, one path.
    space.printed(
        &mut running,
        "d",
        &["d/a/ CREATE 1 0", "d/a/ CREATE 2 0", "d/a/b/ CREATE,ISDIR c 0", "d/a/b/c/ CREATE 3 0"],
    );
}

#[test]
fn a_bind_mount_of_a_directory_outside() {
    let Some(space) = Space::new("mkdir -p d/bound out/a; mount --bind out d/bound") else { return };
    let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
    space.does(&running, "touch out/1; mkdir d/bound/b; touch out/a/2; mv out/a out/b/; touch out/b/a/3");
    space.does(&running, "mv out/b/a .; touch a/4");
    space.printed(
        &mut running,
        "d",
        &[
            "d/bound/ CREATE 1 0",
            "d/bound/ CREATE,ISDIR b 0",
            "d/bound/a/ CREATE 2 0",
            "d/bound/ MOVED_FROM,ISDIR a 1",
            "d/bound/b/ MOVED_TO,ISDIR a 1",
            "d/bound/b/a/ MOVE_SELF,ISDIR  0",
            "d/bound/b/a/ CREATE 3 0",
            "d/bound/b/ MOVED_FROM,ISDIR a 2",
            "d/bound/b/a/ MOVE_SELF,ISDIR  0",
        ],
    );
}

#[test]
fn the_operand_s_own_file_system_is_unmounted() {
    for (events, status, printed) in [("create,unmount", 0, true), ("create", 1, false)] {
        let Some(space) = Space::new("mkdir d; mount -t tmpfs none d; mkdir d/sub") else { return };
        let mut running = space.watch(&["-F", "-r", "-e", events, "--format", "%w %e %f", "d/sub"]);
        running.wait_asleep();
        space.does(&running, "umount d");
        let line = format!("{}/d/sub/ UNMOUNT,ISDIR \n", space.path().display());
        running.finish().code(status).printed(if printed { &line } else { "" });
    }
}

#[test]
fn with_m_the_wait_continues() {
    let Some(space) = Space::new("mkdir d e; mount -t tmpfs none d") else { return };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "d", "e"]);
    space.does(&running, "touch d/1; umount d");
    running.wait_asleep();
    space.does(&running, "touch e/2");
    let lines = space.lines(&mut running, "e");
    if lines != ["d/ CREATE 1 0", "d/ UNMOUNT,ISDIR  0", "e/ CREATE 2 0"] {
        running.fail(&format!("{lines:?}"));
    }
    running.expect_message("is no longer watched");
    running.stop().killed_by(Signal::SIGTERM);
}

#[test]
fn a_lazy_unmount_is_one() {
    let Some(space) = Space::new("mkdir d; mount -t tmpfs none d; mkdir d/busy") else { return };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "d"]);
    space.does(&running, "exec 9<d/busy; umount -l d; touch /proc/self/fd/9/late");
    let line = format!("{}/d/ UNMOUNT,ISDIR  0", space.path().display());
    running.expect_line(&line);
    let stays: &mut Running = &mut running;
    stays.wait_asleep();
}

/// Its source is elsewhere, and stays so when the mount is gone.
#[test]
fn a_bind_mount_is_gone() {
    let setup = "mkdir -p d/bound d/other out/sub; mount --bind out d/bound; mount --bind out d/other";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "d"]);
    space.does(&running, "touch out/1 out/sub/2; umount d/bound");
    running.wait_asleep();
    space.does(&running, "touch out/3 d/bound/4; umount d/other");
    running.wait_asleep();
    space.does(&running, "touch out/5 out/sub/6 d/other/7");
    space.printed(
        &mut running,
        "d",
        &[
            "d/bound/ CREATE 1 0",
            "d/bound/sub/ CREATE 2 0",
            "d/bound/ UNMOUNT,ISDIR  0",
            "d/other/ CREATE 3 0",
            "d/bound/ CREATE 4 0",
            "d/other/ UNMOUNT,ISDIR  0",
            "d/other/ CREATE 7 0",
        ],
    );
}

/// What is mounted below a directory is renamed with it, and no event says so.
#[test]
fn a_directory_with_a_mount_in_it_is_renamed() {
    let Some(space) = Space::new("mkdir -p d/a/m out; mount -t tmpfs none d/a/m; mkdir d/a/m/sub") else {
        return;
    };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "d"]);
    space.does(&running, "touch d/a/m/1 d/a/m/sub/2");
    space.does_unread(&mut running, "mv d/a d/b; touch d/b/m/3; mv d d2; touch d2/b/m/sub/4; mv d2 d");
    space.does(&running, "touch d/b/m/5; mv d/b out; touch out/b/m/unheard");
    running.wait_asleep();
    space.does(&running, "mv out/b d/c");
    running.wait_asleep();
    space.does(&running, "touch d/c/m/sub/6");
    running.wait_asleep();
    space.does(&running, "umount d/c/m");
    running.wait_asleep();
    space.printed(
        &mut running,
        "d",
        &[
            "d/a/m/ CREATE 1 0",
            "d/a/m/sub/ CREATE 2 0",
            "d/b/m/ CREATE 3 0",
            "d2/b/m/sub/ CREATE 4 0",
            "d/b/m/ CREATE 5 0",
            "d/c/m/sub/ CREATE 6 0",
            "d/c/m/ UNMOUNT,ISDIR  0",
        ],
    );
}

/// A bind mount stays where it is, whatever is renamed elsewhere, be it its source; as an operand also.
#[test]
fn directories_of_the_name_of_a_bind_mount_are_renamed() {
    let setup =
        "mkdir -p d/m e/m out other/m; mount --bind out d/m; mkdir -p in/out; mount --bind in/out e/m";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create", "d", "e/m"]);
    space.does(
        &running,
        "mv other/m other/n; touch d/m/1 e/m/2; mv in in2; mv in2/out in2/m; touch e/m/3; mv e e2",
    );
    space.does(&running, "touch in2/m/4; mv out d/out; touch d/out/5; mv d/out .; touch out/6");
    space.printed(
        &mut running,
        "d",
        &[
            "d/m/ CREATE 1 0",
            "e/m/ CREATE 2 0",
            "e/m/ CREATE 3 0",
            "e2/m/ CREATE 4 0",
            "d/m/ CREATE 5 0",
            "d/m/ CREATE 6 0",
        ],
    );
}

#[test]
fn a_mount_is_moved_covered_and_mounted_again() {
    let setup =
        "mkdir d out; mount -t tmpfs none d; mount --make-private d; mkdir d/m d/n; mount -t tmpfs none d/m";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "d"]);
    for step in [
        "touch d/m/1; mount --move d/m d/n",
        "touch d/n/2 d/m/3; mount -t tmpfs none d/n",
        "touch d/n/4; umount d/n",
        "touch d/n/5; umount d/n; mount -t tmpfs none d/n",
        "touch d/n/6; mount --move d/n out",
        "touch out/unheard d/n/7",
    ] {
        space.does(&running, step);
        running.wait_asleep();
    }
    space.printed(
        &mut running,
        "d",
        &[
            "d/m/ CREATE 1 0",
            "d/n/ CREATE 2 0",
            "d/m/ CREATE 3 0",
            "d/n/ CREATE 4 0",
            "d/n/ UNMOUNT,ISDIR  0",
            "d/n/ CREATE 5 0",
            "d/n/ UNMOUNT,ISDIR  0",
            "d/n/ CREATE 6 0",
            "d/n/ CREATE 7 0",
        ],
    );
}

/// As in a container: each shows another directory of one file system, and no way leads up from one to the other.
#[test]
fn two_bind_mounts_of_one_file_system_are_watched() {
    let setup = "mkdir -p v1/k/j v2/k/j v3/k/j data1 data2; \
                 mount --bind v1 data1; mount --bind v2 data2; mkdir data1/x; mount --bind v3 data1/x";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create", "data1", "data2"]);
    space.does(&running, "touch data2/k/j/1 data1/k/j/2 data1/x/k/j/3 v2/k/4");
    space.printed(
        &mut running,
        "data1",
        &["data2/k/j/ CREATE 1 0", "data1/k/j/ CREATE 2 0", "data1/x/k/j/ CREATE 3 0", "data2/k/ CREATE 4 0"],
    );
}

/// The operand below is in the same mount as what is to be watched for the sake of the one above.
#[test]
fn an_operand_in_a_mount_below_another_operand() {
    let setup = "mkdir -p d/m; mount -t tmpfs none d/m; mkdir d/m/sub d/m/other";
    for operands in [["d/m/sub", "d"], ["d", "d/m/sub"], ["d/m", "d"]] {
        let Some(space) = Space::new(setup) else { return };
        let mut running = space.monitor(&["-r", "-e", "create,unmount", operands[0], operands[1]]);
        space.does(&running, "touch d/m/1 d/m/other/2 d/m/sub/3; mv d d2; touch d2/m/sub/4 d2/m/5");
        running.wait_asleep();
        space.does(&running, "umount d2/m");
        running.wait_asleep();
        let mut lines = space.lines(&mut running, "d2");
        lines.retain(|line| !line.contains("sub/ UNMOUNT"));
        let wanted = [
            "d/m/ CREATE 1 0",
            "d/m/other/ CREATE 2 0",
            "d/m/sub/ CREATE 3 0",
            "d2/m/sub/ CREATE 4 0",
            "d2/m/ CREATE 5 0",
            "d2/m/ UNMOUNT,ISDIR  0",
        ];
        expect_lines(&mut running, &lines, &wanted);
    }
}

/// A directory goes with one of the mounts of another, and comes with a mount in it.
#[test]
fn a_mount_is_found_before_the_next_event() {
    let setup = "mkdir -p d/a/m d/n src out/b/m other/sub; mount --bind src d/a/m; mount --bind src d/n; \
                 mount --bind other out/b/m";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create", "d"]);
    space.does(&running, "touch src/1");
    space.does_unread(&mut running, "mv d/a out; touch d/n/2; mv out/b d; touch d/b/m/sub/3 d/b/4");
    space.printed(
        &mut running,
        "d",
        &["d/a/m/ CREATE 1 0", "d/n/ CREATE 2 0", "d/b/m/sub/ CREATE 3 0", "d/b/ CREATE 4 0"],
    );
}

/// Something else may be mounted above an operand for a while, or at its place for good.
#[test]
fn an_operand_is_hidden_or_replaced_by_a_mount() {
    let Some(space) = Space::new("mkdir -p a/d/k; mkdir e; mount -t tmpfs none e; mkdir f; mount --bind a f")
    else {
        return;
    };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "a/d", "e", "f"]);
    for step in ["mount -t tmpfs none a", "umount a", "touch a/d/k/1", "umount f", "touch a/2"] {
        space.does(&running, step);
        running.wait_asleep();
    }
    space.does_unread(&mut running, "umount e; mount -t tmpfs none e");
    running.expect_message("e' is no longer watched: its file system was unmounted.");
    let lines = space.lines(&mut running, "a/d");
    let wanted = ["a/d/k/ CREATE 1 0", "f/ UNMOUNT,ISDIR  0", "e/ UNMOUNT,ISDIR  0"];
    expect_lines(&mut running, &lines, &wanted);
}

#[test]
fn an_operand_in_a_bind_mount_is_renamed() {
    let setup = "mkdir -p v1/x/k/j v2/k data1 data2; mount --bind v1 data1; mount --bind v2 data2";
    let Some(space) = Space::new(setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create", "data1/x", "data2"]);
    space.does(&running, "mv data1/x data1/y; touch data1/y/k/j/1 data2/k/2");
    space.printed(&mut running, "data2", &["data1/y/k/j/ CREATE 1 0", "data2/k/ CREATE 2 0"]);
}

/// What cannot be watched is named once, wherever its directory is renamed to; another that is mounted there is named, too.
#[test]
fn a_mount_that_is_refused_is_named_once() {
    let Some(space) = Space::new("mkdir -p d/a/m; mount -t proc none d/a/m") else { return };
    let mut running = space.monitor(&["-r", "-e", "create", "d"]);
    for step in ["mv d/a d/b", "mount -t tmpfs none out", "mount --bind d/b/m d/n"] {
        space.does(&running, &format!("mkdir -p d/n out; {step}; touch d/1"));
        running.wait_asleep();
    }
    let path = space.path().display();
    let named = |place: &str| format!("Couldn't watch {path}/d/{place}: Operation not supported");
    running.expect_message(&named("n"));
    let said = running.stderr.lines();
    let is_named = |place: &str| said.iter().filter(|line| line.starts_with(&named(place))).count();
    assert_eq!(["a/m", "b/m", "n"].map(is_named), [1, 0, 1], "{said:?}");
}
