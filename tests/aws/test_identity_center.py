"""Each call of IAM Identity Center against the strict sandbox, and what becomes of every kind of bad answer."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from credhelper.aws import identity_center
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain import oauth
from credhelper.domain.errors import (
    AssumeRoleDenied,
    CredhelperError,
    MfaRefused,
    Refused,
    RoleNotAssigned,
    Throttled,
    Unavailable,
)
from credhelper.domain.model import ChainedRole, Flow, Registration, Role, RoleCredentials, SsoSession, Token
from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.clocks import HandClock

SECRET = "CANARY-client-secret"
ACCESS = "CANARY-access-token"
REFRESH = "CANARY-refresh-token"
ACCOUNT = "111122223333"
DEPLOY = "arn:aws:iam::222233334444:role/Deploy"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sandbox(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(clock=clock.time, lifetimes=Lifetimes(interval=0)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@dataclass
class Caller:
    """One session's calls."""

    api: IdentityCenter
    session: SsoSession
    sandbox: Sandbox

    def register(self, flow: Flow = Flow.DEVICE_CODE) -> Registration:
        return self.api.register_client(self.session, flow)

    def log_in(self) -> Token:
        registration = self.register()
        device = self.api.start_device_authorization(self.session, registration)
        self.sandbox.approve(device.user_code)
        issued = self.api.poll_device(self.session, registration, device.device_code)
        return Token(
            access_token=issued.access_token,
            expires_at=issued.expires_at,
            refresh_token=issued.refresh_token,
            client_id=registration.client_id,
            client_secret=registration.client_secret,
            registration_expires_at=registration.expires_at,
        )

    def role(self, name: str = "Developer") -> Role:
        return Role(self.session, ACCOUNT, name)

    def deploy(self, **more: Any) -> ChainedRole:
        return ChainedRole(self.role(), DEPLOY, "eu-west-1", **more)

    def keys(self) -> RoleCredentials:
        """Good ones of the developer's role."""
        return self.api.get_role_credentials(self.role(), self.log_in().access_token)

    def request(self, operation: str) -> dict[str, Any]:
        """The body of the last call of an operation."""
        call = [call for call in self.sandbox.recorded if call.operation == operation][-1]
        found: dict[str, Any] = json.loads(call.request.body)
        return found


@pytest.fixture
def caller(sandbox: Sandbox, clock: HandClock) -> Caller:
    return Caller(
        IdentityCenter(clock), SsoSession("corp", sandbox.start_url, "us-east-1", ("sso:account:access",)), sandbox
    )


# -- when all is well -------------------------------------------------------------------------------------------------


def test_registering_for_the_device_flow(caller: Caller, clock: HandClock) -> None:
    registration = caller.register()
    assert caller.request("RegisterClient") == {
        "clientName": "botocore-client-corp",
        "clientType": "public",
        "scopes": ["sso:account:access"],
    }
    assert registration.flow is Flow.DEVICE_CODE
    assert registration.expires_at == clock.now() + timedelta(days=90)


def test_registering_for_the_browser_flow(caller: Caller) -> None:
    registration = caller.register(Flow.AUTHORIZATION_CODE)
    assert caller.request("RegisterClient") == {
        "clientName": "botocore-client-corp",
        "clientType": "public",
        "grantTypes": ["authorization_code", "refresh_token"],
        "redirectUris": ["http://127.0.0.1/oauth/callback"],
        "issuerUrl": caller.session.start_url,
        "scopes": ["sso:account:access"],
    }
    assert registration.flow is Flow.AUTHORIZATION_CODE


def test_registering_a_legacy_client(caller: Caller) -> None:
    caller.session = SsoSession(None, caller.session.start_url, "us-east-1")
    caller.register()
    sent = caller.request("RegisterClient")
    assert set(sent) == {"clientName", "clientType"}
    assert sent["clientName"].removeprefix("botocore-client-").isdigit()


