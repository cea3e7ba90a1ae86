"""Stands in for `systemctl --user` where no systemd is: starts the daemon of the installed unit, and notes its argv.

Run as a program. Its state lies in $XDG_RUNTIME_DIR/manager: ``calls`` (a line for each command that changes
something), ``environment`` (more of the manager's variables), ``refuses`` (the exit status of a service whose sandbox
cannot be made), ``idle`` (if it is there, no daemon is started: the service only seems to run).
"""

import os
import select
import signal
import sys

# No pathlib, and nothing else that is only sometimes needed: a test calls this ten times.
HOME, RUNTIME = os.environ["HOME"], os.environ["XDG_RUNTIME_DIR"]
STATE = f"{RUNTIME}/manager"
UNITS = f"{HOME}/.config/systemd/user"
SERVICE, SOCKET = "credhelper.service", "credhelper.socket"
QUESTIONS = {"show", "show-environment"}


def noted(name: str) -> str:
    """The content of a file of the state, "" when there is none."""
    return read(f"{STATE}/{name}") if os.path.exists(f"{STATE}/{name}") else ""


def read(path: str) -> str:
    """A whole file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def note(name: str, text: str) -> None:
    """Writes a file of the state."""
    with open(f"{STATE}/{name}", "w", encoding="utf-8") as file:
        file.write(text)


def environment() -> dict[str, str]:
    """The manager's variables."""
    own = {"HOME": HOME, "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": RUNTIME, "LANG": "C.UTF-8"}
    return own | dict(line.split("=", 1) for line in noted("environment").splitlines())


def service_environment() -> dict[str, str]:
    """The manager's variables, and those of the unit's EnvironmentFile."""
    import shlex

    found = environment()
    for path in settings("EnvironmentFile"):
        lines = read(path).splitlines()
        found |= dict(shlex.split(line)[0].split("=", 1) for line in lines if line[:1] != "#")
    return found


def settings(name: str) -> list[str]:
    """The values of a setting in the service's unit and its additions."""
    more = f"{UNITS}/{SERVICE}.d"
    names = sorted(os.listdir(more)) if os.path.isdir(more) else []
    files = [f"{UNITS}/{SERVICE}", *(f"{more}/{name}" for name in names)]
    lines = [line for path in files for line in read(path).splitlines()]
    return [line.partition("=")[2].replace("%%", "%") for line in lines if line.startswith(f"{name}=")]


def pid() -> int:
    """The service's process, 0 when it does not run."""
    number = int(noted("pid") or 0)
    if is_idle():
        return number
    return number if number and not has_ended(number) else 0


def is_idle() -> bool:
    """Whether the service only seems to run."""
    return os.path.exists(f"{STATE}/idle")


def has_ended(number: int, seconds: float = 0) -> bool:
    """Whether a process has ended, or ends in time."""
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def show(unit: str) -> str:
    """What `systemctl show` says of a unit."""
    is_there = os.path.exists(f"{UNITS}/{unit}")
    is_active = pid() != 0 if unit == SERVICE else noted("listening") == "yes"
    found = {
        "Id": unit,
        "ActiveState": "active" if is_active else "failed" if unit == SERVICE and noted("failed") else "inactive",
        "UnitFileState": "enabled" if is_there and unit in noted("enabled").split() else "",
        "NeedDaemonReload": "no",
    }
    if unit == SERVICE:
        found |= {"MainPID": str(pid()), "ExecMainStatus": noted("failed") or "0"}
    return "".join(f"{name}={value}\n" for name, value in found.items())


def start(unit: str) -> None:
    """Starts a unit."""
    if unit == SOCKET:
        note("listening", "yes")
        return
    if pid():
        return
    refused = noted("refuses")
    if refused and not os.path.exists(f"{UNITS}/{SERVICE}.d/compat.conf"):
        note("failed", refused)
        sys.exit("Job for credhelper.service failed because the control process exited with error code.")
    note("failed", "")
    if is_idle():
        note("pid", "1")
    else:
        start_daemon()


def start_daemon() -> None:
    """Starts what the unit names."""
    import shlex
    import subprocess

    command = shlex.split(settings("ExecStart")[-1])
    process = subprocess.Popen(
        command,
        env=service_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    note("pid", str(process.pid))
    process.returncode = 0  # it outlives us


def stop(unit: str) -> None:
    """Stops a unit."""
    if unit == SOCKET:
        note("listening", "")
    elif is_idle():
        note("pid", "")
    elif number := pid():
        os.kill(number, signal.SIGTERM)
        if not has_ended(number, 30):
            sys.exit("it does not end")


def main(verb: str, units: list[str], *, now: bool) -> None:
    """One command."""
    if verb not in QUESTIONS:
        with open(f"{STATE}/calls", "a", encoding="utf-8") as calls:
            calls.write(" ".join(sys.argv[1:]) + "\n")
    enabled = set(noted("enabled").split())
    match verb:
        case "show-environment":
            sys.stdout.write("".join(f"{name}={value}\n" for name, value in environment().items()))
        case "show" if units:
            sys.stdout.write("\n".join(show(unit) for unit in units))
        case "show":
            sys.stdout.write(f"UnitPath={RUNTIME}/systemd/user.control {UNITS} /usr/lib/systemd/user\n")
        case "enable":
            note("enabled", " ".join(enabled | set(units)))
        case "disable":
            note("enabled", " ".join(enabled - set(units)))
    for unit in units:
        if verb in {"stop", "restart"} or (verb == "disable" and now):
            stop(unit)
        if verb in {"start", "restart"} or (verb == "enable" and now):
            start(unit)


if __name__ == "__main__":
    os.makedirs(STATE, exist_ok=True)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    main(words[0], words[1:], now="--now" in sys.argv)
