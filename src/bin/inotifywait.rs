//! `inotifywait`: see the library's [`inotify_tools::inotifywait`].

#![cfg_attr(target_env = "gnu", no_main)]

inotify_tools::program!(inotify_tools::inotifywait);
