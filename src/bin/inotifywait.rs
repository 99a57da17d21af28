//! `inotifywait`: see the library's [`inotify_tools::wait`].

fn main() -> std::process::ExitCode {
    inotify_tools::wait::main(std::env::args_os())
}
