"""The manual page (``man/credhelper.1``): commands and options from the parser, and what else one asks of it."""

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator

from credhelper import __version__
from credhelper.cli import main
from tests.generate.words import explained, shown

EVERYWHERE = {"help", "debug"}
"""Options of every command, which are explained once."""

ABOUT = """
credhelper is for IAM Identity Center (AWS SSO) what ssh-agent is for keys. A daemon keeps the sign-in alive, holds the
role credentials in memory, and hands them to the AWS CLI, to every SDK and to your programs within milliseconds. It is
started by the first request.

Profiles stay in ~/.aws/config, and tokens where the AWS CLI keeps its own: a login by either serves both.
"""

EXIT_STATUS = (
    ("0", "done"),
    ("1", "a fault in credhelper itself"),
    ("2", "wrong usage"),
    ("3", "a person must log in first; the hint names the command"),
    ("4", "a mistake in a configuration file; the message names the file, the section and the key"),
    ("5", "access refused: the role is not assigned to you, or a rule of your own says no"),
    ("6", "AWS or the network failed, and nothing still valid could be served"),
    ("7", "the daemon cannot be reached and could not be started"),
    ("8", "done in part, or checked with problems: what could not be done, or was found, is listed"),
    ("130", "interrupted"),
)

FILES = (
    ("~/.aws/config", "profiles and sso-sessions; AWS_CONFIG_FILE names another"),
    ("~/.aws/sso/cache/", "tokens and client registrations, shared with the AWS CLI and every SDK"),
    ("$XDG_CONFIG_HOME/credhelper/config.toml", "credhelper's own settings (default: under ~/.config)"),
    ("$XDG_RUNTIME_DIR/credhelper/credhelper.sock", "the daemon's socket; CREDHELPER_SOCKET names another"),
    (
        "$XDG_STATE_HOME/credhelper/",
        "locks, a started daemon's log, the audit, the vault, names of accounts (default: under ~/.local/state)",
    ),
    (
        "$XDG_DATA_HOME/credhelper/client.py",
        "the small client that a credential_process line runs (default: under ~/.local/share)",
    ),
)

ENVIRONMENT = (
    ("AWS_PROFILE, AWS_DEFAULT_PROFILE", "the profile, where no option names one"),
    ("AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE", "other files than those of ~/.aws"),
    (
        "AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_…, AWS_CA_BUNDLE, HTTPS_PROXY, NO_PROXY",
        "how AWS is reached; those that were set when the daemon started count",
    ),
    ("BROWSER", "the program that opens an address"),
    ("CREDHELPER_SOCKET", "the daemon's socket, or a lease's"),
    ("CREDHELPER_CONFIG", "credhelper's own settings"),
    ("CREDHELPER_NO_AUTOSTART", "1: no command starts the daemon"),
    ("NO_COLOR", "no colours, and nothing that moves"),
)

GLYPHS = {
    "~": "\\(ti",
    "^": "\\(ha",
    "`": "\\(ga",
    "'": "\\(aq",
    "“": "\\(lq",
    "”": "\\(rq",
    "…": "\\&...",
}
"""What roff would show as something else, and what not every terminal has."""

SEE_ALSO = "aws(1), ssh-agent(1), systemctl(1)"


def document() -> str:
    """The whole page, in roff's man macros."""
    root = main.parser(is_whole=True)
    lines = [
        f'.TH CREDHELPER 1 "" "credhelper {__version__}" "User Commands"',
        ".SH NAME",
        text("credhelper - an agent for AWS IAM Identity Center"),
        ".SH SYNOPSIS",
        ".B credhelper",
        text("[--profile NAME] COMMAND ..."),
        ".SH DESCRIPTION",
        *paragraphs(ABOUT),
        ".SH OPTIONS",
        *options(root, leave_out=set()),
        ".SH COMMANDS",
        *commands(root),
        *section("EXIT STATUS", EXIT_STATUS),
        *section("FILES", FILES),
        *section("ENVIRONMENT", ENVIRONMENT),
        ".SH SEE ALSO",
        text(SEE_ALSO),
    ]
    return "\n".join(lines) + "\n"


def commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Each command, and each command of a command."""
    for action in shown(parser):
        if not isinstance(action, argparse._SubParsersAction):
            continue
        summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, inner in action.choices.items():
            yield from command(inner, summaries.get(name, ""))
            yield from commands(inner)


def command(parser: argparse.ArgumentParser, summary: str) -> Iterator[str]:
    """One command: how it is written, what it does, its options."""
    if any(isinstance(action, argparse._SubParsersAction) for action in shown(parser)) and not parser.description:
        return
    yield f".SS {text(parser.prog)}"
    yield ".B " + text(parser.prog)
    yield text(usage(parser))
    yield ".PP"
    yield from paragraphs(parser.description or summary[:1].upper() + summary[1:] + ".")
    yield from options(parser, leave_out=EVERYWHERE)
    if parser.epilog:
        yield ".PP"
        yield from paragraphs(parser.epilog)


def usage(parser: argparse.ArgumentParser) -> str:
    """Its options and words, without its name and on one line."""
    formatter = argparse.HelpFormatter(prog="", width=10_000)
    wanted = [action for action in shown(parser) if action.dest not in EVERYWHERE]
    formatter.add_usage(None, wanted, parser._mutually_exclusive_groups, prefix="")
    return " ".join(formatter.format_help().split())


def options(parser: argparse.ArgumentParser, *, leave_out: set[str]) -> Iterator[str]:
    """What each option and each other word means."""
    for action in shown(parser):
        if isinstance(action, argparse._SubParsersAction) or action.dest in leave_out:
            continue
        yield ".TP"
        yield ".B " + text(", ".join(_invocations(action)))
        yield text(explained(parser, action))


def _invocations(action: argparse.Action) -> Iterable[str]:
    value = argparse.HelpFormatter(prog="")._format_args(action, action.dest.upper())
    if not action.option_strings:
        return [value]
    return [f"{option} {value}".strip() for option in action.option_strings]


def section(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A section of terms and what they mean."""
    yield f".SH {title}"
    for term, meaning in entries:
        yield from (".TP", ".B " + text(term), text(meaning))


def paragraphs(prose: str) -> Iterator[str]:
    """Each, with what separates them."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", prose.strip())):
        if number:
            yield ".PP"
        yield text(" ".join(paragraph.split()))


def text(plain: str) -> str:
    """``plain`` so that roff shows it as it stands, in lines of a width that its checkers like."""
    escaped = plain.replace("\\", "\\e").replace("-", "\\-")
    for character, name in GLYPHS.items():
        escaped = escaped.replace(character, name)
    lines = textwrap.wrap(escaped, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line[:1] == "." else line for line in lines)
