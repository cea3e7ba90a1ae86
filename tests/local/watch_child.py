"""A process that watches files and obeys its standard input; what it is told it prints, a JSON object a line.

Commands: ``add PATH``, ``limit NAME NUMBER`` (of its user namespace), ``hang DIRECTORY`` (mounts there a file system
whose server never answers), ``descriptors`` (prints how many are open), ``stop``, ``end`` (returns without a stop).
"""

import contextlib
import ctypes
import json
import logging
import os
import sys
import threading
from pathlib import Path

from credhelper.local import watch

_printing = threading.Lock()


def say(found: object) -> None:
    """Prints one line."""
    with _printing:
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def tell(report: watch.Report) -> None:
    """Prints a report, with what is found in its ``.json`` files; what may hang is called otherwise."""
    contents: dict[str, str | None] = {}
    for path in report.changed:
        if path.suffix == ".json":
            contents[str(path)] = None
            with contextlib.suppress(FileNotFoundError):
                contents[str(path)] = path.read_text()
    say({"changed": contents, "reliable": sorted(map(str, report.reliable))})


def hang(directory: Path) -> None:
    """Mounts a FUSE file system at ``directory`` that answers nothing."""
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"silent", os.fsencode(directory), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Obeys until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    watch.WITHOUT_WATCH = watch.WITHOUT_EVENTS = 0.02
    watching = watch.Watch(tell, sweep=3600)
    watching.start()
    for line in sys.stdin:
        command, *words = line.split()
        if command == "add":
            watching.add(Path(words[0]))
        elif command == "limit":
            Path("/proc/sys/user", words[0]).write_text(words[1])
            watching.check_now()
        elif command == "hang":
            hang(Path(words[0]))
        elif command == "descriptors":
            say(len(os.listdir("/proc/self/fd")))
            continue
        elif command == "stop":
            watching.stop()
            return
        elif command == "end":
            return
        say(command)


if __name__ == "__main__":
    main()
