"""Logging in with a Cognito login: in the browser, with a password on a terminal, or by a command of the user's own.

One login at a time for each ``[cognito_login.NAME]``, followed by everyone who asked for it. What only a person has (a
password, a code, an address copied from a browser) is asked for by an event and comes back by ``answer``; it is used
once, and neither kept nor logged.
"""

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import TypeVar

from credhelper.agent import cognito_refresh, cognito_tokens
from credhelper.agent.cognito_password import Passwords
from credhelper.agent.cognito_questions import Question
from credhelper.agent.cognito_store import Stored, new_sign_in
from credhelper.agent.cognito_tokens import CognitoSignIns
from credhelper.agent.shown_login import DENIED, FAILED, SUCCESS, Event, ShownLogin
from credhelper.aws import oidc
from credhelper.aws.oidc import UntrustedToken
from credhelper.domain import oauth
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import (
    AccessRefused,
    CredhelperError,
    LoginDenied,
    LoginRequired,
    Refused,
    Unavailable,
    UsageError,
)
from credhelper.domain.model import CognitoLogin, CognitoTokens, Flow, LoginMethod
from credhelper.domain.text import safe
from credhelper.local import file_lock
from credhelper.local.clock import Clock
from credhelper.local.redirect import Redirect
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_DEADLINE = 10.0  # seconds
KEEP_DEADLINE = 20.0  # seconds for tokens that have been granted: nobody wants to lose them
ANSWER_SECONDS = 170.0  # seconds for a person's answer: a user pool waits three minutes for the next step
COMMAND_SECONDS = 310.0  # seconds for their command, which has 300 itself

NOT_WRITTEN = "the tokens are only in the daemon's memory, and gone when it ends: {why}"


class UserLogin(ShownLogin):
    """A Cognito login under way, or ended."""

    def __init__(self, session: CognitoLogin, started_at: datetime, redirect_port: int) -> None:
        super().__init__(Flow.AUTHORIZATION_CODE, started_at, cognito_tokens.login_command(session))
        self.session = session
        self.redirect_port = redirect_port
        """Which of the login's ports the browser is to come back to; 0: the first that is free."""
        self.id = secrets.token_urlsafe(16)
        """Names it to whoever has been told of it, and may answer."""
        self.redirect: Redirect | None = None
        """Where the browser comes back to, while that is waited for."""
        self._question: asyncio.Future[str] | None = None
        self._has_person = False
        """Whether somebody follows it who has been told that they are asked."""

    def about(self) -> Event:
        """What it is about, for whoever begins to follow it. The first one is who its questions are for."""
        asks_you, self._has_person = not self._has_person, True
        return {
            "event": "about",
            "sso_session": None,
            "start_url": None,
            "cognito_login": self.session.name,
            "method": self.session.method.value,
            "flow": self.flow.value,
            "login_id": self.id,
            "asks_you": asks_you,
            "expires_at": timestamp(self.expires_at),
        }

    def begin(self, work: Callable[["UserLogin"], Awaitable[CognitoTokens]]) -> None:
        """Starts the flow."""
        self._start(self._run(work))

    async def put(self, question: Question, prompt: str, *, choices: tuple[str, ...] = ()) -> str:
        """A person's answer; ``prompt`` is ours, with what is foreign in it made safe. Raises LoginRequired."""
        self._question = asyncio.get_running_loop().create_future()
        self.tell(
            {"event": "question", "kind": question.value, "prompt": prompt, "choices": list(choices), "id": self.id}
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS if question is Question.TOKEN else ANSWER_SECONDS):
                return await self._question
        except TimeoutError:
            raise LoginRequired(
                f"nobody answered in time to log in with “{safe(self.session.label)}”", hint=self.hint
            ) from None
        finally:
            self._question = None

    def answer(self, text: str) -> bool:
        """Takes a person's answer; whether it was waited for."""
        text = text.encode(errors="replace").decode()  # a terminal may send what is no character
        if self._question is not None and not self._question.done():
            self._question.set_result(text)
            return True
        return self.redirect is not None and self.redirect.take(text)

    async def _run(self, work: Callable[["UserLogin"], Awaitable[CognitoTokens]]) -> None:
        try:
            tokens = await work(self)
            self.tell(logged_in(self.session, tokens, tokens.expires_at))
        except UntrustedToken as error:
            self._fail(Unavailable(f"the token of “{safe(self.session.label)}” is not to be trusted: {error}"))
        except (LoginRequired, AccessRefused) as error:  # a wrong password, perhaps: the way on is once more
            error.hint = error.hint or cognito_tokens.login_command(self.session)
            self._fail(error)
        except CredhelperError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(cancelled(self.session))
        except Exception:
            log.exception("a fault during the login with %s", safe(self.session.label))
            self._fail(CredhelperError("a fault in the credhelper daemon; its log says more"))
        self.on_end("ok" if self.error is None else self.error.code)


