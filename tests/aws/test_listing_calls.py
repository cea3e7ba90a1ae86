"""ListAccounts and ListAccountRoles against the strict sandbox: pages, refusals, and answers that are not AWS's."""

from collections.abc import Iterator
from typing import Any

import pytest

from credhelper.aws.identity_center import LONGEST_NAME, IdentityCenter
from credhelper.domain.accounts import Account
from credhelper.domain.errors import AccessRefused, Refused, RoleNotAssigned, Unavailable
from credhelper.domain.model import Flow, SsoSession
from credhelper.sandbox.directory import large_directory
from credhelper.sandbox.faults import Body, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox

FIRST = "100000000000"


class Caller:
    """One login's calls."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.api = IdentityCenter()
        self.session = SsoSession("corp", sandbox.start_url, "us-east-1")
        registration = self.api.register_client(self.session, Flow.DEVICE_CODE)
        device = self.api.start_device_authorization(self.session, registration)
        sandbox.approve(device.user_code)
        self.token = self.api.poll_device(self.session, registration, device.device_code).access_token

    def accounts(self, next_token: str | None = None) -> Any:
        return self.api.list_accounts(self.session, self.token, next_token)

    def roles(self, account_id: str = FIRST) -> Any:
        return self.api.list_account_roles(self.session, account_id, self.token)


@pytest.fixture(scope="module")
def module_caller() -> Iterator[Caller]:
    with (
        pytest.MonkeyPatch.context() as patch,
        Sandbox(directory=large_directory(101, 2), lifetimes=Lifetimes(interval=0)) as running,
    ):
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield Caller(running)


@pytest.fixture
def caller(module_caller: Caller) -> Caller:
    module_caller.sandbox.clear()
    return module_caller


def test_a_page_has_a_hundred_accounts_and_tells_of_the_next(caller: Caller) -> None:
    first = caller.accounts()
    assert first.items[0] == Account(FIRST, "Account 0000", "aws+0000@example.com")
    assert len(first.items) == 100
    last = caller.accounts(first.next_token)
    assert (len(last.items), last.next_token) == (1, None)
    assert first.next_token not in repr(first)


def test_roles_are_names(caller: Caller) -> None:
    assert caller.roles().items == ("Role00", "Role01")


def test_an_account_of_others_is_not_assigned(caller: Caller) -> None:
    with pytest.raises(RoleNotAssigned) as raised:
        caller.roles("999999999999")
    assert raised.value.hint == "credhelper accounts --sso-session corp"


def test_a_refusal_of_the_accounts_names_the_scope(caller: Caller) -> None:
    caller.sandbox.fail("ListAccounts", Fault(status=403))
    with pytest.raises(AccessRefused) as raised:
        caller.accounts()
    assert "sso:account:access" in (raised.value.hint or "")


@pytest.mark.parametrize("status", [400, 401])
def test_other_refusals_keep_awss_name(caller: Caller, status: int) -> None:
    caller.sandbox.fail("ListAccountRoles", Fault(status=status))
    with pytest.raises(Refused) as raised:
        caller.roles()
    assert raised.value.reason == {400: "InvalidRequestException", 401: "UnauthorizedException"}[status]


def account(**changes: Any) -> Fault:
    whole = {"accountId": FIRST, "accountName": "x", "emailAddress": "y"}
    return Fault(members={"accountList": [whole | changes]})


@pytest.mark.parametrize(
    "fault",
    [
        Fault(without=("accountList",)),
        Fault(members={"accountList": "many"}),
        Fault(members={"accountList": [1]}),
        account(accountId=None),
        account(accountId="12345"),
        account(accountId="١٢٣٤٥٦٧٨٩٠١٢"),
        account(accountName=["x"]),
        account(emailAddress={"x": "y"}),
        Fault(members={"nextToken": "x" * 10_000}),
        Fault(members={"nextToken": ["x"]}),
        Fault(body=Body.HTML),
        Fault(body=Body.LIST),
        Fault(body=Body.EMPTY_OBJECT),
        Fault(body=Body.TRUNCATED),
    ],
    ids=repr,
)
def test_accounts_that_are_not_awss_are_not_believed(caller: Caller, fault: Fault) -> None:
    caller.sandbox.fail("ListAccounts", fault)
    with pytest.raises(Unavailable):
        caller.accounts()


@pytest.mark.parametrize(
    "member",
    [
        None,
        [{"accountId": FIRST}],
        [{"roleName": "", "accountId": FIRST}],
        [{"roleName": "Reader", "accountId": "999999999999"}],
        [{"roleName": 5, "accountId": FIRST}],
    ],
    ids=repr,
)
def test_roles_that_are_not_awss_are_not_believed(caller: Caller, member: object) -> None:
    caller.sandbox.fail("ListAccountRoles", Fault(members={"roleList": member}))
    with pytest.raises(Unavailable):
        caller.roles()


def test_an_account_may_lack_a_name_and_an_email(caller: Caller) -> None:
    caller.sandbox.fail("ListAccounts", Fault(members={"accountList": [{"accountId": FIRST}]}))
    assert caller.accounts().items == (Account(FIRST),)


def test_names_have_a_longest_length(caller: Caller) -> None:
    caller.sandbox.fail("ListAccounts", account(accountName="n" * 10_000))
    assert caller.accounts().items[0].name == "n" * LONGEST_NAME
    roles = [{"roleName": name, "accountId": FIRST} for name in ("r" * 10_000, "Reader")]
    caller.sandbox.fail("ListAccountRoles", Fault(members={"roleList": roles}))
    assert caller.roles().items == ("Reader",)
