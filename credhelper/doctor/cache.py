"""What lies in ``~/.aws/sso/cache`` and ``~/.aws/cli/cache``: torn files, leftovers, ends in sight. Never a content."""

import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from credhelper.doctor.files import entries, is_temporary
from credhelper.doctor.findings import Finding, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain import documents
from credhelper.domain.documents import MalformedDocument, timestamp
from credhelper.domain.model import SsoSession, Token
from credhelper.local import private_files

BEING_WRITTEN = 2.0  # seconds: other tools write in place, and a reader may come in between
TRIES = 3
PAUSE = 0.03  # seconds

_SAID_ELSEWHERE = ("a symbolic link", "not a regular file", "it belongs to another user")
"""What the check of modes and owners says."""

Json = dict[str, Any]


def tokens(scene: Scene) -> Iterator[Finding]:
    """The tokens and registrations of configured sessions, and what else is there.

    ``cache.token``, ``cache.registration``, ``cache.registration_expired``, ``cache.not_an_object``, ``cache.torn``,
    ``cache.leftover``, ``cache.files``.
    """
    sessions = scene.configuration().sessions()[0]
    ours = {scene.cache.token_path(session): session for session in sessions}
    registrations = {scene.cache.registration_path(session): session for session in sessions}
    counts: Counter[str] = Counter()
    for path in entries(scene.cache.directory):
        if is_temporary(path):
            yield from _leftover(scene, path)
        elif path in ours:
            counts["token(s)"] += 1
            yield from _token(scene, path, ours[path])
        elif path in registrations:
            counts["client registration(s)"] += 1
            yield from _registration(scene, path, registrations[path])
        else:
            counts["file(s) of other tools or sessions"] += 1
            yield from _foreign(scene, path)
    told = ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing: nobody has logged in"
    yield ok("cache.files", f"{scene.cache.directory} holds {told}")


def role_credentials(scene: Scene) -> Iterator[Finding]:
    """``cache.role``: a torn file in the AWS CLI's cache of role credentials fails each of its commands, for ever."""
    for path in entries(scene.aws_directory / "cli" / "cache"):
        if is_temporary(path):
            yield from _leftover(scene, path)
        elif path.suffix == ".json" and (why := _broken(scene, path)) is not None:
            yield problem("cache.role", f"{path} is {why}: the AWS CLI fails on it again and again", _rm(path))


def _token(scene: Scene, path: Path, session: SsoSession) -> Iterator[Finding]:
    try:
        content = _settled(scene, path)
    except private_files.UnusableFile as error:
        if not str(error).startswith(_SAID_ELSEWHERE):
            yield problem("cache.token", f"the token file of {session.label} is unusable ({error}): {path}", _rm(path))
        return
    if content is None:
        return  # it has just gone
    try:
        token = documents.parse_token(content)
    except MalformedDocument as error:
        yield problem(
            "cache.token", f"the token file of {session.label} is unusable ({error}): {path}", _log_in(session)
        )
        return
    yield from _end_of_registration(scene, token, session)


def _end_of_registration(scene: Scene, token: Token, session: SsoSession) -> Iterator[Finding]:
    ends, now = token.registration_expires_at, scene.clock.now()
    if token.refresh_token and ends is not None and ends <= now < token.expires_at:
        yield warning(
            "cache.registration_expired",
            f"the client registration of {session.label} ended at {timestamp(ends)}: its token is refreshed no more",
            _log_in(session, "--force "),
        )


def _registration(scene: Scene, path: Path, session: SsoSession) -> Iterator[Finding]:
    why = _broken(scene, path, documents.parse_registration)
    if why is not None:
        yield problem(
            "cache.registration",
            f"the client registration of {session.label} is unusable ({why}); `aws sso login` fails on it: {path}",
            _rm(path),
        )


def _foreign(scene: Scene, path: Path) -> Iterator[Finding]:
    why = _broken(scene, path)
    if why == "not a JSON object":
        yield problem("cache.not_an_object", f"{path} is {why}: `aws sso logout` fails on it", _rm(path))
    elif why is not None and path.suffix == ".json":
        yield warning("cache.torn", f"{path} is {why}: another tool's, or left half written", _rm(path))


def _broken(scene: Scene, path: Path, parse: Callable[[bytes], object] = documents.parse_object) -> str | None:
    """What is wrong with a file's content; None when nothing is, or it cannot be read, which is said elsewhere."""
    try:
        content = _settled(scene, path)
        if content is not None:
            parse(content)
    except MalformedDocument as error:
        return str(error)
    except private_files.UnusableFile:
        return None
    return None


def _settled(scene: Scene, path: Path) -> bytes | None:
    """A file's content, read again where somebody may be writing it just now; None when there is none.

    Raises UnusableFile.
    """
    content = private_files.read(path)
    for _ in range(TRIES):
        if content is None or not _may_be_half_written(scene, path, content):
            break
        threading.Event().wait(PAUSE)
        content = private_files.read(path)
    return content


def _may_be_half_written(scene: Scene, path: Path, content: bytes) -> bool:
    try:
        documents.parse_object(content)
    except MalformedDocument:
        age = _age(scene, path)
        return age is not None and age < BEING_WRITTEN
    return False


def _age(scene: Scene, path: Path) -> float | None:
    """Seconds since it was written; None when it has gone."""
    try:
        return scene.clock.now().timestamp() - path.lstat().st_mtime
    except OSError:
        return None


def _leftover(scene: Scene, path: Path) -> Iterator[Finding]:
    age = _age(scene, path)
    if age is not None and age > private_files.OLD:
        yield warning(
            "cache.leftover", f"{path} was left by a program that was killed; secrets may be in it", _rm(path)
        )


def _rm(path: Path) -> str:
    return f"rm {shlex.quote(str(path))}"


def _log_in(session: SsoSession, options: str = "") -> str:
    if session.name is not None:
        return f"credhelper login {options}--sso-session {shlex.quote(session.name)}"
    return f"credhelper login {options}--all"
