//! What the packages are made of: the list that `make install` is, the units, and the places that name the version.
//! The packages themselves are built and tried by `make deb`, `make try-deb`, `make rpm` and `make static`.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, binary, bounded, command, file, need, run, tempdir};
use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A file's mode, or where a symbolic link leads.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    File(u32),
    Link(PathBuf),
}

/// The files and links below a directory.
fn tree(top: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut files = BTreeMap::new();
    let mut rest = vec![top.to_owned()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let (path, status) = (entry.path(), entry.metadata().unwrap());
            if status.is_dir() {
                rest.push(path);
            } else {
                let entry = match fs::read_link(&path) {
                    Ok(target) => Entry::Link(target),
                    Err(_) => Entry::File(status.permissions().mode() & 0o7777),
                };
                files.insert(path.strip_prefix(top).unwrap().to_owned(), entry);
            }
        }
    }
    files
}

/// `make` with this package's Makefile, in the place of release programs two empty files.
fn make(dir: &Path) -> Command {
    let release = dir.join("build/release");
    fs::create_dir_all(&release).unwrap();
    for tool in ["inotifywait", "inotifywatch"] {
        fs::write(release.join(tool), "").unwrap();
    }
    let mut make = bounded("make");
    make.current_dir(ROOT).arg("-s").env("CARGO_TARGET_DIR", dir.join("build")).env_remove("MAKEFLAGS");
    make
}

/// Runs a command, which has to succeed and say nothing.
#[track_caller]
fn quiet(command: &mut Command) {
    let (output, text) = run(command);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{text}");
}

/// Installs into `dir`/root.
fn install(dir: &Path) -> PathBuf {
    let root = dir.join("root of a package");
    quiet(make(dir).arg("install").arg("PREFIX=/usr").arg(format!("DESTDIR={}", root.display())));
    root
}

#[test]
fn every_file_is_installed_and_uninstalled() {
    let dir = tempdir();
    let root = install(dir.path());
    let installed = tree(&root);
    for (path, entry) in &installed {
        let expected = match path.to_str().unwrap().strip_prefix("usr/bin/fsnotify") {
            Some(rest) => Entry::Link(PathBuf::from(format!("inotify{rest}"))),
            None => Entry::File(if path.starts_with("usr/bin") { 0o755 } else { 0o644 }),
        };
        assert_eq!(*entry, expected, "{path:?}");
    }

    let doc = "usr/share/doc/inotify-tools-rs";
    let tools = ["inotifywait", "inotifywatch", "fsnotifywait", "fsnotifywatch", "inotify-rsync"];
    let mut expected: Vec<PathBuf> = tools.map(|tool| Path::new("usr/bin").join(tool)).into();
    for (source, end, place) in [
        ("man", ".1", "usr/share/man/man1"),
        ("completions", ".bash", "usr/share/bash-completion/completions"),
        ("completions", ".fish", "usr/share/fish/vendor_completions.d"),
        ("completions", "_inotifywait", "usr/share/zsh/site-functions"),
        ("completions", "_inotify-rsync", "usr/share/zsh/site-functions"),
        ("packaging/systemd", "", "usr/lib/systemd/system"),
        ("packaging/examples", "", "usr/share/doc/inotify-tools-rs/examples"),
        ("docs", ".md", "usr/share/doc/inotify-tools-rs/docs"),
        ("docs", ".svg", "usr/share/doc/inotify-tools-rs/docs"),
        ("LICENSE-MIT", "", "usr/share/licenses/inotify-tools-rs"),
        ("LICENSE-APACHE", "", "usr/share/licenses/inotify-tools-rs"),
        ("README.md", "", doc),
        ("CHANGELOG.md", "", doc),
        ("CONTRIBUTING.md", "", doc),
        ("SECURITY.md", "", doc),
    ] {
        let source = Path::new(ROOT).join(source);
        let files = if source.is_dir() { tree(&source).into_keys().collect() } else { vec![PathBuf::new()] };
        let files = files.iter().map(|file| source.join(file));
        let names = files.filter_map(|file| Some(file.components().next_back()?.as_os_str().to_owned()));
        expected.extend(
            names
                .filter(|name| name.to_string_lossy().ends_with(end))
                .map(|name| Path::new(place).join(name)),
        );
    }
    expected.sort();
    assert_eq!(installed.into_keys().collect::<Vec<_>>(), expected);
    // Over what is there, links included.
    assert_eq!(install(dir.path()), root);

    quiet(make(dir.path()).arg("uninstall").arg("PREFIX=/usr").arg(format!("DESTDIR={}", root.display())));
    assert_eq!(tree(&root), BTreeMap::new());
    assert!(!root.join(doc).exists());
}

