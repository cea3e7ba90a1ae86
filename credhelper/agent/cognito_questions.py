"""What a person may be asked for while they log in."""

from enum import StrEnum


class Question(StrEnum):
    """What a person is asked for; the command line words it."""

    USERNAME = "username"
    PASSWORD = "password"  # noqa: S105  # what is asked for, no secret
    NEW_PASSWORD = "new_password"  # noqa: S105  # likewise
    CODE = "code"
    CHOICE = "choice"
    ATTRIBUTE = "attribute"
    TOKEN = "token"  # noqa: S105  # likewise
