"""What a person sees and does in a browser."""

import re
from typing import Any

import pytest

from credhelper.sandbox.server import Sandbox

from .clients import Clients, Clock, query_of, refused
from .person import Person


@pytest.fixture
def person(sandbox: Sandbox) -> Person:
    return Person(sandbox)


@pytest.fixture
def client(clients: Clients) -> dict[str, str]:
    return clients.register_for_device()


@pytest.fixture
def device(clients: Clients, client: dict[str, str]) -> dict[str, Any]:
    return clients.start_device(client)


def test_a_person_signs_in_compares_the_code_and_allows(
    clients: Clients, client: dict[str, str], device: dict[str, Any], person: Person
) -> None:
    person.visit(device["verificationUriComplete"])
    assert "Sign in" in person.page
    person.sign_in()
    assert f'<p class="code">{device["userCode"]}</p>' in person.page
    assert "botocore-client-corp" in person.page
    assert "sso:account:access" in person.page
    person.fill_in("/device", decision="allow")
    assert "You can close this tab" in person.page
    assert clients.poll(client, device)["accessToken"]


def test_a_person_types_the_code_and_denies(
    clients: Clients, client: dict[str, str], device: dict[str, Any], person: Person
) -> None:
    person.visit(device["verificationUri"])
    person.visit(f"/device?user_code={device['userCode'].lower()}")
    person.sign_in("bob")
    person.fill_in("/device", decision="deny")
    assert "You can close this tab" in person.page
    with refused("AccessDeniedException", 400):
        clients.poll(client, device)


def test_an_unknown_decided_or_expired_code_leads_nowhere(
    sandbox: Sandbox, clients: Clients, client: dict[str, str], person: Person, clock: Clock
) -> None:
    decided, late = clients.start_device(client), clients.start_device(client)
    sandbox.deny(decided["userCode"])
    clock.advance(600)
    for user_code in ("ABCD-EFGH", decided["userCode"], late["userCode"], "%00"):
        person.visit(f"/device?user_code={user_code}")
        assert (person.status, "No device waits under this code" in person.page) == (404, True)


def test_an_application_gets_its_code_by_redirect(clients: Clients, person: Person) -> None:
    client = clients.register_for_browser()
    person.visit(clients.authorize_url(client, state="x&y"))
    person.sign_in()
    assert "Allow access?" in person.page
    person.fill_in("/authorize", decision="allow")
    assert person.status == 303
    answer = query_of(person.location)
    assert answer["state"] == "x&y"
    assert clients.redeem(client, answer["code"])["accessToken"]


def test_a_person_denies_an_application(clients: Clients, person: Person) -> None:
    person.visit(clients.authorize_url(clients.register_for_browser(), state="s"))
    person.sign_in()
    person.fill_in("/authorize", decision="deny")
    answer = query_of(person.location)
    assert (answer["error"], answer["state"]) == ("access_denied", "s")


def test_one_stays_signed_in_and_can_change_over(clients: Clients, person: Person) -> None:
    client = clients.register_for_browser()
    person.visit(clients.authorize_url(client))
    person.sign_in()
    person.visit(clients.authorize_url(client))
    assert "Signed in as <strong>alice</strong>" in person.page
    person.fill_in("/sign-out")
    person.sign_in("bob")
    assert "Signed in as <strong>bob</strong>" in person.page


def test_being_signed_in_ends(clients: Clients, sandbox: Sandbox, person: Person, clock: Clock) -> None:
    client = clients.register_for_browser()
    person.visit(clients.authorize_url(client))
    person.sign_in()
    clock.advance(8 * 3600)
    person.visit(clients.authorize_url(client))
    person.sign_in()
    assert "Allow access?" in person.page
    sandbox.end_session("alice")
    person.visit(clients.authorize_url(client))
    assert "Password" in person.page


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong"), ("alice", ""), ("mallory", ""), ("bob", "correct-horse")]
)
def test_a_wrong_password_does_not_sign_in(clients: Clients, person: Person, name: str, password: str) -> None:
    person.visit(clients.authorize_url(clients.register_for_browser()))
    person.sign_in(name, password)
    assert (person.status, "Name or password is wrong" in person.page) == (403, True)
    person.sign_in()
    assert "Allow access?" in person.page


