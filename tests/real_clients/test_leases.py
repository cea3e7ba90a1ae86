"""Leases in containers and over `ssh -R`: another root, home and user, with the client and the AWS CLI."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS, Machine, Run
from tests.program.support import answers, until

from .clients import REQUIRED
from .desk import ACCOUNT, QUIET, Desk, role_of

pytestmark = pytest.mark.real_client

Json = dict[str, Any]

CONTAINER = Path(__file__).with_name("container")
APP = 54_321
"""The user of a container that does not run as root."""
REMAPPED = 100_000
"""What root in a container is outside, where container users are remapped."""
OVERFLOW = 65_534
"""Who a user is in there that has no number there."""
CLIENT = "/opt/credhelper/client.py"
CONTAINERS_CONFIG = """\
[default]
region = eu-west-1
credential_process = /opt/python/bin/python3 -IS /opt/credhelper/client.py dev
"""


def require(*programs: str) -> None:
    """Skips the test where it cannot be, or fails it where it must."""
    missing = [program for program in programs if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if os.geteuid() != 0 or sys.platform != "linux":
        missing.append("root on Linux")
    if missing and os.environ.get(REQUIRED) == "1":
        pytest.fail(f"this takes {', '.join(missing)} ({REQUIRED}=1)", pytrace=False)
    if missing:
        pytest.skip(f"this takes {', '.join(missing)}")


@pytest.fixture
def desk() -> Iterator[Desk]:
    require("unshare", "setpriv", "pivot_root")
    with Sandbox() as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        yield desk


def create(machine: Machine, *options: str) -> Json:
    """A lease of the profile dev."""
    run = machine.run("lease", "create", "--profile", "dev", "--ttl", "30m", "--json", *options)
    assert run.status == 0, run.err
    found: Json = run.json()
    return found


def contained(
    desk: Desk,
    uid: int,
    mounts: dict[Path, str],
    program: list[str],
    environ: dict[str, str],
    *,
    outer: int | None = None,
    host: bool = False,
) -> Run:
    """Runs a program in a container of the user `uid`, who is `outer` outside, to its end."""
    root = desk.root / "container"
    root.mkdir(exist_ok=True)
    (desk.root / "app-config").write_text(CONTAINERS_CONFIG)
    (desk.root / "app-config").chmod(0o644)
    client = Path(desk.process_line("dev")[2])
    copy = desk.root / "client.py"
    shutil.copy(client, copy)
    copy.chmod(0o644)
    everywhere = {copy: CLIENT, Path(sys.base_prefix): "/opt/python", desk.root / "app-config": "/opt/config"}
    words = [f"{source}:{target}" for source, target in (everywhere | mounts).items()]
    where = [str(root), str(uid), "-" if outer is None else str(outer), "host" if host else "none"]
    environ = {"AWS_CONFIG_FILE": "/opt/config"} | environ
    clean = {name: "" for name in desk.environment if name.startswith("AWS_")} if not host else {}
    return desk.run_program([str(CONTAINER), *where, *words, "--", *program], **(clean | QUIET | environ))


def client_of(profile: str) -> list[str]:
    """The fast client's command line in a container."""
    return ["/opt/python/bin/python3", "-IS", CLIENT, profile]


def key_of(run: Run) -> str:
    """The access key id of `credential_process` JSON."""
    assert run.status == 0, run
    found: str = run.json()["AccessKeyId"]
    return found


def test_a_container_of_another_user_has_the_role_and_nothing_else(desk: Desk) -> None:
    lease = create(desk, "--uid", str(APP))
    mounts = {Path(lease["socket"]): "/run/credhelper.sock"}
    trusting = {"CREDHELPER_SOCKET": "/run/credhelper.sock", "CREDHELPER_SERVER_UID": "0"}
    expected = key_of(desk.run("get", "--profile", "dev"))

    assert key_of(contained(desk, APP, mounts, client_of("dev"), trusting)) == expected

    other = contained(desk, APP, mounts, client_of("native"), trusting)
    assert (other.status, other.out) == (5, "")
    assert "this socket is a lease for dev, and for nothing else" in other.err

    wary = contained(desk, APP, mounts, client_of("dev"), {"CREDHELPER_SOCKET": "/run/credhelper.sock"})
    assert (wary.status, wary.out) == (7, "")

    stranger = contained(desk, APP + 1, mounts, client_of("dev"), trusting)
    assert (stranger.status, stranger.out) == (7, "")


def test_a_containers_root_may_be_another_user_outside(desk: Desk) -> None:
    lease = create(desk, "--uid", str(REMAPPED))
    mounts = {Path(lease["socket"]): "/run/credhelper.sock"}
    trusting = {"CREDHELPER_SOCKET": "/run/credhelper.sock", "CREDHELPER_SERVER_UID": str(OVERFLOW)}

    run = contained(desk, 0, mounts, client_of("dev"), trusting, outer=REMAPPED)

    assert key_of(run) == key_of(desk.run("get", "--profile", "dev"))
    assert contained(desk, 0, mounts, client_of("dev"), trusting, outer=REMAPPED + 1).status == 7


