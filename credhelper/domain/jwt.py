"""JSON Web Tokens taken apart, strictly (RFC 7515, RFC 7519, RFC 8725): nothing here says that one is genuine.

What is ambiguous is refused: a name that stands twice, padding, more or fewer than three parts, nesting without end.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LONGEST = 50_000  # characters; what Cognito takes in a Logins map

_PART = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

Claims = Mapping[str, Any]


class MalformedToken(ValueError):
    """Not a token of this form; the message says how, never what it contained."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """A token's parts. The claims are its bearer's word until somebody has verified the signature."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Claims = field(repr=False)
    signed: bytes = field(repr=False)
    """What the signature is of."""
    signature: bytes = field(repr=False)

    @property
    def issuer(self) -> str:
        """``iss``; "" where there is none."""
        return self._text("iss")

    @property
    def subject(self) -> str:
        """``sub``; "" where there is none."""
        return self._text("sub")

    @property
    def audience(self) -> tuple[str, ...]:
        """``aud``: one or several (RFC 7519 section 4.1.3)."""
        found = self.claims.get("aud")
        if isinstance(found, str):
            return (found,)
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return tuple(found)
        return ()

    @property
    def expires_at(self) -> datetime | None:
        """``exp``, in whole seconds; None where there is none. Raises MalformedToken."""
        return moment(self.claims, "exp")

    def _text(self, name: str) -> str:
        found = self.claims.get(name)
        return found if isinstance(found, str) else ""


def read(token: str) -> Jwt:
    """The parts of a token in compact form. Raises MalformedToken."""
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3:
        raise MalformedToken("not three parts with dots between them" if len(token) <= LONGEST else "too long")
    header, claims, signature = map(decoded, parts)
    return Jwt(_object(header, "header"), _object(claims, "claims"), f"{parts[0]}.{parts[1]}".encode(), signature)


def moment(claims: Claims, name: str) -> datetime | None:
    """A NumericDate among claims (RFC 7519 section 2), in whole seconds. Raises MalformedToken."""
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise MalformedToken(f"{name} is no number")
    try:
        return datetime.fromtimestamp(int(found), UTC)
    except (ValueError, OverflowError, OSError):
        raise MalformedToken(f"{name} is outside the calendar") from None


def decoded(part: str) -> bytes:
    """Base64url without padding, as all of JOSE has it. Raises MalformedToken."""
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise MalformedToken("a part is not base64url")
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise MalformedToken("a part is not base64url") from None


def _object(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise MalformedToken(f"the {what} is not JSON, or has a name twice") from None
    if not isinstance(found, dict):
        raise MalformedToken(f"the {what} is no JSON object")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8725 section 2.4: two readers may take different ones of two that have the same name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
