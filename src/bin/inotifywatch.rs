//! `inotifywatch`: see the library's [`inotify_tools::watch`].

#![cfg_attr(target_env = "gnu", no_main)]

inotify_tools::program!(inotify_tools::watch::main);