def test_the_aws_cli_works_in_a_container_over_the_socket(desk: Desk, aws_cli: Path) -> None:
    lease = create(desk, "--uid", str(APP))
    mounts = {Path(lease["socket"]): "/run/credhelper.sock", aws_cli.parent: "/opt/aws"}
    trusting = {"CREDHELPER_SOCKET": "/run/credhelper.sock", "CREDHELPER_SERVER_UID": "0"}
    command = ["/opt/aws/aws", "configure", "export-credentials"]

    assert key_of(contained(desk, APP, mounts, command, trusting)) == key_of(desk.run("get", "--profile", "dev"))

    assert desk.run("lease", "revoke", lease["id"]).status == 0
    assert not Path(lease["socket"]).exists()


def test_the_aws_cli_works_in_a_container_over_the_token_file(desk: Desk, aws_cli: Path) -> None:
    lease = create(desk, "--token-file", str(desk.root / "token"))
    mounts = {Path(lease["token_file"]): "/run/secrets/token", aws_cli.parent: "/opt/aws"}
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": lease["uri"],
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/run/secrets/token",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_REGION": "eu-west-1",
    }
    command = ["/opt/aws/aws", "sts", "get-caller-identity"]

    run = contained(desk, 0, mounts, command, environment, host=True)
    assert run.status == 0, run.err
    assert role_of(run.json()["Arn"]) == "Developer"
    assert run.json()["Account"] == ACCOUNT

    assert desk.run("logout").status == 0
    assert not Path(lease["token_file"]).exists()


def test_a_mounted_directory_outlives_the_daemon(desk: Desk) -> None:
    """A socket that is mounted by itself is gone with its daemon: a container that goes on gets the directory."""
    directory = desk.root / "lease"
    directory.mkdir(mode=0o700)
    lease = create(desk, "--socket", str(directory / "s"))
    mounts = {directory: "/run/credhelper"}
    waiting = f"{' '.join(client_of('dev'))} && read line && exec {' '.join(client_of('dev'))}"
    where = [str(desk.root / "container"), "0", "-", "none"]
    assert contained(desk, 0, mounts, client_of("dev"), {"CREDHELPER_SOCKET": "/run/credhelper/s"}).status == 0
    words = [f"{directory}:/run/credhelper", f"{desk.root}/client.py:{CLIENT}", f"{sys.base_prefix}:/opt/python"]
    with subprocess.Popen(
        [str(CONTAINER), *where, *words, "--", "sh", "-c", waiting],
        env=desk.environment | {"CREDHELPER_SOCKET": "/run/credhelper/s"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as container:
        assert container.stdout is not None
        before = json.loads(container.stdout.readline())
        assert desk.run("daemon", "restart").status == 0
        assert answers(Path(lease["socket"]))
        out, _ = container.communicate("\n", timeout=SECONDS)
    assert before["AccountId"] == json.loads(out)["AccountId"] == ACCOUNT
    assert container.returncode == 0


@contextlib.contextmanager
def ssh_server(directory: Path) -> Iterator[list[str]]:
    """A real sshd on the loopback that lets us in; the command with which to go there."""
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
    shutil.copy(directory / "user.pub", directory / "authorized")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": directory / "host",
        "PidFile": "none",
        "AuthorizedKeysFile": directory / "authorized",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
    }
    (directory / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    assert program is not None
    with open(directory / "sshd.log", "wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(directory / "sshd_config")], stderr=log)
    try:
        until(lambda: server.poll() is not None or _is_open(port), "sshd listens")
        assert server.poll() is None, (directory / "sshd.log").read_text()
        ssh = ["ssh", "-F", "none", "-p", str(port), "-i", str(directory / "user"), "-o", "IdentityAgent=none"]
        ssh += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={directory}/known", "-o", "BatchMode=yes"]
        yield [*ssh, "-o", "ExitOnForwardFailure=yes", "-o", "LogLevel=ERROR"]
    finally:
        server.terminate()
        server.wait(SECONDS)


def _is_open(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def test_a_lease_is_forwarded_by_ssh(desk: Desk) -> None:
    require("ssh", "sshd", "ssh-keygen")
    lease = create(desk)
    far = desk.root / "far"
    far.mkdir(mode=0o700)
    line = desk.process_line("dev")
    shutil.copy(line[2], far / "client.py")
    remote = f"CREDHELPER_SOCKET={far}/lease HOME=/nonexistent {line[0]} -IS {far}/client.py"
    with ssh_server(desk.root) as ssh:
        forwarding = [*ssh, "-R", f"{far}/lease:{lease['socket']}", "127.0.0.1"]
        run = desk.run_program([*forwarding, f"{remote} dev"])
        (far / "lease").unlink(missing_ok=True)
        refused = desk.run_program([*forwarding, f"{remote} native"])
        (far / "lease").unlink(missing_ok=True)
        assert desk.run("lease", "revoke", lease["id"]).status == 0
        ended = desk.run_program([*forwarding, f"{remote} dev"])

    assert key_of(run) == key_of(desk.run("get", "--profile", "dev"))
    assert (refused.status, refused.out) == (5, "")
    assert (ended.status, ended.out) == (7, "")