class UserLogins:
    """Every Cognito login's. Lives on the event loop."""

    def __init__(self, tokens: CognitoSignIns, clock: Clock, workers: Workers) -> None:
        self._tokens = tokens
        self._sources = tokens.sources
        self._clock = clock
        self._workers = workers
        self._under_way: dict[str, UserLogin] = {}
        self.why_not_kept: Callable[[], str] = lambda: "there is no keyring"
        """Why nothing outlives the daemon, for a person."""

    def join(self, session: CognitoLogin, *, force: bool, redirect_port: int = 0) -> UserLogin | None:
        """The login under way, begun now unless there is one; None when it is good and not forced.

        Raises UsageError for a port that is not among those the app client lists.
        """
        login = self._under_way.get(session.cache_key)
        if login is not None and not login.has_ended:
            return login
        if not force and self._tokens.is_good(session):
            return None
        if redirect_port and redirect_port not in session.redirect_ports:
            ports = ", ".join(map(str, session.redirect_ports)) or "none, for it is not by browser"
            raise UsageError(
                f"--redirect-port: the ports of [cognito_login.{safe(session.name)}] are {ports}",
                hint="add it to redirect_port in config.toml, and to the app client's callback URLs",
            )
        login = UserLogin(session, self._clock.now(), redirect_port)
        self._under_way[session.cache_key] = login
        login.begin(lambda begun: self._work(begun, force=force))
        return login

    def under_way(self) -> list[UserLogin]:
        """The logins that wait for a person."""
        return [login for login in self._under_way.values() if not login.has_ended]

    def answer(self, login_id: str, text: str) -> bool:
        """Takes a person's answer to the login of that id; whether it was waited for."""
        return any(
            secrets.compare_digest(login.id.encode(), login_id.encode()) and login.answer(text)
            for login in self.under_way()
        )

    def abandon(self, session: CognitoLogin) -> None:
        """It is being logged out of: from here on its login writes nothing that stays."""
        login = self._under_way.get(session.cache_key)
        if login is not None:
            login.abandoned.set()
            login.logged_out.set()

    async def cancel(self, session: CognitoLogin) -> None:
        """Ends the login, if one is under way."""
        login = self._under_way.pop(session.cache_key, None)
        if login is not None:
            await login.cancel()

    async def stop(self) -> None:
        """Ends every login."""
        await asyncio.gather(*(login.cancel() for login in self.under_way()))

    async def _work(self, login: UserLogin, *, force: bool) -> CognitoTokens:
        if not force:
            renewed = await self._tokens.renewed(login.session)  # what a refresh brings nobody need be asked for
            if renewed is not None:
                return renewed
        match login.session.method:
            case LoginMethod.BROWSER:
                return await self._by_browser(login)
            case LoginMethod.SRP:
                return await self._by_password(login)
            case LoginMethod.COMMAND:
                return await self._by_command(login)

    # -- the browser --------------------------------------------------------------------------------------------------

    async def _by_browser(self, login: UserLogin) -> CognitoTokens:
        """Authorization code with PKCE: the listener is bound before anybody learns the URL."""
        session, proof, nonce = login.session, oauth.Proof.new(), secrets.token_urlsafe(32)
        provider = await self._call(lambda: self._sources.oidc.provider(session))
        async with contextlib.AsyncExitStack() as stack:
            redirect = await self._listening(login, proof.state, stack)
            login.ask({"event": "authorize", "url": oidc.authorize_url(provider, session, redirect.uri, proof, nonce)})
            try:
                code = await self._code(login, redirect)
                tokens = await self._obtain_and_keep(
                    login, lambda: self._exchanged(session, provider, code, redirect.uri, proof, nonce)
                )
            except LoginDenied:
                redirect.conclude(*DENIED)
                raise
            except (CredhelperError, UntrustedToken):
                redirect.conclude(*FAILED)
                raise
            redirect.conclude(*SUCCESS)
            return tokens

    async def _listening(self, login: UserLogin, state: str, stack: contextlib.AsyncExitStack) -> Redirect:
        """On the first of the login's ports that is free. Raises CredhelperError."""
        ports = (login.redirect_port,) if login.redirect_port else login.session.redirect_ports
        failures = []
        for port in ports:
            try:
                return await stack.enter_async_context(Redirect(state, port, oidc.CALLBACK_PATH))
            except OSError as error:
                why = "in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
                failures.append(f"{port} ({why})")
        raise CredhelperError(
            f"the browser cannot come back to 127.0.0.1, port {', '.join(failures)}",
            hint="end what listens there, or list another redirect_port in config.toml and with the app client",
        )

    async def _code(self, login: UserLogin, redirect: Redirect) -> str:
        login.redirect = redirect
        try:
            async with asyncio.timeout((login.expires_at - login.started_at).total_seconds()):
                callback = await redirect.callback()
        except TimeoutError:
            raise LoginRequired(
                f"nobody logged in with “{safe(login.session.label)}” in time", hint=login.hint
            ) from None
        finally:
            login.redirect = None
        if callback.error == "access_denied":
            raise LoginDenied(
                f"the login with “{safe(login.session.label)}” was denied in the browser", hint=login.hint
            )
        if callback.code is None:
            why = safe(callback.error or "unknown error")
            raise Refused(f"the sign-in page ended the login: {why}", reason="authorize")
        return callback.code

    def _exchanged(
        self, session: CognitoLogin, provider: oidc.Provider, code: str, uri: str, proof: oauth.Proof, nonce: str
    ) -> CognitoTokens:
        secret = cognito_refresh.client_secret(session)
        issued = self._sources.oidc.exchange(provider, session, code=code, redirect_uri=uri, proof=proof, secret=secret)
        id_token = issued.text("id_token")
        if id_token is None:
            raise Unavailable(f"{issued.tokens.place} gave no ID token; is openid among the app client's scopes?")
        return self.verified(session, id_token, issued.text("access_token"), issued.text("refresh_token"), nonce=nonce)

    def verified(
        self,
        session: CognitoLogin,
        id_token: str,
        access_token: str | None,
        refresh_token: str | None,
        *,
        nonce: str | None = None,
    ) -> CognitoTokens:
        """What a login has brought, once its ID token has proved to be the user pool's and for this login. Blocks."""
        token = self._sources.oidc.verify(session, id_token, self._clock.now(), nonce=nonce)
        assert token.expires_at is not None  # noqa: S101  # it was verified
        return CognitoTokens(
            id_token,
            token.expires_at,
            session.provider,
            token.issuer,
            token.subject,
            access_token,
            refresh_token,
            session.client_id,
        )

    # -- a password, a command ----------------------------------------------------------------------------------------

    async def _by_password(self, login: UserLogin) -> CognitoTokens:
        session = login.session
        found = await Passwords(self._sources.pools, self._clock, self._call, login.put).log_in(session)
        return await self._obtain_and_keep(
            login, lambda: self.verified(session, found.id_token, found.access_token, found.refresh_token)
        )

    async def _by_command(self, login: UserLogin) -> CognitoTokens:
        """The person's command line runs the command, which may have to ask its person; what it printed comes here."""
        session = login.session
        token = await login.put(Question.TOKEN, cognito_refresh.token_command(session))
        return await self._obtain_and_keep(login, lambda: cognito_refresh.of_command(session, token, self._clock.now()))

    # -- what all of them end with ------------------------------------------------------------------------------------

    async def _obtain_and_keep(self, login: UserLogin, obtain: Callable[[], CognitoTokens]) -> CognitoTokens:
        """Obtains the tokens and makes them durable where there is a key, then takes them over.

        All in one piece of blocking work: a login that is given up in the middle, by a logout perhaps, must neither
        leave tokens behind nor a sign-in that nobody knows of.
        """
        given_up = threading.Event()

        def work() -> tuple[Stored, _Kept]:
            stored = Stored(obtain(), new_sign_in())
            try:
                kept = _Kept.NOT_WANTED if given_up.is_set() else self._keep(login, stored)
            except BaseException:
                self._revoke(login.session, stored.tokens)
                raise
            if kept is _Kept.NOT_WANTED:
                self._revoke(login.session, stored.tokens)
            return stored, kept

        try:
            stored, kept = await self._workers.run(KEEP_DEADLINE, work, lane="login")
        except DeadlineExceeded as error:
            given_up.set()
            raise Unavailable(f"Cognito gave {error}") from None
        if kept is _Kept.NOT_WANTED:
            raise cancelled(login.session)
        self._tokens.adopt_login(login.session, stored, is_saved=kept is _Kept.ON_DISK)
        if kept is _Kept.IN_MEMORY:
            login.tell({"event": "warning", "message": NOT_WRITTEN.format(why=self.why_not_kept())})
        return stored.tokens

    def _keep(self, login: UserLogin, stored: Stored) -> "_Kept":
        """Writes the tokens. Blocking; what cannot be written stays in memory, for the person has logged in."""
        try:
            is_saved = cognito_tokens.save(self._sources, login.session, stored, login.abandoned)
        except (OSError, file_lock.LockBusy) as error:
            if self._sources.store.is_open:
                log.warning("the tokens of the login are only in memory: %s", error)
            return _Kept.NOT_WANTED if login.abandoned.is_set() else _Kept.IN_MEMORY
        return _Kept.ON_DISK if is_saved else _Kept.NOT_WANTED

    def _revoke(self, session: CognitoLogin, tokens: CognitoTokens) -> None:
        if tokens.refresh_token is None:
            return
        try:
            secret = cognito_refresh.client_secret(session)
            self._sources.pools.revoke(session, tokens.refresh_token, tokens.client_id, secret)
        except CredhelperError as error:
            log.warning("a login that was given up could not be ended at the user pool: %s", error)

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await self._workers.run(CALL_DEADLINE, work, lane="login")
        except DeadlineExceeded as error:
            raise Unavailable(f"Cognito gave {error}") from None


class _Kept(Enum):
    """Where the tokens of a finished login are."""

    ON_DISK = "on disk"
    IN_MEMORY = "in memory"
    NOT_WANTED = "not wanted"


def logged_in(session: CognitoLogin, tokens: CognitoTokens | None, now: datetime) -> Event:
    """The event of a login that is good; ``expires_at`` is the ID token's."""
    return {
        "event": "logged_in",
        "sso_session": None,
        "start_url": None,
        "cognito_login": session.name,
        "expires_at": timestamp(tokens.expires_at if tokens is not None else now),
    }


def cancelled(session: CognitoLogin) -> LoginRequired:
    """The error of a login that was given up."""
    return LoginRequired(
        f"the login with “{safe(session.label)}” was cancelled", hint=cognito_tokens.login_command(session)
    )
