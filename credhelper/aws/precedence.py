"""What the SDKs prefer to the container credentials endpoint: variables, and the keys of a ``[default]`` profile.

Orders of the default chains: botocore ``credentials.py``, the SDK for Go v2 ``config/resolve_credentials.go``, the SDK
for JavaScript v3 ``credential-provider-node``, the SDK for Java v2 ``DefaultCredentialsProvider``. In each of them the
endpoint comes after every profile, and the profile is ``default`` where none is chosen.
"""

from collections.abc import MutableMapping

CONTAINER_VARIABLES = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
VARIABLES = (
    *CONTAINER_VARIABLES,
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("AWS_CREDENTIAL_EXPIRATION", "AWS_CREDENTIAL_SCOPE", "AWS_ACCOUNT_ID"),
    *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_ACCESS_KEY", "AWS_SECRET_KEY"),  # the SDKs for Go and Java
    *("AMAZON_ACCESS_KEY_ID", "AMAZON_SECRET_ACCESS_KEY", "AMAZON_SESSION_TOKEN"),  # the SDK for JavaScript v2
    "AWS_CREDENTIAL_FILE",  # botocore
)
BEARER_PREFIX = "AWS_BEARER_TOKEN_"
"""One for each service that takes API keys, which come before any credentials."""

_KEYS = frozenset(
    {
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token", "aws_account_id"),
        *("role_arn", "source_profile", "credential_source", "web_identity_token_file"),
        *("credential_process", "login_session"),
    }
)
_PREFIXES = ("sso_", "credhelper_")
_BYTE_ORDER_MARK = "\ufeff"


def drop_variables(environment: MutableMapping[str, str]) -> None:
    """Removes every variable that holds credentials or chooses some."""
    for name in [name for name in environment if name in VARIABLES or name.startswith(BEARER_PREFIX)]:
        del environment[name]


def without_default_credentials(content: bytes) -> bytes:
    """A config or credentials file in which ``[default]`` holds no credentials; the rest of it byte for byte.

    SDKs differ in what they take for a section, a key and a continued line, so whatever one of them may take for it
    goes. ``[DEFAULT]`` is Python's own: every section of botocore's inherits from it.
    """
    kept = []
    is_default, removed_at = False, -1
    for line in content.splitlines(keepends=True):
        text = line.decode("utf-8", "surrogateescape").removeprefix(_BYTE_ORDER_MARK)
        said = text.strip()
        if said and said[0] not in "#;":
            indent = len(text) - len(text.lstrip())
            if 0 <= removed_at < indent:  # what was removed goes on here
                continue
            removed_at = -1
            if said[0] == "[":  # indented it is a section to some, and more of the value before it to others
                is_default = _is_default(said) or (is_default and indent > 0)
            elif is_default and _gives_credentials(said):
                removed_at = indent
                continue
        kept.append(line)
    return b"".join(kept)


def _is_default(header: str) -> bool:
    words = header[1:].partition("]")[0].split()
    if words == ["DEFAULT"]:
        return True
    name = words[-1].translate(dict.fromkeys(map(ord, "\"'\\"))) if words else ""
    return name == "default" and (len(words) == 1 or (len(words) == 2 and words[0].startswith("profile")))


def _gives_credentials(line: str) -> bool:
    key = line.partition("=")[0].partition(":")[0].strip().lower()
    return key in _KEYS or key.startswith(_PREFIXES)
