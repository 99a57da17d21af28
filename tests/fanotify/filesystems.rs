//! File systems: on each the same story, and what cannot be watched.

use crate::common::{Running, contains, fast_tempdir, inotifywait, need, need_root, skip};
use crate::{CHANGES, Space, expect_lines};

/// Watches `m/d` on a file system that the setup mounts at `m`, where it can.
fn mounted(tool: &str, setup: &str) -> Option<Space> {
    if !need(tool) {
        return None;
    }
    let space = Space::new(&format!("mkdir m\n{setup}\nmkdir -p m/d/old/below"))?;
    let (success, text) = space.can_set_up();
    (success || skip(&format!("no such file system can be mounted: {text}"))).then_some(space)
}

fn disk(size: &str, make: &str, options: &str) -> String {
    format!("truncate -s {size} image; {make} image >/dev/null; mount -o loop{options} image m")
}

/// Renames of what is new and what was there, ends, and that nothing keeps it from being unmounted.
#[track_caller]
fn story(space: &Space) {
    for unread in [false, true] {
        let mut running = space.monitor(&["-r", "-e", CHANGES, "m/d"]);
        let script = "mkdir m/d/a; touch m/d/a/x; mv m/d/a m/d/b; touch m/d/b/y; touch m/d/old/below/z; \
                      mv m/d/old m/d/b/new; touch m/d/b/new/below/1; rm -r m/d/b/new; mv m/d/b/x m/y; rm -r m/d/b";
        match unread {
            true => space.does_unread(&mut running, script),
            false => space.does(&running, script),
        }
        let mut lines = space.lines(&mut running, "m/d");
        // `rm -r` takes entries in the order of the file system.
        let from = lines.iter().position(|line| line == "m/d/b/ MOVED_TO,ISDIR new 2").map_or(0, |at| at + 3);
        let to = lines.iter().position(|line| line == "m/d/b/ MOVED_FROM x 3").unwrap_or(lines.len());
        lines.get_mut(from..to.max(from)).unwrap_or_default().sort();
        let wanted = [
            "m/d/ CREATE,ISDIR a 0",
            "m/d/a/ CREATE x 0",
            "m/d/ MOVED_FROM,ISDIR a 1",
            "m/d/ MOVED_TO,ISDIR b 1",
            "m/d/b/ MOVE_SELF,ISDIR  0",
            "m/d/b/ CREATE y 0",
            "m/d/old/below/ CREATE z 0",
            "m/d/ MOVED_FROM,ISDIR old 2",
            "m/d/b/ MOVED_TO,ISDIR new 2",
            "m/d/b/new/ MOVE_SELF,ISDIR  0",
            "m/d/b/new/below/ CREATE 1 0",
            "m/d/b/ DELETE,ISDIR new 0",
            "m/d/b/new/ DELETE,ISDIR below 0",
            "m/d/b/new/ DELETE_SELF,ISDIR  0",
            "m/d/b/new/below/ DELETE 1 0",
            "m/d/b/new/below/ DELETE z 0",
            "m/d/b/new/below/ DELETE_SELF,ISDIR  0",
            "m/d/b/ MOVED_FROM x 3",
            "m/d/b/ DELETE y 0",
            "m/d/b/ DELETE_SELF,ISDIR  0",
            "m/d/ DELETE,ISDIR b 0",
        ];
        expect_lines(&mut running, &lines, &wanted);
        space.does(&running, "umount m");
        space.clean_up();
    }
}

#[test]
fn tmpfs() {
    if let Some(space) = mounted("mount", "mount -t tmpfs none m") {
        story(&space);
    }
}

#[test]
fn ext4() {
    if let Some(space) = mounted("/usr/sbin/mkfs.ext4", &disk("16M", "mkfs.ext4 -q", "")) {
        story(&space);
    }
}

#[test]
fn xfs() {
    if let Some(space) = mounted("/usr/sbin/mkfs.xfs", &disk("320M", "mkfs.xfs -q", "")) {
        story(&space);
    }
}

#[test]
fn btrfs() {
    if let Some(space) = mounted("/usr/sbin/mkfs.btrfs", &disk("128M", "mkfs.btrfs -q", "")) {
        story(&space);
    }
}

#[test]
fn a_subvolume_mounted_by_itself() {
    let setup = format!(
        "{}; btrfs subvolume create m/sub >/dev/null; umount m; mount -o loop,subvol=sub image m",
        disk("128M", "mkfs.btrfs -q", "")
    );
    if let Some(space) = mounted("/usr/sbin/mkfs.btrfs", &setup) {
        story(&space);
    }
}

