"""The ``[cognito_login.NAME]`` tables of ``config.toml``: how users of identity pools sign in.

What may stand in a value is what Cognito takes (botocore's model of cognito-idp, 2016-04-18), so that a mistake is told
with its line and not by AWS.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from credhelper.domain.model import CognitoLogin, LoginMethod
from credhelper.domain.text import safe
from credhelper.domain.urls import is_https_or_loopback, is_region
from credhelper.local import setting_checks as checks
from credhelper.local.setting_checks import FIRST_PORT, LAST_PORT, Check, Mistake, Wrong

if TYPE_CHECKING:
    from credhelper.local.toml_lines import Place

TABLE = "cognito_login"
MOST_TABLES = 64
MOST_PORTS = 8
USUAL_SCOPES = ("openid",)

_NAME = re.compile(r"[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]{0,63}")
_USER_POOL_ID = re.compile(r"(?P<region>[a-z]{2,}(?:-[a-z]+)+-[0-9]+)_[0-9A-Za-z]+")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_+]{1,128}")
_PROVIDER = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,256}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)

_SUFFIXES = {"cn": "amazonaws.com.cn", "us-iso": "c2s.ic.gov", "us-isob": "sc2s.sgov.gov", "eusc": "amazonaws.eu"}
"""By what a region's name begins with, the domain that its partition's endpoints are in (botocore's endpoints.json)."""

Unknown = Callable[[str, str, list[str]], str]
"""Words the mistake of a key that a table does not have: the table's heading, the key, and those there are."""


def read(tables: Mapping[str, Any], unknown: Unknown) -> tuple[tuple[CognitoLogin, ...], list[Mistake]]:
    """The tables in file order as far as they are right, and all that is wrong with them."""
    found: list[CognitoLogin] = []
    mistakes: list[Mistake] = []
    for name, table in tables.items():
        login, wrong = _read(name, table, unknown)
        mistakes += wrong
        found += [login] if login is not None else []
    if len(tables) > MOST_TABLES:
        mistakes.append(((TABLE, list(tables)[MOST_TABLES]), f"there are more than {MOST_TABLES} [{TABLE}] tables"))
    return tuple(found), mistakes


def heading_of(name: str) -> str:
    """What a person calls the table."""
    return f"[{TABLE}.{safe(name)}]"


def _read(name: str, table: object, unknown: Unknown) -> tuple[CognitoLogin | None, list[Mistake]]:
    heading, place = heading_of(name), (TABLE, name)
    if not isinstance(table, dict):
        told = f"[{TABLE}] {safe(name)} is {checks.shown(table)}, and there are only tables with a name: [{TABLE}.NAME]"
        return None, [(place, told)]
    values, mistakes = checks.table_values(heading, KEYS, place, table, lambda key, all_: unknown(heading, key, all_))
    if not _NAME.fullmatch(name):
        mistakes.append((place, f"{heading} must have a name of 1 to 64 letters, digits and _.@+-"))
    method = values.get("method", LoginMethod.COMMAND if "token_command" in table else LoginMethod.BROWSER)
    if "method" in values or "method" not in table:  # else nobody knows what is missing
        mistakes += _contradictions(place, heading, method, table)
    return (None if mistakes else _login(name, method, values)), mistakes


def _login(name: str, method: LoginMethod, values: Mapping[str, Any]) -> CognitoLogin:
    user_pool_id = values.get("user_pool_id")
    provider = values.get("provider")
    return CognitoLogin(
        name=name,
        method=method,
        provider=provider if provider is not None else provider_of(user_pool_id or ""),
        user_pool_id=user_pool_id,
        client_id=values.get("client_id"),
        redirect_ports=values.get("redirect_port", ()),
        scopes=values.get("scopes", USUAL_SCOPES) if method is LoginMethod.BROWSER else (),
        domain=_base_url(values["domain"], user_pool_id or "") if "domain" in values else None,
        identity_provider=values.get("identity_provider"),
        username=values.get("username"),
        token_command=values.get("token_command", ()),
        client_secret_command=values.get("client_secret_command", ()),
    )


def provider_of(user_pool_id: str) -> str:
    """What identity pools call a user pool: the issuer of its tokens without the scheme."""
    region = user_pool_id.rpartition("_")[0]
    begins = max((begin for begin in _SUFFIXES if region.startswith(begin + "-")), key=len, default="")
    return f"cognito-idp.{region}.{_SUFFIXES.get(begins, 'amazonaws.com')}/{user_pool_id}"


def _base_url(domain: str, user_pool_id: str) -> str:
    """The managed login's address. A word without a dot is the prefix of one of Cognito's own domains."""
    if "://" in domain:
        return domain.rstrip("/")
    if "." in domain:
        return f"https://{domain.lower()}"
    return f"https://{domain.lower()}.auth.{user_pool_id.rpartition('_')[0]}.amazoncognito.com"


# -- what goes together -----------------------------------------------------------------------------------------------

_NEEDED: Mapping[LoginMethod, tuple[str, ...]] = {
    LoginMethod.BROWSER: ("user_pool_id", "client_id", "redirect_port"),
    LoginMethod.SRP: ("user_pool_id", "client_id"),
    LoginMethod.COMMAND: ("token_command",),
}
_WHY = {
    "user_pool_id": "it says whose users sign in",
    "client_id": "it is the app client's, which must have been linked to the identity pool",
    "redirect_port": "the browser comes back to http://127.0.0.1:PORT/callback, which the app client must list",
    "token_command": "it prints the token",
}
_ONLY_WITH: Mapping[str, tuple[LoginMethod, ...]] = {
    "redirect_port": (LoginMethod.BROWSER,),
    "scopes": (LoginMethod.BROWSER,),
    "domain": (LoginMethod.BROWSER,),
    "identity_provider": (LoginMethod.BROWSER,),
    "username": (LoginMethod.BROWSER, LoginMethod.SRP),
    "token_command": (LoginMethod.COMMAND,),
    "client_secret_command": (LoginMethod.BROWSER, LoginMethod.SRP),
}


def _contradictions(
    place: "Place", heading: str, method: LoginMethod, table: Mapping[str, object]
) -> Iterator[Mistake]:
    for key in _NEEDED[method]:
        if key not in table:
            yield place, f'{heading} {key} is missing: with method = "{method}", {_WHY[key]}'
    if method is LoginMethod.COMMAND and not {"provider", "user_pool_id"} & table.keys():
        yield place, f"{heading} provider is missing: it says whose token the command prints, as the identity pool does"
    for key in table:
        if method not in _ONLY_WITH.get(key, tuple(LoginMethod)):
            fitting = " or ".join(f'"{each}"' for each in _ONLY_WITH[key])
            yield (*place, key), f'{heading} {key} is for method = {fitting}, and here it is "{method}"'


# -- values -----------------------------------------------------------------------------------------------------------


def _method(value: object) -> LoginMethod:
    return LoginMethod(checks.one_of(*LoginMethod)(value))


def _text(form: re.Pattern[str], described: str) -> Check:
    def checked(value: object) -> str:
        if isinstance(value, str) and form.fullmatch(value):
            return value
        raise Wrong(f"is {checks.shown(value)}, and must be {described}")

    return checked


def _user_pool_id(value: object) -> str:
    found = _USER_POOL_ID.fullmatch(value) if isinstance(value, str) and len(value) <= 55 else None
    if found is not None and is_region(found["region"]):
        return found[0]
    hint = " (that is an identity pool's)" if isinstance(value, str) and ":" in value else ""
    raise Wrong(f'is {checks.shown(value)}, and must be a user pool\'s id such as "eu-west-1_AbCdEf123"{hint}')


def _provider(value: object) -> str:
    """Identity pools name a provider by its issuer's host and path; with a scheme they would refuse every token."""
    if isinstance(value, str) and value.startswith(("https://", "http://")):
        raise Wrong(f"is {checks.shown(value)}, and must be without https://, as the identity pool names it")
    found: str = _text(_PROVIDER, 'a provider as the identity pool names it, such as "accounts.google.com"')(value)
    return found


def _plain(longest: int) -> Check:
    def checked(value: object) -> str:
        if isinstance(value, str) and 0 < len(value) <= longest and safe(value) == value and value.strip() == value:
            return value
        raise Wrong(f"is {checks.shown(value)}, and must be a text of 1 to {longest} characters")

    return checked


def _ports(value: object) -> tuple[int, ...]:
    one = checks.whole_number(FIRST_PORT, LAST_PORT)
    found = value if isinstance(value, list) else [value]
    if not 1 <= len(found) <= MOST_PORTS:
        raise Wrong(f"must be a port or a list of 1 to {MOST_PORTS} of them")
    return tuple(dict.fromkeys(one(port) for port in found))


def _scopes(value: object) -> tuple[str, ...]:
    found = value.split() if isinstance(value, str) else value
    if not (isinstance(found, list) and all(isinstance(one, str) and _SCOPE.fullmatch(one) for one in found)):
        raise Wrong(f'is {checks.shown(value)}, and must be scopes such as "openid email": one text, or a list')
    if "openid" not in found:
        raise Wrong('must have "openid" among them: without it there is no ID token')
    return tuple(dict.fromkeys(found))


def _domain(value: object) -> str:
    if isinstance(value, str):
        if "://" in value and is_https_or_loopback(value) and safe(value) == value:
            return value
        if _HOST.fullmatch(value):
            return value
    raise Wrong(
        f'is {checks.shown(value)}, and must be the managed login\'s domain such as "login.example.com", or the prefix'
        " of one of Cognito's own"
    )


def _command(value: object) -> tuple[str, ...]:
    """A program with its arguments, run without a shell: as a text that is split as a shell would, or as a list."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Wrong(f"cannot be split into words: {str(error).lower()}") from None
    if isinstance(words, list) and words and words[0] and all(_is_word(word) for word in words):
        return tuple(words)
    raise Wrong(
        "must be a program and its arguments, run without a shell: one text or a list of them, such as"
        ' "gcloud auth print-identity-token"'
    )


def _is_word(word: object) -> bool:
    return isinstance(word, str) and "\0" not in word


KEYS: Mapping[str, Check] = {
    "method": _method,
    "provider": _provider,
    "user_pool_id": _user_pool_id,
    "client_id": _text(_CLIENT_ID, "an app client's id: 1 to 128 letters and digits"),
    "redirect_port": _ports,
    "scopes": _scopes,
    "domain": _domain,
    "identity_provider": _plain(32),
    "username": _plain(128),
    "token_command": _command,
    "client_secret_command": _command,
}
"""What a table may say, and what its values may be."""
