"""``credhelper cognito pool show``: a pool on one screen, and what is wrong with it."""

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from credhelper.cli import cognito_findings, speech
from credhelper.cli.pools import admin, commands, reading
from credhelper.domain.errors import DoneInPart
from credhelper.domain.text import safe
from credhelper.identity_pools import findings
from credhelper.identity_pools.pool_changes import PoolState

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

_COLUMN = 16


def run(args: argparse.Namespace) -> int:
    """Prints it; the exit status says whether there is an error, or a part that could not be read."""
    pool_id = commands.pool_id_of(args)
    return show(admin.connect(args), pool_id, as_json=args.json)


def show(asked: "Admin", pool_id: str, *, as_json: bool) -> int:
    """The same with an administrator's calls."""
    partly = reading.Partly()
    pool = reading.state(asked, pool_id)
    roles = reading.roles_of(asked, pool, partly)
    found = findings.in_order(reading.check_pool(asked, pool, roles, partly))
    if as_json:
        about = {
            "trust_policies": {arn: role.trust for arn, role in roles.items()},
            "findings": [each.document() for each in found],
            "unread": partly.unread,
        }
        speech.result(json.dumps(pool.document() | about))
        has_error = any(each.level == "error" for each in found)
    else:
        for title, value in _rows(pool):
            speech.result(f"{title:<{_COLUMN}}{safe(value, speech.LONGEST_ERROR)}".rstrip())
        speech.result("")
        has_error = cognito_findings.tell(found, as_json=False) != 0
    partly.tell()
    return DoneInPart.status if has_error or partly.unread else 0


def _rows(pool: PoolState) -> Iterator[tuple[str, str]]:
    settings = pool.settings
    classic = settings.get("AllowClassicFlow")
    yield "Pool", pool.name
    yield "Id", pool.pool_id
    yield "Guests", "let in" if settings.get("AllowUnauthenticatedIdentities") else "kept out"
    yield "Basic flow", "not set, which counts as allowed" if classic is None else "allowed" if classic else "refused"
    for number, provider in enumerate(_providers(pool)):
        yield ("" if number else "Sign-in"), provider
    yield "Users' role", str(pool.roles.get("authenticated") or "none: no user gets credentials")
    yield "Guests' role", str(pool.roles.get("unauthenticated") or "none")
    for provider, mapping in pool.mappings.items():
        yield "Role mapping", f"{provider}: {_mapping(mapping)}"
    for provider, tags in pool.tags.items():
        yield "Principal tags", f"{provider}: {_tags(tags)}"
    for key, value in (settings.get("IdentityPoolTags") or {}).items():
        yield "Tag", f"{key}={value}"


def _providers(pool: PoolState) -> Iterator[str]:
    settings = pool.settings
    for each in settings.get("CognitoIdentityProviders") or ():
        check = ", asked whether the user still exists" if each.get("ServerSideTokenCheck") else ""
        yield f"{each['ProviderName']}, app client {each['ClientId']}{check}"
    for name, app in (settings.get("SupportedLoginProviders") or {}).items():
        yield f"{name}, app {app}"
    yield from map(str, settings.get("OpenIdConnectProviderARNs") or ())
    yield from map(str, settings.get("SamlProviderARNs") or ())
    if settings.get("DeveloperProviderName"):
        yield f"{settings['DeveloperProviderName']}, a login of the developer's own"
    if not pool.providers and not settings.get("DeveloperProviderName"):
        yield "nobody"


def _mapping(mapping: reading.Json) -> str:
    otherwise = f"else {mapping.get('AmbiguousRoleResolution') or 'nothing said'}"
    if mapping.get("Type") == "Token":
        return f"by the roles in the token, {otherwise}"
    rules = (mapping.get("RulesConfiguration") or {}).get("Rules") or []
    return f"{len(rules)} rule{'' if len(rules) == 1 else 's'}, {otherwise}"


def _tags(tags: reading.Json) -> str:
    if tags["UseDefaults"]:
        return "sub and aud"
    return ", ".join(f"{tag} from {claim}" for tag, claim in tags["PrincipalTags"].items())
