"""A machine with credhelper's daemon on it, the AWS CLI beside it, and a person who does what people do.

Each event is a method; after each, everything that has happened is held against the rules.
"""

import asyncio
import functools
import json
import logging
import os
import random
import resource
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import pytest

from credhelper.agent import agent as agent_module
from credhelper.agent import logout as logout_module
from credhelper.agent import revocations as revocations_module
from credhelper.agent.agent import Agent
from credhelper.agent.gate import Wanted
from credhelper.agent.shown_login import ShownLogin
from credhelper.domain.errors import CredhelperError, Refused
from credhelper.domain.model import Flow, Registration, Role, SsoSession
from credhelper.local import file_lock, private_files
from credhelper.local.keychain import Keychain, KeychainUnavailable
from tests.clocks import HandClock
from tests.simulation.fake_identity_center import Aws, FakeIdentityCenter, Ledger, Weather
from tests.simulation.rules import Asked, Rules
from tests.simulation.simulated_time import SimulatedLoop, SimulatedModules, SimulatedTime, SimulatedWorkers

P = ParamSpec("P")
Json = dict[str, Any]

ACCOUNT = "111122223333"
CORP = SsoSession("corp", "https://corp.awsapps.com/start", "us-east-1", ("sso:account:access",))
LAB = SsoSession("lab", "https://lab.awsapps.com/start", "eu-west-1", ("sso:account:access",))
LEGACY = SsoSession(None, "https://old.awsapps.com/start", "us-east-1")
SESSIONS = (CORP, LAB, LEGACY)
ROLES = {
    **{f"corp{number:02}": Role(CORP, ACCOUNT, f"Corp{number:02}") for number in range(14)},
    "short": Role(CORP, ACCOUNT, "Short"),
    "long": Role(LAB, ACCOUNT, "Long"),
    "lab": Role(LAB, ACCOUNT, "Lab"),
    "old": Role(LEGACY, ACCOUNT, "Old"),
}
"""Every role by its profile. Of one session there are more than may be fetched within a second."""

DURATIONS = {"Short": timedelta(minutes=15), "Long": timedelta(hours=12)}
KEYRING_SECONDS = 0.2
LONGEST_REPORT = 0.05  # seconds after which the watcher has told of a change
STORY = 40  # events that are told when a promise is broken


class SimulatedKeyring(Keychain):
    """A keyring that needs a moment; ``is_locked`` like those on a desktop where nobody has logged in."""

    def __init__(self, time: SimulatedTime, rng: random.Random) -> None:
        super().__init__("secret-service", environment={})
        self.is_locked = False
        self._time = time
        self._rng = rng
        self._key: bytes | None = None

    def key(self, name: str) -> bytes:
        """The key."""
        self._take_a_moment(name)
        self._key = self._key or self._rng.randbytes(32)
        return self._key

    def delete(self, name: str) -> None:
        """Forgets it."""
        self._take_a_moment(name)
        self._key = None

    def _take_a_moment(self, name: str) -> None:
        assert name.startswith("home-")
        self._time.sleep(KEYRING_SECONDS)
        if self.is_locked:
            raise KeychainUnavailable("the keyring is locked")


class SimulatedWatch:
    """Tells the daemon of changed files a moment after they have changed; or, where nothing is told, of none."""

    def __init__(self, *, is_told: bool) -> None:
        self.is_told = is_told
        self._seen: dict[Path, private_files.Signature | None] = {}

    def add(self, path: Path) -> None:
        """Watches another file."""
        self._seen.setdefault(path, private_files.signature(path))

    def discard(self, path: Path) -> None:
        """No longer."""
        self._seen.pop(path, None)

    def look(self) -> tuple[frozenset[Path], frozenset[Path]]:
        """What has changed since the last look, and what need not be looked at until it changes."""
        if not self.is_told:
            return frozenset(), frozenset()
        now = {path: private_files.signature(path) for path in self._seen}
        changed = frozenset(path for path, seen in now.items() if seen != self._seen[path])
        self._seen = now
        return changed, frozenset(now)


