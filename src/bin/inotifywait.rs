//! `inotifywait`: see the library's [`inotify_tools::wait`].

#![cfg_attr(target_env = "gnu", no_main)]

inotify_tools::program!(inotify_tools::wait::main);
