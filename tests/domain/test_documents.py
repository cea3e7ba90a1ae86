"""The files and documents AWS's tools share with us: byte for byte, name for name, whatever lies in them."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from botocore.credentials import AssumeRoleCredentialFetcher, SSOCredentialFetcher
from botocore.tokens import SSOTokenProvider
from botocore.utils import SSOTokenLoader
from hypothesis import given
from hypothesis import strategies as st

from credhelper.domain import documents
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.model import Flow, Registration, Role, RoleCredentials, SsoSession, Token
from tests.agent.world import sha1

MOMENT = datetime(2026, 6, 1, 9, 30, 15, tzinfo=UTC)
START = "https://d-1234567890.awsapps.com/start"
NAMES = ["corp", "Corp", "my session", "büro-zürich", "日本", "a/b", 'quo"te', "back\\slash", "%41", " ", "🔑"]
URLS = [START, START + "/", START + "#/", START + "?x=ü", "HTTPS://UPPER.example/start"]

TOKEN = Token(
    access_token="aoa-access",
    expires_at=MOMENT,
    start_url=START,
    region="eu-west-1",
    refresh_token="aor-refresh",
    client_id="client",
    client_secret="secret",
    registration_expires_at=MOMENT + timedelta(days=90),
)


class Remembered(dict[str, Any]):
    """A cache of botocore's that only remembers which keys it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __contains__(self, key: object) -> bool:
        self.asked.append(str(key))
        return super().__contains__(key)


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_a_token_file_is_what_the_aws_cli_writes() -> None:
    assert documents.token_document(TOKEN) == (
        b'{"startUrl": "https://d-1234567890.awsapps.com/start", "region": "eu-west-1", "accessToken": "aoa-access",'
        b' "expiresAt": "2026-06-01T09:30:15Z", "clientId": "client", "clientSecret": "secret",'
        b' "registrationExpiresAt": "2026-08-30T09:30:15Z", "refreshToken": "aor-refresh"}'
    )


def test_what_a_token_lacks_is_not_in_its_file() -> None:
    bare = Token(access_token="a", expires_at=MOMENT)
    assert documents.token_document(bare) == b'{"accessToken": "a", "expiresAt": "2026-06-01T09:30:15Z"}'


def test_registration_files_of_both_flows() -> None:
    device = Registration("id", "secret", MOMENT)
    assert documents.registration_document(device) == (
        b'{"clientId": "id", "clientSecret": "secret", "expiresAt": "2026-06-01T09:30:15Z"}'
    )
    code = Registration("id", "secret", MOMENT, ("sso:account:access",), ("authorization_code", "refresh_token"))
    assert documents.registration_document(code) == (
        b'{"clientId": "id", "clientSecret": "secret", "expiresAt": "2026-06-01T09:30:15Z",'
        b' "scopes": ["sso:account:access"], "grantTypes": ["authorization_code", "refresh_token"]}'
    )
    assert (device.flow, code.flow) == (Flow.DEVICE_CODE, Flow.AUTHORIZATION_CODE)


def test_a_credential_process_prints_one_line() -> None:
    credentials = RoleCredentials("ASIA", "sec/ret+", "session==", MOMENT + timedelta(microseconds=999), MOMENT)
    assert documents.process_document(credentials, "111122223333") == (
        '{"Version": 1, "AccessKeyId": "ASIA", "SecretAccessKey": "sec/ret+", "SessionToken": "session==",'
        ' "Expiration": "2026-06-01T09:30:15Z", "AccountId": "111122223333"}'
    )


