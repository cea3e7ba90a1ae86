"""Kills a process at every line that it runs while it replaces a file: `python -m tests.local.killed_writer DIRECTORY`.

Prints JSON: at how many lines a process was killed, and for each what was then in the file, by name, and which other
files lay there.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from credhelper.local import edited_files, file_lock, private_files

CONTENTS = {"old": b"old\n" * 10, "new": b"new\n" * 30}
WATCHED = {module.__file__ for module in (edited_files, file_lock, private_files)}


def killer(at: int) -> Any:
    """A trace function that kills its process at the line of this number."""
    left = at

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    return trace


def perform(path: Path, at: int) -> bool:
    """Replaces the file in a process that is killed at that line; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        sys.settrace(killer(at))
        edited_files.replace(path, CONTENTS["old"], CONTENTS["new"], backup=True)
        sys.settrace(None)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(directory: Path) -> None:
    """Line after line."""
    found: list[dict[str, object]] = []
    has_ended = False
    while not has_ended:
        home = directory / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        path = home / "config"
        path.write_bytes(CONTENTS["old"])
        has_ended = perform(path, len(found))
        content = next((name for name, text in CONTENTS.items() if path.read_bytes() == text), "torn")
        others = sorted(name for name in os.listdir(home) if name != path.name)
        backups = [(home / name).read_bytes() == CONTENTS["old"] for name in others if name.startswith("config.")]
        found.append({"content": content, "others": others, "backups": backups})
    again = edited_files.replace(path, CONTENTS["new"], CONTENTS["old"], backup=False)
    print(json.dumps({"points": found, "again": str(again), "left": sorted(os.listdir(home))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
