"""Signing a browser in to the AWS console with a role's credentials: the federation endpoint of AWS Sign-In.

The rules are those of the IAM user guide, "Enable custom identity broker access to the AWS console": a sign-in token
for the credentials, by POST where that is taken, so that no secret stands in an address that a proxy would log; then an
address with that token, good for 15 minutes. Credentials that were assumed with another role's may name no
``SessionDuration``.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.transport import Transport
from credhelper.domain.errors import ConfigError, Refused, UsageError
from credhelper.domain.model import AnyRole, ChainedRole, RoleCredentials, SsoSession, region_behind
from credhelper.domain.text import safe
from credhelper.domain.urls import is_https_or_loopback, without_userinfo

SIGN_IN_DOMAINS: Mapping[str, str] = {
    "aws": "signin.aws.amazon.com",
    "aws-cn": "signin.amazonaws.cn",
    "aws-eusc": "signin.amazonaws-eusc.eu",
    "aws-iso": "signin.c2shome.ic.gov",
    "aws-iso-b": "signin.sc2shome.sgov.gov",
    "aws-iso-e": "signin.csphome.adc-e.uk",
    "aws-iso-f": "signin.csphome.hci.ic.gov",
    "aws-us-gov": "signin.amazonaws-us-gov.com",
}
"""By partition, each below its regions' names; a test compares them with botocore's rules for the service ``signin``.

The console of a partition is at the same domain, with ``console`` for ``signin``.
"""

SERVICE_PATHS: Mapping[str, str] = {
    "eventbridge": "events",
    "identity-center": "singlesignon",
    "opensearch": "aos",
    "parameter-store": "systems-manager/parameters",
    "ssm": "systems-manager",
    "sso": "singlesignon",
    "stepfunctions": "states",
}
"""Where the console calls a service otherwise than everybody else."""

SHORTEST, LONGEST = timedelta(minutes=15), timedelta(hours=12)
"""What ``SessionDuration`` may be."""

_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without the backslash, which browsers take for a slash and others do not."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a sign-in begins and where it ends."""

    region: str
    sign_in: str
    """The base of the federation endpoint's URL."""
    destination: str
    """The page of the console."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A way in. Whoever has the URL can take it."""

    url: str = field(repr=False)
    expires_at: datetime
    """When the console's session ends."""


def landing(
    transport: Transport, role: AnyRole, region: str | None, *, service: str | None, destination: str | None
) -> Landing:
    """Where the console of ``role`` is, in ``region`` (None: the role's own). Blocks; makes no call.

    Raises UsageError for a service or a destination that is none of this console's; ConfigError.
    """
    own = region_behind(role)
    partition = role.role_arn.split(":")[1] if isinstance(role, ChainedRole) else transport.partition(own)
    region = region or own
    if transport.partition(region) != partition:
        raise ConfigError(
            f"the region {safe(region)} is not in the partition {safe(partition)} of the role {safe(role.role_name)}",
            hint="name one of its regions with --region",
        )
    if partition not in SIGN_IN_DOMAINS:
        raise ConfigError(f"nothing is known of the console of the partition {safe(partition)}")
    domain = SIGN_IN_DOMAINS[partition]
    console = domain.replace("signin", "console", 1)
    base = f"https://{region}.{console}"
    if destination:
        page = _checked(base + destination if destination.startswith("/") else destination, console)
    else:
        page = f"{base}/{_path(service)}/home?region={region}" if service else f"{base}/console/home?region={region}"
    return Landing(region, _redirected() or f"https://{region}.{domain}", page)


def _path(service: str) -> str:
    if not _SERVICE.fullmatch(service):
        raise UsageError(f"--service: “{safe(service)}” is not the name of a service such as ec2 or s3")
    return SERVICE_PATHS.get(service, service)


def _checked(url: str, console: str) -> str:
    """Only this console may get a browser with a fresh session: what is said to be its page may be anybody's."""
    if not (_PLAIN.fullmatch(url) and _is_page_of(url, console)):
        raise UsageError(
            f"--destination: “{safe(without_userinfo(url))}” is not a page of https://{console}",
            hint=f"name a page such as https://{console}/s3/home, or only its path, such as /s3/home",
        )
    return url


def _is_page_of(url: str, console: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    # By the whole of it: a user's name or a port has no business there.
    return parts.scheme == "https" and f".{parts.netloc}".endswith(f".{console}") and "@" not in parts.netloc


def _redirected() -> str | None:
    """Where this process's environment has AWS Sign-In, by botocore's rules. Raises ConfigError."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    for variable in ("AWS_ENDPOINT_URL_SIGNIN", "AWS_ENDPOINT_URL"):
        url = os.environ.get(variable, "").rstrip("/")
        if url and not is_https_or_loopback(url):
            raise ConfigError(f"{variable} of the daemon is neither https nor on this machine: {without_userinfo(url)}")
        if url:
            return url
    return None


def sign_in(api: IdentityCenter, role: AnyRole, credentials: RoleCredentials, place: Landing) -> ConsoleSession:
    """A sign-in with the role's credentials. Blocks: one call, or two where AWS does not take the first.

    Raises UpstreamError.
    """
    duration = None if isinstance(role, ChainedRole) else _duration(credentials)
    try:
        token = _token(api, credentials, place, duration)
    except Refused:
        if duration is None:
            raise
        duration = None  # whatever AWS has against it: without one, the session lasts as long as the credentials
        token = _token(api, credentials, place, duration)
    query = {"Action": "login", "Destination": place.destination, "SigninToken": token}
    if isinstance(role.session, SsoSession):
        query["Issuer"] = role.session.start_url  # where the console sends a person whose session has ended
    return ConsoleSession(
        f"{place.sign_in}/federation?{urlencode(query, quote_via=quote)}",
        credentials.expires_at if duration is None else api.server_time.now() + duration,
    )


def _duration(credentials: RoleCredentials) -> timedelta:
    """As long as the role's credentials last when they are new: what its administrator has set for a session.

    Without it the console would end with these credentials, which may be nearly over.
    """
    minutes = round(credentials.lifetime.total_seconds() / 60)
    return min(max(timedelta(minutes=minutes), SHORTEST), LONGEST)


def _token(api: IdentityCenter, credentials: RoleCredentials, place: Landing, duration: timedelta | None) -> str:
    seconds = None if duration is None else int(duration.total_seconds())
    return api.get_signin_token(place.sign_in, place.region, credentials, seconds)
