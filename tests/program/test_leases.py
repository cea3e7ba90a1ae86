"""Leases as a user has them: made, used by whoever they are for, by nobody else and for nothing else, and ended."""

import contextlib
import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credhelper import client
from tests.machine import Machine, Run
from tests.program.support import (
    NOBODY,
    Daemon,
    as_user,
    ask_at,
    complaint,
    connect,
    frame,
    hello,
    needs_root,
    read_frame,
    refusal,
    running_daemon,
    until,
    what_comes_back,
)

Json = dict[str, Any]
SOMEBODY = 54_321


@pytest.fixture
def logged_in(machine: Machine) -> Machine:
    """A machine on which dev and native give credentials."""
    machine.log_in()
    return machine


@pytest.fixture
def daemon(machine: Machine) -> Iterator[Daemon]:
    """A daemon whose log can be read, with session corp logged in."""
    with running_daemon(machine) as running:
        machine.log_in()
        yield running


def create(machine: Machine, *options: str, profile: str = "dev") -> Json:
    run = machine.run("lease", "create", "--profile", profile, "--json", *options)
    assert run.status == 0, run.err
    found: Json = run.json()
    return found


def through(lease: Json, op: str, **fields: str) -> dict[str, str]:
    """The answer at a lease's socket to somebody whose home is elsewhere."""
    sent = {"v": client.PROTOCOL.decode(), "op": op, "HOME": "/root/elsewhere", "cwd": "/", **fields}
    return ask_at(Path(lease["socket"]), sent)


def is_served(lease: Json) -> bool:
    answer = through(lease, "get")
    return answer["status"] == "0" and json.loads(answer["out"])["AccountId"] == "111122223333"


# -- the command ----------------------------------------------------------------------------------------------------


def test_create_list_and_revoke_speak_the_contracts_json(logged_in: Machine) -> None:
    machine = logged_in
    by_socket = create(machine, "--ttl", "30m")
    assert list(by_socket) == ["id", "profile", "expires_at", "socket"]
    by_token = create(machine, "--token-file", "token", profile="native")
    assert list(by_token) == ["id", "profile", "expires_at", "uri", "token_file"]
    assert by_token["token_file"] == str(machine.home / "token")
    assert by_token["expires_at"] is None
    listed = machine.run("lease", "list", "--json").json()
    assert listed == {"leases": [by_socket, by_token]}
    brief = [{key: lease[key] for key in ("id", "profile", "expires_at")} for lease in listed["leases"]]
    assert machine.run("status", "--json").json()["leases"] == brief
    assert machine.run("lease", "revoke", by_socket["id"], "--json").json() == {"revoked": True}
    refusal(machine.run("lease", "revoke", by_socket["id"]), 2, "there is no lease", "hint: credhelper lease list")
    assert machine.run("lease", "list", "--json").json() == {"leases": [by_token]}


def test_people_are_told_how_to_use_it_and_how_to_end_it(logged_in: Machine) -> None:
    machine = logged_in
    run = machine.run("lease", "create", "--profile", "dev", "--ttl", "30m", "--uid", "0")
    lease_id = run.out.split()[1]
    path = machine.socket.parent / f"lease-{lease_id}.sock"
    assert f"Lease {lease_id} for dev, until " in run.out
    assert f"  CREDHELPER_SOCKET={path}\n  CREDHELPER_SERVER_UID={os.getuid()}\n" in run.out
    assert run.out.endswith(f"To end it: credhelper lease revoke {lease_id}\n")
    run = machine.run("lease", "create", "--profile", "dev", "--token-file", "token")
    assert "  AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:" in run.out
    assert f"  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={machine.home}/token\n" in run.out
    status = machine.run("status").out
    assert "LEASE" in status
    assert "at a revoke or logout" in status
    listed = machine.run("lease", "list").out.splitlines()
    assert len(listed) == 3
    assert listed[0].split() == ["LEASE", "FOR", "ENDS", "SOCKET", "OR", "TOKEN", "FILE"]
    assert listed[1].startswith(f"{lease_id}  dev  ")
    assert [line.index(str(end)) for line, end in zip(listed, ("SOCKET", path, machine.home), strict=True)] == [
        listed[0].index("SOCKET")
    ] * 3
    assert machine.run("lease", "revoke", lease_id).out == f"Lease {lease_id} has ended.\n"
    machine.run("logout")
    assert machine.run("lease", "list").out.startswith("There are no leases")


