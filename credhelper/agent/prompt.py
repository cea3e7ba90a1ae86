"""The line of ``credhelper status --prompt``: which session it is, and whether and how long it can be used.

A time stands there only where the session really ends then. An access token that the daemon refreshes is good for an
hour at most, and saying so would frighten a person whose session goes on for days.
"""

from collections.abc import Callable
from datetime import datetime

from credhelper.agent.choices import Choices, Fields
from credhelper.agent.configurations import Configurations
from credhelper.agent.notices import label_of
from credhelper.agent.token_state import TokenState
from credhelper.domain.errors import CredhelperError
from credhelper.domain.model import CognitoLogin, Guests, SsoSession

BETWEEN = ", "
CHOOSING = ("sso_session", "cognito_login", "profile", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")

Shown = SsoSession | CognitoLogin


def line(
    fields: Fields,
    configurations: Configurations,
    choices: Choices,
    describe: Callable[[Shown], TokenState],
    now: datetime,
    *,
    is_locked: bool,
) -> str:
    """``corp ok``, or several of them; nothing where no session is meant."""
    shown = [(session, describe(session)) for session in _sessions(fields, configurations, choices)]
    if len(shown) > 1:
        shown = [(session, state) for session, state in shown if state.state != "logged_out"]
    return BETWEEN.join(f"{_label(session)} {'locked' if is_locked else word(state, now)}" for session, state in shown)


def word(state: TokenState, now: datetime) -> str:
    """What a person wants to know of a session, in one word.

    ``ok`` (it goes on by itself), ``42m`` (it ends then), ``expired`` (log in again), ``-`` (not logged in), or
    ``failing`` (AWS cannot be reached, and there is nothing that could be used meanwhile).
    """
    if state.state == "logged_out" or state.expires_at is None:
        return "-"
    if state.state == "expired":
        return "expired"
    if state.refreshable and state.last_error is None:
        return "ok"
    left = (state.expires_at - now).total_seconds()
    return _span(left) if left > 0 else "failing"


def _span(seconds: float) -> str:
    """``45s``, ``42m``, ``7h``, ``3d``: whole units, rounded down, so that it never promises too much."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= (2 * size if unit == "d" else size):
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def _label(session: Shown) -> str:
    """Its name; of a legacy one what tells its portal from another, and no more: a prompt is short."""
    label = label_of(session)
    return label if session.name is not None else label.partition(".")[0]


def _sessions(fields: Fields, configurations: Configurations, choices: Choices) -> list[Shown]:
    """The one that is chosen, by an option or by the environment; else that of ``default``; else all there are.

    Guests have nothing to say: they need no login.
    """
    is_chosen = any(fields.get(key) for key in CHOOSING)
    try:
        chosen = choices.sign_in(fields)
        return [] if isinstance(chosen, Guests) else [chosen]
    except CredhelperError:  # a profile of static keys, say, which is none of our business
        if is_chosen:
            return []
    try:
        configuration, _ = configurations.and_mistakes(fields)
    except CredhelperError:  # a caller with another home
        return []
    return [*configuration.sessions()[0], *configurations.tables.by_name.values()]
