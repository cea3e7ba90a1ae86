"""What must be true of a home, whatever happened to the operation that was at work in it."""

import asyncio
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from credhelper.agent.vault import Kept, SignIn
from credhelper.aws.token_cache import TokenStore, UnusableTokenFile
from credhelper.domain import documents
from credhelper.domain.model import SsoSession, Token
from tests.crash.homes import (
    ANOTHERS,
    ANOTHERS_KEPT,
    CORP,
    MARK,
    NEW,
    NEW_KEPT,
    NEW_REGISTRATION,
    NEW_SIGN_IN,
    OLD,
    OLD_KEPT,
    OLD_SIGN_IN,
    Home,
)
from tests.crash.rig import Run

Verdict = Callable[[Home, Home, Run], Iterator[str]]
"""What is wrong in a home after a run, given the home as it was before."""


def at_once(home: Home, before: Home, run: Run) -> Iterator[str]:
    """Of every operation."""
    if not run.is_killed and run.status != 0:
        yield f"it ended with status {run.status}"
    if MARK in " ".join(run.notes.get("logged", [])) + run.notes.get("why", ""):
        yield "it said a secret"
    if not run.is_killed and (litter := _temporaries(home) - _temporaries(before)):
        yield f"not killed, and has left {sorted(litter)}"
    yield from _strangers(home, before)
    for directory in home.written_directories():
        if directory.exists():
            yield from _readable_by_others(directory)
            yield from _torn(directory)


def after_next_start(home: Home, before: Home, _: Run) -> Iterator[str]:
    """Of every operation, once a daemon has done what it does at its start."""
    home.remove_leftovers()
    if litter := _temporaries(home):
        yield f"left after the next start: {sorted(litter)}"
    yield from _strangers(home, before)


def log_in(home: Home, before: Home, run: Run) -> Iterator[str]:
    """The token that was there, if any, or the new one; and which of the two is known to whoever saved it."""
    was = _token(before.token_cache)
    found = _token(home.token_cache)
    if found not in {was, "new"}:
        yield f"the token was {was} and is {found}"
    registration = home.token_cache.load_registration(CORP)
    if registration not in {before.token_cache.load_registration(CORP), NEW_REGISTRATION}:
        yield "the registration is lost"
    yield from _another_session_is_lost(home, before)
    yield from _unexpected_errors(run)
    if run.notes.get("is_durable") is True and found != "new":
        yield f"called durable, and is {found}"
    if run.notes.get("is_durable") is False:
        yield "taken for another program's"
    if "raised" in run.notes and found == "new":
        yield f"failed, and yet it has changed the token: {run.notes['raised']}"


def refresh(home: Home, before: Home, run: Run) -> Iterator[str]:
    """Once AWS has rotated, nobody but a kill may take the new refresh token away."""
    yield from _refreshed(home, home.token_cache, before, run)


def refresh_sealed(home: Home, before: Home, run: Run) -> Iterator[str]:
    """The same where only we can read."""
    yield from _refreshed(home, home.sealed_cache, before, run)


def keep(home: Home, before: Home, run: Run) -> Iterator[str]:
    """What is loaded is what was kept before or is kept now, and never less."""
    if "raised" in run.notes:
        yield f"raised {run.notes['raised']}"
    sign_ins, kept = asyncio.run(_load(home))
    sign_in, role = sign_ins.get(CORP.cache_key), [found for found in kept if found != ANOTHERS_KEPT]
    if sign_in not in {OLD_SIGN_IN, NEW_SIGN_IN} or role not in ([OLD_KEPT], [NEW_KEPT]):
        yield f"loaded neither the old nor the new: {len(kept)} roles, {len(sign_ins)} sign-ins"
    if ANOTHERS_KEPT not in kept:
        yield "another session's role is lost"
    is_content = not run.is_killed and run.notes.get("trouble") is None
    if is_content and (sign_in != NEW_SIGN_IN or role != [NEW_KEPT]):
        yield "content, although not all is on the disk"
    yield from _another_session_is_lost(home, before)


def log_out(home: Home, _: Home, run: Run) -> Iterator[str]:
    """What is still there is named; after a kill, a second logout takes all of it."""
    if "raised" in run.notes:
        yield f"raised {run.notes['raised']}: {run.notes['why']}"
    elif not run.is_killed:
        yield from _dishonest_receipt(home, run)
    receipt = home.sweep().everything()
    left = {path for path, _ in receipt.left} | _still_there(home)
    if left - _named(run):
        yield f"a second logout has left {sorted(left)}"


