//! Files of proc(5) about other processes.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The ids of all processes that this one can see.
pub fn processes() -> io::Result<Vec<i32>> {
    let numbers =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

/// What a file of a process contains, such as `comm`.
pub fn file_of(process: i32, name: &str) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{process}/{name}"))
}

/// What a file below /proc contains, such as `sys/kernel/osrelease`.
pub fn file(name: &str) -> io::Result<Vec<u8>> {
    fs::read(Path::new("/proc").join(name))
}

/// The fdinfo of each inotify instance of a process. An instance that is closed in the meantime is left out.
pub fn inotify_instances(process: i32) -> io::Result<Vec<Vec<u8>>> {
    let mut instances = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))?.flatten() {
        if !fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_bytes() == b"anon_inode:inotify") {
            continue;
        }
        let name = entry.file_name();
        instances.extend(fs::read(Path::new(&format!("/proc/{process}/fdinfo")).join(name)));
    }
    Ok(instances)
}
