"""Each call of identity pools, to the byte: what is sent, what is believed, and what every refusal means."""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from credhelper.aws.cognito import IdentityPools, OpenIdToken, narrowing
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import (
    ConfigError,
    CredhelperError,
    IdentityRefused,
    PoolAbsent,
    PoolRefused,
    Refused,
    Throttled,
    TokenRefused,
    Unavailable,
)
from credhelper.domain.model import CognitoLogin, LoginMethod, PoolFlow, PoolRole
from tests.aws import pools
from tests.aws.pools import ARN, GUEST, ID_TOKEN, IDENTITY, OTHER_IDENTITY, POOL, PROVIDER, TOKENS, USER, basic
from tests.aws.recorded import Recorded, Said, json_ok, json_refusal, xml_refusal
from tests.clocks import HandClock

CUSTOM = PoolRole(POOL, USER.login, custom_role_arn="arn:aws:iam::111122223333:role/Editors")
TOKEN = OpenIdToken(IDENTITY, "CANARY-open-id-token")
SECRETS = ("CANARY", "ASIA")


@pytest.fixture(scope="module")
def server() -> Iterator[Recorded]:
    with Recorded() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def shared(server: Recorded) -> tuple[HandClock, IdentityCenter]:
    """Clients are dear to make."""
    clock = HandClock()
    return clock, IdentityCenter(clock)


@pytest.fixture
def aws(server: Recorded) -> Recorded:
    server.forget()
    pools.all_is_well(server)
    return server


@pytest.fixture
def api(shared: tuple[HandClock, IdentityCenter]) -> IdentityPools:
    return IdentityPools(shared[1])


def credentials_of(api: IdentityPools, role: PoolRole = GUEST) -> object:
    return api.get_credentials(role, IDENTITY, pools.tokens_of(role))


def refusal_of(call: Callable[[], object]) -> CredhelperError:
    with pytest.raises(CredhelperError) as caught:
        call()
    assert not any(secret in f"{caught.value} {caught.value.hint}" for secret in SECRETS)
    return caught.value


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_a_guest_sends_nothing_but_the_pool_and_then_the_identity(api: IdentityPools, aws: Recorded) -> None:
    assert api.get_id(GUEST, None) == IDENTITY
    found = api.get_credentials(GUEST, IDENTITY, None)
    assert [asked.fields for asked in aws.asked] == [{"IdentityPoolId": POOL}, {"IdentityId": IDENTITY}]
    assert found.credentials.access_key_id == "ASIAPOOL"
    assert found.credentials.secret_access_key == "CANARY-secret-key"  # which this API calls SecretKey
    assert found.credentials.expires_at == pools.END


def test_a_user_sends_the_id_token_under_its_provider(api: IdentityPools, aws: Recorded) -> None:
    logins = {"Logins": {PROVIDER: ID_TOKEN}}
    api.get_id(USER, TOKENS)
    api.get_credentials(USER, IDENTITY, TOKENS)
    api.get_open_id_token(basic(USER), IDENTITY, TOKENS)
    assert [asked.fields for asked in aws.asked] == [
        {"IdentityPoolId": POOL} | logins,
        {"IdentityId": IDENTITY} | logins,
        {"IdentityId": IDENTITY} | logins,
    ]


def test_a_role_of_its_own_choice_is_named(api: IdentityPools, aws: Recorded) -> None:
    api.get_credentials(CUSTOM, IDENTITY, TOKENS)
    assert aws.asked[0].fields["CustomRoleArn"] == CUSTOM.custom_role_arn


def test_a_login_without_a_token_is_never_asked_for_as_a_guest(api: IdentityPools, aws: Recorded) -> None:
    for call in (
        lambda: api.get_id(USER, None),
        lambda: api.get_credentials(USER, IDENTITY, None),
        lambda: api.get_open_id_token(basic(USER), IDENTITY, None),
    ):
        with pytest.raises(ValueError, match="would be a guest's"):
            call()
    assert aws.asked == []


