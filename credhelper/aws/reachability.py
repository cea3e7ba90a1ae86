"""Whether AWS's endpoints answer, and what stands in the way where they do not.

Each is called in earnest, by the same clients as everything else, with a request that AWS is bound to refuse: a name
server, a proxy, a certificate or a captive portal shows as it would to a login. Nothing of the user's is sent, and
nothing is changed or created at AWS.

This belongs in the process whose environment counts: the daemon, when one runs.
"""

import asyncio
import contextlib
import http.client
import os
import socket
import ssl
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from credhelper.aws.config_file import Configuration
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import ConfigError, CredhelperError, Refused, Throttled
from credhelper.domain.model import CognitoLogin, PoolRole
from credhelper.domain.text import safe
from credhelper.domain.urls import without_userinfo
from credhelper.local.workers import DeadlineExceeded, Workers

SECONDS = 3.0  # for everything; a call itself gets less, as a failed one may still be looked into
MOST_REGIONS = 6

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")
"""Those that botocore heeds; ALL_PROXY is none of them."""

CA_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
ENDPOINT_PREFIX = "AWS_ENDPOINT_URL"

_NOBODY = "doctor"  # a token, a client and its secret that nobody has
_CALLS: Mapping[str, tuple[str, dict[str, str]]] = {
    "sso-oidc": (
        "create_token",
        {"clientId": _NOBODY, "clientSecret": _NOBODY, "grantType": "refresh_token", "refreshToken": _NOBODY},
    ),
    "sso": ("list_accounts", {"accessToken": _NOBODY}),
    "sts": ("get_caller_identity", {}),
    "cognito-identity": ("get_credentials_for_identity", {"IdentityId": f"us-east-1:{uuid.UUID(int=0)}"}),
    "cognito-idp": ("get_user", {"AccessToken": _NOBODY}),
}
_OF_A_PORTAL = ("sso-oidc", "sso", "sts")
_OF_A_POOL = ("cognito-identity", "sts")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reached:
    """How one endpoint behaved. ``kind``: "answers", or what kept it from it.

    That is "dns", "connection", "tls", "proxy", "in_the_way" (a captive portal, a filter), "server" (AWS itself),
    "late" or "setting" (of this process's environment). ``issuer`` is who signed the certificate that was refused.
    """

    service: str
    region: str
    url: str
    kind: str
    detail: str = ""
    issuer: str | None = None

    def document(self) -> Json:
        """As it goes over the socket."""
        return {name: getattr(self, name) for name in self.__slots__}


async def report(api: IdentityCenter, configuration: Configuration, seconds: float = SECONDS) -> Json:
    """All there is to say of the way to AWS, within ``seconds``.

    ``endpoints``: a ``Reached`` document each; ``clock_skew``: seconds, None when nobody answered; ``variables``: the
    environment that decides, passwords struck out; ``ca_bundle``: its ``variable``, ``path`` and ``error``, or None.
    """
    workers = Workers("check", 4)
    places = list(_places(configuration))
    reaching = asyncio.gather(*(_reach(workers, api, service, region, seconds) for service, region in places))
    bundle, reached = await asyncio.gather(_within(workers, seconds), reaching)
    skew = api.server_time.skew
    return {
        "endpoints": [found.document() for found in reached],
        "clock_skew": None if skew is None else round(skew.total_seconds()),
        "variables": variables(os.environ),
        "ca_bundle": bundle,
    }


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What decides where AWS is and how it is reached, passwords struck out; empty values count as unset."""
    return {name: without_userinfo(safe(value)) for name, value in way(environment).items()}


def way(environment: Mapping[str, str]) -> dict[str, str]:
    """The same to the letter, a proxy's password included: for who is to go the same way, and never to be shown."""
    names = sorted(name for name in environment if name.startswith(ENDPOINT_PREFIX) or name in PROXIES + CA_BUNDLES)
    return {name: environment[name] for name in names if environment[name]}


