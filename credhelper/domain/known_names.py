"""Which names may stand for a profile, session, Cognito login, account or role, out of what is known of them.

For completion.
"""

KINDS = ("profiles", "sessions", "logins", "accounts", "roles")

Name = tuple[str, str]
"""A name, and what it is."""

Row = dict[str, str]
"""A role: ``profile``, ``sso_session``, ``account_id``, ``account_name``, ``role_name``, as far as they are known.

Of an identity pool's, ``identity_pool_id``, which may be all that is.
"""


def of_kind(
    kind: str,
    rows: list[Row],
    sessions: list[Name],
    logins: list[Name] | None = None,
    *,
    sso_session: str = "",
    account_id: str = "",
) -> list[Name]:
    """The names of that kind, each once and in the order they come; of another kind there are none.

    Accounts and roles are those that go with the session and the account, where these are given.
    """
    if kind == "sessions":
        found = sessions
    elif kind == "logins":
        found = logins or []
    elif kind == "profiles":
        found = [(row.get("profile", ""), _role(row)) for row in rows]
    elif kind == "accounts":
        found = [
            (row.get("account_id", ""), row.get("account_name", "")) for row in rows if _fits(row, sso_session, "")
        ]
    elif kind == "roles":
        found = [(row.get("role_name", ""), "") for row in rows if _fits(row, sso_session, account_id)]
    else:
        found = []
    return _once(found)


def _fits(row: Row, sso_session: str, account_id: str) -> bool:
    return row.get("sso_session") == (sso_session or row.get("sso_session")) and row.get("account_id") == (
        account_id or row.get("account_id")
    )


def _role(row: Row) -> str:
    account = row.get("account_name") or row.get("account_id", "")
    return f"{account} {row.get('role_name', '')}".strip() or row.get("identity_pool_id", "")


def _once(names: list[Name]) -> list[Name]:
    """Each name with what is said of it first; those with control characters, which nobody can type, not at all."""
    found: dict[str, str] = {}
    for name, about in names:
        if name and not found.get(name) and name.isprintable():
            found[name] = about if about.isprintable() else ""
    return list(found.items())
