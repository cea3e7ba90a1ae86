"""The table of commands and options that completion reads (``credhelper/completions/words.json``)."""

import argparse
import json
from typing import Any

from credhelper.cli import main

NAMES = {
    "profile": "profiles",
    "profiles": "profiles",  # several of them
    "admin_profile": "profiles",
    "sso_session": "sessions",
    "cognito_login": "logins",
    "account_id": "accounts",
    "role_name": "roles",
}
"""Which names an option takes, by where its value goes."""
FILES = {"PATH", "FILE"}

Json = dict[str, Any]


def document() -> str:
    """The whole file."""
    root = node(main.parser(is_whole=True))
    return json.dumps(root, ensure_ascii=False, indent=1) + "\n"


def node(parser: argparse.ArgumentParser, summary: str = "") -> Json:
    """A command: what it is, its options, its own commands, and what its other words are."""
    found: Json = {"help": summary, "options": {}, "commands": {}, "values": []}
    for action in shown(parser):
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            found["commands"] = {name: node(inner, summaries.get(name, "")) for name, inner in action.choices.items()}
        elif action.option_strings:
            option = {"help": explained(parser, action), **_taking(action)}
            found["options"] |= {name: option for name in action.option_strings if name.startswith("--")}
        else:
            found["values"].append("command" if action.nargs == argparse.REMAINDER else _what(action))
    return {key: value for key, value in found.items() if value or key == "help"}


def shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a person may know of, in order."""
    return [action for action in parser._actions if action.help != argparse.SUPPRESS]


def explained(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Its help, on one line."""
    return " ".join(parser._get_formatter()._expand_help(action).split()) if action.help else ""


def _taking(action: argparse.Action) -> Json:
    """Whether it takes a value, and which; whether it may be given several times."""
    if action.nargs == 0:
        return {}
    takes: Json = {"takes": "+" if action.nargs in {"+", "*"} else 1}
    what = _what(action)
    again = {"again": True} if isinstance(action, argparse._AppendAction) else {}
    return takes | ({"what": what} if what else {}) | again


def _what(action: argparse.Action) -> str | list[str] | None:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    if action.metavar in FILES:
        return "files"
    return NAMES.get(action.dest)
