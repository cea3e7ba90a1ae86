"""``credhelper unlock``: see ``lock.py``."""

from credhelper.cli import lock, options


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    lock.add_unlock(commands, summary)