whole_moments = st.integers(-30_000_000_000, 250_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
texts = st.text(min_size=1, max_size=50)


@given(
    st.builds(
        Token,
        access_token=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
        expires_at=whole_moments,
        start_url=st.none() | texts,
        region=st.none() | texts,
        refresh_token=st.none() | texts,
        client_id=st.none() | texts,
        client_secret=st.none() | texts,
        registration_expires_at=st.none() | whole_moments,
    )
)
def test_a_token_that_is_written_is_read_back_equal(token: Token) -> None:
    assert documents.parse_token(documents.token_document(token)) == token


@given(
    st.builds(
        Registration,
        client_id=texts,
        client_secret=texts,
        expires_at=whole_moments,
        scopes=st.none() | st.lists(texts).map(tuple),
        grant_types=st.lists(texts).map(tuple),
    )
)
def test_a_registration_that_is_written_is_read_back_equal(registration: Registration) -> None:
    assert documents.parse_registration(documents.registration_document(registration)) == registration


def test_no_secret_shows_in_a_repr() -> None:
    credentials = RoleCredentials("ASIA", "CANARY-1", "CANARY-2", MOMENT, MOMENT)
    token = Token("CANARY-3", MOMENT, refresh_token="CANARY-4", client_id="id", client_secret="CANARY-5")
    registration = Registration("id", "CANARY-6", MOMENT)
    assert "CANARY" not in repr((credentials, token, registration))


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_sessions_token_file_is_where_botocore_looks(name: str) -> None:
    cache = Remembered()
    loader = SSOTokenLoader(cache=cache)
    with pytest.raises(Exception, match="does not exist"):
        loader(START, session_name=name)
    assert [key + ".json" for key in cache.asked] == [documents.token_file_name(SsoSession(name, START, "x"))]


@pytest.mark.parametrize("url", URLS)
def test_a_legacy_token_file_is_where_botocore_looks(url: str) -> None:
    cache = Remembered()
    with pytest.raises(Exception, match="does not exist"):
        SSOTokenLoader(cache=cache)(url)
    assert [key + ".json" for key in cache.asked] == [documents.token_file_name(SsoSession(None, url, "x"))]


@pytest.mark.parametrize("name", [*NAMES, None])
def test_a_roles_file_is_where_the_aws_cli_looks(name: str | None) -> None:
    fetcher = SSOCredentialFetcher(
        START, "eu-west-1", "Rôle", "111122223333", client_creator=None, sso_session_name=name
    )
    role = Role(SsoSession(name, START, "eu-west-1"), "111122223333", "Rôle")
    assert documents.role_cache_file_name(role) == fetcher._create_cache_key() + ".json"


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        ({}, {}),
        ({"role_session_name": "me"}, {"RoleSessionName": "me"}),
        ({"external_id": "äx", "mfa_serial": "arn:x"}, {"ExternalId": "äx", "SerialNumber": "arn:x"}),
        ({"duration_seconds": "900"}, {"DurationSeconds": 900}),
        ({"duration_seconds": "soon", "region": "eu-west-1"}, {}),
    ],
)
def test_an_assumed_roles_file_is_where_the_aws_cli_looks(keys: dict[str, str], arguments: dict[str, Any]) -> None:
    fetcher = AssumeRoleCredentialFetcher(None, None, "arn:aws:iam::1:role/R", extra_args=arguments)
    name = documents.assume_role_cache_file_name({"role_arn": "arn:aws:iam::1:role/R"} | keys)
    assert name == fetcher._create_cache_key() + ".json"


@pytest.mark.parametrize(
    ("session", "key"),
    [
        (
            SsoSession("corp", START, "eu-west-1", ("sso:account:access", "a:b")),
            (
                '{"region": "eu-west-1", "scopes": ["sso:account:access", "a:b"], "session_name": "corp",'
                f' "startUrl": "{START}", "tool": "botocore"}}'
            ),
        ),
        (
            SsoSession("zürich", START, "eu-west-1"),
            (
                '{"region": "eu-west-1", "scopes": null, "session_name": "z\\u00fcrich",'
                f' "startUrl": "{START}", "tool": "botocore"}}'
            ),
        ),
        (
            SsoSession("corp", START, "eu-west-1", ()),
            (
                '{"region": "eu-west-1", "scopes": [], "session_name": "corp",'
                f' "startUrl": "{START}", "tool": "botocore"}}'
            ),
        ),
        (
            SsoSession(None, START, "eu-west-1"),
            (
                '{"region": "eu-west-1", "scopes": null, "session_name": null,'
                f' "startUrl": "{START}", "tool": "botocore"}}'
            ),
        ),
    ],
)
def test_a_registration_file_has_the_aws_clis_name(session: SsoSession, key: str) -> None:
    assert documents.registration_file_name(session) == sha1(key) + ".json"


def test_botocore_accepts_the_token_we_write(tmp_path: Any) -> None:
    """Through its own provider, expiry included."""
    session = botocore.session.Session(profile="dev")
    config = tmp_path / "config"
    config.write_text(
        f"[sso-session corp]\nsso_start_url={START}\nsso_region=eu-west-1\n[profile dev]\nsso_session=corp\n"
    )
    session.set_config_variable("config_file", str(config))
    key = documents.token_file_name(SsoSession("corp", START, "eu-west-1")).removesuffix(".json")
    cache = {key: json.loads(documents.token_document(TOKEN))}
    provider = SSOTokenProvider(session, cache=cache, time_fetcher=lambda: MOMENT - timedelta(hours=1))
    token = provider.load_token()
    assert token is not None
    assert token.get_frozen_token().token == "aoa-access"


# -- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-06-01T09:30:15Z",
        "2026-06-01T09:30:15.000Z",
        "2026-06-01T09:30:15.999Z",
        "2026-06-01T09:30:15.123456789Z",
        "2026-06-01T09:30:15+00:00",
        "2026-06-01T09:30:15+0000",
        "2026-06-01T11:30:15+02:00",
        "2026-06-01T04:00:15-05:30",
        "2026-06-01T09:30:15UTC",
        "2026-06-01T09:30:15",
        "2026-06-01 09:30:15",
        "20260601T093015Z",
        " 2026-06-01T09:30:15Z\n",
    ],
)
def test_every_form_of_a_time_that_some_tool_writes_is_read(text: str) -> None:
    assert documents.parse_timestamp(text) == MOMENT


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Z",
        "UTC",
        "tomorrow",
        "1780306215",
        1780306215,
        1e400,
        float("nan"),
        [],
        {},
        True,
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-06-01T25:00:00Z",
        "99999-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-06-01T09:30:15Z; rm -rf",
        "9" * 10_000,
    ],
)
def test_what_is_no_time_is_malformed(value: object) -> None:
    with pytest.raises(MalformedDocument):
        documents.parse_timestamp(value)


