"""Everything a person can be told is in one tree, with the contract's statuses."""

import importlib
import inspect
import pkgutil

import pytest

import credhelper
from credhelper.domain import errors
from credhelper.domain.errors import CredhelperError, Refused, Throttled

INTERNAL = {
    "LockBusy",
    "DeadlineExceeded",
    "UnusableFile",
    "UnusableTokenFile",
    "MalformedDocument",
    "KeychainUnavailable",
    "BusUnavailable",
    "DesktopUnavailable",
    "NoAnswer",
    "Unsealable",
    "Wrong",
    "Unspeakable",
    "Unwritten",
    "Changed",
    "TooDeep",
    "MalformedToken",
    "UnusableTokens",
    "UntrustedToken",
    "BadChallenge",
    "NotWritten",
    "NotRestored",
    "LoginHasChanged",
    "WrongTemplate",
    # in the process that talks to the keyring, which says them in a line:
    "Absent",
    "Refused",
}
"""Caught inside the package and told as one of the tree; so are those whose names are their module's own."""


def leaves() -> list[type[CredhelperError]]:
    found = [CredhelperError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


def modules() -> list[str]:
    names = [found.name for found in pkgutil.walk_packages(credhelper.__path__, "credhelper.")]
    return [name for name in names if not name.startswith(("credhelper.sandbox", "credhelper.__main__"))]


@pytest.mark.parametrize("module", modules())
def test_every_exception_of_the_package_is_in_the_tree(module: str) -> None:
    found = importlib.import_module(module)
    for name, kind in inspect.getmembers(found, inspect.isclass):
        if issubclass(kind, BaseException) and kind.__module__ == module and not name.startswith("_"):
            assert issubclass(kind, CredhelperError) or name in INTERNAL, name


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("CredhelperError", 1),
        ("UsageError", 2),
        ("LoginRequired", 3),
        ("ConfigError", 4),
        ("AccessRefused", 5),
        ("LoginDenied", 5),
        ("RoleNotAssigned", 5),
        ("UpstreamError", 6),
        ("Unavailable", 6),
        ("Throttled", 6),
        ("Refused", 6),
        ("DaemonUnreachable", 7),
        ("DoneInPart", 8),
        ("Interrupted", 130),
    ],
)
def test_statuses_are_the_contracts(name: str, status: int) -> None:
    assert getattr(errors, name).status == status


def test_codes_tell_the_errors_apart() -> None:
    codes = [kind.code for kind in leaves()]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() for code in codes)


def test_the_drawing_names_every_error_with_its_status() -> None:
    drawing = errors.__doc__ or ""
    for kind in leaves():
        assert kind.__name__ in drawing, kind.__name__


def test_an_error_carries_message_and_hint() -> None:
    error = errors.LoginRequired("message", hint="command")
    assert (str(error), error.message, error.hint) == ("message", "message", "command")
    assert Throttled("m", retry_after=3).retry_after == 3
    assert Refused("m", reason="X").reason == "X"
