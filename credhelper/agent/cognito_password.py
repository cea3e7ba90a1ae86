"""A user pool's login with a password: the person is asked, the proof reckoned, and each further wish of the pool met.

The password stays in this process for as long as the proof takes, and what travels is SRP's signature.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from credhelper.agent.cognito_questions import Question
from credhelper.agent.cognito_refresh import client_secret
from credhelper.aws import srp
from credhelper.aws.user_pools import MISTYPED, WEAK_PASSWORD, Challenge, Tokens, UserPools
from credhelper.domain.errors import AccessRefused, LoginRequired, Refused, Unavailable
from credhelper.domain.model import CognitoLogin
from credhelper.domain.text import safe
from credhelper.local.clock import Clock

MOST_STEPS = 8  # challenges in a row; a user pool has three at most that we can meet
TRIES = 3  # for a code, or a new password

_CODES = {
    "SOFTWARE_TOKEN_MFA": ("SOFTWARE_TOKEN_MFA_CODE", "code of the authenticator app"),
    "SMS_MFA": ("SMS_MFA_CODE", "code sent by text message"),
    "EMAIL_OTP": ("EMAIL_OTP_CODE", "code sent by e-mail"),
    "SMS_OTP": ("SMS_OTP_CODE", "code sent by text message"),
}
"""Challenges that want a code: the answer's name, and what the person has."""

_FACTORS = {
    "SOFTWARE_TOKEN_MFA": "authenticator app",
    "SMS_MFA": "text message",
    "EMAIL_OTP": "e-mail",
}

_BEYOND_US = {
    "MFA_SETUP": "wants a second factor set up first",
    "DEVICE_SRP_AUTH": "wants the proof of a remembered device",
    "CUSTOM_CHALLENGE": "has questions of its own",
    "WEB_AUTHN": "wants a passkey",
}


class Calls(Protocol):
    """Runs blocking work in a thread."""

    async def __call__(self, work: Callable[[], Challenge | Tokens]) -> Challenge | Tokens:
        """Its result. Raises Unavailable after a time limit, and what the work raises."""


class Ask(Protocol):
    """Asks the person."""

    def __call__(self, question: Question, prompt: str, *, choices: tuple[str, ...] = ()) -> Awaitable[str]:
        """Their answer. Raises LoginRequired."""


