"""The names that a shell completes: what there is to choose from, in as few bytes as can be, for somebody waits."""

from collections.abc import Mapping
from typing import Any

from credhelper.agent.offers import Offers
from credhelper.domain import known_names

NOT_CHOOSING = frozenset({"only", "profile", "sso_session", "account_id"})
"""Fields that say which names are wanted, and choose nothing themselves."""


async def lines(offers: Offers, fields: Mapping[str, str]) -> str:
    """A name a line, after a tab what it is, the last used first; ``only`` says of which kind (``profiles`` …).

    Raises DaemonUnreachable for a caller with another home.
    """
    found = await offers.document({key: value for key, value in fields.items() if key not in NOT_CHOOSING})
    names = known_names.of_kind(
        fields.get("only", ""),
        [_known(row) for row in (*found["profiles"], *found["roles"])],
        [(session["name"] or "", session["start_url"]) for session in found["sessions"]],
        [(login["name"], login["provider"]) for login in found["logins"]],
        sso_session=fields.get("sso_session", ""),
        account_id=fields.get("account_id", ""),
    )
    return "".join(f"{name}\t{about}\n" for name, about in names)


def _known(row: Mapping[str, Any]) -> known_names.Row:
    return {key: value for key, value in row.items() if value is not None}
