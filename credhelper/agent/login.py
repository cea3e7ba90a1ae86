"""Logging in: one login at a time per session, followed by everyone who asked for it.

What all logins have in common, whatever they log in to, is in ``shown_login``.
"""

import asyncio
import contextlib
import errno
import logging
import os
import re
import shlex
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

from credhelper.agent.shown_login import AUTHORIZATION_TIME, DENIED, FAILED, SUCCESS, Event, ShownLogin
from credhelper.agent.tokens import Tokens
from credhelper.aws import start_urls
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain import oauth
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import (
    CredhelperError,
    LoginDenied,
    LoginRequired,
    Refused,
    Throttled,
    Unavailable,
)
from credhelper.domain.freshness import REGISTRATION_WINDOW
from credhelper.domain.model import DeviceAuthorization, Flow, IssuedToken, Registration, SsoSession, Token
from credhelper.domain.text import safe
from credhelper.domain.urls import is_fit_to_show
from credhelper.local import file_lock, private_files
from credhelper.local.clock import Clock
from credhelper.local.redirect import Redirect
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_DEADLINE = 10.0  # seconds
LOOK_DEADLINE = start_urls.LOOK_DEADLINE + 1  # seconds for a vanity start URL, whose look itself ends before
KEEP_DEADLINE = 20.0  # seconds for a token that has been granted: nobody wants to lose it
LONGEST_BACK_OFF = 15.0  # seconds between two polls while the connection fails
LOCK_PATIENCE = 8.0  # seconds a finished login waits for a refresh in another process to end

USER_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,30}[A-Za-z0-9]", re.ASCII)
"""What may be shown as a code to compare: AWS's are ABCD-EFGH. Anything longer or stranger nobody can compare."""

FORGOTTEN_CLIENT = frozenset({"InvalidClientException", "UnauthorizedClientException"})
"""The server does not know the cached registration (any more): a new one helps."""

IN_THE_WAY = frozenset({errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY})
"""What a write fails with when something lies there that it cannot replace."""

NOT_WRITTEN = "the token could not be written: it is in the daemon's memory, and goes to the disk when that is possible"


class _Kept(Enum):
    """Where the token of a finished login is."""

    ON_DISK = "on disk"
    IN_MEMORY = "in memory"
    NOT_WANTED = "not wanted"


class Login(ShownLogin):
    """A session's login under way, or ended."""

    def __init__(
        self, session: SsoSession, flow: Flow, started_at: datetime, hint: str | None, redirect_port: int = 0
    ) -> None:
        super().__init__(flow, started_at, hint)
        self.session = session
        self.portal = session
        """The session as AWS is told of it: a vanity start URL leads to another one, and perhaps to another region."""
        self.redirect_port = redirect_port
        """Where the browser is to come back to on 127.0.0.1; 0: to any port that is free."""

    @property
    def kept(self) -> SsoSession:
        """The session as its files know it: by the configured start URL, in the region in which it really is."""
        return replace(self.session, region=self.portal.region)

    def begin(self, work: Callable[["Login"], Awaitable[Token]]) -> None:
        """Starts the flow."""
        self._start(self._run(work))

    def about(self) -> Event:
        """What it is about, for whoever begins to follow it; not among ``events``, for it is no step of the login."""
        return {
            "event": "about",
            "sso_session": self.session.name,
            "start_url": self.session.start_url,
            "flow": self.flow.value,
            "expires_at": timestamp(self.expires_at),
        }

    async def _run(self, work: Callable[["Login"], Awaitable[Token]]) -> None:
        try:
            token = await work(self)
            if self.portal.region != self.session.region:
                self.tell({"event": "region", "sso_session": self.session.name, "region": self.portal.region})
            self.tell(logged_in(self.session, token.expires_at))
        except Refused as error:
            self._fail(_with_what_to_check(error, self.session))
        except CredhelperError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(_cancelled(self))
        except Exception:
            log.exception("a fault during the login to %s", safe(self.session.label))
            self._fail(CredhelperError("a fault in the credhelper daemon; its log says more"))
        self.on_end("ok" if self.error is None else self.error.code)