#[test]
fn subvolumes_below_the_operand() {
    let setup = format!(
        "{}; mkdir m/d; btrfs subvolume create m/d/sub >/dev/null; mkdir m/d/sub/in",
        disk("128M", "mkfs.btrfs -q", "")
    );
    let Some(space) = mounted("/usr/sbin/mkfs.btrfs", &setup) else { return };
    for unread in [false, true] {
        let mut running = space.monitor(&["-r", "-e", CHANGES, "m/d"]);
        let script = "touch m/d/sub/in/1; mv m/d/sub m/d/old/; touch m/d/old/sub/in/2; mkdir m/d/old/sub/new; \
                      touch m/d/old/sub/new/3; btrfs subvolume create m/d/other >/dev/null; touch m/d/other/4; \
                      btrfs subvolume snapshot m/d/old/sub m/d/copy >/dev/null; touch m/d/copy/in/5; \
                      btrfs subvolume delete m/d/other >/dev/null; touch m/d/end";
        match unread {
            true => space.does_unread(&mut running, script),
            false => space.does(&running, script),
        }
        space.printed(
            &mut running,
            "m/d",
            &[
                "m/d/sub/in/ CREATE 1 0",
                "m/d/ MOVED_FROM,ISDIR sub 1",
                "m/d/old/ MOVED_TO,ISDIR sub 1",
                "m/d/old/sub/ MOVE_SELF,ISDIR  0",
                "m/d/old/sub/in/ CREATE 2 0",
                "m/d/old/sub/ CREATE,ISDIR new 0",
                "m/d/old/sub/new/ CREATE 3 0",
                "m/d/ CREATE,ISDIR other 0",
                "m/d/other/ CREATE 4 0",
                "m/d/ CREATE,ISDIR copy 0",
                "m/d/copy/in/ CREATE 5 0",
                "m/d/ DELETE,ISDIR other 0",
                "m/d/ CREATE end 0",
            ],
        );
        space.does(&running, "umount m");
        space.clean_up();
    }
}

/// Its directories have handles that can be opened where it is mounted with `nfs_export`.
#[test]
fn overlayfs() {
    let setup = "mkdir base; mount -t tmpfs none base; mkdir base/low base/up base/work; mkdir -p base/low/d/old/below; \
                 mount -t overlay -o lowerdir=base/low,upperdir=base/up,workdir=base/work,index=on,nfs_export=on \
                 none m";
    let Some(space) = mounted("mount", setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create,delete,move", "m/d"]);
    space.does(
        &running,
        "mkdir m/d/a; touch m/d/a/x; mv m/d/a m/d/b; touch m/d/b/y m/d/old/below/z; rm m/d/b/x",
    );
    space.printed(
        &mut running,
        "m/d",
        &[
            "m/d/ CREATE,ISDIR a 0",
            "m/d/a/ CREATE x 0",
            "m/d/ MOVED_FROM,ISDIR a 1",
            "m/d/ MOVED_TO,ISDIR b 1",
            "m/d/b/ CREATE y 0",
            "m/d/old/below/ CREATE z 0",
            "m/d/b/ DELETE x 0",
        ],
    );
    space.does(&running, "umount m");
}

/// Without, its directories are watched one by one, and the lines are the same.
#[test]
fn overlayfs_as_it_mostly_is() {
    let setup = "mkdir base; mount -t tmpfs none base; mkdir base/low base/up base/work; mkdir -p base/low/d/old/below; \
                 mount -t overlay -o lowerdir=base/low,upperdir=base/up,workdir=base/work none m";
    let Some(space) = mounted("mount", setup) else { return };
    let mut running = space.monitor(&["-r", "-e", "create,delete,move", "m/d"]);
    for script in ["mkdir m/d/a", "touch m/d/a/x", "touch m/d/old/below/z", "rm m/d/a/x"] {
        space.does(&running, script);
        running.wait_asleep();
    }
    space.printed(
        &mut running,
        "m/d",
        &["m/d/ CREATE,ISDIR a 0", "m/d/a/ CREATE x 0", "m/d/old/below/ CREATE z 0", "m/d/a/ DELETE x 0"],
    );
    space.does(&running, "umount m");
}

#[test]
fn an_unwatchable_operand_is_an_error() {
    if !need_root() {
        return;
    }
    let dir = fast_tempdir();
    for arguments in [["-S", "/proc"], ["-M", "/sys"]] {
        let end = Running::start(inotifywait(dir.path(), arguments)).finish();
        end.code(1).printed("");
        let path = arguments[1];
        end.check("the path and its type", {
            contains(&end.stderr, path.as_bytes()) && contains(&end.stderr, &path.as_bytes()[1..])
        });
        end.check("not a refusal of inotify's", !contains(&end.stderr, b"inotify watches"));
    }
    let mut running = Running::start(inotifywait(dir.path(), ["-F", "-r", "-m", "missing"]));
    running.wait("its end", |run| run.has_ended());
    running.finish().code(1).said(
        "Setting up watches.  Beware: since -r was given, this may take a while!\n\
         Couldn't watch missing: No such file or directory\n",
    );
}
