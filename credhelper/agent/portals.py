"""Whether a session that nobody has configured yet would work: where its start URL leads, and whether AWS takes it.

For ``credhelper configure sso-session``, which has the daemon ask: its environment decides how AWS is reached, now as
for every login later.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from credhelper.aws import start_urls
from credhelper.aws.config_file import scopes_of
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import ConfigError, Refused, Unavailable
from credhelper.domain.model import Flow, SsoSession
from credhelper.domain.text import safe
from credhelper.domain.urls import A_REGION, is_region, without_userinfo
from credhelper.local.workers import DeadlineExceeded, Workers

LOOK_SECONDS = start_urls.LOOK_DEADLINE + 1  # the look itself ends before
CHECK_SECONDS = 15.0  # three calls in a row

Json = dict[str, Any]
T = TypeVar("T")


class Portals:
    """Lives on the event loop."""

    def __init__(self, api: IdentityCenter, network: Workers) -> None:
        self._api = api
        self._network = network

    async def look(self, fields: Mapping[str, str]) -> Json:
        """Where ``start_url`` leads: ``{"start_url", "region", "checked"}``, the region null where nothing tells it.

        ``sso_region`` is the one that is meant, which a vanity URL may know better. With ``sso_session`` and ``scopes``
        too, and once the region is known, AWS is asked whether it would take a login to such a session. Raises
        ConfigError for what AWS does not take, UpstreamError.
        """
        start_url, meant = fields.get("start_url", ""), fields.get("sso_region") or None
        if not start_urls.is_usable(start_url):
            raise ConfigError(f"the start URL is not a plain https:// address: {safe(without_userinfo(start_url))}")
        if meant is not None and not is_region(meant):
            raise ConfigError(f"the SSO region “{safe(meant)}” is not {A_REGION}")
        portal = await self._run(
            LOOK_SECONDS, lambda: start_urls.resolve(start_url, meant, self._api.where_it_leads), start_url
        )
        is_to_check = portal.region is not None and "scopes" in fields
        if portal.region is not None and is_to_check:
            scopes = scopes_of(fields["scopes"])
            session = SsoSession(fields.get("sso_session"), portal.start_url, portal.region, scopes)
            await self._run(CHECK_SECONDS, lambda: self._check(session), f"AWS in {portal.region}")
        return {"start_url": portal.start_url, "region": portal.region, "checked": is_to_check}

    def _check(self, session: SsoSession) -> None:
        """Does what either login begins with, up to where a person would be asked. Blocking."""
        try:
            self._api.register_client(session, Flow.AUTHORIZATION_CODE)
            self._api.start_device_authorization(session, self._api.register_client(session, Flow.DEVICE_CODE))
        except Refused as error:
            raise _explained(error, session) from None

    async def _run(self, seconds: float, work: Callable[[], T], what: str) -> T:
        try:
            return await self._network.run(seconds, work, lane="portal")
        except DeadlineExceeded as error:
            raise Unavailable(f"{safe(what)} gave {error}") from None


def _explained(error: Refused, session: SsoSession) -> Refused | ConfigError:
    """AWS does not say what it dislikes; at this point it can be only one of a few things."""
    if error.reason == "InvalidRequestException":
        return ConfigError(
            f"AWS in {session.region} does not take the start URL {safe(session.start_url)} ({error.reason}):"
            " the one or the other is wrong",
            hint="both stand in IAM Identity Center's console, under Settings",
        )
    if error.reason == "InvalidScopeException":
        scopes = ", ".join(session.scopes or ())
        return ConfigError(
            f"AWS in {session.region} does not take the scopes {safe(scopes)} ({error.reason})",
            hint="role credentials take sso:account:access, and no other",
        )
    return error
