"""Identity pools by their ids, and the name under which STS knows the tokens of each region's pools.

The names: Cognito developer guide (IAM roles) for the commercial regions; GovCloud user guide (Amazon Cognito) for
us-gov-west-1 and us-gov-east-1; the guide to AWS in China for cn-north-1, which names the tokens' issuer and shows no
trust policy.
"""

import re
from collections.abc import Iterable

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

PROVIDER = "cognito-identity.amazonaws.com"
"""The tokens' issuer in the commercial regions."""

_PROVIDERS = {
    "us-gov-west-1": "cognito-identity-us-gov.amazonaws.com",
    "us-gov-east-1": "cognito-identity.us-gov-east-1.amazonaws.com",
    "cn-north-1": "cognito-identity.cn-north-1.amazonaws.com.cn",
}
PROVIDERS = frozenset({PROVIDER, *_PROVIDERS.values()})

# The documents' own examples are no GUIDs (us-west-2:abcdefg-1234-…), so groups of letters and digits it is. The API
# allows 55 characters.
_ID = re.compile(r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}):[0-9A-Za-z]+(?:-[0-9A-Za-z]+)+", re.ASCII)
_LONGEST_ID = 55
_OTHER_PARTITIONS = re.compile(r"(?:cn|us-gov|us-iso[a-z]*|eu-iso[a-z]*|eusc)-.*")

A_POOL_ID = "an identity pool's id, such as us-east-1:01234567-89ab-cdef-0123-456789abcdef"
AN_IDENTITY_ID = "an identity's id, such as us-east-1:01234567-89ab-cdef-0123-456789abcdef"


def is_id(text: str) -> bool:
    """Whether ``text`` has the shape that the ids of identity pools and of identities share: ``region:guid``."""
    return len(text) <= _LONGEST_ID and _ID.fullmatch(text) is not None


def region_of(pool_id: str) -> str:
    """The region that an id begins with."""
    return pool_id.partition(":")[0]


def provider_of(pool_ids: Iterable[str]) -> str:
    """The federated principal of these pools' tokens, which is their condition keys' prefix too.

    Raises UsageError for what is no pool's id, for a region whose name is not documented, and for pools that no one
    name is for.
    """
    ids = list(pool_ids)
    for pool_id in ids:
        if not is_id(pool_id):
            raise UsageError(f"--identity-pool-id: “{safe(pool_id)}” is not {A_POOL_ID}")
    found = {provider_in(region_of(pool_id)) for pool_id in ids}
    if len(found) != 1:
        raise UsageError("--identity-pool-id: these pools have no principal in common, so each needs its own role")
    return found.pop()


def is_issuer_only(provider: str) -> bool:
    """Whether AWS documents the name as the tokens' issuer, but shows no trust policy with it."""
    return provider.endswith(".amazonaws.com.cn")


def provider_in(region: str) -> str:
    """The same for a region. Raises UsageError for one whose name is not documented."""
    if region in _PROVIDERS:
        return _PROVIDERS[region]
    if _OTHER_PARTITIONS.fullmatch(region):
        raise UsageError(f"AWS documents no principal for identity pools in {safe(region)}")
    return PROVIDER
