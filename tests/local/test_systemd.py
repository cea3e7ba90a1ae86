"""What the daemon and its service manager say to each other; here, the test is the manager."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credhelper.local.systemd import ServiceManager

SERVICE = """
import json, os, socket, sys
from credhelper.domain.errors import CredhelperError
from credhelper.local.systemd import ServiceManager
if len(sys.argv) > 2:
    os.dup2(int(sys.argv[2]), 3)
    os.environ["LISTEN_PID"] = os.environ.get("LISTEN_PID") or str(os.getpid())
try:
    manager = ServiceManager.taken_from(os.environ)
except CredhelperError as error:
    print(json.dumps({"error": error.message, "hint": error.hint}))
    sys.exit()
listener = manager.listener
print(json.dumps({
    "listens_at": listener and listener.getsockname(),
    "inheritable": listener and listener.get_inheritable(),
    "blocking": listener and listener.getblocking(),
    "watchdog": manager.watchdog,
    "left": [name for name in os.environ if name.startswith(("LISTEN", "NOTIFY", "WATCHDOG"))],
}))
manager.ready("Serving")
"""


def started(descriptor: int | None = None, **environment: str) -> Any:
    """What a service finds that was started with that environment and, as its third descriptor, that one."""
    inherited = [] if descriptor is None else [descriptor]
    done = subprocess.run(
        [sys.executable, "-Ic", SERVICE, "x", *map(str, inherited)],
        env={"PATH": os.environ["PATH"], **environment},
        pass_fds=inherited,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@contextlib.contextmanager
def manager_of(environment: dict[str, str]) -> Iterator[ServiceManager]:
    """The manager that this process finds in an environment."""
    with contextlib.closing(ServiceManager.taken_from(environment)) as found:
        yield found


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        bound.bind("s")
        bound.listen()
        yield bound


@pytest.fixture
def manager() -> Iterator[tuple[str, socket.socket]]:
    """A manager's address, as NOTIFY_SOCKET holds it, and what it hears there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind("")  # an abstract address that nobody else has
        hears.settimeout(30)
        yield "@" + hears.getsockname()[1:].decode(), hears


# -- the socket -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [{"LISTEN_FDNAMES": "rpc"}, {"LISTEN_FDNAMES": "credhelper.socket"}, {}])
def test_a_socket_that_is_handed_over_is_taken_and_kept_from_children(
    listener: socket.socket, names: dict[str, str]
) -> None:
    found = started(listener.fileno(), LISTEN_FDS="1", **names)
    assert found == {"listens_at": "s", "inheritable": False, "blocking": False, "watchdog": None, "left": []}


def test_a_socket_that_was_meant_for_another_process_is_none_of_ours(listener: socket.socket) -> None:
    found = started(listener.fileno(), LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    assert found["listens_at"] is None
    assert found["left"] == []


def test_without_a_manager_there_is_nothing() -> None:
    assert started() == {"listens_at": None, "inheritable": None, "blocking": None, "watchdog": None, "left": []}


@pytest.mark.parametrize(
    ("count", "names"), [("2", "rpc:http"), ("1", "http"), ("1", "rpc:http"), ("x", "rpc"), ("0", "")]
)
def test_other_sockets_than_one_are_refused(listener: socket.socket, count: str, names: str) -> None:
    found = started(listener.fileno(), LISTEN_FDS=count, LISTEN_FDNAMES=names)
    assert f"hands over {count} sockets ({names})" in found["error"]
    assert found["hint"] == "credhelper service install"


@pytest.mark.parametrize("kind", ["a file", "an Internet socket", "datagrams", "a socket that does not listen"])
def test_what_is_no_listening_unix_socket_is_refused(tmp_path: Path, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        if kind == "a file":
            descriptor = stack.enter_context((tmp_path / "file").open("wb")).fileno()
        elif kind == "an Internet socket":
            descriptor = stack.enter_context(socket.create_server(("127.0.0.1", 0))).fileno()
        else:
            of = socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM
            descriptor = stack.enter_context(socket.socket(socket.AF_UNIX, of)).fileno()
        found = started(descriptor, LISTEN_FDS="1", LISTEN_FDNAMES="rpc")
    assert "no socket" in found["error"] or "no listening Unix socket" in found["error"]


# -- what is said ---------------------------------------------------------------------------------------------------


def test_the_manager_hears_how_the_service_is(manager: tuple[str, socket.socket]) -> None:
    address, hears = manager
    environment = {"NOTIFY_SOCKET": address, "HOME": "/"}
    with manager_of(environment) as service:
        assert environment == {"HOME": "/"}
        service.ready("Serving")
        assert hears.recv(4096) == b"READY=1\nSTATUS=Serving"
        service.alive()
        assert hears.recv(4096) == b"WATCHDOG=1"
        service.reloading()
        said, _, moment = hears.recv(4096).partition(b"\nMONOTONIC_USEC=")
        assert said == b"RELOADING=1"
        assert int(moment) > 0
        service.stopping()
        assert hears.recv(4096).startswith(b"STOPPING=1\n")


def test_the_managers_address_may_be_a_file(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind("notify")
        hears.settimeout(30)
        Path("/tmp").joinpath(f"ch-notify-{os.getpid()}").symlink_to(tmp_path)
        link = Path(f"/tmp/ch-notify-{os.getpid()}")
        try:
            started(NOTIFY_SOCKET=str(link / "notify"))
        finally:
            link.unlink()
        assert hears.recv(4096) == b"READY=1\nSTATUS=Serving"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "vsock:2:1234", "relative"])
def test_nobody_is_told_where_nobody_listens(address: str) -> None:
    with manager_of({"NOTIFY_SOCKET": address}) as service:
        service.ready("Serving")
        service.stopping()


def test_a_manager_that_does_not_listen_any_more_holds_nothing_up(manager: tuple[str, socket.socket]) -> None:
    address, hears = manager
    with manager_of({"NOTIFY_SOCKET": address}) as service:
        for _ in range(1000):  # more than the queue holds
            service.alive()
        hears.close()
        service.alive()


# -- the watchdog ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_time_is_read_if_it_is_ours(said: dict[str, str], seconds: float | None) -> None:
    with manager_of(said) as service:
        assert service.watchdog == seconds
    assert said == {}
