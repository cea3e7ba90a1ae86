"""The daemon's door: who is let in, what is turned away, and that nobody's bad manners cost others anything."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from credhelper import client
from credhelper.local.process import raise_descriptor_limit
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine
from tests.program.support import (
    NOBODY,
    Daemon,
    as_user,
    ask,
    ask_at,
    connect,
    frame,
    needs_root,
    read_frame,
    request,
    running_daemon,
    until,
    what_comes_back,
)

MANY = 1000

KNOCK = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(60)
connection.connect(sys.argv[1])
received = b""
try:
    connection.sendall(bytes.fromhex(sys.argv[2]))
    while chunk := connection.recv(4096):
        received += chunk
except ConnectionError:
    pass
print(len(received))
"""


@pytest.fixture
def daemon(machine: Machine) -> Iterator[Daemon]:
    """A daemon whose log can be read, with session corp logged in."""
    with running_daemon(machine) as running:
        machine.log_in()
        yield running


@contextlib.contextmanager
def doors_open(machine: Machine) -> Iterator[None]:
    """Everybody can reach the socket: only what the kernel says of a caller is left to keep them out."""
    directories = (machine.root, machine.runtime, machine.socket.parent)
    try:
        for directory in directories:
            directory.chmod(0o755)
        machine.socket.chmod(0o666)
        yield
    finally:
        for directory in directories:
            directory.chmod(0o700)
        machine.socket.chmod(0o600)


def is_served(machine: Machine) -> bool:
    answer = ask(machine, "get", profile="dev")
    return answer["status"] == "0" and json.loads(answer["out"])["AccountId"] == "111122223333"


# -- who calls ------------------------------------------------------------------------------------------------------


@needs_root
def test_another_user_gets_nothing_even_where_files_would_let_them_in(machine: Machine, daemon: Daemon) -> None:
    knocks = [request(machine, "get", profile="dev"), request(machine, "hello"), request(machine, "stop"), b""]
    with doors_open(machine):
        for sent in knocks:
            knock = as_user(NOBODY, [sys.executable, "-Ic", KNOCK, str(machine.socket), sent.hex()])
            assert machine.run_program(knock).out == "0\n"
        assert is_served(machine)
    assert "refused a connection of uid 65534" in daemon.log()
    assert "Traceback" not in daemon.log()


@needs_root
def test_a_user_that_knocks_on_and_on_does_not_fill_the_log(machine: Machine, daemon: Daemon) -> None:
    many = KNOCK.replace("import socket, sys", "import socket, sys\nfor _ in range(200): exec('''", 1) + "''')"
    with doors_open(machine):
        knock = as_user(NOBODY, [sys.executable, "-Ic", many, str(machine.socket), ""])
        assert machine.run_program(knock).out == "0\n" * 200
    assert daemon.log().count("uid 65534") <= 3


def test_an_answer_holds_only_what_was_asked_for(machine: Machine, daemon: Daemon) -> None:
    token = json.loads(machine.token_file().read_bytes())
    answers = [ask(machine, op, profile="dev") for op in ("get", "whoami", "status", "hello")]
    for secret in (token["accessToken"], token["refreshToken"], token["clientSecret"]):
        assert secret not in repr(answers)


# -- what is no request ---------------------------------------------------------------------------------------------


def size(number: int) -> bytes:
    return number.to_bytes(4, "big")


@pytest.mark.usefixtures("daemon")
def test_what_is_no_request_is_dropped_without_a_word(machine: Machine) -> None:
    good = request(machine, "get", profile="dev")
    payload = good[4:]
    nonsense = {
        "zero length": size(0),
        "zero length and more": size(0) + payload,
        "one more than may be": size(client.MAX_REQUEST + 1) + b"x" * 100,
        "four gigabytes": b"\xff\xff\xff\xff",
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "text": b"get dev\n",
        "TLS": bytes.fromhex("16030100c8010000c40303"),
        "more behind the frame": good + b"x",
        "two frames": good + good,
        "no fields": size(3) + b"abc",
        "an empty field": size(1) + b"\0",
        "a field twice": size(len(payload) + 5) + payload + b"\0v=1",
        "no version": frame({"op": "get", "HOME": str(machine.home), "profile": "dev"}),
        "no operation": frame({"v": client.PROTOCOL.decode(), "HOME": str(machine.home), "profile": "dev"}),
        "an unknown operation": request(machine, "steal"),
        "an operation's own name in Python": request(machine, "__class__"),
        "an unknown field": request(machine, "get", profile="dev", endpoint_url="http://127.0.0.1:9"),
        "somebody else's variable": request(machine, "get", profile="dev", AWS_ENDPOINT_URL="http://127.0.0.1:9"),
        "a time that is none": request(machine, "get", profile="dev", min_ttl="soon"),
        "a time longer than any": request(machine, "get", profile="dev", min_ttl="9" * 5000),
        "a login without a flow": request(machine, "login", profile="dev"),
        "a login with a flow that is none": request(machine, "login", profile="dev", flow="password"),
    }
    for what, sent in nonsense.items():
        assert what_comes_back(machine.socket, sent) == b"", what
        assert is_served(machine), what


