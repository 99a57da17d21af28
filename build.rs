//! Links what the programs need of libgcc into them. The standard library asks for libgcc_s.so, a library of its own that
//! would be loaded at each start, for the sake of stack traces alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|found| found == value);
    let cross = env::var("HOST") != env::var("TARGET");
    if cross || !is("CARGO_CFG_TARGET_ENV", "gnu") || archive().is_none() {
        return;
    }
    let Some(dir) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    // Found before the system's: a linker script that names the archive in its place.
    if fs::write(dir.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n").is_ok() {
        println!("cargo::rustc-link-search=native={}", dir.display());
    }
}

/// The archive, where the compiler has one.
fn archive() -> Option<PathBuf> {
    let compiler = env::var_os("CC").unwrap_or("cc".into());
    let output = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    // A name that is not found is printed as it is.
    let path = Path::new(path.trim());
    (path.is_absolute() && path.exists()).then(|| path.to_path_buf())
}
