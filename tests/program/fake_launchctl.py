"""Stands in for macOS's `launchctl`: it starts the daemon of a plist, and notes its argv.

Run as a program. Its state lies in $HOME/launchd: ``calls``, and ``loaded`` with the pid of the agent's process.
"""

import os
import plistlib
import select
import signal
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ["HOME"])
STATE = HOME / "launchd"
LOADED = STATE / "loaded"


def is_running(pid: int, seconds: float = 0) -> bool:
    """Whether a process runs, and goes on running for that long."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([descriptor], [], [], seconds)[0]
    finally:
        os.close(descriptor)


def bootstrap(path: str) -> None:
    """Loads a plist and starts its program."""
    if LOADED.exists():
        sys.exit("Bootstrap failed: 5: Input/output error")
    agent = plistlib.loads(Path(path).read_bytes())
    with open(agent["StandardErrorPath"], "ab") as log:
        process = subprocess.Popen(
            agent["ProgramArguments"],
            env={"HOME": str(HOME), "PATH": "/usr/bin:/bin", **agent["EnvironmentVariables"]},
            cwd=agent["WorkingDirectory"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    LOADED.write_text(str(process.pid), encoding="ascii")
    process.returncode = 0  # it outlives us


def bootout() -> None:
    """Ends the agent and forgets it."""
    if not LOADED.exists():
        sys.exit("Boot-out failed: 3: No such process")
    pid = int(LOADED.read_text(encoding="ascii"))
    if is_running(pid):
        os.kill(pid, signal.SIGTERM)
        is_running(pid, 30)
    LOADED.unlink()


def show(target: str) -> None:
    """`launchctl print`."""
    if target.count("/") == 1:
        sys.stdout.write(f"{target} = {{\n\ttype = login\n}}\n")
    elif LOADED.exists():
        pid = int(LOADED.read_text(encoding="ascii"))
        lines = ["\tstate = running", f"\tpid = {pid}"] if is_running(pid) else ["\tstate = not running"]
        sys.stdout.write("\n".join([f"{target} = {{", "\tactive count = 1", *lines, "}", ""]))
    else:
        sys.stderr.write(f'Could not find service "credhelper.daemon" in domain for {target}\n')
        sys.exit(113)


if __name__ == "__main__":
    STATE.mkdir(exist_ok=True)
    verb, *arguments = sys.argv[1:]
    if verb == "print":
        show(arguments[0])
    else:
        with open(STATE / "calls", "a", encoding="utf-8") as calls:
            calls.write(" ".join(sys.argv[1:]) + "\n")
    if verb == "bootstrap":
        bootstrap(arguments[1])
    elif verb == "bootout":
        bootout()
