"""A person's machine with a real `systemd --user`, and credhelper installed on it, in namespaces of its own."""

import compileall
import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine, Run
from tests.program.support import until

REPOSITORY = Path(__file__).parents[2]
UNITS = REPOSITORY / "systemd"
EXEC_START = "ExecStart=/usr/bin/env credhelper daemon run"
INSTALLED = "ExecStart=/opt/credhelper/bin/python -Im credhelper daemon run"
NAMESPACE = Path(__file__).with_name("namespace")
REQUIRED = "CREDHELPER_REQUIRE_REAL_CLIENTS"
PROGRAMS = ("unshare", "nsenter", "setpriv", "systemctl", "systemd-analyze", "dbus-daemon")
MANAGER = Path("/lib/systemd/systemd")


def require() -> None:
    """Skips the test where no such machine can be made, or fails it where it must be."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not MANAGER.exists():
        missing.append(str(MANAGER))
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("root on Linux")
    if not missing:
        return
    reason = "a real `systemd --user` takes " + ", ".join(missing)
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


class ManagedMachine(Machine):
    """A machine whose user, tester, has a service manager. Use as a context manager; it is up inside.

    ``home``, ``runtime`` and the other paths are those of this side; inside they are /home/tester and /run/user/UID.
    ``opt`` is /opt inside; /opt/credhelper is the virtual environment in which credhelper is installed.
    """

    def __init__(self, sandbox: Sandbox, wheel: Path, config: str | None = None) -> None:
        """``wheel`` holds what a wheel would, as ``build`` makes it."""
        super().__init__(sandbox, config)
        self._wheel = wheel
        self.uid = 50_000 + os.getpid() % 10_000
        self.opt = self.root / "opt"
        self.python = "/opt/credhelper/bin/python"
        self.environment |= {
            "HOME": "/home/tester",
            "USER": "tester",
            "PATH": "/opt/credhelper/bin:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": f"/run/user/{self.uid}",
        }
        self.world = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            self.root.chmod(0o755)
            self._write_names()
            install(self.opt, self._wheel)
            for path in (self.home, self.runtime, *self.home.rglob("*")):
                os.chown(path, self.uid, self.uid)
            self.world = stack.enter_context(self._running_world())
            until(self._is_up, "the service manager is up")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            if error[0] is None:
                self.check_and_end()

    def check_and_end(self) -> None:
        """The daemon stops, and no secret has been said anywhere."""
        stopped = self.run("daemon", "stop")
        assert stopped.status == 0, stopped.err
        logs = [*self.home.glob(".local/state/credhelper/*.log*"), self.root / "manager.log", self.daemon_log]
        self._said += [path.read_text("utf-8", "replace") for path in logs if path.exists()]
        self._assert_that_no_secret_was_said()

    # -- the service manager ----------------------------------------------------------------------------------------

    def systemctl(self, *arguments: str) -> Run:
        """``systemctl --user ARGUMENTS``."""
        return self.run_program(["systemctl", "--user", "--no-pager", *arguments])

    def do(self, *arguments: str) -> str:
        """``systemctl --user ARGUMENTS``, which must succeed; its output."""
        run = self.systemctl(*arguments)
        assert run.status == 0, (arguments, run, self.manager_log())
        return run.out.strip()

    def show(self, name: str, unit: str = "credhelper.service") -> str:
        """What the manager says of one property of a unit."""
        return self.do("show", "--property", name, "--value", unit)

    def install_units(self) -> None:
        """Puts the units of ``systemd/`` in place, for /opt/credhelper and this sandbox's endpoints, and loads them."""
        units = self.home / ".config" / "systemd" / "user"
        for directory in (units, self.home / ".local/share/credhelper", self.home / ".local/state/credhelper"):
            self.own(directory)
        for unit in UNITS.glob("credhelper.*"):
            text = unit.read_text(encoding="utf-8").replace(EXEC_START, INSTALLED)
            (units / unit.name).write_text(text, encoding="utf-8")
        self.drop_in("sandbox", "[Service]\n" + environment_lines(self.sandbox.environment()))
        self.drop_in("log", "[Service]\nStandardError=append:/home/tester/daemon.log\n")

    def drop_in(self, name: str, text: str, unit: str = "credhelper.service") -> None:
        """Adds to a unit, or replaces the addition of that name, and has the manager read it."""
        directory = self.home / ".config" / "systemd" / "user" / f"{unit}.d"
        self.own(directory)
        (directory / f"{name}.conf").write_text(text, encoding="utf-8")
        self.do("daemon-reload")

    def own(self, directory: Path) -> None:
        """Makes a directory below the home, with those above it, the user's."""
        for path in reversed([directory, *directory.parents]):
            if self.home in path.parents and not path.exists():
                path.mkdir(mode=0o700)
                os.chown(path, self.uid, self.uid)

    def signal(self, pid: int, number: int) -> None:
        """Sends a signal to a process of the user's, by its pid inside."""
        sent = self.run_program(["kill", f"-{int(number)}", str(pid)])
        assert sent.status == 0, sent

    def manager_log(self) -> str:
        """What the manager has said."""
        return (self.root / "manager.log").read_text("utf-8", "replace")

    @property
    def daemon_log(self) -> Path:
        """What the service has said, where ``install_units`` has put it."""
        return self.home / "daemon.log"

    # -- programs of the user's -------------------------------------------------------------------------------------

    def run(self, *arguments: str, **environment: str) -> Run:
        """Runs the installed ``credhelper ARGUMENTS`` to its end, as the user."""
        run = self.run_program([self.python, "-Im", "credhelper", *arguments], **environment)
        if "get" not in arguments:
            self._said.append(run.out)
        return run

    def run_program(self, argv: list[str], **environment: str) -> Run:
        """Runs any program to its end, as the user, inside."""
        with self.popen(argv, **environment) as process:
            try:
                out, err = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        self._said.append(err)
        return Run(process.returncode, out, err)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Starts the installed ``credhelper ARGUMENTS`` as the user and leaves it running; the caller ends it."""
        return self.popen([self.python, "-Im", "credhelper", *arguments], **environment)

    def popen(self, argv: list[str], **environment: str) -> "subprocess.Popen[str]":
        """Starts any program as the user, inside."""
        return subprocess.Popen(
            [*self._enter(), *argv],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _enter(self) -> list[str]:
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        return ["nsenter", f"--target={self.world}", "--mount", "--pid", *user, "env", "--chdir=/home/tester"]

    # -- how it is made ---------------------------------------------------------------------------------------------

    def _write_names(self) -> None:
        for name, line in (
            ("passwd", f"tester:x:{self.uid}:{self.uid}::/home/tester:/bin/sh\n"),
            ("group", f"tester:x:{self.uid}:\n"),
        ):
            text = Path("/etc", name).read_text(encoding="utf-8")
            (self.root / name).write_text(text.rstrip("\n") + "\n" + line, encoding="utf-8")

    @contextlib.contextmanager
    def _running_world(self) -> Iterator[int]:
        """The namespaces with the manager in them; the pid, as we see it, of their first process."""
        interpreter, packages = sys.base_prefix, sysconfig.get_path("purelib")
        with subprocess.Popen(
            [NAMESPACE, str(self.uid), self.root, interpreter, packages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
            text=True,
        ) as world:
            assert world.stdout is not None
            pid = world.stdout.readline()
            if not pid:
                pytest.fail(f"no namespaces for a service manager: {world.communicate()[1]}", pytrace=False)
            try:
                yield int(pid)
            finally:
                _, err = world.communicate(timeout=SECONDS)  # which closes its standard input
                assert (world.returncode, err) == (0, ""), err

    def _is_up(self) -> bool:
        return self.systemctl("is-system-running").out.strip() in {"running", "degraded"}


def environment_lines(variables: Mapping[str, str]) -> str:
    """The variables as lines of a unit's [Service]."""
    return "".join(f'Environment="{name}={value}"\n' for name, value in variables.items())