def test_the_device_flow(caller: Caller, clock: HandClock) -> None:
    registration = caller.register()
    device = caller.api.start_device_authorization(caller.session, registration)
    assert device.user_code in device.verification_uri_complete
    assert device.expires_at == clock.now() + timedelta(minutes=10)
    with pytest.raises(Refused) as caught:
        caller.api.poll_device(caller.session, registration, device.device_code)
    assert caught.value.reason == "AuthorizationPendingException"
    caller.sandbox.approve(device.user_code)
    issued = caller.api.poll_device(caller.session, registration, device.device_code)
    assert issued.expires_at == clock.now() + timedelta(hours=1)
    assert issued.refresh_token
    assert issued.access_token not in repr(issued)
    assert device.device_code not in repr(device)


def test_the_browser_flow(caller: Caller) -> None:
    registration, proof = caller.register(Flow.AUTHORIZATION_CODE), oauth.Proof.new()
    redirect = "http://127.0.0.1:4711/oauth/callback"
    url = caller.api.authorize_url(caller.session, registration, redirect, proof)
    location = caller.sandbox.authorize(url)
    callback = oauth.read_callback(location.partition("?")[2], proof.state)
    assert callback is not None
    assert callback.code is not None
    issued = caller.api.exchange_code(
        caller.session, registration, code=callback.code, redirect_uri=redirect, proof=proof
    )
    assert issued.access_token
    assert issued.refresh_token


def test_refreshing_rotates_the_refresh_token(caller: Caller) -> None:
    token = caller.log_in()
    issued = caller.api.refresh_token(caller.session, token)
    assert issued.access_token != token.access_token
    assert issued.refresh_token not in {None, token.refresh_token}
    sent = caller.request("CreateToken")
    assert set(sent) == {"clientId", "clientSecret", "grantType", "refreshToken"}
    with pytest.raises(Refused) as caught:
        caller.api.refresh_token(caller.session, token)
    assert caught.value.reason == "InvalidGrantException"


def test_role_credentials(caller: Caller, clock: HandClock) -> None:
    credentials = caller.api.get_role_credentials(caller.role(), caller.log_in().access_token)
    assert credentials.access_key_id.startswith("ASIA")
    assert credentials.obtained_at == clock.now()
    assert credentials.expires_at == clock.now() + timedelta(hours=1)
    assert credentials.lifetime == timedelta(hours=1)


def test_identity_and_logout(caller: Caller) -> None:
    token = caller.log_in()
    credentials = caller.api.get_role_credentials(caller.role(), token.access_token)
    identity = caller.api.get_caller_identity("eu-west-1", credentials)
    assert identity.account_id == ACCOUNT
    assert identity.arn.endswith("/alice")
    caller.api.revoke("us-east-1", token.access_token)
    with pytest.raises(Refused) as caught:
        caller.api.get_role_credentials(caller.role(), token.access_token)
    assert caught.value.reason == "UnauthorizedException"


def test_a_role_that_is_not_assigned(caller: Caller) -> None:
    with pytest.raises(RoleNotAssigned) as caught:
        caller.api.get_role_credentials(caller.role("Billing"), caller.log_in().access_token)
    assert "Billing" in caught.value.message
    assert ACCOUNT in caught.value.message
    assert "corp" in caught.value.message


def test_assuming_a_role(caller: Caller, clock: HandClock) -> None:
    found = caller.api.assume_role(caller.deploy(), caller.keys(), "alice")
    assert found.expires_at == clock.now() + timedelta(hours=1)
    assert found.expires_at.tzinfo is not None
    assert found.lifetime == timedelta(hours=1)
    assert found.secret_access_key not in repr(found)
    identity = caller.api.get_caller_identity("eu-west-1", found)
    assert identity.arn == "arn:aws:sts::222233334444:assumed-role/Deploy/alice"