@given(whole_moments, st.integers(0, 999_999), st.integers(-14 * 60, 14 * 60))
def test_a_moment_is_written_in_utc_and_read_back_to_the_second(moment: datetime, fraction: int, offset: int) -> None:
    aware = moment.replace(microsecond=fraction).astimezone(timezone(timedelta(minutes=offset)))
    assert documents.parse_timestamp(documents.timestamp(aware)) == aware.astimezone(UTC).replace(microsecond=0)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_time(text: str) -> None:
    try:
        found = documents.parse_timestamp(text)
    except MalformedDocument:
        return
    assert found.tzinfo is UTC


@given(st.integers() | st.floats())
def test_numbers_of_an_answer_are_moments_or_malformed(number: float) -> None:
    for convert in (documents.moment_from_epoch, lambda seconds: documents.moment_after(MOMENT, seconds)):
        with contextlib.suppress(MalformedDocument):
            assert convert(number).tzinfo is UTC


# -- what else may lie there --------------------------------------------------------------------------------------


HOSTILE = [
    b"",
    b" \n",
    b"{",
    b"null",
    b"12345",
    b'"accessToken"',
    b"[]",
    b"{}",
    b"\xff\xfe\x00",
    b"\x00" * 100,
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b'{"accessToken": "a"}',
    b'{"expiresAt": "2026-06-01T09:30:15Z"}',
    b'{"accessToken": "", "expiresAt": "2026-06-01T09:30:15Z"}',
    b'{"accessToken": "a\\r\\nX-Evil: 1", "expiresAt": "2026-06-01T09:30:15Z"}',
    b'{"accessToken": 1, "expiresAt": "2026-06-01T09:30:15Z"}',
    b'{"accessToken": {"accessKeyId": "aws login"}, "expiresAt": "2026-06-01T09:30:15Z"}',
    b'{"accessToken": "a", "expiresAt": 1780306215}',
    b'{"accessToken": "a", "expiresAt": NaN}',
    b'{"accessToken": "a", "expiresAt": 1' + b"0" * 5000 + b"}",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_token_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedDocument):
        documents.parse_token(content)


@pytest.mark.parametrize(
    "content",
    [
        b'{"clientId": "a"}',
        b'{"clientId": "a", "clientSecret": "b"}',
        b'{"clientId": "a", "clientSecret": 5, "expiresAt": "2026-06-01T09:30:15Z"}',
        b'{"clientId": "a", "clientSecret": "b", "expiresAt": "2026-06-01T09:30:15Z", "scopes": "x"}',
        b'{"clientId": "a", "clientSecret": "b", "expiresAt": "2026-06-01T09:30:15Z", "scopes": [1]}',
        b'{"clientId": "a", "clientSecret": "b", "expiresAt": "2026-06-01T09:30:15Z", "grantTypes": {}}',
    ],
)
def test_what_is_no_registration_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedDocument):
        documents.parse_registration(content)


@pytest.mark.parametrize("value", ["7", '""', "[]", "{}", "null", '"soon"'])
@pytest.mark.parametrize(
    "field", ["refreshToken", "clientId", "clientSecret", "registrationExpiresAt", "startUrl", "region"]
)
def test_what_only_a_refresh_needs_may_be_unusable(field: str, value: str) -> None:
    text = f'{{"accessToken": "a", "expiresAt": "2026-06-01T09:30:15Z", "{field}": {value}}}'
    token = documents.parse_token(text.encode())
    assert token.access_token == "a"
    assert not token.is_refreshable(MOMENT)


def test_unknown_fields_and_null_are_fine() -> None:
    token = documents.parse_token(
        b'{"accessToken": "a", "expiresAt": "2026-06-01T09:30:15Z", "refreshToken": null, "issuedAt": 1, "x": [{}]}'
    )
    assert token == Token("a", MOMENT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["accessToken", "expiresAt", "refreshToken", "clientId"]), inner)
        ),
    )
)
def test_no_json_breaks_the_reader(value: object) -> None:
    content = json.dumps(value).encode()
    for parse in (documents.parse_token, documents.parse_registration):
        with contextlib.suppress(MalformedDocument):
            parse(content)


def test_messages_never_repeat_what_they_read() -> None:
    for content in (
        b'{"accessToken": "CANARY", "expiresAt": "CANARY"}',
        b'{"accessToken": ["CANARY"]}',
        b"CANARY",
        b'"CANARY"',
    ):
        with pytest.raises(MalformedDocument) as caught:
            documents.parse_token(content)
        assert "CANARY" not in str(caught.value)
        assert caught.value.__cause__ is None