def build(directory: Path) -> Path:
    """Makes ``directory`` and puts there what the wheel installs, compiled; returns it."""
    directory.mkdir()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    target = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in target["packages"]:
        shutil.copytree(REPOSITORY / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    for source, place in target.get("force-include", {}).items():
        copy = shutil.copytree if (REPOSITORY / source).is_dir() else shutil.copy
        copy(REPOSITORY / source, directory / place)
    compileall.compile_dir(directory, quiet=2)
    return directory


def install(opt: Path, wheel: Path) -> None:
    """A virtual environment at ``opt``/credhelper, as pip would make it of a wheel, for use as /opt/credhelper.

    Its interpreter and its dependencies are the test's own; the latter are mounted at /opt/packages.
    """
    environment = opt / "credhelper"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    (environment / "bin").mkdir(parents=True)
    shutil.copytree(wheel, packages)
    (environment / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n", encoding="utf-8")
    (environment / "bin" / "python").symlink_to(Path(sys.base_prefix, "bin", version))
    (packages / "packages.pth").write_text("/opt/packages\n", encoding="ascii")
    script = environment / "bin" / "credhelper"
    script.write_text(
        "#!/opt/credhelper/bin/python -I\nimport sys\nfrom credhelper.cli.main import main\nsys.exit(main())\n",
        encoding="ascii",
    )
    script.chmod(0o755)
