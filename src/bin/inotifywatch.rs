//! `inotifywatch`: see the library's [`inotify_tools::watch`].

fn main() -> std::process::ExitCode {
    inotify_tools::watch::main(std::env::args_os())
}