def test_a_lease_is_refused_as_a_get_is(logged_in: Machine) -> None:
    machine = logged_in
    for options, status, word in (
        (("--profile", "legacy"), 3, "credhelper login"),
        (("--profile", "nowhere"), 4, "nowhere"),
        (("--profile", "dev", "--ttl", "soon"), 2, "--ttl"),
        (("--profile", "dev", "--uid", "root"), 2, "--uid"),
        (("--profile", "dev", "--socket", "s", "--token-file", "t"), 2, "exclude each other"),
        (("--profile", "dev", "--socket", str(machine.config)), 2, "is not overwritten"),
        (("--profile", "dev", "--socket", "/tmp/ch-lease"), 2, "others can change what lies in /tmp"),
        (("--profile", "dev", "--socket", ""), 2, "a path is missing"),
    ):
        refusal(machine.run("lease", "create", *options), status, word)
    assert machine.run("lease", "list", "--json").json() == {"leases": []}
    refusal(machine.run("lease"), 2, "hint: credhelper lease --help")


def test_a_door_that_the_user_cannot_see_is_none(logged_in: Machine) -> None:
    """As a service the daemon has a /tmp of its own."""
    machine = logged_in
    script = (
        "from credhelper.cli import lease, main; lease.os.path.lexists = lambda _: False; raise SystemExit(main.main())"
    )
    run = machine.run_program([sys.executable, "-Ic", script, "lease", "create", "--profile", "dev"])
    refusal(run, 1, "not where you could see it", "below $XDG_RUNTIME_DIR")
    assert machine.run("lease", "list", "--json").json() == {"leases": []}


# -- what it answers ------------------------------------------------------------------------------------------------