/// Links to other files, which have to be there in the source and where they are installed.
#[test]
fn links_in_the_documents_lead_somewhere() {
    let dir = tempdir();
    let installed = install(dir.path()).join("usr/share/doc/inotify-tools-rs");
    let link = Regex::new(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)").unwrap();
    let mut links = 0;
    for top in [Path::new(ROOT), &installed] {
        let docs = fs::read_dir(top.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let pages =
            ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| top.join(name));
        for page in docs.chain(pages).filter(|path| path.extension().is_some_and(|end| end == "md")) {
            let text = fs::read_to_string(&page).unwrap();
            for found in link.captures_iter(&text) {
                let target = if found[1].is_empty() { page.clone() } else { page.with_file_name(&found[1]) };
                let what = format!("{}: {}", page.display(), &found[0]);
                let target = fs::read_to_string(target).unwrap_or_else(|error| panic!("{what}: {error}"));
                if let Some(heading) = found.get(2) {
                    let named =
                        target.lines().any(|line| line.starts_with('#') && anchor(line) == heading.as_str());
                    assert!(named, "{what}: no such heading");
                }
                links += 1;
            }
        }
    }
    assert!(links > 20);
}

#[test]
fn paths_in_the_documents_exist() {
    let name = Regex::new(r"\b((?:src|tests|benches|docs|packaging)/[\w./-]*\w)").unwrap();
    for page in [
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/verification.md",
        "docs/performance.md",
    ] {
        let text = file(page);
        let mut paths = name.captures_iter(&text).map(|found| found[1].to_owned()).peekable();
        assert!(page == "SECURITY.md" || paths.peek().is_some(), "{page}");
        for path in paths {
            assert!(Path::new(ROOT).join(&path).exists(), "{page}: {path}");
        }
    }
}

/// `make demo`, with the program of the tests. The order of lines may depend on the moment, so the picture is not compared.
#[test]
fn the_recording_shows_what_the_program_prints() {
    if !need("python3") {
        return;
    }
    let dir = tempdir();
    let picture = dir.path().join("demo.svg");
    let mut demo = bounded(Path::new(ROOT).join("docs/demo.py"));
    quiet(demo.arg(binary("inotifywait")).arg(&picture));
    for text in [fs::read_to_string(picture).unwrap(), file("docs/demo.svg")] {
        let shown = |line: &str| text.contains(&format!(">{line}</text>"));
        for line in ["Watches established.", "src/ MOVED_TO,ISDIR z", "441", "src/ DELETE,ISDIR z"] {
            assert!(shown(line), "{line:?} is not in\n{text}");
        }
    }
}

/// How a heading is named in a link.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
}

