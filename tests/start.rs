//! What a start costs: what is loaded and done before the work.

#![allow(clippy::unwrap_used)]

mod common;

use common::{binary, command, need, run, tempdir};

/// libgcc_s for one, which the standard library asks for.
#[test]
#[cfg(target_env = "gnu")]
fn no_library_is_loaded_but_the_c_library() {
    let dir = tempdir();
    for tool in ["inotifywait", "inotifywatch"] {
        let (output, text) =
            run(command(dir.path(), binary(tool), ["--help"]).env("LD_TRACE_LOADED_OBJECTS", "1"));
        let libraries = String::from_utf8(output.stdout).unwrap();
        let is_known =
            |line: &str| ["linux-vdso", "ld-linux", "libc.so"].iter().any(|name| line.contains(name));
        assert!(libraries.lines().all(is_known) && !libraries.is_empty(), "{text}");
    }
}

/// Nor anything of /proc, nor is a handler or a stack prepared for what is no use here.
#[test]
#[cfg(target_env = "gnu")]
fn nothing_is_prepared_that_is_not_needed() {
    if !need("strace") {
        return;
    }
    let dir = tempdir();
    for tool in ["inotifywait", "inotifywatch"] {
        let mut strace = command(dir.path(), "strace", ["-qq", "-e", "trace=execve,openat,sigaltstack"]);
        let (output, text) = run(strace.args([binary(tool), "--help"]));
        let traced = String::from_utf8(output.stderr).unwrap();
        assert!(traced.contains("execve(") && traced.contains("libc.so"), "{text}");
        assert!(!traced.contains("/proc/self/maps") && !traced.contains("sigaltstack"), "{text}");
    }
}

/// A pipe at stdout is opened again there, which takes a twentieth of a start.
#[test]
fn nothing_is_looked_up_in_proc_before_there_is_a_line_to_write() {
    if !need("strace") {
        return;
    }
    let dir = tempdir();
    let mut strace = command(dir.path(), "strace", ["-qq", "-e", "trace=inotify_init1,openat,readlink"]);
    let (output, text) = run(strace.arg(binary("inotifywait")).args(["-t", "0.01", "."]));
    let traced = String::from_utf8(output.stderr).unwrap();
    assert!(traced.contains("inotify_init1(") && traced.contains("Watches established."), "{text}");
    assert!(!traced.contains("/proc/"), "{text}");
}
