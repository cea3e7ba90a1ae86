"""Who there is: people, accounts, roles, and which person may use which role in which account.

And beside Identity Center: IAM roles, and who may assume them.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Person:
    name: str
    password: str = field(repr=False)
    mfa_secret: str | None = field(default=None, repr=False)
    """What their MFA device was set up with: base32, as authenticator apps take it."""


@dataclass(frozen=True)
class Account:
    account_id: str
    """Twelve digits."""
    name: str
    email: str


@dataclass(frozen=True)
class Role:
    """A permission set, as it appears in every account it is assigned in."""

    name: str
    session_seconds: int | None = None
    """How long its credentials live; None: what `Lifetimes.role_credentials` says."""


@dataclass(frozen=True)
class Assignment:
    person: str
    account_id: str
    role_name: str


@dataclass(frozen=True)
class Trust:
    """Whom an IAM role lets assume it, and what they must bring: all of it, and of source identity and tags no more."""

    principals: frozenset[str]
    """Accounts (`111122223333`), and roles in them (`111122223333/Developer`)."""
    external_id: str | None = None
    mfa: bool = False
    source_identity: str | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class IamRole:
    """A role in one account that STS AssumeRole gives to whom its trust policy names."""

    account_id: str
    name: str
    trust: Trust
    path: str = "/"
    max_session_seconds: int = 3600

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:role{self.path}{self.name}"


@dataclass(frozen=True)
class Directory:
    people: tuple[Person, ...]
    accounts: tuple[Account, ...]
    roles: tuple[Role, ...]
    assignments: frozenset[Assignment]
    iam_roles: tuple[IamRole, ...] = ()

    def __post_init__(self) -> None:
        people = {person.name for person in self.people}
        accounts = {account.account_id for account in self.accounts}
        roles = {role.name for role in self.roles}
        for given in self.assignments:
            if given.person not in people or given.account_id not in accounts or given.role_name not in roles:
                raise ValueError(f"the assignment names something the directory does not have: {given}")

    def person(self, name: str) -> Person | None:
        return next((person for person in self.people if person.name == name), None)


def default_directory() -> Directory:
    """Alice develops, Bob looks after production and money: different accounts, different roles."""
    accounts = (
        Account("111122223333", "Development", "aws+development@example.com"),
        Account("222233334444", "Staging", "aws+staging@example.com"),
        Account("333344445555", "Production", "aws+production@example.com"),
        Account("444455556666", "Büro Zürich · Abrechnung", "aws+abrechnung@example.com"),
    )
    development, staging, production, billing = (account.account_id for account in accounts)
    return Directory(
        people=(Person("alice", "correct-horse", "MFZWC3TENBQXEZDD"), Person("bob", "battery-staple")),
        accounts=accounts,
        roles=(Role("Administrator"), Role("Billing"), Role("Developer"), Role("ReadOnly")),
        assignments=frozenset(
            {
                Assignment("alice", development, "Administrator"),
                Assignment("alice", development, "Developer"),
                Assignment("alice", development, "ReadOnly"),
                Assignment("alice", staging, "Developer"),
                Assignment("alice", staging, "ReadOnly"),
                Assignment("alice", production, "ReadOnly"),
                Assignment("bob", staging, "Administrator"),
                Assignment("bob", production, "Administrator"),
                Assignment("bob", production, "ReadOnly"),
                Assignment("bob", billing, "Billing"),
            }
        ),
        iam_roles=(IamRole(staging, "Deploy", Trust(frozenset({f"{development}/Developer"}))),),
    )


def large_directory(accounts: int, roles: int) -> Directory:
    """One person, alice, with every one of `roles` roles in every one of `accounts` accounts."""
    many_accounts = tuple(
        Account(f"{100_000_000_000 + n}", f"Account {n:04}", f"aws+{n:04}@example.com") for n in range(accounts)
    )
    many_roles = tuple(Role(f"Role{n:02}") for n in range(roles))
    return Directory(
        people=(Person("alice", "correct-horse"),),
        accounts=many_accounts,
        roles=many_roles,
        assignments=frozenset(
            Assignment("alice", account.account_id, role.name) for account in many_accounts for role in many_roles
        ),
    )