def test_it_gives_its_role_to_every_client_whatever_their_home(logged_in: Machine) -> None:
    machine = logged_in
    lease = create(machine)
    expected = machine.run("get", "--profile", "dev").out
    elsewhere = {"CREDHELPER_SOCKET": lease["socket"], "HOME": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent/config"}
    line = machine.process_line("dev")
    for run in (
        machine.run_program(line, **elsewhere),
        machine.run("get", **elsewhere),
        machine.run("get", "--profile", "dev", **elsewhere),
        machine.run("export", "--profile", "dev", "--format", "process", **elsewhere),
    ):
        assert run.status == 0, run.err
        assert json.loads(run.out) == json.loads(expected)


def test_it_gives_nothing_else(logged_in: Machine) -> None:
    machine = logged_in
    lease = create(machine)
    others: list[dict[str, str]] = [
        {"profile": "native"},
        {"profile": "no-such-profile"},
        {"profile": "default"},
        {"AWS_PROFILE": "native"},
        {"AWS_DEFAULT_PROFILE": "native"},
        {"sso_session": "corp", "account_id": "111122223333", "role_name": "Administrator"},
        {"sso_session": "corp", "account_id": "222233334444", "role_name": "Developer"},
        {"sso_session": "corp"},
    ]
    for fields in others:
        answer = through(lease, "get", **fields)
        assert (answer["status"], answer["out"]) == ("5", ""), fields
        complaint(answer["err"], "this socket is a lease for dev")
    own = {"sso_session": "corp", "account_id": "111122223333", "role_name": "Developer"}
    for fields in ({}, {"profile": "dev"}, {"AWS_PROFILE": "dev"}, {"profile": "dev", "AWS_PROFILE": "native"}, own):
        assert through(lease, "get", **fields)["status"] == "0", fields


def test_a_lease_of_a_role_without_a_profile_goes_by_no_name(logged_in: Machine) -> None:
    machine = logged_in
    role = ("--sso-session", "corp", "--account-id", "111122223333", "--role-name", "ReadOnly")
    run = machine.run("lease", "create", *role, "--json")
    lease = run.json()
    assert lease["profile"] is None
    elsewhere = {"CREDHELPER_SOCKET": lease["socket"]}
    assert machine.run("get", **elsewhere).status == 0
    assert machine.run("get", *role, **elsewhere).status == 0
    assert machine.run_program([*machine.process_line("dev")[:3], "default"], **elsewhere).status == 0
    refusal(machine.run("get", "--profile", "dev", **elsewhere), 5, "111122223333 ReadOnly")


def test_every_other_operation_is_refused(logged_in: Machine) -> None:
    machine = logged_in
    lease = create(machine)
    for command in (
        ("whoami",),
        ("accounts",),
        ("logout",),
        ("daemon", "reload"),
        ("daemon", "metrics"),
        ("lease", "create"),
        ("lease", "list"),
        ("lease", "revoke", lease["id"]),
        ("login", "--sso-session", "corp", "--use-device-code"),
    ):
        refusal(machine.run(*command, CREDHELPER_SOCKET=lease["socket"]), 5, "it answers get and status")
    assert machine.run("daemon", "stop", CREDHELPER_SOCKET=lease["socket"]).status != 0
    assert hello(machine.socket) == hello(Path(lease["socket"]))
    for sent in (b"GET / HTTP/1.1\r\n\r\n", frame({"v": client.PROTOCOL.decode(), "op": "steal"})):
        assert what_comes_back(Path(lease["socket"]), sent) == b""
    assert through(lease, "get", v="999")["retry"] == "1"
    assert is_served(lease)


def test_its_status_is_of_itself_only(logged_in: Machine) -> None:
    machine = logged_in
    create(machine, profile="native")
    lease = create(machine, "--ttl", "1h")
    elsewhere = {"CREDHELPER_SOCKET": lease["socket"], "HOME": "/nonexistent"}
    run = machine.run("status", "--json", **elsewhere)
    found = run.json()
    assert run.status == 0
    assert found["leases"] == [{key: lease[key] for key in ("id", "profile", "expires_at")}]
    assert found["daemon"]["running"] is True
    assert found["daemon"]["socket"] == lease["socket"]
    assert found["sso_sessions"] == found["role_credentials"] == found["logins"] == []
    assert found.keys() == machine.run("status", "--json").json().keys()
    for told in (run.out, machine.run("status", **elsewhere).out):
        assert "native" not in told
        assert machine.sandbox.start_url not in told
        assert lease["id"] in told


def test_exec_is_told_the_way_that_works_there(logged_in: Machine) -> None:
    lease = create(logged_in)
    elsewhere = {"CREDHELPER_SOCKET": lease["socket"], "HOME": "/nonexistent"}
    asked = through(lease, "grant")
    assert (asked["status"], asked["hint"]) == ("5", "credhelper exec --env -- CMD…")
    run = logged_in.run("exec", "--env", "--", "sh", "-c", "echo $AWS_ACCESS_KEY_ID", **elsewhere)
    assert run.status == 0, run.err
    assert run.out.startswith("ASIA")


def test_a_lock_and_the_audit_hold_for_leases_too(logged_in: Machine) -> None:
    machine = logged_in
    lease = create(machine)
    assert is_served(lease)
    assert machine.run("lock").status == 0
    answer = through(lease, "get")
    assert (answer["status"], answer["out"], answer["code"]) == ("5", "", "locked")
    assert "locked" in machine.run("status", CREDHELPER_SOCKET=lease["socket"]).out
    refusal(machine.run("lease", "create", "--profile", "dev"), 5, "credhelper unlock")
    assert machine.run("unlock").status == 0
    assert is_served(lease)
    assert through(lease, "get", profile="native")["status"] == "5"
    found = [json.loads(line) for line in machine.run("audit", "--json").out.splitlines()]
    assert [(record["door"], record["outcome"]) for record in found if record["door"] == "lease"] == [
        ("lease", "ok"),
        ("lease", "ok"),
        ("lease", "locked"),
        ("lease", "locked"),
        ("lease", "ok"),
        ("lease", "access_refused"),
    ]
    assert {record["uid"] for record in found} == {os.getuid()}
    assert [record["profile"] for record in found[-2:]] == ["dev", "native"]


def test_a_rule_can_say_who_may_make_leases_of_a_role(logged_in: Machine) -> None:
    machine = logged_in
    lease = create(machine)
    settings = machine.home / ".config" / "credhelper" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[[policy]]\nname = "no-dev"\nmatch = ["dev"]\ndeny = true\n')
    assert machine.run("daemon", "reload").status == 0
    refusal(machine.run("lease", "create", "--profile", "dev"), 5, "no-dev")
    answer = through(lease, "get")
    assert (answer["status"], answer["code"]) == ("5", "policy")


# -- who may come ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(machine: Machine, *paths: Path) -> Iterator[None]:
    """Other users get at ``paths``, as where these are mounted for them."""
    directories = {
        machine.root,
        *(parent for path in paths for parent in path.parents if machine.root in parent.parents),
    }
    before = {directory: stat.S_IMODE(directory.stat().st_mode) for directory in directories}
    try:
        for directory in directories:
            directory.chmod(0o755)
        yield
    finally:
        for directory, mode in before.items():
            directory.chmod(mode)


def run_as(machine: Machine, uid: int, argv: list[str], **environment: str) -> Run:
    return machine.run_program(as_user(uid, argv), **environment)


@needs_root
def test_another_user_is_let_in_only_by_name_and_only_if_they_trust_the_daemon(logged_in: Machine) -> None:
    machine = logged_in
    lease, own = create(machine, "--uid", str(SOMEBODY), "--uid", "7"), create(machine)
    assert stat.S_IMODE(os.stat(lease["socket"]).st_mode) == 0o666
    assert stat.S_IMODE(os.stat(own["socket"]).st_mode) == 0o600
    copy = machine.root / "client.py"
    shutil.copy(machine.process_line("dev")[2], copy)
    copy.chmod(0o644)
    line = [machine.process_line("dev")[0], "-IS", str(copy), "dev"]
    theirs = {"CREDHELPER_SOCKET": lease["socket"], "HOME": "/nonexistent", "CREDHELPER_SERVER_UID": str(os.getuid())}
    expected = machine.run("get", "--profile", "dev").json()
    with mounted(machine, Path(lease["socket"]), copy):
        run = run_as(machine, SOMEBODY, line, **theirs)
        assert run.status == 0, run.err
        assert run.json() == expected
        assert run_as(machine, SOMEBODY, line, **theirs | {"HOME": ""}) == run
        for uid in ("", "7", f"0{os.getuid()}", "root"):
            refusal(run_as(machine, SOMEBODY, line, **theirs | {"CREDHELPER_SERVER_UID": uid}), 7)
        refusal(run_as(machine, NOBODY, line, **theirs), 7, "nobody answers at the lease's socket")
        Path(own["socket"]).chmod(0o666)
        refusal(run_as(machine, SOMEBODY, line, **theirs | {"CREDHELPER_SOCKET": own["socket"]}), 7)
        refusal(run_as(machine, SOMEBODY, line, **theirs | {"CREDHELPER_SOCKET": str(machine.socket)}), 7)


@needs_root
def test_the_full_program_takes_a_server_of_another_user_by_name_only(machine: Machine) -> None:
    """Here the other user is the daemon's; whoever asks is let in by its lease."""
    machine.log_in()
    lease = create(machine, "--uid", str(SOMEBODY))
    # With the one capability that lets it read an interpreter which may lie in root's home.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    program = ["setpriv", *as_user(SOMEBODY, reading)[1:], sys.executable, "-Im", "credhelper"]
    elsewhere = {"CREDHELPER_SOCKET": lease["socket"], "HOME": "/nonexistent"}
    with mounted(machine, Path(lease["socket"])):
        refusal(
            machine.run_program([*program, "get", "--profile", "dev"], **elsewhere),
            7,
            "another user answers",
            "CREDHELPER_SERVER_UID",
        )
        trusting = elsewhere | {"CREDHELPER_SERVER_UID": str(os.getuid())}
        for command in (("get", "--profile", "dev"), ("status",)):
            assert machine.run_program([*program, *command], **trusting).status == 0
        gone = trusting | {"CREDHELPER_SOCKET": lease["socket"] + ".gone"}
        refusal(machine.run_program([*program, "get"], **gone), 7, "the lease may have ended")


def test_no_daemon_takes_the_place_of_a_lease_that_has_ended(logged_in: Machine) -> None:
    machine = logged_in
    lease = create(machine)
    line = machine.process_line("dev")
    machine.run("lease", "revoke", lease["id"])
    elsewhere = {"CREDHELPER_SOCKET": lease["socket"]}
    for run in (machine.run_program(line, **elsewhere), machine.run("get", **elsewhere)):
        refusal(run, 7, "the lease may have ended", "credhelper lease list")
    named = {"CREDHELPER_SOCKET": str(machine.root / "elsewhere" / "s"), "CREDHELPER_SERVER_UID": "0"}
    refusal(machine.run("get", **named), 7, "the lease may have ended")
    assert not Path(lease["socket"]).exists()
    assert not (machine.root / "elsewhere").exists()


# -- how it ends ----------------------------------------------------------------------------------------------------


def test_whoever_is_connected_when_it_ends_gets_nothing_more(machine: Machine, daemon: Daemon) -> None:
    lease, other = create(machine), create(machine)
    sent = frame({"v": client.PROTOCOL.decode(), "op": "get", "HOME": "/", "cwd": "/"})
    with connect(Path(lease["socket"])) as connection, connect(Path(other["socket"])) as patient:
        patient.sendall(sent[:5])
        connection.sendall(sent[:5])
        assert is_served(lease)  # and so whoever came before has been let in
        assert machine.run("lease", "revoke", lease["id"]).status == 0
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent[5:])
            assert connection.recv(1) == b""
    assert is_served(other)
    assert "Traceback" not in daemon.log()