VERDICTS: dict[str, Verdict] = {
    "first_log_in": log_in,
    "log_in": log_in,
    "refresh": refresh,
    "refresh_sealed": refresh_sealed,
    "keep": keep,
    "log_out": log_out,
}
"""By the name of the operation."""


# -- tokens -----------------------------------------------------------------------------------------------------------


def _refreshed(home: Home, cache: TokenStore, before: Home, run: Run) -> Iterator[str]:
    found = _token(cache)
    has_rotated = "issued" in run.notes
    if found not in {"old", "new"}:
        yield f"the token is {found}"
    if found == "new" and not has_rotated:
        yield "the token is new before it was issued"
    is_in_memory = run.notes.get("returned_new") is True and run.notes.get("is_durable") is False
    if has_rotated and not run.is_killed and found != "new" and not is_in_memory:
        yield f"the new refresh token is lost: {run.notes}"
    if run.notes.get("is_durable") is True and found != "new":
        yield f"called durable, and is {found}"
    if run.notes.get("is_durable") is False and run.notes.get("returned_new") and found == "new":
        yield "called in memory only, and is on the disk"
    yield from _unexpected_errors(run)
    yield from _another_session_is_lost(home, before)


def _token(cache: TokenStore, session: SsoSession = CORP) -> str:
    names: dict[Token | None, str] = {None: "absent", OLD: "old", NEW: "new", ANOTHERS: "another's"}
    try:
        return names.get(cache.load_token(session), "something else")
    except UnusableTokenFile as error:
        return str(error)


def _unexpected_errors(run: Run) -> Iterator[str]:
    if "raised" in run.notes and not run.notes["is_of_disk"]:
        yield f"raised {run.notes['raised']}: {run.notes['why']}"


def _another_session_is_lost(home: Home, before: Home) -> Iterator[str]:
    for path, was in zip(home.another_sessions(), before.another_sessions(), strict=True):
        if was.exists() and (not path.exists() or path.read_bytes() != was.read_bytes()):
            yield f"another session's {path.name} was touched"


# -- the vault --------------------------------------------------------------------------------------------------------


async def _load(home: Home) -> tuple[dict[str, SignIn], list[Kept]]:
    vault = home.vault()
    await vault.open()
    loaded = await vault.load()
    await vault.stop()
    return loaded


# -- logging out ------------------------------------------------------------------------------------------------------


def _dishonest_receipt(home: Home, run: Run) -> Iterator[str]:
    left, still = _named(run), _still_there(home)
    yield from (f"not named, and still there: {path}" for path in still if not {path, path.parent} & left)
    yield from (f"named, and gone: {path}" for path in left if not path.exists())
    yield from (f"called removed, and still there: {path}" for path in run.notes["removed"] if Path(path) in still)
    said = run.notes["tokens"].get(CORP.start_url)
    if said == "deleted" and {cache.token_path(CORP) for cache in home.caches()} & still:
        yield "the session's token is called deleted, and is still there"


def _named(run: Run) -> set[Path]:
    """What the receipt says is left; nothing when there is no receipt."""
    return {Path(path) for path in run.notes.get("left", [])}


def _still_there(home: Home) -> set[Path]:
    stay = {*home.strangers(), home.lock_path(CORP.cache_key)}
    return {path for path in home.files() if path not in stay}


# -- files ------------------------------------------------------------------------------------------------------------


def _strangers(home: Home, before: Home) -> Iterator[str]:
    for path, was in zip(home.strangers(), before.strangers(), strict=True):
        if was.exists() and (not path.exists() or path.read_bytes() != was.read_bytes()):
            yield f"not ours, and touched: {path}"


def _temporaries(home: Home) -> set[str]:
    return {path.name for path in home.files() if path.suffix == ".tmp"}


def _readable_by_others(directory: Path) -> Iterator[str]:
    for path in (directory, *directory.iterdir()):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield f"others may read {path.name}"


def _torn(directory: Path) -> Iterator[str]:
    for path in directory.glob("*.json"):
        try:
            documents.parse_object(path.read_bytes())
        except documents.MalformedDocument as error:
            yield f"torn: {path.name}: {error}"
