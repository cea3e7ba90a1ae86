"""What a login may use: AWS accounts, the roles in each of them, and how much of that has been listed so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """One that the portal lists: twelve digits, and AWS's own words for it, which may be empty."""

    account_id: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list of the portal's; ``next_token`` asks for the next one, None on the last."""

    items: tuple[T, ...]
    next_token: str | None = field(default=None, repr=False)


class ListedAccount(TypedDict):
    """An account in JSON; without ``roles`` where nobody has asked for them (yet)."""

    account_id: str
    account_name: str
    email: str
    roles: NotRequired[list[str]]


class Listing(TypedDict):
    """A session's accounts in JSON, sorted. Nothing in it is older than ``listed_at``."""

    sso_session: str | None
    start_url: str
    listed_at: str
    accounts: list[ListedAccount]


@dataclass(slots=True)
class Parts:
    """A listing that is not complete: every account, and the roles of those that have been asked about."""

    began_at: datetime
    accounts: tuple[Account, ...]
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By account id."""

    @property
    def missing(self) -> list[Account]:
        """The accounts whose roles are not known."""
        return [account for account in self.accounts if account.account_id not in self.roles]


def is_account_id(text: str) -> bool:
    """Whether ``text`` is twelve digits."""
    return text.isascii() and text.isdigit() and len(text) == 12


def listed(accounts: tuple[Account, ...], roles: Mapping[str, tuple[str, ...]] | None = None) -> list[ListedAccount]:
    """Accounts in JSON by name, then email, then id, as the AWS CLI sorts them; roles by their names in lower case."""
    found = []
    for account in sorted(accounts, key=lambda each: (each.name.casefold(), each.email.casefold(), each.account_id)):
        entry = ListedAccount(account_id=account.account_id, account_name=account.name, email=account.email)
        if roles is not None and account.account_id in roles:
            entry["roles"] = sorted(roles[account.account_id], key=lambda name: (name.lower(), name))
        found.append(entry)
    return found