def test_a_logout_ends_it_for_good(logged_in: Machine) -> None:
    machine = logged_in
    lease, token = create(machine), create(machine, "--token-file", "token")
    assert machine.run("logout").status == 0
    assert not Path(lease["socket"]).exists()
    assert not Path(token["token_file"]).exists()
    machine.log_in()
    assert machine.run("lease", "list", "--json").json() == {"leases": []}


def test_a_logout_without_the_daemon_ends_it_for_good_too(logged_in: Machine) -> None:
    machine = logged_in
    token = create(machine, "--token-file", "token")
    create(machine)
    for selector, left in ((("--profile", "legacy"), 2), ((), 0)):
        assert machine.run("daemon", "stop").status == 0
        assert machine.run("logout", *selector).status == 0
        assert Path(token["token_file"]).exists() == (left > 0)
        assert len(machine.run("lease", "list", "--json").json()["leases"]) == left


def test_it_outlives_the_daemon_however_that_ends(machine: Machine) -> None:
    with running_daemon(machine):
        machine.log_in()
        lease, token = create(machine), create(machine, "--token-file", "token")
        assert is_served(lease)
        secret = Path(token["token_file"]).read_bytes()
    assert not Path(lease["socket"]).exists()
    with running_daemon(machine) as daemon:
        assert is_served(lease)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.process.wait()
        assert Path(lease["socket"]).exists()
        assert machine.run("lease", "list", "--json").json()["leases"] == [lease, token]
        assert is_served(lease)
        assert Path(token["token_file"]).read_bytes() == secret
        daemon.process.returncode = 0  # it ended as it was meant to


