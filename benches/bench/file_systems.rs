//! Setup on file systems other than tmpfs: with nothing in the kernel's caches, and where every directory has to be read.

use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

use crate::Result;
use crate::measure::Programs;
use crate::report::{Report, grouped, time};
use crate::rows::{ALL, MONITOR, nanoseconds};
use crate::storm::tree;

/// How a file system is made and mounted on `top`, in an empty directory.
const EXT4: [&str; 2] = ["truncate -s 2G image && mkfs.ext4 -q -N 400000 image", "mount -o loop image top"];
const BTRFS: [&str; 2] = ["truncate -s 2G image && mkfs.btrfs -q image", "mount -o loop image top"];
const OVERLAY: [&str; 2] =
    ["mkdir low up work", "mount -t overlay -o lowerdir=low,upperdir=up,workdir=work none top"];

/// The setup of a tree on each.
pub fn file_systems(programs: &Programs, report: &mut Report) -> Result<()> {
    if !Uid::effective().is_root() {
        eprintln!("filesystems: not measured, which only root can do");
        return Ok(());
    }
    // What is mounted is seen by this thread and by what it starts; it ends with the benchmark.
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let cold = programs.scaled(50_000);
    let (empty, few, many) = (programs.scaled(50_000), programs.scaled(30_000), programs.scaled(10_000));
    for (name, commands, is_cold, trees) in [
        ("ext4, nothing cached", EXT4, true, &[(cold, 0, None)][..]),
        ("btrfs", BTRFS, false, &[(empty, 0, Some(0.65)), (few, 5, Some(0.45)), (many, 40, Some(0.25))]),
        (
            "overlayfs",
            OVERLAY,
            false,
            &[(empty, 0, Some(0.65)), (few, 5, Some(0.45)), (many, 40, Some(0.25))],
        ),
    ] {
        let dir = programs.dir.path().join("mounted");
        std::fs::create_dir_all(dir.join("top"))?;
        if let Err(error) = commands.iter().try_for_each(|command| done(&dir, command)) {
            eprintln!("filesystems: {name} is not measured: {error}");
            std::fs::remove_dir_all(dir)?;
            continue;
        }
        for (directories, files, goal) in trees {
            let top = dir.join("top/tree");
            tree(&top, *directories, *files)?;
            let what = format!(
                "CPU: setup on {name}, {} directories with {files} files each",
                grouped(*directories as u64)
            );
            let floor = if is_cold { "walk" } else { "read" };
            let samples = programs.alternate(&what, programs.rounds, &ALL, |side| {
                if is_cold {
                    done(&dir, "umount top && mount -o loop image top")?;
                }
                Ok(nanoseconds(programs.watch(side, &top, &MONITOR, &[floor])?.cpu()?))
            })?;
            report.row(what, samples, time, *goal);
            std::fs::remove_dir_all(&top)?;
        }
        done(&dir, "umount top")?;
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}

fn done(dir: &Path, command: &str) -> Result<()> {
    let output = Command::new("sh").args(["-ec", command]).current_dir(dir).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