class Logins:
    """Every session's login. Lives on the event loop."""

    def __init__(
        self,
        tokens: Tokens,
        api: IdentityCenter,
        clock: Clock,
        workers: Workers,
        lock_path: Callable[[str], Path],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tokens = tokens
        self._api = api
        self._clock = clock
        self._workers = workers
        self._lock_path = lock_path
        self._sleep = sleep
        self._under_way: dict[str, Login] = {}

    def join(
        self, session: SsoSession, flow: Flow, *, force: bool, hint: str | None = None, redirect_port: int = 0
    ) -> Login | None:
        """The session's login, begun now unless one is under way; None when the session is good and not forced."""
        login = self._under_way.get(session.cache_key)
        if login is not None and not login.has_ended:
            return login
        if not force and self._tokens.is_good(session):
            return None
        login = Login(session, flow, self._clock.now(), hint, redirect_port)
        self._under_way[session.cache_key] = login
        login.begin(self._by_code if flow is Flow.AUTHORIZATION_CODE else self._by_device)
        return login

    def under_way(self) -> list[Login]:
        """The logins that wait for a person."""
        return [login for login in self._under_way.values() if not login.has_ended]

    def abandon(self, session: SsoSession) -> None:
        """The session is being logged out of: from here on its login writes nothing that stays."""
        login = self._under_way.get(session.cache_key)
        if login is not None:
            login.abandoned.set()
            login.logged_out.set()

    async def cancel(self, session: SsoSession) -> None:
        """Ends the session's login, if one is under way."""
        login = self._under_way.pop(session.cache_key, None)
        if login is not None:
            await login.cancel()

    async def stop(self) -> None:
        """Ends every login."""
        await asyncio.gather(*(login.cancel() for login in self.under_way()))

    async def _by_code(self, login: Login) -> Token:
        """Authorization code with PKCE: the listener is bound before anybody learns the URL."""
        session, proof = await self._portal(login), oauth.Proof.new()
        registration = await self._registration(login)
        async with contextlib.AsyncExitStack() as stack:
            try:
                redirect = await stack.enter_async_context(Redirect(proof.state, login.redirect_port))
            except OSError as error:
                raise self._no_port(login, error) from error
            url = await self._call(lambda: self._api.authorize_url(session, registration, redirect.uri, proof))
            login.ask({"event": "authorize", "url": url})
            try:
                code = await self._code(login, redirect)
                token = await self._obtain_and_keep(
                    login,
                    registration,
                    lambda: self._api.exchange_code(
                        session, registration, code=code, redirect_uri=redirect.uri, proof=proof
                    ),
                )
            except LoginDenied:
                redirect.conclude(*DENIED)
                raise
            except CredhelperError:
                redirect.conclude(*FAILED)
                raise
            redirect.conclude(*SUCCESS)
            return token

    def _no_port(self, login: Login, error: OSError) -> CredhelperError:
        hint = f"{login.hint or 'credhelper login'} --use-device-code"
        why = os.strerror(error.errno) if error.errno else str(error)
        if not login.redirect_port:
            return CredhelperError(f"no port on 127.0.0.1 for the browser to come back to: {why}", hint=hint)
        if error.errno == errno.EADDRINUSE:
            others = (other for other in self.under_way() if other is not login)
            holder = next((other for other in others if other.redirect_port == login.redirect_port), None)
            why = f"the login to session “{safe(holder.session.label)}” waits there" if holder else "it is in use"
        return CredhelperError(
            f"the browser cannot come back to port {login.redirect_port} on 127.0.0.1: {why}", hint=hint
        )

    async def _code(self, login: Login, redirect: Redirect) -> str:
        try:
            async with asyncio.timeout(AUTHORIZATION_TIME.total_seconds()):
                callback = await redirect.callback()
        except TimeoutError:
            self._forget_registration(login)
            raise _too_late(login) from None
        except asyncio.CancelledError:
            self._forget_registration(login)
            raise
        if callback.error == "access_denied":
            raise _denied(login)
        if callback.code is None:
            why = safe(callback.error or "unknown error")
            raise Refused(f"the sign-in page ended the login: {why}", reason="authorize")
        return callback.code

    async def _by_device(self, login: Login) -> Token:
        """Device code: polls until the person has decided (RFC 8628 section 3.5)."""
        registration, authorization = await self._device_authorization(login)
        addresses = (authorization.verification_uri, authorization.verification_uri_complete)
        if not all(map(is_fit_to_show, addresses)):
            raise Unavailable("AWS named a verification address that is not a plain https:// one")
        if not USER_CODE.fullmatch(authorization.user_code):
            raise Unavailable("AWS named a user code that nobody could compare")
        login.expires_at = authorization.expires_at
        login.ask(
            {
                "event": "device_authorization",
                "verification_uri": authorization.verification_uri,
                "verification_uri_complete": authorization.verification_uri_complete,
                "user_code": authorization.user_code,
                "expires_at": timestamp(authorization.expires_at),
            }
        )
        return await self._poll(login, registration, authorization)

    async def _device_authorization(self, login: Login) -> tuple[Registration, DeviceAuthorization]:
        session = await self._portal(login)
        registration = await self._registration(login)
        try:
            return registration, await self._call(lambda: self._api.start_device_authorization(session, registration))
        except Refused as error:
            if error.reason not in FORGOTTEN_CLIENT:
                raise
        fresh = await self._registration(login, reuse=False)
        return fresh, await self._call(lambda: self._api.start_device_authorization(session, fresh))

    async def _poll(self, login: Login, registration: Registration, authorization: DeviceAuthorization) -> Token:
        session, interval = login.portal, authorization.interval
        pause = interval
        while self._clock.now() < authorization.expires_at:
            await self._sleep(pause)
            try:
                return await self._obtain_and_keep(
                    login,
                    registration,
                    lambda: self._api.poll_device(session, registration, authorization.device_code),
                )
            except Refused as error:
                match oauth.after_poll(error.reason):
                    case oauth.Poll.AGAIN:
                        pause = interval
                    case oauth.Poll.SLOWER:
                        pause = interval = interval + oauth.SLOW_DOWN_STEP
                    case oauth.Poll.DENIED:
                        raise _denied(login) from None
                    case oauth.Poll.TOO_LATE:
                        break
                    case oauth.Poll.FAILED:
                        raise
            except (Unavailable, Throttled) as error:
                log.warning("polling for the login to %s: %s", safe(session.label), error)
                pause = max(interval, min(max(pause * 2, 1.0), LONGEST_BACK_OFF))  # RFC 8628 section 3.5: exponential
        raise _too_late(login)

    async def _portal(self, login: Login) -> SsoSession:
        """The session as AWS is told of it. Where a vanity start URL leads is looked up for each login anew."""
        if start_urls.is_vanity(login.session.start_url):
            try:
                login.portal = await self._workers.run(
                    LOOK_DEADLINE, lambda: self._api.portal(login.session), lane="start URL"
                )
            except DeadlineExceeded as error:
                raise Unavailable(f"{safe(login.session.start_url)} gave {error}") from None
        return login.portal

    async def _registration(self, login: Login, *, reuse: bool = True) -> Registration:
        cache, session = self._tokens.cache, login.kept

        def find_or_register() -> Registration:
            found = cache.load_registration(session) if reuse else None
            if found and found.flow is login.flow and found.expires_at - self._clock.now() >= REGISTRATION_WINDOW:
                return found
            made = self._api.register_client(login.portal, login.flow)
            if login.abandoned.is_set():
                return made
            path = cache.registration_path(session)
            try:
                cache.save_registration(session, made)
            except OSError as error:
                log.warning("the client registration could not be kept: %s: %s", path, error.strerror)
            if login.abandoned.is_set():  # a logout came between the look and the write
                private_files.remove(path)
            return made

        return await self._call(find_or_register)

    def _forget_registration(self, login: Login) -> None:
        """Nobody came back from the sign-in page: perhaps it no longer knows our client, which only the person saw."""
        path = self._tokens.cache.registration_path(login.kept)
        with contextlib.suppress(OSError):
            private_files.remove(path)

    async def _obtain_and_keep(
        self, login: Login, registration: Registration, obtain: Callable[[], IssuedToken]
    ) -> Token:
        """Obtains the token and makes it durable, then takes it over.

        All in one piece of blocking work: a login that is given up in the middle, by a logout perhaps, must neither
        leave a token behind nor a sign-in that nobody knows of.
        """
        session = login.kept
        given_up = threading.Event()

        def work() -> tuple[Token, _Kept]:
            token = _token(session, registration, obtain())
            try:
                kept = _Kept.NOT_WANTED if given_up.is_set() else self._keep(login, token)
            except BaseException:
                self._revoke(session, token)
                raise
            if kept is _Kept.NOT_WANTED:
                self._revoke(session, token)
            return token, kept

        try:
            token, kept = await self._workers.run(KEEP_DEADLINE, work, lane="login")
        except DeadlineExceeded as error:
            given_up.set()  # this attempt; the login may make another
            raise Unavailable(f"IAM Identity Center gave {error}") from None
        except Refused as error:
            if error.reason in FORGOTTEN_CLIENT:
                self._forget_registration(login)
            raise
        if kept is _Kept.NOT_WANTED:
            raise _cancelled(login)
        self._tokens.adopt_login(session, token, is_saved=kept is _Kept.ON_DISK)
        if kept is _Kept.IN_MEMORY:
            login.tell({"event": "warning", "message": NOT_WRITTEN})
        return token

    def _keep(self, login: Login, token: Token) -> "_Kept":
        """Writes the token. Blocking. Raises CredhelperError for what only a person can clear out of the way."""
        session = login.session
        path = self._tokens.cache.token_path(session)
        try:
            with file_lock.locked(self._lock_path(session.cache_key), seconds=LOCK_PATIENCE):
                if login.abandoned.is_set():
                    return _Kept.NOT_WANTED
                self._tokens.cache.save_token(session, token)
                if login.logged_out.is_set():  # the logout came between the look and the write
                    private_files.remove(path)
                    return _Kept.NOT_WANTED
        except file_lock.LockBusy as error:  # a refresh that hangs must not cost the person the login
            log.warning("the token of the login is only in memory: %s", error)
            return _Kept.IN_MEMORY
        except OSError as error:
            culprit = error.filename or path
            if error.errno in IN_THE_WAY:
                raise CredhelperError(
                    f"the token cannot be written: {path}: {error.strerror} ({culprit})",
                    hint=f"ls -ld {shlex.quote(str(path))}",
                ) from error
            # A full or read-only disk: the person has signed in, and shall have what they came for.
            log.warning("the token of the login is only in memory: %s: %s (%s)", path, error.strerror, culprit)
            return _Kept.IN_MEMORY
        return _Kept.ON_DISK

    def _revoke(self, session: SsoSession, token: Token) -> None:
        try:
            self._api.revoke(session.region, token.access_token)
        except CredhelperError as error:
            log.warning("a login that was given up could not be ended at the portal: %s", error)

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await self._workers.run(CALL_DEADLINE, work, lane="login")
        except DeadlineExceeded as error:
            raise Unavailable(f"IAM Identity Center gave {error}") from None


def _token(session: SsoSession, registration: Registration, issued: IssuedToken) -> Token:
    return Token(
        access_token=issued.access_token,
        expires_at=issued.expires_at,
        start_url=session.start_url,
        region=session.region,
        refresh_token=issued.refresh_token,
        client_id=registration.client_id,
        client_secret=registration.client_secret,
        registration_expires_at=registration.expires_at,
    )


def logged_in(session: SsoSession, expires_at: datetime) -> Event:
    """The event of a login that is good."""
    return {
        "event": "logged_in",
        "sso_session": session.name,
        "start_url": session.start_url,
        "expires_at": timestamp(expires_at),
    }


def _with_what_to_check(error: Refused, session: SsoSession) -> Refused:
    """AWS does not say what it dislikes, but for a new session it is nearly always one of two keys."""
    explained = Refused(f"login to session “{safe(session.label)}”: {error.message}", reason=error.reason)
    if error.reason == "InvalidRequestException":
        explained.hint = "check sso_start_url and sso_region in ~/.aws/config"
    return explained


def _denied(login: Login) -> LoginDenied:
    return LoginDenied(f"the login to session “{safe(login.session.label)}” was denied in the browser", hint=login.hint)


def _too_late(login: Login) -> LoginRequired:
    return LoginRequired(f"nobody approved the login to session “{safe(login.session.label)}” in time", hint=login.hint)


def _cancelled(login: Login) -> LoginRequired:
    return LoginRequired(f"the login to session “{safe(login.session.label)}” was cancelled", hint=login.hint)