def test_its_token_is_said_nowhere(machine: Machine, daemon: Daemon) -> None:
    token = Path(create(machine, "--token-file", "token")["token_file"]).read_text()
    told = daemon.log() + machine.run("lease", "list").out + machine.run("status", "--json").out
    told += "".join(path.read_text("utf-8", "replace") for path in machine.home.rglob("*.json*"))
    assert token not in told
    assert len(token) >= 43


# -- many -----------------------------------------------------------------------------------------------------------


def test_many_leases_leave_nothing_behind(machine: Machine, daemon: Daemon) -> None:
    assert is_served(create(machine))
    assert machine.run("logout").status == 0
    machine.log_in()
    assert is_served(create(machine))
    before = daemon.descriptors() if os.geteuid() == 0 else None
    leases = [create(machine, "--ttl", "10m") for _ in range(5)]
    for lease in leases:
        assert is_served(lease)
    for lease in machine.run("lease", "list", "--json").json()["leases"]:
        assert machine.run("lease", "revoke", lease["id"]).status == 0
    assert os.listdir(machine.socket.parent) == [machine.socket.name]
    until(lambda: before is None or daemon.descriptors() <= before, "every descriptor is given back")
    assert "Traceback" not in daemon.log()


def test_a_frame_in_pieces_is_read_as_at_the_daemons_own_socket(logged_in: Machine) -> None:
    lease = create(logged_in)
    with connect(Path(lease["socket"])) as connection:
        for byte in frame({"v": client.PROTOCOL.decode(), "op": "get", "HOME": "/", "cwd": "/"}):
            connection.sendall(bytes([byte]))
        assert read_frame(connection)["status"] == "0"
