"""The ``credential_process`` lines of adopted profiles: what they name is there, and running them works.

Lines that run another tool are nobody's business here. What a line prints is a secret: it is looked at and dropped.
"""

import itertools
import os
import queue
import shlex
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from credhelper import client
from credhelper.doctor import adopting
from credhelper.doctor.findings import Finding, listed, ok, problem, warning
from credhelper.doctor.scene import Outcome, Scene, parsed
from credhelper.domain.errors import LoginRequired
from credhelper.local import installation, private_files

MOST_RUN = 8  # lines; each may cost a call of AWS
RUN_SECONDS = 3.0

_FIXED = ("Version", "AccessKeyId", "SecretAccessKey")

Keys = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Line:
    profile: str
    text: str
    words: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """Without the ``env`` that a quoted path needs before it."""
        return self.words[1:] if self.words and os.path.basename(self.words[0]) == "env" else self.words

    @property
    def copy(self) -> Path | None:
        """The client's file, if it runs one."""
        return next((Path(word) for word in self.command if word.endswith("/client.py")), None)


def is_ours(keys: Keys) -> bool:
    """Whether a profile's ``credential_process`` runs credhelper."""
    line = keys.get("credential_process")
    return line is not None and installation.is_ours(line)


def _ours(scene: Scene) -> list[_Line]:
    return [
        _Line(name, keys["credential_process"], installation.words_of(keys["credential_process"]))
        for name, keys in scene.configuration().profiles.items()
        if is_ours(keys)
    ]


def stand(scene: Scene) -> Iterator[Finding]:
    """What can be seen of each line without running it.

    ``line.stands``, ``line.absent``, ``line.interpreter``, ``line.client``, ``line.profile``, ``line.form``.
    """
    fine = []
    found_lines = _ours(scene)
    for line in found_lines:
        mistakes = list(_mistakes(scene, line))
        yield from mistakes
        if not mistakes:
            fine.append(line.profile)
    if fine:
        yield ok("line.stands", f"credential_process stands in: {listed(fine)}")
    without = [
        name
        for name, keys in scene.configuration().profiles.items()
        if "credential_process" not in keys and any(key.startswith("credhelper_") for key in keys)
    ]
    if without:
        yield ok(
            "line.absent",
            f"without credential_process, only credhelper's own commands know: {listed(without)}"
            f" (credhelper configure adopt --profile {shlex.quote(without[0])})",
        )
    yield from _client_copy(found_lines)


def _mistakes(scene: Scene, line: _Line) -> Iterator[Finding]:
    remedy = _anew(scene, line.profile)
    place = f"credential_process of the profile {line.profile}"
    if not line.command or line.text.lstrip().startswith(('"', "'")) or _is_shell(line.text):
        yield problem("line.form", f"{place}: SDKs read it differently; it needs plain absolute paths", remedy)
        return
    yield from _interpreter(line.command[0], place, remedy)
    copy = line.copy
    if copy is not None:
        if not copy.exists():
            yield problem("line.client", f"{place}: {copy} does not exist", remedy)
        yield from _named_profile(line, place, remedy)


def _interpreter(program: str, place: str, remedy: str) -> Iterator[Finding]:
    if not os.path.isabs(program):
        if shutil.which(program) is None:
            yield problem("line.interpreter", f"{place}: {program} cannot be found", remedy)
        else:
            yield warning("line.form", f"{place}: {program} is found by PATH only, which IDEs set otherwise", remedy)
    elif not os.path.exists(program):
        yield problem("line.interpreter", f"{place}: {program} does not exist", remedy)
    elif not os.access(program, os.X_OK) or os.path.isdir(program):
        yield problem("line.interpreter", f"{place}: {program} cannot be run", remedy)


def _named_profile(line: _Line, place: str, remedy: str) -> Iterator[Finding]:
    argument = line.command[-1]
    try:
        named = os.fsdecode(client.decode_profile(os.fsencode(argument)))
    except ValueError:
        named = argument
    if named != line.profile:
        yield problem("line.profile", f"{place}: it asks for the profile “{named}”", remedy)