def event(
    method: Callable[Concatenate["Machine", P], None],
) -> Callable[Concatenate["Machine", P], None]:
    """Makes a method an event: it is counted and told, and everything is checked after it."""

    @functools.wraps(method)
    def happens(self: "Machine", /, *args: P.args, **kwargs: P.kwargs) -> None:
        told = ", ".join([*map(_word, args), *(f"{name}={_word(value)}" for name, value in kwargs.items())])
        self.story.append(f"{self.clock.true_now():%d %H:%M:%S} {method.__name__}({told})")
        self.happened[method.__name__] += 1
        self.rules.look()
        self._loop.run_until_complete(self._report_own_writes())
        method(self, *args, **kwargs)
        self.check()

    return happens


class Machine:
    """One home, one daemon at a time, and whatever happens to them. ``seed`` decides what chance decides."""

    def __init__(self, directory: Path, seed: str) -> None:
        self.home = directory / "home"
        self.clock = HandClock()
        self.story: deque[str] = deque(maxlen=STORY)
        self.happened: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self._seed = seed
        self._time = SimulatedTime(self.clock, self._chance("threads"))
        self._rng = self._chance("machine")
        self._loop = SimulatedLoop(self._time)
        self._loop.set_exception_handler(self._note_fault)
        self.aws = Aws(self.clock.true_now, durations=DURATIONS)
        self.ledger = Ledger()
        self.rules = Rules(self.aws, self.clock, self.home / ".aws" / "sso" / "cache", list(SESSIONS))
        self.ledger.on_call, self.ledger.on_answer = self.rules.calls, self.rules.is_answered
        self._tasks: set[asyncio.Task[None]] = set()
        self._registrations: dict[SsoSession, Registration] = {}
        self._writes = 0
        self._daemons = 0
        self._is_disk_full = False
        self._is_watched = True
        self._keyring = SimulatedKeyring(self._time, self._chance("keyring"))
        self._faults = _Faults(self.rules.violations)
        self._patch = pytest.MonkeyPatch()
        self._put_in_place()
        self._write_config()
        self._start(has_keyring=True, is_watched=True)

    def _put_in_place(self) -> None:
        modules = SimulatedModules(self._time)
        self._patch.setattr(agent_module, "Workers", functools.partial(SimulatedWorkers, self._time))
        self._patch.setattr(agent_module, "OneThread", lambda kind: SimulatedWorkers(self._time, kind, 1))
        self._patch.setattr(file_lock, "select", modules)
        self._patch.setattr(file_lock, "time", modules)
        self._patch.setattr(logout_module, "time", modules)
        self._patch.setattr(revocations_module, "threading", modules)
        logger = logging.getLogger("credhelper")
        self._patch.setattr(logger, "propagate", False)
        self._patch.setattr(logger, "level", logging.ERROR)
        logger.addHandler(self._faults)

    def close(self) -> None:
        """Ends everything."""
        self._is_disk_full = False
        try:
            self._stop(is_killed=True)
        finally:
            self._loop.close()
            logging.getLogger("credhelper").removeHandler(self._faults)
            self._patch.undo()

    # -- what a person and programs do with the daemon ----------------------------------------------------------------

    @event
    def ask(self, profile: str, *, waits: bool = True) -> None:
        """A program asks for credentials, and waits for them, or is still waiting when the next thing happens."""
        task = self._begin(self._get(profile))
        if waits:
            self._run(_all([task]))

    @event
    def ask_for_all(self) -> None:
        """Every profile at once, some twice."""
        profiles = [*ROLES, *self._rng.sample(list(ROLES), 4)]
        self._run(_all([self._begin(self._get(profile)) for profile in profiles]))

    @event
    def look_at_status(self) -> None:
        """``credhelper status``: never fails, and is never wrong about a login."""
        self._run(self._status())

    @event
    def ask_who_i_am(self, profile: str) -> None:
        """``credhelper whoami``."""
        self._run(self._whoami(profile))

    @event
    def log_in(self, session: SsoSession, decision: str, *, is_forced: bool = True) -> None:
        """``credhelper login``, and the person approves, denies, ignores it, or interrupts it."""
        self._begin(self._log_in(session, decision, is_forced=is_forced))
        self._run(asyncio.sleep(self._rng.choice((0.0, 0.3, 60.0))))

    @event
    def log_out(self, session: SsoSession | None, *, waits: bool = True) -> None:
        """``credhelper logout``, of one session or of everything."""
        task = self._begin(self._log_out(session))
        self._run(_all([task]) if waits else asyncio.sleep(0.01))

    # -- what other tools do ------------------------------------------------------------------------------------------

    @event
    def log_in_elsewhere(self, session: SsoSession, how: str) -> None:
        """The AWS CLI logs in and writes the token file, in place or atomically; ``how``: see _write_token."""
        if self._is_disk_full:
            return
        registration = self._registration(session)
        self._write_token(session, self._token_document(registration, *self.aws.log_in(session, registration)), how)

    @event
    def refresh_elsewhere(self, session: SsoSession, how: str) -> None:
        """An SDK refreshes the token that it finds: it rotates."""
        found = _parsed(self.rules.content(session))
        if self._is_disk_full or not found or not found.get("refreshToken") or self.aws.weather is not Weather.FINE:
            return
        try:
            access_token, refresh_token = self.aws.refresh(found["clientId"], found["refreshToken"])
        except Refused:
            return
        written = found | {
            "accessToken": access_token,
            "refreshToken": refresh_token,
            "expiresAt": self._end_of(access_token),
        }
        self._write_token(session, written, how)
        self.outcomes["refreshed elsewhere"] += 1

    @event
    def log_out_elsewhere(self, *, revokes: bool) -> None:
        """``aws sso logout``: every file goes that holds a token."""
        for session in SESSIONS:
            before, content = self.rules.token(session), _parsed(self.rules.content(session))
            if content is None:
                continue
            self.aws.access_tokens[content["accessToken"]].sign_in.is_ended |= revokes
            self._path(session).unlink()
            self._changed_by_others(session, before)

    @event
    def spoil_the_file(self, session: SsoSession, content: str) -> None:
        """Something that is no token is in the token's place, for good."""
        if not self._is_disk_full:
            self._run(self._see_everything())
            self._write(session, content.encode(), is_atomic=False)

    # -- what happens to the machine ----------------------------------------------------------------------------------

    @event
    def live(self, seconds: float) -> None:
        """Time passes, and all that is due in it happens."""
        self._run(asyncio.sleep(seconds))

    @event
    def suspend(self, seconds: float, *, told_after: float) -> None:
        """The machine sleeps; the daemon hears of it when it wakes, or at the watcher's next sweep."""
        self.clock.suspend(seconds=seconds)
        self._clocks_have_changed(told_after)

    @event
    def set_clock(self, seconds: float, *, told_after: float) -> None:
        """Somebody sets the wall clock; 0: right."""
        wrong_by = (self.clock.now() - self.clock.true_now()).total_seconds()
        self.clock.jump(seconds=seconds - wrong_by)
        self._clocks_have_changed(told_after)

    @event
    def fill_disk(self) -> None:
        """Nothing can be written any more."""
        self._is_disk_full = True

    @event
    def free_disk(self) -> None:
        """It can."""
        self._is_disk_full = False

    @event
    def restart(self, *, is_killed: bool, has_keyring: bool, is_watched: bool) -> None:
        """The daemon ends, in order or by SIGKILL, and another one starts."""
        self._stop(is_killed=is_killed)
        self._start(has_keyring=has_keyring, is_watched=is_watched)
        self._run(asyncio.sleep(self._rng.choice((0.0, 1.0))))

    @event
    def lock_keyring(self, *, is_locked: bool) -> None:
        """The desktop's keyring is locked, or opened."""
        self._keyring.is_locked = is_locked

    # -- what happens at AWS, and on the way there --------------------------------------------------------------------

    @event
    def change_weather(self, weather: Weather, retry_after: float | None, *, is_told: bool) -> None:
        """AWS fails in one way or another, or is well again; the kernel tells of a network that has changed, or not."""
        self.aws.weather, self.aws.retry_after = weather, retry_after
        if is_told:
            self.rules.pauses_are_forgotten()
            self._run(self._call(self.agent.upkeep.network_changed))

    @event
    def revoke_at_aws(self, session: SsoSession) -> None:
        """Whoever administers AWS ends the session."""
        sign_in = self.rules.sign_in(session)
        if sign_in is not None:
            sign_in.is_ended = True

    @event
    def withdraw_access_token(self, session: SsoSession) -> None:
        """The portal no longer accepts the access token, but the login can be refreshed."""
        token = self.rules.token(session)
        if token is not None:
            self.aws.access_tokens[token["accessToken"]].is_withdrawn = True

    @event
    def assign(self, profile: str, *, is_assigned: bool) -> None:
        """Whoever administers AWS takes a role away, or gives it back."""
        change = self.aws.unassigned.discard if is_assigned else self.aws.unassigned.add
        change(ROLES[profile])

    @event
    def change_rules_of_aws(self, *, ends_family_on_reuse: bool, hours: float) -> None:
        """How strict AWS is about refresh tokens, and how long a login lasts."""
        self.aws.ends_family_on_reuse, self.aws.sign_in_time = ends_family_on_reuse, timedelta(hours=hours)

    # -- the checks ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Holds everything against the rules. Raises AssertionError with what has happened before."""
        self.rules.look()
        self.rules.check_that_all_is_kept_alive()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()
        if not self._tasks and not self._is_calling():
            self.rules.check_files(self._refresh_token_in_memory)
        if self.rules.violations:
            told = "\n  ".join(self.story)
            raise AssertionError("\n".join([*self.rules.violations, f"seed {self._seed}, the last events:\n  {told}"]))

    def _is_calling(self) -> bool:
        return any(call.ended is None for call in self.ledger.calls[-50:])

    def _refresh_token_in_memory(self, session_key: str) -> str | None:
        token = self.agent.tokens.look(next(each for each in SESSIONS if each.cache_key == session_key))
        return None if token is None else token.refresh_token

    # -- the parts: requests ------------------------------------------------------------------------------------------

    async def _get(self, profile: str) -> None:
        asked = self.rules.asks(ROLES[profile])
        fields = self._fields(profile)
        try:
            document = (
                self.agent.hand_out_at_once(Wanted(fields)) or await self.agent.hand_out(Wanted(fields))
            ).document
        except CredhelperError as error:
            self.rules.failed(asked, error)
            self.outcomes[type(error).__name__] += 1
        except asyncio.CancelledError:
            self._forget(asked)
            raise
        else:
            self.rules.served(asked, json.loads(document))
            self.outcomes["served"] += 1

    def _forget(self, asked: Asked) -> None:
        if asked in self.rules.in_flight:
            self.rules.in_flight.remove(asked)

    async def _whoami(self, profile: str) -> None:
        asked = self.rules.asks(ROLES[profile])
        try:
            found = await self.agent.whoami(Wanted(self._fields(profile)))
        except CredhelperError:
            self.outcomes["whoami failed"] += 1
        else:
            assert found["role_name"] == ROLES[profile].role_name
            self.outcomes["whoami"] += 1
        self.rules.leaves(asked)

    async def _status(self) -> None:
        found = self.agent.status(self._fields())
        assert found["mistakes"] == []
        for session, told in zip(SESSIONS, found["status"]["sso_sessions"], strict=True):
            self.rules.told(session, told["state"])

    async def _log_in(self, session: SsoSession, decision: str, *, is_forced: bool) -> None:
        profile = next(name for name, role in ROLES.items() if role.session == session)
        fields = self._fields(profile) | {"flow": Flow.DEVICE_CODE.value, "force": "1" if is_forced else ""}
        login, nothing_to_do = self.agent.login(fields)
        if login is None:
            assert nothing_to_do["event"] == "logged_in"
            self.rules.needs_no_login(session)
            return
        self.rules.login_begins(session)
        last = await self._follow(login, decision)
        self.outcomes[f"login {last}"] += 1
        self.rules.login_ends(session, is_good=last == "logged_in")

    async def _follow(self, login: ShownLogin, decision: str) -> str:
        last: str = "nothing"
        events = login.follow()
        async for told in events:
            last = str(told.get("code", told["event"]))
            if told["event"] == "device_authorization":
                if decision == "interrupts":
                    await events.aclose()
                    return "interrupted"
                if decision != "ignores":
                    decide = functools.partial(self.aws.decide, told["user_code"], approves=decision == "approves")
                    self._loop.call_later(self._rng.uniform(1, 90), decide)
        return last

    async def _log_out(self, session: SsoSession | None) -> None:
        sessions = SESSIONS if session is None else (session,)
        fields = self._fields()
        if session is not None:
            fields["profile"] = next(name for name, role in ROLES.items() if role.session == session)
        is_fine = self.aws.weather is Weather.FINE
        logging_out = asyncio.ensure_future(self.agent.logout(fields))
        for each in sessions:
            self.rules.logout_begins(each)
        receipt = await logging_out
        for each in sessions:
            self.rules.logout_ends(each)
        assert receipt["left"] == [], receipt
        self.rules.check_is_gone(self.home, list(sessions))
        self.rules.check_receipt(receipt, is_fine=is_fine and self.aws.weather is Weather.FINE)
        self.outcomes["logout"] += 1

    # -- the parts: files ---------------------------------------------------------------------------------------------

    def _path(self, session: SsoSession) -> Path:
        return self.agent.tokens.cache.token_path(session)

    def _registration(self, session: SsoSession) -> Registration:
        found = self._registrations.get(session)
        if found is None or found.expires_at <= self.clock.true_now():
            found = self._registrations[session] = self.aws.register(session)
        return found

    def _token_document(self, registration: Registration, access_token: str, refresh_token: str | None) -> Json:
        session = self.aws.access_tokens[access_token].sign_in.session
        found = {
            "startUrl": session.start_url,
            "region": session.region,
            "accessToken": access_token,
            "expiresAt": self._end_of(access_token),
            "clientId": registration.client_id,
            "clientSecret": registration.client_secret,
            "registrationExpiresAt": registration.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "refreshToken": refresh_token,
        }
        return {key: value for key, value in found.items() if value is not None}

    def _end_of(self, access_token: str) -> str:
        """By this machine's wall clock, as every tool reckons."""
        token = self.aws.access_tokens[access_token]
        return (self.clock.now() + (token.expires_at - token.issued_at)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _write_token(self, session: SsoSession, document: Json, how: str) -> None:
        """``how``: "atomically"; "in place"; "slowly": empty for a while; "halfway": never finished."""
        content = json.dumps(document).encode()
        if how in {"atomically", "in place"}:
            self._write(session, content, is_atomic=how == "atomically")
            return
        self._run(self._see_everything())
        self._write(session, b"" if how == "slowly" else content[: len(content) // 2], is_atomic=False)
        if how == "slowly":
            self._finish_slowly(session, content)

    def _finish_slowly(self, session: SsoSession, content: bytes) -> None:
        path = self._path(session)
        with path.open("r+b") as file:
            self._run(asyncio.sleep(self._rng.choice((0.001, 0.1, 3.0))))
            before = self.rules.token(session)
            is_still_there = os.fstat(file.fileno()).st_ino == getattr(private_files.signature(path), "inode", None)
            if not self._is_disk_full:
                file.write(self._padded(content))
            if not is_still_there:  # replaced or removed by the daemon meanwhile: written into nothing
                self.outcomes["overtaken"] += 1
                return
        self._changed_by_others(session, before)

    def _write(self, session: SsoSession, content: bytes, *, is_atomic: bool) -> None:
        path, before = self._path(session), self.rules.token(session)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".new") if is_atomic else path
        written.write_bytes(self._padded(content) if content else b"")
        written.replace(path)
        self._changed_by_others(session, before)

    def _padded(self, content: bytes) -> bytes:
        """No two in a row are of one size: a month goes by within few ticks of the file system's clock."""
        self._writes += 1
        return content + b" " * (self._writes % 1000)

    def _changed_by_others(self, session: SsoSession, before: Json | None) -> None:
        self.rules.changed_by_others(session, before, is_watched=self._is_watched)
        self._report()

    async def _see_everything(self) -> None:
        """The daemon looks at what is there, before something comes that it cannot understand."""
        await asyncio.sleep(LONGEST_REPORT)
        await self._status()

    def _report(self) -> None:
        """The watcher's report comes a moment later."""
        agent, watch = self.agent, self._watch

        def tell() -> None:
            if agent is self.agent:
                self._reports -= 1
                agent.files_have_changed(*watch.look())
                if self._reports == 0:
                    self.rules.told_of_changes()

        if self._is_watched:
            self._reports += 1
            self._loop.call_later(LONGEST_REPORT * self._rng.random(), tell)

    async def _report_own_writes(self) -> None:
        """They are no news to the daemon, but the watcher knows what lies there now."""
        if self._is_watched and self._reports == 0:
            self.agent.files_have_changed(*self._watch.look())

    def _write_config(self) -> None:
        lines = []
        for session in SESSIONS:
            if session.name is not None:
                lines += [f"[sso-session {session.name}]", f"sso_start_url = {session.start_url}"]
                lines += [f"sso_region = {session.region}", f"sso_registration_scopes = {(session.scopes or ('',))[0]}"]
        for name, role in ROLES.items():
            lines += [f"[profile {name}]", f"sso_account_id = {ACCOUNT}", f"sso_role_name = {role.role_name}"]
            if role.session.name is None:
                lines += [f"sso_start_url = {role.session.start_url}", f"sso_region = {role.session.region}"]
            else:
                lines += [f"sso_session = {role.session.name}"]
        config = self.home / ".aws" / "config"
        config.parent.mkdir(parents=True)
        config.write_text("\n".join(lines) + "\n")

    # -- the parts: the daemon ----------------------------------------------------------------------------------------

    def _start(self, *, has_keyring: bool, is_watched: bool) -> None:
        self._daemons += 1
        chance = self._chance(f"daemon {self._daemons}")
        api = FakeIdentityCenter(self.aws, self._time, self.ledger, self._daemons, chance.random)
        self._is_watched, self._watch, self._reports = is_watched, SimulatedWatch(is_told=is_watched), 0
        self.rules.server_time_is_known = lambda: api.server_time.skew is not None
        self._run(self._begin_daemon(api, chance, has_keyring=has_keyring))

    async def _begin_daemon(self, api: FakeIdentityCenter, chance: random.Random, *, has_keyring: bool) -> None:
        keychain = self._keyring if has_keyring else None
        state = self.home / ".local" / "state" / "credhelper"
        self.agent = Agent(self.home, state, api=api, clock=self.clock, keychain=keychain, rng=chance)
        self.agent.begin(self._watch)
        self._background = [
            asyncio.ensure_future(self.agent.upkeep.run()),
            asyncio.ensure_future(self.agent.keeper.open()),
        ]
        self._report()

    def _stop(self, *, is_killed: bool) -> None:
        if is_killed:
            self._time.kill_threads()
        for task in (*self._tasks, *self._background):
            task.cancel()
        if not is_killed:
            self._run(self.agent.stop())
        self._run(self._cancel_everything())
        self._time.kill_threads()
        self._tasks.clear()
        self.rules.restarted()

    async def _cancel_everything(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        return task

    def _run(self, work: Awaitable[Any]) -> None:
        """Runs the loop until ``work`` is done, on a disk that may be full."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if self._is_disk_full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            self._loop.run_until_complete(work)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    async def _call(self, function: Callable[[], None]) -> None:
        function()

    def _clocks_have_changed(self, told_after: float) -> None:
        """At once or a little later; whenever it looks before, it notices by itself."""
        agent = self.agent
        self.rules.clocks_change()

        def tell() -> None:
            if agent is self.agent:
                agent.upkeep.wake()
                self._loop.call_later(0.001, self.rules.clocks_are_noticed)

        self._loop.call_later(told_after, tell)

    def _fields(self, profile: str | None = None) -> dict[str, str]:
        fields = {"HOME": str(self.home), "cwd": "/"}
        return fields if profile is None else fields | {"profile": profile}

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")

    def _note_fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.rules.violations.append(f"the event loop: {context.get('exception') or context['message']!r}")


class _Faults(logging.Handler):
    """Collects what the daemon itself calls a fault."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(self.format(record))


def _word(argument: object) -> str:
    return argument.label if isinstance(argument, SsoSession) else str(argument)


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


def _parsed(content: bytes | None) -> Json | None:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("accessToken"), str) else None
