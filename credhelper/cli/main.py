"""The command line: picks the command, and turns its errors into a message and an exit status."""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from credhelper import __version__
from credhelper.cli import options, speech
from credhelper.cli.options import Handler, Parser
from credhelper.domain.errors import CredhelperError, Interrupted


class Command(NamedTuple):
    """One of the first words of a command line."""

    module: str
    """Of this package; its ``add`` makes the command's parser."""
    summary: str


COMMANDS = {
    "login": Command("login", "log in to an IAM Identity Center session"),
    "logout": Command("logout", "forget tokens and role credentials, and end the sign-in"),
    "get": Command("get", "print a role's credentials as credential_process JSON"),
    "export": Command("export", "print a role's credentials in the words of a shell"),
    "exec": Command("exec_command", "run a program with a role's credentials, which refresh themselves"),
    "console": Command("console", "open the AWS console as a role"),
    "status": Command("status", "show sessions, role credentials and the daemon"),
    "whoami": Command("whoami", "ask AWS whose credentials a role gives"),
    "accounts": Command("accounts", "list the accounts that a session's login may use"),
    "roles": Command("roles", "list the roles that a session's login may use, and their profiles"),
    "configure": Command("configure", "write sessions and profiles to ~/.aws/config, adopt and release them"),
    "daemon": Command("daemon_commands", "run, start, stop, restart or reload the background process"),
    "service": Command("service_commands", "run the daemon as a service of systemd or launchd"),
    "doctor": Command("doctor", "check everything, and say how to mend what is wrong"),
    "lock": Command("lock", "stop handing anything out"),
    "unlock": Command("unlock", "hand out credentials again"),
    "confirm": Command("confirm", "answer the questions of [[policy]] rules"),
    "audit": Command("audit", "show who asked for credentials, and what became of it"),
    "lease": Command("lease", "give a container, another machine or an agent one role, for a time"),
    "cognito": Command(
        "cognito", "identity pools of Amazon Cognito: identities, roles, policies, and the pools themselves"
    ),
    "sandbox": Command("sandbox_commands", "an embedded IAM Identity Center on loopback, to try things with"),
    "demo": Command("demo_command", "a tour: log in, use, log out, in a temporary home"),
    "completion": Command("completion", "print the script with which a shell completes commands and names"),
    "sso": Command("sso", "login and logout with `aws sso`'s options and habits"),
}
"""Every command, in the order of ``--help``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status, as in the contract."""
    args = argparse.Namespace(debug=False, profile=None)
    _mend_streams()
    try:
        words = sys.argv[1:] if argv is None else argv
        parser(words).parse_args(words, args)
        if args.debug:
            from credhelper import log  # costs every command 17 ms otherwise

            log.to_stderr(debug=True)
        run: Handler = args.run
        status = run(args)
        sys.stdout.flush()
        return status
    except CredhelperError as error:
        speech.complain(error)
        return error.status
    except KeyboardInterrupt:
        speech.note("")
        return Interrupted.status
    except OSError as error:
        if error.filename is None and error.errno in {errno.ENOSPC, errno.EPIPE}:
            speech.close(sys.stdout)
        if error.errno != errno.EPIPE:
            place = f"{error.filename}: " if error.filename else ""
            speech.complain(CredhelperError(f"{place}{error.strerror or type(error).__name__}"))
        return CredhelperError.status
    except Exception as fault:  # noqa: BLE001  # the last line: a person gets a sentence, not a traceback
        if args.debug:
            from credhelper import log

            speech.note(log.trace(fault))
        hint = None if args.debug else "run it again with --debug to see where"
        # Its own text stays unsaid: nobody has looked at what may be in it.
        speech.complain(CredhelperError(f"a fault in credhelper itself ({type(fault).__name__})", hint=hint))
        return CredhelperError.status


def _mend_streams() -> None:
    """A closed stdout or stderr is one that nobody reads; a character it cannot write must not end a command.

    Nor may one that somebody types and that is none in the terminal's encoding.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for the process's whole life
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def parser(words: Sequence[str] = (), *, is_whole: bool = False) -> Parser:
    """The command line with the commands that ``words`` name, for each costs its imports.

    Where they name none, with every command's name and summary, or with all of each where ``is_whole``.
    """
    root = Parser(
        prog="credhelper",
        description="An agent for AWS IAM Identity Center: log in once, and every tool gets its role credentials.",
        epilog="exit status: 0 done, 1 fault, 2 usage, 3 login required, 4 configuration, 5 access refused,"
        " 6 AWS or network failed, 7 no daemon, 8 done in part, 130 interrupted",
    )
    root.add_argument("--version", action="version", version=f"credhelper {__version__}")
    options.add_profile(root)
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    ours = _without_program(words)
    named = [name for name in COMMANDS if name in ours] or [name for name in COMMANDS if name in words]
    for name in named or COMMANDS:
        command = COMMANDS[name]
        if named or is_whole:
            importlib.import_module(f"credhelper.cli.{command.module}").add(commands, command.summary)
        else:
            commands.add_parser(name, help=command.summary)
    return root


def _without_program(words: Sequence[str]) -> Sequence[str]:
    """The words without those of a program that ``exec`` is to run, which may be named like commands of ours."""
    if words[:1] == ["exec"]:
        return words[:1]
    return words[: words.index("--")] if "--" in words else words
