#!/usr/bin/env python3
"""Try the programs that watch files in the same cases, and print a table in Markdown.

    docs/other-tools.py NAME=COMMAND ...

NAME is the head of a column, COMMAND a command that prints the path of each entry that is created below `d`, in a
directory of its own. In COMMAND, {exclude=...} is left out, except where a subtree is excluded. A number is the median
of three runs, with the least and the greatest in parentheses if they differ. Example:

    docs/other-tools.py 'here=inotifywait -mrq -e create,moved_to {exclude=--exclude /node_modules/} --format %w%f d'
"""

import os
import re
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

QUIET, BOUND = 2.5, 30  # seconds
ROUNDS = 3


class Watcher:
    def __init__(self, command, place, exclude=False):
        command = re.sub(r"\{exclude=([^}]*)\}", r"\1" if exclude else "", command)
        self.place, self.text, self.errors = place, b"", b""
        self.process = subprocess.Popen(
            shlex.split(command), cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.ready()

    def ready(self):
        """Make files until one is reported, then wait until all is quiet."""
        end = time.monotonic() + BOUND
        for number in range(10000):
            open(f"{self.place}/d/probe{number}", "w").close()
            self.read(0.3)
            if b"probe" in self.text:
                break
            if time.monotonic() > end:
                sys.exit(f"{self.process.args}: nothing is reported\n{self.errors.decode()}")
        self.settle()
        self.text = b""

    def read(self, seconds):
        """Read for this long at most; return whether anything came."""
        streams = [stream for stream in (self.process.stdout, self.process.stderr) if not stream.closed]
        readable, _, _ = select.select(streams, [], [], seconds)
        some = False
        for stream in readable:
            data = os.read(stream.fileno(), 1 << 16)
            some = some or bool(data)
            if stream is self.process.stdout:
                self.text += data
            else:
                self.errors += data
        if readable and not some:
            time.sleep(seconds)
        return some

    def settle(self):
        """Read until nothing more comes, for a minute at most."""
        end = time.monotonic() + 60
        while self.read(QUIET) and time.monotonic() < end:
            pass

    def paths(self):
        """The paths that were reported, relative to `d`."""
        found = re.findall(rb"(?:^|[/:\"])d/([^\n\"]*)", self.text, re.M)
        return {path.rstrip(b"/").decode() for path in found}

    def watches(self):
        descriptors = f"/proc/{self.process.pid}/fdinfo"
        texts = [open(f"{descriptors}/{name}").read() for name in os.listdir(descriptors)]
        return sum(text.count("inotify wd:") for text in texts)

    def end(self):
        self.process.kill()
        self.process.wait()


def entries(top):
    return {os.path.relpath(os.path.join(at, name), top) for at, some, more in os.walk(top) for name in some + more}


def archive(watch, place):
    for number in range(40):
        os.makedirs(f"{place}/archive/d{number:02}")
        for name in range(10):
            open(f"{place}/archive/d{number:02}/f{name}", "w").close()
    subprocess.run(["tar", "cf", "archive.tar", "archive"], cwd=place, check=True)
    watcher = watch()
    subprocess.run(["tar", "xf", "../archive.tar"], cwd=f"{place}/d", check=True)
    watcher.settle()
    wanted = {path for path in entries(f"{place}/d") if path.startswith("archive")}
    return watcher, len(wanted & watcher.paths())


def rename(watch, place):
    os.makedirs(f"{place}/d/a/b")
    watcher = watch()
    os.rename(f"{place}/d/a", f"{place}/d/z")
    watcher.settle()
    open(f"{place}/d/z/b/new", "w").close()
    watcher.settle()
    found = [path for path in ("z/b/new", "a/b/new") if path in watcher.paths()]
    return watcher, {"z/b/new": "new path", "a/b/new": "old path"}.get(found[0] if found else None, "not reported")


def files(place, number):
    for name in range(number):
        open(f"{place}/d/{name}", "w").close()


def asleep(watch, place):
    watcher = watch()
    files(place, 40000)
    time.sleep(4)
    watcher.settle()
    found = watcher.paths() & {str(name) for name in range(40000)}
    return watcher, len(found)


def overflow(watch, place):
    watcher = watch()
    watcher.process.send_signal(signal.SIGSTOP)
    files(place, 40000)
    os.mkdir(f"{place}/d/late")
    watcher.process.send_signal(signal.SIGCONT)
    watcher.settle()
    said = re.search(rb"lost|overflow", watcher.errors + watcher.text, re.I)
    open(f"{place}/d/late/new", "w").close()
    watcher.settle()
    if watcher.process.poll() is not None:
        return watcher, "exits"
    watched = "watched" if "late/new" in watcher.paths() else "not watched"
    return watcher, f"{'reported' if said else 'not reported'}; the new directory is {watched} afterwards"


def excluded(watch, place):
    for number in range(200):
        os.makedirs(f"{place}/d/node_modules/{number}")
    os.makedirs(f"{place}/d/src")
    watcher = watch(exclude=True)
    return watcher, watcher.watches()


def reader_exits(watch, place):
    watcher = watch()
    watcher.process.stdout.close()
    time.sleep(QUIET)
    return watcher, "no" if watcher.process.poll() is None else "yes"


CASES = [
    ("Entries of an unpacked archive that are reported, of 441", archive),
    ("The path of a file that is created in a renamed directory", rename),
    ("New files that are reported although the reader sleeps, of 40,000", asleep),
    ("A full kernel queue, and a directory that is created while it is full", overflow),
    ("Watches of a tree with an excluded `node_modules` of 200 directories", excluded),
    ("Exits as soon as its reader does", reader_exits),
]


def once(command, case):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        os.mkdir(f"{place}/d")
        watcher, cell = case(lambda exclude=False: Watcher(command, place, exclude), place)
        watcher.end()
        return cell


def cell(command, case):
    first = once(command, case)
    if not isinstance(first, int):
        return first
    numbers = sorted([first] + [once(command, case) for _ in range(ROUNDS - 1)])
    least, median, most = numbers[0], statistics.median_low(numbers), numbers[-1]
    return f"{median:,}" if least == most else f"{median:,} ({least:,}–{most:,})"


def main():
    tools = [argument.split("=", 1) for argument in sys.argv[1:]]
    for name, command in tools:
        if not shutil.which(command.split()[0]):
            print(f"{name} is left out: {command.split()[0]} is not installed", file=sys.stderr)
    tools = [(name, command) for name, command in tools if shutil.which(command.split()[0])]
    print("| case |", " | ".join(name for name, _ in tools), "|")
    print("|---" * (len(tools) + 1) + "|")
    for name, case in CASES:
        cells = [cell(command, case) for _, command in tools]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


main()