def _places(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Every service and region in use."""
    portals = dict.fromkeys(session.region for session in configuration.sessions()[0])
    roles = [role for role in configuration.roles().values() if isinstance(role, PoolRole)]
    pools = dict.fromkeys(role.region for role in roles)
    users = dict.fromkeys(role.login.region for role in roles if isinstance(role.login, CognitoLogin))
    found: dict[tuple[str, str], None] = {}
    for services, regions in ((_OF_A_PORTAL, portals), (_OF_A_POOL, pools), (("cognito-idp",), users)):
        for region in list(filter(None, regions))[:MOST_REGIONS]:
            found.update(dict.fromkeys((service, region) for service in services))
    yield from found


async def _within(workers: Workers, seconds: float) -> Json | None:
    try:
        return await workers.run(seconds, _ca_bundle, lane="ca")
    except DeadlineExceeded as error:
        variable = next(name for name in CA_BUNDLES if os.environ.get(name))
        return {"variable": variable, "path": safe(os.environ[variable]), "error": str(error)}


async def _reach(workers: Workers, api: IdentityCenter, service: str, region: str, seconds: float) -> Reached:
    try:
        # A lane each: what hangs in one place holds up no other.
        return await workers.run(seconds, lambda: _call(api, service, region, seconds), lane=f"{service} {region}")
    except DeadlineExceeded as error:
        return Reached(service, region, "", "late", str(error))


def _call(api: IdentityCenter, service: str, region: str, seconds: float) -> Reached:
    operation, request = _CALLS[service]
    url = ""
    try:
        url = without_userinfo(safe(api.transport.endpoint(service, region)))
        api.transport.call(service, region, operation, request, deadline=seconds * 0.6)
    except Throttled:
        return Reached(service, region, url, "answers")
    except Refused as error:
        if error.reason != "unknown":  # AWS gives a name to each of its errors
            return Reached(service, region, url, "answers")
        return Reached(service, region, url, "in_the_way", f"{url} refused, but not as AWS does")
    except CredhelperError as error:
        kind = _kind(error)
        issuer = _issuer(url, seconds * 0.3) if kind == "tls" else None
        return Reached(service, region, url, kind, without_userinfo(error.message), issuer)
    # Nobody has that token: it was not AWS that accepted it.
    return Reached(service, region, url, "in_the_way", f"{url} accepts anything; it is not AWS that answers")


def _kind(error: CredhelperError) -> str:
    """What stood in the way, by the errors below ours."""
    if isinstance(error, ConfigError):
        return "setting"
    chain = list(_chain(error.__context__))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    if any(isinstance(link, socket.gaierror) for link in chain) or "NameResolutionError" in names:
        return "proxy" if "ProxyConnectionError" in names else "dns"
    for name, kind in (("ProxyConnectionError", "proxy"), ("SSLError", "tls")):
        if name in names:
            return kind
    if not chain or "ClientError" in names:  # somebody answered over HTTP
        # 511 is a network's own: sign in first (RFC 6585).
        return "server" if "HTTP 5" in error.message and "HTTP 511" not in error.message else "in_the_way"
    return "connection" if "OSError" in names or "HTTPClientError" in names else "in_the_way"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and all that it was made of."""
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            inner = getattr(link, "kwargs", {}).get("error")
            waiting += [inner, getattr(link, "reason", None), link.__cause__, link.__context__]


def _issuer(url: str, seconds: float) -> str | None:
    """Who signed the certificate at ``url``, which nobody vouches for: a company's filter gives its own name away."""
    parts = urlsplit(url)
    if not parts.hostname:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent, only looked at
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        with contextlib.closing(_connection(parts.hostname, parts.port or 443, context, seconds)) as connection:
            connection.connect()
            certificate = connection.sock.getpeercert(binary_form=True)
        return None if certificate is None else _issuer_of(certificate)
    return None


def _connection(host: str, port: int, context: ssl.SSLContext, seconds: float) -> http.client.HTTPSConnection:
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return http.client.HTTPSConnection(host, port, context=context, timeout=seconds)
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=seconds)
    connection.set_tunnel(host, port)
    return connection


def _issuer_of(certificate: bytes) -> str:
    from cryptography import x509

    return safe(x509.load_der_x509_certificate(certificate).issuer.rfc4514_string())


def _ca_bundle() -> Json | None:
    """The file of trusted authorities that the environment names, and what is wrong with it; None when it names none.

    The first of the two variables that is set wins, as in botocore.
    """
    variable = next((name for name in CA_BUNDLES if os.environ.get(name)), None)
    if variable is None:
        return None
    path = Path(os.environ[variable])
    error = None
    try:
        if not path.is_file() and not path.is_dir():
            error = "is not a file" if path.exists() else "does not exist"
        elif path.is_dir():
            ssl.create_default_context(capath=str(path))
        else:
            ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        error = "holds no certificate"
    except OSError as unreadable:
        error = f"cannot be read: {unreadable.strerror}"
    except ValueError:  # a NUL in its name
        error = "is no file name"
    return {"variable": variable, "path": safe(str(path)), "error": error}
