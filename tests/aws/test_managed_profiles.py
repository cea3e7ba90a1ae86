"""What a sync makes of a listing: names, regions, what is kept, and what it says is different."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.editing import managed_profiles
from credhelper.aws.editing.managed_profiles import Given, Kind, Planned, fits
from credhelper.domain.accounts import ListedAccount, Listing
from credhelper.local.sync_table import RegionRule, Sync

DEV, PROD, TWIN = "111111111111", "222222222222", "333333333333"
PATHS = ConfigPaths(Path("/home/u/.aws/config"), Path("/home/u/.aws/credentials"))

Accounts = Mapping[tuple[str, str], Sequence[str] | None]
"""By account id and name its roles, None for what could not be listed."""

TWO: Accounts = {(DEV, "Dev"): ["Admin", "ReadOnly"], (PROD, "Prod"): ["ReadOnly"]}


def listing(accounts: Accounts) -> Listing:
    found: list[ListedAccount] = []
    for (account_id, name), roles in accounts.items():
        account = ListedAccount(account_id=account_id, account_name=name, email="")
        if roles is not None:
            account["roles"] = list(roles)
        found.append(account)
    return Listing(sso_session="corp", start_url="https://x", listed_at="2026-01-01T00:00:00Z", accounts=found)


def profiles_of(text: str) -> dict[str, dict[str, str]]:
    """What a configuration file with this text has."""
    sections = config_file.parsed(text.encode(), PATHS.config)
    return {config_file.split_section(name)[1]: dict(sections.items(name)) for name in sections.sections()}


def plan(
    accounts: Accounts,
    block: str = "",
    *,
    others: Sequence[str] = (),
    in_credentials: Sequence[str] = (),
    prune: bool = False,
    **wishes: Any,
) -> Planned:
    names = {*profiles_of(block), *others, *in_credentials}
    credentials: dict[str, frozenset[str]] = {name: frozenset({"x"}) for name in in_credentials}
    configuration = Configuration(PATHS, {name: {} for name in names}, {}, credentials)
    wish = Sync("corp", **wishes)
    return managed_profiles.plan(Given(listing(accounts), wish, configuration, block, "/helper {}".format, prune=prune))


def told(planned: Planned) -> list[str]:
    return [f"{one.kind} {f'{one.was} -> ' if one.was else ''}{one.profile}" for one in planned.differences]


# -- from nothing -----------------------------------------------------------------------------------------------------


def test_every_role_gets_an_adopted_profile_in_the_order_of_accounts_and_roles() -> None:
    planned = plan({(PROD, "prod"): ["Z", "a"], (DEV, "Dev"): ["R"]}, region="eu-west-1")
    found = profiles_of(planned.text)
    assert list(found) == ["Dev-R", "prod-a", "prod-Z"]
    assert found["Dev-R"] == {
        "region": "eu-west-1",
        "credential_process": "/helper Dev-R",
        "credhelper_sso_session": "corp",
        "credhelper_sso_account_id": DEV,
        "credhelper_sso_role_name": "R",
    }
    assert told(planned) == ["added Dev-R", "added prod-Z", "added prod-a"]


def test_native_profiles_have_the_aws_clis_keys_and_no_process() -> None:
    planned = plan({(DEV, "Dev"): ["R"]}, native=True)
    assert profiles_of(planned.text)["Dev-R"] == {"sso_session": "corp", "sso_account_id": DEV, "sso_role_name": "R"}
    assert planned.without_region == 1


def test_without_roles_there_is_no_block() -> None:
    assert plan({(DEV, "Dev"): []}) == Planned("", (), 0, 0)


@pytest.mark.parametrize("name", ["Admin\n[profile x]", "", "a b", "x" * 65, "rôle"])
def test_a_role_name_that_cannot_be_one_is_left_out_and_told(name: str) -> None:
    planned = plan({(DEV, "Dev"): [name, "R"]})
    assert list(profiles_of(planned.text)) == ["Dev-R"]
    assert [one.role_name for one in planned.of(Kind.LEFT_OUT)] == [name]


# -- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "does_fit"),
    [
        ("Dev *", True),
        ("dev *", False),
        ("*", True),
        (DEV, True),
        ("1111*", True),
        ("Admin", False),
        ("*/Admin", True),
        ("Dev US/Admin", True),
        (f"{DEV}/A*", True),
        ("Dev/Admin", False),
        ("*/admin", False),
        ("D[ef]v U?", True),
    ],
)
def test_a_pattern_is_over_the_account_or_with_a_slash_over_account_and_role(pattern: str, *, does_fit: bool) -> None:
    assert fits(pattern, DEV, "Dev US", "Admin") is does_fit


@pytest.mark.parametrize(
    ("wishes", "names"),
    [
        ({"include": ("Dev",)}, ["Dev-Admin", "Dev-ReadOnly"]),
        ({"exclude": ("*/ReadOnly",)}, ["Dev-Admin"]),
        ({"include": ("Dev", PROD), "exclude": ("*/Admin",)}, ["Dev-ReadOnly", "Prod-ReadOnly"]),
        ({"include": ("nothing",)}, []),
    ],
)
def test_only_included_roles_that_are_not_excluded_get_profiles(wishes: dict[str, Any], names: list[str]) -> None:
    assert list(profiles_of(plan(TWO, **wishes).text)) == names


def test_the_first_region_rule_that_fits_holds_and_else_the_general_region() -> None:
    rules = (RegionRule(("Prod", "*/Admin"), "us-east-1"), RegionRule(("Prod",), "us-west-2"))
    found = profiles_of(plan(TWO, region="eu-west-1", regions=rules).text)
    assert {name: keys["region"] for name, keys in found.items()} == {
        "Dev-Admin": "us-east-1",
        "Dev-ReadOnly": "eu-west-1",
        "Prod-ReadOnly": "us-east-1",
    }


# -- names ------------------------------------------------------------------------------------------------------------

TWINS: Accounts = {(DEV, "Dev"): ["R"], (TWIN, "Dev"): ["R"]}


def test_of_two_new_roles_that_want_one_name_each_gets_its_account_id() -> None:
    assert list(profiles_of(plan(TWINS).text)) == [f"Dev-R-{DEV}", f"Dev-R-{TWIN}"]


def test_a_name_once_given_is_kept_when_another_role_wants_it_too() -> None:
    first = plan({(TWIN, "Dev"): ["R"]})
    second = plan(TWINS, first.text)
    assert told(second) == [f"added Dev-R-{DEV}"]
    third = plan({(DEV, "Dev"): ["R"]}, second.text, prune=True)
    assert told(third) == ["removed Dev-R"]


@pytest.mark.parametrize("where", ["others", "in_credentials"])
def test_a_hand_written_profile_keeps_its_name(where: str) -> None:
    planned = plan({(DEV, "Dev"): ["R"]}, **{where: ["Dev-R"]})  # type: ignore[arg-type]  # both are sequences
    assert list(profiles_of(planned.text)) == [f"Dev-R-{DEV}"]


def test_a_profile_that_the_credentials_file_has_since_too_makes_way() -> None:
    first = plan({(DEV, "Dev"): ["R"]})
    planned = plan({(DEV, "Dev"): ["R"]}, first.text, in_credentials=["Dev-R"])
    assert told(planned) == [f"renamed Dev-R -> Dev-R-{DEV}"]


def test_no_profile_is_called_default() -> None:
    planned = plan({(DEV, "default"): ["R"]}, name_template="{account_name}")
    assert list(profiles_of(planned.text)) == [f"default-{DEV}"]


def test_two_roles_of_one_account_that_want_one_name_are_told_apart_by_the_role() -> None:
    planned = plan({(DEV, "Dev"): ["A", "B"]}, name_template="{account_name}")
    assert list(profiles_of(planned.text)) == [f"Dev-{DEV}", f"Dev-{DEV}-B"]


def test_a_role_for_which_every_name_is_taken_is_left_out_and_told() -> None:
    planned = plan({(DEV, "Dev"): ["R"]}, others=["Dev-R", f"Dev-R-{DEV}", f"Dev-R-{DEV}-R"])
    assert planned.text == ""
    assert told(planned) == ["left_out Dev-R"]
    assert "other profiles have the names Dev-R, " in planned.differences[0].why


def test_a_renamed_account_renames_its_profiles() -> None:
    first = plan(TWO)
    planned = plan({(DEV, "Development"): ["Admin", "ReadOnly"], (PROD, "Prod"): ["ReadOnly"]}, first.text)
    assert told(planned) == ["renamed Dev-Admin -> Development-Admin", "renamed Dev-ReadOnly -> Development-ReadOnly"]
    assert profiles_of(planned.text)["Development-Admin"]["credential_process"] == "/helper Development-Admin"
    assert planned.unchanged == 1


def test_accounts_may_swap_their_names() -> None:
    first = plan({(DEV, "A"): ["R"], (PROD, "B"): ["R"]})
    planned = plan({(DEV, "B"): ["R"], (PROD, "A"): ["R"]}, first.text)
    assert told(planned) == ["renamed B-R -> A-R", "renamed A-R -> B-R"]
    assert profiles_of(planned.text)["A-R"]["credhelper_sso_account_id"] == PROD


# -- what is there ----------------------------------------------------------------------------------------------------


def test_a_second_sync_changes_nothing() -> None:
    first = plan(TWO, region="eu-west-1")
    second = plan(TWO, first.text, region="eu-west-1")
    assert second == Planned(first.text, (), 3, 0)


def test_what_a_person_added_to_a_profile_stays_through_a_change_and_a_renaming() -> None:
    first = plan({(DEV, "Dev"): ["R"]}, region="eu-west-1")
    mine = first.text.replace("region = eu-west-1\n", "# mine\nregion=eu-west-1\ns3 =\n  a = 1\n  # deep\n\n  b = 2\n")
    mine += "output = json\n"
    planned = plan({(DEV, "New"): ["R"]}, mine, region="us-east-1")
    expected = mine.replace("[profile Dev-R]", "[profile New-R]").replace("/helper Dev-R", "/helper New-R")
    assert planned.text == expected.replace("region=eu-west-1", "region=us-east-1")
    assert [one.keys for one in planned.differences] == [(("region", "eu-west-1", "us-east-1"),)]


def test_a_region_that_a_person_wrote_stays_where_no_region_is_wished() -> None:
    mine = plan({(DEV, "Dev"): ["R"]}).text + "region = eu-west-1\n"
    assert plan({(DEV, "Dev"): ["R"]}, mine) == Planned(mine, (), 1, 0)


def test_keys_that_were_spoiled_are_put_right() -> None:
    first = plan({(DEV, "Dev"): ["R"]})
    spoiled = first.text.replace("/helper Dev-R", "/elsewhere").replace("region", "x") + "sso_session = corp\n"
    planned = plan({(DEV, "Dev"): ["R"]}, spoiled)
    assert planned.text == first.text
    assert told(planned) == ["changed Dev-R"]


def test_adopted_profiles_become_native_and_back() -> None:
    first = plan(TWO)
    native = plan(TWO, first.text, native=True)
    assert profiles_of(native.text)["Dev-Admin"] == {
        "sso_session": "corp",
        "sso_account_id": DEV,
        "sso_role_name": "Admin",
    }
    assert plan(TWO, native.text).text == first.text


def test_comments_stay_with_what_they_stand_above() -> None:
    first = plan({(DEV, "B"): ["R"], (PROD, "C"): ["R"]})
    mine = first.text.replace("[profile C-R]", "# about C\n[profile C-R]")
    planned = plan({(DEV, "B"): ["R"], (PROD, "A"): ["R"]}, mine)
    assert "\n\n# about C\n[profile A-R]\n" in planned.text
    assert planned.text.index("[profile A-R]") < planned.text.index("[profile B-R]")


@pytest.mark.parametrize(
    "own",
    [
        "[profile mine]\nregion = x\n",
        "[profile mine]\ncredhelper_sso_session = other\ncredhelper_sso_account_id = 1\ncredhelper_sso_role_name = R\n",
        "[sso-session other]\nsso_region = x\n",
        "[profile mine]\nsso_session = corp\n",
        "[strange\tthing]\nx = 1\n",
    ],
)
def test_sections_that_somebody_put_into_the_block_stay_at_its_end(own: str) -> None:
    first = plan({(DEV, "Dev"): ["R"]})
    planned = plan({(DEV, "Dev"): ["R"]}, first.text.replace("[profile Dev-R]", f"{own}\n[profile Dev-R]"))
    assert planned.differences == ()
    assert planned.text.endswith("credhelper_sso_role_name = R\n\n" + own)
    assert plan({(DEV, "mine"): [""], (PROD, "Dev"): ["R"]}, planned.text).text.endswith(own)


# -- stale ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accounts", "wishes", "why"),
    [
        ({(DEV, "Dev"): ["Admin"], (PROD, "Prod"): ["ReadOnly"]}, {}, "the role is not assigned any more"),
        (TWO, {"exclude": ("Dev/ReadOnly",)}, "the patterns do not include the role"),
    ],
)
def test_a_stale_profile_is_kept_in_its_place_until_it_is_pruned(
    accounts: Accounts, wishes: dict[str, Any], why: str
) -> None:
    first = plan(TWO)
    kept = plan(accounts, first.text, **wishes)
    assert kept.text == first.text
    assert [(told(kept), one.why) for one in kept.differences] == [(["stale Dev-ReadOnly"], why)]
    pruned = plan(accounts, first.text, prune=True, **wishes)
    assert list(profiles_of(pruned.text)) == ["Dev-Admin", "Prod-ReadOnly"]
    assert told(pruned) == ["removed Dev-ReadOnly"]


def test_profiles_of_an_account_that_is_gone_stand_at_the_end() -> None:
    planned = plan({(PROD, "Prod"): ["ReadOnly"]}, plan(TWO).text)
    assert list(profiles_of(planned.text)) == ["Prod-ReadOnly", "Dev-Admin", "Dev-ReadOnly"]
    assert [one.account_name for one in planned.differences] == [None, None]


@pytest.mark.parametrize("prune", [False, True])
def test_what_could_not_be_listed_is_never_pruned(*, prune: bool) -> None:
    first = plan(TWO)
    planned = plan({(DEV, "Dev"): None, (PROD, "Prod"): ["ReadOnly"]}, first.text, prune=prune)
    assert planned.text == first.text
    assert told(planned) == ["unlisted Dev-Admin", "unlisted Dev-ReadOnly"]


def test_a_stale_profile_keeps_its_name_from_others() -> None:
    first = plan({(DEV, "Dev"): ["R"]})
    assert told(plan({(TWIN, "Dev"): ["R"]}, first.text)) == [f"added Dev-R-{TWIN}", "stale Dev-R"]
    assert told(plan({(TWIN, "Dev"): ["R"]}, first.text, prune=True)) == ["added Dev-R", "removed Dev-R"]


def test_pruning_the_last_profile_removes_the_block() -> None:
    assert plan({}, plan(TWO).text, prune=True).text == ""


# -- whatever happens -------------------------------------------------------------------------------------------------

some_accounts = st.dictionaries(
    st.tuples(st.sampled_from([DEV, PROD, TWIN]), st.sampled_from(["Dev", "dev", "Dév", "", "X-R"])),
    st.lists(st.sampled_from(["R", "R2", "X-R", "a=b", "a,b"]), unique=True, max_size=3),
    max_size=3,
).filter(lambda accounts: len({account_id for account_id, _ in accounts}) == len(accounts))
some_wishes = st.fixed_dictionaries(
    {
        "name_template": st.sampled_from(["{account_name}-{role_name}", "{account_name:lower}", "{role_name}"]),
        "native": st.booleans(),
        "exclude": st.sampled_from([(), ("Dev",), ("*/R2",)]),
    }
)


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(some_accounts, some_wishes, st.booleans()), min_size=2, max_size=3),
    st.sets(st.sampled_from(["Dev-R", "R", "dev"])),
)
def test_through_any_history_names_are_unique_hand_written_ones_stay_free_and_the_same_again_changes_nothing(
    history: list[tuple[Accounts, dict[str, Any], bool]], others: set[str]
) -> None:
    block = ""
    for accounts, wishes, prune in history:
        planned = plan(accounts, block, others=sorted(others), prune=prune, **wishes)
        block = planned.text
        found = profiles_of(block)  # the parser refuses a name that is there twice
        assert not set(found) & others
        if prune:
            prefix = "sso_" if wishes["native"] else "credhelper_sso_"
            pairs = [(keys[prefix + "account_id"], keys[prefix + "role_name"]) for keys in found.values()]
            assert len(set(pairs)) == len(pairs)
        again = plan(accounts, block, others=sorted(others), prune=prune, **wishes)
        assert again.text == block
        assert not again.of(Kind.ADDED, Kind.REMOVED, Kind.RENAMED, Kind.CHANGED)
