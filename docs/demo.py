#!/usr/bin/env python3
"""Record docs/demo.svg: commands on the left, the lines of inotifywait for them on the right.

    docs/demo.py INOTIFYWAIT OUTPUT

Everything shown is the output of real programs. Only the times are not: they are fixed, so that the same output makes
the same file. `make demo` calls it.
"""

import os
import queue
import subprocess
import sys
import tempfile
import threading
from html import escape

OPTIONS = "-mr -e create,move,close_write,delete"
# A comment or a command, and the last line that inotifywait prints for it.
STEPS = [
    ("# Files in directories that are new themselves", None),
    ("mkdir -p src/a/b/c && touch src/a/b/c/new", "src/a/b/c/ CLOSE_WRITE,CLOSE new"),
    ("# After a rename, events have the new path", None),
    ("mv src/a src/z", "src/ MOVED_TO,ISDIR z"),
    ("echo text >src/z/b/c/new", "src/z/b/c/ CLOSE_WRITE,CLOSE new"),
    ("# An archive of 441 entries: each is reported", None),
    ("tar xf archive.tar -C src", None),
    ("grep archive log | grep -c CREATE", None),
    ("# A deleted tree, from the leaves to the root", None),
    ("rm -r src/z", "src/ DELETE,ISDIR z"),
]
BOUND = 20  # seconds; nothing takes that long unless it is broken
ENTRIES, FILES = 441, 400

# In characters, and in the units of the picture.
COLUMNS = [48, 73]
LINE, CHAR, TOP, LEFT = 18, 7.83, 52, 14
PANES = [columns * CHAR + 2 * LEFT for columns in COLUMNS]
STARTS = [0, PANES[0] + 10]


class Watcher:
    """inotifywait on `src`, and its lines."""

    def __init__(self, program, place):
        self.lines = queue.Queue()
        self.process = subprocess.Popen(
            [program, *OPTIONS.split(), "src"], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.status = [self.process.stderr.readline().rstrip("\n") for _ in range(2)]
        self.log = open(os.path.join(place, "log"), "w")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def until(self, enough):
        """The next lines, up to the first for which `enough` holds of all of them."""
        seen = []
        while not enough(seen):
            try:
                seen.append(self.lines.get(timeout=BOUND))
            except queue.Empty:
                sys.exit("not all came:\n" + "\n".join(seen))
            print(seen[-1], file=self.log, flush=True)
        return seen


def archive(place):
    """An archive of 41 directories with 400 files."""
    for number in range(40):
        directory = os.path.join(place, f"archive/d{number:02}")
        os.makedirs(directory)
        for name in range(10):
            open(os.path.join(directory, f"f{name}"), "w").close()
    subprocess.run(["tar", "cf", "archive.tar", "--sort=name", "archive"], cwd=place, check=True)


def complete(lines):
    """Whether the whole archive was reported."""
    created = sum(" CREATE" in line for line in lines)
    closed = len({line for line in lines if " CLOSE_WRITE" in line})
    return created == ENTRIES and closed == FILES


def record(program):
    """(seconds, pane, text) of each line, in order."""
    screen, now = [], 0.5
    with tempfile.TemporaryDirectory() as place:
        os.mkdir(os.path.join(place, "src"))
        archive(place)
        screen.append((now, 1, f"$ inotifywait {OPTIONS} src | tee log"))
        watcher = Watcher(program, place)
        screen += [(now + 0.6, 1, line) for line in watcher.status]
        now += 2
        for command, last in STEPS:
            screen.append((now, 0, command if command.startswith("#") else f"$ {command}"))
            now += 0.9
            if command.startswith("#"):
                continue
            output = subprocess.run(command, shell=True, cwd=place, capture_output=True, text=True, check=True).stdout
            screen += [(now, 0, line) for line in output.splitlines()]
            if command.startswith("tar"):
                # Only the first is the same each time: the others depend on when a directory was read.
                lines = [watcher.until(complete)[0], "..."]
            else:
                lines = watcher.until(lambda seen: seen[-1:] == [last]) if last else []
            screen += [(now + 0.06 * at, 1, line) for at, line in enumerate(lines)]
            now += 1.4
        watcher.process.terminate()
        watcher.process.wait()
    return screen, now + 4


def draw(screen, length):
    names = {0: "a shell", 1: "inotifywait"}
    style, text, count = [], [], [0, 0]
    for at, (time, pane, line) in enumerate(screen):
        percent = 100 * time / length
        style.append(f"@keyframes l{at}{{0%,{percent:.2f}%{{opacity:0}}{percent + 0.01:.2f}%,100%{{opacity:1}}}}")
        kind = "c" if line.startswith("#") else "p" if line.startswith("$") else "o"
        assert len(line) <= COLUMNS[pane], line
        if kind == "c":
            # The commands of a step are beside their events.
            count = [max(count) + 0.5] * 2
        x = STARTS[pane] + LEFT
        y = TOP + count[pane] * LINE
        count[pane] += 1
        text.append(
            f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" style="animation-name:l{at}">{escape(line)}</text>'
        )
    width, height = STARTS[1] + PANES[1], TOP + max(count) * LINE
    panes = "".join(
        f'<rect x="{STARTS[pane]:.0f}" width="{PANES[pane]:.0f}" height="{height:.0f}" rx="8" fill="#1b1f27"/>'
        f'<text class="t" x="{STARTS[pane] + PANES[pane] / 2:.0f}" y="24">{names[pane]}</text>'
        for pane in (0, 1)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" xml:space="preserve" role="img" \
aria-label="Commands in a shell, and the lines that inotifywait prints for them">
<style>
text{{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;\
animation:{length:.1f}s linear infinite}}
.t{{fill:#7d8590;text-anchor:middle;animation:none}}.c{{fill:#7d8590}}.p{{fill:#79c0ff}}.o{{fill:#d6dbe1}}
@media(prefers-reduced-motion:reduce){{text{{animation:none}}}}
{chr(10).join(style)}
</style>
{panes}
{chr(10).join(text)}
</svg>
"""


def main():
    program, output = os.path.abspath(sys.argv[1]), sys.argv[2]
    picture = draw(*record(program))
    with open(output, "w") as file:
        file.write(picture)


main()
