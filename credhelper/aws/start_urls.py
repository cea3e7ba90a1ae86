"""Start URLs: which of them are AWS's own, which region they name, and where one of a company's own leads.

A company may put a vanity address of its own (``https://aws.example.com``) before its access portal. AWS's APIs know
only the portal itself, so that such an address is looked at before a login, as the AWS CLI does since 2.35.13: one
request, one redirect at most, https throughout, and what it leads to must be AWS's. The rules and the tables are those
of the AWS CLI's resolution; the legacy host names of China, which name a region too, are ours.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from credhelper.domain.errors import ConfigError, Refused
from credhelper.domain.text import safe
from credhelper.domain.urls import is_https_or_loopback, is_loopback, is_region, without_userinfo

LOOK_DEADLINE = 10.0  # seconds for finding out where a vanity address leads, as the AWS CLI gives it

_OWNED_DOMAINS = (
    "app.aws",
    "awsapps.com",
    "portal.amazonaws.com",
    "app.amazonwebservices.com.cn",
    "awsapps.cn",
    "portal.amazonaws.com.cn",
    "api.amazonwebservices.eu",
    "portal.amazonaws.eu",
)
"""These, and whatever lies below them."""

_OWNED_HOSTS = frozenset(
    {
        "identitycenter.amazonaws.com",
        "identitycenter.us-gov.amazonaws.com",
        "identitycenter.amazonaws.com.cn",
        "identitycenter.amazonaws.eu",
    }
)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PLAIN = re.compile(r"[!-\[\]-~]{1,2000}")  # no backslash: some programs read it as a slash
_DEFAULT_PORTS = {"https": 443, "http": 80}

_HOSTS_WITH_A_REGION = tuple(
    re.compile(form)
    for form in (
        r"[^.]+\.portal\.([^.]+)\.(?:app\.aws|app\.amazonwebservices\.com\.cn|api\.amazonwebservices\.eu)",
        r"[^.]+\.([^.]+)\.portal\.amazonaws\.(?:com|com\.cn|eu)",
        r"start\.([^.]+)\.home\.awsapps\.cn",
    )
)
"""``ssoins-1234567890abcdef.portal.eu-west-1.app.aws`` and its like."""

Look = Callable[[str], str | None]
"""Asks a web address where it sends whoever comes; None: nowhere. Raises CredhelperError."""


@dataclass(frozen=True, slots=True)
class Portal:
    """An access portal as AWS's APIs know it; ``region`` is None where nothing has named it."""

    start_url: str
    region: str | None


def is_awss(start_url: str) -> bool:
    """Whether its host belongs to AWS's portals."""
    host = _host(start_url)
    return host in _OWNED_HOSTS or any(host == domain or host.endswith("." + domain) for domain in _OWNED_DOMAINS)


def is_vanity(start_url: str) -> bool:
    """Whether it is a company's own address, of which only a look tells where it leads.

    One of this machine is none: a sandbox's APIs know it as it is.
    """
    parts = _split(start_url)
    return parts.scheme == "https" and bool(parts.hostname) and not is_awss(start_url) and not is_loopback(start_url)


def region_of(start_url: str) -> str | None:
    """The region that the host name tells; None where it tells none, and where the host is not AWS's."""
    host = _host(start_url)
    for form in _HOSTS_WITH_A_REGION:
        found = form.fullmatch(host)
        if found and is_region(found[1]):
            return found[1]
    return None


def cleaned(start_url: str) -> str:
    """As AWS itself writes it: without query, fragment, user, default port and the slash at the end.

    People paste what stands in their browser's address line (``…/start/#/?tab=accounts``). What is no address comes
    back as it is.
    """
    parts = _split(start_url.strip())
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.scheme or not parts.hostname:
        return start_url.strip()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f"{host}:{port}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def is_usable(start_url: str) -> bool:
    """Whether one may log in with it: https to a host and no user at it, or of this machine, and plain ASCII."""
    if not is_https_or_loopback(start_url) or _PLAIN.fullmatch(start_url) is None:
        return False
    return is_loopback(start_url) or (_host(start_url) != "" and "@" not in _split(start_url).netloc)


def resolve(start_url: str, region: str | None, look: Look) -> Portal:
    """What AWS is to be told of a start URL, and in which region; ``region`` is the configured one.

    AWS's own is taken as it is, with the configured region even where its host name tells another: no look is made. A
    vanity one is what it leads to, and a region in that host name beats the configured one. Raises ConfigError for one
    that leads elsewhere, and what ``look`` raises.
    """
    if not is_vanity(start_url):
        return Portal(start_url, region)
    if not is_usable(start_url):
        raise ConfigError(f"the start URL {safe(without_userinfo(start_url))} is no plain https:// address")
    try:
        target = look(start_url)
    except Refused as error:
        raise _leads_astray(start_url, f"leads nowhere ({error.reason})") from None
    if target is None:
        raise _leads_astray(start_url, "is neither an address of AWS's nor leads to one")
    found = _followed(start_url, target)
    if found is None:
        raise _leads_astray(start_url, f"leads to {safe(target)}, which is not https:// or not AWS's")
    return Portal(found, region_of(found) or region)


def _followed(start_url: str, target: str) -> str | None:
    """Where a redirect goes, cleaned; None where nobody should be sent."""
    if _PLAIN.fullmatch(target) is None:
        return None
    try:
        found = urljoin(start_url, target)
    except ValueError:
        return None
    return cleaned(found) if _split(found).scheme == "https" and is_awss(found) else None


def _leads_astray(start_url: str, why: str) -> ConfigError:
    return ConfigError(
        f"the start URL {safe(start_url)} {why}",
        hint="open it in a browser: the address that the access portal shows there is the one to configure",
    )


def _host(url: str) -> str:
    """In lower case and without a dot at its end; empty for what is no host name."""
    host = (_split(url).hostname or "").rstrip(".")
    return host if _HOST.fullmatch(host) else ""


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")
