"""The command line: picks the command, and turns its errors into a message and an exit status."""

import os
import sys
from collections.abc import Sequence

from credhelper import __version__
from credhelper.cli import (
    configure,
    daemon_commands,
    get,
    login,
    logout,
    sandbox_commands,
    speech,
    status,
    whoami,
)
from credhelper.cli.daemon_link import Failed
from credhelper.cli.options import Handler, Parser
from credhelper.domain.errors import CredhelperError, Interrupted


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status, as in the contract."""
    try:
        args = parser().parse_args(argv)
        run: Handler = args.run
        return run(args)
    except Failed as failed:
        sys.stderr.write(failed.err)
        return failed.status
    except CredhelperError as error:
        speech.complain(error)
        return error.status
    except KeyboardInterrupt:
        speech.note("")
        return Interrupted.status
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser() -> Parser:
    """Every command with its options."""
    root = Parser(
        prog="credhelper",
        description="An agent for AWS IAM Identity Center: log in once, and every tool gets its role credentials.",
        epilog="exit status: 0 done, 1 fault, 2 usage, 3 login required, 4 configuration, 5 access refused,"
        " 6 AWS or network failed, 7 no daemon, 8 done in part, 130 interrupted",
    )
    root.add_argument("--version", action="version", version=f"credhelper {__version__}")
    root.add_argument("--debug", action="store_true", help="say more on stderr; never a secret")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for command in (login, logout, get, status, whoami, configure, daemon_commands, sandbox_commands):
        command.add(commands)
    sso = commands.add_parser("sso", help="login and logout with `aws sso`'s options and habits")
    sso_commands = sso.add_subparsers(title="commands", metavar="COMMAND", required=True)
    login.add_sso(sso_commands)
    logout.add_sso(sso_commands)
    return root