def test_an_untrustworthy_request_shows_an_error_and_redirects_nowhere(clients: Clients, person: Person) -> None:
    for wrong in ({"redirect_uri": "http://evil.example/"}, {"client_id": "nobody"}):
        person.visit(clients.authorize_url(clients.register_for_browser(), **wrong))
        assert (person.status, person.location) == (400, "")


def test_a_clients_mistake_is_told_without_asking_the_person(clients: Clients, person: Person) -> None:
    person.visit(clients.authorize_url(clients.register_for_browser(), code_challenge_method="plain"))
    assert query_of(person.location)["error"] == "invalid_request"


def test_a_form_from_elsewhere_decides_nothing(
    clients: Clients, client: dict[str, str], device: dict[str, Any], person: Person
) -> None:
    person.visit(device["verificationUriComplete"])
    person.sign_in()
    person.fill_in("/device", without="csrf", decision="allow")
    assert person.status == 403
    person.post("/device", {"csrf": "guessed", "user_code": device["userCode"], "decision": "allow"})
    assert person.status == 403
    with refused("AuthorizationPendingException", 400):
        clients.poll(client, device)


def test_a_form_without_the_browsers_cookie_decides_nothing(
    clients: Clients, device: dict[str, Any], person: Person
) -> None:
    person.visit(device["verificationUriComplete"])
    person.sign_in()
    person.cookies.clear()
    person.fill_in("/device", decision="allow")
    assert person.status == 403


def test_signing_in_changes_the_cookie(device: dict[str, Any], person: Person) -> None:
    person.visit(device["verificationUriComplete"])
    before = dict(person.cookies)
    person.sign_in()
    assert person.cookies.keys() == before.keys()
    assert person.cookies != before
    assert "HttpOnly" in person.headers["set-cookie"]
    assert "SameSite=Lax" in person.headers["set-cookie"]


@pytest.mark.parametrize(
    "next_path",
    ["https://evil.example/", "//evil.example/", "/authorize?x\r\nX-Injected: 1", "/_sandbox/calls"],
)
def test_signing_in_never_leads_away(device: dict[str, Any], person: Person, next_path: str) -> None:
    person.visit(device["verificationUriComplete"])
    person.fill_in("/sign-in", name="alice", password="correct-horse", next=next_path)
    assert "Code shown on your device" in person.page
    assert "x-injected" not in person.headers


def test_names_of_clients_cannot_smuggle_html(clients: Clients, person: Person) -> None:
    client = clients.register_for_browser(clientName='<script>alert("x")</script>')
    person.visit(clients.authorize_url(client, state='"><script>'))
    assert "<script" not in person.page
    person.sign_in()
    assert "&lt;script&gt;" in person.page
    assert "<script" not in person.page
    person.fill_in("/authorize", decision="allow")
    assert query_of(person.location)["state"] == '"><script>'


def test_pages_are_self_contained_and_locked_down(device: dict[str, Any], person: Person) -> None:
    person.visit(device["verificationUriComplete"])
    policy = person.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert person.headers["cache-control"] == "no-store"
    assert not re.search(r"(src|href)=", person.page)
    assert '<html lang="en">' in person.page


def test_a_strange_cookie_of_a_neighbour_does_no_harm(device: dict[str, Any], person: Person) -> None:
    person.cookies["a[b]"] = "{c}"
    person.visit(device["verificationUriComplete"])
    assert person.status == 200


def test_the_start_page_says_what_this_is(sandbox: Sandbox, person: Person) -> None:
    person.visit(f"{sandbox.url}/start")
    assert (person.status, "A sandbox" in person.page) == (200, True)
