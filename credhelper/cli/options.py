"""Options that several commands share."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

Fields = dict[str, str]
Handler = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """argparse with our words for a wrong command line, and ``--debug`` wherever one happens to write it."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **({"allow_abbrev": False} | more))
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="say more on stderr; never a secret"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Raises UsageError for what it does not know, in the name of the command that was given it."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(message, hint=f"{self.prog} --help")


if TYPE_CHECKING:  # generic for the type checker only
    Commands = argparse._SubParsersAction[Parser]
else:
    Commands = argparse._SubParsersAction


def add_profile(parser: argparse.ArgumentParser) -> None:
    """``--profile``."""
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default=argparse.SUPPRESS,  # it may stand before the command too, as in the AWS CLI
        help="a profile of ~/.aws/config (else AWS_PROFILE, else default)",
    )


def add_session(parser: argparse.ArgumentParser) -> None:
    """``--sso-session``."""
    parser.add_argument("--sso-session", metavar="NAME", help="an [sso-session NAME] section of ~/.aws/config")


def add_cognito_login(parser: argparse._ActionsContainer) -> None:
    """``--cognito-login``."""
    parser.add_argument("--cognito-login", metavar="NAME", help="a [cognito_login.NAME] table of config.toml")


def add_role(parser: argparse.ArgumentParser) -> None:
    """The two ways to choose a role."""
    add_profile(parser)
    add_session(parser)
    parser.add_argument("--account-id", metavar="ID", help="with --sso-session: the account")
    parser.add_argument("--role-name", metavar="NAME", help="with --sso-session: the role")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_aws_cli_habits(parser: argparse.ArgumentParser) -> None:
    """The AWS CLI's global options that change nothing about a login or logout, for scripts that add them."""
    for option in ("--region", "--output", "--color", "--query"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    for switch in ("--no-cli-pager", "--no-cli-auto-prompt", "--no-paginate"):
        parser.add_argument(switch, action="store_true", help=argparse.SUPPRESS)


def refuse_empty(args: argparse.Namespace, *names: str) -> None:
    """Raises UsageError for an option that was given nothing."""
    for name in names:
        if getattr(args, name) == "":
            raise UsageError(f"--{name.replace('_', '-')} needs a value")


def refuse_unless_account(text: str) -> None:
    """Raises UsageError for an ``--account-id`` that is none."""
    if not (text.isascii() and text.isdigit() and len(text) == 12):
        raise UsageError(f"--account-id: “{safe(text)}” is not 12 digits")


def role_fields(args: argparse.Namespace) -> Fields:
    """A request's fields for the chosen role. Raises UsageError."""
    refuse_empty(args, "sso_session", "account_id", "role_name")
    by_name = {"sso_session": args.sso_session, "account_id": args.account_id, "role_name": args.role_name}
    given = {key: value for key, value in by_name.items() if value is not None}
    if args.profile is not None and given:
        raise UsageError("choose a role by --profile, or by --sso-session with --account-id and --role-name")
    if given and len(given) < len(by_name):
        raise UsageError("--sso-session, --account-id and --role-name go together")
    if given:
        refuse_unless_account(given["account_id"])
    return given or profile_fields(args)


def session_fields(args: argparse.Namespace) -> Fields:
    """A request's fields for the chosen session or Cognito login, by profile or by name. Raises UsageError."""
    names = [name for name in ("profile", "sso_session", "cognito_login") if getattr(args, name, None) is not None]
    if len(names) > 1:
        one, other = (f"--{name.replace('_', '-')}" for name in names[:2])
        raise UsageError(f"{one} and {other} exclude each other")
    if names in (["sso_session"], ["cognito_login"]):
        refuse_empty(args, names[0])
        return {names[0]: getattr(args, names[0])}
    return profile_fields(args)


def profile_fields(args: argparse.Namespace) -> Fields:
    """A request's fields for the profile named on the command line, none when none is."""
    if args.profile == "":
        raise UsageError("--profile needs a name")
    return {} if args.profile is None else {"profile": args.profile}
