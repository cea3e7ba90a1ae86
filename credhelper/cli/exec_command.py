"""``credhelper exec``: a program with a role's credentials."""

import argparse
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from credhelper.aws import precedence
from credhelper.cli import asking, daemon_link, export, options
from credhelper.cli.picking import pick
from credhelper.domain.errors import CredhelperError, UsageError
from credhelper.domain.text import safe
from credhelper.local import places, scratch, stand_in
from credhelper.local.stand_in import Ending

MARK = "CREDHELPER_EXEC"
"""In the environment of what we run: the role's name."""

GRANT_WAIT = 15  # seconds; the credentials have 9, and the grant is written down
REVOKE_WAIT = 1  # seconds; the daemon ends a grant with our process in any case
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as every shell (POSIX.1-2024, Shell Command Language, 2.8.2)

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
AWS_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
BOTO_FILES = ("/etc/boto.cfg", "~/.boto")
"""Of a library older than botocore, which reads their keys before it asks the endpoint."""

Environment = dict[str, str]


class NotStarted(CredhelperError):
    """The program cannot be run."""

    code = "not_started"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "exec",
        help=summary,
        usage="credhelper exec [options] [--] COMMAND [ARGUMENT ...]",
        description="Runs a program with the credentials of a role. They refresh themselves for as long as it runs,"
        " through the SDKs' container credentials endpoint, and end with it. Credentials and a profile in the"
        " environment are dropped: the chosen role always wins. " + pick.HELP,
        epilog="exit status: the program's, 128 + N after signal N, 126 if it cannot be run, 127 if it is not found",
    )
    options.add_role(parser)
    parser.add_argument(
        "--region", metavar="REGION", help="the region it works in (else what is set, else the profile's)"
    )
    export.add_min_ttl(parser)
    parser.add_argument(
        "--env", action="store_true", help="fixed credentials in its environment; they do not refresh themselves"
    )
    parser.add_argument("--force", action="store_true", help="even inside another `credhelper exec`")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="the program and its arguments")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the program; its exit status."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UsageError("which program?", hint="credhelper exec -- COMMAND")
    options.refuse_empty(args, "region")
    _refuse_nesting(args)
    environment = _environment()
    scratch.sweep(_scratch_place())
    run_it = _run_with_keys if args.env else _run_with_endpoint
    return stand_in.end_alike(run_it(args, command, environment))


def _refuse_nesting(args: argparse.Namespace) -> None:
    outer = os.environ.get(MARK)
    if outer and not args.force:
        raise UsageError(
            f"this runs inside a `credhelper exec` for {safe(outer)} already",
            hint="leave that one first, or add --force",
        )


def _run_with_keys(args: argparse.Namespace, command: list[str], environment: Environment) -> Ending:
    document = export.ask(args, "exec")
    precedence.drop_variables(environment)
    environment |= export.variables(document)
    environment[MARK] = _name(args, _profile(args))
    _set_region(environment, args, document.get("Region"))
    return _run(command, environment, stand_in.hold_signals())


def _run_with_endpoint(args: argparse.Namespace, command: list[str], environment: Environment) -> Ending:
    fields = export.wanted_fields(args)
    grant = json.loads(asking.ask("grant", fields, seconds=GRANT_WAIT))
    held = stand_in.hold_signals()
    try:
        precedence.drop_variables(environment)
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = grant["uri"]
        environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = grant["token"]
        environment[MARK] = _name(args, grant["profile"])
        _set_region(environment, args, grant["region"])
        with _unhidden(environment):
            return _run(command, environment, held)
    finally:
        _revoke(grant["id"])


def _revoke(grant_id: str) -> None:
    # A daemon that does not answer sees us end, now or at its next start. Our own package may have gone meanwhile.
    with contextlib.suppress(CredhelperError, OSError, ImportError):
        daemon_link.ask("revoke", {"id": grant_id}, start=False, seconds=REVOKE_WAIT)


def _run(command: list[str], environment: Environment, held: set[int]) -> Ending:
    try:
        return stand_in.run(command, environment, held)
    except OSError as error:
        name, is_there = safe(command[0]), os.path.exists(error.filename)
        if isinstance(error, FileNotFoundError) and is_there:
            raise NotStarted(NOT_EXECUTABLE, f"“{name}” cannot be run: there is no program to interpret it") from None
        if isinstance(error, FileNotFoundError):
            raise NotStarted(NOT_FOUND, f"there is no program “{name}”") from None
        raise NotStarted(NOT_EXECUTABLE, f"“{name}” cannot be run: {error.strerror}") from None


# -- what it is told --------------------------------------------------------------------------------------------------


def _environment() -> Environment:
    """Ours as it was given to us: Python itself adds LC_CTYPE where there is no locale (PEP 538)."""
    found = dict(os.environ)
    with contextlib.suppress(OSError):
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
        if not any(each.startswith(b"LC_CTYPE=") for each in given):
            found.pop("LC_CTYPE", None)
    return found


def _profile(args: argparse.Namespace) -> str | None:
    """The profile that is chosen, as the daemon sees it; None where a session, an account and a role are."""
    if args.sso_session is not None:
        return None
    return args.profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"


def _name(args: argparse.Namespace, profile: str | None) -> str:
    return profile or f"{args.sso_session}/{args.account_id}/{args.role_name}"


def _set_region(environment: Environment, args: argparse.Namespace, of_profile: str | None) -> None:
    """By option; else, where none is set, the profile's, which is chosen no more and so cannot give it."""
    is_set = any(environment.get(name) for name in REGION_VARIABLES)
    region = args.region or (None if is_set else of_profile)
    if region:
        environment |= dict.fromkeys(REGION_VARIABLES, region)


# -- what would hide the endpoint -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _unhidden(environment: Environment) -> Iterator[None]:
    """Where the user's own files would hide the endpoint, the program gets copies that do not, for as long as it runs.

    Raises CredhelperError, OSError.
    """
    _pass_over_boto_files(environment)
    files = {variable: _content(environment.get(variable) or usual) for variable, usual in AWS_FILES.items()}
    cleared = {
        variable: precedence.without_default_credentials(content)
        for variable, content in files.items()
        if content is not None
    }
    if all(files[variable] == content for variable, content in cleared.items()):
        yield
        return
    with scratch.directory(_scratch_place()) as directory:
        for variable, content in cleared.items():
            path = directory / variable.removeprefix("AWS_").removesuffix("_FILE").lower()
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
            environment[variable] = str(path)
        yield


def _content(path: str) -> bytes | None:
    """A file as the program's SDK will find it; None without one. Raises OSError."""
    try:
        return Path(os.path.expanduser(os.path.expandvars(path))).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _pass_over_boto_files(environment: Environment) -> None:
    named = environment.get("BOTO_CONFIG")
    for path in [named] if named else BOTO_FILES:
        with contextlib.suppress(OSError):  # what we cannot read, the program cannot either
            if b"aws_access_key_id" in Path(os.path.expanduser(path)).read_bytes():
                environment["BOTO_CONFIG"] = os.devnull


def _scratch_place() -> Path:
    return places.scratch_directory(places.environment())