class Passwords:
    """One login with a password."""

    def __init__(self, pools: UserPools, clock: Clock, call: Calls, ask: Ask) -> None:
        self._pools = pools
        self._clock = clock
        self._call = call
        self._ask = ask
        self._remark = ""  # why the next question comes once more

    async def log_in(self, login: CognitoLogin) -> Tokens:
        """The user pool's tokens. Raises AccessRefused, LoginRequired, ConfigError, UpstreamError."""
        username = login.username or (await self._answer(Question.USERNAME, f"User name in {login.user_pool_id}"))
        password = await self._answer(Question.PASSWORD, f"Password of {safe(username)}")
        client = srp.Client.new()
        step = await self._call(lambda: self._pools.begin_password(login, username, client, client_secret(login)))
        if not isinstance(step, Challenge) or step.name != "PASSWORD_VERIFIER":
            raise _beyond(login, step.name if isinstance(step, Challenge) else "no password")
        user_id = step.parameters.get("USER_ID_FOR_SRP", username)
        step = await self._prove(login, step, user_id, client, password)
        for _ in range(MOST_STEPS):
            if isinstance(step, Tokens):
                return step
            step = await self._meet(login, step, step.parameters.get("USER_ID_FOR_SRP", user_id))
        raise Unavailable(f"the user pool {login.user_pool_id} goes on asking without end")

    async def _prove(
        self, login: CognitoLogin, challenge: Challenge, user_id: str, client: srp.Client, password: str
    ) -> Challenge | Tokens:
        found = srp.Challenge(
            user_id,
            challenge.parameters.get("SALT", ""),
            challenge.parameters.get("SRP_B", ""),
            challenge.parameters.get("SECRET_BLOCK", ""),
        )

        def work() -> Challenge | Tokens:
            try:
                proof = client.answer(found, login.user_pool_id or "", password, self._clock.now())
            except srp.BadChallenge as error:
                raise Unavailable(f"the user pool {login.user_pool_id} does not speak SRP: {error}") from None
            return self._pools.respond(login, challenge, user_id, proof, client_secret(login))

        return await self._call(work)

    async def _meet(self, login: CognitoLogin, challenge: Challenge, user_id: str) -> Challenge | Tokens:
        """The next step after what the person has answered; they may mistype."""
        for tries_left in reversed(range(TRIES)):
            answers = await self._answers(login, challenge)
            try:
                return await self._call(
                    lambda answers=answers: self._pools.respond(  # type: ignore[misc]
                        login, challenge, user_id, answers, client_secret(login)
                    )
                )
            except Refused as error:
                if error.reason != MISTYPED and error.reason not in WEAK_PASSWORD:
                    raise
                if not tries_left:
                    raise AccessRefused(_sentence(error.reason)) from None
                self._remark = f"{_sentence(error.reason).capitalize()}. "
        raise AssertionError("the last try has returned or raised")

    async def _answers(self, login: CognitoLogin, challenge: Challenge) -> dict[str, str]:
        if challenge.name in _CODES:
            name, what = _CODES[challenge.name]
            return {name: await self._answer(Question.CODE, what.capitalize() + _destination(challenge))}
        if challenge.name == "SELECT_MFA_TYPE":
            return {"ANSWER": await self._factor(login, challenge)}
        if challenge.name == "NEW_PASSWORD_REQUIRED":
            return await self._new_password(challenge)
        raise _beyond(login, challenge.name)

    async def _factor(self, login: CognitoLogin, challenge: Challenge) -> str:
        known = [name for name in _list(challenge.parameters.get("MFAS_CAN_CHOOSE")) if name in _FACTORS]
        if not known:
            raise _beyond(login, challenge.name)
        words = tuple(_FACTORS[name] for name in known)
        chosen = await self._answer(Question.CHOICE, "Second factor", choices=words)
        return known[words.index(chosen)] if chosen in words else known[0]

    async def _new_password(self, challenge: Challenge) -> dict[str, str]:
        answers = {"NEW_PASSWORD": await self._answer(Question.NEW_PASSWORD, "New password")}
        for attribute in _list(challenge.parameters.get("requiredAttributes")):
            name = attribute.removeprefix("userAttributes.")
            answers[f"userAttributes.{name}"] = await self._answer(Question.ATTRIBUTE, f"Your {safe(name)}")
        return answers

    async def _answer(self, question: Question, prompt: str, *, choices: tuple[str, ...] = ()) -> str:
        remark, self._remark = self._remark, ""
        found = await self._ask(question, remark + prompt, choices=choices)
        if not found:
            raise LoginRequired("nothing was answered, and so nobody is logged in")
        return found


def _destination(challenge: Challenge) -> str:
    """Where a code was sent, as far as the user pool says."""
    where = challenge.parameters.get("CODE_DELIVERY_DESTINATION")
    return f" to {safe(where)}" if where else ""


def _list(text: str | None) -> list[str]:
    """A list that a challenge's parameter holds as JSON."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _sentence(reason: str) -> str:
    return "the code is wrong" if reason == MISTYPED else "the user pool does not take this new password"


def _beyond(login: CognitoLogin, name: str) -> AccessRefused:
    wish = _BEYOND_US.get(name, f"wants something that is not for a terminal: {safe(name)}")
    return AccessRefused(
        f"the user pool {login.user_pool_id} {wish}",
        hint=f'use method = "browser" in [cognito_login.{safe(login.name)}] of config.toml',
    )