def test_the_basic_flow_names_the_role_and_what_narrows_it(api: IdentityPools, aws: Recorded) -> None:
    policy = '{"Version":"2012-10-17","Statement":[]}'
    role = basic(USER, duration_seconds=7200, session_policy=policy, session_policy_arns=("arn:aws:iam::aws:policy/X",))
    found = api.assume_role(role, TOKEN)
    assert aws.asked[0].fields == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ARN,
        "RoleSessionName": "credhelper",
        "WebIdentityToken": TOKEN.token,
        "DurationSeconds": "7200",
        "Policy": policy,
        "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/X",
    }
    assert (found.access_key_id, found.expires_at) == ("ASIASTS", pools.END)


def test_what_a_profile_does_not_say_is_not_sent(api: IdentityPools, aws: Recorded) -> None:
    api.assume_role(basic(USER), TOKEN)
    assert set(aws.asked[0].fields) == {"Action", "Version", "RoleArn", "RoleSessionName", "WebIdentityToken"}


def test_guests_of_the_basic_flow_are_narrowed_to_what_guests_of_the_enhanced_flow_may_do(
    api: IdentityPools, aws: Recorded
) -> None:
    api.assume_role(basic(GUEST, scope_down=True), TOKEN)
    fields = aws.asked[0].fields
    assert fields["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/AmazonCognitoUnAuthedIdentitiesSessionPolicy"
    assert "s3:*" in json.loads(fields["Policy"])["Statement"][0]["Action"]
    assert len(fields["Policy"]) == 649


def test_the_scope_down_is_shorter_in_regions_that_accounts_must_enable() -> None:
    pool = POOL.replace("us-east-1", "ap-east-1")
    role = PoolRole(pool, GUEST.login, PoolFlow.BASIC, role_arn=ARN, scope_down=True)
    assert "sdb:*" not in json.loads(narrowing(role)["Policy"])["Statement"][0]["Action"]


def test_a_session_policy_is_not_put_beside_the_scope_down_which_it_would_widen() -> None:
    with pytest.raises(ConfigError) as caught:
        narrowing(basic(GUEST, scope_down=True, session_policy="{}"))
    assert "credhelper_scope_down = none" in (caught.value.hint or "")


def test_more_session_policies_than_sts_takes_are_no_question() -> None:
    with pytest.raises(ConfigError, match="2048 characters"):
        narrowing(basic(USER, session_policy="x" * 2000, session_policy_arns=("arn:aws:iam::aws:policy/" + "y" * 30,)))


def test_nothing_is_signed(api: IdentityPools, aws: Recorded) -> None:
    api.get_id(GUEST, None)
    api.get_credentials(GUEST, IDENTITY, None)
    api.get_open_id_token(basic(GUEST), IDENTITY, None)
    api.assume_role(basic(GUEST), TOKEN)
    assert len(aws.asked) == 4
    for asked in aws.asked:
        assert not {"authorization", "x-amz-security-token"} & set(asked.headers)


def test_no_credentials_are_looked_for_though_a_profile_would_give_some(
    aws: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile that everybody uses names this very helper: whoever looked there would start it again."""
    started = tmp_path / "started"
    config = tmp_path / "config"
    config.write_text(f"[profile kiosk]\ncredential_process = /bin/sh -c {shlex.quote(f'echo >> {started}')}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "kiosk")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODYS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-somebodys")
    center = IdentityCenter(HandClock())
    api = IdentityPools(center)
    api.get_id(GUEST, None)
    found = api.get_credentials(GUEST, IDENTITY, None)
    api.get_open_id_token(basic(GUEST), IDENTITY, None)
    api.assume_role(basic(GUEST), TOKEN)
    center.get_caller_identity("us-east-1", found.credentials)
    assert not started.exists()
    signed = [asked.headers.get("authorization", "") for asked in aws.asked]
    assert signed[:4] == [""] * 4
    assert "Credential=ASIAPOOL/" in signed[4]  # with what has come, and nobody else's


def test_nothing_is_needed_of_the_environment(aws: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert IdentityPools(IdentityCenter(HandClock())).get_id(GUEST, None) == IDENTITY


def test_calls_are_counted_where_identity_centers_are(shared: tuple[HandClock, IdentityCenter], aws: Recorded) -> None:
    _, center = shared
    api, calls = IdentityPools(center), []
    center.on_call = lambda operation, outcome, _: calls.append((operation, outcome))
    api.get_id(GUEST, None)
    aws.says("GetId", json_refusal("TooManyRequestsException", "Rate exceeded"))
    refusal_of(lambda: api.get_id(GUEST, None))
    assert calls == [("GetId", "ok"), ("GetId", "throttled")]


# -- what is believed -------------------------------------------------------------------------------------------------


def test_the_identity_in_the_answer_is_the_one_that_counts(api: IdentityPools, aws: Recorded) -> None:
    aws.says("GetCredentialsForIdentity", pools.credentials(OTHER_IDENTITY))
    aws.says("GetOpenIdToken", pools.open_id_token(OTHER_IDENTITY))
    assert api.get_credentials(USER, IDENTITY, TOKENS).identity_id == OTHER_IDENTITY
    assert api.get_open_id_token(basic(USER), IDENTITY, TOKENS).identity_id == OTHER_IDENTITY


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("GetId", json_ok()),
        ("GetId", json_ok(IdentityId="")),
        ("GetId", json_ok(IdentityId="alice")),
        ("GetId", json_ok(IdentityId="eu-west-1:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")),
        ("GetId", json_ok(IdentityId="us-east-1:" + "a-a" * 100)),
        ("GetId", Said(200, "application/x-amz-json-1.1", b"[]")),
        ("GetId", Said(200, "text/html", b"<html>sign in to the hotel's network</html>")),
        ("GetCredentialsForIdentity", json_ok(IdentityId=IDENTITY)),
        ("GetCredentialsForIdentity", pools.credentials(SecretKey="")),
        ("GetCredentialsForIdentity", pools.credentials(SessionToken=None)),
        ("GetCredentialsForIdentity", pools.credentials(Expiration=1_000_000_000)),
        ("GetCredentialsForIdentity", pools.credentials("no identity")),
        ("GetOpenIdToken", json_ok(IdentityId=IDENTITY)),
        ("GetOpenIdToken", json_ok(IdentityId=IDENTITY, Token="x" * 20_001)),
        ("AssumeRoleWithWebIdentity", Said(200, "text/xml", b"<AssumeRoleWithWebIdentityResponse/>")),
        ("GetCredentialsForIdentity", Said(200, "application/x-amz-json-1.1", b" " * 1_100_000)),
    ],
)
def test_what_is_not_awss_is_no_answer(api: IdentityPools, aws: Recorded, operation: str, answer: Said) -> None:
    aws.says(operation, answer)
    calls: dict[str, Callable[[], object]] = {
        "GetId": lambda: api.get_id(GUEST, None),
        "GetCredentialsForIdentity": lambda: credentials_of(api),
        "GetOpenIdToken": lambda: api.get_open_id_token(basic(GUEST), IDENTITY, None),
        "AssumeRoleWithWebIdentity": lambda: api.assume_role(basic(GUEST), TOKEN),
    }
    assert isinstance(refusal_of(calls[operation]), Unavailable)


def test_awss_clock_tells_when_credentials_were_obtained(aws: Recorded) -> None:
    clock = HandClock()
    clock.jump(hours=-3)
    date = format_datetime(clock.true_now(), usegmt=True)
    aws.says("GetCredentialsForIdentity", _dated(pools.credentials(), date))
    found = IdentityPools(IdentityCenter(clock)).get_credentials(GUEST, IDENTITY, None)
    assert abs(found.credentials.lifetime - timedelta(hours=1)) < timedelta(seconds=2)


def _dated(said: Said, date: str) -> Said:
    return Said(said.status, said.content_type, said.body, {"Date": date})


def test_secrets_are_in_no_repr(api: IdentityPools, aws: Recorded) -> None:
    shown = repr((api.get_credentials(GUEST, IDENTITY, None), api.get_open_id_token(basic(GUEST), IDENTITY, None)))
    assert "CANARY" not in shown


# -- what a refusal means ---------------------------------------------------------------------------------------------

BASIC_GUEST, BASIC_USER = basic(GUEST), basic(USER)
TRUST_OF_GUESTS = f"credhelper cognito trust-policy --identity-pool-id {POOL} --guest"
TRUST_OF_USERS = f"credhelper cognito trust-policy --identity-pool-id {POOL} --authenticated"
NOT_AUTHORIZED, INVALID = "NotAuthorizedException", "InvalidParameterException"

COGNITO: list[tuple[PoolRole, str, str, type[CredhelperError], str, str]] = [
    (GUEST, NOT_AUTHORIZED, "Unauthenticated access is not supported for this identity pool.", PoolRefused,
     "guest access is off", "credhelper_cognito_login"),
    (GUEST, "ResourceNotFoundException", f"IdentityPool '{POOL}' not found.", PoolAbsent,
     "there is no identity pool", "credhelper_identity_pool_id"),
    (GUEST, "ResourceNotFoundException", f"Identity '{IDENTITY}' not found.", IdentityRefused, "no longer knows", ""),
    (GUEST, NOT_AUTHORIZED, f"Access to Identity '{IDENTITY}' is forbidden.", IdentityRefused, "does not give", ""),
    (USER, NOT_AUTHORIZED, "Token is not from a supported provider of this identity pool.", PoolRefused,
     "app client that login “notes”", "client_id in [cognito_login.notes]"),
    (USER, NOT_AUTHORIZED,
     "Logins don't match. Please include at least one valid login for this identity or identity pool.", PoolRefused,
     "takes no logins of the identity provider", "[cognito_login.notes]"),
    (USER, INVALID, "Please provide a valid public provider.", PoolRefused, "takes no logins", "[cognito_login.notes]"),
    (USER, NOT_AUTHORIZED, "Invalid login token. Issuer doesn't match providerName", ConfigError,
     "none of the provider", "provider in [cognito_login.notes]"),
    (USER, NOT_AUTHORIZED, "Invalid login token. Missing a required claim: aud", ConfigError,
     "none of the provider", "the ID token"),
    (USER, NOT_AUTHORIZED, "Invalid login token. Token expired: 1667365798 >= 1667235770", TokenRefused,
     "does not take the token of login “notes”", ""),
    (USER, NOT_AUTHORIZED, "Invalid login token. Couldn't verify signed token.", TokenRefused, "does not take", ""),
    (USER, NOT_AUTHORIZED, "Invalid login token. Not a Cognito token.", TokenRefused, "does not take", ""),
    (USER, NOT_AUTHORIZED, "Access Token has been revoked", TokenRefused, "signed out or deleted", ""),
    (CUSTOM, NOT_AUTHORIZED, "The custom role is not one of the roles of the token.", PoolRefused,
     "does not give arn:aws:iam::111122223333:role/Editors", "cognito:roles"),
    (replace(CUSTOM, login=GUEST.login), INVALID, "Invalid role ARN", PoolRefused, "to a guest",
     "unauthenticated role"),
    (CUSTOM, INVALID, "Invalid role ARN", PoolRefused, "role/Editors", "leave it out"),
    (GUEST, "InvalidIdentityPoolConfigurationException",
     "Invalid identity pool configuration. Check assigned IAM roles for this pool.", PoolRefused,
     "no role for guests", TRUST_OF_GUESTS),
    (USER, "InvalidIdentityPoolConfigurationException",
     "Invalid identity pool configuration. Check assigned IAM roles for this pool.", PoolRefused,
     "no role for logged-in users", TRUST_OF_USERS),
    (USER, "ResourceConflictException", "Login already linked", PoolRefused, "another identity", "administers"),
    (GUEST, "LimitExceededException", "Total number of identities", PoolRefused, "makes no more", "quota"),
    (USER, "ExternalServiceException", "Google is down", Unavailable, "a service that it needs", ""),
    (GUEST, "InternalErrorException", "oops", Unavailable, "", ""),
]  # fmt: skip
CLASSIC = [
    ("Basic (classic) flow is not enabled, please use enhanced flow.", "is off in pool", "AllowClassicFlow"),
    ("Basic (classic) flow is not supported with RoleMappings, please use enhanced flow.",
     "chooses roles by rules", "credhelper_flow"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "reason", "text", "kind", "says", "hint"), COGNITO)
def test_each_refusal_of_cognito_is_a_sentence_and_a_next_step(
    api: IdentityPools,
    aws: Recorded,
    role: PoolRole,
    reason: str,
    text: str,
    kind: type[CredhelperError],
    says: str,
    hint: str,
) -> None:
    aws.says("GetCredentialsForIdentity", json_refusal(reason, text))
    error = refusal_of(lambda: credentials_of(api, role))
    assert type(error) is kind
    assert says in error.message
    assert hint in (error.hint or "")
    assert text not in error.message


@pytest.mark.parametrize(("text", "says", "hint"), CLASSIC)
def test_a_pool_without_the_basic_flow_says_why(
    api: IdentityPools, aws: Recorded, text: str, says: str, hint: str
) -> None:
    aws.says("GetOpenIdToken", json_refusal(INVALID, text))
    error = refusal_of(lambda: api.get_open_id_token(BASIC_USER, IDENTITY, TOKENS))
    assert isinstance(error, PoolRefused)
    assert says in error.message
    assert hint in (error.hint or "")


STS: list[tuple[PoolRole, Said, type[CredhelperError], str, str]] = [
    (BASIC_GUEST, xml_refusal("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403),
     PoolRefused, f"a guest of pool {POOL} may not assume {ARN}", TRUST_OF_GUESTS),
    (BASIC_USER, xml_refusal("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403),
     PoolRefused, "the user of login “notes”", TRUST_OF_USERS),
    (basic(USER, duration_seconds=43200),
     xml_refusal("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."),
     ConfigError, "duration_seconds = 43200", "credhelper_duration_seconds"),
    (BASIC_USER, xml_refusal("MalformedPolicyDocument", "Syntax errors in policy."), ConfigError,
     "session policy", "credhelper_session_policy"),
    (BASIC_USER, xml_refusal("PackedPolicyTooLarge", "Packed size"), ConfigError, "packed", "shorten"),
    (BASIC_USER, xml_refusal("InvalidIdentityToken", "No OpenIDConnect provider found in your account"), PoolRefused,
     "cannot be had with a token of pool", "credhelper_role_arn"),
    (BASIC_USER, xml_refusal("IDPRejectedClaim", "no", 403), PoolRefused, "may not assume", ""),
    (BASIC_USER, xml_refusal("IDPCommunicationError", "no"), Unavailable, "a service that it needs", ""),
    (BASIC_USER, xml_refusal("RegionDisabledException", "no", 403), PoolRefused, "has not enabled STS", "enabled"),
    (BASIC_USER, xml_refusal("ExpiredTokenException", "Token expired"), Refused, "ExpiredTokenException", ""),
]  # fmt: skip


@pytest.mark.parametrize(("role", "refusal", "kind", "says", "hint"), STS)
def test_each_refusal_of_sts_is_a_sentence_and_a_next_step(
    api: IdentityPools,
    aws: Recorded,
    role: PoolRole,
    refusal: Said,
    kind: type[CredhelperError],
    says: str,
    hint: str,
) -> None:
    aws.says("AssumeRoleWithWebIdentity", refusal)
    error = refusal_of(lambda: api.assume_role(role, TOKEN))
    assert type(error) is kind
    assert says in error.message
    assert hint in (error.hint or "")


def test_a_gone_identity_is_told_from_one_that_is_somebody_elses(api: IdentityPools, aws: Recorded) -> None:
    for reason, text, is_gone in (
        ("ResourceNotFoundException", "Identity 'x' not found.", True),
        ("NotAuthorizedException", "Access to Identity 'x' is forbidden.", False),
    ):
        aws.says("GetCredentialsForIdentity", json_refusal(reason, text))
        error: Any = refusal_of(lambda: credentials_of(api))
        assert error.is_gone is is_gone


def test_throttling_says_for_how_long(api: IdentityPools, aws: Recorded) -> None:
    aws.says("GetId", json_refusal("TooManyRequestsException", "Rate exceeded", retry_after=7))
    error = refusal_of(lambda: api.get_id(GUEST, None))
    assert isinstance(error, Throttled)
    assert error.retry_after == 7


def test_a_name_out_of_a_file_does_nothing_to_a_terminal(api: IdentityPools, aws: Recorded) -> None:
    evil = PoolRole(POOL, CognitoLogin("a\x1b[31mb", LoginMethod.BROWSER, PROVIDER))
    aws.says("GetCredentialsForIdentity", json_refusal("ResourceConflictException", "no"))
    error = refusal_of(lambda: api.get_credentials(evil, IDENTITY, TOKENS))
    assert "\x1b" not in f"{error.message} {error.hint}"