def test_a_frame_of_the_largest_size_is_read(machine: Machine, daemon: Daemon) -> None:
    room = client.MAX_REQUEST - len(request(machine, "get", profile="")) + 4
    answer = ask(machine, "get", profile="x" * room)
    assert answer["status"] == "4"
    assert len(answer["err"]) < 2000
    assert what_comes_back(machine.socket, request(machine, "get", profile="x" * (room + 1))) == b""


def test_a_good_request_may_come_in_any_pieces(machine: Machine, daemon: Daemon) -> None:
    with connect(machine.socket) as connection:
        for byte in request(machine, "get", profile="dev"):
            connection.sendall(bytes([byte]))
        assert read_frame(connection)["status"] == "0"


def test_thousands_of_random_frames_break_nothing(machine: Machine, daemon: Daemon) -> None:
    chance = random.Random(20261124)
    is_served(machine)
    before = daemon.descriptors() if os.geteuid() == 0 else None
    for number in range(3000):
        sent = random_frame(chance, machine)
        with connect(machine.socket) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            if number % 10 == 0:
                connection.recv(65_536)
        if number % 250 == 0:
            assert is_served(machine)
    assert is_served(machine)
    until(lambda: before is None or daemon.descriptors() <= before, "every descriptor is given back")
    assert "Traceback" not in daemon.log()
    assert "a fault" not in daemon.log()


def random_frame(chance: random.Random, machine: Machine) -> bytes:
    """Noise, a good request damaged in one place, or a frame of random fields, in equal parts."""
    kind = chance.randrange(3)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        damaged = bytearray(request(machine, chance.choice(["get", "status", "whoami"]), profile="dev"))
        damaged[chance.randrange(4 if chance.random() < 0.3 else len(damaged))] = chance.randrange(256)
        return bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])])
    names = [
        "profile",
        "sso_session",
        "account_id",
        "role_name",
        "region",
        "cwd",
        "AWS_CONFIG_FILE",
        "AWS_PROFILE",
        "x",
    ]
    fields = {name.encode(): chance.randbytes(20).replace(b"\0", b"") for name in chance.sample(names, 3)}
    fields |= {b"v": client.PROTOCOL, b"op": chance.choice([b"get", b"status"]), b"HOME": os.fsencode(machine.home)}
    return client.frame(fields)


# -- bad manners ----------------------------------------------------------------------------------------------------


def test_silent_and_slow_callers_are_dropped_while_others_are_served(machine: Machine, daemon: Daemon) -> None:
    good = request(machine, "get", profile="dev")
    slow = [b"", good[:1], good[:4], good[:-1]] * 25
    with contextlib.ExitStack() as stack:
        connections = []
        for sent in slow:
            connection = stack.enter_context(connect(machine.socket))
            connection.sendall(sent)
            connections.append(connection)
        for _ in range(50):
            assert is_served(machine)
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
        assert is_served(machine)
    assert daemon.log().count("too slow") == len(slow)


def test_a_caller_that_drips_is_dropped_as_well(machine: Machine, daemon: Daemon) -> None:
    """A byte now and then gains no time: the whole request has its deadline."""
    sent = 0
    with connect(machine.socket) as connection:
        connection.settimeout(0.1)
        for byte in request(machine, "get", profile="dev", cwd="/" * 3000):
            try:
                connection.sendall(bytes([byte]))
                sent += 1
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it was never dropped")
    assert 0 < sent < 3000
    assert is_served(machine)