def _client_copy(found: list[_Line]) -> Iterator[Finding]:
    """The client's copy is today's."""
    copies = {line.copy for line in found if line.copy is not None and line.copy.exists()}
    current = Path(client.__file__).read_bytes()
    for copy in sorted(copies):
        try:
            content = private_files.read(copy)
        except private_files.UnusableFile as error:
            yield problem("line.client", f"{copy} cannot be used: {error}", "credhelper daemon restart")
            continue
        if content != current:
            yield warning("line.client", f"{copy} is another version of the client", "credhelper daemon restart")
    for copy in sorted(copies):
        yield from _note(copy.with_name("installation"))


def _note(note: Path) -> Iterator[Finding]:
    """The file beside the client that names today's program."""
    try:
        python, package = os.fsdecode(private_files.read(note) or b"").splitlines()
    except (private_files.UnusableFile, ValueError):
        yield warning(
            "line.client", f"{note} is missing or torn: the client cannot start a daemon", "credhelper daemon restart"
        )
        return
    gone = next((path for path in (python, package) if not os.path.exists(path)), None)
    if gone is not None:
        yield problem("line.client", f"{note} names an installation that is gone: {gone}", "credhelper daemon restart")


def _is_shell(text: str) -> bool:
    return any(character in text for character in "\n#;$\\'`|&<>")


def _anew(scene: Scene, profile: str) -> str:
    command = f"credhelper configure command --profile {shlex.quote(profile)}"
    return adopting.cure(scene, profile, f"{command}   # put what it prints behind credential_process =")


def run(scene: Scene) -> Iterator[Finding]:
    """``line.runs``: what happens when an SDK runs each line. Only with a daemon, for none may be started now."""
    sound = (line for line in _ours(scene) if not list(_mistakes(scene, line)))
    runnable = list(itertools.islice(sound, MOST_RUN))
    if not runnable or not scene.daemon().is_running or scene.daemon().error:
        return
    environment = dict(scene.environment) | {"CREDHELPER_NO_AUTOSTART": "1"}
    seconds = min(RUN_SECONDS, scene.seconds_left() - 0.3)
    fine = []
    for line, outcome in _run_at_once(scene, runnable, environment, seconds):
        finding = _judge(scene, line, outcome)
        if finding is None:
            fine.append(line.profile)
        else:
            yield finding
    if fine:
        yield ok("line.runs", f"credential_process works, or asks for a login: {listed(fine)}")


def _run_at_once(
    scene: Scene, runnable: list[_Line], environment: Keys, seconds: float
) -> Iterator[tuple[_Line, Outcome]]:
    """Each in a thread that nobody has to wait for: what hangs on a dead disk cannot even be killed."""
    ended: queue.SimpleQueue[tuple[_Line, Outcome]] = queue.SimpleQueue()

    def work(line: _Line) -> None:
        ended.put((line, scene.run(line.words, environment, seconds)))

    for line in runnable:
        threading.Thread(target=work, args=(line,), daemon=True).start()
    for _ in runnable:
        yield ended.get()


def _judge(scene: Scene, line: _Line, outcome: Outcome) -> Finding | None:
    place = f"credential_process of the profile {line.profile}"
    if outcome.status == LoginRequired.status:
        return None
    if outcome.status is None:
        return warning(
            "line.runs", f"{place}: {outcome.err}", f"credhelper get --profile {shlex.quote(line.profile)} >/dev/null"
        )
    if outcome.status == 0:
        if parsed(outcome.out).keys() >= set(_FIXED):
            return None
        return problem("line.runs", f"{place}: it prints no credentials", _anew(scene, line.profile))
    said = [text.partition(": ")[2] for text in outcome.err.splitlines()]
    why = said[0].removeprefix("error: ") if said else f"it ends with status {outcome.status}"
    hint = next((text.removeprefix("hint: ") for text in said if text.startswith("hint: ")), None)
    return problem(
        "line.runs", f"{place}: {why}", hint or f"credhelper get --profile {shlex.quote(line.profile)} >/dev/null"
    )
