"""The way to AWS: names, proxy, certificates, and whether it is AWS that answers at each endpoint in use."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from credhelper.aws.reachability import PROXIES
from credhelper.doctor.findings import Finding, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.urls import is_loopback

Json = dict[str, Any]

_SERVICES = {"sso-oidc": "OIDC", "sso": "the portal", "sts": "STS"}
_IDS = {
    "dns": "network.dns",
    "connection": "network.connection",
    "tls": "network.tls",
    "proxy": "network.proxy",
    "in_the_way": "network.captive_portal",
    "server": "network.endpoint",
    "late": "network.late",
    "setting": "network.setting",
}
_RESTART = "credhelper daemon restart"


def endpoints(scene: Scene) -> Iterator[Finding]:
    """OIDC, the portal and STS of every region in use, called from where the daemon runs.

    ``network.endpoint`` answers or is unwell; else ``network.dns``, ``network.connection``, ``network.tls``,
    ``network.proxy``, ``network.captive_portal``, ``network.late``, ``network.setting``. What several endpoints have in
    common is said once.
    """
    groups: dict[tuple[str, str, str | None], list[Json]] = {}
    for found in scene.network()["endpoints"]:
        cause = found["detail"].replace(found["url"], "").strip() if found["url"] else found["detail"]
        groups.setdefault((found["kind"], cause, found["issuer"]), []).append(found)
    for (kind, cause, issuer), members in groups.items():
        where = _where(members)
        if kind == "answers":
            yield ok("network.endpoint", f"{where} answer as AWS does")
        elif kind == "server":
            yield warning(
                _IDS[kind], f"{where}: {cause}; AWS is unwell", "curl -I https://health.aws.amazon.com   # and wait"
            )
        else:
            told = f"{where}: {cause}" + (f"; the certificate is signed by {issuer}" if issuer else "")
            yield problem(_IDS.get(kind, "network.connection"), told, _remedy(kind, members, scene.network()))


def _where(members: list[Json]) -> str:
    services = dict.fromkeys(_SERVICES.get(found["service"], "AWS") for found in members)
    regions = dict.fromkeys(str(found["region"]) for found in members if found["region"])
    urls = dict.fromkeys(str(found["url"]) for found in members if found["url"])
    where = ", ".join(services) + (f" in {', '.join(regions)}" if regions else "")
    return where + (f" at {next(iter(urls))}" if len(urls) == 1 else "")


def _remedy(kind: str, members: list[Json], report: Mapping[str, Any]) -> str:
    url = next((found["url"] for found in members if found["url"]), "")
    host = urlsplit(url).hostname or ""
    overrides = sorted(name for name in report["variables"] if name.startswith("AWS_ENDPOINT_URL"))
    if kind in {"connection", "late", "dns"} and overrides:
        where = "a sandbox that is no longer there" if is_loopback(url) else "an address that does not answer"
        return f"unset {' '.join(overrides)}; {_RESTART}   # they lead to {where}"
    proxies = [name for name in PROXIES if name in report["variables"] and not name.lower().startswith("no_")]
    match kind:
        case "dns":
            return f"getent hosts {host}   # no answer: look to the network, or to the name servers in /etc/resolv.conf"
        case "tls":
            return (
                f"export AWS_CA_BUNDLE=…; {_RESTART}   # a PEM file with the authority that signs here,"
                " if it is your company's; else use another network"
            )
        case "proxy":
            return f"export {proxies[0] if proxies else 'HTTPS_PROXY'}=…; {_RESTART}   # a proxy that answers"
        case "in_the_way":
            return f"curl -sI {shlex.quote(url)}   # sign in to the network in a browser, or ask who runs the filter"
        case "setting":
            return f"mend the variable that the message names, then: {_RESTART}"
        case _:
            return f"curl -v {shlex.quote(url)} >/dev/null   # a firewall, a VPN or a proxy is missing"


def proxy_and_certificates(scene: Scene) -> Iterator[Finding]:
    """``network.proxy_setting`` and ``network.ca_bundle``: what the environment in force says of both."""
    report = scene.network()
    proxies = {name: value for name, value in report["variables"].items() if name in PROXIES}
    for name, value in proxies.items():
        if name.lower() != "no_proxy" and not _is_proxy(value):
            yield problem(
                "network.proxy_setting", f"{name} is not the address of a proxy: {value}", f"unset {name}; {_RESTART}"
            )
    if proxies:
        told = ", ".join(f"{name}={value}" for name, value in proxies.items())
        yield ok("network.proxy_setting", f"proxy settings in force: {told}")
    bundle = report["ca_bundle"]
    if bundle is None:
        return
    if bundle["error"]:
        yield problem(
            "network.ca_bundle",
            f"{bundle['variable']} names {bundle['path']}, which {bundle['error']}",
            f"unset {bundle['variable']}; {_RESTART}",
        )
    else:
        yield ok("network.ca_bundle", f"{bundle['variable']} names {bundle['path']}, which holds certificates")


def _is_proxy(value: str) -> bool:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return bool(parts.hostname) and parts.scheme in {"http", "https"} and (parts.port or 1) > 0
    except ValueError:
        return False
