"""A chained profile's own keys: the role it assumes, whose credentials it does so with, and how.

Natively they are the AWS CLI's (``role_arn``, ``source_profile`` …), adopted the same with the prefix ``credhelper_``.
Source identity and session tags, for which the AWS CLI has no keys, have the prefix in both. What may stand in a value
is what AssumeRole takes (botocore's model of STS, 2011-06-15), so that a mistake is told with its place and not by AWS.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from credhelper.domain.errors import ConfigError
from credhelper.domain.model import AnyRole, ChainedRole
from credhelper.domain.text import safe

LONGEST_CHAIN = 4
"""How many roles may be assumed one after the other."""

ADOPTED = "credhelper_"

NATIVE_KEYS = frozenset(
    {"role_arn", "source_profile", "duration_seconds", "role_session_name", "external_id", "mfa_serial"}
)
"""What the AWS CLI has keys for; adopted they have the prefix, and all others have it always."""

SHORTEST, LONGEST = 900, 43_200  # seconds
MOST_TAGS = 50

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]{1,511}/)?[A-Za-z0-9_+=,.@-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
_SERIAL = re.compile(r"[A-Za-z0-9_+=/:,.@-]{9,256}")
_TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+@-]{1,128}", re.IGNORECASE)
_TAG_VALUE = re.compile(r"[\w\s.:/=+@-]{0,256}")

Keys = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """A profile's keys, with what its mistakes are told by."""

    path: Path
    name: str
    """As it stands in the file: ``[profile deploy]``."""
    keys: Keys

    def mistake(self, what: str) -> ConfigError:
        """The error to raise for it."""
        return ConfigError(f"{self.path}: {self.name}: {what}")


def prefix_of(keys: Keys) -> str | None:
    """Which keys make the profile a chained one; None when none do.

    As for the AWS CLI, a role that is assumed with a web identity is none.
    """
    if ADOPTED + "role_arn" in keys:
        return ADOPTED
    return "" if "role_arn" in keys and "web_identity_token_file" not in keys else None


def source_of(section: Section) -> str:
    """The profile whose credentials a chained one assumes its role with. Raises ConfigError."""
    prefix = prefix_of(section.keys) or ""
    source = section.keys.get(prefix + "source_profile", "")
    other = next((key for key in (prefix + "credential_source", "credential_source") if key in section.keys), None)
    if source and other:
        raise section.mistake(f"{prefix}source_profile and {other} exclude each other")
    if other:
        raise section.mistake(
            f"{other} names no profile: credhelper assumes roles only with credentials that it serves itself"
            f" ({prefix}source_profile)"
        )
    if not source:
        raise section.mistake(f"{prefix}source_profile is missing: {prefix}role_arn says what to become, not from whom")
    return source


def role_of(section: Section, source: AnyRole, region: str) -> ChainedRole:
    """The role of a chained profile, assumed with ``source``'s credentials at the STS of ``region``.

    Raises ConfigError.
    """
    prefix = prefix_of(section.keys) or ""
    read = Reader(section, prefix)
    tags = read("session_tags", _tags) or ()
    transitive = read("transitive_session_tags", names) or ()
    unknown = sorted(set(transitive) - {key for key, _ in tags})
    if unknown:
        raise section.mistake(
            f"{ADOPTED}transitive_session_tags: “{safe(unknown[0])}” is not among {ADOPTED}session_tags"
        )
    role_arn = read("role_arn", matching(ROLE_ARN, "a role's ARN such as arn:aws:iam::111122223333:role/NAME"))
    if role_arn is None:
        raise section.mistake(f"{prefix}role_arn is missing")
    name = matching(_NAME, "2 to 64 letters, digits and _+=,.@-")
    return ChainedRole(
        source,
        role_arn,
        region,
        duration_seconds=read("duration_seconds", duration),
        role_session_name=read("role_session_name", name),
        external_id=read("external_id", matching(_EXTERNAL_ID, "2 to 1224 letters, digits and _+=,.@:/-")),
        source_identity=read("source_identity", _identity),
        tags=tags,
        transitive_tag_keys=transitive,
        mfa_serial=read("mfa_serial", matching(_SERIAL, "an MFA device's serial number or ARN")),
    )


class Wrong(Exception):
    """A value that cannot be; says what it should be."""


class Reader:
    """Reads a section's keys, whatever they are called there."""

    def __init__(self, section: Section, prefix: str) -> None:
        self._section = section
        self._prefix = prefix

    def __call__(self, name: str, parse: Callable[[str], T]) -> T | None:
        """The parsed value; None where there is none. Raises ConfigError."""
        keys = self._section.keys
        key = self._prefix + name if self._prefix + name in keys else ADOPTED + name
        if key not in keys:
            return None
        if not self._prefix and key.startswith(ADOPTED) and name in NATIVE_KEYS:
            return None  # beside native keys those of an adopted profile mean nothing
        value = keys[key].strip()
        try:
            return parse(value)
        except Wrong as wrong:
            shown = safe(value.partition("\n")[0])
            raise self._section.mistake(f"{key}: “{shown}” is not {wrong}") from None


def matching(form: re.Pattern[str], described: str) -> Callable[[str], str]:
    """Takes values of that form, all of them; ``described`` says what they are."""

    def parse(value: str) -> str:
        if not form.fullmatch(value):
            raise Wrong(described)
        return value

    return parse


def _identity(value: str) -> str:
    if not _NAME.fullmatch(value) or value.startswith("aws:"):
        raise Wrong("2 to 64 letters, digits and _+=,.@-")
    return value


def duration(value: str) -> int:
    """How long credentials shall live, in seconds. Raises Wrong."""
    described = f"a whole number of seconds from {SHORTEST} to {LONGEST}"
    if not (value.isascii() and value.isdecimal() and len(value) <= 6):
        raise Wrong(described)
    seconds = int(value)
    if not SHORTEST <= seconds <= LONGEST:
        raise Wrong(described)
    return seconds


def _tags(value: str) -> tuple[tuple[str, str], ...]:
    """``key=value, key=value``; a comma can stand in neither, by AWS's own rule."""
    found: dict[str, tuple[str, str]] = {}
    for item in filter(None, map(str.strip, value.split(","))):
        key, separator, text = (part.strip() for part in item.partition("="))
        if not separator or not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(text):
            raise Wrong("tags such as team=blue, project=x")
        if key.lower() in found:  # AWS tells keys apart without regard to case
            raise Wrong("tags with different keys")
        found[key.lower()] = key, text
    if len(found) > MOST_TAGS:
        raise Wrong(f"at most {MOST_TAGS} tags")
    return tuple(found.values())


def names(value: str) -> tuple[str, ...]:
    """What stands between commas, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, value.split(",")))))
