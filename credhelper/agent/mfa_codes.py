"""Codes of MFA devices, for the chained roles that want one: a person names it, and it is used at once.

No code is kept. What it brought is kept like everything else, and ends without being renewed.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from credhelper.agent.choices import Choices
from credhelper.agent.policy import Policy
from credhelper.agent.role_credentials import RoleCredentialsCache
from credhelper.domain.errors import LoginRequired, MfaRefused, Unavailable
from credhelper.domain.model import ChainedRole

DEADLINE = 17.0  # seconds: the source's credentials may have to be fetched first
LONGEST = 43_200  # seconds that an assumed role can last
_CODE = re.compile(r"[0-9]{6}")  # AssumeRole's TokenCode

Json = dict[str, Any]
Fields = Mapping[str, str]


class MfaCodes:
    """Lives on the event loop."""

    def __init__(self, choices: Choices, roles: RoleCredentialsCache, policy: Policy) -> None:
        self._choices = choices
        self._roles = roles
        self._policy = policy

    async def use(self, fields: Fields) -> Json:
        """Uses the ``mfa_code`` in ``fields``, if there is one, and tells which the chosen role waits for then.

        ``{"mfa_serial", "account_id", "role_name", "command"}``: the device, the role in the chain that wants its
        code, and the command that asks for it; ``mfa_serial`` is None where none is wanted, as for most roles. Raises
        LoginRequired, MfaRefused, AssumeRoleDenied, ConfigError, UsageError, UpstreamError.
        """
        chained = self._choices.chained_role(fields)
        if chained is None:
            return _wanted(None, None)
        role = self._policy.limited(chained, fields, self._choices.profile_name(fields))
        min_left = timedelta(seconds=min(int(fields["min_ttl"]), LONGEST)) if "min_ttl" in fields else None
        lacking = self._roles.lacking_code(role, min_left=min_left)
        if lacking is not None and "mfa_code" in fields:
            await self._assume(lacking, fields)
            lacking = self._roles.lacking_code(role, min_left=min_left)
        return _wanted(lacking, self._choices.mfa_command(fields))

    async def _assume(self, role: ChainedRole, fields: Fields) -> None:
        if not _CODE.fullmatch(fields["mfa_code"]):
            raise MfaRefused("a code of an MFA device has six digits")
        try:
            async with asyncio.timeout(DEADLINE):
                await self._roles.assume_with_code(role, fields["mfa_code"])
        except TimeoutError:
            raise Unavailable(f"no credentials from AWS within {DEADLINE:g} s") from None
        except LoginRequired as error:
            raise self._choices.with_hint(error, role.session, fields) from None


def _wanted(role: ChainedRole | None, command: str | None) -> Json:
    return {
        "mfa_serial": role and role.mfa_serial,
        "account_id": role and role.account_id,
        "role_name": role and role.role_name,
        "command": command,
    }