@needs_root
def test_a_caller_that_leaves_in_the_middle_leaves_no_trace(machine: Machine, sandbox: Sandbox, daemon: Daemon) -> None:
    assert ask(machine, "get", profile="native")["status"] == "0"
    before = daemon.descriptors()
    with sandbox.hold("GetRoleCredentials") as hold, connect(machine.socket) as patient:
        patient.sendall(request(machine, "get", profile="dev"))
        hold.wait_for(1)
        for _ in range(100):
            with connect(machine.socket) as impatient:
                impatient.sendall(request(machine, "get", profile="dev"))
        until(lambda: daemon.descriptors() <= before + 2, "those who left are forgotten")  # one waits, and one call
        hold.release()
        assert read_frame(patient)["status"] == "0"
    assert sandbox.calls["GetRoleCredentials"] == 2
    until(lambda: daemon.descriptors() <= before + 1, "everything is closed")  # a connection to AWS may be kept alive
    assert "Traceback" not in daemon.log()
    assert "never retrieved" not in daemon.log()


def test_a_caller_that_does_not_take_its_answer_is_no_burden(machine: Machine, daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(connect(machine.socket))
            connection.sendall(request(machine, "status"))
        for _ in range(20):
            assert is_served(machine)


# -- crowds ---------------------------------------------------------------------------------------------------------


def test_a_thousand_at_once_get_a_cold_role_for_one_call(machine: Machine, sandbox: Sandbox, daemon: Daemon) -> None:
    raise_descriptor_limit()
    sent = request(machine, "get", profile="dev")

    async def one() -> dict[bytes, bytes]:
        reader, writer = await asyncio.open_unix_connection(machine.socket)
        writer.write(sent)
        length = int.from_bytes(await reader.readexactly(4), "big")
        payload = await reader.readexactly(length)
        writer.close()
        return client.parse(payload)

    async def all_of_them() -> list[dict[bytes, bytes]]:
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*(one() for _ in range(MANY)))

    answers = asyncio.run(all_of_them())
    assert {answer[b"status"] for answer in answers} == {b"0"}
    assert len({answer[b"out"] for answer in answers}) == 1
    assert sandbox.calls["GetRoleCredentials"] == 1


def test_a_thousand_at_once_are_told_of_one_failure(machine: Machine, sandbox: Sandbox, daemon: Daemon) -> None:
    raise_descriptor_limit()
    sandbox.fail("GetRoleCredentials", Fault(status=429, retry_after=30), times=None)
    with contextlib.ExitStack() as stack, sandbox.hold("GetRoleCredentials") as hold:
        connections = [stack.enter_context(connect(machine.socket)) for _ in range(MANY)]
        for connection in connections:
            connection.sendall(request(machine, "get", profile="dev"))
        hold.wait_for(1)
        hold.release()
        assert {read_frame(connection)["status"] for connection in connections} == {"6"}
    assert sandbox.calls["GetRoleCredentials"] == 1


def test_whoever_connects_while_it_is_busy_waits_in_line(machine: Machine, daemon: Daemon) -> None:
    raise_descriptor_limit()
    daemon.process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        try:
            connections = [stack.enter_context(connect(machine.socket)) for _ in range(MANY)]
            for connection in connections:
                connection.sendall(request(machine, "get", profile="dev"))
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        assert {read_frame(connection)["status"] for connection in connections} == {"0"}


# -- callers and versions -------------------------------------------------------------------------------------------


def test_each_caller_is_answered_from_its_own_files(machine: Machine, daemon: Daemon) -> None:
    other = machine.root / "other-config"
    text = machine.config.read_text(encoding="utf-8")
    other.write_text(text.replace("111122223333", "222233334444"), encoding="utf-8")
    accounts = [
        json.loads(ask(machine, "get", profile="dev", **theirs)["out"])["AccountId"]
        for theirs in ({}, {"AWS_CONFIG_FILE": str(other)}) * 3
    ]
    assert accounts == ["111122223333", "222233334444"] * 3
    relative = ask(machine, "get", profile="dev", cwd=str(machine.root), AWS_CONFIG_FILE="other-config")
    assert json.loads(relative["out"])["AccountId"] == "222233334444"
    variable = ask(machine, "get", AWS_PROFILE="native", AWS_DEFAULT_PROFILE="dev")
    assert variable["status"] == "0"


def test_a_client_of_another_version_is_told_what_to_do(machine: Machine, daemon: Daemon) -> None:
    answer = ask(machine, "get", profile="dev", v="999")
    assert answer["status"] == "7"
    assert answer["out"] == ""
    assert f"the daemon speaks protocol {client.PROTOCOL.decode()}, this client 999" in answer["err"]
    assert answer["err"].endswith("credhelper: hint: credhelper daemon restart\n")
    assert json.loads(ask_at(machine.socket, {"v": "999", "op": "hello"})["out"])["pid"] == daemon.pid
    assert ask_at(machine.socket, {"v": "999", "op": "stop"})["status"] == "0"
    assert daemon.process.wait(SECONDS) == 0
