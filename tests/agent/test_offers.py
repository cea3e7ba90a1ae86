"""What there is to choose from, by memory and files alone."""

import itertools

import pytest

from credhelper.domain.accounts import Listing
from credhelper.domain.errors import DaemonUnreachable, UsageError
from credhelper.local import inventory_files, places
from credhelper.local.inventory_files import Kept
from tests.agent.world import ACCOUNT, CONFIG, World

DEFAULT = "\n[default]\n{}\n"
ROLE_IN_DEFAULT = "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = ReadOnly"


def know(world: World, **roles: list[str]) -> None:
    """An earlier listing of session corp: by account name the roles; the ids count up from alice's first."""
    accounts = [
        {"account_id": str(int(ACCOUNT) + number), "account_name": name, "email": "", "roles": names}
        for number, (name, names) in zip(itertools.count(), roles.items(), strict=False)
    ]
    listing = Listing(
        sso_session="corp",
        start_url=world.corp.start_url,
        listed_at="2026-06-01T08:00:00Z",
        accounts=accounts,  # type: ignore[typeddict-item]  # as it comes from a file
    )
    inventory_files.write(places.inventory_file(world.state, "corp"), Kept(listing))


def configure(world: World, more: str) -> None:
    world.write_config(CONFIG.format(start_url=world.sandbox.start_url) + more)


async def test_profiles_come_with_the_names_of_their_accounts(world: World) -> None:
    know(world, Development=["Developer"])
    found = await world.agent.offers.document(world.everything())
    assert found["default"] is False
    assert found["profiles"][0] == {
        "profile": "dev",
        "sso_session": "corp",
        "account_id": ACCOUNT,
        "account_name": "Development",
        "role_name": "Developer",
        "last_used_at": None,
    }
    legacy = found["profiles"][1]
    assert (legacy["profile"], legacy["sso_session"], legacy["account_name"]) == ("legacy", None, "Development")
    assert world.sandbox.calls.total() == 0


async def test_roles_without_a_profile_are_offered_too(world: World) -> None:
    know(world, Development=["Developer", "ReadOnly", "Auditor"], Billing=["Payer"])
    found = await world.agent.offers.document(world.everything())
    assert [(role["profile"], role["account_name"], role["role_name"]) for role in found["roles"]] == [
        (None, "Billing", "Payer"),
        (None, "Development", "Auditor"),
    ]


async def test_a_section_that_leads_to_another_portal_now_has_none_of_the_last_ones_roles(world: World) -> None:
    know(world, Billing=["Payer"])
    assert (await world.agent.offers.document(world.everything()))["roles"] != []
    world.write_config(CONFIG.format(start_url="https://other.awsapps.com/start"))
    assert (await world.agent.offers.document(world.everything()))["roles"] == []


async def test_without_a_listing_only_profiles_are(world: World) -> None:
    found = await world.agent.offers.document(world.everything())
    assert [role["profile"] for role in found["profiles"]] == ["dev", "legacy", "readonly"]
    assert found["roles"] == []


async def test_the_last_used_come_first(world: World) -> None:
    world.log_in()
    world.log_in(world.legacy)
    for profile in ("readonly", "legacy"):
        await world.get(profile)
        world.clock.advance(minutes=1)
    found = await world.agent.offers.document(world.everything())
    assert [role["profile"] for role in found["profiles"]] == ["legacy", "readonly", "dev"]
    assert found["profiles"][0]["last_used_at"] == "2026-06-01T09:01:00Z"
    assert [session["name"] for session in found["sessions"]] == [None, "corp"]


async def test_sessions_are_told_with_their_state_and_how_to_name_them(world: World) -> None:
    world.log_in()
    found = await world.agent.offers.document(world.everything())
    url = world.sandbox.start_url
    assert found["sessions"] == [
        {"name": "corp", "start_url": url, "profile": None, "state": "active"},
        {"name": None, "start_url": url, "profile": "legacy", "state": "logged_out"},
    ]


@pytest.mark.parametrize(
    ("default", "role", "session"),
    [(ROLE_IN_DEFAULT, True, True), ("sso_session = corp", False, True), ("region = eu-west-1", False, False)],
    ids=["a role", "a session", "neither"],
)
async def test_where_default_chooses_already_nothing_is_offered(
    default: str, role: bool, session: bool, world: World
) -> None:
    configure(world, DEFAULT.format(default))
    for only, chooses in (("role", role), ("session", session)):
        found = await world.agent.offers.document(world.everything() | {"only": only})
        assert found["default"] is chooses
        assert bool(found["sessions"]) is not chooses
    everything = await world.agent.offers.document(world.everything())
    assert everything["profiles"]


async def test_only_sessions_are_offered_where_one_is_wanted(world: World) -> None:
    found = await world.agent.offers.document(world.everything() | {"only": "session"})
    assert (found["profiles"], found["roles"]) == ([], [])
    assert [session["name"] for session in found["sessions"]] == ["corp", None]


async def test_a_broken_file_offers_nothing_and_another_home_is_refused(world: World) -> None:
    world.write_config("[profile dev]\nnonsense\n")
    found = await world.agent.offers.document(world.everything())
    assert (found["profiles"], found["sessions"]) == ([], [])
    with pytest.raises(DaemonUnreachable):
        await world.agent.offers.document({"HOME": "/elsewhere", "cwd": "/"})


async def test_what_nobody_can_choose_is_wrong_usage(world: World) -> None:
    with pytest.raises(UsageError):
        await world.agent.offers.document(world.everything() | {"only": "accounts"})
