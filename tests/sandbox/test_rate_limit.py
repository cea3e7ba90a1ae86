"""The sandbox's throttling: a bucket for each person, and 429 when it is empty."""

import pytest

from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import Throttled
from credhelper.domain.model import Flow, SsoSession
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.rate_limit import RateLimit
from credhelper.sandbox.server import Sandbox
from tests.clocks import HandClock


def test_the_bucket_is_emptied_and_fills_again_evenly() -> None:
    clock = HandClock()
    limit = RateLimit(clock.time, 2, burst=4)
    for _ in range(4):
        limit.admit("alice")
    with pytest.raises(ApiError, match="TooManyRequestsException"):
        limit.admit("alice")
    limit.admit("bob")
    clock.advance(seconds=0.5)
    limit.admit("alice")
    with pytest.raises(ApiError):
        limit.admit("alice")
    clock.advance(seconds=60)
    for _ in range(4):
        limit.admit("alice")
    with pytest.raises(ApiError):
        limit.admit("alice")
    assert limit.refused == 3


def test_without_a_limit_nobody_is_refused() -> None:
    limit = RateLimit(HandClock().time, None)
    for _ in range(1000):
        limit.admit("alice")


def test_a_client_is_told_429_and_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    with Sandbox(clock=clock.time, lifetimes=Lifetimes(interval=0), rate_limit=1, burst=2, retry_after=7) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        api, session = IdentityCenter(clock), SsoSession("corp", sandbox.start_url, "us-east-1")
        registration = api.register_client(session, Flow.DEVICE_CODE)
        device = api.start_device_authorization(session, registration)
        sandbox.approve(device.user_code)
        token = api.poll_device(session, registration, device.device_code).access_token
        for _ in range(2):
            api.list_accounts(session, token)
        with pytest.raises(Throttled) as raised:
            api.list_accounts(session, token)
        assert raised.value.retry_after == 7
        assert sandbox.throttled == 1
