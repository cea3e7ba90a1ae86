"""What installing a service changes on this machine: each change is told, and made or, in a rehearsal, only told."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from credhelper.domain.errors import CredhelperError
from credhelper.local import private_files
from credhelper.local.service.files import ServiceFile
from credhelper.local.service.runner import CommandFailed, Runner


class Changes:
    """``say`` is told one line of each change; ``count`` is how many there were.

    A rehearsal changes nothing: it shows every file as a unified diff, and every command.
    """

    def __init__(self, runner: Runner, say: Callable[[str], None], *, rehearsal: bool = False) -> None:
        self.runner = runner
        self.say = say
        self.rehearsal = rehearsal
        self.count = 0

    def write(self, file: ServiceFile) -> None:
        """Makes the file what it should be. Raises CredhelperError."""
        self.count += 1
        if self.rehearsal:
            self._show_difference(file.path, file.found(), file.content, file.shown)
            return
        try:
            private_files.write(file.path, file.content, mode=file.mode)
        except OSError as error:
            raise CredhelperError(f"{file.path} cannot be written: {error.strerror}") from error
        self.say(f"wrote {file.path}")

    def remove(self, file: ServiceFile) -> None:
        """Removes the file, if it is there. Raises CredhelperError."""
        found = file.found()
        if found is None:
            return
        self.count += 1
        if self.rehearsal:
            self._show_difference(file.path, found, None, file.shown)
            return
        try:
            private_files.remove(file.path)
        except OSError as error:
            raise CredhelperError(f"{file.path} cannot be removed: {error.strerror}") from error
        self.say(f"removed {file.path}")

    def make_directory(self, path: Path) -> None:
        """Makes a directory, with those above it, that nobody else may enter; one that is there stays as it is.

        Raises CredhelperError.
        """
        if path.is_dir():
            return
        self.count += 1
        if self.rehearsal:
            self.say(f"would make the directory {path}")
            return
        try:
            for directory in reversed([path, *path.parents]):
                if not directory.is_dir():
                    directory.mkdir(mode=0o700)
        except OSError as error:
            raise CredhelperError(f"the directory {path} cannot be made: {error.strerror}") from error
        self.say(f"made the directory {path}")

    def remove_if_empty(self, path: Path, *, below: Path) -> None:
        """Removes a directory in which nothing is left, and those above it alike, as far as they are ``below`` one.

        Of a path elsewhere only the last directory goes. Never raises.
        """
        if self.rehearsal:
            if path.is_dir():
                self.say(f"would remove the directory {path} if nothing is left in it")
            return
        inside = [directory for directory in (path, *path.parents) if below in directory.parents]
        for directory in inside or [path]:
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # something is in it
                return
            self.say(f"removed the directory {directory}")

    def run(self, *argv: str, may_fail: bool = False) -> None:
        """Runs a command. Raises CommandFailed, unless it ``may_fail``; ProgramMissing."""
        self.count += 1
        words = " ".join(argv)
        if self.rehearsal:
            self.say(f"would run: {words}")
            return
        try:
            self.runner.run(*argv)
        except CommandFailed:
            if not may_fail:
                raise
            return
        self.say(f"ran: {words}")

    def _show_difference(self, path: Path, old: bytes | None, new: bytes | None, shown: Callable[[bytes], str]) -> None:
        before, after = (shown(content or b"").splitlines() for content in (old, new))
        old_name, new_name = (os.devnull if content is None else str(path) for content in (old, new))
        for line in difflib.unified_diff(before, after, old_name, new_name, lineterm=""):
            self.say(line)