#[test]
fn arch_and_alpine_install_the_same() {
    let dir = tempdir();
    let expected = tree(&install(dir.path()));
    std::os::unix::fs::symlink(ROOT, dir.path().join(format!("inotify-tools-rs-{VERSION}"))).unwrap();
    for (recipe, systemd) in [("arch/PKGBUILD", true), ("alpine/APKBUILD", false)] {
        let package = dir.path().join(recipe.replace('/', "-"));
        // makepkg starts in the directory where the source was unpacked, abuild in the source.
        let script = "set -eu; recipe=$1 pkgdir=$2; . \"$recipe\"; [ $pkgver = $3 ]
            [ \"${recipe##*/}\" = PKGBUILD ] || cd $pkgname-$pkgver; package";
        let mut bash = bounded("bash");
        bash.args(["-c", script, "bash", &format!("{ROOT}/packaging/{recipe}")]).arg(&package).arg(VERSION);
        bash.current_dir(dir.path()).env("CARGO_TARGET_DIR", dir.path().join("build")).env("MAKEFLAGS", "-s");
        quiet(&mut bash);
        let mut expected = expected.clone();
        expected.retain(|path, _| systemd || !path.starts_with("usr/lib"));
        assert_eq!(tree(&package), expected, "{recipe}");
    }
}

#[test]
fn the_packages_have_the_version_of_the_program() {
    let dir = tempdir();
    quiet(make(dir.path()).arg("tag-check").arg(format!("TAG=v{VERSION}")));
    for wrong in ["TAG=", &format!("TAG={VERSION}"), "TAG=v0.1.0"] {
        let (output, text) = run(make(dir.path()).arg("tag-check").arg(wrong));
        assert!(
            output.status.code() == Some(2) && text.contains(&format!("Cargo.toml has {VERSION}")),
            "{text}"
        );
    }
}

#[test]
fn the_packages_have_the_description_of_the_crate() {
    const SYNOPSIS: &str = env!("CARGO_PKG_DESCRIPTION");
    // Debian cuts off what is longer.
    assert!(SYNOPSIS.len() < 80, "{SYNOPSIS}");
    assert_eq!(env!("CARGO_PKG_NAME"), "inotify-tools-rs");
    for recipe in ["arch/PKGBUILD", "alpine/APKBUILD"] {
        let recipe = file(&format!("packaging/{recipe}"));
        assert!(recipe.contains("\npkgname=inotify-tools-rs\n"), "{recipe}");
        let line = recipe.lines().find_map(|line| line.strip_prefix("pkgdesc="));
        assert_eq!(line.unwrap().trim_matches(['"', '\'']), SYNOPSIS);
    }
    // No address of somebody else's, and none that leads nowhere: that at docs.rs comes with `cargo publish`.
    for path in [
        "Cargo.toml",
        "packaging/arch/PKGBUILD",
        "packaging/alpine/APKBUILD",
        "packaging/rpm/inotify-tools-rs.spec",
    ] {
        let text = file(path).replace("https://docs.rs/inotify-tools-rs\"", "");
        assert!(!text.contains("http"), "{path}: {text}");
    }
}

#[test]
fn arch_and_alpine_name_the_missing_tool() {
    for (package, tool) in [("arch", "makepkg"), ("alpine", "abuild")] {
        let dir = tempdir();
        let mut make = make(dir.path());
        // Only what a system without them has.
        let path = dir.path().join("bin");
        fs::create_dir(&path).unwrap();
        for tool in ["make", "timeout", "sh", "sed", "head", "git", "gzip", "mkdir", "id", "stat"] {
            std::os::unix::fs::symlink(Path::new("/usr/bin").join(tool), path.join(tool)).unwrap();
        }
        let (output, text) = run(make.arg(package).env("PATH", &path));
        let lacks = format!("make {package} needs {tool}: it is ");
        assert!(output.status.code() == Some(2) && text.contains(&lacks), "{text}");
    }
}

#[test]
fn systemd_accepts_the_units() {
    if !need("systemd-analyze") {
        return;
    }
    let dir = tempdir();
    let root = install(dir.path());
    let units = root.join("usr/lib/systemd/system");
    let example = "inotifywait-pipe.service";
    fs::copy(Path::new(ROOT).join("packaging/examples").join(example), units.join(example)).unwrap();
    // What these need of a system.
    for tool in ["bin/bash", "usr/bin/bash"] {
        fs::create_dir_all(root.join(tool).parent().unwrap()).unwrap();
        fs::copy("/bin/bash", root.join(tool)).unwrap();
    }
    for unit in ["sysinit", "basic", "shutdown", "network-online", "remote-fs", "multi-user", "slices"] {
        fs::write(units.join(format!("{unit}.target")), "[Unit]\nDefaultDependencies=no\n").unwrap();
    }
    let drop_in = units.join("inotify-rsync@.service.d");
    fs::create_dir(&drop_in).unwrap();
    let remote = Path::new(ROOT).join("packaging/examples/inotify-rsync-remote.conf");
    fs::copy(remote, drop_in.join("remote.conf")).unwrap();
    for unit in ["inotify-rsync@www.service", example] {
        let mut verify = bounded("systemd-analyze");
        quiet(verify.args(["verify", "--man=no", &format!("--root={}", root.display()), unit]));
    }
}

#[test]
fn the_example_of_a_pipe_runs_as_systemd_would_run_it() {
    let dir = tempdir();
    let unit = file("packaging/examples/inotifywait-pipe.service");
    let line = Regex::new("(?m)^ExecStart=/bin/bash -o pipefail -c '([^']*)'$").unwrap();
    let script = line.captures(&unit).unwrap()[1].to_owned();
    // Nothing is left for systemd to fill in.
    let doubled = ["%%", "$$", "\\\\"];
    let left = doubled.iter().fold(script.clone(), |script, two| script.replace(two, ""));
    assert!(!left.contains(['%', '$', '\\']), "{left}");
    let script = doubled.iter().fold(script, |script, two| script.replace(two, &two[..1]));

    let watched = dir.path().join("uploads");
    fs::create_dir(&watched).unwrap();
    let script = script.replace("/srv/uploads", watched.to_str().unwrap());
    let mut bash = command(dir.path(), "/bin/bash", ["-o", "pipefail", "-c", &script]);
    let tools = Path::new(binary("inotifywait")).parent().unwrap().display();
    bash.env("PATH", format!("{tools}:{}", std::env::var("PATH").unwrap()));
    let mut pipe = Running::start(bash);
    // With -q it does not tell when it is ready.
    pipe.wait("the file", |pipe| {
        fs::write(watched.join("a b\n$c"), "").unwrap();
        pipe.stdout.lines().contains(&format!("arrived: $'{}/a b\\n$c'", watched.display()))
    });
}

#[test]
fn the_workflow_is_well_formed_and_checks_the_tag() {
    if !need("/usr/lib/python3/dist-packages/yaml") {
        return;
    }
    let script = "import sys, yaml
for name, job in yaml.safe_load(open(sys.argv[1]))['jobs'].items():
    for step in job['steps']: print(name, step.get('run', '').strip())";
    let (output, text) =
        run(bounded("/usr/bin/python3").args(["-c", script, ".github/workflows/ci.yml"]).current_dir(ROOT));
    assert!(output.status.success(), "{text}");
    let steps = String::from_utf8(output.stdout).unwrap();
    let place =
        |step: &str| steps.lines().position(|line| line == step).unwrap_or_else(|| panic!("{step}: {text}"));
    assert!(place("test make tag-check TAG=\"$GITHUB_REF_NAME\"") < place("test .ci/run"));
    assert!(place("test .ci/run") < place("release make try-deb rpm static dist vendored"));
}

#[test]
fn make_test_installs_the_needed_packages() {
    // Part of every system, or of what is installed with another command.
    const THERE: [&str; 12] = [
        "bash",
        "python3",
        "tar",
        "git",
        "nohup",
        "umount",
        "nsenter",
        "setpriv",
        "prlimit",
        "ssh-keygen",
        "flock",
        "systemd-notify",
    ];
    let makefile = file("Makefile").replace("\\\n", "");
    let needs = makefile.lines().find_map(|line| line.strip_prefix("TEST_NEEDS = ")).unwrap();
    let known: Vec<&str> =
        needs.split_whitespace().filter_map(|need| Some(need.split_once(':')?.1)).collect();
    let need = Regex::new(r#"\bneed\("([^"]+)"\)"#).unwrap();
    for (path, _) in tree(&Path::new(ROOT).join("tests")) {
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join("tests").join(&path)) else { continue };
        for tool in need.captures_iter(&text) {
            assert!(known.contains(&&tool[1]) || THERE.contains(&&tool[1]), "{path:?} needs {}", &tool[1]);
        }
    }
}

#[test]
fn shellcheck_accepts_the_scripts() {
    if need("shellcheck") {
        let scripts = [
            "packaging/debian/build",
            "packaging/try-deb",
            "packaging/try-packages",
            ".ci/run",
            ".ci/cross",
            ".ci/reference-4",
            ".ci/unpack",
        ];
        quiet(bounded("shellcheck").args(scripts).current_dir(ROOT));
    }
}
