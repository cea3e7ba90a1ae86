"""``credhelper completion``: the script with which a shell completes our command lines."""

import argparse
import os

import credhelper
from credhelper.cli import options, speech

SHELLS = ("bash", "zsh", "fish")


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "completion",
        help=summary,
        description="Prints the script that has a shell complete commands, options and the names of profiles,"
        " sessions, accounts and roles. The names come from the daemon if it runs, else from the files that are there;"
        " the network is never asked.",
        epilog='bash: eval "$(credhelper completion bash)" in ~/.bashrc. zsh: eval "$(credhelper completion zsh)" in'
        " ~/.zshrc, after compinit. fish: credhelper completion fish > ~/.config/fish/completions/credhelper.fish",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell it is for")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints it."""
    place = os.path.join(os.path.dirname(credhelper.__file__), "completions", f"credhelper.{args.shell}")
    with open(place, encoding="utf-8") as file:
        speech.result(file.read().rstrip("\n"))
    return 0