def test_a_code_goes_with_the_device_it_is_of_and_neither_without(caller: Caller) -> None:
    role, keys = caller.deploy(mfa_serial=caller.sandbox.mfa_serial()), caller.keys()
    for code in (None, caller.sandbox.mfa_code()):
        caller.api.assume_role(role, keys, "alice", code)
        sent = dict(caller.sandbox.recorded[-1].request.form())
        assert (sent.get("SerialNumber"), sent.get("TokenCode")) == (code and role.mfa_serial, code)


def test_a_role_that_may_not_be_assumed(caller: Caller) -> None:
    role = ChainedRole(caller.role(), DEPLOY + "2", "eu-west-1")
    with pytest.raises(AssumeRoleDenied) as caught:
        caller.api.assume_role(role, caller.keys(), "alice")
    assert "Developer in 111122223333 may not assume " + DEPLOY in caught.value.message


def test_a_code_that_aws_does_not_take(caller: Caller) -> None:
    with pytest.raises(MfaRefused) as caught:
        caller.api.assume_role(caller.deploy(mfa_serial="a/device/of/mine"), caller.keys(), "alice", "123456")
    assert "a/device/of/mine" in caught.value.message
    assert "123456" not in f"{caught.value.message} {caught.value.hint}"


def test_the_users_own_files_change_nothing(
    caller: Caller, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, clock: HandClock
) -> None:
    """A profile there may name credhelper itself, or another endpoint."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nendpoint_url = http://127.0.0.1:1\nregion = [bad\nsso_session = x\n"
    )
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAUSERS\naws_secret_access_key = x\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    caller.api = IdentityCenter(clock)
    assert caller.log_in().access_token
    assert not [call for call in caller.sandbox.recorded if "AKIAUSERS" in str(call.request.headers)]


def test_calls_of_identity_center_are_unsigned_and_name_us(caller: Caller) -> None:
    caller.api.get_role_credentials(caller.role(), caller.log_in().access_token)
    for call in caller.sandbox.recorded:
        headers = {name.lower(): value for name, value in call.request.headers.items()}
        assert "authorization" not in headers
        assert "credhelper/" in headers["user-agent"]


# -- when it is not -----------------------------------------------------------------------------------------------

KEYS = RoleCredentials(
    "ASIACANARY", "CANARY-secret", "CANARY-session", HandClock().now() + timedelta(hours=1), HandClock().now()
)
TOKEN_OF_CANARIES = Token(ACCESS, HandClock().now(), None, None, REFRESH, "client", SECRET, HandClock().now())
REGISTRATION = Registration("client", SECRET, HandClock().now())

CALLS: dict[str, tuple[str, Callable[[Caller], object]]] = {
    "register": ("RegisterClient", lambda c: c.api.register_client(c.session, Flow.AUTHORIZATION_CODE)),
    "device": ("StartDeviceAuthorization", lambda c: c.api.start_device_authorization(c.session, REGISTRATION)),
    "poll": ("CreateToken", lambda c: c.api.poll_device(c.session, REGISTRATION, "CANARY-device")),
    "exchange": (
        "CreateToken",
        lambda c: c.api.exchange_code(
            c.session,
            REGISTRATION,
            code="CANARY-code",
            redirect_uri="http://127.0.0.1/oauth/callback",
            proof=oauth.Proof("CANARY-verifier" + "x" * 40, "CANARY-state"),
        ),
    ),
    "refresh": ("CreateToken", lambda c: c.api.refresh_token(c.session, TOKEN_OF_CANARIES)),
    "credentials": ("GetRoleCredentials", lambda c: c.api.get_role_credentials(c.role(), ACCESS)),
    "assume": ("AssumeRole", lambda c: c.api.assume_role(c.deploy(), KEYS, "alice", "123456")),
}
ALL_CALLS = CALLS | {"logout": ("Logout", lambda c: c.api.revoke("us-east-1", ACCESS))}

NOT_AWS = {
    "html": Fault(body=Body.HTML),
    "html 503": Fault(body=Body.HTML, status=503),
    "html 404": Fault(body=Body.HTML, status=404),
    "html 403": Fault(body=Body.HTML, status=403),
    "html 511": Fault(body=Body.HTML, status=511),
    "redirect": Fault(body=Body.REDIRECT),
    "500": Fault(status=500),
    "503": Fault(status=503),
    "cut before": Fault(cut=Cut.BEFORE),
}
SPOILT = {
    "empty": Fault(body=Body.EMPTY),
    "truncated": Fault(body=Body.TRUNCATED),
    "list": Fault(body=Body.LIST),
    "nothing in it": Fault(body=Body.EMPTY_OBJECT),
    "cut in the middle": Fault(cut=Cut.MIDDLE),
}


def explained(caller: Caller, work: Callable[[Caller], object], kind: type[CredhelperError]) -> CredhelperError:
    """The error, readable: it names the endpoint, is one line and repeats no secret."""
    with pytest.raises(CredhelperError) as caught:
        work(caller)
    error = caught.value
    assert isinstance(error, kind), repr(error)
    assert caller.sandbox.url in error.message
    assert error.message.isprintable()
    assert "CANARY" not in error.message
    assert len(error.message) < 300
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return error


@pytest.mark.parametrize("fault", NOT_AWS.values(), ids=NOT_AWS)
@pytest.mark.parametrize("name", ALL_CALLS)
def test_an_answer_that_is_not_awss_is_unavailability(caller: Caller, name: str, fault: Fault) -> None:
    operation, work = ALL_CALLS[name]
    caller.sandbox.fail(operation, fault)
    explained(caller, work, Unavailable)


def good_call(caller: Caller, name: str) -> Callable[[Caller], object]:
    """The call as it would succeed, for faults that spoil a good answer."""
    if name == "register":
        return CALLS["register"][1]
    if name == "device":
        registration = caller.register()
        return lambda c: c.api.start_device_authorization(c.session, registration)
    if name == "assume":
        keys = caller.keys()
        return lambda c: c.api.assume_role(c.deploy(), keys, "alice")
    token = caller.log_in()
    if name == "refresh":
        return lambda c: c.api.refresh_token(c.session, token)
    return lambda c: c.api.get_role_credentials(c.role(), token.access_token)


@pytest.mark.parametrize("fault", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("name", ["register", "device", "refresh", "credentials", "assume"])
def test_a_spoilt_answer_is_unavailability(caller: Caller, name: str, fault: Fault) -> None:
    work = good_call(caller, name)
    caller.sandbox.fail(ALL_CALLS[name][0], fault)
    explained(caller, work, Unavailable)


MEMBERS = {
    "register": ["clientId", "clientSecret", "clientSecretExpiresAt"],
    "device": ["deviceCode", "userCode", "verificationUri", "expiresIn"],
    "refresh": ["accessToken", "expiresIn"],
    "credentials": [
        "roleCredentials",
        "roleCredentials.accessKeyId",
        "roleCredentials.secretAccessKey",
        "roleCredentials.sessionToken",
        "roleCredentials.expiration",
    ],
}
ONE_BY_ONE = [(name, member) for name, members in MEMBERS.items() for member in members]


@pytest.mark.parametrize(("name", "member"), ONE_BY_ONE, ids=[f"{n}-{m}" for n, m in ONE_BY_ONE])
def test_an_answer_that_lacks_a_member_or_has_it_wrong_is_unavailability(
    caller: Caller, name: str, member: str
) -> None:
    caller.sandbox.rotate_refresh_tokens(False)  # else the first answer would use the refresh token up
    work = good_call(caller, name)
    operation = ALL_CALLS[name][0]
    wrong: tuple[object, ...] = (None, [], {}, "", "soon" if "xpir" in member else 7)
    caller.sandbox.fail(operation, Fault(without=(member,)))
    for value in wrong:
        caller.sandbox.fail(operation, Fault(members={member: value}))
    for _ in range(1 + len(wrong)):
        explained(caller, work, Unavailable)


@pytest.mark.parametrize("member", ["Credentials", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"])
def test_an_answer_of_stss_that_lacks_an_element_is_unavailability(caller: Caller, member: str) -> None:
    work = good_call(caller, "assume")
    spoilt = [Fault(without=(member,)), Fault(members={member: ""})]
    spoilt += [Fault(members={member: value}) for value in ("soon", "1e300") if member == "Expiration"]
    for fault in spoilt:
        caller.sandbox.fail("AssumeRole", fault)
        explained(caller, work, Unavailable)


NUMBERS = [10**30, -(10**30), 1e300, float("inf"), float("nan")]


@pytest.mark.parametrize("number", NUMBERS, ids=str)
@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("register", "clientSecretExpiresAt"),
        ("device", "expiresIn"),
        ("refresh", "expiresIn"),
        ("credentials", "roleCredentials.expiration"),
    ],
)
def test_an_absurd_number_is_unavailability(caller: Caller, name: str, member: str, number: float) -> None:
    work = good_call(caller, name)
    caller.sandbox.fail(ALL_CALLS[name][0], Fault(members={member: number}))
    explained(caller, work, Unavailable)


@pytest.mark.parametrize("interval", [-1, 1e9], ids=str)
def test_an_absurd_interval_is_none(caller: Caller, interval: float) -> None:
    registration = caller.register()
    caller.sandbox.fail("StartDeviceAuthorization", Fault(members={"interval": interval}))
    device = caller.api.start_device_authorization(caller.session, registration)
    assert device.interval == identity_center.DEFAULT_POLLING_INTERVAL


@pytest.mark.parametrize(
    ("members", "kept"), [({"interval": 0}, 0.0), ({"interval": 7}, 7.0), ({"interval": None}, 5.0)]
)
def test_the_interval_is_the_answers(caller: Caller, members: dict[str, object], kept: float) -> None:
    registration = caller.register()
    caller.sandbox.fail("StartDeviceAuthorization", Fault(members=members))
    assert caller.api.start_device_authorization(caller.session, registration).interval == kept


def test_an_answer_without_the_complete_address_has_the_short_one(caller: Caller) -> None:
    registration = caller.register()
    caller.sandbox.fail("StartDeviceAuthorization", Fault(without=("verificationUriComplete",)))
    device = caller.api.start_device_authorization(caller.session, registration)
    assert device.verification_uri_complete == device.verification_uri


@pytest.mark.parametrize("value", [7, [], {"a": 1}])
def test_a_refresh_token_that_is_no_text_never_reaches_a_file(caller: Caller, value: object) -> None:
    token = caller.log_in()
    caller.sandbox.fail("CreateToken", Fault(members={"refreshToken": value}))
    try:
        issued = caller.api.refresh_token(caller.session, token)
    except Unavailable:
        return
    assert issued.refresh_token is None


def test_credentials_that_are_over_already_are_none(caller: Caller, clock: HandClock) -> None:
    work = good_call(caller, "credentials")
    past = int((clock.now() - timedelta(seconds=1)).timestamp() * 1000)
    caller.sandbox.fail("GetRoleCredentials", Fault(members={"roleCredentials.expiration": past}))
    assert "already expired" in explained(caller, work, Unavailable).message


def test_the_right_answer_with_the_wrong_type_is_right(caller: Caller) -> None:
    work = good_call(caller, "credentials")
    caller.sandbox.fail("GetRoleCredentials", Fault(body=Body.WRONG_TYPE))
    assert work(caller)


def test_a_huge_answer_is_unavailability(caller: Caller) -> None:
    work = good_call(caller, "credentials")
    caller.sandbox.fail("GetRoleCredentials", Fault(body=Body.HUGE))
    assert "more than 1024 KiB" in explained(caller, work, Unavailable).message


@pytest.mark.parametrize("name", ALL_CALLS)
def test_throttling_carries_its_retry_after(caller: Caller, name: str) -> None:
    operation, work = ALL_CALLS[name]
    for wait in (7, None):
        caller.sandbox.fail(operation, Fault(status=429, retry_after=wait))
        error = explained(caller, work, Throttled)
        assert isinstance(error, Throttled)
        assert error.retry_after == wait


@pytest.mark.parametrize("name", ALL_CALLS)
def test_an_overloaded_service_may_say_when_to_come_back_too(caller: Caller, name: str) -> None:
    operation, work = ALL_CALLS[name]
    for wait in (7, None):
        caller.sandbox.fail(operation, Fault(status=503, retry_after=wait))
        error = explained(caller, work, Unavailable)
        assert isinstance(error, Unavailable)
        assert error.retry_after == wait


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("InvalidGrantException", 400),
        ("InvalidClientException", 401),
        ("AccessDeniedException", 400),
        ("ExpiredTokenException", 400),
        ("AuthorizationPendingException", 400),
        ("SlowDownException", 400),
        ("InvalidRequestException", 400),
    ],
)
def test_a_refusal_keeps_awss_reason_and_not_its_words(caller: Caller, reason: str, status: int) -> None:
    caller.sandbox.fail("CreateToken", Fault(error=reason, status=status, message=f"CANARY {REFRESH}"))
    error = explained(caller, CALLS["refresh"][1], Refused)
    assert isinstance(error, Refused)
    assert error.reason == reason


def test_nothing_is_tried_again_behind_our_back(caller: Caller) -> None:
    for name, (operation, work) in ALL_CALLS.items():
        before = caller.sandbox.calls[operation]
        caller.sandbox.fail(operation, Fault(status=500))
        with pytest.raises(Unavailable):
            work(caller)
        assert caller.sandbox.calls[operation] == before + 1, name


# -- no answer --------------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_told(caller: Caller) -> None:
    caller.sandbox.stop()
    for _, work in ALL_CALLS.values():
        assert "refused" in explained(caller, work, Unavailable).message.lower()


def test_a_name_that_does_not_exist_is_told(caller: Caller, monkeypatch: pytest.MonkeyPatch, clock: HandClock) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", "http://portal.invalid")
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(Unavailable) as caught:
            IdentityCenter(clock).get_role_credentials(caller.role(), ACCESS)
    assert "portal.invalid" in caught.value.message
    assert "Name or service not known" in caught.value.message


@pytest.mark.parametrize("name", ALL_CALLS)
def test_a_hung_connection_is_given_up(caller: Caller, name: str, clock: HandClock) -> None:
    caller.api = IdentityCenter(clock, call_deadline=0.05, revoke_deadline=0.05)
    operation, work = ALL_CALLS[name]
    with caller.sandbox.hold(operation):
        assert "in time" in explained(caller, work, Unavailable).message


def test_a_bearer_that_no_header_can_carry_is_told_without_it(caller: Caller) -> None:
    """From a token file of who knows whom."""
    for token in ("CANARY\r\nX-Evil: 1", "CANARY\n", "CANARY-\u20ac"):
        with pytest.raises(CredhelperError) as caught:
            caller.api.get_role_credentials(caller.role(), token)
        assert "CANARY" not in caught.value.message


def test_no_secret_is_logged_even_at_debug(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """By us: botocore's own loggers are silenced where logging is set up."""
    with caplog.at_level(logging.DEBUG, logger="credhelper"):
        for operation, work in ALL_CALLS.values():
            caller.sandbox.fail(operation, Fault(status=400, error="InvalidRequestException"))
            with pytest.raises(CredhelperError):
                work(caller)
    assert not [
        record for record in caplog.records if record.name.startswith("credhelper") and "CANARY" in record.getMessage()
    ]


def test_clients_are_shared_between_calls_and_kept_apart_by_region(caller: Caller) -> None:
    caller.register()
    caller.register()
    caller.session = replace(caller.session, region="eu-west-1")
    caller.register()
    assert len(caller.api._transport._clients) == 2


def test_a_token_that_cannot_be_refreshed_is_our_own_mistake(caller: Caller) -> None:
    with pytest.raises(ValueError, match="not refreshable"):
        caller.api.refresh_token(caller.session, Token(ACCESS, HandClock().now()))
