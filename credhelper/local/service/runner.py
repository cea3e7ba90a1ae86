"""The programs of a service manager, run with a deadline; what they complain of becomes an error of ours."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.domain.text import safe

SECONDS = 40.0  # the unit gives a daemon that hangs 10 to end, and the next one 20 to start


class ProgramMissing(ConfigError):
    """The program is not installed here."""


class CommandFailed(CredhelperError):
    """It ended with another status than 0, or not at all; the message has its own words."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended. ``err`` is one line, safe to show."""

    status: int
    out: str
    err: str


class Runner:
    """Runs programs in ``environment``, with nothing on their standard input."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def look(self, *argv: str) -> Done:
        """What a program says, whatever its status. Raises ProgramMissing, CommandFailed when it does not end."""
        try:
            done = subprocess.run(
                argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"`{' '.join(argv)}` did not end within {SECONDS:g} s") from None
        except OSError as error:
            raise ProgramMissing(f"{argv[0]} cannot be run: {error.strerror}") from error
        err = " ".join(done.stderr.decode(errors="replace").split())
        return Done(done.returncode, os.fsdecode(done.stdout), safe(err))

    def run(self, *argv: str) -> str:
        """The output of a program that must succeed. Raises ProgramMissing, CommandFailed."""
        done = self.look(*argv)
        if done.status != 0:
            raise CommandFailed(f"`{' '.join(argv)}` failed: {done.err or f'status {done.status}'}")
        return done.out
