//! `inotifywatch`: see the library's [`inotify_tools::inotifywatch`].

#![cfg_attr(target_env = "gnu", no_main)]

inotify_tools::program!(inotify_tools::inotifywatch);
