"""Changes of an identity pool, worked out from what it is: AWS's operations replace everything, so all of it is sent.

UpdateIdentityPool, SetIdentityPoolRoles and SetPrincipalTagAttributeMap each take the whole of what they set. Shapes
and limits: botocore's model of ``cognito-identity``, and the Cognito developer guide (quotas, attributes for access
control).
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from credhelper.domain.errors import ConfigError, UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import import_roles, pool_facts, pool_lint, role_mappings
from credhelper.identity_pools.role_mappings import MOST_RULES

MOST_MAPPINGS = 10
"""Providers with a role mapping."""
MOST_TAGS, LONGEST_TAG, LONGEST_CLAIM = 50, 128, 256

SETTINGS = (
    *("IdentityPoolId", "IdentityPoolName", "AllowUnauthenticatedIdentities", "AllowClassicFlow"),
    *("SupportedLoginProviders", "DeveloperProviderName", "OpenIdConnectProviderARNs", "CognitoIdentityProviders"),
    *("SamlProviderARNs", "IdentityPoolTags"),
)
"""What UpdateIdentityPool takes, which is what DescribeIdentityPool says."""

_NAME = re.compile(r"[\w\s+=,.@-]{1,128}")
_OIDC_ARN = re.compile(r"arn:[a-z0-9-]+:iam::\d{12}:oidc-provider/[!-~]+")
_SAML_ARN = re.compile(r"arn:[a-z0-9-]+:iam::\d{12}:saml-provider/[!-~]+")
_USER_POOL_CLIENT = re.compile(r"(?:cognito-idp\.[a-z0-9.-]+/)?(?P<pool>[a-z0-9-]+_[0-9A-Za-z]+):(?P<client>[\w+]+)")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool with what belongs to it, in the shapes of AWS's answers."""

    settings: Json
    roles: Json
    """``Roles`` of GetIdentityPoolRoles."""
    mappings: Json
    """``RoleMappings`` of the same."""
    tags: Mapping[str, Json] = field(default_factory=dict)
    """Of GetPrincipalTagAttributeMap, ``UseDefaults`` and ``PrincipalTags`` by provider; none for one without."""

    @property
    def pool_id(self) -> str:
        """Its id."""
        return str(self.settings["IdentityPoolId"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.settings.get("IdentityPoolName") or "")

    @property
    def providers(self) -> list[str]:
        """Those whose users may have principal tags, each once: user pools by name, others by name or ARN."""
        cognito = [str(each["ProviderName"]) for each in self.settings.get("CognitoIdentityProviders") or ()]
        others = [
            *(self.settings.get("SupportedLoginProviders") or ()),
            *(self.settings.get("OpenIdConnectProviderARNs") or ()),
            *(self.settings.get("SamlProviderARNs") or ()),
        ]
        return list(dict.fromkeys([*cognito, *map(str, others)]))

    def document(self) -> Json:
        """All of it as one JSON object."""
        return {
            "pool": self.settings,
            "roles": self.roles,
            "role_mappings": self.mappings,
            "principal_tags": dict(self.tags),
        }


def state_of(pool: Json, pool_roles: Json, tags: Mapping[str, Json | None]) -> PoolState:
    """From AWS's answers; a provider without principal tags has None."""
    return PoolState(
        settings={name: pool[name] for name in SETTINGS if pool.get(name) not in (None, "")},
        roles=dict(pool_roles.get("Roles") or {}),
        mappings=dict(pool_roles.get("RoleMappings") or {}),
        tags={
            provider: {"UseDefaults": bool(found.get("UseDefaults")), "PrincipalTags": found.get("PrincipalTags") or {}}
            for provider, found in tags.items()
            if found is not None and (found.get("UseDefaults") or found.get("PrincipalTags"))
        },
    )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to become different; None and nothing: stays as it is."""

    name: str | None = None
    allows_guests: bool | None = None
    classic_flow: bool | None = None
    server_side_token_check: bool | None = None
    """Of every user pool among the providers."""
    developer_provider: str | None = None
    add_providers: Sequence[str] = ()
    remove_providers: Sequence[str] = ()
    authenticated_role: str | None = None
    guest_role: str | None = None
    set_mappings: Mapping[str, Json] = field(default_factory=dict)
    remove_mappings: Sequence[str] = ()
    set_tags: Mapping[str, Json] = field(default_factory=dict)
    """By provider: ``UseDefaults`` and ``PrincipalTags``."""
    remove_tags: Sequence[str] = ()
    pool_tags: Mapping[str, str] = field(default_factory=dict)
    remove_pool_tags: Sequence[str] = ()


class Request(NamedTuple):
    """One call, whose request has all but the pool's id."""

    operation: str
    fields: Json


def changed(state: PoolState, wishes: Wishes) -> PoolState:
    """What the pool is to be. Raises UsageError for what cannot be, and ConfigError for rules that are none."""
    settings = _settings(state.settings, wishes)
    return replace(
        state,
        settings=settings,
        roles=state.roles | _roles(wishes),
        mappings=_mappings(state, wishes),
        tags=_tags(state, wishes, replace(state, settings=settings).providers),
    )


def requests(before: PoolState, after: PoolState) -> list[Request]:
    """The calls that make the one of the other, the safe ones first: roles are there before people come."""
    found: list[Request] = []
    if (before.roles, before.mappings) != (after.roles, after.mappings):
        fields: Json = {"Roles": after.roles}
        if after.mappings or before.mappings:
            fields["RoleMappings"] = after.mappings
        found.append(Request("set_identity_pool_roles", fields))
    if before.settings != after.settings:
        fields = {name: value for name, value in after.settings.items() if name != "IdentityPoolId"}
        found.append(Request("update_identity_pool", fields))
    for provider in dict.fromkeys([*before.tags, *after.tags]):
        if before.tags.get(provider) != after.tags.get(provider):
            tags = after.tags.get(provider) or {"UseDefaults": False, "PrincipalTags": {}}
            found.append(Request("set_principal_tag_attribute_map", {"IdentityProviderName": provider, **tags}))
    return found


def difference(before: PoolState, after: PoolState) -> list[str]:
    """The lines of a unified difference between the two, as JSON; none where they are the same."""
    was, is_to_be = (json.dumps(each.document(), indent=2, sort_keys=True).splitlines() for each in (before, after))
    titles = (f"{before.pool_id} as it is", f"{after.pool_id} as it would be")
    return list(difflib.unified_diff(was, is_to_be, *titles, n=2, lineterm=""))


def warnings(before: PoolState, after: PoolState) -> Iterator[str]:
    """What should be known before it is done."""
    had, has = _clients(before), _clients(after)
    for provider, clients in had.items():
        if not has.get(provider):
            yield f"Who signs in with {provider} gets no more credentials from this pool."
        elif gone := clients - has[provider]:
            yield (
                f"Who signs in through app client {', '.join(sorted(gone))} of {provider} gets no more credentials:"
                " the client in their tokens is no longer the pool's."
            )
    for finding in pool_lint.classic_flow(pool_facts.pool(after.settings)):
        yield f"{finding.rule}: {finding.reason}."
    if before.tags != after.tags and after.tags:
        yield "T13: with principal tags, the trust policies of the pool's roles must allow sts:TagSession."
    if after.mappings and after.settings.get("AllowClassicFlow"):
        yield "A pool with role mappings refuses the basic (classic) flow, although AllowClassicFlow is on."
    if after.settings.get("DeveloperProviderName") and not before.settings.get("DeveloperProviderName"):
        yield "The developer provider's name can never be changed or removed again."


def _clients(state: PoolState) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {provider: {""} for provider in state.providers}
    for each in state.settings.get("CognitoIdentityProviders") or ():
        found[each["ProviderName"]].discard("")
        found[each["ProviderName"]].add(each["ClientId"])
    return found


def new_pool(name: str, wishes: Wishes) -> Json:
    """CreateIdentityPool's request, ``AllowClassicFlow`` always in it. Raises UsageError."""
    check_name(name)
    blank: Json = {"IdentityPoolName": name, "AllowUnauthenticatedIdentities": False, "AllowClassicFlow": False}
    return _settings(blank, wishes)


def check_name(name: str) -> None:
    """Raises UsageError for what Cognito takes for no pool's name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"“{safe(name)}” is not a pool's name: letters, digits, white space and _+=,.@-, at most 128")


def _settings(before: Json, wishes: Wishes) -> Json:
    settings = dict(before)
    if wishes.name is not None:
        check_name(wishes.name)
    flags = {
        "IdentityPoolName": wishes.name,
        "AllowUnauthenticatedIdentities": wishes.allows_guests,
        "AllowClassicFlow": wishes.classic_flow,
    }
    settings |= {name: value for name, value in flags.items() if value is not None}
    for provider in wishes.remove_providers:
        _remove_provider(settings, provider)
    for provider in wishes.add_providers:
        _add_provider(settings, provider)
    _set_token_check(settings, wishes.server_side_token_check)
    _set_developer_provider(settings, wishes.developer_provider)
    _set_pool_tags(settings, wishes)
    if settings != before:
        # Unset counts as on: sent as it counts, it is seen.
        settings.setdefault("AllowClassicFlow", True)
    return settings


def _add_provider(settings: Json, text: str) -> None:
    user_pool = _USER_POOL_CLIENT.fullmatch(text)
    name, equals, app = text.partition("=")
    if user_pool is not None:
        provider = import_roles.provider_of_user_pool(user_pool["pool"])
        known = list(settings.get("CognitoIdentityProviders") or ())
        if not any((each["ProviderName"], each["ClientId"]) == (provider, user_pool["client"]) for each in known):
            known.append({"ProviderName": provider, "ClientId": user_pool["client"], "ServerSideTokenCheck": False})
        settings["CognitoIdentityProviders"] = known
    elif _OIDC_ARN.fullmatch(text) or _SAML_ARN.fullmatch(text):
        key = "OpenIdConnectProviderARNs" if _OIDC_ARN.fullmatch(text) else "SamlProviderARNs"
        settings[key] = list(dict.fromkeys([*(settings.get(key) or ()), text]))
    elif equals and name and app:
        settings["SupportedLoginProviders"] = dict(settings.get("SupportedLoginProviders") or {}) | {name: app}
    else:
        raise UsageError(
            f"“{safe(text)}” is not a provider: USER-POOL-ID:CLIENT-ID, the ARN of an OIDC or SAML provider, or"
            " NAME=APP-ID such as graph.facebook.com=1234"
        )


def _remove_provider(settings: Json, text: str) -> None:
    kept: Json = {}
    cognito = settings.get("CognitoIdentityProviders")
    if cognito:
        kept["CognitoIdentityProviders"] = [each for each in cognito if not _is_meant(each, text)]
    for key in ("OpenIdConnectProviderARNs", "SamlProviderARNs"):
        if settings.get(key):
            kept[key] = [each for each in settings[key] if each != text]
    named = settings.get("SupportedLoginProviders")
    if named:
        kept["SupportedLoginProviders"] = {name: app for name, app in named.items() if name != text}
    if all(settings[key] == value for key, value in kept.items()):
        raise UsageError(f"the pool has no provider “{safe(text)}”")
    settings |= kept


def _is_meant(provider: Json, text: str) -> bool:
    """Whether a user pool is meant by its provider name or id, alone for all of its clients or with one of them."""
    name, client = str(provider["ProviderName"]), str(provider["ClientId"])
    user_pool = name.rpartition("/")[2]
    return text in {name, user_pool, f"{name}:{client}", f"{user_pool}:{client}"}


def _set_token_check(settings: Json, wanted: bool | None) -> None:
    if wanted is None:
        return
    known = settings.get("CognitoIdentityProviders")
    if not known:
        raise UsageError("--server-side-token-check is for user pools, and the pool has none among its providers")
    settings["CognitoIdentityProviders"] = [each | {"ServerSideTokenCheck": wanted} for each in known]


def _set_developer_provider(settings: Json, wanted: str | None) -> None:
    present = settings.get("DeveloperProviderName")
    if wanted is None or wanted == present:
        return
    if present:
        raise UsageError(f"the developer provider is “{safe(present)}”, and Cognito lets nobody change it")
    settings["DeveloperProviderName"] = wanted


def _set_pool_tags(settings: Json, wishes: Wishes) -> None:
    if not wishes.pool_tags and not wishes.remove_pool_tags:
        return
    tags = dict(settings.get("IdentityPoolTags") or {})
    for key in wishes.remove_pool_tags:
        if tags.pop(key, None) is None:
            raise UsageError(f"the pool has no tag “{safe(key)}”")
    settings["IdentityPoolTags"] = tags | dict(wishes.pool_tags)


def _roles(wishes: Wishes) -> Json:
    wanted = {"authenticated": wishes.authenticated_role, "unauthenticated": wishes.guest_role}
    for arn in wanted.values():
        if arn is not None and pool_lint.account_of(arn) is None:
            raise UsageError(f"“{safe(arn)}” is not a role's ARN")
    return {kind: arn for kind, arn in wanted.items() if arn is not None}


def _mappings(state: PoolState, wishes: Wishes) -> Json:
    found = dict(state.mappings)
    for provider in wishes.remove_mappings:
        if found.pop(provider, None) is None:
            raise UsageError(f"the pool has no role mapping for “{safe(provider)}”")
    found |= wishes.set_mappings
    if len(found) > MOST_MAPPINGS:
        raise UsageError(f"Cognito takes role mappings for {MOST_MAPPINGS} providers, and these are {len(found)}")
    for mapping in wishes.set_mappings.items():
        check_mapping(*mapping)
    return found


def check_mapping(provider: str, mapping: Json) -> None:
    """Raises ConfigError for what is no RoleMapping, or has too many rules."""
    table = role_mappings.read({"IdentityPoolId": "", "Roles": {}, "RoleMappings": {provider: mapping}})
    rules = table.mappings[0].rules
    if rules is not None and not 1 <= len(rules) <= MOST_RULES:
        raise ConfigError(f"Cognito takes 1 to {MOST_RULES} rules for a provider, and these are {len(rules)}")
    if table.mappings[0].if_ambiguous is None:
        raise ConfigError("AmbiguousRoleResolution is missing: AuthenticatedRole or Deny")


def _tags(state: PoolState, wishes: Wishes, providers: Sequence[str]) -> dict[str, Json]:
    found = dict(state.tags)
    for provider in wishes.remove_tags:
        if found.pop(provider, None) is None:
            raise UsageError(f"the pool has no principal tags for “{safe(provider)}”")
    for provider, tags in wishes.set_tags.items():
        if provider not in providers:
            raise UsageError(
                f"“{safe(provider)}” is none of the pool's providers: {safe(', '.join(providers)) or 'none'}"
            )
        check_tags(tags["PrincipalTags"])
        found[provider] = tags
    return found


def check_tags(tags: Mapping[str, object]) -> None:
    """Raises ConfigError for a map of principal tags that Cognito takes for none."""
    if len(tags) > MOST_TAGS:
        raise ConfigError(f"Cognito takes {MOST_TAGS} principal tags, and these are {len(tags)}")
    for tag, claim in tags.items():
        if not isinstance(claim, str) or not claim or len(claim) > LONGEST_CLAIM:
            raise ConfigError(f"principal tag {safe(tag)}: its claim is a text of at most {LONGEST_CLAIM} characters")
        if not tag or len(tag) > LONGEST_TAG:
            raise ConfigError(f"principal tag {safe(tag)}: its name has at most {LONGEST_TAG} characters")
