"""Checking an AWS Signature Version 4 ("Create a signed AWS API request" in the IAM user guide)."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import quote

from credhelper.sandbox.messages import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<headers>[a-z0-9;_-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_MUST_BE_SIGNED = frozenset({"host", "x-amz-date"})


@dataclass(frozen=True)
class Signature:
    """What the Authorization header of a request claims."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str = field(repr=False)


def read_signature(authorization: str) -> Signature | None:
    """None: the header is not a complete SigV4 one."""
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        return None
    signed_headers = tuple(found["headers"].split(";"))
    return Signature(found["key"], found["date"], found["region"], found["service"], signed_headers, found["signature"])


def is_signed_by(request: Request, signature: Signature, secret_access_key: str) -> bool:
    """Whether the key's owner signed exactly this request: method, path, query, headers, body."""
    headers = request.headers
    signed = set(signature.signed_headers)
    sent_amz_headers = {name for name in headers if name.startswith("x-amz-")}
    timestamp = headers.get("x-amz-date", "")
    if not (_MUST_BE_SIGNED | sent_amz_headers) <= signed <= headers.keys() or timestamp[:8] != signature.date:
        return False
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    canonical_hash = hashlib.sha256(_canonical(request, signature.signed_headers).encode()).hexdigest()
    string_to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{canonical_hash}"
    key = f"AWS4{secret_access_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return hmac.compare_digest(_hmac(key, string_to_sign).hex(), signature.value)


def _canonical(request: Request, signed_headers: tuple[str, ...]) -> str:
    query = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in request.query)
    headers = [f"{name}:{' '.join(request.headers[name].split())}\n" for name in sorted(signed_headers)]
    return "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~%"),
            "&".join(f"{name}={value}" for name, value in query),
            "".join(headers),
            ";".join(signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
